//! Numbers: how they are grouped, and what belongs to one besides its digits.
//!
//! Groups of three digits behind one to three: 7,743,219, 7'743'219, 7_743_219, 7 743 219 (with spaces that
//! do not break; with plain ones where it is asked for). Points need two groups, since 7.743 is a decimal
//! number, and so do fullwidth commas, which Chinese writes between numbers of a list.

use super::folding::Unit;
use super::scripts::{Script, is_word};

/// Takes out what separates the groups of numbers. `spaces`: a plain space may separate them.
pub(super) fn join_groups(units: &mut Vec<Unit>, spaces: bool) {
    let (mut kept, mut at) = (0, 0);
    // What stands before `at`, when that is no digit but has one before it.
    let (mut before, mut after_digit) = (None, false);
    while at < units.len() {
        let run = digits(&units[at..]);
        let taken = run.max(1);
        let groups = if run == 0 { 0 } else { groups(&units[at..], run, before, spaces) };
        before = Some(units[at].c).filter(|_| run == 0 && after_digit);
        after_digit = run > 0;
        units.copy_within(at..at + taken, kept);
        (kept, at) = (kept + taken, at + taken);
        for _ in 0..groups {
            units.copy_within(at + 1..at + 4, kept);
            (kept, at) = (kept + 3, at + 4);
        }
    }
    units.truncate(kept);
}

/// Groups of three behind the `run` digits that `units` begin with; `before` separates them from digits.
fn groups(units: &[Unit], run: usize, before: Option<char>, spaces: bool) -> usize {
    let Some(separator) = units.get(run) else { return 0 };
    let same = |unit: &Unit| unit.c == separator.c && is_separator(unit, spaces);
    // 0,123 is a decimal number; in 1234,567 and 5,12,345 the digits are not grouped by three.
    if run > 3 || units[0].c == '0' || before == Some(separator.c) {
        return 0;
    }
    let mut rest = &units[run..];
    let mut groups = 0;
    while rest.first().is_some_and(same) && digits(&rest[1..]) == 3 {
        rest = &rest[4..];
        groups += 1;
    }
    let goes_on = rest.first().is_some_and(same) && starts_number(&rest[1..]);
    let ambiguous = separator.c == '.' || separator.written == '，';
    if goes_on || (ambiguous && groups < 2) { 0 } else { groups }
}

fn is_separator(unit: &Unit, spaces: bool) -> bool {
    match unit.c {
        ',' | '.' | '\'' | '_' => true,
        ' ' => match unit.written {
            ' ' => spaces && unit.is_single(),
            '\u{A0}' | '\u{2007}' | '\u{2009}' | '\u{202F}' => unit.is_single(),
            _ => false,
        },
        _ => false,
    }
}

/// How many digits `units` begin with.
fn digits(units: &[Unit]) -> usize {
    units.iter().take_while(|unit| unit.c.is_ascii_digit()).count()
}

/// Whether `units` begin with a digit.
pub(super) fn starts_number(units: &[Unit]) -> bool {
    units.first().is_some_and(|unit| unit.c.is_ascii_digit())
}

/// Whether the point at `at` belongs to the digit behind it: 3.5, and .5 where nothing but a space, a bracket
/// or a sign stands before it.
pub(super) fn is_decimal_point(units: &[Unit], at: usize) -> bool {
    let before = at.checked_sub(1).map(|before| units[before].c);
    let begins =
        before.is_none_or(|c| !is_word(c) && !matches!(c, '.' | ')' | ']' | '}' | '"' | '\'' | '*' | '_'));
    starts_number(&units[at + 1..]) && (begins || before.is_some_and(|c| c.is_ascii_digit()))
}

/// Whether the comma at `at` is that of a decimal number, as in 3,14. Of a list are 1111111,2222222 (four
/// digits or more behind it), 5,7,9 (more commas), and what has a fullwidth comma.
pub(super) fn is_decimal_comma(units: &[Unit], at: usize) -> bool {
    let behind = digits(&units[at + 1..]);
    let before = units[..at].iter().rev().take_while(|unit| unit.c.is_ascii_digit()).count();
    let comma = |at: usize| units.get(at).is_some_and(|unit| unit.c == ',');
    let listed = comma(at + 1 + behind) && starts_number(&units[at + behind + 2..])
        || at - before >= 2 && comma(at - before - 1) && units[at - before - 2].c.is_ascii_digit();
    units[at].written != '，' && before > 0 && (1..=3).contains(&behind) && !listed
}

/// Whether the hyphen at `at` is a minus sign: neither one between words or numbers nor a long dash.
pub(super) fn is_sign(units: &[Unit], at: usize) -> bool {
    !is_hyphen(units, at) && !matches!(units[at].written, '—' | '―')
}

/// Whether the hyphen at `at` stands behind a word, a number, a bracket or another hyphen. Scripts without
/// spaces have a sign directly behind a word.
pub(super) fn is_hyphen(units: &[Unit], at: usize) -> bool {
    let spaced = |c: char| is_word(c) && Script::of(c) == Script::Spaced;
    let before = at.checked_sub(1).map(|before| super::base(units, before));
    before.is_some_and(|c| spaced(c) || matches!(c, '-' | ')' | ']' | '}' | '%'))
}
