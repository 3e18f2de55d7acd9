//! The grid and what is asked in it, and the commands that are one: `run` and `prompts`.

use std::path::PathBuf;
use std::str::FromStr;

use clap::{ArgAction, Args};

use super::help::first;
use super::masking::MaskArgs;
use super::model::{MachineArgs, ModelArgs};
use super::values::{choice, half_width, named};
use super::verdict::RuleArgs;
use super::{EndpointArgs, FormArgs, ScoringArgs, TellingArgs};
use crate::grid::{ContextLength, DEPTH_SPACINGS, Depth, DepthSpacing};
use crate::haystack::{HAYSTACKS, ORDERS, Order};
use crate::plan::Shard;
use crate::prompt::{ANSWER_PREFIXES, AnswerPrefix, SNAPS, Snap};
use crate::score::SCORERS;
use crate::split::{SPLITS, Split};
use crate::task::groups::GROUPS;
use crate::task::{CONTROLS, TASKS};

/// The grid and what is asked in it.
#[derive(Debug, Clone, Args)]
pub struct GridArgs {
    /// Prompt lengths [default: 1k,2k,4k]
    ///
    /// In tokens: 4k,8k or 4096 or 2^12. Everything counts: special tokens, template, haystack, needle,
    /// question and answer.
    #[arg(
        long,
        value_name = "LENGTHS",
        value_delimiter = ',',
        aliases = ["context-length", "lengths", "length"],
        help_heading = "Grid"
    )]
    pub context_lengths: Vec<ContextLength>,
    /// Shortest of evenly spaced lengths
    #[arg(
        long,
        value_name = "LENGTH",
        conflicts_with = "context_lengths",
        requires = "context_lengths_max",
        alias = "min-context",
        help_heading = "Grid"
    )]
    pub context_lengths_min: Option<ContextLength>,
    /// Longest of evenly spaced lengths
    #[arg(
        long,
        value_name = "LENGTH",
        conflicts_with = "context_lengths",
        requires = "context_lengths_min",
        alias = "max-context",
        help_heading = "Grid"
    )]
    pub context_lengths_max: Option<ContextLength>,
    /// Number of evenly spaced lengths
    #[arg(
        long,
        value_name = "N",
        default_value_t = 5,
        requires = "context_lengths_min",
        conflicts_with = "context_lengths",
        aliases = ["context-lengths-num-intervals", "n-contexts"],
        help_heading = "Grid"
    )]
    pub context_lengths_num: usize,
    /// Depths in % [default: 0,25,50,75,100]
    ///
    /// Where needles stand: 0 is the beginning of the haystack, 100 its end.
    #[arg(
        long,
        value_name = "PERCENTS",
        value_delimiter = ',',
        aliases = ["depth", "document-depth-percents"],
        help_heading = "Grid"
    )]
    pub depths: Vec<Depth>,
    /// Number of depths spaced from 0 to 100
    #[arg(
        long,
        value_name = "N",
        conflicts_with = "depths",
        aliases = ["document-depth-percent-intervals", "n-positions"],
        help_heading = "Grid"
    )]
    pub depths_num: Option<usize>,
    /// How depths are spread that --depths does not name
    #[arg(
        long,
        value_name = "HOW",
        value_parser = choice("spacing", DEPTH_SPACINGS),
        default_value = "linear",
        conflicts_with = "depths",
        alias = "document-depth-percent-interval-type",
        help_heading = "Grid"
    )]
    pub depth_spacing: DepthSpacing,
    /// Trials of each cell
    ///
    /// Each has needles of its own.
    #[arg(long, short = 'n', value_name = "N", default_value_t = 1, alias = "n-runs", help_heading = "Grid")]
    pub trials: usize,
    /// Seed of every random choice
    #[arg(long, default_value_t = 42, help_heading = "Grid")]
    pub seed: u64,
    /// Task preset
    #[arg(
        long,
        aliases = ["preset", "tasks"],
        value_parser = named(TASKS),
        default_value = TASKS[0].name,
        help_heading = "Task"
    )]
    pub task: String,
    /// A needle of your own, in place of a task; needs --question and --answer
    ///
    /// A TEXT that is also the name of a flag goes behind an equals sign.
    #[arg(long, value_name = "TEXT", conflicts_with = "task", help_heading = "Task")]
    pub needle: Option<String>,
    /// The question for --needle; without it, about what stands in a --haystack of your own
    ///
    /// The text is then read once, from its beginning, and whole where no --context-lengths cut it.
    #[arg(
        long,
        value_name = "TEXT",
        conflicts_with = "task",
        alias = "retrieval-question",
        help_heading = "Task"
    )]
    pub question: Option<String>,
    /// The part of --needle, or of the text, that answers --question: a word or number of its own there
    #[arg(long, value_name = "TEXT", conflicts_with = "task", help_heading = "Task")]
    pub answer: Option<String>,
    /// Needles of your own out of a file, in place of a task
    ///
    /// A table with commas or a JSON object a line, with the columns needle, question and answer, and where
    /// wanted kind (target, other, distractor, stale, hop-1, ..., answer-source), depth, and prompt, by which
    /// rows belong together. Trial i asks prompt i.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = ["task", "needle", "question", "answer"],
        help_heading = "Task"
    )]
    pub needles: Option<String>,
    /// Prompts of any benchmark out of a JSONL file, in place of a task and its grid
    ///
    /// Each line has prompt or messages and expected, and where wanted spans, id, context_length and scorer;
    /// the keys of RULER's files and of OpenAI's MRCR are understood. Prompts are put to the model as they
    /// are, each once.
    #[arg(
        long,
        value_name = "FILE",
        conflicts_with_all = [
            "task", "needle", "question", "answer", "needles", "context_lengths", "context_lengths_min",
            "context_lengths_max", "depths", "depths_num", "trials", "haystack", "split", "haystack_order",
            "distractors", "control", "snap",
        ],
        help_heading = "Task"
    )]
    pub prompts: Option<String>,
    /// Haystack: a name below, or a file or directory of text
    ///
    /// [default: the task's own]
    #[arg(
        long,
        value_name = "NAME|PATH",
        value_parser = named(HAYSTACKS),
        alias = "haystack-dir",
        help_heading = "Task"
    )]
    pub haystack: Option<String>,
    /// Part of the haystack's text and of the needles' values
    #[arg(
        long,
        value_name = "PART",
        value_parser = choice("part", SPLITS),
        default_value = "all",
        help_heading = "Task"
    )]
    pub split: Split,
    /// Order of the haystack's sentences
    #[arg(
        long,
        value_name = "ORDER",
        value_parser = choice("order", ORDERS),
        default_value = "text",
        help_heading = "Task"
    )]
    pub haystack_order: Order,
    /// Needles of the same form about something else, added over the whole haystack
    #[arg(long, value_name = "N", default_value_t = 0, help_heading = "Task")]
    pub distractors: usize,
    /// A control: what do answers say without the needle, or without the haystack?
    #[arg(long, value_name = "NAME", value_parser = named(CONTROLS), help_heading = "Task")]
    pub control: Option<String>,
    /// Where the haystack is cut
    #[arg(
        long,
        value_name = "WHERE",
        value_parser = choice("cut", SNAPS),
        default_value = "sentence",
        help_heading = "Task"
    )]
    pub snap: Snap,
    /// Scorer of the answers [default: the task's own]
    #[arg(long, value_parser = named(SCORERS), help_heading = "Task")]
    pub scorer: Option<String>,
    /// How answers are scored besides.
    #[command(flatten)]
    pub scoring: ScoringArgs,
    /// What the answer continues
    #[arg(
        long,
        value_name = "WORDS",
        value_parser = choice("answer prefix", ANSWER_PREFIXES),
        default_value = "task",
        help_heading = "Task"
    )]
    pub answer_prefix: AnswerPrefix,
    /// Tokens generated at most [default: the task's own budget]
    #[arg(long, value_name = "N", aliases = ["max-tokens", "max-gen-toks"], help_heading = "Task")]
    pub max_new_tokens: Option<usize>,
}

