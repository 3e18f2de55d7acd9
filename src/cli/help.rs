//! How help is laid out: examples and the flags that matter first, the rest in `--help` alone.

use clap::{Arg, ArgAction, Command};

/// What it is, how it is called, examples, and then flags. Examples stand in `before_help`.
const TEMPLATE: &str = "{about-with-newline}{usage-heading} {usage}\n\n{before-help}{all-args}{after-help}";

/// The same with the examples under the call: with all commands it fills a screen.
const ROOT_TEMPLATE: &str =
    "{about-with-newline}{usage-heading} {usage}, such as\n{before-help}{all-args}{after-help}";

/// Takes the flags of these ids from under their headings to the top, in this order: `-h` shows no others.
pub(super) fn first(ids: &'static [&'static str]) -> impl Fn(Arg) -> Arg {
    move |arg| match ids.iter().position(|id| arg.get_id() == id) {
        Some(place) => arg.help_heading(None).display_order(place),
        None => arg,
    }
}

/// Commands that `niah -h` names in one line, so that it fits a screen.
const MORE: &[&str] = &["logits", "loss", "bench", "experiment", "completions", "man"];

/// The whole command line with the commands of [`MORE`] below the others.
fn with_more_commands(command: Command) -> Command {
    let wide = MORE.iter().map(|name| name.len()).max().unwrap_or_default();
    let of = |name: &&str| {
        let about = command.find_subcommand(name).and_then(Command::get_about);
        format!("  {name:wide$}   {}\n", about.map(ToString::to_string).unwrap_or_default())
    };
    let list: String = MORE.iter().map(of).collect();
    let rest = command.get_after_long_help().map(ToString::to_string).unwrap_or_default();
    command
        .after_help(format!("More, in --help: {}", MORE.join(", ")))
        .after_long_help(format!("More commands:\n{list}\n{rest}"))
        .mut_subcommands(|command| {
            let hidden = MORE.contains(&command.get_name());
            command.hide(hidden)
        })
}

/// The whole command line with its help laid out.
pub(super) fn laid_out(command: Command) -> Command {
    let version = Arg::new("version").long("version").short('V').action(ArgAction::Version);
    let of_command =
        |command: Command| command.arg(help_flag()).help_template(TEMPLATE).mut_args(behind_long_help);
    // Those of the program stand under a heading, so that its `-h` has room for the commands.
    with_more_commands(command)
        .disable_help_flag(true)
        .disable_version_flag(true)
        .arg(help_flag().help_heading("General"))
        .arg(version.help("Print version").help_heading("General"))
        .help_template(ROOT_TEMPLATE)
        .mut_args(behind_long_help)
        .mut_subcommands(of_command)
}

fn help_flag() -> Arg {
    let help = "In short (-h) or whole (--help)";
    Arg::new("help").long("help").short('h').action(ArgAction::Help).help(help)
}

