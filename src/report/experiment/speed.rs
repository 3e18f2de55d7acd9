//! The time of one pass over a whole context, by its length.
//!
//! The models are measured by turns, round after round, so that a machine that is slower for a while is so for all of them. Ratios
//! are taken within a round; the median over rounds counts.

use super::{number, tokens};
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Series, Shape, Table};
use crate::report::speed::Spread;
use crate::stats::{LineFit, line_fit, mean, student_interval};

/// The range of published ratios, at [`PUBLISHED_LENGTH`] tokens.
const PUBLISHED: (f64, f64) = (2.3, 3.2);
const PUBLISHED_LENGTH: usize = 100_000;

/// A model and its times.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// Its name.
    pub name: String,
    /// Its mean loss on each of some texts, the same for all models, in nats a token; none where it was not measured.
    pub losses: Vec<f64>,
    /// Seconds of a pass, by rounds; in each a length and its time, lengths ascending and the same in all of them.
    pub rounds: Vec<Vec<(usize, f64)>>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Speeds {
    /// What the models are and how they were measured, a paragraph.
    pub method: String,
    /// The models that are compared with.
    pub bases: Vec<Timed>,
    /// The model whose speed is asked for.
    pub other: Timed,
}

impl Timed {
    fn lengths(&self) -> Vec<usize> {
        self.rounds.first().into_iter().flatten().map(|(length, _)| *length).collect()
    }

    fn seconds(&self, round: usize, length: usize) -> Option<f64> {
        self.rounds.get(round)?.iter().find(|(of, _)| *of == length).map(|(_, seconds)| *seconds)
    }

    fn spread(&self, length: usize) -> Option<Spread> {
        let seconds = (0..self.rounds.len()).filter_map(|round| self.seconds(round, length));
        Spread::of(&seconds.collect::<Vec<_>>())
    }

    /// How many times as long as `other` it takes, round by round.
    fn ratio(&self, other: &Self, length: usize) -> Option<Spread> {
        let of = |round| self.ratio_in(round, other, length);
        Spread::of(&(0..self.rounds.len()).filter_map(of).collect::<Vec<_>>())
    }

    /// The same in one round.
    fn ratio_in(&self, round: usize, other: &Self, length: usize) -> Option<f64> {
        Some(self.seconds(round, length)? / other.seconds(round, length)?)
    }

    /// The slope of `ln ratio` over `ln n` in every round.
    fn slopes(&self, other: &Self) -> Vec<f64> {
        let slope = |round: usize| {
            let ratio = |length: usize| Some((length, self.ratio_in(round, other, length)?));
            growth(self.lengths().into_iter().filter_map(ratio)).map(|fit| fit.slope)
        };
        (0..self.rounds.len()).filter_map(slope).collect()
    }

    /// The median ratios by length.
    fn ratios(&self, other: &Self) -> Vec<(usize, Spread)> {
        let of = |length| Some((length, self.ratio(other, length)?));
        self.lengths().into_iter().filter_map(of).collect()
    }
}

/// `ln ratio = intercept + slope ln n`.
fn growth(ratios: impl Iterator<Item = (usize, f64)>) -> Option<LineFit> {
    let point = |(length, ratio): (usize, f64)| ((length as f64).ln(), ratio.ln());
    line_fit(&ratios.map(point).collect::<Vec<_>>())
}

/// The section of the report.
#[must_use]
pub fn section(speeds: &Speeds) -> Vec<Block> {
    let mut blocks = vec![
        Block::Heading("Time of one pass over a whole context".to_string()),
        Block::Paragraph(speeds.method.clone()),
    ];
    blocks.extend(speeds.bases.iter().map(|base| Block::Paragraph(finding(base, &speeds.other))));
    blocks.extend([Block::Figure(figure(speeds)), Block::Table(table(speeds))]);
    blocks
}

