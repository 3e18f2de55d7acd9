//! The time of one pass over a whole context, by its length.
//!
//! The models are measured by turns, round after round, so that a machine that is slower for a while is so
//! for all of them. Ratios are taken within a round; the median over rounds counts.

use std::cmp::Ordering;

use super::{StepLoss, final_loss, number, tokens};
use crate::laboratory::published::{MULTISCREEN_SPEEDUP, MULTISCREEN_SPEEDUP_LENGTH};
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Series, Shape, Table};
use crate::report::loss::over_texts;
use crate::report::speed::Spread;
use crate::stats::{LineFit, line_fit, mean};

/// A model and its times.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// Its name.
    pub name: String,
    /// Its mean loss on each of some texts, the same for all models, in nats a token; none where it was not
    /// measured.
    pub losses: Vec<f64>,
    /// The steps of its training.
    pub steps: Vec<StepLoss>,
    /// Seconds of a pass, by rounds; in each a length and its time, lengths ascending and the same in all of
    /// them.
    pub rounds: Vec<Vec<(usize, f64)>>,
}

/// What was measured.
#[derive(Debug, Clone, PartialEq)]
pub struct Speeds {
    /// The heading of the section.
    pub heading: String,
    /// The name of its figure.
    pub figure: String,
    /// What the models are and how they were measured, a paragraph.
    pub method: String,
    /// The models whose times are divided, each by those of every other one.
    pub bases: Vec<Timed>,
    /// The models by whose times; one of the two lists has one model.
    pub others: Vec<Timed>,
}

impl Speeds {
    fn models(&self) -> impl Iterator<Item = &Timed> {
        self.bases.iter().chain(&self.others)
    }

    fn pairs(&self) -> impl Iterator<Item = (&Timed, &Timed)> {
        self.bases.iter().flat_map(|base| self.others.iter().map(move |other| (base, other)))
    }
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
    let mut blocks = vec![Block::Heading(speeds.heading.clone()), Block::Paragraph(speeds.method.clone())];
    blocks.extend(speeds.pairs().map(|(base, other)| Block::Paragraph(finding(base, other))));
    blocks.extend([Block::Figure(figure(speeds)), Block::Table(times(speeds)), Block::Table(ratios(speeds))]);
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
    let times = speeds.models().enumerate().map(|(color, timed)| {
        let points =
            timed.lengths().into_iter().filter_map(|length| Some(point(length, timed.spread(length)?)));
        series(color, &timed.name, points.collect())
    });
    // A line is named, and coloured, after the model that only its pair has.
    let (first, title) = match (speeds.bases.as_slice(), speeds.others.as_slice()) {
        ([base], [_, _, ..]) => (1, format!("Time of {} over that of each", base.name)),
        (_, [other, ..]) => (0, format!("Time over that of {}", other.name)),
        (_, []) => (0, "Ratio of times".to_string()),
    };
    let ratios =
        speeds.pairs().zip(speeds.models().enumerate().skip(first)).map(|((base, other), (color, own))| {
            let points = base.ratios(other).into_iter().map(|(length, ratio)| point(length, ratio));
            series(color, &own.name, points.collect())
        });
    let x = || Axis::logarithmic("context length (tokens)");
    let chart = |title: String, y, series| Panel::Chart(Chart { title, x: x(), y, series, marks: vec![] });
    Figure {
        name: speeds.figure.clone(),
        caption: "Time of one pass over the context, and the ratios of times: medians over rounds, with the \
             smallest and the largest."
            .to_string(),
        panels: vec![
            chart("Time of a pass".to_string(), Axis::logarithmic("seconds"), times.collect()),
            chart(title, Axis::linear("ratio", None), ratios.collect()),
        ],
    }
}

/// A row for each length, with what `of` gives for it.
fn by_length(speeds: &Speeds, of: impl Fn(usize) -> Vec<String>) -> Vec<Vec<String>> {
    let lengths = speeds.models().next().map(Timed::lengths).unwrap_or_default();
    let row = |length: usize| std::iter::once(tokens(length)).chain(of(length)).collect();
    lengths.into_iter().map(row).collect()
}

fn header(columns: impl Iterator<Item = String>) -> Vec<String> {
    std::iter::once("context length".to_string()).chain(columns).collect()
}

