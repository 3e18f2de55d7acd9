//! A directory takes more trials, lengths and depths, and says nothing of the order in which it took them.

use super::*;

/// A part of the grid of [`World`].
fn part(lengths: &[usize], depths: &[f64], trials: usize) -> World {
    let mut world = World::new();
    let depths = depths.iter().map(|&percent| Depth::from_percent(percent).unwrap()).collect();
    let lengths = lengths.iter().copied().map(ContextLength).collect();
    world.settings.grid = Grid::new(lengths, depths).unwrap();
    world.settings.trials = trials;
    world
}

/// How many prompts were asked.
fn grow(world: &World, directory: &Path) -> usize {
    let mut model = Script::default();
    world.run(directory, &mut model, &AtomicBool::new(false)).unwrap();
    model.asked.len()
}

fn refusal(world: &World, directory: &Path) -> String {
    match world.open(directory) {
        Ok(_) => panic!("it was opened"),
        Err(error) => error.to_string(),
    }
}

#[test]
fn a_run_that_grew_in_any_order_has_the_tables_of_one_that_was_whole() {
    let whole = tempfile::tempdir().unwrap();
    let all = World::new();
    all.run_all(whole.path());
    for steps in [
        [part(&LENGTHS, &[0.0, 50.0], 1), part(&LENGTHS, &[0.0, 50.0], 2)],
        [part(&[1024], &[0.0, 50.0], 2), part(&[256, 1024], &[0.0, 50.0], 2)],
        [part(&[768], &[50.0], 1), part(&LENGTHS, &[0.0, 50.0], 1)],
        [part(&[768], &[50.0], 2), part(&[768, 1024], &[0.0, 50.0], 2)],
    ] {
        let grown = tempfile::tempdir().unwrap();
        let mut asked = 0;
        for step in steps.iter().chain([&all]) {
            asked += grow(step, grown.path());
            assert_eq!(asked, step.trials().len(), "a trial ran twice or not at all");
        }
        assert_same_run(grown.path(), whole.path());
        assert_eq!(RunRecord::read(grown.path()).unwrap().settings, all.settings);
    }
}

#[test]
fn a_run_that_is_not_complete_keeps_the_order_in_which_it_ran() {
    let directory = tempfile::tempdir().unwrap();
    grow(&part(&[1024], &[50.0], 2), directory.path());
    let stop = AtomicBool::new(false);
    let mut model = Script { stop: Some((3, &stop)), ..Script::default() };
    World::new().run(directory.path(), &mut model, &stop).unwrap_err();
    let rows: Vec<String> = outcomes(directory.path()).into_iter().map(|row| row.row_id).collect();
    assert_eq!(rows, ["1024:50:0", "1024:50:1", "256:0:0", "256:50:0", "768:0:0"]);
    grow(&World::new(), directory.path());
    let rows: Vec<String> = outcomes(directory.path()).into_iter().map(|row| row.row_id).collect();
    assert_eq!(rows, World::new().trials().iter().map(Trial::row_id).collect::<Vec<_>>());
}

#[test]
fn a_directory_does_not_shrink_and_nothing_else_of_the_plan_may_change() {
    let directory = tempfile::tempdir().unwrap();
    World::new().run_all(directory.path());
    let before = [RUN_JSON, RESULTS_CSV, ATTENTION_CSV, TOKENS_CSV].map(|file| text(directory.path(), file));
    let mut other = part(&LENGTHS, &[0.0, 50.0, 100.0], 3);
    other.settings.seed = 8;
    for (world, words) in [
        (part(&LENGTHS, &[0.0, 50.0], 1), "trials: 2 -> 1"),
        (part(&LENGTHS, &[50.0, 100.0], 2), "depths: [0.0,50.0] -> [50.0,100.0]"),
        (
            part(&[256, 512, 1024, 2048], &[0.0, 50.0], 9),
            "context_lengths: [256,768,1024] -> [256,512,1024,2048]",
        ),
        (other, "seed: 7 -> 8"),
    ] {
        let refusal = refusal(&world, directory.path());
        assert!(refusal.contains(words) && refusal.contains("beside the old ones"), "{words} in {refusal}");
    }
    let after = [RUN_JSON, RESULTS_CSV, ATTENTION_CSV, TOKENS_CSV].map(|file| text(directory.path(), file));
    assert_eq!(after, before);
}

#[test]
fn a_run_keeps_its_name_and_its_beginning_when_it_grows() {
    let directory = tempfile::tempdir().unwrap();
    grow(&part(&[256], &[0.0], 1), directory.path());
    // As a version of niah named it that took the grid into the hash.
    let mut record = RunRecord::read(directory.path()).unwrap();
    let named = record.config_hash.clone();
    record.config_hash = "0123456789abcdef".to_string();
    record.run_id = "01234567".to_string();
    record.started_utc = "2001-02-03T04:05:06Z".to_string();
    fs::write(directory.path().join(RUN_JSON), serde_json::to_string(&record).unwrap()).unwrap();
    for file in [RESULTS_CSV, ATTENTION_CSV, TOKENS_CSV] {
        let renamed = text(directory.path(), file).replace(&named, &record.config_hash);
        fs::write(directory.path().join(file), renamed.replace(&named[..8], &record.run_id)).unwrap();
    }
    grow(&World::new(), directory.path());
    let grown = RunRecord::read(directory.path()).unwrap();
    assert_eq!(
        (&grown.run_id, &grown.config_hash, &grown.started_utc),
        (&record.run_id, &record.config_hash, &record.started_utc)
    );
    assert!(outcomes(directory.path()).iter().all(|row| row.config_hash == record.config_hash));
    let attention: Vec<AttentionRow> = csv::read(directory.path().join(ATTENTION_CSV)).unwrap();
    assert_eq!(attention.len(), 4 * 12);
    assert!(attention.iter().all(|row| row.run_id == record.run_id));
}

#[test]
fn a_failed_trial_stands_before_its_second_attempt_when_the_run_is_complete() {
    let directory = tempfile::tempdir().unwrap();
    let mut model = Script { fails: vec![0], ..Script::default() };
    World::new().run(directory.path(), &mut model, &AtomicBool::new(false)).unwrap();
    grow(&World::new(), directory.path());
    let rows = outcomes(directory.path());
    let first: Vec<_> = rows[..3].iter().map(|row| (row.row_id.as_str(), row.status)).collect();
    let [failed, right] = [("256:0:0", Status::Error), ("256:0:0", Status::Ok)];
    assert_eq!(first, [failed, right, ("256:50:0", Status::Ok)]);
}
