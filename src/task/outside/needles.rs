//! Needles of the user's own out of a file: a row a needle, the rows of one `prompt` together.

use std::collections::BTreeMap;
use std::path::Path;

use super::file::{Place, TextFile};
use super::rows::{self, Row};
use crate::error::{Error, Result};
use crate::grid::Depth;
use crate::needle::Needle;
use crate::rng::Rng;
use crate::span::SpanKind;
use crate::standing::{occurrences, stands_free};
use crate::task::{self, Piece, Question, Task};

/// Bytes of such a file, at most.
const MOST_BYTES: u64 = 256 << 20;

/// What is read of a row.
const COLUMNS: &[&str] = &["needle", "question", "answer", "kind", "depth", "prompt"];

/// Tokens of an answer, and of each further one.
const BUDGET: (usize, usize) = (64, 32);

/// The prompts of a file.
#[derive(Debug, Clone)]
pub struct Needles {
    name: String,
    hash: String,
    questions: Vec<Question>,
    /// Whether what is asked for has a depth of its own.
    fixed: bool,
    /// Columns that are not read.
    unread: Vec<String>,
}

impl Needles {
    /// Reads a table with commas or a JSON object a line: `needle`, `question` and `answer`, and where
    /// wanted `kind`, `depth` and `prompt`, by which rows belong together.
    ///
    /// # Errors
    /// [`Error::File`] with line and column, what was found there and what was expected.
    pub fn read(path: &Path) -> Result<Self> {
        let file = TextFile::read(path, MOST_BYTES)?;
        let rows = rows::read(&file)?;
        let Some(first) = rows.first() else {
            return Err(Error::file(path, "found no rows, expected at least one behind the first line"));
        };
        let has = |column: &str| first.fields.iter().any(|(name, _)| name == column);
        if let Some(missing) = ["needle", "question", "answer"].iter().find(|column| !has(column)) {
            let names: Vec<&str> = first.fields.iter().map(|(name, _)| name.as_str()).collect();
            let found = format!("the columns {}", names.join(", "));
            let expected = format!("one called {missing}, beside {}", COLUMNS.join(", "));
            return Err(file.wrong(&Place::line(1), &found, &expected));
        }
        let mut groups: Vec<Vec<Given<'_>>> = Vec::new();
        let mut known: BTreeMap<&str, usize> = BTreeMap::new();
        for row in &rows {
            let given = Given::of(&file, row)?;
            match row.get("prompt") {
                None => groups.push(vec![given]),
                Some(prompt) => {
                    let group = *known.entry(prompt.trim()).or_insert(groups.len());
                    match groups.get_mut(group) {
                        Some(group) => group.push(given),
                        None => groups.push(vec![given]),
                    }
                }
            }
        }
        let fixed = is_fixed(&file, groups.iter().flatten())?;
        let questions = groups.iter().map(|group| question(&file, group)).collect::<Result<Vec<_>>>()?;
        let mut unread: Vec<String> =
            rows.iter().flat_map(|row| row.fields.iter().map(|(name, _)| name.clone())).collect();
        unread.retain(|name| !COLUMNS.contains(&name.as_str()));
        unread.sort_unstable();
        unread.dedup();
        Ok(Self { name: path.display().to_string(), hash: file.hash.clone(), questions, fixed, unread })
    }
}

/// A row, understood.
struct Given<'a> {
    row: &'a Row,
    kind: SpanKind,
    needle: Needle,
    depth: Option<Depth>,
}

impl<'a> Given<'a> {
    fn of(file: &TextFile, row: &'a Row) -> Result<Self> {
        let at = |column: &'a str| Place::of(row.line, column);
        let Some(text) = row.get("needle") else {
            return Err(file.wrong(&at("needle"), "nothing", "a text to hide"));
        };
        let kind = row.get("kind").map_or(Ok(SpanKind::Target), |kind| kind.trim().parse());
        let kind = kind.map_err(|error| file.wrong_value(&at("kind"), error))?;
        let needle = match row.get("answer").map(str::trim) {
            Some(answer) => Needle::new(text, answer),
            None => Needle::whole(text),
        };
        let depth = row.get("depth").map(str::parse).transpose();
        Ok(Self {
            row,
            kind,
            needle: needle.map_err(|error| file.wrong_value(&at("answer"), error))?,
            depth: depth.map_err(|error| file.wrong_value(&at("depth"), error))?,
        })
    }