const SEVERAL_TASKS: &str = "\
Task preset, a group of them, or several with commas between them

Each of several runs in a directory of its own below that of the results, and one table shows all.";

impl GridArgs {
    /// Whether the question is about what stands in the haystack already.
    #[must_use]
    pub fn asks_about_haystack(&self) -> bool {
        let other = self.needle.is_some() || self.needles.is_some() || self.prompts.is_some();
        !other && (self.question.is_some() || self.answer.is_some())
    }
}

/// Flags of `niah run`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah run --split held-out --haystack synthetic --context-lengths 256,1k,4k
  niah run model.gguf --context-lengths 4k,8k,16k --trials 5 -o out/model
  niah run ORG/NAME --variant ssmax --dry-run",
    mut_args(first(&["context_lengths", "depths", "trials", "output", "dry_run"])),
    mut_arg("output_format", |arg| arg.help("What goes to stdout; of --dry-run, table or json")),
    mut_arg("model", |arg| arg.action(ArgAction::Append).help("The checkpoint, as a flag; several times, several of them")),
    mut_arg("task", |arg| {
        let names = GROUPS.iter().rev().fold(named(TASKS), |names, group| names.and(group.name, group.about));
        arg.value_parser(names)
            .value_name("TASKS")
            .help("Task preset, a group of them, or several with commas between them")
            .long_help(SEVERAL_TASKS)
    })
)]
pub struct RunArgs {
    /// The checkpoint.
    #[command(flatten)]
    pub model: ModelArgs,
    /// Several checkpoints: a file with one on each line, or a directory of them, as of the steps of a
    /// training
    ///
    /// Each runs the same plan into a directory of its own, and one table and one figure show all.
    #[arg(long, value_name = "FILE|DIR", conflicts_with_all = ["checkpoint", "model"], help_heading = "Model")]
    pub models: Option<PathBuf>,
    /// The grid.
    #[command(flatten)]
    pub grid: GridArgs,
    /// What is taken from the model.
    #[command(flatten)]
    pub masking: MaskArgs,
    /// Directory of the results
    ///
    /// The same command continues them.
    ///
    /// [default: niah-runs/MODEL-VARIANT-TASK]
    #[arg(long, short, value_name = "DIR", alias = "output-path", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// The forms of the report.
    #[command(flatten)]
    pub form: FormArgs,
    /// How much is said.
    #[command(flatten)]
    pub telling: TellingArgs,
    /// Also keep the attention mass of every prompt token, in tokens.csv
    #[arg(long, help_heading = "Output")]
    pub tokens: bool,
    /// Also keep what every head copies and looks for, in retrieval.csv, for niah heads
    #[arg(long, help_heading = "Output")]
    pub retrieval: bool,
    /// Run at most this many trials now; the same command without it does the rest
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub limit: Option<usize>,
    /// Run a part of the plan, the I-th of N, for so many machines; niah merge joins the parts
    ///
    /// Parts take about as long as one another, and prompts that share their beginning stay in one. Each has
    /// a directory of its own, and the same command continues it.
    #[arg(long, value_name = "I/N", value_parser = Shard::from_str, conflicts_with = "interactive", help_heading = "Output")]
    pub shard: Option<Shard>,
    /// Compute every prompt from its first token, instead of keeping what it shares with the one before it
    #[arg(long, help_heading = "Machine")]
    pub no_prefix_sharing: bool,
    /// Run the task with its controls, and print one table; the flag alone means all of them
    ///
    /// The task as it is, with distractors, in a shuffled haystack, and under every --control; each is kept
    /// in a directory of its own. --controls=no-needle,distractors runs these alone beside the task as it is.
    #[arg(
        long,
        value_name = "NAMES",
        value_delimiter = ',',
        num_args = 0..=1,
        default_missing_value = "all",
        require_equals = true,
        conflicts_with_all = ["control", "distractors", "haystack_order", "dry_run"],
        help_heading = "Output"
    )]
    pub controls: Vec<String>,
    /// Watch the run on a screen of its own: cells fill as they end, and keys lead to trials, prompts, heads
    ///
    /// q stops the run, or leaves the screen once it is over; ? lists the keys.
    #[arg(
        long,
        conflicts_with_all = ["controls", "dry_run", "quiet", "verbose"],
        help_heading = "Output"
    )]
    pub interactive: bool,
    /// Say what the run takes, and stop
    ///
    /// Cells, tokens, time and memory of the whole plan.
    #[arg(long, conflicts_with_all = ["export", "figure"], help_heading = "Output")]
    pub dry_run: bool,
    /// With --dry-run: also say how many trials give intervals that reach this far to either side
    ///
    /// Such as 0.05 or 5%, of the 95% interval of the accuracy, in all and of a cell: where half of the
    /// answers are right, which takes most, and as they are in the run that lies in the directory.
    #[arg(
        long,
        value_name = "SHARE",
        value_parser = half_width,
        requires = "dry_run",
        conflicts_with = "prompts",
        help_heading = "Output"
    )]
    pub precision: Option<f64>,
    /// The server that answers in the place of a checkpoint.
    #[command(flatten)]
    pub endpoint: EndpointArgs,
    /// How it is judged.
    #[command(flatten)]
    pub rule: RuleArgs,
    /// Exit with 1 when any trial failed or a model was left out, not only when all trials failed
    #[arg(long, help_heading = "Output")]
    pub fail_on_error: bool,
    /// TOML file with any of these flags as keys; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
    /// Where to compute.
    #[command(flatten)]
    pub machine: MachineArgs,
}

/// Flags of `niah prompts`.
#[derive(Debug, Clone, Args)]
#[command(
    before_help = "\
Examples:
  niah prompts model.gguf --context-lengths 4k --depths 50 --limit 1
  niah prompts DIR --task passkey --context-lengths 1k,2k -o prompts.jsonl",
    mut_args(first(&["context_lengths", "depths", "trials", "limit", "output"]))
)]
pub struct PromptsArgs {
    /// The checkpoint, for its tokenizer and template.
    #[command(flatten)]
    pub model: ModelArgs,
    /// The grid.
    #[command(flatten)]
    pub grid: GridArgs,
    /// File to write [default: stdout]
    #[arg(long, short, value_name = "FILE", alias = "output-path", help_heading = "Output")]
    pub output: Option<PathBuf>,
    /// Write at most this many prompts
    #[arg(long, value_name = "N", help_heading = "Output")]
    pub limit: Option<usize>,
    /// TOML file with any of these flags as keys; the command line wins
    #[arg(long, value_name = "FILE", help_heading = "Output")]
    pub config: Option<PathBuf>,
}
