//! The experiment `ssmax`: what Scalable-Softmax (arXiv 2501.19399) does that Softmax cannot, when Softmax
//! has everything but `ln n`.
//!
//! Every configuration gets its learning rate and curriculum by the same search at the training length, and
//! every variant the norm on queries and keys that suits it best. Beside the two stands `softmax-scale`,
//! which has the parameters of SSMax without `ln n`.

mod found;
mod rows;
mod search;

pub(crate) use self::rows::PARTS;
use self::rows::{NORMS, Part, Positions, RULES, Row, VARIANTS, WITHOUT_GAIN, parts};
use self::search::{flags_of, search, stages_of_one};
use super::configurations::{GRIDS, Measure, Origin, Planned, count, decoder_flags, run as run_all};
use super::stages::Stages;
use super::{Kind, Made};
use crate::cli::ExperimentArgs;
use crate::error::Result;
use crate::laboratory::published;
use crate::laboratory::report::searches::{self, Search, Tried};
use crate::laboratory::report::{Claim, joined, verdicts};

pub(super) const KIND: Kind = Kind {
    title: "Scalable-Softmax against Softmax, in miniature",
    main: VARIANTS.len(),
    paper: published::SSMAX,
    numbers: &[
        published::SSMAX_RETRIEVAL,
        published::SSMAX_LOSS,
        published::SSMAX_POSITIONS,
        published::ROPE_THETA_SCALE,
    ],
    run,
    first: verdicts::section,
};

/// Share of the steps that a swap during training leaves to the new variant, and that a swap after it is
/// tuned for: an eighth.
const SWAPPED: usize = 8;
/// Learning rate of tuning.
const TUNING_LR: &str = "3e-4";
/// Tasks that tell what kind of retrieval is hard: distractors, and easier key-value lines.
const TASKS: &[Measure] =
    &[Measure::Task("magic-multikey"), Measure::Task("abcdigits-5x6"), Measure::Task("abcdigits-5x2")];
/// Sequences of the part `several`: those of the others and prompts of further tasks.
const SEVERAL_MIX: &str = "needles=0.2,key-values=0.2,multi=0.2,magic-multikey=0.1,updates=0.2,ruler-vt=0.1";
/// What is measured there: needles asked for at once, one among others, updates and a chain.
const SEVERAL: &[Measure] = &[
    Measure::Needles,
    Measure::Task("multi-2"),
    Measure::Task("multi"),
    Measure::Task("multi-8"),
    Measure::Task("magic-multikey"),
    Measure::Task("updates"),
    Measure::Task("ruler-vt"),
];
/// What is measured of a configuration beside the main ones.
const SHORT: &[Measure] = &[Measure::Needles, Measure::KeyValues];

/// Everything that the plan is made from.
struct Choice<'a> {
    args: &'a ExperimentArgs,
    parts: Vec<Part>,
    searches: Vec<Search>,
}

/// Runs every stage and reads what they made.
fn run(args: &ExperimentArgs) -> Result<Made> {
    // Of what is shipped there are the main configurations and the swaps.
    let parts = if args.from_fixtures { vec![Part::Swaps] } else { parts(&args.parts)? };
    let trials = args.trials(None);
    let mut choice = Choice { args, parts, searches: found::read(args)? };
    let mut stages = Stages::new(args, choice.stages());
    choice.find_norms(VARIANTS, &mut stages)?;
    let plan = choice.plan();
    let configurations = run_all(args, &plan, trials, &mut stages)?;
    Ok(Made {
        trials,
        configurations: configurations.into_iter().map(|trained| trained.configuration).collect(),
        training: format!(
            "All are trained on the same sequences of a seed, in the same order, from the same matrices, by \
             the same optimiser and schedule; learning rate and curriculum are chosen for each by the search \
             below. Of its norms on queries and keys each variant has the one with which it ends its search \
             at the least loss: {}. What is trained once with further forms or rotary positions has the \
             recipe of its variant with the same norm, the forms of SSMax that of SSMax. Swaps take the \
             weights of plain Softmax after training, as they are or tuned for an eighth of the steps at \
             {TUNING_LR}, or change the rule for the last eighth.",
            joined(&choice.main().iter().map(|row| row.name()).collect::<Vec<_>>())
        ),
        further: searches::section(&choice.searches),
        left_out: stages.left_out(),
    })
}

/// Plain Softmax and SSMax as this experiment has them, for another one to stand beside: the same stages,
/// with the first seed.
pub(super) struct Pair {
    pub(super) planned: [Planned; 2],
    pub(super) searches: Vec<Search>,
}

