//! The search for a learning rate and a curriculum, the same for every configuration and at the training
//! length alone.

use crate::cli::ExperimentArgs;
use crate::error::Result;
use crate::laboratory::configurations::decoder_flags;
use crate::laboratory::measured::steps;
use crate::laboratory::report::final_loss;
use crate::laboratory::report::searches::{Search, Tried};
use crate::laboratory::stages::{Stage, Stages, word};

/// Learning rates that are tried, first to last.
const RATES: &[&str] = &["3e-3", "1.5e-3", "6e-3"];
/// Parts of the steps over which key-value lines grow, in per cent; rates are tried with the first.
const CURRICULA: &[usize] = &[80, 40];
/// Part of the steps of a training that a try has.
const PART: usize = 2;

/// What a search chose.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Recipe {
    rate: &'static str,
    /// In per cent of the steps.
    curriculum: usize,
    /// The loss that it was chosen for.
    pub(super) loss: f64,
}

impl Recipe {
    /// As flags of a training of `steps`.
    pub(super) fn flags(&self, steps: usize) -> Vec<String> {
        let curriculum = (steps * self.curriculum / 100).to_string();
        let steps = steps.to_string();
        ["--steps", &steps, "--curriculum-steps", &curriculum, "--lr", self.rate].map(String::from).to_vec()
    }
}

#[cfg(test)]
impl Recipe {
    /// One that was chosen for this loss.
    pub(super) fn test(loss: f64) -> Self {
        Self { rate: RATES[0], curriculum: CURRICULA[0], loss }
    }
}

/// The rates of a training whose numbers mean something, or one where it is to be seen running.
fn rates(args: &ExperimentArgs) -> &'static [&'static str] {
    if args.small { &RATES[..1] } else { RATES }
}

/// Trainings of a search.
pub(super) fn stages_of_one(args: &ExperimentArgs) -> usize {
    rates(args).len() + CURRICULA.len() - 1
}

/// Tries every rate with the first curriculum and then the other curricula with the best rate, with the first
/// seed. What it goes by is the mean loss of all tokens over the last steps: every sequence is new, so that
/// is the loss on what was never seen, at the training length.
pub(super) fn search(
    args: &ExperimentArgs,
    name: &str,
    flags: &[&str],
    stages: &mut Stages,
) -> Result<(Recipe, Search)> {
    let steps_of_one = (args.steps / PART).max(1);
    let mut tried: Vec<(Recipe, Tried)> = Vec::new();
    let mut attempt = |rate: &'static str, curriculum: usize| -> Result<Recipe> {
        let mut recipe = Recipe { rate, curriculum, loss: f64::INFINITY };
        let mut arguments = vec!["train".to_string()];
        arguments.extend(recipe.flags(steps_of_one));
        arguments.extend(decoder_flags(args, flags));
        arguments.extend(args.sequences());
        arguments.extend(["--seed".to_string(), args.seeds[0].to_string()]);
        arguments.extend(["--save-every", "50"].map(String::from));
        let stage = Stage::new(format!("search-{}-{rate}-{curriculum}", word(name)), arguments, vec![]);
        let steps = steps(&stages.run(&stage)?)?;
        recipe.loss = final_loss(&steps, |step| Some(step.loss)).unwrap_or(f64::INFINITY);
        let answer_loss = final_loss(&steps, |step| step.answer_loss);
        tried.push((recipe.clone(), Tried { rate, curriculum, loss: recipe.loss, answer_loss }));
        Ok(recipe)
    };
    let mut best: Option<Recipe> = None;
    let mut keep = |recipe: Recipe| {
        if best.as_ref().is_none_or(|best| recipe.loss < best.loss) {
            best = Some(recipe.clone());
        }
        best.clone().unwrap_or(recipe)
    };
    let mut chosen = keep(attempt(rates(args)[0], CURRICULA[0])?);
    for rate in &rates(args)[1..] {
        chosen = keep(attempt(rate, CURRICULA[0])?);
    }
    for &curriculum in &CURRICULA[1..] {
        chosen = keep(attempt(chosen.rate, curriculum)?);
    }
    let tried = tried.into_iter().map(|(_, tried)| tried).collect();
    let chosen_of = (chosen.rate, chosen.curriculum);
    Ok((chosen, Search { name: name.to_string(), steps: steps_of_one, tried, chosen: chosen_of }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recipe_scales_with_the_steps() {
        let recipe = Recipe { rate: "6e-3", curriculum: 40, loss: 1.0 };
        let flags = recipe.flags(500).join(" ");
        assert_eq!(flags, "--steps 500 --curriculum-steps 200 --lr 6e-3");
    }
}
