use super::super::tests::outcome;
use super::*;
use crate::report::document::Block;
use crate::task::groups::{RULER, members};

/// A run of two trials at each length, of which so many are right.
fn run(control: &str, lengths: &[(usize, usize)]) -> TaskRun {
    let trials = |&(length, right): &(usize, usize)| {
        (0..2).map(move |trial| outcome(length, 0.0, trial, trial < right, Some(0.25)))
    };
    let outcomes: Vec<Outcome> = lengths.iter().flat_map(trials).collect();
    TaskRun { control: control.to_string(), planned: outcomes.len(), outcomes, kinds: Vec::new() }
}

fn result(task: &str, runs: Vec<TaskRun>) -> TaskResult {
    TaskResult { task: task.to_string(), runs, left_out: None }
}

fn report(results: Vec<TaskResult>, controls: bool) -> TasksReport {
    let (title, notes) = ("model, softmax, 2 tasks".to_string(), vec!["a note".to_string()]);
    TasksReport { title, results, controls, notes, rule: LengthRule::default() }
}

/// All of RULER's tasks with the same answers, but for one at the first length.
fn ruler(lengths: &[(usize, usize)], one_less: bool) -> Vec<TaskResult> {
    let of = |(place, name): (usize, &str)| {
        let mut run = run(AS_IT_IS, lengths);
        if place == 0 && one_less {
            run.outcomes.retain(|row| row.context_length != lengths[0].0);
        }
        result(name, vec![run])
    };
    members(RULER).enumerate().map(of).collect()
}

#[test]
fn a_mean_over_tasks_counts_every_task_once_and_says_how_many_ran() {
    let results = vec![
        result("kv", vec![run(AS_IT_IS, &[(1024, 2), (2048, 1)])]),
        result("multi", vec![run(AS_IT_IS, &[(2048, 0)])]),
        TaskResult { left_out: Some("too short".to_string()), ..result("rounds", Vec::new()) },
    ];
    let report = report(results, false);
    let means = report.means(&report.lengths(), |_| true);
    let of = |length, tasks, score_mean| MeanOfTasks { context_length: length, tasks, score_mean };
    assert_eq!(means, [of(1024, 1, 1.0), of(2048, 2, 0.25)]);
    let rows = report.rows();
    assert_eq!(rows.len(), 3 + 2 + 1, "every length, all lengths, and the task that did not run");
    assert_eq!(rows[5].sums.left_out.as_deref(), Some("too short"));
    assert_eq!((rows[5].sums.n, rows[5].sums.score_mean), (0, None), "missing is no zero");
    assert_eq!((rows[2].sums.context_length, rows[2].sums.score_mean), (None, Some(0.75)));
}

#[test]
fn the_effective_length_of_ruler_is_that_of_the_mean_over_its_tasks() {
    let all = report(ruler(&[(1024, 2), (2048, 2), (4096, 1)], false), false);
    let (totals, found) = all.ruler(&all.lengths()).unwrap();
    assert_eq!((totals.tasks.len(), totals.of, totals.effective_length), (11, 13, Some(2048)));
    assert_eq!(totals.missing, ["qa_1", "qa_2"]);
    let sentence = ruler_sentence(&totals, &found);
    assert!(
        sentence.contains("11 of its 13 tasks (without qa_1 and qa_2, which need downloads)"),
        "{sentence}"
    );
    assert!(sentence.contains("above 85.6%) the effective length is 2k, as 4k fails"), "{sentence}");
    let few = report(ruler(&[(1024, 2), (2048, 2)], true), false);
    let (totals, found) = few.ruler(&few.lengths()).unwrap();
    let sentence = ruler_sentence(&totals, &found);
    assert!(sentence.contains("at 1k (10 tasks)") && sentence.contains("is 2k, the longest"), "{sentence}");
    let mut some = ruler(&[(1024, 2)], false);
    some[3].runs.clear();
    let some = report(some, false);
    let (totals, found) = some.ruler(&some.lengths()).unwrap();
    assert_eq!((totals.tasks.len(), totals.missing.len()), (10, 3));
    assert!(ruler_sentence(&totals, &found).contains("and without ruler-niah-multikey-1, which did not run"));
    let part = report(ruler(&[(1024, 2)], false).split_off(1), false);
    assert!(part.ruler(&part.lengths()).is_none(), "a list of some of them is not RULER");
}

#[test]
fn what_controls_say_stands_beside_the_task() {
    let kind = |row_id: &str, kind: &str, mass| KindMass { row_id: row_id.into(), kind: kind.into(), mass };
    let mut distractors = run("distractors", &[(1024, 1)]);
    distractors.kinds = vec![kind("1024:0:0", "distractor", 0.5), kind("1024:0:1", "distractor", 0.25)];
    let mut plain = run(AS_IT_IS, &[(1024, 2)]);
    plain.kinds =
        vec![kind("1024:0:0", "target", 0.75), kind("1024:0:0", "other", 0.125), kind("9:9:9", "other", 1.0)];
    let runs = vec![plain, distractors, run("no-needle", &[(1024, 1)]), run("none-no-needle", &[(1024, 1)])];
    let report = report(vec![result("kv", runs)], true);
    assert_eq!(shown_kinds(&report.results[0]), "distractor 0.375, other 0.125", "no mass of a stranger");
    let rows = report.rows();
    let of = |control: &str| &rows.iter().find(|row| row.sums.control == control).unwrap().sums;
    assert_eq!(of("no-needle").false_answers, Some(0.5));
    assert_eq!(of("none-no-needle").false_answers, Some(0.5));
    assert_eq!(of(AS_IT_IS).false_answers, None);
    assert_eq!(rows[0].flat().kind_masses, "other:0.125 target:0.75");
    let Report { document, data } = Report::from(report);
    let tables: Vec<&Table> = document.blocks.iter().flat_map(tables).collect();
    assert_eq!(
        tables[0].header,
        ["task", "as it is", "distractors", "no-needle", "none-no-needle", "mass in its place"]
    );
    assert_eq!(tables[0].rows[0], ["kv", "100.0%", "50.0%", "50.0%", "50.0%", "0.250"]);
    assert_eq!(
        tables[1].header,
        ["task", "n", "trials", "1k", "needle mass", "false answers", "mass by kind"]
    );
    let row = ["kv", "2", "2", "100.0% (34-100)", "0.250", "50.0%", "distractor 0.375, other 0.125"];
    assert_eq!(tables[1].rows[0], row);
    assert_eq!(data.kind, "tasks");
}

fn tables(block: &Block) -> Vec<&Table> {
    match block {
        Block::Table(table) | Block::Wide(table) => vec![table],
        Block::Together(blocks) => blocks.iter().flat_map(tables).collect(),
        _ => Vec::new(),
    }
}

#[test]
fn a_mean_over_tasks_is_judged_by_rulers_rule_alone() {
    assert!(rule_of_means(LengthRule { threshold: Some(0.5), ..LengthRule::default() }).is_ok());
    for rule in [Rule::Nolima, Rule::EveryDepth] {
        let error = rule_of_means(LengthRule { rule, ..LengthRule::default() }).unwrap_err().to_string();
        assert!(error.contains("ruler"), "{error}");
    }
    let lower = LengthRule { decides: Decides::LowerEnd, ..LengthRule::default() };
    assert!(rule_of_means(lower).unwrap_err().to_string().contains("no interval"));
}