/// Leaves flags under a heading to `--help`.
fn behind_long_help(arg: Arg) -> Arg {
    let under_heading = arg.get_help_heading().is_some();
    arg.hide_short_help(under_heading)
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory;

    use super::*;
    use crate::attention::variant::VARIANTS;
    use crate::checkpoint::families::{BLACK_BOXES, FAMILIES};
    use crate::checkpoint::{ARCHITECTURES, DEFAULT_CHECKPOINT, SHIPPED};
    use crate::cli::{self, Cli};
    use crate::commands::list;
    use crate::export::EXPORTERS;
    use crate::export::figures::FIGURES;
    use crate::export::palette::PALETTES;
    use crate::grid::DEPTH_SPACINGS;
    use crate::haystack::{HAYSTACKS, ORDERS};
    use crate::laboratory::{EXPERIMENTS, PARTS};
    use crate::model::kv_cache::KV_DTYPES;
    use crate::plan::{CHAT_CHOICES, DEFAULT_THINKING_TOKENS, MASKS_BY, ROPES, THINKING_CHOICES};
    use crate::prompt::{ANSWER_PREFIXES, SNAPS};
    use crate::registry::Entry;
    use crate::report::retrieval::HEAD_SCORES;
    use crate::score::{NORMALISATIONS, SCORERS};
    use crate::server::{APIS, LOGPROBS};
    use crate::spec::{DTYPES, ENGINES, WEIGHT_FORMS, WINDOW_EXPANSIONS};
    use crate::split::SPLITS;
    use crate::stats::RULES;
    use crate::store::exchange::{EXCHANGES, SCALES};
    use crate::task::groups::GROUPS;
    use crate::task::{CONTROLS, TASKS};
    use crate::train::data::KINDS as SEQUENCES;
    use crate::train::{LAYER_KINDS, QK_NORMS, SCHEDULES, TRAINED};

    /// The commands, built, each with its name.
    fn commands() -> Vec<Command> {
        let mut all = cli::command();
        all.build();
        all.get_subcommands().filter(|command| command.get_name() != "help").cloned().collect()
    }

    /// What `niah COMMAND --help` says of one argument, in one line.
    fn help_of(command: &str, id: &str) -> String {
        let found = commands().into_iter().find(|found| found.get_name() == command);
        let mut found = found.unwrap_or_else(|| panic!("no command {command}"));
        assert!(found.get_arguments().any(|arg| arg.get_id() == id), "no {id} in {command}");
        let others: Vec<_> = found.get_arguments().map(|arg| arg.get_id().clone()).collect();
        for other in others.iter().filter(|other| other.as_str() != id) {
            found = found.mut_arg(other, |arg| arg.hide(true));
        }
        let help = found.before_help("").after_help("").render_long_help().to_string();
        help.split_whitespace().collect::<Vec<_>>().join(" ")
    }

    fn rows<T>(table: &'static [Entry<T>]) -> Vec<(&'static str, &'static str)> {
        table.iter().map(|entry| (entry.name, entry.about)).collect()
    }

    #[test]
    fn every_table_stands_in_the_help_of_the_flags_that_take_its_names() {
        for (table, places) in [
            (rows(VARIANTS), &["run variant", "loss variant", "attend variant", "compare variant_b"][..]),
            (rows(DTYPES), &["run dtype", "inspect dtype", "attend dtype"]),
            (rows(WEIGHT_FORMS), &["run weights", "inspect weights", "attend weights"]),
            (rows(KV_DTYPES), &["run kv_dtype", "inspect kv_dtype", "attend kv_dtype"]),
            (rows(KV_DTYPES), &["run k_dtype", "run v_dtype", "compare kv_dtype_b"]),
            (
                rows(WINDOW_EXPANSIONS),
                &["run screening_window_expansion", "attend screening_window_expansion"],
            ),
            (rows(ROPES), &["run rope", "loss rope"]),
            (rows(ENGINES), &["run engine", "loss engine", "inspect engine"]),
            (rows(APIS), &["run api"]),
            (rows(MASKS_BY), &["run mask_heads_by", "heads mask_heads_by"]),
            (rows(LOGPROBS), &["run logprobs"]),
            (rows(CHAT_CHOICES), &["run apply_chat_template"]),
            (rows(THINKING_CHOICES), &["run thinking", "prompts thinking"]),
            (rows(ANSWER_PREFIXES), &["run answer_prefix", "prompts answer_prefix"]),
            (rows(DEPTH_SPACINGS), &["run depth_spacing"]),
            (rows(TASKS), &["run task", "prompts task", "compare task", "train task"]),
            (rows(GROUPS), &["run task"]),
            (rows(HAYSTACKS), &["run haystack", "loss haystack", "train haystack"]),
            (rows(CONTROLS), &["run control", "prompts control"]),
            (rows(ORDERS), &["run haystack_order"]),
            (rows(HEAD_SCORES), &["heads score"]),
            (rows(SPLITS), &["run split", "loss split"]),
            (rows(SNAPS), &["run snap"]),
            (rows(SCORERS), &["run scorer", "score scorer"]),
            (rows(NORMALISATIONS), &["run normalise", "score normalise"]),
            (rows(EXPORTERS), &["run output_format", "view output_format", "compare output_format"]),
            (rows(FIGURES), &["run figure", "attend figure"]),
            (rows(EXCHANGES), &["view export"]),
            (rows(SCALES), &["import scale"]),
            (rows(PALETTES), &["run palette"]),
            (rows(RULES), &["run rule", "view rule", "gate rule"]),
            (rows(SEQUENCES), &["train mix"]),
            (rows(LAYER_KINDS), &["train layer_pattern"]),
            (rows(SCHEDULES), &["train schedule"]),
            (rows(QK_NORMS), &["train qk_norm"]),
            (rows(TRAINED), &["train variant"]),
            (rows(EXPERIMENTS), &["experiment name"]),
            (rows(PARTS), &["experiment parts"]),
            (rows(list::KINDS), &["list kind"]),
            (rows(list::FORMS), &["list output_format"]),
        ] {
            for place in places {
                let (command, id) = place.split_once(' ').unwrap();
                let help = help_of(command, id);
                for (name, about) in &table {
                    assert!(
                        help.contains(&format!("- {name}: {about}")),
                        "{name}: {about}\nin {place}: {help}"
                    );
                }
            }
        }
        let budget = format!("[default: {DEFAULT_THINKING_TOKENS}]");
        assert!(help_of("run", "max_thinking_tokens").contains(&budget));
        // What no flag takes by name is in `niah list`.
        let listed: Vec<_> = list::KINDS.iter().map(|kind| (kind.value)()).collect();
        for table in [rows(FAMILIES), rows(BLACK_BOXES), rows(ARCHITECTURES), rows(SHIPPED)] {
            assert!(listed.contains(&table));
        }
        assert!(help_of("run", "checkpoint").contains(&format!("[default: {DEFAULT_CHECKPOINT}]")));
    }

    #[test]
    fn every_command_begins_with_two_or_three_examples_that_parse() {
        let root = cli::command();
        let all = commands();
        for command in [&root].into_iter().chain(&all) {
            let name = command.get_name();
            let before = command.get_before_help().map(ToString::to_string).unwrap_or_default();
            let examples: Vec<&str> =
                before.lines().filter_map(|line| line.strip_prefix("  niah ")).collect();
            assert!((2..=3).contains(&examples.len()), "{name}: {before}");
            for example in examples {
                // What goes to another program is the shell's.
                let example = example.split(['>', '|']).next().unwrap_or_default().trim_end();
                assert!(example.len() <= 71, "{example} is wider than 80 columns");
                let words: Vec<String> = ["niah"]
                    .into_iter()
                    .chain(example.split(' '))
                    .map(|word| word.replace('"', ""))
                    .collect();
                let parsed = cli::command().try_get_matches_from(&words);
                let parsed = parsed.unwrap_or_else(|error| panic!("niah {example}: {error}"));
                let is_own = parsed.subcommand_name() == Some(name) || name == "niah";
                assert!(is_own, "{example} in the help of {name}");
            }
        }
    }

    #[test]
    fn short_help_fits_a_screen_and_names_at_most_five_flags() {
        let root = cli::command();
        for command in [root].into_iter().chain(commands()) {
            let name = command.get_name().to_string();
            let mut command = command.term_width(80);
            let (short, long) = (command.render_help().to_string(), command.render_long_help().to_string());
            let lines = short.trim_end().lines().count();
            assert!(lines <= 24, "{name}: {lines} lines\n{short}");
            let is_flag = |line: &&str| line.starts_with("      --") || line.get(4..6) == Some(", ");
            let flags = short.lines().filter(is_flag).filter(|line| !line.contains("--help"));
            assert!(flags.count() <= 5, "{short}");
            for arg in command.get_arguments().filter(|arg| !arg.is_hide_set()) {
                let flag = arg.get_long().map(|long| format!("--{long}"));
                assert!(flag.is_none_or(|flag| long.contains(&flag)), "{name} {}", arg.get_id());
            }
        }
    }

    #[test]
    fn no_line_of_help_is_wider_than_the_terminal_and_names_of_ids_are_right() {
        let mut wrong = Vec::new();
        for width in [80, 110] {
            for command in commands() {
                let name = command.get_name().to_string();
                let help = command.term_width(width).render_long_help().to_string();
                for line in help.lines() {
                    assert!(line.chars().count() <= width, "{name} at {width}: {line}");
                    // A default that is as long as a line stands in a paragraph of its own.
                    let broken = line
                        .rsplit_once("[default")
                        .is_some_and(|(before, default)| !default.contains(']') && !before.trim().is_empty());
                    if broken {
                        wrong.push(format!("{name} at {width}: {line}"));
                    }
                }
            }
        }
        assert!(wrong.is_empty(), "{}", wrong.join("\n"));
        // A name that no flag has would silently stay where it was.
        for command in Cli::command().get_subcommands() {
            let shown = command.get_arguments().filter(|arg| arg.get_help_heading().is_none());
            let flags = shown.filter(|arg| !arg.is_positional()).count();
            assert!(flags <= 5, "{}: {flags} flags without a heading", command.get_name());
        }
    }
}