/// How many searches' stages the pair takes before it is known.
///
/// # Errors
/// When searches are named that cannot be read.
pub(super) fn stages_of_pair(args: &ExperimentArgs) -> Result<usize> {
    let known = found::read(args)?;
    let lacking = |row: &Row| !known.iter().any(|search| search.name == row.name());
    let rows = PAIR.iter().flat_map(|variant| by_norm(variant)).filter(lacking);
    Ok(if args.from_fixtures { 0 } else { rows.count() * stages_of_one(args) })
}

/// Searches for the pair.
///
/// # Errors
/// When a stage fails.
pub(super) fn pair(args: &ExperimentArgs, stages: &mut Stages) -> Result<Pair> {
    let mut choice = Choice { args, parts: Vec::new(), searches: found::read(args)? };
    choice.find_norms(PAIR, stages)?;
    let planned = [0, 1].map(|index| {
        let row = choice.main()[index];
        let planned = choice.once(&row.name(), choice.training(row, 1, &[]), GRIDS);
        Planned { shipped: shipped(row), ..planned }
    });
    Ok(Pair { planned, searches: choice.searches })
}

/// The name by which a row is shipped.
fn shipped(row: Row) -> String {
    // Without a gain and without a scale the scores of plain Softmax are bounded.
    if row.variant == VARIANTS[0] { "softmax-capped".to_string() } else { row.variant.to_string() }
}

/// The variants of the pair.
const PAIR: &[&str] = VARIANTS.split_at(2).0;

/// A variant with each norm.
fn by_norm(variant: &'static str) -> impl Iterator<Item = Row> {
    NORMS.iter().map(move |&norm| Row { variant, norm, positions: Positions::None })
}

