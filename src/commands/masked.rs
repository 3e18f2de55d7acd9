//! `niah heads --masking`: answers with the best heads masked, against answers with as many others masked.
//!
//! Each point is a run in a directory of its own, so that the same command goes on where it stopped. The runs
//! take the seed behind that of the ranking: a head that is chosen on the same prompts is chosen for them.

use std::path::PathBuf;

use candle_core::Device;
use serde_json::Value;

use super::kept::{Keeping, Kept, run_into};
use super::run::ended;
use super::warn;
use crate::error::{Error, Result};
use crate::evaluate::Evaluation;
use crate::plan::{MaskBy, MaskedHeads, Masking, RunPlan, Settings};
use crate::report::masked::{Masked, MaskedRuns, MaskingReport};
use crate::spec::HeadPlace;
use crate::task::{CONTROLS, Change};
use crate::trial::Outcome;

/// What is masked, and in what.
pub(super) struct Experiment<'a> {
    /// The run, with nothing masked.
    pub(super) plain: Settings,
    /// The heads, the best first.
    pub(super) ranking: Vec<HeadPlace>,
    /// How many are masked.
    pub(super) counts: Vec<usize>,
    /// Choices of as many others.
    pub(super) draws: usize,
    /// What stands in the place of their output.
    pub(super) by: MaskBy,
    /// Where the runs go.
    pub(super) directory: PathBuf,
    /// Whether prompts share what they begin with.
    pub(super) sharing: bool,
    /// How each is kept.
    pub(super) keeping: Keeping<'a>,
    /// What computes.
    pub(super) device: &'a Device,
    /// What `run.json` says of the machine.
    pub(super) machine: Value,
}

/// Heads to mask.
struct Choice {
    masked: Masked,
    heads: usize,
    draw: usize,
}

impl Choice {
    fn chosen(&self) -> Option<String> {
        match self.masked {
            Masked::None => None,
            Masked::Top => Some(format!("top:{}", self.heads)),
            Masked::Random => Some(format!("random:{}:{}", self.heads, self.draw)),
        }
    }

    fn name(&self) -> String {
        self.chosen().map_or(Masked::None.name().to_string(), |chosen| chosen.replace(':', "-"))
    }
}

/// The control that says how often the answer is given without the needle.
const CONTROL: &str = "no-needle";

impl Experiment<'_> {
    /// Runs what is not there yet; also returns what came of trials that failed.
    ///
    /// # Errors
    /// When a plan cannot be made, when results cannot be kept, or when the user stopped it.
    pub(super) fn run(&self) -> Result<(MaskingReport, Result<()>)> {
        let (mut runs, mut title, mut failed) = (Vec::new(), String::new(), Ok(()));
        let task = self.plain.make_task()?;
        let control = CONTROLS.iter().find(|entry| entry.name == CONTROL).map(|entry| entry.value);
        let refused = control.and_then(|control| Change::Control(control).refused_by(task.as_ref()));
        for choice in self.choices() {
            let mut parts = [Vec::new(), Vec::new()];
            for (part, control) in parts.iter_mut().zip([None, Some(CONTROL)]) {
                if control.is_some() && refused.is_some() {
                    continue;
                }
                let (outcomes, of, end) = self.one(&choice, control)?;
                *part = outcomes;
                failed = failed.and(end);
                if title.is_empty() {
                    title = of;
                }
            }
            let [task, no_needle] = parts;
            runs.push(MaskedRuns { masked: choice.masked, heads: choice.heads, task, no_needle });
        }
        let mut notes = vec![format!("seed {} of the masked runs", self.plain.seed)];
        notes.extend(refused.map(|why| format!("no false answers: task {} {why}", task.name())));
        Ok((MaskingReport { title, notes, runs }, failed))
    }

    /// Runs one point; returns its rows, its title, and what came of trials that failed.
    fn one(&self, choice: &Choice, control: Option<&str>) -> Result<(Vec<Outcome>, String, Result<()>)> {
        let heads = choice.chosen().map(|chosen| MaskedHeads {
            chosen,
            by: self.by,
            places: Vec::new(),
            ranking: self.ranking.clone(),
        });
        let settings = Settings {
            masking: Masking { heads, spans: None },
            control: control.map(str::to_string),
            ..self.plain.clone()
        };
        let evaluation = Evaluation::new(RunPlan::resolve(settings, self.device)?, self.sharing)?;
        let plan = &evaluation.plan;
        if choice.masked == Masked::None && control.is_none() {
            warn(&plan.warnings);
            warn(&plan.prompt_warnings);
            self.check_counts(plan.model.spec().head_places().count())?;
        }
        let record = evaluation.record(self.machine.clone())?;
        let title = record.title();
        let control = control.map_or(String::new(), |control| format!("-{control}"));
        let place = self.directory.join(format!("{}{control}", choice.name()));
        let Kept { store, ran, planned, .. } = run_into(&place, &evaluation, &record, &self.keeping)?;
        let end = ended(store.outcomes(), &ran, planned, false);
        Ok((store.outcomes().to_vec(), title, end))
    }

    /// Refuses more heads than have as many others beside them, before anything runs.
    fn check_counts(&self, heads: usize) -> Result<()> {
        let most = (heads / 2).min(self.ranking.len());
        match self.counts.iter().find(|&&count| count == 0 || count > most) {
            None => Ok(()),
            Some(count) => {
                let expected =
                    format!("1 to {most} heads: of {heads}, as many others are masked beside them");
                Err(Error::invalid("--masking", count, expected))
            }
        }
    }

    /// Nothing masked first, and then more and more heads.
    fn choices(&self) -> impl Iterator<Item = Choice> {
        let draws = self.draws;
        let of = move |&heads: &usize| {
            let random = (0..draws).map(move |draw| Choice { masked: Masked::Random, heads, draw });
            std::iter::once(Choice { masked: Masked::Top, heads, draw: 0 }).chain(random)
        };
        let none = Choice { masked: Masked::None, heads: 0, draw: 0 };
        std::iter::once(none).chain(self.counts.iter().flat_map(of))
    }
}
