//! The attention on every part of a prompt that matters, as a run stores it.

use niah::span::SpanKind;
use niah::store::csv;
use niah::trial::{AttentionRow, KindRow, SpanRow};

use crate::common::bench::Bench;

struct Stored {
    spans: Vec<SpanRow>,
    kinds: Vec<KindRow>,
    heads: Vec<AttentionRow>,
}

/// One trial of a task on a tiny checkpoint.
fn stored(bench: &Bench, task: &str, more: &[&str]) -> Stored {
    let task = format!("--task={task}");
    let flags = ["run", "--model=tiny", "--context-lengths=1200", "--depths=50", "-o=out", task.as_str()];
    bench.stdout(&[&flags[..], more].concat());
    let kinds = bench.path("out/kinds.csv");
    let stored = Stored {
        spans: csv::read(bench.path("out/spans.csv")).unwrap(),
        kinds: if kinds.exists() { csv::read(kinds).unwrap() } else { Vec::new() },
        heads: csv::read(bench.path("out/attention.csv")).unwrap(),
    };
    std::fs::remove_dir_all(bench.path("out")).unwrap();
    stored
}

fn close(a: f64, b: f64) -> bool {
    (a - b).abs() < 1e-9
}

fn total(masses: impl Iterator<Item = f64>) -> f64 {
    masses.sum()
}

#[test]
fn spans_and_kinds_add_up_to_what_the_heads_give() {
    let bench = Bench::new();
    let Stored { spans, kinds, heads } = stored(&bench, "magic-multikey", &[]);
    let of = |kind: &str| spans.iter().filter(|row| row.kind == kind).cloned().collect::<Vec<_>>();
    let (targets, distractors) = (of("target"), of("distractor"));
    assert_eq!((targets.len(), distractors.len(), spans.len()), (1, 3, 4));
    assert_eq!(kinds.len(), 2 * heads.len());
    for head in &heads {
        let own = |kind: &str| {
            kinds.iter().find(|row| (row.layer, row.head, row.kind.as_str()) == (head.layer, head.head, kind))
        };
        let target = own("target").unwrap();
        assert!(close(target.mass, head.needle_mass) && close(target.answer_mass, head.answer_needle_mass));
        assert!(own("distractor").unwrap().mass > 0.0);
    }
    let count = heads.len() as f64;
    let by_span = total(distractors.iter().map(|row| row.mass_mean.unwrap() * count));
    let by_head = total(kinds.iter().filter(|row| row.kind == "distractor").map(|row| row.mass));
    assert!(close(by_span, by_head), "{by_span} {by_head}");
    let top = heads.iter().map(|head| head.needle_mass).fold(0.0, f64::max);
    assert!(close(targets[0].mass_top.unwrap(), top));
    // The only item of the answer begins with the answer.
    assert_eq!(targets[0].item_mass_top, targets[0].mass_top);
    assert!(distractors.iter().all(|row| row.item_mass_top.is_none() && !row.absent));
}

#[test]
fn several_needles_have_a_mass_each_at_the_query_that_begins_their_item() {
    let bench = Bench::new();
    let Stored { spans, kinds, heads } = stored(&bench, "multi-2", &[]);
    assert!(kinds.is_empty() && spans.iter().all(|row| row.kind == SpanKind::Target.to_string()));
    let [first, second] = &spans[..] else { panic!("{spans:?}") };
    assert_eq!(first.item_mass_top, first.mass_top);
    assert!(
        second.item_mass_mean.is_some_and(|mass| mass > 0.0) && second.item_mass_mean != second.mass_mean
    );
    let both = total(heads.iter().map(|head| head.needle_mass)) / heads.len() as f64;
    assert!(close(first.mass_mean.unwrap() + second.mass_mean.unwrap(), both));
    assert!(first.token_end <= second.token_start && first.value_start >= first.token_start);
}

#[test]
fn the_needle_of_the_first_item_has_its_mass_there_wherever_it_stands() {
    let bench = Bench::new();
    let mut behind = 0;
    for seed in 0..6 {
        let seed = format!("--seed={seed}");
        bench.stdout(&[
            "run",
            "--model=tiny",
            "--context-lengths=1200",
            "--depths=50",
            "-o=out",
            "--task=updates",
            &seed,
        ]);
        let spans: Vec<SpanRow> = csv::read(bench.path("out/spans.csv")).unwrap();
        let expected = bench.outcomes("out")[0].expected_answer.clone();
        let first = expected.split('|').next().unwrap();
        let targets: Vec<&SpanRow> = spans.iter().filter(|row| row.kind == "target").collect();
        let place = targets.iter().position(|row| row.text.ends_with(first)).unwrap();
        assert_eq!(targets[place].item_mass_top, targets[place].mass_top);
        assert!(targets.iter().all(|row| row.item_mass_top.is_some()));
        behind += place;
        std::fs::remove_dir_all(bench.path("out")).unwrap();
    }
    assert!(behind > 0, "in each of them the first item stands first");
}

