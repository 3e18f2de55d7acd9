//! `niah attend`: a prompt with every token shaded by the attention it received from the answering query.

use std::io::Read;
use std::path::Path;
use std::sync::atomic::AtomicBool;

use serde_json::{Value, json};

use super::picking::{Wanted, pick};
use super::shown::{Shown, check};
use super::{prepare, tell, warn};
use crate::attention::probe::AttentionCapture;
use crate::cli::{AttendArgs, Attended};
use crate::error::{Error, Result};
use crate::evaluate::ran;
use crate::export::style::Style;
use crate::files;
use crate::generate::{LanguageModel, Request};
use crate::plan::{RunPlan, TextPlan};
use crate::printable;
use crate::progress::Silent;
use crate::report::Report;
use crate::report::attention::PromptReport;
use crate::report::document::ShadedToken;
use crate::report::parts::Parts;
use crate::runner::{attention_rows, run_one};
use crate::spec::{DecoderSpec, HeadPlace};
use crate::store::csv;
use crate::store::directory::{ATTENTION_CSV, RunRecord, SPANS_CSV, TOKENS_CSV};
use crate::store::stored::StoredRun;
use crate::tokenizer::Tokenize;
use crate::trial::{AttentionRow, Outcome, SpanRow, TokenRow, Trial};

/// Runs the command.
///
/// # Errors
/// When the run, the cell or the head does not exist, or the model cannot be run.
pub fn run(args: &AttendArgs, style: &Style) -> Result<()> {
    page(args, style)?.out()
}

/// What the command shows.
///
/// # Errors
/// As [`run`].
pub fn page(args: &AttendArgs, style: &Style) -> Result<Shown> {
    check(&args.form, &["tokens"])?;
    let head = Head::parse(&args.head)?;
    let shown = match args.shown()? {
        Attended::Run(directory) => of_run(directory, args, head)?,
        Attended::Text(text) => of_text(text, args, head)?,
    };
    let report = PromptReport {
        lines: shown.title.iter().map(|line| printable::shortened(line).into_owned()).collect(),
        ran: shown.ran,
        tokens: shown.tokens,
        heads: shown.heads,
        top: args.top.unwrap_or(LISTED_HEADS),
    };
    Ok(Shown::of(&args.form, &Report::from(report), None, style)?.warning(shown.warnings))
}

/// Heads that are listed where the user asks for no number.
const LISTED_HEADS: usize = 10;

/// Whose attention is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Head {
    Mean,
    Top,
    One(usize, usize),
}

impl Head {
    fn parse(text: &str) -> Result<Self> {
        let number = |text: &str| text.parse().ok();
        match (text, text.split_once('.')) {
            ("mean", _) => Ok(Self::Mean),
            ("top", _) => Ok(Self::Top),
            (_, Some((layer, head))) => {
                { number(layer).zip(number(head)).map(|(layer, head)| Self::One(layer, head)) }
                    .ok_or_else(|| Self::wrong(text))
            }
            _ => Err(Self::wrong(text)),
        }
    }

    fn wrong(text: &str) -> Error {
        Error::invalid("--head", text, "mean, top, or LAYER.HEAD such as 12.3")
    }

    fn chosen(self) -> Option<(usize, usize)> {
        match self {
            Self::One(layer, head) => Some((layer, head)),
            Self::Mean | Self::Top => None,
        }
    }

    /// Refuses a model without attention, and a head that it does not have, before it runs for minutes.
    fn check(self, spec: &DecoderSpec) -> Result<()> {
        spec.check_attends()?;
        match self {
            Self::One(layer, head) => spec.check_head("--head", HeadPlace { layer, head }),
            Self::Mean | Self::Top => Ok(()),
        }
    }

    fn describe(self) -> String {
        match self {
            Self::Mean => "mean over all heads".to_string(),
            Self::Top => "the head with the largest needle mass".to_string(),
            Self::One(layer, head) => format!("head {layer}.{head}"),
        }
    }

    /// The captured row of this head.
    fn row(self, capture: &AttentionCapture) -> Result<Vec<f64>> {
        let widen = |row: &[f32]| row.iter().copied().map(f64::from).collect();
        match self {
            Self::Mean => Ok(capture.mean_row.clone()),
            Self::Top => Ok(widen(&capture.top_row)),
            Self::One(layer, head) => {
                let row = capture.chosen_row.as_deref().map(widen);
                row.ok_or_else(|| Error::Compute(format!("the row of head {layer}.{head} was not kept")))
            }
        }
    }
}

/// What is drawn.
struct Prompt {
    warnings: Vec<String>,
    title: Vec<String>,
    /// The same for programs.
    ran: Value,
    tokens: Vec<ShadedToken>,
    heads: Vec<AttentionRow>,
}

