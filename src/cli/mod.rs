//! What a user may type, and its help. Names that are choices are checked against the tables of [`crate::registry`].

mod comparison;
mod experiment;
mod grid;
mod help;
mod listing;
mod measuring;
mod model;
mod naming;
mod shells;
mod texts;
mod training;
mod values;
mod viewing;

use clap::parser::ValueSource;
use clap::{ArgAction, ArgMatches, Args, CommandFactory, Parser, Subcommand, ValueEnum};

use self::values::named;
use crate::export::palette::PALETTES;
use crate::export::style::ColorChoice;

pub use comparison::{CompareArgs, DemoArgs};
pub use experiment::ExperimentArgs;
pub use grid::{GridArgs, PromptsArgs, RunArgs};
pub use listing::{InspectArgs, ListArgs};
pub use measuring::{BenchArgs, LogitsArgs, LossArgs, TokenArgs};
pub use model::{AttentionArgs, ChatArgs, CheckpointArgs, MachineArgs, ModelArgs};
pub use naming::{with_flags, with_typed_flag};
pub use shells::{CompletionsArgs, ManArgs};
pub use texts::join_texts;
pub use training::{SaveDtype, TrainArgs, TrainedFamily};
pub use viewing::{AttendArgs, Attended, By, ViewArgs};

/// Needle-in-a-haystack evaluation: retrieval and attention on the same cells
#[derive(Debug, Parser)]
#[command(
    name = "niah",
    version,
    about,
    max_term_width = 110,
    before_help = "\
Examples:
  niah demo
  niah run model.gguf --context-lengths 4k,8k -o out/model",
    after_long_help = "Exit codes: 0 ok, 1 run failed, 2 usage or configuration."
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
    /// Compare two runs, or two models, on identical prompts
    Compare(Box<CompareArgs>),
    /// See Softmax, Scalable-Softmax and Multiscreen side by side
    Demo(DemoArgs),
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
    /// They begin with = + - @, tab or return; numbers stay.
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
    let Some((_, typed)) = matches.subcommand() else { return false };
    let given = |id: &str| typed.try_contains_id(id).ok();
    let absent = |id: &str| given(id) == Some(false);
    // `niah attend` needs one for a text alone.
    absent("model") && (absent("checkpoint") || (absent("place") && given("text") == Some(true)))
}

#[cfg(test)]
mod tests {
    use clap::FromArgMatches;
    use clap::error::ErrorKind;

    use super::*;

    fn matches(line: &str) -> Result<ArgMatches, clap::Error> {
        command().try_get_matches_from(line.split(' '))
    }

    /// What was typed, by the names that flags have here.
    fn typed(line: &str) -> Vec<(String, String)> {
        given_flags(&matches(line).unwrap_or_else(|error| panic!("{line}: {error}")))
    }

