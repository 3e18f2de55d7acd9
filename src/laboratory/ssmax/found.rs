//! What searches found: `searches.json` beside a report, which another run takes with `--searches` instead of
//! searching again.

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::cli::ExperimentArgs;
use crate::error::{Error, Result};
use crate::files;
use crate::laboratory::report::searches::Search;
use crate::store::directory::{make, replace};
use crate::train::data::RECIPE;

/// Its name, beside the report.
const SEARCHES_JSON: &str = "searches.json";
/// Bytes of such a file, at most.
const MOST_BYTES: u64 = 1 << 20;

/// The file.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Found {
    trainings: Trainings,
    searches: Vec<Search>,
}

/// What the trainings of a search have in common: a recipe is good for these alone.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Trainings {
    steps: usize,
    seed: u64,
    context_length: usize,
    small: bool,
    sequences_version: u32,
}

impl Trainings {
    fn of(args: &ExperimentArgs) -> Self {
        Self {
            steps: args.steps,
            seed: args.seeds[0],
            context_length: args.context_length.0,
            small: args.small,
            sequences_version: RECIPE,
        }
    }
}

/// The searches that were named; none where no file was.
///
/// # Errors
/// [`Error::File`] when the file is none of these, or is of other trainings.
pub(super) fn read(args: &ExperimentArgs) -> Result<Vec<Search>> {
    let Some(path) = &args.searches else { return Ok(Vec::new()) };
    let remedy = format!("name the {SEARCHES_JSON} of an experiment, or leave --searches out to search anew");
    let bytes = files::read(path, MOST_BYTES)
        .map_err(|error| Error::file(path, format!("cannot read: {error}; {remedy}")))?;
    let found: Found = serde_json::from_slice(&bytes)
        .map_err(|error| Error::file(path, format!("no searches of this version: {error}; {remedy}")))?;
    let asked = Trainings::of(args);
    if found.trainings != asked {
        let problem =
            format!("searched with {:?}, where this experiment has {asked:?}; {remedy}", found.trainings);
        return Err(Error::file(path, problem));
    }
    Ok(found.searches)
}

/// Writes what has been found so far.
///
/// # Errors
/// [`Error::Output`] when it cannot be written.
pub(super) fn write(args: &ExperimentArgs, searches: &[Search]) -> Result<()> {
    let directory = args.output.join(&args.name);
    make(&directory)?;
    write_to(&directory.join(SEARCHES_JSON), args, searches)
}

fn write_to(path: &Path, args: &ExperimentArgs, searches: &[Search]) -> Result<()> {
    let found = Found { trainings: Trainings::of(args), searches: searches.to_vec() };
    let text = serde_json::to_string_pretty(&found).map_err(|error| Error::output(path, error))?;
    replace(path, |new| fs::write(new, text + "\n").map_err(|error| Error::output(path, error)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parsed};
    use crate::laboratory::report::searches::Tried;

    fn args(words: &[&str]) -> ExperimentArgs {
        let command = ["niah", "experiment", "ssmax", "-o", "out"].iter().chain(words).copied();
        let Command::Experiment(args) = parsed(&command.collect::<Vec<_>>()).command else {
            panic!("another command")
        };
        args
    }

    fn searches() -> Vec<Search> {
        let tried = |rate: &str, loss| Tried {
            rate: rate.to_string(),
            curriculum: 40,
            loss,
            answer_loss: loss.map(|loss| loss / 3.0),
        };
        let tried = vec![tried("3e-3", Some(0.1 + 0.2)), tried("6e-3", None)];
        vec![Search { name: "softmax, gain".to_string(), tried }]
    }

    #[test]
    fn what_was_found_is_read_as_it_was_written_and_a_diverged_try_is_never_chosen() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(SEARCHES_JSON);
        write_to(&path, &args(&[]), &searches()).unwrap();
        let found = read(&args(&["--searches", &path.to_string_lossy()])).unwrap();
        assert_eq!(found, searches());
        assert_eq!(found[0].chosen().unwrap().rate, "3e-3");
        assert!(read(&args(&[])).unwrap().is_empty());
    }

    #[test]
    fn the_searches_that_are_kept_fit_the_experiment_as_it_is_by_default() {
        let kept = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/ssmax_searches.json");
        let found = read(&args(&["--searches", kept])).unwrap();
        assert!(found.len() == 9 && found.iter().all(|search| search.tried.len() == 3), "{found:?}");
    }

    #[test]
    fn searches_of_other_trainings_and_other_files_are_refused() {
        let place = tempfile::tempdir().unwrap();
        let path = place.path().join(SEARCHES_JSON);
        let named = path.to_string_lossy().into_owned();
        let refusal =
            |words: &[&str]| read(&args(&[&["--searches", &named], words].concat())).unwrap_err().to_string();
        assert!(refusal(&[]).contains("cannot read"));
        write_to(&path, &args(&[]), &searches()).unwrap();
        for words in [&["--steps", "100"][..], &["--seeds", "7"], &["--context-length", "128"], &["--small"]]
        {
            assert!(refusal(words).contains("leave --searches out"), "{words:?}");
        }
        fs::write(&path, "{\"searches\": []}").unwrap();
        assert!(refusal(&[]).contains("no searches of this version"));
    }
}
