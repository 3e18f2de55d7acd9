//! The Levenshtein distance of long texts: the fewest characters to be put in, taken out or changed to make
//! one of the other.
//!
//! A column of the table of distances is kept as the differences of neighbours, which are -1, 0 or 1, 64 of
//! them in two words (Myers 1999, with the carries between words and the last row of Hyyrö 2003). So texts of
//! n and m characters take n m / 64 steps, and memory for both, not for their product.

use std::collections::HashMap;

/// Bits of a word.
const WORD: usize = 64;

/// The distance in characters.
pub(super) fn levenshtein(a: &str, b: &str) -> usize {
    let (rows, columns) = (a.chars().count(), b.chars().count());
    if rows == 0 || columns == 0 {
        return rows.max(columns);
    }
    let words = rows.div_ceil(WORD);
    let places = places(a);
    // Vertical differences of 1 and of -1: at first every row is one more than the row above it.
    let (mut more, mut less) = (vec![u64::MAX; words], vec![0_u64; words]);
    let last = 1_u64 << ((rows - 1) % WORD);
    let mut distance = rows;
    for character in b.chars() {
        let mut equal_words = places.get(&character).map_or(&[][..], Vec::as_slice).iter().peekable();
        // The horizontal difference above the first row is 1.
        let (mut carried_more, mut carried_less) = (1, 0);
        for word in 0..words {
            let equal = equal_words.next_if(|(place, _)| *place == word).map_or(0, |(_, bits)| *bits);
            let (up, down) = (more[word], less[word]);
            let vertical = equal | down;
            let equal = equal | carried_less;
            let horizontal = ((equal & up).wrapping_add(up) ^ up) | equal;
            let (right_more, right_less) = (down | !(horizontal | up), up & horizontal);
            if word + 1 == words {
                distance += usize::from(right_more & last != 0);
                distance -= usize::from(right_less & last != 0);
            }
            let shifted_more = right_more << 1 | carried_more;
            let shifted_less = right_less << 1 | carried_less;
            (carried_more, carried_less) = (right_more >> (WORD - 1), right_less >> (WORD - 1));
            more[word] = shifted_less | !(vertical | shifted_more);
            less[word] = shifted_more & vertical;
        }
    }
    distance
}

/// The places of each character, as bits of the words that hold any.
fn places(text: &str) -> HashMap<char, Vec<(usize, u64)>> {
    let mut places: HashMap<char, Vec<(usize, u64)>> = HashMap::new();
    for (row, character) in text.chars().enumerate() {
        let (word, bit) = (row / WORD, 1 << (row % WORD));
        let words = places.entry(character).or_default();
        match words.last_mut() {
            Some((last, bits)) if *last == word => *bits |= bit,
            _ => words.push((word, bit)),
        }
    }
    places
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn distances_can_be_counted_by_hand() {
        for (a, b, distance) in [("", "", 0), ("", "abc", 3), ("kitten", "sitting", 3), ("Öl", "Al", 1)] {
            assert_eq!(levenshtein(a, b), distance, "{a} {b}");
            assert_eq!(levenshtein(b, a), distance, "{b} {a}");
        }
        // A letter more at the front moves everything by one, over the borders of words.
        let long = "ab".repeat(500);
        assert_eq!(levenshtein(&long, &format!("x{long}")), 1);
        assert_eq!(levenshtein(&long, &"ba".repeat(500)), 2);
        assert_eq!(levenshtein(&long, &"c".repeat(1000)), 1000);
    }

    /// The distance by its definition, a row of the table after the other.
    fn whole_table(a: &str, b: &str) -> usize {
        let b: Vec<char> = b.chars().collect();
        let mut row: Vec<usize> = (0..=b.len()).collect();
        for (number, of_a) in a.chars().enumerate() {
            let mut above = std::mem::replace(&mut row[0], number + 1);
            for (column, of_b) in b.iter().enumerate() {
                let changed = above + usize::from(of_a != *of_b);
                above = row[column + 1];
                row[column + 1] = changed.min(above + 1).min(row[column] + 1);
            }
        }
        row[b.len()]
    }

    /// Words of few letters, one and more bytes wide, in lengths about those of a few machine words.
    fn text() -> impl Strategy<Value = String> {
        prop_oneof![
            proptest::collection::vec(
                prop_oneof![Just('a'), Just('b'), Just(' '), Just('ö'), Just('水')],
                0..300
            )
            .prop_map(|letters| letters.into_iter().collect()),
            proptest::collection::vec(prop_oneof![Just("pear"), Just("plum"), Just("🍐")], 0..60)
                .prop_map(|words| words.join(" ")),
            any::<String>(),
        ]
    }

    proptest! {
        #[test]
        fn distances_are_those_of_the_whole_table(a in text(), b in text()) {
            prop_assert_eq!(levenshtein(&a, &b), whole_table(&a, &b));
        }

        #[test]
        fn distances_of_nearly_equal_texts_are_those_of_the_whole_table(
            a in text(),
            changes in proptest::collection::vec((any::<prop::sample::Index>(), any::<char>(), 0..3), 0..8),
        ) {
            let mut b: Vec<char> = a.chars().collect();
            for (place, character, change) in changes {
                let at = place.index(b.len() + 1);
                match change {
                    0 => b.insert(at, character),
                    1 => b.truncate(at.max(b.len().saturating_sub(3))),
                    _ => b.iter_mut().skip(at).take(1).for_each(|c| *c = character),
                }
            }
            let b: String = b.into_iter().collect();
            prop_assert_eq!(levenshtein(&a, &b), whole_table(&a, &b));
        }
    }
}
