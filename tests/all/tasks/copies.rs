//! `repeat` says where the word that is another stands, in the text and in the answer.

use std::fs;

use niah::store::csv::{self, Appender};
use niah::trial::Outcome;

use crate::common::bench::Bench;

#[test]
fn a_copy_says_where_the_changed_word_stands_and_in_how_many_answers_it_kept_its_place() {
    let bench = Bench::new();
    let run = ["run", "--model=tiny", "--task=repeat", "--context-lengths=400", "--depths=0,50,100"];
    let page = bench.stdout(&[&run[..], &["-o", "out"]].concat());
    assert!(page.contains("at its place in 0 of 3 answers, elsewhere in 0, and is missing in 3"), "{page}");
    let path = bench.path("out/results.csv");
    let mut rows: Vec<Outcome> = csv::read(&path).unwrap();
    let places: Vec<usize> = rows.iter().map(|row| row.changed_word.unwrap()).collect();
    for (row, place) in rows.iter().zip(&places) {
        let words: Vec<&str> = row.expected_answer.split(' ').collect();
        assert_eq!(words.iter().filter(|word| **word == words[*place]).count(), 1, "{words:?}");
        assert_eq!(row.answered_word, None, "{row:?}");
    }
    assert!(places[0] == 0 && places.is_sorted() && places[1] < places[2], "{places:?}");
    rows[0].answered_word = Some(0);
    rows[2].answered_word = Some(1);
    fs::remove_file(&path).unwrap();
    Appender::open(&path).unwrap().append(&rows).unwrap();
    let page = bench.stdout(&["view", "out"]);
    assert!(page.contains("at its place in 1 of 3 answers, elsewhere in 1, and is missing in 1"), "{page}");
}

#[test]
fn other_tasks_have_no_changed_word() {
    let bench = Bench::new();
    let run = ["run", "--model=tiny", "--context-lengths=300", "--depths=50", "-o", "out"];
    assert!(!bench.stdout(&run).contains("changed word"));
    let rows: Vec<Outcome> = csv::read(bench.path("out/results.csv")).unwrap();
    assert!(rows.iter().all(|row| row.changed_word.is_none() && row.answered_word.is_none()));
}
