//! The loss after a fixed number of steps by learning rate, and where training diverges.

use super::{FINAL, StepLoss, final_loss, joined, number};
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Series, Shape, Table};
use crate::stats::mean;

/// Exponents of the learning rates whose gradients are drawn.
const DRAWN: [i32; 6] = [-10, -8, -6, -4, -2, 0];
/// The loss is drawn up to this factor of that of guessing.
const HIGHEST: f64 = 1.1;
/// A loss that ends this far above the smallest one on the way was thrown back, in nats.
const THROWN_BACK: f64 = 0.5;
/// Norms of gradients count after this share of the steps: those of the first ones are the same at every
/// rate.
const RISEN: usize = 10;

/// The trainings of a family.
#[derive(Debug, Clone, PartialEq)]
pub struct Family {
    /// Its name.
    pub name: String,
    /// Entries of its vocabulary: guessing them alike has a loss of `ln` of this.
    pub vocabulary: usize,
    /// One for each rate, ascending.
    pub runs: Vec<RateRun>,
}

/// A training at one learning rate.
#[derive(Debug, Clone, PartialEq)]
pub struct RateRun {
    /// The rate is two to the power of this.
    pub exponent: i32,
    /// Steps that were to be trained.
    pub planned: usize,
    /// Steps that were: fewer where the gradient stopped being a number.
    pub steps: Vec<StepLoss>,
}

/// How a training ended.
#[derive(Debug, Clone, Copy, PartialEq)]
enum End {
    /// At this loss, better than guessing.
    Trained(f64),
    /// At this loss, no better than guessing, at a rate too small for the number of steps.
    Slow(f64),
    /// At this loss: above that of the first step, thrown back after a smaller one, or no better than
    /// guessing at a rate above the best one.
    Diverged(f64),
    /// In this step, whose gradient was not a number.
    NotFinite(usize),
}

impl End {
    fn diverged(self) -> bool {
        matches!(self, Self::Diverged(_) | Self::NotFinite(_))
    }
}

impl RateRun {
    /// The loss at the end; `None` when there is no end.
    fn loss(&self) -> Option<f64> {
        final_loss(&self.steps, |step| Some(step.loss)).filter(|_| self.steps.len() >= self.planned)
    }

    /// Whether the loss ends far above the smallest one on the way, smoothed as that at the end is.
    fn thrown_back(&self) -> bool {
        let window = self.steps.len().div_ceil(FINAL).max(1);
        let losses: Vec<f64> = self.steps.iter().map(|step| step.loss).collect();
        let smallest = losses.windows(window).filter_map(mean).reduce(f64::min);
        self.loss().zip(smallest).is_some_and(|(loss, smallest)| loss > smallest + THROWN_BACK)
    }

    fn largest_norm(&self) -> Option<f64> {
        let risen = &self.steps[self.steps.len() / RISEN..];
        risen.iter().map(|step| step.gradient_norm).reduce(f64::max)
    }
}

impl Family {
    fn ends(&self) -> impl Iterator<Item = (i32, End)> {
        let best = self.best().map(|(exponent, _)| exponent);
        self.runs.iter().map(move |run| (run.exponent, self.end(run, best)))
    }

    fn end(&self, run: &RateRun, best: Option<i32>) -> End {
        let Some(loss) = run.loss() else { return End::NotFinite(run.steps.len() + 1) };
        let first = run.steps.first().map_or(f64::INFINITY, |step| step.loss);
        if loss < self.guessing() && !run.thrown_back() {
            End::Trained(loss)
        } else if loss < first && !run.thrown_back() && best.is_none_or(|best| run.exponent < best) {
            End::Slow(loss)
        } else {
            End::Diverged(loss)
        }
    }

    /// The loss of guessing all tokens alike.
    fn guessing(&self) -> f64 {
        (self.vocabulary as f64).ln()
    }

    fn diverged(&self) -> Vec<i32> {
        self.ends().filter(|(_, end)| end.diverged()).map(|(exponent, _)| exponent).collect()
    }