#[test]
fn steps_of_a_chain_are_kinds_of_their_own() {
    let bench = Bench::new();
    let Stored { spans, kinds, .. } = stored(&bench, "thread", &[]);
    let names: Vec<_> = spans.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(names, ["hop-1", "hop-2", "hop-3", "target"]);
    let different: std::collections::BTreeSet<_> = kinds.iter().map(|row| row.kind.as_str()).collect();
    assert_eq!(different.len(), 4);
}

#[test]
fn attend_shows_each_kind_of_span_in_a_style_of_its_own() {
    let bench = Bench::new();
    let shown = |task: &str, more: &[&str]| {
        let flags = ["run", "--model=tiny", "--context-lengths=1200", "--depths=30", "-o=out", "--tokens"];
        bench.stdout(&[&flags[..], &[&format!("--task={task}"), "--max-new-tokens=1"]].concat());
        let shown = bench.stdout(&[&["attend", "out", "--width=100"], more].concat());
        std::fs::remove_dir_all(bench.path("out")).unwrap();
        shown
    };
    let multi = shown("multi", &[]);
    assert_eq!(multi.matches("[[").count(), 4 + 1, "each needle, and the legend: {multi}");
    assert!(multi.lines().any(|line| line.trim().starts_with("target   ")), "{multi}");
    let updates = shown("updates", &[]);
    assert!(updates.contains("stale in [s:..]") && updates.contains("needle in [[..]]"), "{updates}");
    assert!(updates.matches("[s:").count() > 5 && updates.matches("[[").count() == 5, "{updates}");
    let thread = shown("thread", &[]);
    for step in ["1", "2", "3"] {
        assert_eq!(thread.matches(&format!("[{step}:")).count(), 2, "{thread}");
        let legend = thread.replace('\n', " ");
        assert!(legend.contains(&format!("hop-{step} in [{step}:..]")), "{thread}");
    }
    let colours = shown("thread", &["--color=always"]);
    assert!(colours.contains(";4m") && colours.contains("2:\u{1b}[0m hop-2"), "{colours}");
    let html = shown("updates", &["--output-format=html"]);
    assert!(html.contains("<sup class=\"kind k-stale\">s</sup>") && html.contains("u.k-stale{"), "{html}");
    let svg = shown("thread", &["--output-format=svg"]);
    assert!(["hop-1", "hop-2", "hop-3", "needle"].iter().all(|name| svg.contains(name)), "{svg}");
    let json: serde_json::Value = serde_json::from_str(&shown("thread", &["--output-format=json"])).unwrap();
    let masses = &json["totals"]["kind_masses"];
    let of = |kind: &str| {
        let rows = json["rows"].as_array().unwrap().iter().filter(|row| row["kind"] == kind);
        rows.map(|row| row["mass"].as_f64().unwrap()).sum::<f64>()
    };
    for kind in ["hop-1", "hop-2", "hop-3", "target"] {
        assert!(of(kind) > 0.0 && close(of(kind), masses[kind].as_f64().unwrap()), "{kind} {masses}");
    }
    assert!(close(json["totals"]["needle_mass"].as_f64().unwrap(), of("target")));
}

#[test]
fn regression_a_run_without_spans_is_attended_with_its_first_needle() {
    let bench = Bench::new();
    let flags = ["run", "--model=tiny", "--context-lengths=1200", "--depths=30", "-o=out", "--tokens"];
    bench.stdout(&[&flags[..], &["--task=multi-2", "--max-new-tokens=1"]].concat());
    std::fs::remove_file(bench.path("out/spans.csv")).unwrap();
    assert_eq!(bench.stdout(&["attend", "out"]).matches("[[").count(), 1 + 1);
}

#[test]
fn without_a_needle_the_mass_is_that_of_the_tokens_in_its_place() {
    let bench = Bench::new();
    let with = stored(&bench, "magic", &[]).spans;
    let without = stored(&bench, "magic", &["--control=no-needle"]).spans;
    assert!(!with[0].absent && without[0].absent && without[0].mass_top.is_some());
    assert_eq!(with[0].text, without[0].text);
    assert_eq!(without[0].token_end - without[0].token_start, with[0].text.len());
}
