//! The time of a pass over a whole context.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use super::super::configurations::Trained;
use super::super::stages::{Stage, Stages, word};
use super::sizes::Sized;
use super::{FULL, NAME, SOFTMAX, TEXTS, narrow, text_loss};
use crate::cli::ExperimentArgs;
use crate::error::Result;
use crate::laboratory::measured::{machine, seconds, steps, text_losses};
use crate::laboratory::report::speed::{Speeds, Timed, section};
use crate::report::document::Block;

const LENGTHS: &str = "1k,2k,4k,8k,16k,32k,64k,100k";
const SMALL_LENGTHS: &str = "64,128,256";
const ROUNDS: usize = 5;
const SMALL_ROUNDS: usize = 2;

fn rounds(args: &ExperimentArgs) -> usize {
    if args.small { SMALL_ROUNDS } else { ROUNDS }
}

/// How many stages it takes.
pub(super) fn count(args: &ExperimentArgs) -> usize {
    // Two Transformers and Multiscreen; one and Multiscreen with every seed; the same after text alone.
    let seeds = args.seeds.len();
    let losses = 3 + seeds;
    losses + (3 + (1 + seeds) + (1 + seeds)) * rounds(args)
}

/// A model to be timed.
#[derive(Clone)]
struct Model {
    /// Its name in the report.
    name: String,
    /// Its name among the stages.
    word: String,
    checkpoint: PathBuf,
    /// Directory of its losses.
    losses: PathBuf,
}

/// Models that are timed by turns.
struct Group {
    heading: &'static str,
    figure: &'static str,
    /// What the models are, a few sentences.
    about: String,
    bases: Vec<Model>,
    others: Vec<Model>,
}

/// Times the models of the main trainings, and `nearest`, the Transformers and the Multiscreen models of two
/// sizes of equal loss.
pub(super) fn run(
    args: &ExperimentArgs,
    trained: &[Trained],
    nearest: [Vec<Sized>; 2],
    stages: &mut Stages,
) -> Result<Vec<Block>> {
    let mut blocks = Vec::new();
    let screening = of_the_main_training(args, trained, NAME, stages)?;
    let mut bases = Vec::new();
    for name in [SOFTMAX, FULL] {
        bases.extend(of_the_main_training(args, trained, name, stages)?);
    }
    if let Some(first) = screening.first() {
        blocks.extend(time(args, of_equal_sizes(bases, first.clone()), stages)?);
        let narrow = of_the_main_training(args, trained, narrow(args).name, stages)?;
        if let Some(narrow) = narrow.into_iter().next() {
            blocks.extend(time(args, of_equal_loss(narrow, screening), stages)?);
        }
    }
    let [bases, others] = nearest;
    if let Some(base) = bases.into_iter().next() {
        blocks.extend(time(args, of_text_alone(base, others), stages)?);
    }
    Ok(blocks)
}

/// The models of a configuration of the main trainings by seed, and their losses; none where it is missing.
fn of_the_main_training(
    args: &ExperimentArgs,
    trained: &[Trained],
    name: &str,
    stages: &mut Stages,
) -> Result<Vec<Model>> {
    let Some(found) = trained.iter().find(|trained| trained.configuration.name == name) else {
        return Ok(vec![]);
    };
    let mut models = Vec::new();
    for (run, checkpoint) in found.configuration.runs.iter().zip(&found.checkpoints) {
        let word = format!("{}-{}", word(name), run.seed);
        let losses = text_loss(args, &format!("speed-loss-{word}"), checkpoint.clone(), stages)?;
        let name = format!("{name}, seed {}", run.seed);
        models.push(Model { name, word, checkpoint: checkpoint.clone(), losses });
    }
    Ok(models)
}

fn of_equal_sizes(bases: Vec<Model>, screening: Model) -> Group {
    Group {
        heading: "Time of one pass over a whole context",
        figure: "time-by-length",
        about: format!(
            "The models are those of the main trainings: {SOFTMAX} sees everything in every other layer and \
             a window in those between, {FULL} has its sizes and no window."
        ),
        bases,
        others: vec![screening],
    }
}