    /// The largest rate up to which no training diverges; `None` when the smallest does.
    fn stable(&self) -> Option<i32> {
        self.ends().take_while(|(_, end)| !end.diverged()).last().map(|(exponent, _)| exponent)
    }

    /// The rate with the smallest loss at the end among those better than guessing, and that loss.
    fn best(&self) -> Option<(i32, f64)> {
        let whole = self.runs.iter().filter(|run| !run.thrown_back());
        let trained = whole.filter_map(|run| Some((run.exponent, run.loss()?)));
        trained.filter(|(_, loss)| *loss < self.guessing()).min_by(|a, b| a.1.total_cmp(&b.1))
    }
}

/// The section of the report: `method` says how the families, the compared one first, were trained.
#[must_use]
pub fn section(method: &str, base: &Family, other: &Family) -> Vec<Block> {
    let families = [base, other];
    let mut panels = vec![losses(&families)];
    panels.extend(families.iter().map(|family| norms(family)));
    let figure = Figure {
        name: "learning-rates".to_string(),
        caption: "Loss at the end by learning rate, a cross at the upper edge where training diverged; and \
                  the norm of the gradient by step, before any clipping, for some of the rates."
            .to_string(),
        panels,
    };
    vec![
        Block::Heading("Learning rates".to_string()),
        Block::Paragraph(method.to_string()),
        Block::Paragraph(finding(base, other)),
        Block::Figure(figure),
        Block::Table(table(&families)),
    ]
}

fn losses(families: &[&Family]) -> Panel {
    let guessing = families.iter().map(|family| family.guessing()).fold(0.0, f64::max);
    let low = families.iter().filter_map(|family| family.best()).map(|(_, loss)| loss).reduce(f64::min);
    let (low, high) = (0.95 * low.unwrap_or(0.0), HIGHEST * guessing);
    let series = families.iter().enumerate().flat_map(|(color, family)| {
        let points = |diverged: bool| {
            let point = move |(exponent, end): (i32, End)| match end {
                End::Trained(loss) | End::Slow(loss) => (!diverged).then(|| Point::new(rate(exponent), loss)),
                End::Diverged(_) | End::NotFinite(_) => diverged.then(|| Point::new(rate(exponent), high)),
            };
            family.ends().filter_map(point).collect::<Vec<_>>()
        };
        let series = |name: &str, shape, points| Series { name: name.to_string(), color, shape, points };
        let diverged = format!("{}, diverged", family.name);
        let all = [
            series(&family.name, Shape::Line, points(false)),
            series(&diverged, Shape::Crosses, points(true)),
        ];
        all.into_iter().filter(|series| !series.points.is_empty())
    });
    Panel::Chart(Chart {
        title: "Loss by learning rate".to_string(),
        x: Axis::logarithmic("learning rate"),
        y: Axis::linear("loss at the end (nats a token)", Some((low, high))),
        series: series.collect(),
        marks: vec![],
    })
}

fn norms(family: &Family) -> Panel {
    let of = |run: &RateRun| {
        let color = DRAWN.iter().position(|&exponent| exponent == run.exponent)?;
        let norms = run.steps.iter().filter(|step| step.gradient_norm > 0.0);
        let points = norms.map(|step| Point::new(step.step as f64, step.gradient_norm)).collect();
        Some(Series { name: named(run.exponent), color: color + 2, shape: Shape::Line, points })
    };
    Panel::Chart(Chart {
        title: format!("{}: norm of the gradient", family.name),
        x: Axis::linear("step", None),
        y: Axis::logarithmic("norm of the gradient"),
        series: family.runs.iter().filter_map(of).collect(),
        marks: vec![],
    })
}

