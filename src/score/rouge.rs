use std::collections::HashMap;

use super::{Scorer, stem};

/// `rouge1`: ROUGE-1 recall with stemming (Lin 2004): the share of the words expected that the answer says,
/// as often as they are expected. A trial is correct above 0.5, as in Retrieval Head (Wu et al. 2024).
#[derive(Debug, Clone, Copy)]
pub struct Rouge1;

impl Scorer for Rouge1 {
    fn name(&self) -> &str {
        "rouge1"
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        let wanted = counts(&expected.join(" "));
        let given = counts(response);
        let said: usize = wanted.iter().map(|(word, &n)| n.min(given.get(word).copied().unwrap_or(0))).sum();
        let all: usize = wanted.values().sum();
        if all == 0 { 0.0 } else { said as f64 / all as f64 }
    }

    fn is_correct(&self, score: f64) -> bool {
        score > 0.5
    }

    fn threshold(&self) -> &str {
        "above 0.5"
    }
}

/// How often a text says each word. Words are runs of letters and digits in lower case; those of more than
/// three letters by their stem, as in the usual implementation.
fn counts(text: &str) -> HashMap<String, usize> {
    let lower = text.to_lowercase();
    let mut counts = HashMap::new();
    for word in lower.split(|c: char| !c.is_alphanumeric()).filter(|word| !word.is_empty()) {
        let word = if word.len() > 3 { stem(word) } else { word.to_string() };
        *counts.entry(word).or_insert(0) += 1;
    }
    counts
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn recall_counts_stemmed_words_as_often_as_they_are_expected() {
        let score = |response: &str, expected: &str| Rouge1.score(response, &[expected.to_string()]);
        assert_eq!(
            score("Eating a sandwich, sitting in Dolores Park.", "eat a sandwich and sit in Dolores Park"),
            7.0 / 8.0
        );
        assert_eq!(score("park park", "a park, a bench, a park"), 2.0 / 6.0);
        assert_eq!(score("connections", "connected"), 1.0);
        assert!(Rouge1.is_correct(0.51) && !Rouge1.is_correct(0.5));
    }
}
