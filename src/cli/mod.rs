//! What a user may type, and its help. Names that are choices are checked against the tables of
//! [`crate::registry`].

mod comparison;
mod endpoint;
mod experiment;
mod fading;
mod form;
mod gating;
mod grid;
mod heads;
mod help;
mod importing;
mod listing;
mod masking;
mod measuring;
mod merging;
mod model;
mod naming;
mod scoring;
mod shells;
#[cfg(test)]
mod tests;
mod texts;
mod training;
mod values;
mod verdict;
mod viewing;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use self::values::named;
use crate::export::palette::PALETTES;
use crate::export::style::ColorChoice;

pub use comparison::{CompareArgs, DemoArgs};
pub use endpoint::EndpointArgs;
pub use experiment::ExperimentArgs;
pub use fading::FadeArgs;
pub use form::{Export, FormArgs, TellingArgs};
pub use gating::GateArgs;
pub use grid::{GridArgs, PromptsArgs, RunArgs};
pub use heads::HeadsArgs;
pub use importing::ImportArgs;
pub use listing::{InspectArgs, ListArgs};
pub use masking::MaskArgs;
pub use measuring::{BenchArgs, LogitsArgs, LossArgs, TokenArgs};
pub use merging::MergeArgs;
pub use model::{AttentionArgs, ChatArgs, CheckpointArgs, MachineArgs, ModelArgs};
pub use naming::{with_flags, with_typed_flag};
pub use scoring::{ScoreArgs, ScoringArgs};
pub use shells::{CompletionsArgs, ManArgs};
pub use texts::join_texts;
pub use training::{SaveDtype, TrainArgs, TrainedFamily};
pub use verdict::RuleArgs;
pub use viewing::{AttendArgs, Attended, By, FindingChoice, ViewArgs};

/// Needle-in-a-haystack evaluation: retrieval and attention on the same cells
#[derive(Debug, Parser)]
#[command(
    name = "niah",
    version,
    about,
    max_term_width = 110,
    before_help = "  niah demo
  niah run model.gguf --context-lengths 4k,8k -o out/model",
    after_long_help = "Exit codes: 0 ok, 1 run failed or gate not met, 2 usage or configuration, 130 stopped by Ctrl-C.\n\n\
Environment: NIAH_PALETTE, NIAH_COLOR, NIAH_ASCII, NIAH_WIDTH, NIAH_CSV_SAFE, NIAH_OUTPUT_FORMAT,\n\
NIAH_DEVICE and NIAH_THREADS stand in the place of the flags of these names. NIAH_CPU=scalar, avx2, avx512,\n\
avx512-bf16 or amx keeps kernels to these instructions, for tests and measurements."
)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
    /// How to draw.
    #[command(flatten)]
    pub drawing: Drawing,
}

/// What `niah` can do.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a grid of lengths and depths: accuracy, and attention
    Run(Box<RunArgs>),
    /// Draw the stored results of a run again
    View(ViewArgs),
    /// Score the stored answers of a run again, without its model
    Score(ScoreArgs),
    /// Make a run of the results of lm-eval, inspect and others
    Import(ImportArgs),
    /// Join the runs of the parts of a plan
    Merge(MergeArgs),
    /// Compare runs, or models, on identical prompts
    Compare(Box<CompareArgs>),
    /// Measure how attention fades with the context, by rule
    Fade(Box<FadeArgs>),
    /// Pass or fail a stored run: accuracy, effective length, drop
    Gate(GateArgs),
    /// See Softmax, Scalable-Softmax and Multiscreen side by side
    Demo(DemoArgs),
    /// Find retrieval heads, and whether they are always the same
    Heads(Box<HeadsArgs>),
    /// Show a prompt with every token shaded by its attention
    Attend(Box<AttendArgs>),
    /// Write the prompts of a plan as JSONL, without a model
    Prompts(Box<PromptsArgs>),
    /// Write logits and attention as safetensors, to check a port
    Logits(Box<LogitsArgs>),
    /// Measure the mean loss of text by position
    Loss(Box<LossArgs>),
    /// Measure how fast a checkpoint runs on this machine
    Bench(Box<BenchArgs>),
    /// Train a small model from scratch, or a checkpoint further
    Train(Box<TrainArgs>),
    /// Repeat a paper's claims in miniature, and report
    Experiment(ExperimentArgs),
    /// Print what a checkpoint is and the memory it needs
    Inspect(InspectArgs),
    /// List what can be named: variants, tasks, families and so on
    List(ListArgs),
    /// Write a shell's completions to stdout
    Completions(CompletionsArgs),
    /// Write the manual page to stdout
    Man(ManArgs),
}

