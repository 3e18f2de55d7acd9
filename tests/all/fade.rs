//! `niah fade` through the binary, against what `niah run` records of the same prompts.

use std::collections::BTreeMap;

use crate::common;

use common::bench::Bench;
use serde_json::Value;

const GRID: [&str; 5] =
    ["--context-lengths=200,300", "--depths=0,100", "--trials=2", "--seed=3", "--apply-chat-template=never"];

fn rows(bench: &Bench, more: &[&str]) -> Vec<Value> {
    let text = bench.stdout(&[&["fade", "tiny", "--output-format=json"], more, &GRID[..]].concat());
    let report: Value = serde_json::from_str(&text).unwrap();
    assert_eq!(report["report"], "fade");
    report["rows"].as_array().unwrap().clone()
}

fn number(row: &Value, key: &str) -> f64 {
    row[key].as_f64().unwrap_or_else(|| panic!("{key} in {row}"))
}

#[test]
fn measures_are_those_of_a_run_and_no_softmax_passes_its_bound() {
    let bench = Bench::new();
    let rows = rows(&bench, &["--variants=softmax,ssmax-fixed,topk:8"]);
    let named: Vec<_> =
        rows.iter().map(|row| (row["variant"].as_str().unwrap(), number(row, "context_length"))).collect();
    let expected =
        ["softmax", "ssmax-fixed", "topk:8"].into_iter().flat_map(|name| [(name, 200.0), (name, 300.0)]);
    assert_eq!(named, expected.collect::<Vec<_>>());
    for variant in ["softmax", "topk:8"] {
        let directory = variant.replace(':', "-");
        bench.stdout(&[&["run", "--model=tiny", "--variant", variant, "-o", &directory], &GRID[..]].concat());
        let mut of_length: BTreeMap<String, Vec<(f64, f64)>> = BTreeMap::new();
        for row in bench.attention(&directory) {
            let length = row.row_id.split(':').next().unwrap().to_string();
            of_length.entry(length).or_default().push((row.needle_mass, row.entropy.unwrap()));
        }
        for row in rows.iter().filter(|row| row["variant"] == variant) {
            let recorded = &of_length[&number(row, "context_length").to_string()];
            let mean = |value: fn(&(f64, f64)) -> f64| {
                recorded.iter().map(value).sum::<f64>() / recorded.len() as f64
            };
            assert_eq!(number(row, "n_rows") as usize, recorded.len());
            assert!((number(row, "needle_mass_mean") - mean(|row| row.0)).abs() < 1e-6, "{row}");
            assert!((number(row, "entropy_mean") - mean(|row| row.1)).abs() < 1e-5, "{row}");
            assert!((number(row, "effective_keys_mean") - mean(|row| row.1.exp())).abs() < 1e-3, "{row}");
        }
    }
    for row in &rows {
        let of = |key: &str| number(row, key);
        if row["variant"] == "softmax" {
            assert!(of("largest_weight_mean") <= of("softmax_bound_mean"), "{row}");
            assert!(of("largest_weight_p90") <= of("softmax_bound_p90"), "{row}");
        }
        assert!(
            of("largest_weight_p10") <= of("largest_weight_p50") && of("entropy_p50") <= of("entropy_p90")
        );
    }
    // The check: 1 / (1 + 199 e^-5) under Softmax, and 7 others at most under topk:8.
    assert!((number(&rows[0], "check_weight") - 1.0 / (1.0 + 199.0 * (-5f64).exp())).abs() < 1e-9);
    assert!((number(&rows[4], "check_weight") - 1.0 / (1.0 + 7.0 * (-5f64).exp())).abs() < 1e-9);
}

#[test]
fn the_page_names_the_rules_and_one_variant_alone_is_read_as_well() {
    let bench = Bench::new();
    let page = bench.stdout(&[&["fade", "tiny", "--width=160"], &GRID[..]].concat());
    for words in ["softmax: m = 1", "ssmax: zero-shot swap", "bound of softmax", "from 200 to 300 tokens"] {
        assert!(page.contains(words), "{words} in {page}");
    }
    let csv =
        bench.stdout(&[&["fade", "tiny", "--variant=softmax", "--output-format=csv"], &GRID[..]].concat());
    assert_eq!(csv.lines().count(), 1 + 2);
}

#[test]
fn what_cannot_be_read_is_refused() {
    let bench = Bench::new();
    let fade = ["fade", "tiny"];
    for (flags, words) in [
        (&["--variants=softmax,softmax"][..], &["--variants", "each variant once"][..]),
        (&["--variants=softmax,topk"], &["topk:64"]),
        (&["--variants=softmax,ssmax", "--attention-scale=2"], &["--attention-scale", "constant"]),
        (&["--figure=loss", "--export=a.svg"], &["--figure", "fade"]),
    ] {
        bench.refused(&[&fade[..], flags].concat(), words);
    }
}
