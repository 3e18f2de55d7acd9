//! `--question` and `--answer` without a needle, about what stands in the user's own text.

use niah::store::csv;
use niah::trial::{AttentionRow, Outcome, SpanRow};
use serde_json::Value;

use crate::common::bench::{Bench, stderr};

/// A text of 60 sentences, of which number 20 says what is asked for.
fn text() -> String {
    let sentence = |n: usize| match n {
        20 => "The door of the mill is vermilion. ".to_string(),
        n => format!("House {n} of the street has a gate. "),
    };
    (0..60).map(sentence).collect()
}

const ASKED: &[&str] = &["-m=tiny", "--haystack=text.txt", "--question=Which colour is the door?"];

fn bench(text: &str) -> Bench {
    let bench = Bench::new();
    std::fs::write(bench.path("text.txt"), text).unwrap();
    bench
}

/// The lines of `niah prompts`, and what it says beside.
fn prompts(bench: &Bench, more: &[&str]) -> (Vec<Value>, String) {
    let output = bench.output(&[&["prompts"], ASKED, more].concat());
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(0), "{said}");
    let text = String::from_utf8(output.stdout).unwrap();
    (text.lines().map(|line| serde_json::from_str(line).unwrap()).collect(), said)
}

#[test]
fn the_whole_text_is_asked_about_once_and_the_answers_place_is_the_target() {
    let bench = bench(&text());
    let (lines, said) = prompts(&bench, &["--answer=vermilion"]);
    let [line] = &lines[..] else { panic!("{lines:?}") };
    let prompt = line["prompt"].as_str().unwrap();
    assert_eq!(prompt.trim(), format!("{}\n\nWhich colour is the door?", text().trim()));
    assert_eq!(line["spans"][0]["kind"], "target");
    assert_eq!(line["spans"][0]["text"], "vermilion");
    let depth = line["actual_depth_percent"].as_f64().unwrap();
    assert!((28.0..40.0).contains(&depth), "{depth}");
    let whole = line["prompt_tokens"].as_u64().unwrap() + line["answer_budget"].as_u64().unwrap();
    assert_eq!(line["context_length"].as_u64(), Some(whole));
    assert!(said.contains("has no depth") && said.contains("stands where the text has it"), "{said}");
}

#[test]
fn a_length_cuts_the_text_at_a_sentence_and_longer_ones_are_that_of_the_whole() {
    let bench = bench(&text());
    let (whole, _) = prompts(&bench, &["--answer=vermilion"]);
    let whole = whole[0]["context_length"].as_u64().unwrap();
    let half = format!("--context-lengths={},{},{}", whole * 2 / 3, whole + 1, 2 * whole);
    let (lines, said) = prompts(&bench, &["--answer=vermilion", &half]);
    let lengths: Vec<_> = lines.iter().map(|line| line["context_length"].as_u64().unwrap()).collect();
    assert_eq!(lengths, [whole * 2 / 3, whole]);
    let cut = lines[0]["prompt"].as_str().unwrap();
    let body = cut.split("\n\n").next().unwrap();
    assert!(text().starts_with(body) && body.ends_with("gate."), "{body}");
    assert_eq!(lines[0]["spans"][0]["text"], "vermilion");
    assert!(said.contains(&format!("the whole text takes {whole} tokens")), "{said}");
}

#[test]
fn an_answer_that_would_be_cut_away_is_an_error_and_not_a_prompt() {
    let bench = bench(&text());
    let short = [&["prompts"], ASKED, &["--answer=vermilion", "--context-lengths=200"]].concat();
    bench.refused(&short, &["\"vermilion\"", "only behind its first", "longer --context-lengths"]);
}

#[test]
fn an_answer_that_stands_twice_or_nowhere_has_no_span_and_no_needle_mass() {
    for (text, answer, words) in [
        (format!("{}Her coat is vermilion.", text()), "vermilion", "2 times"),
        (text(), "crimson", "nowhere says the answer \"crimson\""),
    ] {
        let bench = bench(&text);
        let answer = format!("--answer={answer}");
        let (lines, said) = prompts(&bench, &[&answer]);
        assert_eq!(lines[0]["spans"].as_array().unwrap().len(), 0);
        assert!(said.contains(words) && said.contains("no needle mass"), "{said}");
        bench.stdout(&[&["run"], ASKED, &[&answer, "-o=out", "--export=page.html"]].concat());
        let rows: Vec<Outcome> = csv::read(bench.path("out/results.csv")).unwrap();
        assert_eq!(rows.len(), 1);
        assert_eq!(
            (rows[0].needle_mass_top, rows[0].needle_mass_mean, rows[0].score),
            (None, None, Some(0.0))
        );
        let heads: Vec<AttentionRow> = csv::read(bench.path("out/attention.csv")).unwrap();
        assert!(
            !heads.is_empty() && heads.iter().all(|row| row.needle_mass.is_nan() && row.total_mass > 0.9)
        );
        let record: Value = serde_json::from_str(&bench.text("out/run.json")).unwrap();
        let warnings = record["warnings"].as_array().unwrap();
        assert!(warnings.iter().any(|warning| warning.as_str().unwrap().contains(words)), "{warnings:?}");
        assert!(csv::read::<SpanRow>(bench.path("out/spans.csv")).unwrap().is_empty());
        bench.stdout(&["view", "out"]);
        bench.stdout(&["attend", "out"]);
    }
}

#[test]
fn a_run_about_the_users_text_measures_and_goes_on() {
    let bench = bench(&text());
    let run = [&["run"], ASKED, &["--answer=vermilion", "-o=out"]].concat();
    bench.stdout(&run);
    let before = bench.text("out/results.csv");
    let rows: Vec<Outcome> = csv::read(bench.path("out/results.csv")).unwrap();
    assert_eq!((rows[0].task.as_str(), rows[0].needle.as_str()), ("question", "vermilion"));
    assert!(rows[0].needle_mass_top.is_some_and(|mass| mass > 0.0));
    bench.stdout(&run);
    assert_eq!(bench.text("out/results.csv"), before);
    assert!(bench.stdout(&[&run[..], &["--dry-run"]].concat()).contains("task       question"));
}

#[test]
fn what_makes_no_sense_where_nothing_is_hidden_is_refused_with_the_flag() {
    let bench = bench(&text());
    let asked = [&["run"], ASKED, &["--answer=vermilion", "--dry-run"]].concat();
    for (flag, words) in [
        ("--haystack=essays", &["--haystack", "essays", "--question", "--needle"][..]),
        ("--trials=2", &["--trials", "the same prompt"]),
        ("--haystack-order=shuffled", &["--haystack-order", "as it is"]),
        ("--split=held-out", &["--split", "the whole text"]),
        ("--distractors=2", &["--distractors", "hides nothing"]),
        ("--control=no-needle", &["--control"]),
        ("--answer=door", &["--question", "does not say the answer"]),
    ] {
        bench.refused(&[&asked[..], &[flag]].concat(), words);
    }
    bench.refused(&["run", "-m=tiny", "--haystack=text.txt", "--answer=vermilion"], &["--question"]);
}
