//! The search for a learning rate and a curriculum, the same for every configuration and at the training
//! length alone.

use crate::cli::ExperimentArgs;
use crate::error::Result;
use crate::laboratory::configurations::{decoder_flags, training_stage};
use crate::laboratory::measured::steps;
use crate::laboratory::report::final_loss;
use crate::laboratory::report::searches::{Search, Tried};
use crate::laboratory::stages::{Stage, Stages};

/// Learning rates that are tried, first to last.
const RATES: &[&str] = &["3e-3", "6e-3"];
/// Parts of the steps over which key-value lines grow, in per cent; rates are tried with the first.
const CURRICULA: &[usize] = &[40, 80];

/// A recipe as flags of a training of `steps`.
pub(super) fn flags_of(recipe: &Tried, steps: usize) -> Vec<String> {
    let curriculum = (steps * recipe.curriculum / 100).to_string();
    let steps = steps.to_string();
    ["--steps", &steps, "--curriculum-steps", &curriculum, "--lr", &recipe.rate].map(String::from).to_vec()
}

/// The rates of a training whose numbers mean something, or one where it is to be seen running.
fn rates(args: &ExperimentArgs) -> &'static [&'static str] {
    if args.small { &RATES[..1] } else { RATES }
}

/// Trainings of a search.
pub(super) fn stages_of_one(args: &ExperimentArgs) -> usize {
    rates(args).len() + CURRICULA.len() - 1
}

/// Tries every rate with the first curriculum and then every other curriculum with the best rate, with the
/// first seed. What it goes by is the mean loss of all tokens over the last steps: every sequence is new, so
/// that is the loss on what was never seen, at the training length. Every try is a training as the
/// configuration's own: which curriculum suits depends on the steps, and the one that is chosen is not
/// trained again.
pub(super) fn search(
    args: &ExperimentArgs,
    name: &str,
    flags: &[&str],
    stages: &mut Stages,
) -> Result<Search> {
    let mut attempt = |rate: &str, curriculum: usize| -> Result<Tried> {
        let tried = Tried { rate: rate.to_string(), curriculum, loss: None, answer_loss: None };
        let mut arguments = vec!["train".to_string()];
        arguments.extend(flags_of(&tried, args.steps));
        arguments.extend(decoder_flags(args, flags));
        arguments.extend(args.sequences());
        let seed = args.seeds[0];
        arguments.extend(["--seed".to_string(), seed.to_string()]);
        arguments.extend(["--save-every", "50"].map(String::from));
        let stage = Stage::new(training_stage(name, seed), arguments, vec![]);
        let trained = self::steps(&stages.run(&stage)?)?;
        Ok(Tried {
            loss: final_loss(&trained, |step| Some(step.loss)).filter(|loss| loss.is_finite()),
            answer_loss: final_loss(&trained, |step| step.answer_loss),
            ..tried
        })
    };
    let of_rate = rates(args).iter().map(|rate| attempt(rate, CURRICULA[0]));
    let mut search = Search { name: name.to_string(), tried: of_rate.collect::<Result<_>>()? };
    let best = search.chosen().map_or(RATES[0].to_string(), |tried| tried.rate.clone());
    for &curriculum in &CURRICULA[1..] {
        search.tried.push(attempt(&best, curriculum)?);
    }
    Ok(search)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_scales_with_the_steps() {
        let recipe = Tried { rate: "6e-3".to_string(), curriculum: 40, loss: None, answer_loss: None };
        let flags = flags_of(&recipe, 500).join(" ");
        assert_eq!(flags, "--steps 500 --curriculum-steps 200 --lr 6e-3");
    }
}
