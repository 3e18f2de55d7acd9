//! What it means that a model's scores are bounded.

/// The largest weight that a Softmax can give to one of `n` keys whose scores are at most `range` apart, `1 /
/// ((n - 1) e^-range + 1)`: all are at one end but one at the other (arXiv 2501.19399).
///
/// ```
/// use niah::report::bound::largest_weight;
/// assert!((largest_weight(5.0, 1000.0) - 0.129346).abs() < 1e-6);
/// ```
#[must_use]
pub fn largest_weight(range: f64, n: f64) -> f64 {
    1.0 / ((n - 1.0) * (-range).exp() + 1.0)
}

/// What bounded scores mean for softmax, in words: the weight of a key with the largest score `b` among
/// `n - 1` others of score 0, `e^b / (e^b + n - 1)`. `largest` is b, of scores before any multiplier.
#[must_use]
pub fn bounded(largest: f64) -> String {
    format!("scores are at most {} before any multiplier, {}", significant(largest), meaning(largest))
}

/// The same under a rule that multiplies every score by this `factor`.
#[must_use]
pub fn bounded_times(largest: f64, factor: f64) -> String {
    let multiplied = factor * largest;
    let [bound, factor] = [multiplied, factor].map(significant);
    format!("scores are at most {bound} with their factor {factor}, {}", meaning(multiplied))
}

fn meaning(largest: f64) -> String {
    let weight = |n: f64| significant(largest_weight(largest, n));
    format!(
        "as queries and keys are normalised without a gain: under softmax one key among others of score 0 \
         gets at most {} of 1k keys, {} of 16k and {} of 256k",
        weight(1024.0),
        weight(16_384.0),
        weight(262_144.0)
    )
}

/// Four significant digits at most.
#[must_use]
pub fn significant(number: f64) -> String {
    let decimals = 3i32.saturating_sub(number.abs().log10().floor() as i32).clamp(0, 12) as usize;
    let text = format!("{number:.decimals$}");
    match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_string(),
        false => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_and_very_much_have_digits_as_well() {
        assert_eq!([0.0, 1234.56, 0.000_123_456].map(significant), ["0", "1235", "0.0001235"]);
        assert!(significant(1e300).starts_with('1'));
    }
}
