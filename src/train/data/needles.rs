//! Prose with needles, questions and answers, by the code that evaluation's prompts come from.

use super::prose::Passage;
use super::{Make, Sequence, Sources};
use crate::error::{Error, Result};
use crate::needle::Needle;
use crate::prompt::Document;
use crate::rng::Rng;
use crate::task::Question;

/// Needles and questions of a sequence, at most.
const NEEDLES: u64 = 4;
const QUESTIONS: u64 = 3;

/// Tokens by which the parts of a document may differ from the whole, a part.
const JITTER: usize = 2;

/// Questions with their needles, of which the first `asked` are asked.
struct Drawn {
    questions: Vec<Question>,
    asked: usize,
    /// The needles in the order in which they stand in the haystack.
    needles: Vec<Needle>,
}

impl Drawn {
    fn new(rng: &mut Rng, sources: &Sources) -> Result<Self> {
        let count = rng.between(1, NEEDLES) as usize;
        let asked = rng.between(1, QUESTIONS.min(count as u64)) as usize;
        let mut questions: Vec<Question> = Vec::new();
        // A task that always asks the same gives one question.
        for _ in 0..10 * count {
            let drawn = sources.task.draw(rng)?;
            if questions.len() < count && !questions.iter().any(|other| other.question == drawn.question) {
                questions.push(drawn);
            }
        }
        let mut needles: Vec<_> = questions.iter().flat_map(Question::targets).cloned().collect();
        rng.shuffle(&mut needles);
        Ok(Self { asked: asked.min(questions.len()), questions, needles })
    }

    fn document(&self, haystack: &str, positions: &[usize]) -> Document {
        let asked: Vec<_> = self.questions[..self.asked].iter().collect();
        Document::new(&self.needles, &asked, haystack, positions)
    }

    /// Takes away a question, or else a needle; whether there was one to spare.
    fn shrink(&mut self) -> bool {
        if self.asked > 1 {
            self.asked -= 1;
        } else if self.questions.len() > 1 {
            self.questions.pop();
            self.needles = self.questions.iter().flat_map(Question::targets).cloned().collect();
        } else {
            return false;
        }
        true
    }
}

/// Prose with needles, some of which are asked for, and more prose up to the end.
pub(super) fn make(make: &mut Make<'_>) -> Result<Sequence> {
    let mut drawn = Drawn::new(&mut make.rng, make.sources)?;
    let room = make.room();
    let frame = loop {
        let nowhere = vec![0; drawn.needles.len()];
        let frame = make.tokenizer.encode(&drawn.document("", &nowhere).text)?.ids.len();
        let frame = frame + JITTER * (drawn.needles.len() + 1);
        if frame <= room {
            break frame;
        }
        if !drawn.shrink() {
            let expected = format!("at least {frame}, for a needle, its question and the answer");
            return Err(Error::invalid("context length", make.rows, expected));
        }
    };
    let mut passage = Passage::draw(make);
    let bytes = 6 * room;
    let text = passage.text(bytes).to_string();
    let ends: Vec<usize> = make.tokenizer.encode(&text)?.spans.iter().map(|span| span.end).collect();
    let byte_of = |tokens: usize| if tokens == 0 { 0 } else { ends[tokens.min(ends.len()) - 1] };
    let sentences = passage.sentence_ends(text.len());
    let snapped = |tokens: usize| sentences[sentences.partition_point(|&end| end <= byte_of(tokens)) - 1];
    // Questions stand at the end of a prompt of any length, so in training not always at the same place.
    let free = (room - frame) as u64;
    let mut tokens = make.rng.between(free / 4, free) as usize;
    let shares: Vec<f64> = drawn.needles.iter().map(|_| make.rng.unit()).collect();
    loop {
        let cut = snapped(tokens);
        let mut positions: Vec<_> =
            shares.iter().map(|share| snapped((share * (tokens + 1) as f64) as usize).min(cut)).collect();
        positions.sort_unstable();
        let document = drawn.document(&text[..cut], &positions);
        let more = text[cut..].trim_start();
        let whole = format!("{}\n\n{more}", document.text);
        let last = document.answers.last().map_or(0, |answer| answer.end);
        let sequence = make.sequence(&whole, &document.answers)?;
        let complete = |sequence: &Sequence| {
            let answered = sequence.answers.len() == document.answers.len();
            answered && sequence.answers.iter().all(|answer| answer.end < sequence.tokens.len())
        };
        match sequence {
            Some(sequence) if complete(&sequence) => return Ok(sequence),
            _ if tokens > 0 => tokens -= tokens.min(JITTER + 1),
            _ => {
                let problem =
                    format!("{last} bytes of needles and questions have other tokens than their parts");
                return Err(Error::Tokenizer(problem));
            }
        }
    }
}

/// Texts to learn a vocabulary from: passages of every haystack, and needles with their questions.
///
/// # Errors
/// When the task fails.
pub fn vocabulary_texts(sources: &Sources) -> Result<Vec<String>> {
    const PASSAGES: usize = 400;
    const PASSAGE: usize = 1000;
    const DOCUMENTS: usize = 300;
    let mut rng = Rng::for_purpose(0, &["vocabulary"]);
    let mut texts: Vec<String> = Vec::new();
    for _ in 0..PASSAGES {
        texts.push(Passage::of(&mut rng, sources).text(PASSAGE).to_string());
    }
    for _ in 0..DOCUMENTS {
        let drawn = Drawn::new(&mut rng, sources)?;
        texts.push(drawn.document("", &vec![0; drawn.needles.len()]).text);
    }
    Ok(texts)
}
