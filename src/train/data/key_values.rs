//! Lines of a letter and its digits, such as `A=967892`, of which most come again: what ABCDigits is made of.

use super::{Make, Sequence};
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::split::Split;

/// Digits of a value.
const DIGITS: u32 = 6;

/// Letters of a sequence, fewest and most.
const LETTERS: (u64, u64) = (4, 26);

/// Lines of keys with one value each. Some keys may come far more often than others, so that a rare one stands among many
/// others, as the one that ABCDigits asks for.
pub(super) fn make(make: &mut Make<'_>) -> Result<Sequence> {
    let mut letters: Vec<u8> = (b'A'..=b'Z').collect();
    make.rng.shuffle(&mut letters);
    letters.truncate(make.rng.between(LETTERS.0, LETTERS.1) as usize);
    let values: Vec<u64> = letters.iter().map(|_| value(&mut make.rng)).collect();
    let skew = make.rng.unit();
    let weights: Vec<f64> = (0..letters.len()).map(|i| (-skew * i as f64).exp2()).collect();
    let total: f64 = weights.iter().sum();
    let (mut text, mut seen, mut answers) = (String::new(), vec![false; letters.len()], Vec::new());
    // A line is one token at least.
    for line in 0..make.rows + 1 {
        let mut place = total * make.rng.unit();
        let chosen = weights.iter().position(|weight| {
            place -= weight;
            place < 0.0
        });
        let chosen = chosen.unwrap_or(letters.len() - 1);
        text.push(char::from(letters[chosen]));
        text.push('=');
        let start = text.len();
        text.push_str(&values[chosen].to_string());
        if std::mem::replace(&mut seen[chosen], true) {
            answers.push(start..text.len());
        }
        text.push('\n');
        // No tokenizer makes more tokens than bytes, so shorter texts need not be tried.
        let long_enough = text.len() > make.room() && line % 8 == 7;
        if long_enough && let Some(sequence) = make.sequence(&text, &answers)? {
            return Ok(sequence);
        }
    }
    make.sequence(&text, &answers)?
        .ok_or_else(|| Error::Tokenizer("makes fewer than one token of a line such as A=967892".to_string()))
}

fn value(rng: &mut Rng) -> u64 {
    loop {
        let value = rng.between(10u64.pow(DIGITS - 1), 10u64.pow(DIGITS) - 1);
        if Split::Training.holds(&value.to_string()) {
            return value;
        }
    }
}
