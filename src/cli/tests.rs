//! What may be typed, as the whole command line takes it.

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
        ("niah inspect -m a --model b", "--model"),
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
            "run --needle n --retrieval_question q --answer n --context_lengths 1k --document_depth_percents \
             0,50",
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
            "run --model m --tasks magic --output_path o --limit 3 --apply_chat_template \
             --system_instruction s --max_gen_toks 8 --seed 1 --device cpu",
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
            assert!(arg.get_visible_aliases().is_none_or(|visible| visible.is_empty()), "{}", arg.get_id());
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
            Command::Fade(args) => args.model.checkpoint.name().to_string(),
            Command::Loss(args) => args.checkpoint.name().to_string(),
            Command::Bench(args) => args.checkpoint.name().to_string(),
            Command::Inspect(args) => args.checkpoint.name().to_string(),
            Command::Attend(args) => args.model_for_text().to_string(),
            Command::Train(args) => args.init().unwrap().to_string(),
            Command::Compare(args) => args.sides().concat(),
            _ => panic!("{line} takes no model"),
        }
    };
    for command in [
        "run",
        "prompts",
        "logits --ids 1 -o o",
        "fade",
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

#[test]
fn the_default_checkpoint_is_taken_where_a_command_needs_one_and_none_is_named() {
    let takes = |line: &str| takes_default_checkpoint(&matches(line).unwrap());
    for line in [
        "niah run",
        "niah prompts",
        "niah loss",
        "niah bench",
        "niah inspect",
        "niah attend --text t --query q",
    ] {
        assert!(takes(line), "{line}");
    }
    for line in [
        "niah view out",
        "niah attend out",
        "niah compare a b",
        "niah demo",
        "niah list",
        "niah run m",
        "niah run -m m",
    ] {
        assert!(!takes(line), "{line}");
    }
}