fn of_equal_loss(narrow: Model, screening: Vec<Model>) -> Group {
    let again = |model: Model| Model { word: format!("equal-{}", model.word), ..model };
    Group {
        heading: "Time of one pass at equal loss",
        figure: "time-by-length-at-equal-loss",
        about: format!(
            "The Transformer without windows is trained on the same main sequences once more, with fewer \
             heads of the same size and narrower in proportion, for its loss on text to be that of \
             Multiscreen; whether it is, is said below. Its time does not depend on its weights, so it has \
             one seed, and {NAME} every one, since the lengths of its windows are learned."
        ),
        bases: vec![again(narrow)],
        others: screening.into_iter().map(again).collect(),
    }
}

fn of_text_alone(base: Sized, others: Vec<Sized>) -> Group {
    let model = |Sized { name, word, checkpoint, losses, .. }| Model { name, word, checkpoint, losses };
    Group {
        heading: "Time of one pass at equal loss, after training on text alone",
        figure: "time-by-length-after-text-alone",
        about: format!(
            "The models are trained on text alone, and those two of the sizes above whose mean losses over \
             seeds are nearest: one Transformer, since its time does not depend on its weights, and {NAME} \
             with every seed, since the lengths of its windows are learned. The Transformer has windows in \
             every other layer, as {SOFTMAX}. These texts hardly ask for long windows: a Transformer pays \
             for what its layers could see, {NAME} for what it has learned to look at, and that is what \
             these ratios show."
        ),
        bases: vec![model(base)],
        others: others.into_iter().map(model).collect(),
    }
}

/// Times models by turns; their section.
fn time(args: &ExperimentArgs, group: Group, stages: &mut Stages) -> Result<Vec<Block>> {
    let models = || group.bases.iter().chain(&group.others);
    let mut bases = Vec::new();
    for model in models() {
        bases.push(Timed {
            name: model.name.clone(),
            losses: text_losses(&model.losses)?,
            steps: steps(&model.checkpoint)?,
            rounds: vec![],
        });
    }
    let mut machines = BTreeSet::new();
    for round in 1..=rounds(args) {
        for (model, timed) in models().zip(&mut bases) {
            let measured = bench(args, &model.word, &model.checkpoint, round, stages)?;
            timed.rounds.push(seconds(&measured)?);
            machines.insert(machine(&measured)?);
        }
    }
    let others = bases.split_off(group.bases.len());
    let machines: Vec<String> = machines.into_iter().collect();
    let method = format!(
        "{} Every model reads a prompt of random tokens in f32 by the kernels of this program, {} rounds by \
         turns; the time is that of the prompt alone, on {}. The numbers are those of this machine and of \
         these models. Losses are those of {TEXTS} held-out texts of {} tokens.",
        group.about,
        rounds(args),
        machines.join("; and on "),
        args.context_length
    );
    Ok(section(&Speeds {
        heading: group.heading.to_string(),
        figure: group.figure.to_string(),
        method,
        bases,
        others,
    }))
}

/// The directory of one round of a model: each length once. The prompts of a round are those of its seed.
fn bench(
    args: &ExperimentArgs,
    word: &str,
    checkpoint: &Path,
    round: usize,
    stages: &mut Stages,
) -> Result<PathBuf> {
    let lengths = if args.small { SMALL_LENGTHS } else { LENGTHS };
    let (model, round) = (checkpoint.display().to_string(), round.to_string());
    let arguments = [
        "bench",
        "--model",
        &model,
        "--context-lengths",
        lengths,
        "--max-new-tokens",
        "1",
        "--repeats",
        "1",
        "--no-peak-memory",
        "--seed",
        &round,
    ];
    let name = format!("bench-{word}-{round}");
    let arguments = arguments.map(String::from).to_vec();
    let reads = vec![checkpoint.to_path_buf()];
    stages.run(&Stage::new(name, arguments, reads))
}
