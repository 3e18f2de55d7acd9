//! What `--dry-run` says: what a plan takes, and with `--precision` how many trials it should have.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::warn;
use crate::error::{Error, Result};
use crate::plan::{DryRun, Settings};
use crate::report::needed::NeededTrials;
use crate::store::directory::RUN_JSON;
use crate::store::stored::StoredRun;

/// What is said of a plan.
#[derive(Serialize)]
pub(super) struct Dry {
    /// What it takes.
    #[serde(flatten)]
    pub(super) plan: DryRun,
    /// Trials that intervals of a wanted width take.
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<NeededTrials>,
}

impl Dry {
    /// Of a plan with these settings that would run into `place`, where trials of it may lie.
    ///
    /// # Errors
    /// When the run there is damaged, or no run has intervals of this width.
    pub(super) fn of(
        plan: DryRun,
        precision: Option<f64>,
        settings: &Settings,
        place: Option<&Path>,
    ) -> Result<Self> {
        let Some(half_width) = precision else { return Ok(Self { plan, precision: None }) };
        let run = place.filter(|place| place.join(RUN_JSON).exists());
        let run = run.map(|place| Ok::<_, Error>((place, StoredRun::read(place)?))).transpose()?;
        let of_the_plan = run.filter(|(place, run)| {
            let same = Settings {
                grid: settings.grid.clone(),
                trials: settings.trials,
                ..run.record.settings.clone()
            };
            let fits = same == *settings;
            if !fits {
                let place = place.display();
                warn(&[format!("the run in {place} has other settings, and says nothing of this one")]);
            }
            fits
        });
        let measured = of_the_plan.as_ref().map(|(place, run)| {
            warn(&run.warnings);
            (place.display().to_string(), run.outcomes.as_slice())
        });
        let measured = measured.as_ref().map(|(place, outcomes)| (place.as_str(), *outcomes));
        let precision = NeededTrials::of(&plan, half_width, measured)?;
        Ok(Self { plan, precision: Some(precision) })
    }
}

impl fmt::Display for Dry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)?;
        self.precision.as_ref().map_or(Ok(()), |precision| precision.fmt(f))
    }
}

/// What is said of a plan that a server answers.
#[derive(Serialize)]
pub(super) struct ServedDry {
    /// The model, by the server's name.
    pub(super) model: String,
    /// The server's address.
    pub(super) endpoint: String,
    /// Name of the task.
    pub(super) task: &'static str,
    /// Prompts of the plan, or of the part of it.
    pub(super) prompts: usize,
    /// Those that a limit lets be asked now.
    pub(super) prompts_now: usize,
    /// Tokens of all of them at most, their answers among them.
    pub(super) tokens_at_most: usize,
    /// Whether lengths are counted with the model's own tokenizer.
    pub(super) exact: bool,
    /// Requests that see whether lengths are read whole.
    pub(super) length_checks: usize,
    /// Requests at a time.
    #[serde(skip)]
    pub(super) concurrency: usize,
}

impl fmt::Display for ServedDry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { model, endpoint, task, prompts, prompts_now, tokens_at_most, .. } = self;
        writeln!(
            f,
            "{model} at {endpoint}, task {task}: {prompts} prompts ({prompts_now} now) of {tokens_at_most} tokens at \
             most with their answers, {} at a time, and before them {} that see whether lengths are read whole",
            self.concurrency, self.length_checks
        )
    }
}

/// What is said of a plan, whoever answers it.
#[derive(Serialize)]
#[serde(untagged)]
pub(super) enum AnyDry {
    /// A checkpoint.
    Here(Box<Dry>),
    /// A server.
    There(ServedDry),
}

impl AnyDry {
    /// What several plans take together, in words.
    pub(super) fn sum(runs: &[Self]) -> String {
        let here = runs.iter().filter_map(|run| match run {
            Self::Here(run) => Some(run.plan.clone()),
            Self::There(_) => None,
        });
        let there: Vec<&ServedDry> = runs
            .iter()
            .filter_map(|run| match run {
                Self::There(run) => Some(run),
                Self::Here(_) => None,
            })
            .collect();
        if there.is_empty() {
            return DryRun::sum(&here.collect::<Vec<_>>());
        }
        let sum = |count: fn(&ServedDry) -> usize| there.iter().map(|run| count(run)).sum::<usize>();
        format!(
            "{} tasks, {} prompts of {} tokens at most with their answers",
            there.len(),
            sum(|run| run.prompts),
            sum(|run| run.tokens_at_most)
        )
    }
}

impl fmt::Display for AnyDry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Here(run) => run.fmt(f),
            Self::There(run) => run.fmt(f),
        }
    }
}

/// As JSON.
///
/// # Errors
/// [`Error::Message`] when a number is none that JSON has.
pub(super) fn json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    Ok(text.map_err(|error| Error::Message(format!("JSON: {error}")))? + "\n")
}
