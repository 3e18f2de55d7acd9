//! `--export`: a report in several files at once.

use std::fs;

use crate::common::bench::{Bench, stderr};

/// One cell that ran, in `out`.
fn stored() -> Bench {
    let bench = Bench::new();
    bench.grid(&["-o", "out", "--tokens", "--limit=1"]);
    bench
}

#[test]
fn every_report_is_written_to_files_in_the_form_of_their_extensions() {
    let bench = stored();
    let reports: &[&[&str]] = &[
        &["view", "out"],
        &["view", "out", "--by=layer", "--length=200", "--depth=0"],
        &["compare", "out", "out"],
        &["attend", "out", "--length=200", "--depth=0"],
        &["inspect", "tiny"],
        &["loss", "-m", "tiny", "--context-length=64", "-n=1"],
        &["fade", "tiny", "--context-lengths=200", "--depths=50"],
        &["run", "-m", "tiny", "--context-lengths=200", "--depths=50", "-o", "ran"],
        &["bench", "tiny", "--context-lengths=16", "--repeats=1", "--max-new-tokens=1", "--no-peak-memory"],
    ];
    for report in reports {
        let files = ["--export=a.html", "--export=b.md", "--export=c.json", "--export=d.svg", "--export=-"];
        let output = bench.output(&[report, &files[..]].concat());
        assert_eq!(output.status.code(), Some(0), "{report:?}: {}", stderr(&output));
        assert!(!output.stdout.is_empty() && !output.stdout.starts_with(b"<"), "{report:?}");
        for (file, beginning) in
            [("a.html", "<!DOCTYPE html>"), ("b.md", "# "), ("c.json", ""), ("d.svg", "<svg ")]
        {
            assert!(bench.text(file).starts_with(beginning), "{report:?} {file}");
            assert!(stderr(&output).contains(&format!("written: {file}")), "{}", stderr(&output));
            fs::remove_file(bench.path(file)).unwrap();
        }
        serde_json::from_slice::<serde_json::Value>(&output.stdout).unwrap_err();
    }
}

#[test]
fn a_file_of_a_report_holds_what_stdout_would_without_colours() {
    let bench = stored();
    let printed =
        bench.stdout(&["view", "out", "--output-format=csv", "--export=cells.csv", "--export=page.txt"]);
    assert_eq!(bench.text("cells.csv"), printed);
    bench.stdout(&["view", "out", "--color=always", "--export=page.txt"]);
    let page = bench.text("page.txt");
    assert!(page.contains("Accuracy by context length") && !page.contains('\x1b'), "{page}");
}

#[test]
fn what_cannot_be_written_stops_no_other_file_and_leaves_no_half_of_one() {
    let bench = stored();
    fs::write(bench.path("old.svg"), "old").unwrap();
    // Where the new file would be made there is a directory.
    fs::create_dir(bench.path("old.svg.new")).unwrap();
    let output =
        bench.output(&["view", "out", "--export=old.svg", "--export=page.html", "--export=cells.csv"]);
    let said = stderr(&output);
    assert_eq!(output.status.code(), Some(1), "{said}");
    assert!(said.contains("niah: old.svg: cannot write") && said.contains("--export"), "{said}");
    assert_eq!(bench.text("old.svg"), "old");
    assert!(bench.text("page.html").ends_with("</html>\n") && !bench.text("cells.csv").is_empty());
    assert!(!output.stdout.is_empty());
}

#[test]
fn a_place_or_a_figure_that_cannot_be_is_refused_before_anything_runs() {
    let bench = stored();
    for (arguments, words) in [
        (
            &["view", "out", "--export=report.htlm"][..],
            &["unknown extension \"htlm\" (did you mean html?)"][..],
        ),
        (&["view", "out", "--export=report"], &["--export", "known: txt, csv, json, md"]),
        (&["view", "out", "--export=none/report.html"], &["none: no such directory", "--export"]),
        (&["run", "-m", "tiny", "-o", "never", "--export=none/report.html"], &["none: no such directory"]),
        (&["run", "-m", "tiny", "--dry-run", "--export=a.html"], &["--dry-run", "--export"]),
        (&["view", "out", "--by=token", "--output-format=csv", "--export=a.html"], &["html", "csv or json"]),
        (&["view", "out", "--figure=accuracy"], &["--figure", "--export FILE.svg"]),
        (
            &["view", "out", "--figure=loss", "--export=a.svg"],
            &["--figure: found loss", "accuracy, needle-mass"],
        ),
        (&["loss", "-m", "tiny", "--figure=heads", "--export=a.svg"], &["--figure: found heads", "loss"]),
        (
            &["view", "out", "--figure=acuracy", "--export=a.svg"],
            &["did you mean accuracy?", "known: accuracy"],
        ),
    ] {
        bench.refused(arguments, words);
    }
    assert!(!bench.path("never").exists());
}
