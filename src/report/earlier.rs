//! Sentences about answers that are wrong in a way of their own: an earlier value, or no more than what any
//! text of the kind would score.

use super::{latest, total};
use crate::score::expected::parted;
use crate::trial::{Outcome, Status};

/// How many values of the answers are earlier ones, and how old; nothing where no text has earlier values.
#[must_use]
pub fn earlier_values(outcomes: &[Outcome]) -> Option<String> {
    let ran = latest(outcomes).into_iter().filter(|row| row.status == Status::Ok);
    let rows: Vec<(&Outcome, usize)> = ran.filter_map(|row| Some((row, row.earlier_values?))).collect();
    let asked: usize = rows.iter().map(|(row, _)| parted(&row.expected_answer).len()).sum();
    let said = total(rows.iter().map(|(_, values)| *values));
    if asked == 0 {
        return None;
    }
    let updates: f64 = rows.iter().filter_map(|(row, values)| Some(row.earlier_age? * *values as f64)).sum();
    let age = match said {
        0 => String::new(),
        said => format!(", {:.1} updates old in the mean", updates / said as f64),
    };
    Some(format!("in the place of {said} of {asked} values the answers say an earlier one{age}"))
}

/// What answers score beside other texts of the kind that was asked for; nothing for tasks without such.
#[must_use]
pub fn noise_floor(outcomes: &[Outcome]) -> Option<String> {
    let ran = latest(outcomes).into_iter().filter(|row| row.status == Status::Ok);
    let scores: Vec<(f64, f64)> = ran.filter_map(|row| Some((row.noise_floor?, row.score?))).collect();
    let mean = |of: fn(&(f64, f64)) -> f64| scores.iter().map(of).sum::<f64>() / scores.len() as f64;
    (!scores.is_empty()).then(|| {
        format!(
            "noise floor: the other texts on the same request would score {:.3} in the mean; the answers score {:.3}",
            mean(|scores| scores.0),
            mean(|scores| scores.1)
        )
    })
}

#[cfg(test)]
mod tests {
    use super::super::tests::outcome;
    use super::*;

    #[test]
    fn earlier_values_are_counted_of_all_that_were_asked_for() {
        let row = |trial: usize, values: usize, age: Option<f64>| Outcome {
            expected_answer: "1|2|3|4".to_string(),
            earlier_values: Some(values),
            earlier_age: age,
            ..outcome(512, 0.0, trial, false, None)
        };
        let said = earlier_values(&[row(0, 3, Some(2.0)), row(1, 1, Some(4.0)), row(2, 0, None)]).unwrap();
        assert_eq!(
            said,
            "in the place of 4 of 12 values the answers say an earlier one, 2.5 updates old in the mean"
        );
        assert_eq!(
            earlier_values(&[row(0, 0, None)]).unwrap(),
            "in the place of 0 of 4 values the answers say an earlier one"
        );
        assert_eq!(earlier_values(&[outcome(512, 0.0, 0, true, None)]), None);
        assert!(earlier_values(&[row(0, usize::MAX, None), row(1, 7, Some(1.0))]).is_some());
    }

    #[test]
    fn answers_stand_beside_what_any_text_of_the_kind_would_score() {
        let row = |trial: usize, score: f64, floor: f64| Outcome {
            score: Some(score),
            noise_floor: Some(floor),
            ..outcome(512, 0.0, trial, false, None)
        };
        let said = noise_floor(&[row(0, 0.5, 0.25), row(1, 1.0, 0.3)]).unwrap();
        assert!(said.contains("0.275 in the mean; the answers score 0.750"), "{said}");
        assert_eq!(noise_floor(&[outcome(512, 0.0, 0, true, None)]), None);
    }
}
