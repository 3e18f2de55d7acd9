//! Trials that a server answers, several at a time.
//!
//! Each worker goes through a stretch of the plan's order, in which prompts that begin alike follow each
//! other ([`crate::plan::ServedPlan::trials`]): one is asked when the one before it is answered, so that the
//! server's prefix cache holds their common beginning. Who has nothing left takes over the second half of the
//! longest stretch that is left. Prompts are built while requests are out ([`super::ahead`]).

use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use super::ahead::{Counted, Desk, desks};
use super::{RunContext, TrialRecord, TrialSink, answered, blank, ended, failed_record};
use crate::clock;
use crate::error::{Error, Result};
use crate::progress::Progress;
use crate::prompt::Prompt;
use crate::server::{
    Answer, Api, Asked, ChatTurn, Failure, Forced, Kind, Question, Said, Server, TokenLogprob,
};
use crate::tokenizer::apart_from_thought;
use crate::trial::{Outcome, ServedRow, Status, Trial};

/// How soon a stop of the run is heard.
const HEARD: Duration = Duration::from_millis(100);

/// How trials are asked.
pub struct Asking<'a> {
    /// What every trial shares.
    pub context: &'a RunContext<'a>,
    /// Who answers.
    pub server: &'a Server,
    /// Requests at a time.
    pub concurrency: usize,
    /// Whether the tokenizer is the model's own, so that positions of tokens mean something.
    pub exact: bool,
    /// Tokens of a thought, at most, besides those of the answer.
    pub thought_budget: usize,
    /// Whether the expected answer's log-probability is asked for where the model writes another one.
    pub forces: bool,
    /// Lengths that are not asked, each with the reason.
    pub skipped: &'a BTreeMap<usize, String>,
}

/// Asks `trials`. One that fails is recorded as such and the run goes on, unless nobody answers any more.
/// What is being answered when the run is stopped is recorded as well.
///
/// # Errors
/// [`Error::Interrupted`] when `stop` is set, [`Error::Failed`] when the server has gone, and errors of the
/// sink.
pub fn ask_trials(
    asking: &Asking<'_>,
    trials: &[Trial],
    sink: &mut dyn TrialSink,
    progress: &mut dyn Progress,
    stop: &AtomicBool,
) -> Result<()> {
    let workers = asking.concurrency.clamp(1, trials.len().max(1));
    let (queue, over) = (Queue::new(trials.len(), workers), AtomicBool::new(false));
    let (send, receive) = sync_channel(workers);
    let (builder, desks) = desks(workers);
    thread::scope(|scope| {
        scope.spawn(move || builder.work(asking.context));
        for (worker, desk) in desks.into_iter().enumerate() {
            let (send, over) = (send.clone(), &over);
            let stretch = Stretch { worker, queue: &queue, trials };
            scope.spawn(move || work(asking, stretch, desk, &send, over));
        }
        drop(send);
        let (mut result, mut silent) = (Ok(()), 0);
        loop {
            if stop.load(Ordering::Relaxed) {
                over.store(true, Ordering::Relaxed);
            }
            let done = match receive.recv_timeout(HEARD) {
                Ok(done) => done,
                Err(RecvTimeoutError::Timeout) => continue,
                Err(RecvTimeoutError::Disconnected) => break,
            };
            if result.is_err() {
                continue;
            }
            silent = if done.silent { silent + 1 } else { 0 };
            let (tokens, told) =
                (done.record.outcome.prompt_tokens.unwrap_or(0), ended(&done.record.outcome));
            let problem = done.record.outcome.error.clone().unwrap_or_default();
            result = sink.record(done.record);
            progress.advance(tokens);
            progress.ended(&told);
            if result.is_ok() && silent > workers + 2 {
                let remedy = "once it answers again, the same command goes on";
                result = Err(Error::Failed(format!("{silent} trials in a row: {problem}; {remedy}")));
            }
            if result.is_err() {
                over.store(true, Ordering::Relaxed);
            }
        }
        result.and(if stop.load(Ordering::Relaxed) { Err(Error::Interrupted) } else { Ok(()) })
    })
}

