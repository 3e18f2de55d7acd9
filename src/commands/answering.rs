//! Who answers the plans of a command: a checkpoint on this machine, or a server.

use std::cell::RefCell;
use std::path::Path;
use std::rc::Rc;

use candle_core::Device;

use super::dry::{AnyDry, Dry};
use super::kept::{Keeping, Kept, run_into};
use super::served::Asker;
use super::{machine_record, prepare};
use crate::cli::RunArgs;
use crate::error::Result;
use crate::evaluate::Evaluation;
use crate::plan::{RunPlan, ServedPlan, Settings};
use crate::store::directory::RunRecord;

/// Who answers.
pub(super) enum Answering<'a> {
    /// A checkpoint, on this device with so many threads.
    Here { args: &'a RunArgs, device: Device, threads: usize },
    /// A server.
    There { args: &'a RunArgs, asker: Rc<RefCell<Asker>> },
}

/// A plan that can run: its first prompts can be built.
pub(super) enum Planned<'a> {
    /// By a checkpoint.
    Here { args: &'a RunArgs, evaluation: Box<Evaluation>, threads: usize },
    /// By a server.
    There { args: &'a RunArgs, plan: Box<ServedPlan>, asker: Rc<RefCell<Asker>> },
}

impl<'a> Answering<'a> {
    /// Who answers what was typed.
    ///
    /// # Errors
    /// When the device cannot be opened, or the server cannot be asked so.
    pub(super) fn of(args: &'a RunArgs) -> Result<Self> {
        if args.endpoint.endpoint.is_some() {
            return Ok(Self::There { args, asker: Rc::new(RefCell::new(Asker::of(args)?)) });
        }
        let (device, threads) = prepare(&args.machine)?;
        Ok(Self::Here { args, device, threads })
    }

    /// The plan of these settings; `before` is where a run of its task may lie.
    ///
    /// # Errors
    /// When it cannot be made, or a prompt of it cannot be built.
    pub(super) fn plan(&self, settings: Settings, before: Option<&Path>) -> Result<Planned<'a>> {
        match self {
            Self::Here { args, device, threads } => {
                let plan = RunPlan::resolve(settings, device)?;
                let evaluation = Evaluation::new(plan, !args.no_prefix_sharing)?;
                let evaluation = evaluation.part(args.shard).keeping_retrieval(args.retrieval)?;
                Ok(Planned::Here { args, evaluation: Box::new(evaluation), threads: *threads })
            }
            Self::There { args, asker } => {
                let plan = asker.borrow_mut().plan(settings, before)?;
                plan.check_prompts()?;
                Ok(Planned::There { args, plan: Box::new(plan), asker: Rc::clone(asker) })
            }
        }
    }
}

impl Planned<'_> {
    /// What the user should know of it.
    pub(super) fn warnings(&self) -> Vec<String> {
        match self {
            Self::Here { evaluation, .. } => {
                [&evaluation.plan.warnings[..], &evaluation.plan.prompt_warnings].concat()
            }
            Self::There { plan, .. } => plan.warnings.clone(),
        }
    }

    /// A name of what answers, and what is masked of it, for a directory of these tasks.
    pub(super) fn directory_name(&self, tasks: &str) -> String {
        match self {
            Self::Here { evaluation, .. } => {
                let masked = evaluation.plan.settings.masking.file_name();
                format!("{}-{tasks}{masked}", evaluation.plan.model.file_name())
            }
            Self::There { plan, .. } => format!("{}-{tasks}", plan.file_name()),
        }
    }

    /// Name of its task.
    pub(super) fn task(&self) -> &'static str {
        match self {
            Self::Here { evaluation, .. } => evaluation.plan.prompts.task.name(),
            Self::There { plan, .. } => plan.prompts.task.name(),
        }
    }

    /// What `run.json` says of it.
    ///
    /// # Errors
    /// When the weights cannot be read.
    pub(super) fn record(&self) -> Result<RunRecord> {
        match self {
            Self::Here { args, evaluation, threads } => {
                evaluation.record(machine_record(&args.machine, *threads))
            }
            Self::There { args, plan, .. } => super::served::record_of(plan, args.shard),
        }
    }

    /// Runs the trials that `directory` lacks.
    ///
    /// # Errors
    /// As [`run_into`], and when the server does not answer as it is asked.
    pub(super) fn run_into(
        &self,
        directory: &Path,
        record: &RunRecord,
        keeping: &Keeping<'_>,
    ) -> Result<Kept> {
        match self {
            Self::Here { evaluation, .. } => run_into(directory, evaluation, record, keeping),
            Self::There { plan, asker, .. } => asker.borrow_mut().run_into(directory, plan, record, keeping),
        }
    }

    /// What it takes, of which at most `limit` trials run now into `place`.
    ///
    /// # Errors
    /// When the device fails, or the run that lies there is damaged.
    pub(super) fn dry(&self, limit: Option<usize>, place: Option<&Path>) -> Result<AnyDry> {
        match self {
            Self::Here { args, evaluation, .. } => {
                let (run, settings) = (evaluation.dry_run(limit)?, &evaluation.plan.settings);
                Ok(AnyDry::Here(Box::new(Dry::of(run, args.precision, settings, place)?)))
            }
            Self::There { plan, asker, .. } => Ok(AnyDry::There(asker.borrow().dry(plan, limit))),
        }
    }
}
