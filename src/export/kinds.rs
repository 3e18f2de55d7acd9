//! How the kinds of spans of a prompt are told apart: by a letter where their spans begin, and by a colour.

use super::palette::Rgb;
use crate::report::document::ShadedToken;
use crate::span::SpanKind;

/// What stands where spans of this kind begin; nothing for targets, which have a mark of their own.
pub(super) fn letter(kind: SpanKind) -> Option<String> {
    match kind {
        SpanKind::Target => None,
        SpanKind::Other => Some("o".to_string()),
        SpanKind::Distractor => Some("d".to_string()),
        SpanKind::Stale => Some("s".to_string()),
        SpanKind::Hop(step) => Some(step.to_string()),
        SpanKind::AnswerSource => Some("a".to_string()),
    }
}

/// The colour of the letter: each is told from the others by the colour-blind (Okabe and Ito 2008).
pub(super) fn color(kind: SpanKind) -> Rgb {
    match kind {
        SpanKind::Target => Rgb(0xd5, 0x5e, 0x00),
        SpanKind::Other => Rgb(0x00, 0x9e, 0x73),
        SpanKind::Distractor => Rgb(0xcc, 0x79, 0xa7),
        SpanKind::Stale => Rgb(0xe6, 0x9f, 0x00),
        SpanKind::Hop(_) => Rgb(0x56, 0xb4, 0xe9),
        SpanKind::AnswerSource => Rgb(0x8a, 0x8a, 0x8a),
    }
}

/// The kinds in a prompt, each once, in their order.
pub(super) fn present(tokens: &[ShadedToken]) -> Vec<SpanKind> {
    let mut kinds: Vec<SpanKind> =
        tokens.iter().filter_map(|token| token.part.map(|part| part.kind)).collect();
    kinds.sort_unstable();
    kinds.dedup();
    kinds
}
