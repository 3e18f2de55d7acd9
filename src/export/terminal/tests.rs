use super::*;
use crate::report::comparison::Comparison;
use crate::report::document::Block;
use crate::report::tests::{failed, outcome};
use crate::report::{Summary, attention, compared, run};
use crate::trial::AttentionRow;
use crate::trial::{Outcome, Status};

#[test]
fn the_summary_says_what_is_known_and_no_more() {
    let outcomes = [
        outcome(1024, 0.0, 0, true, Some(0.5)),
        outcome(1024, 50.0, 0, false, Some(0.25)),
        failed(2048, 0.0, 0),
    ];
    assert_eq!(
        blocks(&run::summary(&Summary::of(&outcomes)), &Style::plain(80)),
        " length   n   trials   correct   accuracy   95% CI   needle mass   failed
--------------------------------------------------------------------------
     1k   2        1         1        50%        -         0.375        0
     2k   0        0         0          -        -             -        1
    all   2        1         1        50%        -         0.375        1
No interval of prompts of one trial: they share a haystack; take more with
--trials

found 1, looked 1, missed 0
looked = wrong answer, but a head singles the needle out, by more than any head
does any of 19 other spans of its length in the same haystack (singled out: the
head's mass there above its mean over the others; of N spans chance does that
once in N + 1, for any number of heads); missed = wrong answer, and none does
"
    );
    let skipped = Outcome { status: Status::Skipped, ..failed(1024, 0.0, 1) };
    let drawn = blocks(
        &run::summary(&Summary::of(&[outcome(1024, 0.0, 0, true, None), skipped])),
        &Style::plain(100),
    );
    let header = drawn.lines().next().unwrap();
    assert!(header.ends_with("failed   skipped"), "{drawn}");
    assert!(drawn.lines().nth(2).unwrap().ends_with("0         1"), "{drawn}");
}

#[test]
fn a_comparison_says_who_was_right_alone_and_how_sure_that_is() {
    let run = |right_beyond: bool, mass: f64| -> Vec<_> {
        let cell = |length| (0..8).map(move |trial| (length, trial));
        let rows = cell(1024).chain(cell(4096));
        rows.map(|(length, trial)| outcome(length, 0.0, trial, length == 1024 || right_beyond, Some(mass)))
            .collect()
    };
    let (a, mut b) = (run(false, 0.25), run(true, 0.75));
    b[0] = failed(1024, 0.0, 0);
    // Trials are the unit: the seven and the eight that never differ are worth as many prompts.
    let compared = Comparison::of(&a, &b, &[], Some(2048)).unwrap();
    assert_eq!(
        blocks(
            &compared::tables(&compared, "B").into_iter().map(Block::Table).collect::<Vec<_>>(),
            &Style::plain(80)
        ),
        " length    n   trials   accuracy A %   accuracy B %                B - A
-------------------------------------------------------------------------
     1k    7        7   100 (65-100)   100 (65-100)       0 (-51 to +51)
     4k    8        8       0 (0-32)   100 (68-100)   +100 (+20 to +100)
    >2k    8        8       0 (0-32)   100 (68-100)   +100 (+20 to +100)
    all   15        8     47 (23-72)   100 (67-100)      +53 (+9 to +82)

 length   A only   B only        p     Holm                  B is
------------------------------------------------------------------
     1k        0        0   1.0000   1.0000   not shown to differ
     4k        0        8   0.0133   0.0267                better
    >2k        0        8   0.0133        -                better
    all        0        8   0.0213        -                better

 length    n   needle mass A   needle mass B    B - A
------------------------------------------------------
     1k    7           0.250           0.750   +0.500
     4k    8           0.250           0.750   +0.500
    >2k    8           0.250           0.750   +0.500
    all   15           0.250           0.750   +0.500
"
    );
}

#[test]
fn heads_are_sorted_by_needle_mass() {
    let row = |layer, head, needle_mass| AttentionRow {
        run_id: "run".into(),
        row_id: "1024:50:0".into(),
        layer,
        head,
        needle_mass,
        value_mass: needle_mass / 2.0,
        total_mass: 1.0,
        sink_mass: 0.125,
        lift: (head == 0).then_some(12.5),
        entropy: None,
        argmax_position: 77,
        answer_needle_mass: 0.0,
        answer_value_mass: 0.0,
        answer_total_mass: 1.0,
        answer_sink_mass: 0.0,
        ..AttentionRow::default()
    };
    let rows = [row(0, 1, 0.25), row(3, 0, 0.5), row(0, 0, 0.25), row(1, 1, 0.0)];
    let drawn = |values| blocks(&[Block::Table(attention::heads(&rows, 3, values, &[]))], &Style::plain(80));
    assert_eq!(
        drawn(true),
        " head   needle    value    total     sink   lift   entropy   arg-max
---------------------------------------------------------------------
  3.0   0.5000   0.2500   1.0000   0.1250   12.5         -        77
  0.0   0.2500   0.1250   1.0000   0.1250   12.5         -        77
  0.1   0.2500   0.1250   1.0000   0.1250      -         -        77
"
    );
    let texts: Vec<String> = (0..80).map(|position| format!(" t{position}")).collect();
    let table = attention::heads(&rows, 1, true, &texts);
    assert_eq!(table.rows[0].last().unwrap(), "77 \" t77\"", "with its token where that is known");
    let bare = drawn(false);
    assert!(bare.starts_with(" head   needle    total     sink"), "{bare}");
    assert!(bare.contains("\n  3.0   0.5000   1.0000   0.1250   12.5 "), "{bare}");
}

#[test]
fn a_name_that_stands_again_is_not_repeated_and_long_facts_stay_in_their_column() {
    let fact = |name: &str, text: &str| (name.to_string(), text.to_string());
    let facts = vec![fact("layers", "one two three four"), fact("layers", "five"), fact("scores", "six")];
    let drawn = blocks(&[Block::Facts(facts)], &Style::plain(32));
    assert_eq!(drawn, "layers      one two three four\n            five\nscores      six\n");
}

#[test]
fn columns_that_do_not_fit_stand_under_the_others_and_curves_are_left_out() {
    let row = |layer: usize| (0..5).map(|cell| (10 * layer + cell).to_string()).collect();
    let wide = Table::new(&["layer", "0", "1", "2", "3"], vec![row(1), row(2)]).captioned("all of them");
    let chart = Figure { name: "f".to_string(), caption: String::new(), panels: vec![] };
    let drawn = blocks(&[Block::Wide(wide), Block::Figure(chart)], &Style::plain(34));
    let lines: Vec<&str> = drawn.lines().map(str::trim).collect();
    assert_eq!(lines[..2], ["all of them", "layer    0    1"]);
    assert_eq!(
        lines[5..],
        ["", "layer    2    3"].into_iter().chain(lines[7..].iter().copied()).collect::<Vec<_>>()[..]
    );
    assert!(drawn.lines().last().is_some_and(|line| line.ends_with("24")), "{drawn}");
}
