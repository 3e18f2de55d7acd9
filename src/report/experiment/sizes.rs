//! Parameters that two families need for the same loss.
//!
//! In each family the line `loss = a + b ln N` is fitted to its models, N their parameters. At a loss L it needs
//! `N = exp((L - a) / b)` parameters, and the ratio of the families is taken in the middle of the losses that both reach.

use super::number;
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Series, Shape, Table};
use crate::stats::{LineFit, line_fit};

/// The share of parameters that the paper saves.
const PUBLISHED: (f64, f64) = (0.30, 0.40);
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

    fn without(&self, index: usize) -> Self {
        let mut family = self.clone();
        family.models.remove(index);
        family
    }
}

/// Parameters at equal loss.
#[derive(Debug, Clone, PartialEq)]
struct EqualLoss {
    loss: f64,
    /// Whether both families have models on both sides of the loss, or at it.
    reached: bool,
    /// Parameters of the base and of the other family.
    parameters: [f64; 2],
    /// The ratios that remain when one model is left out, of either family.
    left_out: Vec<f64>,
    /// How many models could be left out.
    attempts: usize,
}

impl EqualLoss {
    fn of(sizes: &Sizes) -> Option<Self> {
        let (base, other) = (&sizes.base, &sizes.other);
        let ((base_low, base_high), (other_low, other_high)) = (base.losses()?, other.losses()?);
        let (low, high) = (base_low.max(other_low), base_high.min(other_high));
        let loss = 0.5 * (low + high);
        let ratio =
            |base: &Family, other: &Family| Some(other.parameters_at(loss)? / base.parameters_at(loss)?);
        let without_base =
            (0..base.models.len()).map(|index| ratio(&base.without(index), other)).collect::<Vec<_>>();
        let without_other = (0..other.models.len()).map(|index| ratio(base, &other.without(index)));
        let left_out: Vec<Option<f64>> = without_base.into_iter().chain(without_other).collect();
        Some(Self {
            loss,
            reached: low <= high,
            parameters: [base.parameters_at(loss)?, other.parameters_at(loss)?],
            attempts: left_out.len(),
            left_out: left_out.into_iter().flatten().collect(),
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
            vec![family.name.clone(), model.parameters.to_string(), format!("{:.4}", model.loss)]
        })
    });
    let models = Table {
        caption: "Loss on held-out text in nats a token.".to_string(),
        header: ["family", "parameters", "loss"].map(String::from).to_vec(),
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
    let published = format!("{:.0} to {:.0} % fewer", 100.0 * PUBLISHED.0, 100.0 * PUBLISHED.1);
    let Some(equal) = EqualLoss::of(sizes) else {
        return format!(
            "More parameters do not make the loss smaller in both families here, so nothing can be said of the parameters that they \
             need for the same loss. The paper finds {published} for Multiscreen."
        );
    };
    let place = if equal.reached {
        "in the middle of the losses that both families reach"
    } else {
        "in the middle between the losses of the two families, which do not overlap, so that both lines are extended"
    };
    let ratio = equal.ratio();
    let [of_base, of_other] = equal.parameters.map(|count| format!("{count:.0}"));
    let saved = 1.0 - ratio;
    let amount = match saved {
        saved if saved >= 0.0 => format!("{:.0} % fewer", 100.0 * saved),
        _ => format!("{:.0} % more", -100.0 * saved),
    };
    let verdict = match saved {
        saved if saved < 0.0 => ": here it is the other way around",
        saved if saved < PUBLISHED.0 => ": here it is a smaller saving",
        saved if saved > PUBLISHED.1 => ": here it is a larger saving",
        _ => ", as here",
    };
    let low = equal.left_out.iter().copied().reduce(f64::min);
    let spread = low.zip(equal.left_out.iter().copied().reduce(f64::max)).map_or(
        "no ratio is left when a model is left out".to_string(),
        |(low, high)| {
            format!(
                "from {low:.3} to {high:.3} over {} of {} fits with one model left out",
                equal.left_out.len(),
                equal.attempts
            )
        },
    );
    format!(
        "At a loss of {} nats, {place}, {other} needs {of_other} parameters and {base} {of_base}: a ratio of {ratio:.3} ({spread}), \
         {amount}. The paper finds {published}{verdict}. The spread does not hold what another seed would change.",
        number(Some(equal.loss))
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Models on the line `loss = 10 - ln(N / factor)`, and how far each lies off it.
    fn family(name: &str, factor: f64, parameters: [usize; 3], off: [f64; 3]) -> Family {
        let model = |(&parameters, off): (&usize, f64)| SizedModel {
            parameters,
            loss: 10.0 - (parameters as f64 / factor).ln() + off,
        };
        Family { name: name.to_string(), models: parameters.iter().zip(off).map(model).collect() }
    }

    fn sizes(factor: f64) -> Sizes {
        let parameters = [1000, 2000, 4000];
        Sizes {
            method: "m".to_string(),
            base: family("softmax", 1.0, parameters, [0.0; 3]),
            other: family("multiscreen", factor, parameters, [0.0; 3]),
        }
    }

    #[test]
    fn the_ratio_at_equal_loss_is_that_of_the_lines_whichever_way_it_comes_out() {
        for (factor, words) in [
            (
                0.65,
                "a ratio of 0.650 (from 0.650 to 0.650 over 6 of 6 fits with one model left out), 35 % fewer. The paper finds 30 to 40 % fewer, as here.",
            ),
            (0.50, "50 % fewer. The paper finds 30 to 40 % fewer: here it is a larger saving."),
            (0.90, "10 % fewer. The paper finds 30 to 40 % fewer: here it is a smaller saving."),
            (1.50, "50 % more. The paper finds 30 to 40 % fewer: here it is the other way around."),
        ] {
            let found = finding(&sizes(factor));
            assert!(found.contains(words), "{factor}: {words} in {found}");
            assert!(found.contains("in the middle of the losses that both families reach"), "{found}");
        }
    }

    #[test]
    fn a_model_off_the_line_spreads_the_ratio() {
        let mut sizes = sizes(0.65);
        sizes.other = family("multiscreen", 0.65, [1000, 2000, 4000], [0.0, 0.1, 0.0]);
        let equal = EqualLoss::of(&sizes).unwrap();
        let (low, high) = equal.left_out.iter().fold((9.0_f64, 0.0_f64), |(a, b), &x| (a.min(x), b.max(x)));
        assert!(low < equal.ratio() - 0.01 && high > equal.ratio() + 0.01, "{equal:?}");
    }

    #[test]
    fn losses_that_do_not_overlap_are_extended_and_said_to_be() {
        let found = finding(&sizes(0.1));
        assert!(found.contains("which do not overlap") && found.contains("a ratio of 0.100"), "{found}");
    }

    #[test]
    fn without_a_falling_line_there_is_no_ratio() {
        let mut sizes = sizes(0.65);
        sizes.other.models.reverse();
        for (model, loss) in sizes.other.models.iter_mut().zip([2.0, 3.0, 4.0]) {
            model.loss = loss;
        }
        assert!(EqualLoss::of(&sizes).is_some());
        sizes.other.models.iter_mut().for_each(|model| model.loss = -model.loss);
        assert_eq!(EqualLoss::of(&sizes), None);
        assert!(finding(&sizes).starts_with("More parameters do not make the loss smaller"));
        sizes.base.models.clear();
        assert_eq!(section(&sizes).len(), 6);
    }
}
