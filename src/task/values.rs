//! Values and keys, drawn so that none comes twice.

use std::collections::HashSet;

use super::words::{ADJECTIVES, NAMES, NOUNS, SURNAMES};
use crate::rng::Rng;
use crate::split::Split;

/// What one text has drawn so far.
pub(super) struct Values {
    split: Split,
    used: HashSet<String>,
}

impl Values {
    /// Nothing drawn; values will be of `split`.
    pub(super) fn new(split: Split) -> Self {
        Self { split, used: HashSet::new() }
    }

    /// A number of this many digits.
    pub(super) fn number(&mut self, rng: &mut Rng, digits: u32) -> String {
        let smallest = 10u64.pow(digits - 1);
        self.value(|| rng.between(smallest, 10 * smallest - 1).to_string())
    }

    /// A UUID of version 4.
    pub(super) fn uuid(&mut self, rng: &mut Rng) -> String {
        self.value(|| {
            let (high, low) = (rng.next_u64(), rng.next_u64());
            let bits = (u128::from(high) << 64 | u128::from(low)) & !(0xF << 76 | 0x3 << 62);
            let hex = format!("{:032x}", bits | 0x4 << 76 | 0x2 << 62);
            [&hex[..8], &hex[8..12], &hex[12..16], &hex[16..20], &hex[20..]].join("-")
        })
    }

    /// A word of `length` random letters, from `first` on.
    pub(super) fn letters(&mut self, rng: &mut Rng, length: usize, first: u8) -> String {
        self.value(|| (0..length).map(|_| char::from(first + rng.below(26) as u8)).collect())
    }

    /// A key such as `quiet-harbour`. When most of them are in use it has more adjectives.
    pub(super) fn key(&mut self, rng: &mut Rng) -> String {
        self.word(|adjectives| {
            let mut words: Vec<&str> = (0..adjectives).map(|_| *rng.choose(ADJECTIVES)).collect();
            words.push(*rng.choose(NOUNS));
            words.join("-")
        })
    }

    /// A person such as `Hiroko Andersson`. When most of them are in use there are more first names.
    pub(super) fn person(&mut self, rng: &mut Rng) -> String {
        self.word(|names| {
            let mut words: Vec<&str> = (0..names).map(|_| *rng.choose(NAMES)).collect();
            words.push(*rng.choose(SURNAMES));
            words.join(" ")
        })
    }

    /// The first value of the part that is not in use.
    fn value(&mut self, mut draw: impl FnMut() -> String) -> String {
        loop {
            let drawn = draw();
            if self.split.holds(&drawn) && self.used.insert(drawn.clone()) {
                return drawn;
            }
        }
    }

    /// The first word that is not in use; `draw` is told how long words have to be to find one soon.
    fn word(&mut self, mut draw: impl FnMut(usize) -> String) -> String {
        const DRAWS: usize = 40;
        let mut tried = 0;
        loop {
            let drawn = draw(1 + tried / DRAWS);
            tried += 1;
            if self.used.insert(drawn.clone()) {
                return drawn;
            }
        }
    }
}

/// Names as one text lists them: `a`, `a and b`, `a, b, and c`.
pub(super) fn joined(names: &[String]) -> String {
    match names {
        [] => String::new(),
        [one] => one.clone(),
        [one, other] => format!("{one} and {other}"),
        [first @ .., last] => format!("{}, and {last}", first.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_are_different_of_their_form_and_of_their_part() {
        for split in [Split::All, Split::Training, Split::HeldOut] {
            let (mut values, mut rng) = (Values::new(split), Rng::new(1));
            let mut all = HashSet::new();
            for _ in 0..400 {
                let number = values.number(&mut rng, 4);
                assert!(number.len() == 4 && split.holds(&number) && all.insert(number));
                let uuid = values.uuid(&mut rng);
                let bytes = uuid.as_bytes();
                assert_eq!((uuid.len(), bytes[14], bytes[8], bytes[23]), (36, b'4', b'-', b'-'), "{uuid}");
                assert!(b"89ab".contains(&bytes[19]) && split.holds(&uuid) && all.insert(uuid));
                let word = values.letters(&mut rng, 5, b'A');
                assert!(word.bytes().all(|b| b.is_ascii_uppercase()) && word.len() == 5);
                assert!(split.holds(&word) && all.insert(word));
            }
        }
    }

    #[test]
    fn keys_and_people_never_run_out() {
        let (mut values, mut rng) = (Values::new(Split::All), Rng::new(1));
        let keys: HashSet<_> = (0..70_000).map(|_| values.key(&mut rng)).collect();
        let people: HashSet<_> = (0..9_000).map(|_| values.person(&mut rng)).collect();
        assert_eq!((keys.len(), people.len()), (70_000, 9_000));
    }

    #[test]
    fn names_are_joined_as_a_sentence_has_them() {
        let names = ["a", "b", "c", "d"].map(String::from);
        let texts = ["", "a", "a and b", "a, b, and c", "a, b, c, and d"];
        for (count, text) in texts.iter().enumerate() {
            assert_eq!(joined(&names[..count]), *text);
        }
    }
}
