//! Parameters that two families need for the same loss.
//!
//! In each family the line `loss = a + b ln N` is fitted to its models, N their parameters. At a loss L it
//! needs `N = exp((L - a) / b)` parameters, and the ratio of the families is taken in the middle of the
//! losses that both reach. Every size is trained with every seed: the ratio of all models is given with those
//! of each seed alone and with the interval of their logarithms over seeds.

use std::collections::BTreeSet;

use super::{number, over_seeds};
use crate::laboratory::published::{MULTISCREEN_SAVING, Published};
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Series, Shape, Table};
use crate::stats::{Interval, LineFit, line_fit, mean};

/// The share of parameters that the paper saves.
const PUBLISHED: Published = MULTISCREEN_SAVING;
/// A line is believed up to this factor from the sizes that it was fitted to.
const EXTENDED: f64 = 2.0;
/// Points that a fitted curve is drawn with.
const DRAWN: usize = 24;

/// The models of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// Its models, of different sizes.
    pub models: Vec<SizedModel>,
}

/// A model of a family.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct SizedModel {
    /// The seed of its training.
    pub seed: u64,
    /// Its parameters, embeddings among them.
    pub parameters: usize,
    /// Its mean loss on held-out text, in nats a token.
    pub loss: f64,
}

/// What was trained.
#[derive(Debug, Clone, PartialEq)]
pub struct Sizes {
    /// How it was trained and measured, a paragraph.
    pub method: String,
    /// The family that is compared with.
    pub base: Family,
    /// The family whose parameters are counted in those of the base.
    pub other: Family,
}

impl Family {
    fn fit(&self) -> Option<LineFit> {
        let point = |model: &SizedModel| ((model.parameters as f64).ln(), model.loss);
        line_fit(&self.models.iter().map(point).collect::<Vec<_>>())
    }

    /// Parameters at this loss, where more of them make it smaller.
    fn parameters_at(&self, loss: f64) -> Option<f64> {
        let fit = self.fit().filter(|fit| fit.slope < 0.0)?;
        Some(((loss - fit.intercept) / fit.slope).exp())
    }

    /// The smallest and the largest loss.
    fn losses(&self) -> Option<(f64, f64)> {
        let losses = || self.models.iter().map(|model| model.loss);
        losses().reduce(f64::min).zip(losses().reduce(f64::max))
    }

    /// Whether the line says something of this many parameters.
    fn covers(&self, parameters: f64) -> bool {
        let sizes = || self.models.iter().map(|model| model.parameters as f64);
        let range = sizes().reduce(f64::min).zip(sizes().reduce(f64::max));
        range.is_some_and(|(low, high)| (low / EXTENDED..=high * EXTENDED).contains(&parameters))
    }

    /// The mean loss of every size, by its parameters.
    fn means(&self) -> Vec<(usize, f64)> {
        let sizes: BTreeSet<usize> = self.models.iter().map(|model| model.parameters).collect();
        let losses = |size: usize| self.models.iter().filter(move |model| model.parameters == size);
        let of = |size: usize| Some((size, mean(&losses(size).map(|model| model.loss).collect::<Vec<_>>())?));
        sizes.into_iter().filter_map(of).collect()
    }

    /// The models of a seed.
    fn of_seed(&self, seed: u64) -> Self {
        let models = self.models.iter().filter(|model| model.seed == seed).copied().collect();
        Self { name: self.name.clone(), models }
    }
}

impl Sizes {
    /// The two sizes, by their parameters, of the base and of the other family whose mean losses over seeds
    /// are nearest.
    #[must_use]
    pub fn nearest(&self) -> Option<(usize, usize)> {
        let (bases, others) = (self.base.means(), self.other.means());
        let pairs = bases.iter().flat_map(|base| others.iter().map(move |other| (base, other)));
        pairs
            .map(|(base, other)| ((base.1 - other.1).abs(), (base.0, other.0)))
            .min_by(|a, b| a.0.total_cmp(&b.0))
            .map(|(_, pair)| pair)
    }
}

