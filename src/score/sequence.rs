//! `sequence-ratio`: what Python's `difflib.SequenceMatcher(None, answer, expected).ratio()` gives.
//!
//! The longest block that both have in common is found, then those before it and behind it, and so on; the
//! ratio is `2 * characters in blocks / characters of both`. As there by default (`autojunk`), in an expected
//! text of 200 characters and more those that make up more than 1 % of it begin no block, though blocks go on
//! over them.

use std::collections::HashMap;

use super::Scorer;

/// Characters from which the frequent ones begin no block.
const LONG: usize = 200;

/// `sequence-ratio`. With several expected texts the answer has to begin with all but the last, one behind
/// the other, else it is 0; the last is compared with the rest, as in OpenAI's MRCR. Correct from 0.9 on.
#[derive(Debug, Clone, Copy)]
pub struct SequenceRatio;

impl Scorer for SequenceRatio {
    fn name(&self) -> &str {
        "sequence-ratio"
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        let Some((last, before)) = expected.split_last() else { return 0.0 };
        let mut rest = response.trim();
        for prefix in before {
            let Some(behind) = rest.strip_prefix(prefix.trim()) else { return 0.0 };
            rest = behind.trim_start();
        }
        match rest.is_empty() || last.trim().is_empty() {
            true => 0.0,
            false => ratio(rest, last.trim()),
        }
    }

    fn is_correct(&self, score: f64) -> bool {
        score >= 0.9
    }

    fn threshold(&self) -> &str {
        "at least 0.9"
    }
}

/// `SequenceMatcher(None, a, b).ratio()`.
fn ratio(a: &str, b: &str) -> f64 {
    let (a, b): (Vec<char>, Vec<char>) = (a.chars().collect(), b.chars().collect());
    let places = places(&b);
    let (mut matched, mut todo) = (0, vec![((0, a.len()), (0, b.len()))]);
    while let Some((in_a, in_b)) = todo.pop() {
        let (i, j, size) = longest(&a, &b, &places, in_a, in_b);
        if size > 0 {
            matched += size;
            todo.push(((in_a.0, i), (in_b.0, j)));
            todo.push(((i + size, in_a.1), (j + size, in_b.1)));
        }
    }
    2.0 * matched as f64 / (a.len() + b.len()) as f64
}

/// Where each character stands in `b`, ascending; not those that are too frequent in a long text.
fn places(b: &[char]) -> HashMap<char, Vec<usize>> {
    let mut places: HashMap<char, Vec<usize>> = HashMap::new();
    for (at, &c) in b.iter().enumerate() {
        places.entry(c).or_default().push(at);
    }
    if b.len() >= LONG {
        let most = b.len() / 100 + 1;
        places.retain(|_, at| at.len() <= most);
    }
    places
}

/// The longest block within these parts, as its beginnings and its length: of equals the one that begins
/// first in `a`, and of these first in `b`.
fn longest(
    a: &[char],
    b: &[char],
    places: &HashMap<char, Vec<usize>>,
    (a_from, a_to): (usize, usize),
    (b_from, b_to): (usize, usize),
) -> (usize, usize, usize) {
    let (mut i, mut j, mut size) = (a_from, b_from, 0);
    // Length of the block that ends at the character before in `a` and at each place of `b`.
    let mut lengths: HashMap<usize, usize> = HashMap::new();
    for (at, c) in a.iter().enumerate().take(a_to).skip(a_from) {
        let mut next = HashMap::new();
        for &place in places.get(c).into_iter().flatten().filter(|&&place| place >= b_from) {
            if place >= b_to {
                break;
            }
            let length =
                1 + place.checked_sub(1).and_then(|before| lengths.get(&before)).copied().unwrap_or(0);
            next.insert(place, length);
            if length > size {
                (i, j, size) = (at + 1 - length, place + 1 - length, length);
            }
        }
        lengths = next;
    }
    while i > a_from && j > b_from && a[i - 1] == b[j - 1] {
        (i, j, size) = (i - 1, j - 1, size + 1);
    }
    while i + size < a_to && j + size < b_to && a[i + size] == b[j + size] {
        size += 1;
    }
    (i, j, size)
}

#[cfg(test)]
mod tests {
    use super::*;

    const FERRY: &str = "The ferry waited for the mail while the fog lifted from the bay. Two trawlers \
                         came home late and the lamps were lit along the pier; nobody knew why the \
                         harbour master had taken the bell. In the morning a grey seal followed the boats \
                         to 17 Quay Street.";

    const SHUFFLED: &str = "pier; Street. the late for lit the to from while boats nobody the 17 Two were \
                            lifted ferry and mail waited seal master bell. why the the a knew lamps taken \
                            had In bay. trawlers home followed The the the Quay grey harbour morning along \
                            fog the the came";

    /// Ratios of Python 3.11.
    #[test]
    fn ratios_are_those_of_difflib() {
        let without = FERRY.replace("seal", "zebra").replace("bell", "");
        let upper = FERRY.to_uppercase();
        let others = "xyz ".repeat(60);
        for (a, b, expected) in [
            ("abcd", "bcde", 0.75),
            ("private Thread currentThread;", "private volatile Thread currentThread;", 0.8656716417910447),
            ("a", "b", 0.0),
            ("Äpfel und Öl", "Apfel und Oel", 0.8),
            (
                "The tide turned early and the gulls gathered.",
                "The gulls gathered and the tide turned early.",
                0.4888888888888889,
            ),
            (" abcd", "abcd abcd", 0.7142857142857143),
            ("qabxcd", "abycdf", 0.6666666666666666),
            (FERRY, FERRY, 1.0),
            (SHUFFLED, FERRY, 0.06772908366533864),
            (&without, FERRY, 0.9739478957915831),
            (&FERRY[60..], FERRY, 0.8642533936651584),
            (&FERRY[..199], &FERRY[1..200], 0.9949748743718593),
            (&others, FERRY, 0.0),
            (&upper, FERRY, 0.0398406374501992),
        ] {
            assert!((ratio(a, b) - expected).abs() < 1e-15, "{a} {b} {}", ratio(a, b));
        }
    }

    #[test]
    fn the_prefix_has_to_stand_in_front() {
        let expected = ["xyz".to_string(), "The tide turned.".to_string()];
        for (response, score) in [
            ("xyz The tide turned.", 1.0),
            ("xyzThe tide turned.", 1.0),
            ("The tide turned.", 0.0),
            ("Here: xyz The tide turned.", 0.0),
            ("xyz", 0.0),
            ("", 0.0),
        ] {
            assert_eq!(SequenceRatio.score(response, &expected), score, "{response}");
        }
        assert_eq!(SequenceRatio.score("anything", &[]), 0.0);
    }
}
