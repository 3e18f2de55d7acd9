//! `niah prompts`: the prompts of a plan as JSONL, without running a model.

use std::collections::BTreeSet;
use std::io::{self, BufWriter, Write};
use std::ops::Range;

use candle_core::Device;
use serde_json::{Value, json};

use super::{cannot_write, settings, warn, write_file};
use crate::cli::PromptsArgs;
use crate::error::{Error, Result};
use crate::grid::Depth;
use crate::plan::RunPlan;
use crate::prompt::{Prompt, PromptSequence};
use crate::span::Span;
use crate::task::Turn;
use crate::trial::Trial;

/// Runs the command.
///
/// # Errors
/// When the plan cannot be made, a prompt cannot be built, or the output cannot be written.
pub fn run(args: &PromptsArgs) -> Result<()> {
    let plan = RunPlan::resolve(settings(&args.model, &args.grid)?, &Device::Cpu)?;
    warn(&plan.warnings);
    warn(&plan.prompt_warnings);
    match &args.output {
        None => write(&plan, args.limit, io::stdout().lock()).or_else(|error| match error {
            Failure::Io(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(()),
            Failure::Io(error) => Err(Error::output("stdout", cannot_write(&error))),
            Failure::Prompt(error) => Err(error),
        }),
        Some(path) => write_file(path, |file| {
            write(&plan, args.limit, file).map_err(|error| match error {
                Failure::Io(error) => Error::output(path, cannot_write(&error)),
                Failure::Prompt(error) => error,
            })
        }),
    }
}

enum Failure {
    Prompt(Error),
    Io(io::Error),
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Prompt(error)
    }
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

fn write(plan: &RunPlan, limit: Option<usize>, output: impl Write) -> Result<(), Failure> {
    let mut output = BufWriter::new(output);
    let mut prompts = PromptSequence::new(&plan.prompts, &plan.tokenizer);
    let (mut loops, mut notes) = (0, BTreeSet::new());
    for trial in plan.trials().into_iter().take(limit.unwrap_or(usize::MAX)) {
        let prompt = prompts.build(&trial)?;
        loops = prompt.haystack_loops.max(loops);
        notes.extend(prompt.note.clone());
        writeln!(output, "{}", line(plan, &trial, &prompt))?;
    }
    output.flush()?;
    warn(&notes.into_iter().collect::<Vec<_>>());
    if loops > 0 {
        let name = plan.prompts.haystack.name();
        warn(&[format!(
            "the haystack {name} is shorter than the prompts: one of them holds it {} times",
            loops + 1
        )]);
    }
    Ok(())
}

fn line(plan: &RunPlan, trial: &Trial, prompt: &Prompt) -> Value {
    let spans = |spans: &[Range<usize>]| spans.iter().map(|s| [s.start, s.end]).collect::<Vec<_>>();
    let characters = Characters(&prompt.text);
    json!({
        "id": prompt.id.clone().unwrap_or_else(|| trial.row_id()),
        "row_id": trial.row_id(),
        "context_length": trial.cell.context_length.0,
        "depth_percent": trial.cell.depth.percent(),
        "actual_depth_percent": prompt.actual_depth.map(Depth::percent),
        "trial": trial.index,
        "seed": trial.seed,
        "task": plan.settings.task_name(),
        "control": plan.settings.control,
        "distractors": plan.settings.distractors,
        "prompt": prompt.text,
        "messages": messages(prompt),
        "answer_prefix": prompt.answer_prefix,
        "prompt_tokens": prompt.tokens.len(),
        "special_tokens": prompt.special_tokens,
        "answer_budget": prompt.answer_budget,
        "spans": prompt.spans.iter().map(|own| span(own, prompt, &characters)).collect::<Vec<_>>(),
        "needles": prompt.needle_texts,
        "needle_spans": spans(&prompt.needles),
        "value_spans": spans(&prompt.values),
        "question": prompt.question,
        "expected": prompt.expected,
        "answer_text": prompt.answer_text,
        "scorer": prompt.scorer.as_ref().unwrap_or(&plan.settings.scorer),
        "haystack_loops": prompt.haystack_loops,
        "haystack_sha256": prompt.haystack_hash,
        "prompt_sha256": prompt.prompt_hash,
    })
}

/// The prompt as a server takes it.
fn messages(prompt: &Prompt) -> Vec<Value> {
    let system = prompt.system.iter().map(|text| json!({"role": "system", "content": text}));
    let turn = |turn: &Turn| json!({"role": turn.role, "content": prompt.text[turn.bytes.clone()]});
    system.chain(prompt.turns.iter().map(turn)).collect()
}

/// A part that matters, in characters of the prompt and of its message, and in tokens.
fn span(span: &Span, prompt: &Prompt, characters: &Characters<'_>) -> Value {
    let within = |turn: &Turn| turn.bytes.start <= span.bytes.start && span.bytes.end <= turn.bytes.end;
    let message = prompt.turns.iter().position(within).map(|turn| {
        let first = characters.before(prompt.turns[turn].bytes.start);
        let [start, end] = characters.of(&span.bytes).map(|at| at - first);
        json!({"number": turn + usize::from(prompt.system.is_some()), "start": start, "end": end})
    });
    let [start, end] = characters.of(&span.bytes);
    json!({
        "kind": span.kind.to_string(),
        "start": start,
        "end": end,
        "message": message,
        "tokens": [span.tokens.start, span.tokens.end],
        "value_tokens": [span.value.start, span.value.end],
        "text": span.text,
        "value": Characters(&span.text).of(&span.value_bytes),
        "absent": span.absent,
    })
}

/// A text whose Unicode characters are counted.
struct Characters<'a>(&'a str);

impl Characters<'_> {
    fn before(&self, byte: usize) -> usize {
        if self.0.is_ascii() { byte } else { self.0[..byte].chars().count() }
    }

    fn of(&self, bytes: &Range<usize>) -> [usize; 2] {
        [self.before(bytes.start), self.before(bytes.end)]
    }
}
