use std::collections::BTreeSet;

use super::Scorer;

/// `set-f1`: F1 of the list in square brackets in the answer's last line, as a set, against the set expected:
/// `2 * |both| / (|given| + |expected|)`. Without such a list it is 0; two empty sets are equal.
#[derive(Debug, Clone, Copy)]
pub struct SetF1;

impl Scorer for SetF1 {
    fn name(&self) -> &str {
        "set-f1"
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        let last = response.trim_end().lines().next_back().unwrap_or_default();
        bracketed(last).map_or(0.0, |list| f1(list, expected))
    }
}

/// `set-f1-any`: the same of the last list in brackets anywhere in the answer, and where there is none of the
/// items between commas of the last line, behind its last colon.
#[derive(Debug, Clone, Copy)]
pub struct SetF1Any;

impl Scorer for SetF1Any {
    fn name(&self) -> &str {
        "set-f1-any"
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        let last = response.trim_end().lines().next_back().unwrap_or_default();
        let list = bracketed(response).unwrap_or(last.rsplit(':').next().unwrap_or_default());
        if list.trim().is_empty() && bracketed(response).is_none() { 0.0 } else { f1(list, expected) }
    }
}

/// What stands in the last square brackets that are closed.
fn bracketed(text: &str) -> Option<&str> {
    let (before, _) = text.rsplit_once(']')?;
    before.rsplit_once('[').map(|(_, list)| list)
}

/// F1 of a list with commas.
fn f1(list: &str, expected: &[String]) -> f64 {
    let plain = |item: &str| item.trim().trim_matches(['"', '\'', '`', '.']).to_lowercase();
    let given: BTreeSet<String> =
        list.split([',', '\n']).map(plain).filter(|item| !item.is_empty()).collect();
    let wanted: BTreeSet<String> =
        expected.iter().map(|item| plain(item)).filter(|item| !item.is_empty()).collect();
    match given.len() + wanted.len() {
        0 => 1.0,
        all => 2.0 * given.intersection(&wanted).count() as f64 / all as f64,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_line_is_compared_as_a_set() {
        let expected: Vec<String> = ["a", "b", "c"].map(String::from).to_vec();
        for (response, strict, flexible) in [
            ("Final Answer: [a, b, c]", 1.0, 1.0),
            ("[x]\nFinal Answer: [\"C\", 'b', a, a]", 1.0, 1.0),
            ("Final Answer: [a, b]", 0.8, 0.8),
            ("Final Answer: [a, x]", 0.4, 0.4),
            ("Final Answer: []", 0.0, 0.0),
            ("Final Answer: a, b, c", 0.0, 1.0),
            ("[a, b, c]\nThat is all.", 0.0, 1.0),
            ("Final Answer: [a, b", 0.0, 0.0),
            ("", 0.0, 0.0),
        ] {
            assert!((SetF1.score(response, &expected) - strict).abs() < 1e-12, "{response}");
            if response != "Final Answer: [a, b" {
                assert!((SetF1Any.score(response, &expected) - flexible).abs() < 1e-12, "{response}");
            }
        }
    }

    #[test]
    fn two_empty_sets_are_equal_and_an_empty_answer_is_no_set() {
        for scorer in [&SetF1 as &dyn Scorer, &SetF1Any] {
            assert_eq!((scorer.score("[]", &[]), scorer.score("", &[])), (1.0, 0.0));
        }
    }
}