/// Parameters at equal loss.
#[derive(Debug, Clone, PartialEq)]
struct EqualLoss {
    loss: f64,
    /// Whether both families have models on both sides of the loss, or at it, and both numbers of parameters
    /// are near theirs.
    reached: bool,
    /// Parameters of the base and of the other family.
    parameters: [f64; 2],
    /// The ratio of each seed's own lines at that loss; `None` where a line does not fall.
    by_seed: Vec<Option<f64>>,
}

impl EqualLoss {
    fn of(sizes: &Sizes) -> Option<Self> {
        let (base, other) = (&sizes.base, &sizes.other);
        let ((base_low, base_high), (other_low, other_high)) = (base.losses()?, other.losses()?);
        let (low, high) = (base_low.max(other_low), base_high.min(other_high));
        let loss = 0.5 * (low + high);
        let parameters = [base.parameters_at(loss)?, other.parameters_at(loss)?];
        let mut seeds: Vec<u64> = base.models.iter().map(|model| model.seed).collect();
        seeds.sort_unstable();
        seeds.dedup();
        let ratio = |seed: u64| {
            Some(other.of_seed(seed).parameters_at(loss)? / base.of_seed(seed).parameters_at(loss)?)
        };
        Some(Self {
            loss,
            reached: low <= high && base.covers(parameters[0]) && other.covers(parameters[1]),
            parameters,
            by_seed: seeds.into_iter().map(ratio).collect(),
        })
    }

    fn ratio(&self) -> f64 {
        self.parameters[1] / self.parameters[0]
    }
}

/// The section of the report.
#[must_use]
pub fn section(sizes: &Sizes) -> Vec<Block> {
    let families = [&sizes.base, &sizes.other];
    let series = families.iter().enumerate().flat_map(|(color, family)| drawn(family, color)).collect();
    let figure = Figure {
        name: "loss-by-parameters".to_string(),
        caption:
            "Loss on held-out text by the number of parameters: models, and the fitted lines a + b ln N."
                .to_string(),
        panels: vec![Panel::Chart(Chart {
            title: "Loss by parameters".to_string(),
            x: Axis::logarithmic("parameters"),
            y: Axis::linear("loss (nats a token)", None),
            series,
            marks: vec![],
        })],
    };
    let rows = families.iter().flat_map(|family| {
        family.models.iter().map(|model| {
            let numbers =
                [model.parameters.to_string(), model.seed.to_string(), format!("{:.4}", model.loss)];
            std::iter::once(family.name.clone()).chain(numbers).collect()
        })
    });
    let models = Table {
        caption: "Loss on held-out text in nats a token.".to_string(),
        header: ["family", "parameters", "seed", "loss"].map(String::from).to_vec(),
        rows: rows.collect(),
    };
    let fits = families.iter().filter_map(|family| {
        let fit = family.fit()?;
        let numbers = [fit.intercept, fit.slope, fit.r_squared].map(|number| format!("{number:.4}"));
        Some(std::iter::once(family.name.clone()).chain(numbers).collect())
    });
    let fits = Table {
        caption: "Fits of loss = a + b ln N by least squares.".to_string(),
        header: ["family", "a", "b", "R²"].map(String::from).to_vec(),
        rows: fits.collect(),
    };
    vec![
        Block::Heading("Parameters needed for the same loss".to_string()),
        Block::Paragraph(sizes.method.clone()),
        Block::Paragraph(finding(sizes)),
        Block::Figure(figure),
        Block::Table(models),
        Block::Table(fits),
    ]
}

/// A family's models and its line.
fn drawn(family: &Family, color: usize) -> Vec<Series> {
    let points =
        family.models.iter().map(|model| Point::new(model.parameters as f64, model.loss)).collect::<Vec<_>>();
    let ends = points.iter().map(|point| point.x).reduce(f64::min);
    let ends = ends.zip(points.iter().map(|point| point.x).reduce(f64::max));
    let line = family.fit().zip(ends).map(|(fit, (from, to))| {
        let step = (to / from).powf(1.0 / (DRAWN - 1) as f64);
        let at = |index: usize| from * step.powf(index as f64);
        (0..DRAWN).map(|index| Point::new(at(index), fit.intercept + fit.slope * at(index).ln())).collect()
    });
    let series = |name: &str, shape, points| Series { name: name.to_string(), color, shape, points };
    let mut drawn = vec![series(&family.name, Shape::Dots, points)];
    drawn.extend(line.map(|line| series(&format!("{}: a + b ln N", family.name), Shape::Line, line)));
    drawn
}