/// A trial that was asked.
struct Done {
    record: TrialRecord,
    /// Whether nobody answered at all.
    silent: bool,
}

fn work<'t>(
    asking: &Asking<'_>,
    stretch: Stretch<'t>,
    mut desk: Desk<'t>,
    send: &SyncSender<Done>,
    over: &AtomicBool,
) {
    while !over.load(Ordering::Relaxed) {
        let Some(trial) = stretch.next() else { return };
        let started = Instant::now();
        let Some(mut done) = ask(asking, trial, stretch, &mut desk, over) else { return };
        done.record.outcome.duration_seconds = Some(started.elapsed().as_secs_f64());
        done.record.outcome.timestamp_utc = clock::now_utc();
        if send.send(done).is_err() {
            return;
        }
    }
}

/// Asks one trial, and has the prompt of the next one built meanwhile; `None` when the run is over before it
/// is answered.
fn ask<'t>(
    asking: &Asking<'_>,
    trial: &'t Trial,
    stretch: Stretch<'t>,
    desk: &mut Desk<'t>,
    over: &AtomicBool,
) -> Option<Done> {
    let context = asking.context;
    let done = |record| Some(Done { record, silent: false });
    let why_skipped = |trial: &Trial| asking.skipped.get(&trial.cell.context_length.0);
    if let Some(why) = why_skipped(trial) {
        let outcome = Outcome { status: Status::Skipped, error: Some(why.clone()), ..blank(context, trial) };
        return done(TrialRecord { outcome, ..TrialRecord::default() });
    }
    let built = desk.fetch(trial)?;
    if let Some(coming) = stretch.coming().filter(|trial| why_skipped(trial).is_none()) {
        desk.order(coming);
    }
    let counted = match built {
        Ok(counted) => counted,
        Err(error) => return done(failed_record(context, trial, &error)),
    };
    let prompt = &counted.prompt;
    let question = question(asking.server, asking.thought_budget, prompt);
    let asked = Instant::now();
    match asking.server.ask(&question, over) {
        Err(Failure { kind: Kind::Stopped, .. }) => None,
        Err(failure) => {
            let error = Error::Failed(format!("the server: {}", failure.problem));
            let record = failed_record(context, trial, &error);
            Some(Done { record, silent: failure.is_silence() })
        }
        Ok(said) if bytes_of(&said.answer) > most_bytes(question.max_tokens) => {
            let (bytes, tokens) = (bytes_of(&said.answer), question.max_tokens);
            let problem = format!(
                "the server: an answer of {bytes} bytes, where at most {tokens} tokens were asked for"
            );
            done(failed_record(context, trial, &Error::Failed(problem)))
        }
        Ok(said) => {
            let logprob = logprob_of(&said.answer.tokens, &prompt.answer_text);
            // What greedy decoding writes is the arg-max.
            let written = logprob.map(|logprob| Forced { logprob, rank: Some(1) });
            let forced = match written.is_none() && asking.forces {
                // What is not told of the answer is missing, and the answer stands.
                true => asking.server.forced(&prompt.text, &prompt.answer_text, over).unwrap_or(None),
                false => written,
            };
            done(record(asking, trial, &counted, &said, (forced, asked.elapsed())))
        }
    }
}

/// Bytes that an answer of so many tokens may have: far more than any has, and far fewer than a row of
/// `results.csv` may have.
fn most_bytes(max_tokens: usize) -> usize {
    const OF_TOKEN: usize = 64;
    const BESIDE: usize = 64 << 10;
    const MOST: usize = 4 << 20;
    max_tokens.saturating_mul(OF_TOKEN).saturating_add(BESIDE).min(MOST)
}

/// Bytes of all that rows keep of an answer.
fn bytes_of(answer: &Answer) -> usize {
    let names = [&answer.model, &answer.fingerprint, &answer.finish_reason];
    answer.text.len() + names.into_iter().flatten().map(String::len).sum::<usize>()
}