fn of_run(directory: &Path, args: &AttendArgs, head: Head) -> Result<Prompt> {
    let StoredRun { record, outcomes, warnings } = StoredRun::read(directory)?;
    let trials = record.settings.trials;
    if let Some(trial) = args.trial.filter(|trial| *trial >= trials) {
        let expected = format!("a trial of the run: 0 to {}", trials.saturating_sub(1));
        return Err(Error::invalid("--trial", trial, expected));
    }
    let wanted = Wanted { length: args.context_length, depth: args.depth, trial: args.trial };
    let outcome = pick(&record.settings.grid, wanted, &outcomes)?.ok_or_else(|| {
        let named = wanted.words();
        Error::file(directory, format!("{named} has not run; run the same niah run command again to go on"))
    })?;
    let cell = outcome.cell();
    let trial = Trial { cell, index: outcome.trial, seed: record.settings.seed };
    let stored = match head {
        Head::One(..) => Vec::new(),
        Head::Mean | Head::Top => stored_tokens(&directory.join(TOKENS_CSV), outcome)?,
    };
    let spans =
        of_trial(&directory.join(SPANS_CSV), MOST_TOKENS, |row: &SpanRow| row.row_id == outcome.row_id)?;
    let parts = Parts::of(outcome, &spans);
    let tokens = if stored.is_empty() {
        let (texts, masses) = computed(&record, &trial, args, head)?;
        shade(texts.into_iter().zip(masses), &parts)
    } else {
        let mass = |row: &TokenRow| if head == Head::Top { row.mass_top_head } else { row.mass_mean };
        shade(stored.into_iter().map(|row| (row.token.clone(), mass(&row))), &parts)
    };
    let absent = spans
        .iter()
        .any(|span| span.absent)
        .then(|| "what is asked for is not in this text: marked is what stands in its place".to_string());
    let answer = outcome.model_response.as_deref().unwrap_or_default().trim();
    Ok(Prompt {
        warnings,
        title: vec![
            format!(
                "{}, {}{}: length {} depth {}% trial {}",
                record.settings.model.name,
                record.variant,
                record.settings.model.rounding(),
                cell.context_length,
                cell.depth,
                trial.index
            ),
            format!("expected {:?}, answered {answer:?}", outcome.expected_answer),
            format!("attention of the query that predicts the answer, {}", head.describe()),
        ]
        .into_iter()
        .chain(absent)
        .collect(),
        ran: json!({
            "run": ran(&record),
            "row_id": outcome.row_id,
            "context_length": cell.context_length,
            "depth_percent": cell.depth,
            "trial": trial.index,
            "expected_answer": outcome.expected_answer,
            "model_response": outcome.model_response,
            "outcome": outcome.outcome,
            "attention_of": head.describe(),
        }),
        tokens,
        heads: of_trial(&directory.join(ATTENTION_CSV), MOST_HEADS, |row: &AttentionRow| {
            row.row_id == outcome.row_id && !row.needle_mass.is_nan()
        })?,
    })
}

/// Tokens of a prompt, at most.
const MOST_TOKENS: usize = 1 << 22;
/// Heads of a model, at most.
const MOST_HEADS: usize = 1 << 20;

/// The rows of one trial, of which there are at most so many; none when the table is missing.
fn of_trial<R: csv::Row>(path: &Path, most: usize, belongs: impl Fn(&R) -> bool) -> Result<Vec<R>> {
    if path.exists() { csv::selected(path, most, belongs) } else { Ok(Vec::new()) }
}

/// The tokens of a trial with their masses, when the run kept them.
fn stored_tokens(path: &Path, outcome: &Outcome) -> Result<Vec<TokenRow>> {
    let rows = of_trial(path, MOST_TOKENS, |row: &TokenRow| row.row_id == outcome.row_id)?;
    let one_prompt = rows.iter().map(|row| row.position).eq(0..rows.len());
    let whole = outcome.prompt_tokens.is_none_or(|tokens| tokens == rows.len());
    if !rows.is_empty() && (!one_prompt || !whole) {
        let problem = format!(
            "its {} rows of trial {} are not the tokens of its prompt; remove the file to have them computed \
             again",
            rows.len(),
            outcome.row_id
        );
        return Err(Error::file(path, problem));
    }
    Ok(rows)
}