fn finding(sizes: &Sizes) -> String {
    let (base, other) = (&sizes.base.name, &sizes.other.name);
    let published = format!("{:.0} to {:.0} % fewer", 100.0 * PUBLISHED.low, 100.0 * PUBLISHED.high);
    let Some(equal) = EqualLoss::of(sizes) else {
        return format!(
            "More parameters do not make the loss smaller in both families here, so nothing can be said of \
             the parameters that they need for the same loss. The paper finds {published} for Multiscreen."
        );
    };
    if !equal.reached {
        return format!(
            "The models of the two families do not reach the same losses: a line would have to be extended \
             far past its models, so nothing can be said of the parameters that they need for the same loss. \
             The paper finds {published} for Multiscreen."
        );
    }
    let ratio = equal.ratio();
    let [of_base, of_other] = equal.parameters.map(|count| format!("{count:.0}"));
    let saved = 1.0 - ratio;
    let amount = match saved {
        saved if saved >= 0.0 => format!("{:.0} % fewer", 100.0 * saved),
        _ => format!("{:.0} % more", -100.0 * saved),
    };
    let told: Vec<String> = equal.by_seed.iter().map(|ratio| number(*ratio)).collect();
    let logarithms: Option<Vec<f64>> = equal.by_seed.iter().map(|ratio| ratio.map(f64::ln)).collect();
    let interval = logarithms.as_deref().map(over_seeds);
    let ratios = |logarithm: f64| number(Some(logarithm.exp()));
    let spread = format!(
        "by seed {}; {}",
        told.join(", "),
        interval.map_or("no interval: not every seed has a ratio".to_string(), |interval| {
            interval.told(equal.by_seed.len(), "seed", ratios)
        })
    );
    let open = "; on which side of that it is here is not shown";
    let ends = interval.and_then(Interval::ends);
    let verdict = ends.map(|(low, high)| (side(1.0 - high.exp()), side(1.0 - low.exp())));
    let verdict = verdict.filter(|(least, most)| least == most).map_or(open, |(least, _)| least.told());
    format!(
        "At a loss of {} nats, in the middle of the losses that both families reach, {other} needs {of_other} \
         parameters and {base} {of_base}: a ratio of {ratio:.3} ({spread}), {amount}. The paper finds \
         {published}{verdict}.",
        number(Some(equal.loss))
    )
}

/// On which side of the published saving one lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Side {
    None,
    Smaller,
    Published,
    Larger,
}

fn side(saved: f64) -> Side {
    match saved {
        saved if saved < 0.0 => Side::None,
        saved if saved < PUBLISHED.low => Side::Smaller,
        saved if saved > PUBLISHED.high => Side::Larger,
        _ => Side::Published,
    }
}

