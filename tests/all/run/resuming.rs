//! A run that stopped or died goes on where it was, and no plan takes the place of another.

use super::*;

#[test]
fn a_run_that_was_stopped_goes_on_to_the_same_end() {
    let world = World::new();
    let (whole, stopped) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    world.run_all(whole.path());
    let trials = world.trials().len();
    // Once before anything is done, once in the middle, once at the last trial.
    for (done, more) in [(0, 0), (0, 5), (5, trials - 6)] {
        let stop = AtomicBool::new(false);
        let mut model = Script { stop: Some((more, &stop)), ..Script::default() };
        let error = world.run(stopped.path(), &mut model, &stop).unwrap_err();
        assert!(matches!(error, Error::Interrupted), "{error}");
        assert_eq!(model.asked.len(), more + 1, "a trial that was done ran again");
        assert_eq!(outcomes(stopped.path()).len(), done + more);
        let attention: Vec<AttentionRow> = csv::read(stopped.path().join(ATTENTION_CSV)).unwrap();
        assert_eq!(attention.len(), 4 * (done + more));
    }
    let mut model = Script::default();
    world.run(stopped.path(), &mut model, &AtomicBool::new(false)).unwrap();
    assert_eq!(model.asked.len(), 1);
    assert_same_run(stopped.path(), whole.path());
    // Nothing is left to do.
    let before = text(stopped.path(), RESULTS_CSV);
    world.run(stopped.path(), &mut model, &AtomicBool::new(true)).unwrap();
    assert_eq!((model.asked.len(), text(stopped.path(), RESULTS_CSV)), (1, before));
}

