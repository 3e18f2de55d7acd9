//! What heads retrieve in one trial: what they copy while the answer is decoded, and how much more they look
//! at the needles for the question than for one without content.

use std::collections::{BTreeMap, BTreeSet};

use crate::attention::Blocked;
use crate::attention::keys::OfHead;
use crate::error::Result;
use crate::generate::{Completion, LanguageModel, Reading};
use crate::prompt::Prompt;
use crate::tokenizer::Tokenize;
use crate::trial::RetrievalRow;

/// The question without content that the own question of a prompt is held against.
const NULL_QUESTION: &str = "N/A";

/// What a head gives to every token of the needles, mean over the tokens of the question, and of the one
/// without content.
pub(super) type Asked = BTreeMap<(usize, usize), (Vec<f64>, Vec<f64>)>;

/// The attention of both questions, by layer and head; nothing where the question is not known or no needle
/// stands before it. Keys of the prompt may be blocked.
pub(super) fn question(
    (prompt, blocked): (&Prompt, Option<&Blocked>),
    tokenizer: &dyn Tokenize,
    model: &mut dyn LanguageModel,
    progress: &mut dyn FnMut(usize) -> bool,
) -> Result<Asked> {
    let asked = prompt.asked.clone();
    let before = |needle: &std::ops::Range<usize>| needle.end <= asked.start;
    if asked.is_empty() || prompt.needles.is_empty() || !prompt.needles.iter().all(before) {
        return Ok(Asked::new());
    }
    let keys: Vec<usize> = prompt.needles.iter().cloned().flatten().collect();
    let mut weights = |tokens: &[u32]| {
        let reading = Reading {
            tokens,
            first_row: asked.start,
            keys: &keys,
            length: prompt.longest().max(tokens.len()),
            blocked,
        };
        model.mean_weights(reading, progress)
    };
    let own = weights(&prompt.tokens[..asked.end])?;
    let mut null = prompt.tokens[..asked.start].to_vec();
    let ids = tokenizer.encode(NULL_QUESTION)?.ids;
    null.extend(ids.iter().filter(|id| !tokenizer.special_ids().contains(id)));
    let null = weights(&null)?;
    let place = |head: &OfHead<Vec<f64>>| (head.layer, head.head);
    let mut null: BTreeMap<_, Vec<f64>> = null.into_iter().map(|head| (place(&head), head.value)).collect();
    let pair =
        |head: OfHead<Vec<f64>>| Some((place(&head), (head.value.clone(), null.remove(&place(&head))?)));
    Ok(own.into_iter().filter_map(pair).collect())
}

/// Rows of `retrieval.csv` of the trial `(run_id, row_id)`; none of a prompt without needles or an answer
/// without tokens.
pub(super) fn rows(
    (run_id, row_id): (&str, &str),
    prompt: &Prompt,
    completion: &Completion,
    asked: &Asked,
) -> Vec<RetrievalRow> {
    let needle_tokens: usize = prompt.needles.iter().map(ExactSizeIterator::len).sum();
    if needle_tokens == 0 {
        return Vec::new();
    }
    let in_needle = |key: usize| prompt.needles.iter().any(|needle| needle.contains(&key));
    let mut heads: BTreeMap<(usize, usize), (usize, BTreeSet<usize>)> = BTreeMap::new();
    for (keys, token) in completion.keys.iter().zip(&completion.tokens) {
        for &OfHead { layer, head, value: key } in keys {
            let (steps, tokens) = heads.entry((layer, head)).or_default();
            if in_needle(key) && prompt.tokens.get(key) == Some(token) {
                *steps += 1;
                tokens.insert(key);
            }
        }
    }
    let row = |((layer, head), (copied_steps, copied)): ((usize, usize), (usize, BTreeSet<usize>))| {
        let asked = asked.get(&(layer, head));
        RetrievalRow {
            run_id: run_id.to_string(),
            row_id: row_id.to_string(),
            layer,
            head,
            needle_tokens,
            steps: completion.keys.len(),
            copied_steps,
            copied_tokens: copied.len(),
            question_mass: asked.map(|(own, _)| own.iter().sum()),
            null_mass: asked.map(|(_, null)| null.iter().sum()),
            question_score: asked.map(|(own, null)| question_score(own, null)),
        }
    };
    heads.into_iter().map(row).collect()
}

/// The query-focused retrieval score of a head (QRHead, arXiv 2506.09944, calibrated as its code does): with
/// `a_j` the weight of token `j` of the needles, mean over the tokens of the question, and `b_j` that of the
/// question without content,
///
/// ```text
/// score = sum of a_j - b_j over the j with a_j - b_j > mean - 2 sd
/// ```
///
/// mean and sample standard deviation over the tokens of the needles, so that a token that only the other
/// question looks at does not count. Of a single token it is the difference.
fn question_score(own: &[f64], null: &[f64]) -> f64 {
    let differences: Vec<f64> = own.iter().zip(null).map(|(a, b)| a - b).collect();
    let n = differences.len() as f64;
    let mean = differences.iter().sum::<f64>() / n;
    if differences.len() < 2 {
        return mean;
    }
    let variance = differences.iter().map(|d| (d - mean) * (d - mean)).sum::<f64>() / (n - 1.0);
    let least = mean - 2.0 * variance.sqrt();
    let kept: f64 = differences.iter().filter(|&&difference| difference > least).sum();
    // All alike, none is above the others.
    if variance == 0.0 { n * mean } else { kept }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_question_score_leaves_out_tokens_that_only_the_other_question_looks_at() {
        let null = [0.0; 8];
        assert!((question_score(&[0.125; 8], &null) - 1.0).abs() < 1e-12);
        let own = [0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.1, 0.0];
        let other = [0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.9];
        assert!((question_score(&own, &other) - 0.7).abs() < 1e-12);
        assert!((question_score(&[0.25], &[0.75]) + 0.5).abs() < 1e-12);
    }
}
