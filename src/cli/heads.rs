//! The command that looks for retrieval heads.

use std::path::PathBuf;

use clap::Args;

use super::help::first;
use super::masking::MaskArgs;
use super::model::{MachineArgs, ModelArgs};
use super::values::{choice, fraction, named};
use super::verdict::RuleArgs;
use super::{EndpointArgs, FormArgs, GridArgs, RunArgs, TellingArgs};
use crate::plan::{MASKS_BY, MaskBy};
use crate::report::retrieval::{HEAD_SCORES, HeadScore, THRESHOLD};
use crate::task::TASKS;
use crate::task::groups::GROUPS;

/// Tasks that heads are measured by, where none is named.
const DEFAULT_TASKS: &str = "magic,passkey,gkamradt";

/// Flags of `niah heads`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah heads out/model
  niah heads model.gguf --context-lengths 1k,2k -n 4 -o out/heads
  niah heads out/heads --score question --scores-to heads.json",
    mut_args(first(&["score", "context_lengths", "trials", "output"])),
    mut_arg("checkpoint", |arg| {
        arg.value_name("RUN|MODEL")
            .help("Directory of a run with --retrieval, or a checkpoint to measure [default: shipped:ssmax]")
            .long_help(
                "Directory of a run with --retrieval, or a checkpoint to measure [default: shipped:ssmax]\n\n\
                 A checkpoint runs the grid and keeps it, as niah run --retrieval does.",
            )
    }),
    mut_arg("trials", |arg| arg.default_value("4")),
    mut_arg("task", |arg| {
        let names = GROUPS.iter().rev().fold(named(TASKS), |names, group| names.and(group.name, group.about));
        arg.value_parser(names)
            .value_name("TASKS")
            .default_value(DEFAULT_TASKS)
            .help("Task preset, a group of them, or several with commas between them")
    })
)]
pub struct HeadsArgs {
    /// The checkpoint, or the directory of a run in its place.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The grid.
    #[command(flatten)]
    pub grid: GridArgs,
    /// Score that heads are ranked by
    #[arg(
        long,
        value_name = "NAME",
        value_parser = choice("head score", HEAD_SCORES),
        default_value = HEAD_SCORES[0].name,
        help_heading = "Heads"
    )]
    pub score: HeadScore,
    /// Score above which a head counts as a retrieval head
    #[arg(long, value_name = "SHARE", value_parser = fraction, default_value_t = THRESHOLD, help_heading = "Heads")]
    pub threshold: f64,
    /// Count every answer, and not those alone that are right
    #[arg(long, help_heading = "Heads")]
    pub all_answers: bool,
    /// Where the scores of every trial go, as other tools read them.
    #[arg(
        long,
        value_name = "FILE",
        help_heading = "Heads",
        help = "Also write the scores of every trial as {\"layer-head\": [scores]}, as other tools read them",
        long_help = None
    )]
    pub scores_to: Option<PathBuf>,
    /// Then mask so many of the best heads, and as many others, and ask again: 1,2,4,8
    ///
    /// The answers to the first task and to it without its needle, on the seed behind --seed, each in a run
    /// below masking/ of the results; one table and one figure show them against the number of masked heads.
    #[arg(
        long,
        value_name = "COUNTS",
        value_delimiter = ',',
        conflicts_with = "limit",
        help_heading = "Masking"
    )]
    pub masking: Vec<usize>,
    /// Choices of as many other heads
    #[arg(long, value_name = "N", default_value_t = 3, requires = "masking", help_heading = "Masking")]
    pub draws: usize,
    /// What stands in the place of the output of masked heads
    #[arg(
        long,
        value_name = "WHAT",
        value_parser = choice("mask", MASKS_BY),
        default_value = MASKS_BY[0].name,
        requires = "masking",
        help_heading = "Masking"
    )]
    pub mask_heads_by: MaskBy,
    /// Directory of the results
    ///
    /// The same command continues them.
    ///
    /// [default: niah-runs/MODEL-VARIANT-TASKS]
    #[arg(long, short, value_name = "DIR", alias = "output-path", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// The forms of the report.
    #[command(flatten)]
    pub form: FormArgs,
    /// How much is said.
    #[command(flatten)]
    pub telling: TellingArgs,
    /// Run at most this many trials now; the same command without it does the rest
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub limit: Option<usize>,
    /// Compute every prompt from its first token, instead of keeping what it shares with the one before it
    #[arg(long, help_heading = "Machine")]
    pub no_prefix_sharing: bool,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

impl HeadsArgs {
    /// The run that measures them.
    #[must_use]
    pub fn run(&self) -> RunArgs {
        RunArgs {
            model: self.model.clone(),
            models: None,
            grid: self.grid.clone(),
            masking: MaskArgs::default(),
            output: self.output.clone(),
            form: self.form.clone(),
            telling: self.telling.clone(),
            tokens: false,
            retrieval: true,
            limit: self.limit,
            shard: None,
            endpoint: EndpointArgs::default(),
            no_prefix_sharing: self.no_prefix_sharing,
            controls: Vec::new(),
            interactive: false,
            dry_run: false,
            precision: None,
            rule: RuleArgs::default(),
            fail_on_error: false,
            config: None,
            machine: self.machine.clone(),
        }
    }
}