/// A prompt as the server is asked it, with so many tokens for a thought.
pub(super) fn question<'a>(server: &Server, thought_budget: usize, prompt: &'a Prompt) -> Question<'a> {
    let asked = match server.api() {
        Api::Completions => Asked::Text(&prompt.text),
        Api::Chat => Asked::Turns(turns(prompt)),
    };
    Question { asked, max_tokens: thought_budget + prompt.answer_budget }
}

/// The conversation that a prompt is, as plain text one turn of a user.
fn turns(prompt: &Prompt) -> Vec<ChatTurn<'_>> {
    let system = prompt.system.iter().map(|content| ChatTurn { role: "system", content });
    let turns = prompt.turns.iter();
    let turns = turns.map(|turn| ChatTurn { role: &turn.role, content: &prompt.text[turn.bytes.clone()] });
    let turns: Vec<ChatTurn<'_>> = system.chain(turns).collect();
    if turns.is_empty() { vec![ChatTurn { role: "user", content: &prompt.text }] } else { turns }
}

fn record(
    asking: &Asking<'_>,
    trial: &Trial,
    Counted { prompt, tokens }: &Counted,
    said: &Said,
    (forced, took): (Option<Forced>, Duration),
) -> TrialRecord {
    let answer = &said.answer;
    let (text, thought) = answer_of(answer);
    let outcome = answered(asking.context, trial, prompt, text);
    let counted = match asking.exact {
        true => Outcome { prompt_tokens: Some(*tokens), ..outcome },
        // Places in a text whose tokens nobody knows.
        false => Outcome {
            prompt_tokens: answer.usage.prompt,
            needle_start: None,
            needle_end: None,
            value_start: None,
            value_end: None,
            ..outcome
        },
    };
    let outcome = Outcome {
        answer_logprob: forced.map(|forced| forced.logprob),
        answer_rank: forced.and_then(|forced| forced.rank),
        thinking_tokens: answer.usage.reasoning,
        thinking_cut: thought,
        ..counted
    };
    let served = ServedRow {
        run_id: outcome.run_id.clone(),
        row_id: outcome.row_id.clone(),
        attempts: said.attempts,
        seconds: took.as_secs_f64(),
        prompt_tokens_here: *tokens,
        prompt_tokens: answer.usage.prompt,
        cached_tokens: answer.usage.cached,
        completion_tokens: answer.usage.completion,
        finish_reason: answer.finish_reason.clone().unwrap_or_default(),
        served_model: answer.model.clone().unwrap_or_default(),
        system_fingerprint: answer.fingerprint.clone().unwrap_or_default(),
    };
    TrialRecord { outcome, served: Some(served), ..TrialRecord::default() }
}

/// The answer without what the model thought before it, and whether that thought was cut short; `None` where
/// there was none.
pub(super) fn answer_of(answer: &Answer) -> (String, Option<bool>) {
    let (text, thought) = apart_from_thought(&answer.text);
    // What the server keeps apart itself.
    let cut = answer.finish_reason.as_deref() == Some("length") && text.trim().is_empty();
    (text, thought.or(answer.thought.then_some(cut)))
}

/// The log-probability of the expected answer, where the model wrote it: the sum over its tokens. `None`
/// where it wrote something else, or a token goes on behind the answer.
fn logprob_of(tokens: &[TokenLogprob], expected: &str) -> Option<f64> {
    // White space before the answer may stand in its first token, in one of its own, or in the prompt.
    let expected = expected.trim_start();
    let (mut rest, mut sum) = (expected, 0.0);
    for token in tokens {
        if rest.is_empty() {
            break;
        }
        let text = if rest.len() == expected.len() { token.text.trim_start() } else { &token.text };
        rest = rest.strip_prefix(text)?;
        sum += token.logprob;
    }
    (rest.is_empty() && !expected.is_empty()).then_some(sum)
}

/// The trials of one worker.
#[derive(Clone, Copy)]
struct Stretch<'t> {
    worker: usize,
    queue: &'t Queue,
    trials: &'t [Trial],
}

impl<'t> Stretch<'t> {
    /// The next trial.
    fn next(self) -> Option<&'t Trial> {
        self.trials.get(self.queue.next(self.worker)?)
    }

    /// The trial that is likely to be the next one.
    fn coming(self) -> Option<&'t Trial> {
        self.trials.get(self.queue.coming(self.worker)?)
    }
}

