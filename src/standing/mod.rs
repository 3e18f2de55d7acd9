//! Where a value *stands free* in a text: as a word or number of its own, not as part of a longer one.
//!
//! Needles (where is the value?), the checks of question and haystack (do they say it?) and the score `match`
//! (does the answer?) all ask here, so that they cannot disagree.
//!
//! Text and value are compared in one form (see `folding`): upper and lower case, Unicode's normalisation
//! forms, runs of white space, the shapes of quotes and dashes and the digits of all scripts are the same;
//! soft hyphens and other characters that are not seen count for nothing. A number may be written in groups
//! (see `numbers`): 7,743,219 is 7743219.
//!
//! ```
//! use niah::standing::occurrences;
//! assert_eq!(occurrences("In 1234 the code was 12.", "12"), [21..23]);
//! assert_eq!(occurrences("It is 7,743,219, not 17,743,219.", "7743219"), [6..15]);
//! ```
//!
//! What touches a value and what does not:
//!
//! - Letters and digits do (12345 is not in 9123456 or 12345th); marks, spaces, hyphens and underscores do
//!   not.
//! - Letters of scripts without spaces between words do not: 是7743219。 Of these, katakana touches katakana
//!   and numerals touch numerals (5 is not in 5万). Korean writes particles behind its words, so there only
//!   what stands before touches.
//! - A value never ends within a character, whatever that is made of: "Cafe" is not in "Café", nor กา in ก.
//! - A decimal point or comma and a sign belong to their number: 5 is not in 5.5, 5,5, .5 or -5; but it is in
//!   3-5 and x-5.
//! - An apostrophe touches in contractions alone: "can" is not in "can't"; "Maud" is in "Maud's", "Roma" in
//!   "l'Roma".

mod folding;
mod numbers;
mod scripts;

use std::ops::Range;

use folding::{Unit, characters, fold};
use scripts::{Script, is_numeral, is_word};

/// The bytes of every place in `text` where `value` stands free, ascending; none when the value is blank.
#[must_use]
pub fn occurrences(text: &str, value: &str) -> Vec<Range<usize>> {
    let (text, value) = both(text, value);
    let free = |at: &usize| !touched_before(&text, *at) && !touched_behind(&text, at + value.len());
    let bytes = |at: usize| text[at].start..text[at + value.len() - 1].end;
    places(&text, &value).filter(free).map(bytes).collect()
}

/// Whether `value` stands free anywhere in `text`.
#[must_use]
pub fn stands_free(text: &str, value: &str) -> bool {
    !occurrences(text, value).is_empty()
}

/// Whether `value` occurs in `text` in any form that is compared as the same, whatever touches it.
#[must_use]
pub fn is_contained(text: &str, value: &str) -> bool {
    let (text, value) = both(text, value);
    places(&text, &value).next().is_some()
}

/// Both as they are compared. A space may stand between the groups of a number only where a number of more
/// than one group is looked for: 123 456 789 may as well be three numbers.
fn both(text: &str, value: &str) -> (Vec<Unit>, Vec<Unit>) {
    let (mut text, mut value) = (fold(text), fold(value.trim()));
    let is_digit = |unit: &Unit| unit.c.is_ascii_digit();
    if value.iter().any(is_digit) {
        numbers::join_groups(&mut value, true);
        let mut runs = value.chunk_by(|a, b| is_digit(a) && is_digit(b));
        let grouped = runs.any(|run| run.len() > 3 && is_digit(&run[0]));
        numbers::join_groups(&mut text, grouped);
    }
    (text, value)
}

/// `text` with every number in plain ASCII digits without groups, and all else as it is. `spaces`: a plain
/// space may separate groups.
///
/// ```
/// use niah::standing::plain_numbers;
/// assert_eq!(plain_numbers("It is 7,743,219 or １２, as of 1,2.", false), "It is 7743219 or 12, as of 1,2.");
/// ```
#[must_use]
pub fn plain_numbers(text: &str, spaces: bool) -> String {
    let mut units = characters(text);
    numbers::join_groups(&mut units, spaces);
    units.into_iter().map(|unit| if unit.c.is_ascii_digit() { unit.c } else { unit.written }).collect()
}

/// Where `value` is in `text` as whole characters.
fn places<'a>(text: &'a [Unit], value: &'a [Unit]) -> impl Iterator<Item = usize> + 'a {
    let whole = move |at: usize| at == 0 || at == text.len() || text[at - 1].start != text[at].start;
    let same = move |part: &[Unit]| part.iter().zip(value).all(|(a, b)| a.c == b.c);
    let last = if value.is_empty() { 0 } else { (text.len() + 1).saturating_sub(value.len()) };
    (0..last).filter(move |&at| same(&text[at..at + value.len()]) && whole(at) && whole(at + value.len()))
}

fn touched_before(text: &[Unit], at: usize) -> bool {
    let Some(before) = at.checked_sub(1) else { return false };
    let (outside, inside) = (base(text, before), text[at].c);
    if is_word(outside) && is_word(inside) {
        return joins(outside, inside)
            || Script::of(outside) == Script::Korean && Script::of(inside) == Script::Korean;
    }
    match (outside, inside) {
        ('.', '0'..='9') => numbers::is_decimal_point(text, before),
        (',', '0'..='9') => numbers::is_decimal_comma(text, before),
        ('-' | '±', '.' | '0'..='9') => numbers::is_sign(text, before),
        (_, '-' | '+') => numbers::starts_number(&text[at + 1..]) && numbers::is_hyphen(text, at),
        ('0'..='9', '.') => numbers::starts_number(&text[at + 1..]),
        ('\'', _) => contraction(text, before).is_some(),
        _ => false,
    }
}

fn touched_behind(text: &[Unit], end: usize) -> bool {
    let Some(outside) = text.get(end).map(|unit| unit.c) else { return false };
    let inside = base(text, end - 1);
    if is_word(outside) && is_word(inside) {
        return joins(inside, outside);
    }
    match (inside, outside) {
        ('0'..='9', '.') => numbers::is_decimal_point(text, end),
        ('0'..='9', ',') => numbers::is_decimal_comma(text, end),
        (_, '\'') => contraction(text, end).is_some_and(|ending| ending != "s"),
        _ => false,
    }
}

/// Whether these two, one behind the other, are parts of one word or number.
fn joins(first: char, second: char) -> bool {
    if is_numeral(first) && is_numeral(second) {
        return true;
    }
    let scripts = (Script::of(first), Script::of(second));
    matches!(scripts, (Script::Spaced, Script::Spaced) | (Script::Katakana, Script::Katakana))
}

/// The letter behind which the marks of the character at `at` stand.
fn base(text: &[Unit], at: usize) -> char {
    let start = text[at].start;
    let first = text[..at].iter().rposition(|unit| unit.start != start).map_or(0, |before| before + 1);
    text[first].c
}

/// What an English contraction has behind the apostrophe at `at`: can't, they're. A possessive is "s".
fn contraction(text: &[Unit], at: usize) -> Option<&'static str> {
    let after_letter = at.checked_sub(1).is_some_and(|before| base(text, before).is_alphabetic());
    let word = text[at + 1..].iter().take(3).take_while(|unit| is_word(unit.c)).map(|unit| unit.c);
    let word: String = word.collect();
    ["t", "s", "d", "m", "re", "ll", "ve"].into_iter().find(|ending| after_letter && *ending == word)
}

#[cfg(test)]
mod tests;
