//! The weighted mean of RWKV-4 (arXiv 2305.13048): each channel weighs all values so far by keys that decay,
//!
//! ```text
//! y_t = (sum over i < t of e^{(t-1-i) w + k_i} v_i + e^{u + k_t} v_t) / (the same sum without v)
//! ```
//!
//! with `w <= 0`. Kept are both sums, divided by the `e^max` that is the largest term.

use super::{CHANNELS, Units, by_units};

/// The state of a channel before the first token: numerator, denominator, and the exponent both are over.
pub(crate) const WKV_START: [f32; 3] = [0.0, 0.0, -1e38];

/// What the mean runs over.
#[derive(Clone, Copy)]
pub(crate) struct Wkv<'a> {
    /// `k`, `[t, channels]`.
    pub(crate) key: &'a [f32],
    /// `v`, `[t, channels]`.
    pub(crate) value: &'a [f32],
    /// `w <= 0` of each channel.
    pub(crate) decay: &'a [f32],
    /// `u` of each channel.
    pub(crate) first: &'a [f32],
}

/// `y` `[t, channels]` of tokens behind those that left `state` `[channels, 3]`, on all threads; `state`
/// becomes that behind the last token.
pub(crate) fn wkv(input: &Wkv<'_>, state: &mut [f32]) -> Vec<f32> {
    let channels = input.decay.len();
    let t = input.key.len() / channels;
    assert!(input.value.len() == t * channels && state.len() == 3 * channels, "t rows of channels");
    let sizes = Units { t, units: channels, width: 1, block: CHANNELS };
    by_units(sizes, state, |first, state, rows| {
        let count = state.len() / 3;
        for (token, y) in rows.chunks_exact_mut(count).enumerate() {
            let [key, value] = [input.key, input.value].map(|rows| &rows[token * channels + first..]);
            let rules = input.decay[first..].iter().zip(&input.first[first..]);
            let states = state.as_chunks_mut::<3>().0.iter_mut();
            for ((y, state), ((key, value), (decay, first))) in
                y.iter_mut().zip(states).zip(key.iter().zip(value).zip(rules))
            {
                let [numerator, denominator, max] = *state;
                // [old, new] sums over a common exponent.
                let join = |old: f32, new: f32| {
                    let max = if old > new { old } else { new };
                    let [old, new] = [(old - max).exp(), (new - max).exp()];
                    [old * numerator + new * value, old * denominator + new, max]
                };
                let [weighted, weights, _] = join(max, key + first);
                *y = weighted / weights;
                *state = join(max + decay, *key);
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn the_mean_equals_the_sums_wherever_a_prompt_is_cut() {
        let mut rng = Rng::new(83);
        let (t, channels) = (20, 70);
        let key = numbers(&mut rng, t * channels, 8.0);
        let [value, u] = [t * channels, channels].map(|count| numbers(&mut rng, count, 2.0));
        let w: Vec<f32> = (0..channels).map(|channel| -0.02 * channel as f32).collect();
        let exact = |row: usize, channel: usize| {
            let (mut weighted, mut weights) = (0.0, 0.0);
            for i in 0..=row {
                let bonus = if i == row {
                    f64::from(u[channel])
                } else {
                    (row - 1 - i) as f64 * f64::from(w[channel])
                };
                let weight = (bonus + f64::from(key[i * channels + channel])).exp();
                weighted += weight * f64::from(value[i * channels + channel]);
                weights += weight;
            }
            weighted / weights
        };
        for cut in [0, 1, 13] {
            let (mut state, mut found) = (WKV_START.repeat(channels), Vec::new());
            for rows in [0..cut, cut..t] {
                let part = |all: &[f32]| all[rows.start * channels..rows.end * channels].to_vec();
                let [key, value] = [&key, &value].map(|all| part(all));
                found.extend(wkv(&Wkv { key: &key, value: &value, decay: &w, first: &u }, &mut state));
            }
            for (at, found) in found.iter().enumerate() {
                let exact = exact(at / channels, at % channels);
                assert!((f64::from(*found) - exact).abs() <= 1e-5 * (1.0 + exact.abs()), "{found}, {exact}");
            }
        }
    }
}