fn table(families: &[&Family]) -> Table {
    let mut header = vec!["learning rate".to_string()];
    for family in families {
        header.extend([family.name.clone(), format!("{}: largest norm", family.name)]);
    }
    let mut exponents: Vec<i32> =
        families.iter().flat_map(|family| family.runs.iter().map(|run| run.exponent)).collect();
    exponents.sort_unstable();
    exponents.dedup();
    let rows = exponents.iter().map(|&exponent| {
        let cells = families.iter().flat_map(|family| {
            let run = family.runs.iter().find(|run| run.exponent == exponent);
            let best = family.best().map(|(exponent, _)| exponent);
            let end = run.map_or("–".to_string(), |run| match family.end(run, best) {
                End::Trained(loss) | End::Slow(loss) => number(Some(loss)),
                End::Diverged(loss) => format!("{}, diverged", number(Some(loss))),
                End::NotFinite(step) => format!("not finite in step {step}"),
            });
            let norm = run.and_then(RateRun::largest_norm);
            [end, norm.map_or("–".to_string(), |norm| format!("{norm:.3e}"))]
        });
        std::iter::once(named(exponent)).chain(cells).collect()
    });
    Table {
        caption: format!(
            "Loss at the end in nats a token, mean over the last {FINAL}th of the steps, and the largest \
             norm of a gradient after the first {RISEN}th."
        ),
        header,
        rows: rows.collect(),
    }
}

fn finding(base: &Family, other: &Family) -> String {
    let guessing = base.guessing();
    let told = [base, other].map(|family| {
        let diverged: Vec<String> = family.diverged().into_iter().map(named).collect();
        let where_ = match diverged.len() {
            0 => "at none of the rates".to_string(),
            count => {
                format!("at {count} of {} rates ({})", family.runs.len(), joined(&diverged))
            }
        };
        let best = family.best().map_or("none trains".to_string(), |(exponent, loss)| {
            format!("the smallest loss is {} at {}", number(Some(loss)), named(exponent))
        });
        format!("{} diverges {where_}; {best}.", family.name)
    });
    let stable = |family: &Family| {
        family.stable().map_or("at no rate".to_string(), |exponent| format!("up to {}", named(exponent)))
    };
    let verdict =
        match (base.diverged().is_empty() && other.diverged().is_empty(), other.stable().cmp(&base.stable()))
        {
            (true, _) => "here no training of either diverges, so nothing is seen of that".to_string(),
            (false, order) => {
                let found = format!(
                    "here {} is stable {} and {} {}",
                    other.name,
                    stable(other),
                    base.name,
                    stable(base)
                );
                match order {
                    std::cmp::Ordering::Greater => format!("{found}, as the paper finds"),
                    std::cmp::Ordering::Equal => format!("{found}, which is no difference"),
                    std::cmp::Ordering::Less => format!("{found}, the other way around"),
                }
            }
        };
    format!(
        "A training counts as diverged when its gradient stops being a number, when its loss ends more than \
         {THROWN_BACK} nats above the smallest on the way, or when it ends no better than {guessing:.3}, the \
         loss of guessing all tokens alike, and above that of the first step or at a rate above the best \
         one; below the best one it is merely slow. {} {} The paper finds Multiscreen stable at learning \
         rates where a Transformer diverges: {verdict}.",
        told[0], told[1]
    )
}

fn rate(exponent: i32) -> f64 {
    f64::from(exponent).exp2()
}