/// How output is drawn.
#[derive(Debug, Clone, Args)]
pub struct Drawing {
    /// When to use colours
    #[arg(long, global = true, value_enum, default_value = "auto", help_heading = "Drawing")]
    pub color: Color,
    /// Use ASCII characters alone
    #[arg(long, global = true, help_heading = "Drawing")]
    pub ascii: bool,
    /// Palette of heatmaps
    #[arg(
        long,
        global = true,
        value_parser = named(PALETTES),
        default_value = PALETTES[0].name,
        help_heading = "Drawing"
    )]
    pub palette: String,
    /// Width of drawings in columns [default: the terminal's, or 100]
    #[arg(long, global = true, help_heading = "Drawing")]
    pub width: Option<usize>,
    /// In CSV on stdout put ' before texts that a spreadsheet would take for a formula
    ///
    /// They begin with = + - @ or a tab; numbers stay.
    #[arg(long, global = true, help_heading = "Drawing")]
    pub csv_safe: bool,
}

/// When to use colours.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub enum Color {
    /// On a terminal, unless NO_COLOR is set
    Auto,
    /// Even into a file or pipe
    Always,
    /// Not at all
    Never,
}

impl From<Color> for ColorChoice {
    fn from(color: Color) -> Self {
        match color {
            Color::Auto => Self::Auto,
            Color::Always => Self::Always,
            Color::Never => Self::Never,
        }
    }
}

/// The command line as it is parsed: `-1` behind a flag is its value, so that the message names the flag.
#[must_use]
pub fn command() -> clap::Command {
    let numbers = |arg: clap::Arg| {
        let takes_value = arg.get_long().is_some() && arg.get_action().takes_values();
        arg.allow_negative_numbers(takes_value)
    };
    help::laid_out(Cli::command()).mut_subcommands(|command| command.mut_args(numbers))
}

/// The same with the commands that short help names in one line among the others, for manuals and shells.
#[must_use]
pub fn with_every_command() -> clap::Command {
    command().mut_subcommands(|command| command.hide(false))
}

/// A command line of a test.
#[cfg(test)]
pub(crate) fn parsed(words: &[&str]) -> Cli {
    Cli::parse_from(words)
}

/// `_` is accepted for `-` in the names of flags.
#[must_use]
pub fn with_dashes(argument: &str) -> String {
    match argument.split_once('=') {
        Some((name, value)) if name.starts_with("--") => format!("{}={value}", name.replace('_', "-")),
        None if argument.starts_with("--") => argument.replace('_', "-"),
        _ => argument.to_string(),
    }
}

/// Every name of a flag, old and other spellings too, without dashes.
pub fn names(arg: &clap::Arg) -> impl Iterator<Item = &str> {
    arg.get_long().into_iter().chain(arg.get_all_aliases().into_iter().flatten())
}

/// Whether a flag takes a value, by any of its names; `None` when `niah COMMAND` has no such flag.
#[must_use]
pub fn takes_value(command: &clap::Command, flag: &str) -> Option<bool> {
    let arg = command.get_arguments().find(|arg| names(arg).any(|name| name == flag))?;
    Some(!matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse))
}

/// The flags of a command that were typed, or stood in its configuration file, with their values; not those
/// of [`Drawing`].
#[must_use]
pub fn given_flags(matches: &ArgMatches) -> Vec<(String, String)> {
    let Some((name, typed)) = matches.subcommand() else { return Vec::new() };
    let command = Cli::command();
    let arguments = command.find_subcommand(name).into_iter().flat_map(clap::Command::get_arguments);
    let flag = |arg: &clap::Arg| {
        let id = arg.get_id().as_str();
        let given = typed.value_source(id) == Some(ValueSource::CommandLine);
        let long = arg.get_long().filter(|_| given)?;
        let values = typed.get_raw(id)?.map(|value| value.to_string_lossy()).collect::<Vec<_>>();
        Some((format!("--{long}"), values.join(",")))
    };
    arguments.filter_map(flag).collect()
}

/// Whether a command that needs a checkpoint was given none, so that it uses
/// [`crate::checkpoint::DEFAULT_CHECKPOINT`].
#[must_use]
pub fn takes_default_checkpoint(matches: &ArgMatches) -> bool {
    let Some((name, typed)) = matches.subcommand() else { return false };
    let command = Cli::command();
    let takes = |id: &str| {
        let mut arguments = command.find_subcommand(name).into_iter().flat_map(clap::Command::get_arguments);
        arguments.any(|argument| argument.get_id() == id)
    };
    // What a command does not take, an optimised build of clap tells of as not given.
    let given = |id: &str| takes(id).then(|| typed.contains_id(id));
    let absent = |id: &str| given(id) == Some(false);
    // A server has models of its own, and so has a list.
    if ["endpoint", "models"].iter().any(|id| given(id) == Some(true)) {
        return false;
    }
    // `niah attend` needs one for a text alone.
    absent("model") && (absent("checkpoint") || (absent("place") && given("text") == Some(true)))
}
