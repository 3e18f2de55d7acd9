//! What a server has told of its answers and of the lengths that it reads, in sums and in words.

use serde_json::{Map, Value, json};

use super::total;
use crate::runner::{LengthCheck, suspicion};
use crate::trial::ServedRow;

/// Tokens of all answers and the seconds that they took; `null` where no answer says how many.
#[must_use]
pub fn sums(rows: &[ServedRow]) -> Map<String, Value> {
    let sum = |of: &dyn Fn(&ServedRow) -> Option<usize>| -> Option<usize> {
        let known: Vec<usize> = rows.iter().filter_map(of).collect();
        (!known.is_empty()).then(|| total(known))
    };
    let sums = [
        ("sent", json!(sum(&|row| row.prompt_tokens.or(Some(row.prompt_tokens_here))))),
        ("cached", json!(sum(&|row| row.cached_tokens))),
        ("generated", json!(sum(&|row| row.completion_tokens))),
        ("seconds", json!(rows.iter().map(|row| row.seconds).sum::<f64>())),
    ];
    sums.map(|(name, sum)| (name.to_string(), sum)).into_iter().collect()
}

/// What reports say of the server, a sentence each. `exact` is whether tokens were counted here with the
/// model's own tokenizer.
#[must_use]
pub fn notes(exact: bool, rows: &[ServedRow], checks: &[LengthCheck]) -> Vec<String> {
    // Of one server at most one length has a problem; of those of several runs each has its own.
    let cut = checks.iter().filter_map(|check| check.problem.clone());
    let counted = [work(rows), counts(exact, rows)].into_iter().flatten();
    counted.chain(cut).chain(suspicion(checks)).collect()
}

/// Tokens and seconds.
fn work(rows: &[ServedRow]) -> Option<String> {
    let sum = Value::Object(sums(rows));
    let sent = sum["sent"].as_u64()?;
    let cached = match sum["cached"].as_u64() {
        Some(cached) => format!("{cached} of them from the server's cache"),
        None => "how many of them were cached is not reported".to_string(),
    };
    let generated = sum["generated"].as_u64().map_or(String::new(), |tokens| format!(", {tokens} generated"));
    let (seconds, count) = (sum["seconds"].as_f64().unwrap_or_default(), rows.len());
    let again = rows.iter().filter(|row| row.attempts > 1).count();
    let again = if again == 0 { String::new() } else { format!("; {again} answers took several attempts") };
    Some(format!(
        "server: {sent} prompt tokens sent, {cached}{generated}, {seconds:.1} s in {count} requests{again}"
    ))
}

/// How the server's counts of prompts differ from those made here.
fn counts(exact: bool, rows: &[ServedRow]) -> Option<String> {
    let share =
        |row: &ServedRow| Some(100.0 * row.prompt_tokens? as f64 / row.prompt_tokens_here.max(1) as f64);
    let shares: Vec<f64> = rows.iter().filter_map(share).collect();
    let least = shares.iter().copied().reduce(f64::min);
    let most = shares.iter().copied().reduce(f64::max);
    let measured = least.zip(most);
    let between = |(least, most): (f64, f64)| match least == most {
        true => format!("{least:.1}%"),
        false => format!("{least:.1}% to {most:.1}%"),
    };
    match (exact, measured) {
        (true, None | Some((100.0, 100.0))) => None,
        (true, Some(shares)) => Some(format!(
            "the server counts {} of the prompt tokens that were counted here",
            between(shares)
        )),
        (false, None) => Some(
            "lengths are approximate, as the model's tokenizer is not at hand; the server reports none to hold \
             them against"
                .to_string(),
        ),
        (false, Some(shares)) => Some(format!(
            "lengths are approximate, as the model's tokenizer is not at hand: the server counts {} of the \
             prompt tokens that were aimed at",
            between(shares)
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn row(here: usize, there: Option<usize>, cached: Option<usize>) -> ServedRow {
        ServedRow {
            attempts: 1,
            seconds: 0.5,
            prompt_tokens_here: here,
            prompt_tokens: there,
            cached_tokens: cached,
            completion_tokens: Some(2),
            ..ServedRow::default()
        }
    }

    #[test]
    fn the_report_says_what_was_sent_cached_generated_and_how_long_it_took() {
        let rows = [row(100, Some(101), Some(0)), ServedRow { attempts: 3, ..row(200, Some(202), Some(90)) }];
        assert_eq!(
            work(&rows).unwrap(),
            "server: 303 prompt tokens sent, 90 of them from the server's cache, 4 generated, 1.0 s in 2 \
             requests; 1 answers took several attempts"
        );
        let silent = work(&[ServedRow { completion_tokens: None, ..row(100, None, None) }]).unwrap();
        assert!(
            silent.contains("100 prompt tokens sent, how many of them were cached is not reported, 0.5 s")
        );
        assert_eq!(work(&[]), None);
    }
}