/// Token texts and masses of a trial, run again: the run kept no per-token masses, or not those of this head.
///
/// What `run.json` names is data: nothing is downloaded for it, and no tokenizer is read of a checkpoint that
/// is not the run's.
fn computed(
    record: &RunRecord,
    trial: &Trial,
    args: &AttendArgs,
    head: Head,
) -> Result<(Vec<String>, Vec<f64>)> {
    let (device, _) = prepare(&args.machine)?;
    let plan = RunPlan::resolve_again(&record.settings, &record.identity, args.model(), &device)?;
    warn(&plan.warnings);
    tell("running the trial again for its per-token attention");
    let spec = plan.model.spec();
    head.check(spec)?;
    // Before the prompt is built: its length is a number out of a file.
    plan.check_memory()?;
    let prompt = plan.prompts.build(trial, &plan.tokenizer, &mut plan.prompts.haystack_tokens(trial))?;
    let mut model = plan.load()?;
    let never = AtomicBool::new(false);
    let context = plan.context(false)?;
    let (_, capture) = run_one(&context, trial, &prompt, head.chosen(), &mut model, &mut Silent, &never)?;
    let texts = plan.tokenizer.token_texts(&prompt.tokens)?;
    Ok((texts, head.row(&capture)?))
}

fn of_text(file: &Path, args: &AttendArgs, head: Head) -> Result<Prompt> {
    check_needles(args, head)?;
    let text = read_text(file)?;
    let (device, _) = prepare(&args.machine)?;
    let plan = TextPlan::resolve(&args.choice(), &device)?;
    warn(plan.warnings());
    let query = args.query.as_deref().unwrap_or_default();
    head.check(plan.spec())?;
    let prompt = plan.prompt(&text, query, &args.needle)?;
    if let Some(warning) = plan.check_length(prompt.tokens.len() + ANSWER_BUDGET)? {
        tell(format_args!("warning: {warning}"));
    }
    let needles = prompt.needles;
    let request = Request {
        tokens: &prompt.tokens,
        thinking: None,
        answer: &[],
        max_new_tokens: ANSWER_BUDGET,
        end_tokens: &plan.end_tokens(),
        spans: &[needles.clone(), Vec::new()],
        scored: std::slice::from_ref(&needles),
        items: &[],
        chosen_head: head.chosen(),
        keep_keys: false,
        forks: &[],
        blocked: None,
    };
    let completion = plan.model.load()?.complete(request, &mut |_| true)?;
    let masses = head.row(&completion.attention)?;
    let texts = plan.tokenizer.token_texts(&prompt.tokens)?;
    let needle_tokens = needles.iter().map(ExactSizeIterator::len).sum();
    let heads = match needles.is_empty() {
        true => Vec::new(),
        false => attention_rows(("", "text"), needle_tokens, prompt.tokens.len(), &completion.attention),
    };
    let answer = plan.tokenizer.decode_plain(&completion.tokens)?;
    Ok(Prompt {
        warnings: Vec::new(),
        title: vec![
            format!(
                "{}, {}{}: {} tokens of {}",
                plan.model.choice.name,
                plan.model.describe_variant(),
                plan.model.choice.rounding(),
                prompt.tokens.len(),
                file.display()
            ),
            format!("the model goes on {:?}", answer.trim()),
            format!("attention of the last token, {}", head.describe()),
        ],
        ran: json!({
            "model": plan.model.choice.name,
            "variant": plan.model.variant.name(),
            "text": file,
            "query": query,
            "needles": args.needle,
            "model_response": answer,
            "attention_of": head.describe(),
        }),
        tokens: shade(texts.into_iter().zip(masses), &Parts::of_needles(&needles)),
        heads,
    })
}

/// Refuses what is asked about needles where there are none.
fn check_needles(args: &AttendArgs, head: Head) -> Result<()> {
    let expected = "a --needle beside it, or no such flag: without one no head has a needle mass";
    match (args.needle.is_empty(), args.top) {
        (true, Some(top)) => Err(Error::invalid("--top", top, expected)),
        (true, None) if head == Head::Top => Err(Error::invalid("--head", "top", expected)),
        _ => Ok(()),
    }
}

/// Tokens generated behind a text of the user's own.
const ANSWER_BUDGET: usize = 32;

/// Bytes of a text that is given as a file, at most: tens of times what any model reads.
const MOST_TEXT: u64 = 64 << 20;

fn read_text(file: &Path) -> Result<String> {
    let text = if file == Path::new("-") {
        let mut text = String::new();
        std::io::stdin().read_to_string(&mut text).map(|_| files::without_mark(text))
    } else {
        files::read_text(file, MOST_TEXT)
    };
    let text = text.map_err(|error| {
        Error::file(file, format!("cannot read: {error}; give --text a file of UTF-8 text, or - for stdin"))
    })?;
    if text.trim().is_empty() {
        return Err(Error::file(file, "the text is empty; give --text a file with text in it"));
    }
    Ok(text)
}

fn shade(tokens: impl Iterator<Item = (String, f64)>, parts: &Parts) -> Vec<ShadedToken> {
    let shaded = tokens.enumerate().map(|(position, (text, mass))| {
        let (part, in_value) = parts.at(position);
        ShadedToken { text: printable::shortened(&text).into_owned(), mass, part, in_value }
    });
    shaded.collect()
}