    fn at(&self, column: &'a str) -> Place<'a> {
        Place::of(self.row.line, column)
    }

    /// What it says in answer to the question.
    fn answer(&self) -> Option<&str> {
        let answers = matches!(self.kind, SpanKind::Target | SpanKind::AnswerSource);
        self.row.get("answer").map(str::trim).filter(|_| answers)
    }

    fn piece(&self) -> Piece {
        let place = match self.depth {
            Some(depth) => task::Place::At(depth),
            None if self.kind.is_needed() => task::Place::FromDepth,
            None => task::Place::Spread,
        };
        Piece { needle: self.needle.clone(), kind: self.kind, place }
    }
}

/// Whether what is asked for has a depth in the file: everywhere or nowhere, lest a cell mean two things.
fn is_fixed<'a>(file: &TextFile, mut rows: impl Iterator<Item = &'a Given<'a>>) -> Result<bool> {
    let mut first: Option<&Given<'_>> = None;
    let odd = rows.find(|given| {
        given.kind.is_needed() && given.depth.is_some() != first.get_or_insert(given).depth.is_some()
    });
    match (odd, first) {
        (Some(odd), Some(first)) => {
            let (found, as_in) = match odd.row.get("depth") {
                Some(depth) => (depth, "none"),
                None => ("nothing", "one"),
            };
            let expected = format!(
                "{as_in}, as in line {}: either all that is asked for has a depth or none of it",
                first.row.line
            );
            Err(file.wrong(&odd.at("depth"), found, &expected))
        }
        (_, first) => Ok(first.is_some_and(|given| given.depth.is_some())),
    }
}

/// The question of the rows of one prompt.
fn question(file: &TextFile, rows: &[Given<'_>]) -> Result<Question> {
    let mut asked: Option<&str> = None;
    for given in rows {
        let Some(text) = given.row.get("question").map(str::trim) else { continue };
        if *asked.get_or_insert(text) != text {
            let expected = "the question of the prompt's rows before, or nothing: a prompt asks one";
            return Err(file.wrong(&given.at("question"), &format!("{text:?}"), expected));
        }
    }
    let first = &rows[0];
    let Some(asked) = asked else {
        return Err(file.wrong(&first.at("question"), "nothing", "the question that asks for the needle"));
    };
    if !rows.iter().any(|given| given.kind == SpanKind::Target) {
        return Err(file.wrong(
            &first.at("kind"),
            &first.kind.to_string(),
            "a row of kind target in every prompt",
        ));
    }
    let sourced = rows.iter().any(|given| given.kind == SpanKind::AnswerSource);
    let unanswered =
        |given: &&Given<'_>| given.kind == SpanKind::Target && given.answer().is_none() && !sourced;
    if let Some(given) = rows.iter().find(unanswered) {
        let expected = "the part of the needle that answers the question";
        return Err(file.wrong(&given.at("answer"), "nothing", expected));
    }
    let answers: Vec<(&Given<'_>, &str)> =
        rows.iter().filter_map(|given| Some((given, given.answer()?))).collect();
    if answers.is_empty() {
        let expected = "an answer in a row of kind target or answer-source";
        return Err(file.wrong(&first.at("answer"), "nothing", expected));
    }
    for (own, answer) in &answers {
        if stands_free(asked, answer) {
            let expected = format!("a question that does not say the answer {answer:?}");
            return Err(file.wrong(&own.at("question"), &format!("{asked:?}"), &expected));
        }
        let says = |given: &&Given<'_>| {
            let steps = matches!(given.kind, SpanKind::Hop(_) | SpanKind::AnswerSource);
            given.row.line != own.row.line && !steps && !occurrences(given.needle.text(), answer).is_empty()
        };
        if let Some(other) = rows.iter().find(says) {
            let expected = format!("a text without {answer:?}, the answer of line {}", own.row.line);
            let found = format!("{:?}", other.needle.text());
            return Err(file.wrong(&other.at("needle"), &found, &expected));
        }
    }
    Ok(Question {
        pieces: rows.iter().map(Given::piece).collect(),
        question: asked.to_string(),
        expected: answers.iter().map(|(_, answer)| (*answer).to_string()).collect(),
        ..Question::default()
    })
}

impl Task for Needles {
    fn name(&self) -> &'static str {
        "needles"
    }

    fn answer_budget(&self) -> usize {
        let most = self.questions.iter().map(|question| question.expected.len()).max().unwrap_or(1);
        BUDGET.0 + BUDGET.1 * (most - 1)
    }

    fn draw(&self, rng: &mut Rng) -> Result<Question> {
        Ok(rng.choose(&self.questions).clone())
    }

    fn numbered(&self, number: usize, _rng: &mut Rng) -> Result<Question> {
        Ok(self.questions[number % self.questions.len()].clone())
    }

    fn asks_of_many(&self) -> bool {
        self.questions.len() > 1
    }

    fn hides(&self) -> bool {
        true
    }

    fn without_depth(&self) -> Option<&'static str> {
        self.fixed.then_some("what is asked for has a depth of its own in the file")
    }

    fn file_hash(&self) -> Option<&str> {
        Some(&self.hash)
    }

    fn notes(&self, trials: usize) -> Vec<String> {
        let (name, count) = (&self.name, self.questions.len());
        let mut notes = Vec::new();
        if !self.unread.is_empty() {
            notes.push(format!("{name}: nothing reads the columns {}", self.unread.join(", ")));
        }
        notes.push(match (count, trials) {
            (1, 1) => return notes,
            (_, trials) if trials < count => format!(
                "trial i of a cell asks prompt i of {name}, from 0: {trials} of its {count} prompts; --trials \
                 {count} asks all of them"
            ),
            _ => format!("trial i of a cell asks prompt i modulo {count} of {name}, from 0"),
        });
        notes
    }
}
