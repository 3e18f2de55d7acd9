//! Parameters at equal loss: sizes of both families, trained on text alone.

use std::path::PathBuf;

use super::super::stages::Stages;
use super::{MULTISCREEN, NAME, TEXT, TEXTS, merged, small, text_loss, training};
use crate::cli::ExperimentArgs;
use crate::error::Result;
use crate::laboratory::measured::sized;
use crate::laboratory::report::sizes;
use crate::report::document::Block;

/// A size of both families, with about as many parameters.
struct Size {
    hidden_size: &'static str,
    intermediate_size: &'static str,
    tiles: &'static str,
}

const SIZES: [Size; 3] = [
    Size { hidden_size: "48", intermediate_size: "128", tiles: "3" },
    Size { hidden_size: "80", intermediate_size: "216", tiles: "5" },
    Size { hidden_size: "128", intermediate_size: "344", tiles: "8" },
];
const SMALL_SIZES: [Size; 3] = [
    Size { hidden_size: "16", intermediate_size: "44", tiles: "1" },
    Size { hidden_size: "32", intermediate_size: "88", tiles: "2" },
    Size { hidden_size: "64", intermediate_size: "172", tiles: "4" },
];
/// The steps of a size: a quarter of those of the main trainings.
const SIZE_STEPS: usize = 4;

/// A model of one of the sizes.
#[derive(Clone)]
pub(super) struct Sized {
    /// `multiscreen-80-42`: the name of its family, its width and its seed.
    pub(super) word: String,
    /// `multiscreen of width 80, seed 42`.
    pub(super) name: String,
    pub(super) checkpoint: PathBuf,
    /// Directory of its losses.
    pub(super) losses: PathBuf,
    model: sizes::SizedModel,
}

/// What was trained and found.
pub(super) struct Made {
    pub(super) section: Vec<Block>,
    /// Of those two sizes whose mean losses over seeds are nearest: the Transformers, and Multiscreen.
    pub(super) nearest: [Vec<Sized>; 2],
}

/// How many stages it takes.
pub(super) fn count(args: &ExperimentArgs) -> usize {
    4 * SIZES.len() * args.seeds.len()
}

/// Trains them and measures their losses.
pub(super) fn run(args: &ExperimentArgs, stages: &mut Stages) -> Result<Made> {
    let steps = (args.steps / SIZE_STEPS).max(1);
    let base = family(args, "softmax", steps, stages, |size| {
        vec![
            ("--variant", "softmax"),
            ("--hidden-size", size.hidden_size),
            ("--intermediate-size", size.intermediate_size),
        ]
    })?;
    let other = family(args, NAME, steps, stages, |size| {
        let own = [("--hidden-size", size.hidden_size), ("--num-attention-heads", size.tiles)];
        MULTISCREEN.iter().copied().chain(own).collect()
    })?;
    let method = format!(
        "{} sizes of each family are trained for {steps} steps with each of {} seeds on sequences of text \
         from a grammar, the same for both families, each with its own optimiser settings, and the loss is \
         measured on {TEXTS} texts of {} tokens whose sentences training never draws.",
        SIZES.len(),
        args.seeds.len(),
        args.context_length
    );
    let models = |name: &str, trained: &[Sized]| sizes::Family {
        name: name.to_string(),
        models: trained.iter().map(|sized| sized.model).collect(),
    };
    let found = sizes::Sizes { method, base: models("softmax", &base), other: models(NAME, &other) };
    let of = |trained: &[Sized], parameters: Option<usize>| {
        let chosen = trained.iter().filter(|sized| Some(sized.model.parameters) == parameters);
        chosen.cloned().collect()
    };
    let nearest = found.nearest();
    Ok(Made {
        section: sizes::section(&found),
        nearest: [of(&base, nearest.map(|pair| pair.0)), of(&other, nearest.map(|pair| pair.1))],
    })
}

/// The sizes of a family, each with the flags that `of` gives it.
fn family(
    args: &ExperimentArgs,
    name: &str,
    steps: usize,
    stages: &mut Stages,
    of: fn(&Size) -> Vec<(&'static str, &'static str)>,
) -> Result<Vec<Sized>> {
    let steps = steps.to_string();
    let mut models = Vec::new();
    for size in if args.small { &SMALL_SIZES } else { &SIZES } {
        for &seed in &args.seeds {
            let word = format!("{name}-{}-{seed}", size.hidden_size);
            let flags = merged(&[small(args), &of(size), &[("--mix", "text=1"), TEXT, ("--steps", &steps)]]);
            let checkpoint = stages.run(&training(args, format!("size-{word}"), flags, seed))?;
            let losses = text_loss(args, &format!("size-loss-{word}"), checkpoint.clone(), stages)?;
            models.push(Sized {
                name: format!("{name} of width {}, seed {seed}", size.hidden_size),
                model: sized(&losses, seed)?,
                word,
                checkpoint,
                losses,
            });
        }
    }
    Ok(models)
}
