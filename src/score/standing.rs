use super::{Scorer, share_found};

/// `match`, the default: the value stands in the answer and no letter or digit touches it, so that `12345` is found in
/// `It is 12345.` but not in `9123456` or `12345th`. Upper and lower case are the same.
///
/// Letters and digits are Unicode's (`char::is_alphanumeric`). Scripts written without spaces have letters on both
/// sides of every word; use `contains` for those.
#[derive(Debug, Clone, Copy)]
pub struct Match;

impl Scorer for Match {
    fn name(&self) -> &'static str {
        "match"
    }

    fn score(&self, response: &str, expected: &[String]) -> f64 {
        let response = response.to_lowercase();
        share_found(expected, |value| stands_in(&response, &value.to_lowercase()))
    }
}

/// Tries every place, overlapping ones too: a touched occurrence may overlap one that stands free.
fn stands_in(text: &str, value: &str) -> bool {
    text.char_indices().any(|(start, _)| {
        text[start..].strip_prefix(value).is_some_and(|after| {
            let touched = |neighbour: Option<char>| neighbour.is_some_and(char::is_alphanumeric);
            !touched(text[..start].chars().next_back()) && !touched(after.chars().next())
        })
    })
}
