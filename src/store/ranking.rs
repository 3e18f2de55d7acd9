//! Heads that files name, and rankings of heads.
//!
//! A ranking is JSON as Retrieval_Head writes it, `{"layer-head": [score, ...], ...}`, where the mean of the
//! scores of a head counts, or a run, of which the mean needle mass over its trials does.

use std::collections::BTreeMap;
use std::path::Path;

use serde_json::Value;

use super::csv;
use super::directory::ATTENTION_CSV;
use crate::error::{Error, Result};
use crate::files;
use crate::json;
use crate::spec::HeadPlace;
use crate::trial::AttentionRow;

/// Bytes of a file of heads, at most.
const MOST_BYTES: u64 = 64 << 20;
/// Values in one, at most.
const MOST_VALUES: usize = 4_000_000;

/// The heads of a ranking, the best first; of equals the first.
///
/// # Errors
/// [`Error::File`] when it cannot be read, or ranks nothing.
pub fn ranking(place: &Path) -> Result<Vec<HeadPlace>> {
    let scores = if place.is_dir() { needle_masses(place)? } else { of_json(place, &read(place)?)? };
    if scores.is_empty() {
        return Err(Error::file(place, "ranks no head; name a run with needles, or a file with scores"));
    }
    let mut ranked: Vec<(HeadPlace, f64)> = scores.into_iter().collect();
    ranked.sort_by(|(a, of_a), (b, of_b)| of_b.total_cmp(of_a).then(a.cmp(b)));
    Ok(ranked.into_iter().map(|(place, _)| place).collect())
}

/// The heads that a file names: `LAYER.HEAD` with commas or white space between them, or JSON with a key
/// `LAYER-HEAD` for each.
///
/// # Errors
/// [`Error::File`] when it cannot be read, or names anything else.
pub fn heads(file: &Path) -> Result<Vec<HeadPlace>> {
    let text = read(file)?;
    if text.trim_start().starts_with('{') {
        return Ok(of_json(file, &text)?.into_keys().collect());
    }
    let words = text.split(|c: char| c == ',' || c.is_whitespace()).filter(|word| !word.is_empty());
    let places = words.map(|word| {
        let place = word.parse::<HeadPlace>();
        place.map_err(|_| {
            Error::file(file, format!("{word:?} is no head; name each as LAYER.HEAD, such as 12.3"))
        })
    });
    let places = places.collect::<Result<Vec<_>>>()?;
    match places.is_empty() {
        true => Err(Error::file(file, "names no head; name each as LAYER.HEAD, such as 12.3")),
        false => Ok(places),
    }
}

fn read(file: &Path) -> Result<String> {
    files::read_text(file, MOST_BYTES).map_err(|error| {
        Error::file(file, format!("cannot read: {error}; name a file of heads, or the directory of a run"))
    })
}

/// The mean score of each head.
fn of_json(file: &Path, text: &str) -> Result<BTreeMap<HeadPlace, f64>> {
    let wrong = |problem: String| {
        let remedy = "a ranking of heads is {\"LAYER-HEAD\": [score, ...], ...}";
        Error::file(file, format!("{problem}; {remedy}"))
    };
    let read: BTreeMap<String, Value> = json::parse(text.as_bytes(), MOST_VALUES).map_err(wrong)?;
    let of_head = |(key, value): (String, Value)| {
        let number = |text: &str| text.parse().ok();
        let place = key.split_once('-').and_then(|(layer, head)| number(layer).zip(number(head)));
        let (layer, head) = place.ok_or_else(|| wrong(format!("{key:?} is no head")))?;
        let scores = match &value {
            Value::Array(scores) => scores.iter().map(Value::as_f64).collect(),
            one => one.as_f64().map(|score| vec![score]),
        };
        let scores = scores.filter(|scores: &Vec<f64>| !scores.is_empty());
        let scores = scores
            .ok_or_else(|| wrong(format!("head {key:?} has no scores, or some that are no numbers")))?;
        Ok((HeadPlace { layer, head }, scores.iter().sum::<f64>() / scores.len() as f64))
    };
    read.into_iter().map(of_head).collect()
}

/// The mean needle mass of each head over the trials of a run that have needles.
fn needle_masses(directory: &Path) -> Result<BTreeMap<HeadPlace, f64>> {
    let mut sums: BTreeMap<HeadPlace, (f64, usize)> = BTreeMap::new();
    for row in csv::rows::<AttentionRow>(directory.join(ATTENTION_CSV))? {
        let AttentionRow { layer, head, needle_mass, .. } = row?;
        if needle_mass.is_finite() {
            let (sum, count) = sums.entry(HeadPlace { layer, head }).or_default();
            (*sum, *count) = (*sum + needle_mass, *count + 1);
        }
    }
    Ok(sums.into_iter().map(|(place, (sum, count))| (place, sum / count as f64)).collect())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn in_file<T>(text: &str, read: impl Fn(&Path) -> Result<T>) -> Result<T, String> {
        let place = tempfile::tempdir().unwrap();
        let file = place.path().join("heads.json");
        std::fs::write(&file, text).unwrap();
        read(&file).map_err(|error| error.to_string())
    }

    fn shown(places: Vec<HeadPlace>) -> Vec<String> {
        places.iter().map(ToString::to_string).collect()
    }

    #[test]
    fn a_ranking_goes_by_the_mean_of_the_scores_of_a_head() {
        let ranked = in_file(r#"{"0-1": [0.5, 0.1], "10-0": [0.9], "2-3": 0.3, "2-2": [0.3]}"#, ranking);
        assert_eq!(shown(ranked.unwrap()), ["10.0", "0.1", "2.2", "2.3"]);
    }

    #[test]
    fn a_file_of_heads_is_a_list_or_a_ranking() {
        assert_eq!(shown(in_file("3.1, 4.0\n12.7\n", heads).unwrap()), ["3.1", "4.0", "12.7"]);
        assert_eq!(shown(in_file(r#" {"4-1": [1], "3-0": [0]}"#, heads).unwrap()), ["3.0", "4.1"]);
    }

    #[test]
    fn anything_else_is_refused_with_what_is_expected() {
        for (text, words) in [
            ("{", "EOF"),
            ("{}", "ranks no head"),
            ("[1]", "LAYER-HEAD"),
            (r#"{"a": [1]}"#, "\"a\" is no head"),
            (r#"{"1-2": []}"#, "has no scores"),
            (r#"{"1-2": ["x"]}"#, "no numbers"),
            (r#"{"1-2": [NaN]}"#, "no numbers"),
        ] {
            let said = in_file(text, ranking).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
        for (text, words) in [("", "names no head"), ("3.1 x", "\"x\" is no head"), ("3", "LAYER.HEAD")] {
            let said = in_file(text, heads).unwrap_err();
            assert!(said.contains(words), "{text}: {said}");
        }
    }
}