impl Side {
    fn told(self) -> &'static str {
        match self {
            Self::None => ": here it is the other way around",
            Self::Smaller => ": here it is a smaller saving",
            Self::Published => ", as here",
            Self::Larger => ": here it is a larger saving",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Models on the line `loss = 10 - ln(N / factor)` of each seed, seeds from 1.
    fn family(name: &str, factors: &[f64], parameters: [usize; 3]) -> Family {
        let model = |seed: u64, factor: f64, parameters: usize| SizedModel {
            seed,
            parameters,
            loss: 10.0 - (parameters as f64 / factor).ln(),
        };
        let of_seed = |(seed, &factor): (u64, &f64)| parameters.map(|count| model(seed, factor, count));
        Family { name: name.to_string(), models: (1..).zip(factors).flat_map(of_seed).collect() }
    }

    fn sizes(factors: &[f64]) -> Sizes {
        let parameters = [1000, 2000, 4000];
        Sizes {
            method: "m".to_string(),
            base: family("softmax", &vec![1.0; factors.len()], parameters),
            other: family("multiscreen", factors, parameters),
        }
    }

    #[test]
    fn the_ratio_at_equal_loss_is_that_of_the_lines_whichever_way_it_comes_out() {
        for (factor, words) in [
            (
                0.65,
                "a ratio of 0.650 (by seed 0.649, 0.651; 95 % interval 0.638 to 0.663, Student's t over 2 \
                 seeds), 35 % fewer. The paper finds 30 to 40 % fewer, as here.",
            ),
            (0.50, "50 % fewer. The paper finds 30 to 40 % fewer: here it is a larger saving."),
            (0.90, "10 % fewer. The paper finds 30 to 40 % fewer: here it is a smaller saving."),
            (1.50, "50 % more. The paper finds 30 to 40 % fewer: here it is the other way around."),
        ] {
            let found = finding(&sizes(&[0.9985 * factor, 1.0015 * factor]));
            assert!(found.contains(words), "{factor}: {words} in {found}");
        }
        let found = finding(&sizes(&[0.65]));
        assert!(found.contains("(by seed 0.650; no interval: that takes two seeds), 35 % fewer"), "{found}");
    }

    #[test]
    fn the_nearest_sizes_are_those_of_the_nearest_mean_losses() {
        // With a quarter of the parameters of a base the other family reaches about its loss.
        let mut sizes = sizes(&[0.24, 0.26]);
        assert_eq!(sizes.nearest(), Some((4000, 1000)));
        // The first seed alone would choose 1000 of each now, the second one still 4000 and 1000.
        sizes.other.models[0].loss = sizes.base.models[0].loss;
        assert_eq!(sizes.nearest(), Some((2000, 1000)));
        sizes.other.models.clear();
        assert_eq!(sizes.nearest(), None);
    }

    #[test]
    fn seeds_spread_the_ratio_and_leave_open_what_their_interval_does_not_show() {
        for factors in [[0.62, 0.68], [0.50, 0.80]] {
            let found = finding(&sizes(&factors));
            let [first, second] = factors;
            assert!(found.contains(&format!("(by seed {first:.3}, {second:.3}; 95 % interval ")), "{found}");
            assert!(found.ends_with("which side of that it is here is not shown."), "{found}");
        }
        let mut rising = sizes(&[0.65, 0.65]);
        for (model, loss) in rising.other.models[3..].iter_mut().zip([2.3, 2.4, 2.5]) {
            model.loss = loss;
        }
        let found = finding(&rising);
        assert!(found.contains(", –; no interval: not every seed has a ratio)"), "{found}");
        assert!(found.ends_with("which side of that it is here is not shown."), "{found}");
    }

    #[test]
    fn of_losses_that_only_one_family_reaches_nothing_is_said() {
        for factor in [0.1, 1e-300] {
            let found = finding(&sizes(&[factor]));
            assert!(found.contains("do not reach the same losses") && !found.contains("ratio"), "{found}");
        }
        // They overlap, and a line that hardly falls ends far away.
        let mut flat = sizes(&[1.0]);
        for (model, loss) in flat.other.models.iter_mut().zip([2.0, 3.0, 1.99]) {
            model.loss = loss;
        }
        assert!(finding(&flat).contains("do not reach the same losses"), "{}", finding(&flat));
    }

    #[test]
    fn without_a_falling_line_there_is_no_ratio() {
        let mut sizes = sizes(&[0.65]);
        for (model, loss) in sizes.other.models.iter_mut().zip([2.0, 3.0, 4.0]) {
            model.loss = loss;
        }
        assert_eq!(EqualLoss::of(&sizes), None);
        assert!(finding(&sizes).starts_with("More parameters do not make the loss smaller"));
        sizes.base.models.clear();
        assert_eq!(section(&sizes).len(), 6);
    }
}