fn figure(speeds: &Speeds) -> Figure {
    let point = |length: usize, spread: Spread| Point {
        x: length as f64,
        y: spread.median,
        interval: Some((spread.min, spread.max)),
    };
    let series =
        |color, name: &str, points| Series { name: name.to_string(), color, shape: Shape::Line, points };
    let times = speeds.bases.iter().chain([&speeds.other]).enumerate().map(|(color, timed)| {
        let points =
            timed.lengths().into_iter().filter_map(|length| Some(point(length, timed.spread(length)?)));
        series(color, &timed.name, points.collect())
    });
    let ratios = speeds.bases.iter().enumerate().map(|(color, base)| {
        let points = base.ratios(&speeds.other).into_iter().map(|(length, ratio)| point(length, ratio));
        series(color, &base.name, points.collect())
    });
    let x = || Axis::logarithmic("context length (tokens)");
    let chart = |title: String, y, series| Panel::Chart(Chart { title, x: x(), y, series, marks: vec![] });
    Figure {
        name: "time-by-length".to_string(),
        caption: "Time of one pass over the context, and how many times that of the last model it is: medians over rounds, with the \
                  smallest and the largest."
            .to_string(),
        panels: vec![
            chart("Time of a pass".to_string(), Axis::logarithmic("seconds"), times.collect()),
            chart(
                format!("Time over that of {}", speeds.other.name),
                Axis::linear("ratio", None),
                ratios.collect(),
            ),
        ],
    }
}

fn table(speeds: &Speeds) -> Table {
    let mut header = vec!["context length".to_string()];
    header.extend(speeds.bases.iter().chain([&speeds.other]).map(|timed| format!("{} (s)", timed.name)));
    header.extend(speeds.bases.iter().map(|base| format!("{} over {}", base.name, speeds.other.name)));
    let row = |length: usize| {
        let seconds = speeds.bases.iter().chain([&speeds.other]);
        let seconds = seconds.map(|timed| number(timed.spread(length).map(|spread| spread.median)));
        let ratios =
            speeds.bases.iter().map(|base| base.ratio(&speeds.other, length).map_or("–".to_string(), told));
        std::iter::once(tokens(length)).chain(seconds).chain(ratios).collect()
    };
    Table {
        caption: "Median time of a pass over rounds, and the median of the ratios with the smallest and the largest."
            .to_string(),
        header,
        rows: speeds.other.lengths().into_iter().map(row).collect(),
    }
}

/// `2.10 (1.90 to 2.40)`.
fn told(ratio: Spread) -> String {
    format!("{:.2} ({:.2} to {:.2})", ratio.median, ratio.min, ratio.max)
}

fn finding(base: &Timed, other: &Timed) -> String {
    let ratios = base.ratios(other);
    let (Some((first, low)), Some((last, high))) = (ratios.first(), ratios.last()) else {
        return format!("{} and {} were not measured at the same lengths.", base.name, other.name);
    };
    let median = ratios.iter().map(|(length, ratio)| (*length, ratio.median));
    let grown = growth(median).map_or(String::new(), |fit| {
        let factor = fit.slope.exp2();
        let slopes = base.slopes(other);
        let how = match slopes.iter().filter(|slope| **slope > 0.0).count() {
            count if count == slopes.len() => "grows",
            0 => "falls",
            _ => "grows in some rounds and falls in others",
        };
        format!(
            " With the length n the ratio {how}: about as n to the power of {:.3} (R² = {:.3}), so that doubling the length multiplies \
             it by {factor:.3}.",
            fit.slope, fit.r_squared
        )
    });
    let (published_low, published_high) = PUBLISHED;
    let published = format!("{published_low} to {published_high}");
    let verdict = match *high {
        _ if *last < PUBLISHED_LENGTH => {
            format!("The published range, {published}, is at 100K tokens, which are not measured here.")
        }
        ratio if ratio.max < published_low => {
            format!("The published range at 100K tokens is {published}: here it is less.")
        }
        ratio if ratio.min > published_high => {
            format!("The published range at 100K tokens is {published}: here it is more.")
        }
        ratio if ratio.min >= published_low && ratio.max <= published_high => {
            format!("The published range at 100K tokens is {published}, as here.")
        }
        _ => format!(
            "The published range at 100K tokens is {published}: the rounds reach from within it to outside."
        ),
    };
    format!(
        "{} takes {} times as long as {} at {} and {} times as long at {}.{grown} {verdict}",
        base.name,
        told(*low),
        other.name,
        tokens(*first),
        told(*high),
        tokens(*last)
    ) + &at_equal_loss(base, other)
}

