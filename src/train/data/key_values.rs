//! Lines of a letter and its digits, such as `A=967892`, of which most come again: what ABCDigits is made of.

use super::{Make, Sequence};
use crate::error::{Error, Result};
use crate::rng::Rng;
use crate::split::Split;

/// Digits of a value, where sequences are easiest and where they are what they are meant to be.
const DIGITS: (f64, f64) = (2.0, 6.0);

/// The fewest letters of a sequence, likewise.
const FEWEST: (f64, f64) = (2.0, 4.0);

/// The most.
const MOST: (f64, f64) = (3.0, 26.0);

/// Lines of keys with one value each, every line with any of the keys: what a key was given last may stand
/// far behind.
pub(super) fn make(make: &mut Make<'_>) -> Result<Sequence> {
    let grown = |(easy, full): (f64, f64)| (easy + (full - easy) * make.difficulty) as u64;
    let (fewest, most, digits) = (grown(FEWEST), grown(MOST), grown(DIGITS) as u32);
    let mut letters: Vec<u8> = (b'A'..=b'Z').collect();
    make.rng.shuffle(&mut letters);
    letters.truncate(make.rng.between(fewest, most) as usize);
    let values: Vec<u64> = letters.iter().map(|_| value(&mut make.rng, digits)).collect();
    let (mut text, mut seen, mut answers) = (String::new(), vec![false; letters.len()], Vec::new());
    // A line is one token at least.
    for line in 0..make.rows + 1 {
        let chosen = make.rng.between(0, letters.len() as u64 - 1) as usize;
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

fn value(rng: &mut Rng, digits: u32) -> u64 {
    loop {
        let value = rng.between(10u64.pow(digits - 1), 10u64.pow(digits) - 1);
        if Split::Training.holds(&value.to_string()) {
            return value;
        }
    }
}
