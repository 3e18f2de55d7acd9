//! The form in which texts are compared, with the bytes that each part of it comes from.
//!
//! Characters are decomposed canonically (NFD), and beyond that only where what is left out is the look of a
//! letter: full width, ligatures, Arabic's joined shapes, mathematical alphabets. What NFKC would make of ²
//! or ½ is another number.

use unicode_normalization_alignments::char::{
    canonical_combining_class, decompose_canonical, decompose_compatible,
};

use super::scripts::{digit, is_extending, is_invisible, is_styled, joins_next};

/// One character of the form that is compared.
#[derive(Debug, Clone, Copy)]
pub(super) struct Unit {
    pub(super) c: char,
    /// The first character of what it is a part of, as it is written.
    pub(super) written: char,
    /// The bytes of what it is a part of: a letter with all its marks, or a run of white space.
    pub(super) start: usize,
    pub(super) end: usize,
}

impl Unit {
    /// Whether it is written as one character.
    pub(super) fn is_single(&self) -> bool {
        self.end - self.start == self.written.len_utf8()
    }
}

/// `text` as it is compared.
pub(super) fn fold(text: &str) -> Vec<Unit> {
    let mut units: Vec<Unit> = Vec::with_capacity(text.len());
    // Where the character that is being put together begins in `units`, and whether the next letter belongs
    // to it.
    let (mut open, mut takes_next) = (0, false);
    for (start, c) in text.char_indices() {
        if is_invisible(c) {
            continue;
        }
        let space = c.is_whitespace();
        let end = start + c.len_utf8();
        let first = units.get(open).copied();
        let belongs = first.is_some_and(|first| match space {
            true => first.c == ' ',
            false => is_extending(c) || (takes_next && c.is_alphabetic()),
        });
        if belongs && space {
            units[open].end = end;
            continue;
        }
        takes_next = joins_next(c);
        let (start, written) = match first.filter(|_| belongs) {
            Some(first) => (first.start, first.written),
            None => {
                close(&mut units[open..]);
                open = units.len();
                (start, c)
            }
        };
        push(if space { ' ' } else { c }, &mut |c| units.push(Unit { c, written, start, end }));
    }
    close(&mut units[open..]);
    units
}

/// Every character of `text` by itself, digits and what stands between their groups in the form that is
/// compared.
pub(super) fn characters(text: &str) -> Vec<Unit> {
    let unit = |(start, written): (usize, char)| {
        let mut form = Vec::new();
        push(if written.is_whitespace() { ' ' } else { written }, &mut |c| form.push(c));
        let c = if let [one] = form[..] { one } else { written };
        Unit { c, written, start, end: start + written.len_utf8() }
    };
    text.char_indices().map(unit).collect()
}

/// Marks of a finished character in their canonical order; all its parts have its bytes.
fn close(units: &mut [Unit]) {
    if units.len() < 2 {
        return;
    }
    let end = units.iter().map(|unit| unit.end).max().unwrap_or(0);
    units.iter_mut().for_each(|unit| unit.end = end);
    let class = |unit: &Unit| canonical_combining_class(unit.c);
    let is_mark = |unit: &Unit| class(unit) > 0;
    units.chunk_by_mut(|a, b| is_mark(a) == is_mark(b)).for_each(|run| run.sort_by_key(class));
}

fn push(c: char, push: &mut impl FnMut(char)) {
    if c.is_ascii() {
        push(c.to_ascii_lowercase());
    } else if is_styled(c) {
        decompose_compatible(c, |c| push_simple(c, push));
    } else {
        decompose_canonical(c, |c| push_simple(c, push));
    }
}

/// A character that is decomposed, in lower case, with the plain form of digits and marks.
fn push_simple(c: char, push: &mut impl FnMut(char)) {
    match c {
        'ß' | 'ẞ' => "ss".chars().for_each(push),
        'ς' => push('σ'),
        'ſ' => push('s'),
        '‘' | '’' | '‚' | '‛' | '′' | '´' | 'ʼ' | 'ʻ' | '‹' | '›' => push('\''),
        '“' | '”' | '„' | '‟' | '″' | '«' | '»' | '〝' | '〞' | '〟' => push('"'),
        '‐' | '‑' | '‒' | '–' | '—' | '―' | '−' => push('-'),
        '…' => "...".chars().for_each(push),
        '٫' => push('.'),
        '٬' => push(','),
        '⁄' | '∕' => push('/'),
        _ => match digit(c) {
            Some(digit) => push(digit),
            None => c.to_lowercase().for_each(push),
        },
    }
}