/// What the losses of the two, on the same texts, say of the ratio of their times.
fn at_equal_loss(base: &Timed, other: &Timed) -> String {
    let differences: Vec<f64> =
        base.losses.iter().zip(&other.losses).map(|(base, other)| base - other).collect();
    let Some((difference, (low, high))) = mean(&differences).zip(student_interval(&differences)) else {
        return String::new();
    };
    let meaning = match (low > 0.0, high < 0.0) {
        (true, _) => "it is the worse model, and one of equal loss would be larger and slower",
        (_, true) => "it is the better model, and one of equal loss would be smaller and faster",
        _ => "the two are of equal loss as far as these texts tell",
    };
    format!(
        " The loss of {} is {}, that of {} {}, a difference of {difference:+.3} nats a token (95 % interval {low:+.3} to {high:+.3} over \
         {} texts): {meaning}.",
        base.name,
        number(mean(&base.losses)),
        other.name,
        number(mean(&other.losses)),
        differences.len()
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three rounds, the second one slower by half for everything.
    fn timed(name: &str, times: &[(usize, f64)]) -> Timed {
        let round = |factor: f64| times.iter().map(|(length, seconds)| (*length, factor * seconds)).collect();
        Timed { name: name.to_string(), losses: vec![], rounds: [1.0, 1.5, 1.0].map(round).to_vec() }
    }

    /// The ratio is `at_first` at 1,000 tokens and `at_last` at `length`.
    fn speeds(length: usize, at_first: f64, at_last: f64) -> Speeds {
        Speeds {
            method: "m".to_string(),
            bases: vec![timed("softmax", &[(1000, at_first), (length, 8.0 * at_last)])],
            other: timed("multiscreen", &[(1000, 1.0), (length, 8.0)]),
        }
    }

    #[test]
    fn the_ratio_is_held_against_the_published_one_whichever_way_it_comes_out() {
        for (length, at_last, words) in [
            (102_400, 4.0, "The published range at 100K tokens is 2.3 to 3.2: here it is more."),
            (102_400, 3.0, "The published range at 100K tokens is 2.3 to 3.2, as here."),
            (102_400, 1.0, "The published range at 100K tokens is 2.3 to 3.2: here it is less."),
            (8000, 4.0, "The published range, 2.3 to 3.2, is at 100K tokens, which are not measured here."),
        ] {
            let speeds = speeds(length, 1.0, at_last);
            let found = finding(&speeds.bases[0], &speeds.other);
            assert!(found.contains(words), "{words} in {found}");
        }
    }

    #[test]
    fn a_ratio_that_doubles_with_every_doubling_grows_as_the_length_and_one_that_falls_does_not_grow() {
        let grows = speeds(2000, 1.0, 2.0);
        let found = finding(&grows.bases[0], &grows.other);
        assert!(found.contains("the ratio grows: about as n to the power of 1.000 (R² = 1.000), so that doubling the length multiplies it by 2.000."), "{found}");
        let falls = speeds(2000, 2.0, 1.0);
        let found = finding(&falls.bases[0], &falls.other);
        assert!(found.contains("the ratio falls: about as n to the power of -1.000"), "{found}");
        assert!(
            found
                .starts_with("softmax takes 2.00 (2.00 to 2.00) times as long as multiscreen at 1000 tokens"),
            "{found}"
        );
    }

    #[test]
    fn whether_the_models_are_of_equal_loss_is_said() {
        let mut speeds = speeds(2000, 1.0, 2.0);
        speeds.other.losses = vec![1.0, 2.0, 3.0];
        for (losses, words) in [
            (
                [1.5, 2.5, 3.6],
                "a difference of +0.533 nats a token (95 % interval +0.390 to +0.677 over 3 texts): it is the worse model",
            ),
            ([0.5, 1.5, 2.4], "it is the better model, and one of equal loss would be smaller and faster."),
            ([0.5, 2.5, 3.0], "the two are of equal loss as far as these texts tell."),
        ] {
            speeds.bases[0].losses = losses.to_vec();
            let found = finding(&speeds.bases[0], &speeds.other);
            assert!(found.contains(words), "{words} in {found}");
        }
    }

    #[test]
    fn rounds_that_do_not_agree_decide_nothing() {
        let mut speeds = speeds(102_400, 1.0, 3.0);
        // In the last round the ratio at the end is 3.6, and at the beginning 4.
        speeds.bases[0].rounds[2] = vec![(1000, 4.0), (102_400, 28.8)];
        let found = finding(&speeds.bases[0], &speeds.other);
        for words in [
            "the ratio grows in some rounds and falls in others",
            "the rounds reach from within it to outside.",
        ] {
            assert!(found.contains(words), "{words} in {found}");
        }
    }

    #[test]
    fn a_slow_round_changes_times_and_not_ratios() {
        let speeds = speeds(2000, 1.0, 2.0);
        let table = table(&speeds);
        assert_eq!(table.rows[1][1..], ["16.000", "8.000", "2.00 (2.00 to 2.00)"]);
        assert_eq!(speeds.other.spread(1000), Some(Spread { median: 1.0, min: 1.0, max: 1.5 }));
        assert_eq!(section(&speeds).len(), 5);
    }
}