/// What is left to ask: a stretch of the order for each worker.
struct Queue(Mutex<Vec<Range<usize>>>);

impl Queue {
    fn new(trials: usize, workers: usize) -> Self {
        let stretch = |worker: usize| trials * worker / workers..trials * (worker + 1) / workers;
        Self(Mutex::new((0..workers).map(stretch).collect()))
    }

    /// The next place in the order for a worker.
    fn next(&self, worker: usize) -> Option<usize> {
        let mut stretches = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        if stretches[worker].is_empty() {
            let longest = (0..stretches.len()).max_by_key(|&other| stretches[other].len())?;
            let Range { start, end } = stretches[longest].clone();
            let middle = start + (end - start) / 2;
            stretches[longest] = start..middle;
            stretches[worker] = middle..end;
        }
        stretches[worker].next()
    }

    /// The place that a worker has next, unless another one takes it over before.
    fn coming(&self, worker: usize) -> Option<usize> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)[worker].clone().next()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_place_is_handed_out_once_and_a_worker_goes_through_a_stretch() {
        for (trials, workers) in [(0, 1), (1, 4), (7, 3), (100, 16)] {
            let queue = Queue::new(trials, workers);
            let first: Vec<usize> = std::iter::from_fn(|| queue.next(0)).collect();
            assert!((1..workers).all(|worker| queue.next(worker).is_none()));
            let mut all = first.clone();
            all.sort_unstable();
            assert_eq!(all, (0..trials).collect::<Vec<_>>());
            let own = trials / workers;
            assert_eq!(first[..own], (0..own).collect::<Vec<_>>());
        }
    }

    #[test]
    fn the_place_that_comes_is_the_next_one_unless_it_was_taken_over() {
        let queue = Queue::new(5, 2);
        assert_eq!((queue.coming(0), queue.coming(1)), (Some(0), Some(2)));
        assert_eq!((queue.next(0), queue.next(0), queue.coming(0)), (Some(0), Some(1), None));
        assert_eq!(queue.coming(1), Some(2));
        // The second half of what is left, and then the last of all.
        assert_eq!((queue.next(0), queue.next(0), queue.next(0)), (Some(3), Some(4), Some(2)));
        assert_eq!((queue.coming(1), queue.next(1)), (None, None));
    }

    #[test]
    fn an_answer_has_no_thought_in_it() {
        let of = |text: &str, finish: &str| {
            let finish_reason = Some(finish.to_string());
            answer_of(&Answer { text: text.to_string(), finish_reason, ..Answer::default() })
        };
        assert_eq!(of("It is 7.", "stop"), ("It is 7.".to_string(), None));
        assert_eq!(of("<think>1?</think>It is 7.", "stop"), ("It is 7.".to_string(), Some(false)));
        assert_eq!(of("1 or 7?</think>It is 7.", "stop"), ("It is 7.".to_string(), Some(false)));
        assert_eq!(of("<think>1 or", "length"), (String::new(), Some(true)));
        let apart = Answer { thought: true, finish_reason: Some("length".into()), ..Answer::default() };
        assert_eq!(answer_of(&apart), (String::new(), Some(true)));
    }

    #[test]
    fn the_expected_answer_has_a_probability_where_the_model_wrote_it() {
        let tokens = |texts: &[&str]| {
            texts
                .iter()
                .map(|text| TokenLogprob { text: text.to_string(), logprob: -0.5 })
                .collect::<Vec<_>>()
        };
        assert_eq!(logprob_of(&tokens(&[" 4", "2", "."]), " 42"), Some(-1.0));
        assert_eq!(logprob_of(&tokens(&[" ", "4", "2"]), "42"), Some(-1.5));
        assert_eq!(logprob_of(&tokens(&[" 4", "2."]), " 42"), None);
        assert_eq!(logprob_of(&tokens(&[" 4", "3"]), " 42"), None);
        assert_eq!(logprob_of(&tokens(&[" 4"]), " 42"), None);
        assert_eq!(logprob_of(&[], ""), None);
    }
}