    #[test]
    fn a_flag_that_would_hide_another_is_refused() {
        for (line, flag) in [
            ("niah run --needle a --needle b", "--needle"),
            ("niah run --needle a --question b --retrieval-question c", "--question"),
            ("niah run --trials 1 -n 2", "--trials"),
            ("niah run -m a --model b", "--model"),
            ("niah run --dry-run --dry-run", "--dry-run"),
            ("niah loss --context-length 4k --context-lengths 8k", "--context-length"),
            ("niah compare a b --system-instruction=a --system-instruction=b", "--system-instruction"),
            ("niah train -o out --steps 1 --steps 2", "--steps"),
            ("niah list --output-format json --output-format table", "--output-format"),
        ] {
            let error = matches(line).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::ArgumentConflict, "{line}: {error}");
            let said = error.to_string();
            assert!(said.contains(flag) && said.contains("cannot be used multiple times"), "{line}: {said}");
        }
        let passages = typed("niah attend --text t --query q --needle a --needle b");
        assert!(passages.contains(&("--needle".to_string(), "a,b".to_string())));
    }

    #[test]
    fn a_task_and_a_needle_of_ones_own_exclude_each_other() {
        for flag in ["--needle", "--question", "--answer"] {
            for task in ["--task", "--preset", "--tasks"] {
                let error = matches(&format!("niah run {task} magic {flag} x")).unwrap_err();
                assert_eq!(error.kind(), ErrorKind::ArgumentConflict, "{task} {flag}: {error}");
            }
        }
    }

    #[test]
    fn flags_of_other_programs_and_old_ones_mean_the_same() {
        for (other, own) in [
            // gkamradt's
            (
                "run --model_name m --haystack_dir d --context_lengths_min 1k --context_lengths_max 4k \
                 --context_lengths_num_intervals 3 --document_depth_percent_intervals 5 \
                 --document_depth_percent_interval_type sigmoid",
                "run --model m --haystack d --context-lengths-min 1k --context-lengths-max 4k \
                 --context-lengths-num 3 --depths-num 5 --depth-spacing sigmoid",
            ),
            (
                "run --needle n --retrieval_question q --answer n --context_lengths 1k --document_depth_percents 0,50",
                "run --needle n --question q --answer n --context-lengths 1k --depths 0,50",
            ),
            // inspect's
            (
                "run --min_context 1k --max_context 4k --n_contexts 4 --n_positions 3 --n_runs 2 --max-tokens 8 \
                 --system-message s",
                "run --context-lengths-min 1k --context-lengths-max 4k --context-lengths-num 4 --depths-num 3 \
                 --trials 2 --max-new-tokens 8 --system-instruction s",
            ),
            // lm-eval's
            (
                "run --model m --tasks magic --output_path o --limit 3 --apply_chat_template --system_instruction s \
                 --max_gen_toks 8 --seed 1 --device cpu",
                "run --model m --task magic --output o --limit 3 --apply-chat-template --system-instruction s \
                 --max-new-tokens 8 --seed 1 --device cpu",
            ),
            // Old ones, and one where several are meant or the other way round
            (
                "run --preset magic --context-length 1k --depth 50",
                "run --task magic --context-lengths 1k --depths 50",
            ),
            ("view out --length 1k --depths 50", "view out --context-length 1k --depth 50"),
            ("attend out --length 1k", "attend out --context-length 1k"),
            ("loss --context-lengths 1k", "loss --context-length 1k"),
            ("bench --context-length 1k", "bench --context-lengths 1k"),
            ("inspect --length 1k", "inspect --context-lengths 1k"),
            ("train -o o --context-lengths 128 --model m", "train -o o --context-length 128 --init m"),
            ("experiment ssmax -o o --context-lengths 128", "experiment ssmax -o o --context-length 128"),
        ] {
            let dashed: Vec<String> = other.split_whitespace().map(with_dashes).collect();
            let own: Vec<&str> = own.split_whitespace().collect();
            let (other, own) = (format!("niah {}", dashed.join(" ")), format!("niah {}", own.join(" ")));
            assert_eq!(typed(&other), typed(&own), "{other}");
        }
        // They stand in no help.
        for command in command().get_subcommands() {
            for arg in command.get_arguments() {
                assert!(
                    arg.get_visible_aliases().is_none_or(|visible| visible.is_empty()),
                    "{}",
                    arg.get_id()
                );
            }
        }
    }

    #[test]
    fn a_model_is_named_with_a_flag_or_without_one_by_every_command_that_takes_one() {
        let model = |line: &str| {
            let cli = Cli::from_arg_matches(&matches(line).unwrap()).unwrap();
            match &cli.command {
                Command::Run(args) => args.model.checkpoint.name().to_string(),
                Command::Prompts(args) => args.model.checkpoint.name().to_string(),
                Command::Logits(args) => args.checkpoint.name().to_string(),
                Command::Loss(args) => args.checkpoint.name().to_string(),
                Command::Bench(args) => args.checkpoint.name().to_string(),
                Command::Inspect(args) => args.checkpoint.name().to_string(),
                Command::Attend(args) => args.model_for_text().to_string(),
                Command::Train(args) => args.init().unwrap().to_string(),
                Command::Compare(args) => format!("{}{}", args.a(), args.b()),
                _ => panic!("{line} takes no model"),
            }
        };
        for command in [
            "run",
            "prompts",
            "logits --ids 1 -o o",
            "loss",
            "bench",
            "inspect",
            "attend --text t --query q",
            "train -o o",
        ] {
            assert_eq!(model(&format!("niah {command} m")), "m");
            assert_eq!(model(&format!("niah {command} -m m")), "m");
            assert_eq!(model(&format!("niah {command} --model=m")), "m");
        }
        for (line, sides) in [("a b", "ab"), ("-m m", "mm"), ("a -m m", "am")] {
            assert_eq!(model(&format!("niah compare {line}")), sides);
        }
        for (line, told) in [
            ("run", true),
            ("inspect", true),
            ("attend --text t --query q", true),
            ("run m", false),
            ("run -m m", false),
            ("attend out", false),
            ("attend m --text t --query q", false),
            ("train -o o", false),
            ("list", false),
        ] {
            assert_eq!(takes_default_checkpoint(&matches(&format!("niah {line}")).unwrap()), told, "{line}");
        }
    }
}