impl Choice<'_> {
    /// Searches for the recipe of these variants with each norm.
    fn find_norms(&mut self, variants: &[&'static str], stages: &mut Stages) -> Result<()> {
        variants.iter().flat_map(|variant| by_norm(variant)).try_for_each(|row| self.find(row, stages))
    }

    /// Searches for the recipe of a row unless it is known, or what is shipped needs none.
    fn find(&mut self, row: Row, stages: &mut Stages) -> Result<()> {
        if !self.args.from_fixtures && self.recipe(row).is_none() {
            self.searches.push(search(self.args, &row.name(), &row.flags(), stages)?);
            found::write(self.args, &self.searches)?;
        }
        Ok(())
    }

    /// What the search for a row chose.
    fn recipe(&self, row: Row) -> Option<&Tried> {
        self.searches.iter().find(|search| search.name == row.name())?.chosen()
    }

    /// A variant with the norm with which it has the least loss, of several the first; what is shipped has
    /// norms without a gain.
    fn best(&self, variant: &'static str) -> Row {
        if self.args.from_fixtures {
            return Row { variant, norm: WITHOUT_GAIN, positions: Positions::None };
        }
        let loss = |row: &Row| self.recipe(*row).and_then(|recipe| recipe.loss).unwrap_or(f64::INFINITY);
        let first = Row { variant, norm: NORMS[0], positions: Positions::None };
        by_norm(variant).min_by(|a, b| loss(a).total_cmp(&loss(b))).unwrap_or(first)
    }

    fn has(&self, part: Part) -> bool {
        self.parts.contains(&part)
    }

    fn main(&self) -> Vec<Row> {
        VARIANTS.iter().map(|variant| self.best(variant)).collect()
    }

    /// The rows besides the main ones, each with its part.
    fn others(&self) -> Vec<(Part, Row)> {
        let rows = |variants: &'static [&'static str], positions| {
            NORMS
                .iter()
                .flat_map(move |&norm| variants.iter().map(move |&variant| Row { variant, norm, positions }))
        };
        let main = self.main();
        let norms = rows(VARIANTS, Positions::None).filter(|row| !main.contains(row));
        let norms = norms.map(|row| (Part::Norms, row));
        let rules = rows(RULES, Positions::None).map(|row| (Part::Rules, row));
        let rotary = rows(VARIANTS, Positions::Rotary).chain(rows(RULES, Positions::Rotary));
        let rotary = rotary.map(|row| (Part::Rotary, row));
        norms.chain(rules).chain(rotary).filter(|(part, _)| self.has(*part)).collect()
    }

    /// How many stages everything takes. It does not depend on what the searches choose.
    fn stages(&self) -> usize {
        let searched = if self.args.from_fixtures { 0 } else { VARIANTS.len() * NORMS.len() };
        searched.saturating_sub(self.searches.len()) * stages_of_one(self.args)
            + count(self.args, &self.plan())
    }

    /// The training of a row for `factor` times the steps, with further flags and the recipe that was found
    /// for it: for its variant with its norm, and for all forms of SSMax that of SSMax.
    fn training(&self, row: Row, factor: usize, further: &[&str]) -> Origin {
        let variant = if VARIANTS.contains(&row.variant) { row.variant } else { "ssmax" };
        let recipe = self.recipe(Row { variant, positions: Positions::None, ..row });
        let mut flags = recipe.map_or(Vec::new(), |recipe| flags_of(recipe, self.args.steps * factor));
        flags.extend(decoder_flags(self.args, &row.flags()));
        flags.extend(further.iter().map(ToString::to_string));
        Origin::Trained(flags)
    }

    /// A configuration that is trained with the first seed.
    fn once(&self, name: &str, origin: Origin, measures: &[Measure]) -> Planned {
        let stage = name.replace([',', ' '], "-").replace("--", "-");
        Planned { measures: measures.to_vec(), ..Planned::once(self.args, name, &stage, origin) }
    }

    /// The same as a part of the experiment.
    fn part(&self, part: Part, name: &str, origin: Origin, measures: &[Measure]) -> Planned {
        Planned { part: part.name(), ..self.once(name, origin, measures) }
    }

    fn plan(&self) -> Vec<Planned> {
        let mut plan = Vec::new();
        let far = self.args.has_far().then_some(Measure::Far);
        let measures: Vec<Measure> = GRIDS.iter().copied().chain(far).chain(TASKS.iter().copied()).collect();
        for row in self.main() {
            let claim = (row.variant == "ssmax").then_some(Claim::Better);
            let planned = self.once(&row.name(), self.training(row, 1, &[]), &measures);
            plan.push(Planned { claim, shipped: shipped(row), ..planned.with_all_seeds(self.args) });
        }
        for (part, row) in self.others() {
            let planned = self.part(part, &row.name(), self.training(row, 1, &[]), SHORT);
            // What norm a variant has is a factor of its own, so that every seed is trained with each.
            plan.push(if part == Part::Norms { planned.with_all_seeds(self.args) } else { planned });
            if part == Part::Rotary {
                let factor = published::ROPE_THETA_SCALE.low.to_string();
                let flags = ["--variant", "auto", "--rope-theta-scale", &factor].map(String::from).to_vec();
                let scaled = Origin::Of(row.name(), flags);
                plan.push(self.part(part, &format!("{}, theta x {factor}", row.name()), scaled, SHORT));
            }
        }
        plan.extend(self.trained_longer());
        for row in self.main() {
            plan.extend(self.trained_otherwise(row));
        }
        for row in self.main().into_iter().filter(|_| self.has(Part::Several)) {
            // Prompts of these tasks do not fit into shorter sequences.
            let length = (2 * self.args.context_length.0).to_string();
            let origin = self.training(row, 1, &["--context-length", &length, "--mix", SEVERAL_MIX]);
            let name = format!("{}, several needles", row.name());
            plan.push(self.part(Part::Several, &name, origin, SEVERAL).with_all_seeds(self.args));
        }
        if self.has(Part::Swaps) {
            plan.extend(self.swaps());
        }
        plan
    }

    /// The main configurations trained longer: twice the steps with every seed, since what is learned late
    /// decides what is compared, and four times with the first.
    fn trained_longer(&self) -> Vec<Planned> {
        let mut plan = Vec::new();
        for factor in [2, 4].into_iter().filter(|_| self.has(Part::Longer)) {
            for row in self.main() {
                let name = format!("{}, {factor} x steps", row.name());
                let planned = self.part(Part::Longer, &name, self.training(row, factor, &[]), SHORT);
                plan.push(if factor == 2 { planned.with_all_seeds(self.args) } else { planned });
            }
        }
        plan
    }

    /// A main configuration trained on other lengths and with another weight of answers.
    fn trained_otherwise(&self, row: Row) -> Vec<Planned> {
        let mut plan = Vec::new();
        let mut add = |part: Part, name: String, origin: Origin| {
            plan.push(self.part(part, &format!("{}, {name}", row.name()), origin, SHORT));
        };
        let trained = self.args.context_length.0;
        if self.has(Part::Lengths) {
            for length in [trained / 2, trained * 2].map(|length| length.to_string()) {
                let origin = self.training(row, 1, &["--context-length", &length]);
                add(Part::Lengths, format!("trained on {length}"), origin);
            }
        }
        if self.has(Part::Weights) {
            let origin = self.training(row, 1, &["--answer-weight", "1"]);
            add(Part::Weights, "answer weight 1".to_string(), origin);
        }
        plan
    }

    /// SSMax put in the place of plain Softmax, and the multipliers p_n.
    fn swaps(&self) -> Vec<Planned> {
        let [softmax, ssmax] = [self.main()[0], self.main()[1]];
        let steps = self.args.steps;
        let (tuning, late) = ((steps / SWAPPED).max(1).to_string(), (steps - steps / SWAPPED).to_string());
        let base = softmax.name();
        let partly = |planned: Planned| Planned { claim: Some(Claim::Partly), ..planned };
        let swapped = Origin::Of(base.clone(), ["--variant", "ssmax"].map(String::from).to_vec());
        let tuned = ["--variant", "ssmax", "--steps", &tuning, "--lr", TUNING_LR].map(String::from).to_vec();
        let during = self.training(ssmax, 1, &["--swap-at-step", &late]);
        let adaptive = Row { variant: "adaptive", ..ssmax };
        let adaptive = self.training(adaptive, 1, &[]);
        vec![
            partly(self.part(Part::Swaps, "swapped after training", swapped, GRIDS)),
            partly(self.part(Part::Swaps, "swapped and tuned", Origin::Tuned(base, tuned), GRIDS)),
            partly(self.part(Part::Swaps, "swapped during training", during, GRIDS)),
            self.part(Part::Swaps, "adaptive", adaptive, &[]),
        ]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cli::{Command, parsed};

    fn args(words: &[&str]) -> ExperimentArgs {
        let command =
            ["niah", "experiment", "ssmax", "-o", "out"].iter().chain(words).copied().collect::<Vec<_>>();
        let Command::Experiment(args) = parsed(&command).command else { panic!("another command") };
        args
    }

    /// Whose searches ended at these losses: of each variant with each norm.
    fn choice(args: &ExperimentArgs, losses: [[f64; 3]; 3]) -> Choice<'_> {
        let mut choice = Choice { args, parts: parts(&args.parts).unwrap(), searches: Vec::new() };
        for (variant, losses) in VARIANTS.iter().zip(losses) {
            for (row, loss) in by_norm(variant).zip(losses) {
                let rate = "3e-3".to_string();
                let tried = Tried { rate, curriculum: 80, loss: Some(loss), answer_loss: None };
                choice.searches.push(Search { name: row.name(), tried: vec![tried] });
            }
        }
        choice
    }

    #[test]
    fn each_variant_has_the_norm_that_suits_it_and_the_choice_changes_no_count() {
        let args = args(&[]);
        let of = |losses| {
            let choice = choice(&args, losses);
            (choice.main().iter().map(|row| row.name()).collect::<Vec<_>>(), choice.stages())
        };
        let (names, count) = of([[1.0, 2.0, 3.0], [2.0, 3.0, 1.0], [2.0, 1.0, 3.0]]);
        assert_eq!(names, ["softmax, gain", "ssmax, norm without gain", "softmax-scale, no norm"]);
        let (others, again) = of([[2.0, 1.0, 3.0]; 3]);
        assert!(others.iter().all(|name| name.ends_with("no norm")), "{others:?}");
        assert_eq!(count, again);
    }

    #[test]
    fn every_configuration_has_a_name_and_stages_of_its_own() {
        let args = args(&[]);
        let choice = choice(&args, [[1.0, 2.0, 3.0]; 3]);
        let plan = choice.plan();
        let names: std::collections::BTreeSet<_> = plan.iter().map(|planned| planned.name.clone()).collect();
        let stages: std::collections::BTreeSet<_> =
            plan.iter().map(|planned| planned.shipped.clone()).collect();
        assert_eq!((names.len(), stages.len()), (plan.len(), plan.len()));
        assert_eq!(plan[0].name, "softmax, gain");
        assert_eq!(plan[1].claim, Some(Claim::Better));
        assert!(plan[..3].iter().all(|planned| planned.seeds == [42, 43, 44]));
        for planned in &plan[3..] {
            let every = ["norms", "several"].contains(&planned.part) || planned.name.ends_with(", 2 x steps");
            assert_eq!(planned.seeds.len(), if every { 3 } else { 1 }, "{}", planned.name);
        }
        let without = args_with_none();
        assert_eq!(self::choice(&without, [[1.0, 2.0, 3.0]; 3]).plan().len(), 3);
    }

    fn args_with_none() -> ExperimentArgs {
        args(&["--parts", "none"])
    }
}