fn times(speeds: &Speeds) -> Table {
    let seconds = |length: usize| {
        let of = |timed: &Timed| number(timed.spread(length).map(|spread| spread.median));
        speeds.models().map(of).collect()
    };
    Table {
        caption: "Seconds of a pass, median over rounds.".to_string(),
        header: header(speeds.models().map(|timed| timed.name.clone())),
        rows: by_length(speeds, seconds),
    }
}

fn ratios(speeds: &Speeds) -> Table {
    let ratios = |length: usize| {
        let of = |(base, other): (&Timed, &Timed)| base.ratio(other, length).map_or("–".to_string(), told);
        speeds.pairs().map(of).collect()
    };
    Table {
        caption: "Ratios of times: the median over rounds with the smallest and the largest.".to_string(),
        header: header(speeds.pairs().map(|(base, other)| format!("{} over {}", base.name, other.name))),
        rows: by_length(speeds, ratios),
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
            " With the length n the ratio {how}: about as n to the power of {:.3} (R² = {:.3}), so that \
             doubling the length multiplies it by {factor:.3}.",
            fit.slope, fit.r_squared
        )
    });
    let (published_low, published_high) = (MULTISCREEN_SPEEDUP.low, MULTISCREEN_SPEEDUP.high);
    let published = format!("{published_low} to {published_high}");
    let verdict = match *high {
        _ if *last < MULTISCREEN_SPEEDUP_LENGTH => {
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
    ) + &unlimited(other)
        + &at_equal_loss(base, other)
        + &in_training(base, other)
}

/// How many learned windows cost as much as those of attention without a window.
fn unlimited(timed: &Timed) -> String {
    let Some(count) = timed.steps.last().and_then(|step| step.windows_beyond) else { return String::new() };
    let name = &timed.name;
    match count {
        0 => format!(" No window of {name} learned to exceed the training length."),
        1 => format!(" One window of {name} learned to exceed the training length and is unlimited here."),
        _ => format!(
            " {count} windows of {name} learned to exceed the training length and are unlimited here."
        ),
    }
}

/// The losses of the two in training, where its sequences are not text alone.
fn in_training(base: &Timed, other: &Timed) -> String {
    let answers = |timed: &Timed| timed.steps.last().and_then(|step| step.answer_loss);
    let losses =
        final_loss(&base.steps, |step| Some(step.loss)).zip(final_loss(&other.steps, |step| Some(step.loss)));
    match answers(base).zip(answers(other)).and(losses) {
        Some((of_base, of_other)) => format!(
            " Over all tokens of the sequences at the end of training, key-value lines among them, the loss \
             of {} is {of_base:.3}, that of {} {of_other:.3}.",
            base.name, other.name
        ),
        None => String::new(),
    }
}

