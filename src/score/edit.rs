use super::distance::levenshtein;
use super::{Scorer, joined};

/// `edit`: `1 - d / n` with d the Levenshtein distance of answer and expected text, and n the length of the
/// longer one, in characters. Several expected answers are one text, with commas between them.
#[derive(Debug, Clone, Copy)]
pub struct Edit;

impl Scorer for Edit {
    fn name(&self) -> &str {
        "edit"
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        let (given, wanted) = (response.trim(), joined(expected));
        let wanted = wanted.trim();
        if given.is_empty() || wanted.is_empty() {
            return 0.0;
        }
        let longer = given.chars().count().max(wanted.chars().count());
        let (given, wanted) = without_common_ends(given, wanted);
        1.0 - levenshtein(given, wanted) as f64 / longer as f64
    }
}

/// Both without what they begin and end with alike, which no distance depends on: copies are long and nearly
/// equal.
fn without_common_ends<'a>(a: &'a str, b: &'a str) -> (&'a str, &'a str) {
    let same = |(x, y): &(char, char)| x == y;
    let bytes =
        |pairs: &mut dyn Iterator<Item = (char, char)>| pairs.map(|(c, _)| c.len_utf8()).sum::<usize>();
    let start = bytes(&mut a.chars().zip(b.chars()).take_while(same));
    let (a, b) = (&a[start..], &b[start..]);
    let end = bytes(&mut a.chars().rev().zip(b.chars().rev()).take_while(same));
    (&a[..a.len() - end], &b[..b.len() - end])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn distances_can_be_counted_by_hand() {
        let score = |response: &str, expected: &str| Edit.score(response, &[expected.to_string()]);
        assert_eq!(score(" kitten ", "sitting"), 1.0 - 3.0 / 7.0);
        assert_eq!(score("pear pear plum pear", "pear pear pear pear"), 1.0 - 3.0 / 19.0);
        assert_eq!(score("Öl", "Al"), 0.5);
        assert_eq!(score("aaa", "aa"), 1.0 - 1.0 / 3.0);
        assert_eq!(score("same", "same"), 1.0);
        assert_eq!(score("", "abc"), 0.0);
    }
}
