//! `niah heads`: which heads retrieve, in a stored run or by a run of its own.

use std::io::Write;
use std::path::{Path, PathBuf};

use super::kept::Keeping;
use super::masked::Experiment;
use super::shown::{Shown, check};
use super::{machine_record, prepare, settings, stop_on_interrupt, tasks, tell, write_file};
use crate::cli::{GridArgs, HeadsArgs};
use crate::error::{self, Error, Result};
use crate::export::style::Style;
use crate::plan::Settings;
use crate::report::Report;
use crate::report::retrieval::RetrievalReport;
use crate::spec::HeadPlace;
use crate::store::retrieval::{StoredHeads, is_stored, read};
use crate::task::groups;

/// Figures of the command.
const FIGURES: &[&str] = &["retrieval"];
/// And of the experiment behind it.
const OF_MASKING: &[&str] = &["masking"];

/// Why nothing can be said of the heads.
const NONE_RIGHT: &str = "none of the answers is right, and a head that copies a wrong one retrieves nothing; count every \
     answer with --all-answers, or measure shorter contexts";

/// Flags that a stored run has a use for, or that change nothing of what is shown of it.
const OF_STORED: &[&str] = &[
    "--model",
    "--score",
    "--threshold",
    "--all-answers",
    "--scores-to",
    "--output-format",
    "--export",
    "--figure",
    "--device",
    "--threads",
    "--quiet",
    "--verbose",
];

/// Runs the command.
///
/// # Errors
/// When there is neither a run nor a checkpoint, when the run cannot be made, when nothing of it says what
/// heads copy, and for a flag of `given` (flags and values, [`crate::cli::given_flags`]) that has nothing to
/// run.
pub fn run(args: &HeadsArgs, given: &[(String, String)], style: &Style) -> Result<()> {
    let is_masking = !args.masking.is_empty();
    check(&args.form, if is_masking { OF_MASKING } else { FIGURES })?;
    let stored = Path::new(args.model.checkpoint.name());
    let (directory, ended) = match is_stored(stored) {
        true if is_masking => {
            let expected =
                "a checkpoint beside --masking, with the directory behind -o: heads are masked in a model";
            return Err(Error::invalid("niah heads", stored.display(), expected));
        }
        true => {
            if let Some((flag, value)) = given.iter().find(|(flag, _)| !OF_STORED.contains(&flag.as_str())) {
                let expected =
                    format!("no such flag, or a model to run with it: {} is a run", stored.display());
                return Err(Error::invalid(flag, value, expected));
            }
            (stored.to_path_buf(), Ok(()))
        }
        false => measured(args)?,
    };
    if is_masking {
        return ended.and(masked(args, &directory, style));
    }
    page(args, &directory, style)?.out()?;
    ended
}

/// Runs the grid on a checkpoint; also returns what came of trials that failed.
fn measured(args: &HeadsArgs) -> Result<(PathBuf, Result<()>)> {
    let run_args = args.run();
    let (directory, ended) = match groups::is_several(&args.grid.task) {
        true => tasks::ran(&run_args)?,
        false => super::run::ran(&run_args)?,
    };
    if !args.telling.quiet {
        tell(format_args!("results: {}", directory.display()));
    }
    Ok((directory, ended))
}

/// Masks the best heads of a directory in runs below it, and shows what answers come to.
fn masked(args: &HeadsArgs, directory: &Path, style: &Style) -> Result<()> {
    let StoredHeads { trials, .. } = read(directory)?;
    let trials = trials.counted(args.all_answers);
    if trials.trials.is_empty() {
        return Err(Error::file(directory, NONE_RIGHT));
    }
    let ranking = trials.ranked(args.score);
    let (device, threads) = prepare(&args.machine)?;
    let stop = stop_on_interrupt()?;
    let task = match groups::is_several(&args.grid.task) {
        true => groups::selected(&args.grid.task)?.first().map_or(String::new(), ToString::to_string),
        false => args.grid.task.clone(),
    };
    let plain = settings(&args.model, &GridArgs { task, ..args.grid.clone() })?;
    let mut counts = args.masking.clone();
    counts.sort_unstable();
    counts.dedup();
    let experiment = Experiment {
        plain: Settings { seed: plain.seed.wrapping_add(1), ..plain },
        ranking: ranking.iter().map(|head| HeadPlace { layer: head.layer, head: head.head }).collect(),
        counts,
        draws: args.draws,
        by: args.mask_heads_by,
        directory: directory.join("masking"),
        sharing: !args.no_prefix_sharing,
        keeping: Keeping { tokens: false, limit: None, telling: &args.telling, stop: &stop },
        device: &device,
        machine: machine_record(&args.machine, threads),
    };
    let (mut report, ended) = experiment.run()?;
    report.notes.insert(0, format!("heads ranked by {} on seed {}", args.score.name(), args.grid.seed));
    Shown::of(&args.form, &Report::from(report), None, style)?.out()?;
    ended
}

/// What the command shows of a directory; the file of scores is written.
///
/// # Errors
/// As [`run()`].
pub fn page(args: &HeadsArgs, directory: &Path, style: &Style) -> Result<Shown> {
    let StoredHeads { title, trials, unknown, warnings } = read(directory)?;
    let (all, tasks) = (trials.trials.len(), trials.tasks.len());
    let trials = trials.counted(args.all_answers);
    let counted = trials.trials.len();
    if counted == 0 {
        let problem = format!(
            "none of {all} answers is right, and a head that copies a wrong one retrieves nothing; count every answer \
             with --all-answers, or measure shorter contexts"
        );
        return Err(Error::file(directory, problem));
    }
    let of_tasks = if tasks > 1 { format!(", of {tasks} tasks") } else { String::new() };
    let mut notes = vec![match args.all_answers {
        true => format!("all {all} answers count{of_tasks}"),
        false => format!("the {counted} of {all} answers that are right count{of_tasks}"),
    }];
    notes.extend((unknown > 0).then(|| format!("{unknown} trials ran without --retrieval and are left out")));
    if let Some(path) = &args.scores_to {
        write_scores(path, &trials.json(args.score))?;
    }
    let report = RetrievalReport { title, notes, trials, score: args.score, threshold: args.threshold };
    Ok(Shown::of(&args.form, &Report::from(report), None, style)?.warning(warnings))
}

fn write_scores(path: &Path, json: &str) -> Result<()> {
    write_file(path, |mut file| {
        let written = file.write_all(json.as_bytes());
        written.map_err(|error| Error::output(path, format!("cannot write: {}", error::reason(&error))))
    })
}