/// `2^-10`.
fn named(exponent: i32) -> String {
    format!("2^{exponent}")
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 20 steps were planned; the losses are those of the last ones that were trained, after others of 9
    /// nats.
    fn run(exponent: i32, trained: usize, loss: f64) -> RateRun {
        let step = |step| StepLoss {
            step,
            loss: if step == trained { loss } else { 9.0 },
            answer_loss: None,
            learning_rate: 0.1,
            gradient_norm: step as f64,
            scale: None,
            largest_window: None,
            windows_beyond: None,
        };
        RateRun { exponent, planned: 20, steps: (1..=trained).map(step).collect() }
    }

    /// At rates 2^-2, 2^-1 and 2^0; the vocabulary of 400 makes guessing 5.99 nats.
    fn family(name: &str, ends: [(usize, f64); 3]) -> Family {
        let runs = ends.iter().zip(-2..).map(|(&(trained, loss), exponent)| run(exponent, trained, loss));
        Family { name: name.to_string(), vocabulary: 400, runs: runs.collect() }
    }

    #[test]
    fn who_is_stable_at_larger_rates_is_said_whichever_way_it_comes_out() {
        let (calm, wild) = ([(20, 3.0), (20, 2.0), (20, 4.0)], [(20, 3.5), (20, 7.0), (3, 2.0)]);
        for (base, other, words) in [
            (wild, calm, "here multiscreen is stable up to 2^0 and softmax up to 2^-2, as the paper finds."),
            (
                calm,
                wild,
                "here multiscreen is stable up to 2^-2 and softmax up to 2^0, the other way around.",
            ),
            (wild, wild, "which is no difference."),
            (calm, calm, "here no training of either diverges, so nothing is seen of that."),
        ] {
            let found = finding(&family("softmax", base), &family("multiscreen", other));
            assert!(found.contains(words), "{words} in {found}");
        }
        let found = finding(&family("softmax", wild), &family("multiscreen", calm));
        for words in [
            "ends no better than 5.991",
            "softmax diverges at 2 of 3 rates (2^-1 and 2^0); the smallest loss is 3.500 at 2^-2.",
            "multiscreen diverges at none of the rates; the smallest loss is 2.000 at 2^-1.",
        ] {
            assert!(found.contains(words), "{words} in {found}");
        }
    }

    #[test]
    fn a_training_diverges_by_its_gradient_by_its_loss_or_by_guessing_above_the_best_rate() {
        let ends = |ends| family("softmax", ends).ends().map(|(_, end)| end).collect::<Vec<_>>();
        // The first loss is 9 and guessing has 5.99.
        let found = ends([(20, 6.5), (20, 5.9), (20, 6.5)]);
        assert_eq!(found, [End::Slow(6.5), End::Trained(5.9), End::Diverged(6.5)]);
        let found = ends([(20, 9.5), (19, 2.0), (0, 2.0)]);
        assert_eq!(found, [End::Diverged(9.5), End::NotFinite(20), End::NotFinite(1)]);
        assert!(matches!(ends([(20, f64::NAN); 3])[0], End::Diverged(loss) if loss.is_nan()));
        assert_eq!(family("softmax", [(20, 6.5), (20, 5.9), (20, 6.5)]).stable(), Some(-1));
    }

    #[test]
    fn a_loss_that_falls_and_is_thrown_back_has_diverged_though_it_beats_guessing() {
        let mut family = family("softmax", [(20, 3.5), (20, 3.4), (20, 3.3)]);
        assert_eq!(family.best(), Some((0, 3.3)));
        family.runs[2].steps[10].loss = 2.7;
        assert_eq!(family.end(&family.runs[2], Some(-1)), End::Diverged(3.3));
        assert_eq!((family.best(), family.stable()), (Some((-1, 3.4)), Some(-1)));
    }

    #[test]
    fn a_diverged_training_is_a_cross_and_no_point_of_the_curve() {
        let base = family("softmax", [(20, 3.5), (20, 7.0), (0, 2.0)]);
        let blocks = section("m", &base, &Family { name: "multiscreen".to_string(), ..base.clone() });
        let Block::Figure(figure) = &blocks[3] else { panic!("{blocks:?}") };
        let Panel::Chart(chart) = &figure.panels[0] else { panic!("{figure:?}") };
        let points: Vec<usize> = chart.series.iter().map(|series| series.points.len()).collect();
        assert_eq!(points, [1, 2, 1, 2]);
        let Block::Table(table) = &blocks[4] else { panic!("{blocks:?}") };
        assert_eq!(table.rows[0][..3], ["2^-2", "3.500", "2.000e1"]);
        assert_eq!(table.rows[1][1], "7.000, diverged");
        assert_eq!(table.rows[2][1..3], ["not finite in step 1", "–"]);
    }
}