/// What the losses of the two, on the same texts, say of the ratio of their times.
fn at_equal_loss(base: &Timed, other: &Timed) -> String {
    let differences: Vec<f64> =
        base.losses.iter().zip(&other.losses).map(|(base, other)| base - other).collect();
    let Some(difference) = mean(&differences) else { return String::new() };
    let interval = over_texts(&differences);
    let meaning = match interval.side() {
        Some(Ordering::Greater) => "it is the worse model, and one of equal loss would be larger and slower",
        Some(Ordering::Less) => "it is the better model, and one of equal loss would be smaller and faster",
        Some(Ordering::Equal) => "the two are not shown to differ",
        None => "nothing is shown of which is the better one",
    };
    format!(
        "The loss of {} is {}, that of {} {}, a difference of {difference:+.3} nats a token ({}): {meaning}.",
        base.name,
        number(mean(&base.losses)),
        other.name,
        number(mean(&other.losses)),
        interval.told(differences.len(), "text", |value| format!("{value:+.3}")),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Three rounds, the second one slower by half for everything.
    fn timed(name: &str, times: &[(usize, f64)]) -> Timed {
        let round = |factor: f64| times.iter().map(|(length, seconds)| (*length, factor * seconds)).collect();
        Timed {
            name: name.to_string(),
            losses: vec![],
            steps: vec![],
            rounds: [1.0, 1.5, 1.0].map(round).to_vec(),
        }
    }

    /// The ratio is `at_first` at 1,000 tokens and `at_last` at `length`.
    fn speeds(length: usize, at_first: f64, at_last: f64) -> Speeds {
        Speeds {
            heading: "h".to_string(),
            figure: "f".to_string(),
            method: "m".to_string(),
            bases: vec![timed("softmax", &[(1000, at_first), (length, 8.0 * at_last)])],
            others: vec![timed("multiscreen", &[(1000, 1.0), (length, 8.0)])],
        }
    }

    fn told_of(speeds: &Speeds) -> String {
        finding(&speeds.bases[0], &speeds.others[0])
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
            let found = told_of(&speeds);
            assert!(found.contains(words), "{words} in {found}");
        }
    }

    #[test]
    fn a_ratio_that_doubles_with_every_doubling_grows_as_the_length_and_one_that_falls_does_not_grow() {
        let grows = speeds(2000, 1.0, 2.0);
        let found = told_of(&grows);
        assert!(found.contains("the ratio grows: about as n to the power of 1.000 (R² = 1.000), so that doubling the length multiplies it by 2.000."), "{found}");
        let falls = speeds(2000, 2.0, 1.0);
        let found = told_of(&falls);
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
        speeds.others[0].losses = vec![1.0, 2.0, 3.0];
        for (losses, words) in [
            (
                [1.5, 2.5, 3.6],
                "a difference of +0.533 nats a token (95 % interval +0.390 to +0.677, Student's t over 3 \
                 texts): it is the worse model",
            ),
            ([0.5, 1.5, 2.4], "it is the better model, and one of equal loss would be smaller and faster."),
            ([0.5, 2.5, 3.0], "the two are not shown to differ."),
        ] {
            speeds.bases[0].losses = losses.to_vec();
            let found = told_of(&speeds);
            assert!(found.contains(words), "{words} in {found}");
        }
    }

    #[test]
    fn rounds_that_do_not_agree_decide_nothing() {
        let mut speeds = speeds(102_400, 1.0, 3.0);
        // In the last round the ratio at the end is 3.6, and at the beginning 4.
        speeds.bases[0].rounds[2] = vec![(1000, 4.0), (102_400, 28.8)];
        let found = told_of(&speeds);
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
        assert_eq!(times(&speeds).rows[1][1..], ["16.000", "8.000"]);
        assert_eq!(ratios(&speeds).rows[1][1..], ["2.00 (2.00 to 2.00)"]);
        assert_eq!(speeds.others[0].spread(1000), Some(Spread { median: 1.0, min: 1.0, max: 1.5 }));
        assert_eq!(section(&speeds).len(), 6);
    }

    #[test]
    fn a_ratio_stands_beside_what_explains_it() {
        let mut speeds = speeds(2000, 1.0, 2.0);
        let step = |loss, answer_loss, windows_beyond| StepLoss {
            step: 1,
            loss,
            answer_loss,
            learning_rate: 0.1,
            gradient_norm: 1.0,
            scale: None,
            largest_window: None,
            windows_beyond,
        };
        speeds.bases[0].steps = vec![step(0.9, Some(0.2), None)];
        speeds.others[0].steps = vec![step(0.8, Some(0.1), Some(1))];
        let found = told_of(&speeds);
        for words in [
            "One window of multiscreen learned to exceed the training length and is unlimited here.",
            "key-value lines among them, the loss of softmax is 0.900, that of multiscreen 0.800.",
        ] {
            assert!(found.contains(words), "{words} in {found}");
        }
        speeds.others[0].steps = vec![step(0.8, None, Some(0))];
        let found = told_of(&speeds);
        assert!(
            found.contains("No window of multiscreen learned to exceed") && !found.contains("key-value"),
            "{found}"
        );
    }

    #[test]
    fn a_line_is_named_after_the_model_that_only_its_pair_has() {
        let mut speeds = speeds(2000, 1.0, 2.0);
        let third = timed("third", &[(1000, 0.5), (2000, 4.0)]);
        let named = |speeds: &Speeds| {
            let Panel::Chart(chart) = figure(speeds).panels.remove(1) else { panic!("no chart") };
            let series = chart.series.into_iter().map(|series| (series.name, series.color));
            (chart.title, series.collect::<Vec<_>>())
        };
        speeds.others.push(third);
        let series = vec![("multiscreen".to_string(), 1), ("third".to_string(), 2)];
        assert_eq!(named(&speeds), ("Time of softmax over that of each".to_string(), series));
        let multiscreen = speeds.others.remove(0);
        speeds.bases.push(multiscreen);
        let series = vec![("softmax".to_string(), 0), ("multiscreen".to_string(), 1)];
        assert_eq!(named(&speeds), ("Time over that of third".to_string(), series));
    }
}