#[test]
fn a_trial_that_failed_is_recorded_and_tried_again() {
    let world = World::new();
    let (whole, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    world.run_all(whole.path());
    let mut model = Script { fails: vec![1, 4], ..Script::default() };
    let rows = world.run(other.path(), &mut model, &AtomicBool::new(false)).unwrap();
    assert_eq!(rows.len(), world.trials().len(), "the run goes on behind a failed trial");
    let failed = &rows[1];
    assert_eq!((failed.status, failed.error.as_deref()), (Status::Error, Some("the script says so")));
    assert_eq!(
        (failed.context_length, failed.depth_percent, failed.row_id.as_str()),
        (256, Depth::from_percent(50.0).unwrap(), "256:50:0")
    );
    assert_eq!(
        (failed.score, failed.correct, failed.prompt_tokens, failed.needle_mass_top, failed.outcome),
        (None, None, None, None, None)
    );
    assert_eq!(outcomes(other.path()), rows);
    assert!(world.cells_csv(&rows).contains(
        "\n256,50.0,1,1,1.0,0.20654931437723742,1.0,wilson,1,0,0.5,,-3.5,,,1,,,withheld: one trial,\
         1.0,0.20654931437723742,1.0,wilson\n"
    ));
    assert!(world.drawn(&rows).contains("2 failed trials are left out"));

    let mut model = Script::default();
    let rows = world.run(other.path(), &mut model, &AtomicBool::new(false)).unwrap();
    assert_eq!((model.asked.len(), rows.len()), (2, world.trials().len() + 2));
    let again: Vec<_> = rows[rows.len() - 2..].iter().map(|row| row.row_id.as_str()).collect();
    assert_eq!(again, ["256:50:0", "1024:0:0"]);
    let untouched = csv::read(whole.path().join(RESULTS_CSV)).unwrap();
    assert_eq!(world.cells_csv(&rows), world.cells_csv(&untouched));
    let mut model = Script::default();
    world.run(other.path(), &mut model, &AtomicBool::new(false)).unwrap();
    assert!(model.asked.is_empty());
}

#[test]
fn a_run_that_died_at_any_moment_of_a_trial_goes_on_to_the_same_end() {
    /// Lines of a table that belong to the first `trials` trials, the header before them.
    fn upto(table: &str, trials: usize) -> usize {
        let Some(next) = World::new().trials().get(trials).map(Trial::row_id) else { return table.len() };
        table.find(&format!(",{next},")).map_or(table.len(), |at| table[..at].rfind('\n').unwrap() + 1)
    }
    let world = World::new();
    let (whole, torn) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    world.run_all(whole.path());
    let [results, attention, tokens] =
        [RESULTS_CSV, ATTENTION_CSV, TOKENS_CSV].map(|file| text(whole.path(), file));
    for done in [0, 7] {
        let results_end = results.split_inclusive('\n').take(1 + done).map(str::len).sum::<usize>();
        let row = results.split_inclusive('\n').nth(1 + done).unwrap().len();
        let (attention_end, tokens_end) = (upto(&attention, done), upto(&tokens, done));
        let (attention_next, tokens_next) = (upto(&attention, done + 1), upto(&tokens, done + 1));
        // The tables are written in this order: attention, tokens, results.
        for (attention_cut, tokens_cut, results_cut) in [
            (attention_end + 5, tokens_end, results_end),
            (attention_next - 1, tokens_end, results_end),
            (attention_next, tokens_end, results_end),
            (attention_next, tokens_next - 20, results_end),
            (attention_next, tokens_next, results_end),
            (attention_next, tokens_next, results_end + 1),
            (attention_next, tokens_next, results_end + row - 1),
        ] {
            fs::copy(whole.path().join(RUN_JSON), torn.path().join(RUN_JSON)).unwrap();
            fs::write(torn.path().join(ATTENTION_CSV), &attention[..attention_cut]).unwrap();
            fs::write(torn.path().join(TOKENS_CSV), &tokens[..tokens_cut]).unwrap();
            fs::write(torn.path().join(RESULTS_CSV), &results[..results_cut]).unwrap();
            let mut model = Script::default();
            world.run(torn.path(), &mut model, &AtomicBool::new(false)).unwrap();
            assert_eq!(model.asked.len(), world.trials().len() - done);
            assert_same_run(torn.path(), whole.path());
        }
    }
}

#[test]
fn a_run_that_died_before_its_first_row_begins_again() {
    let world = World::new();
    let (whole, torn) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    world.run_all(whole.path());
    let header = text(whole.path(), RESULTS_CSV).lines().next().unwrap().to_string() + "\n";
    for torn_header in ["", "run_", header.as_str()] {
        for file in [RUN_JSON, ATTENTION_CSV, TOKENS_CSV] {
            fs::remove_file(torn.path().join(file)).unwrap_or(());
        }
        fs::write(torn.path().join(RESULTS_CSV), torn_header).unwrap();
        world.run_all(torn.path());
        assert_same_run(torn.path(), whole.path());
    }
}

#[test]
fn rows_of_a_trial_that_never_ended_are_removed() {
    let world = World::new();
    let (whole, other) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
    world.run_all(whole.path());
    // As after a crash between the long tables and the row that makes them count.
    let results = text(whole.path(), RESULTS_CSV);
    let kept: String = results.split_inclusive('\n').take(1 + 7).collect();
    for name in [RUN_JSON, ATTENTION_CSV, TOKENS_CSV] {
        fs::copy(whole.path().join(name), other.path().join(name)).unwrap();
    }
    fs::write(other.path().join(RESULTS_CSV), kept).unwrap();
    drop(world.open(other.path()).unwrap());
    let attention: Vec<AttentionRow> = csv::read(other.path().join(ATTENTION_CSV)).unwrap();
    let tokens: Vec<TokenRow> = csv::read(other.path().join(TOKENS_CSV)).unwrap();
    let done: Vec<_> = world.trials()[..7].iter().map(Trial::row_id).collect();
    assert_eq!(attention.len(), 4 * 7);
    assert!(attention.iter().all(|row| done.contains(&row.row_id)));
    assert!(tokens.iter().all(|row| done.contains(&row.row_id)));
    world.run_all(other.path());
    assert_same_run(other.path(), whole.path());
    let mut files: Vec<_> =
        fs::read_dir(other.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    files.sort();
    assert_eq!(files, [ATTENTION_CSV, RESULTS_CSV, RUN_JSON, SPANS_CSV, TOKENS_CSV]);
}

#[test]
fn another_plan_is_refused_with_the_difference_named() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    world.run_all(directory.path());
    let files = [RUN_JSON, RESULTS_CSV, ATTENTION_CSV, TOKENS_CSV];
    let before = files.map(|file| text(directory.path(), file));
    let mut other = World::new();
    other.settings.seed = 8;
    other.settings.model.variant = "ssmax".to_string();
    let Err(error) = other.open(directory.path()) else { panic!("the plan has changed") };
    assert!(matches!(error, Error::PlanChanged { .. }));
    let message = error.to_string();
    for part in ["seed: 7 -> 8", r#"variant: "softmax" -> "ssmax""#, "-o"] {
        assert!(message.contains(part), "{part} in {message}");
    }
    assert_eq!(files.map(|file| text(directory.path(), file)), before);
}

#[test]
fn a_plan_that_left_no_results_gives_way_to_another() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    drop(world.open(directory.path()).unwrap());
    let mut other = World::new();
    other.settings.seed = 8;
    drop(other.open(directory.path()).unwrap());
    assert_eq!(RunRecord::read(directory.path()).unwrap().settings.seed, 8);
}

#[test]
fn of_plans_that_begin_at_once_one_gets_the_directory() {
    const PLANS: u64 = 4;
    for _ in 0..10 {
        let directory = tempfile::tempdir().unwrap();
        let together = Barrier::new(PLANS as usize);
        let open = |seed| {
            let mut world = World::new();
            world.settings.seed = seed;
            together.wait();
            (seed, world.open(directory.path()))
        };
        let opened: Vec<_> = std::thread::scope(|scope| {
            let threads: Vec<_> = (0..PLANS).map(|seed| scope.spawn(move || open(seed))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        let winners: Vec<u64> =
            opened.iter().filter(|(_, store)| store.is_ok()).map(|(seed, _)| *seed).collect();
        assert_eq!(winners.len(), 1);
        assert_eq!(RunRecord::read(directory.path()).unwrap().settings.seed, winners[0]);
    }
}

#[test]
fn results_without_their_run_json_are_left_alone() {
    let world = World::new();
    let directory = tempfile::tempdir().unwrap();
    world.run_all(directory.path());
    fs::remove_file(directory.path().join(RUN_JSON)).unwrap();
    let before = text(directory.path(), RESULTS_CSV);
    let Err(error) = world.open(directory.path()) else { panic!("whose results are they?") };
    assert!(error.to_string().contains("without run.json"), "{error}");
    assert_eq!(text(directory.path(), RESULTS_CSV), before);
    assert!(!directory.path().join(RUN_JSON).exists());
}
