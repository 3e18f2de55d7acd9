//! What a user may type, and its help. Names that are choices are checked against the tables of [`crate::registry`].

mod comparison;
mod experiment;
mod grid;
mod listing;
mod measuring;
mod model;
mod naming;
mod texts;
mod training;
mod values;
mod viewing;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use crate::export::style::ColorChoice;

pub use comparison::{CompareArgs, DemoArgs};
pub use experiment::ExperimentArgs;
pub use grid::{GridArgs, PromptsArgs, RunArgs};
pub use listing::{InspectArgs, ListArgs};
pub use measuring::{BenchArgs, LogitsArgs, LossArgs, TokenArgs};
pub use model::{AttentionArgs, ChatArgs, MachineArgs, ModelArgs};
pub use naming::{with_flags, with_typed_flag};
pub use texts::join_texts;
pub use training::{SaveDtype, TrainArgs, TrainedFamily};
pub use viewing::{AttendArgs, By, ViewArgs};

/// Needle-in-a-haystack evaluation: retrieval and attention on the same cells.
#[derive(Debug, Parser)]
#[command(name = "niah", version, about, max_term_width = 110, args_override_self = true)]
#[command(after_help = "Exit codes: 0 ok, 1 run failed, 2 usage or configuration.")]
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
    /// Run a depth x length grid on a checkpoint; draw accuracy and the attention mass on the needle
    Run(Box<RunArgs>),
    /// Draw the stored results of a run again
    View(ViewArgs),
    /// Compare two runs, or run two models, on identical prompts: where they differ, and whether by chance
    Compare(Box<CompareArgs>),
    /// See Softmax, Scalable-Softmax and Multiscreen side by side: three small checkpoints on the same prompts, to 16 times their training length
    Demo(DemoArgs),
    /// Show a prompt with every token shaded by the attention it received
    Attend(Box<AttendArgs>),
    /// Write the prompts of a plan as JSONL, without running a model
    Prompts(Box<PromptsArgs>),
    /// Write the logits of every position, and attention, as safetensors: to check a port against
    Logits(Box<LogitsArgs>),
    /// Measure the mean loss of text by position, to far past the training length
    Loss(Box<LossArgs>),
    /// Measure how fast a checkpoint reads and writes on this machine, and where the time goes
    Bench(Box<BenchArgs>),
    /// Train a small decoder from scratch, or a checkpoint further, on needles and key-value lines
    Train(Box<TrainArgs>),
    /// Repeat a paper's claims in miniature: train, measure and write a report, or measure the checkpoints that are shipped
    Experiment(ExperimentArgs),
    /// Print what a checkpoint is and the memory it needs; reads headers only
    Inspect(InspectArgs),
    /// List what can be named: variants, families, architectures, checkpoints, tasks, haystacks, sequences, scorers, experiments, exporters
    List(ListArgs),
}

/// How output is drawn.
#[derive(Debug, Clone, Args)]
pub struct Drawing {
    /// Colours: auto (a terminal, NO_COLOR unset), always, never
    #[arg(long, global = true, value_enum, default_value = "auto", help_heading = "Drawing")]
    pub color: Color,
    /// Use ASCII characters alone
    #[arg(long, global = true, help_heading = "Drawing")]
    pub ascii: bool,
    /// Palette of heatmaps: rag (red, yellow, green) or viridis (colour-blind safe)
    #[arg(long, global = true, default_value = "rag", help_heading = "Drawing")]
    pub palette: String,
    /// Width of drawings in columns [default: the terminal's, or 100]
    #[arg(long, global = true, help_heading = "Drawing")]
    pub width: Option<usize>,
    /// In CSV on stdout put ' before texts that a spreadsheet would take for a formula (= + - @, tab, return); numbers stay
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
    Cli::command().mut_subcommands(|command| command.mut_args(numbers))
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

/// Whether a flag takes a value, by its long name; `None` when `niah COMMAND` has no such flag.
#[must_use]
pub fn takes_value(command: &clap::Command, flag: &str) -> Option<bool> {
    let arg = command.get_arguments().find(|arg| {
        arg.get_long() == Some(flag)
            || arg.get_visible_aliases().is_some_and(|aliases| aliases.contains(&flag))
    })?;
    Some(!matches!(arg.get_action(), ArgAction::SetTrue | ArgAction::SetFalse))
}

/// The flags of a command that were typed, or stood in its configuration file, with their values; not those of [`Drawing`].
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

/// Whether a command that needs a checkpoint was given none, so that it uses [`crate::checkpoint::DEFAULT_CHECKPOINT`].
#[must_use]
pub fn takes_default_checkpoint(matches: &ArgMatches) -> bool {
    matches.subcommand().is_some_and(|(_, command)| {
        matches!(command.try_contains_id("model"), Ok(true))
            && command.value_source("model") == Some(ValueSource::DefaultValue)
    })
}
