//! Building a prompt: haystack, needles, question and template, exact to the token.
//!
//! A prompt is a pure function of (task, cell, seed, tokenizer, haystack). The token ranges of every needle and value are
//! known by construction.

use std::ops::Range;

use crate::grid::Depth;

/// A prompt ready to run, with everything that is recorded about it.
#[derive(Debug, Clone, PartialEq)]
pub struct Prompt {
    /// Token ids, up to and including the query that predicts the first answer token.
    pub tokens: Vec<u32>,
    /// Ids of the first expected answer as they continue `tokens` (teacher forcing).
    pub answer_tokens: Vec<u32>,
    /// The text behind `tokens` (BOS apart).
    pub text: String,
    /// Token range of each needle, in order of insertion.
    pub needles: Vec<Range<usize>>,
    /// Token range of each needle's value, in the same order.
    pub values: Vec<Range<usize>>,
    /// Token range from the first to the last token of the haystack, needles included.
    pub haystack: Range<usize>,
    /// Text of each needle.
    pub needle_texts: Vec<String>,
    /// The question.
    pub question: String,
    /// The expected answers.
    pub expected: Vec<String>,
    /// How many of `tokens` are special.
    pub special_tokens: usize,
    /// Tokens reserved for the answer.
    pub answer_budget: usize,
    /// Depth of the first needle as built: haystack tokens before it over all haystack tokens.
    pub actual_depth: Depth,
    /// SHA-256 of the haystack text that was used, in hex.
    pub haystack_hash: String,
    /// SHA-256 of `tokens` as little-endian u32, in hex.
    pub prompt_hash: String,
}
