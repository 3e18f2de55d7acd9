//! The real-gated linear recurrent unit (RG-LRU) of Griffin (arXiv 2402.19427): each channel keeps one number
//! `h`,
//!
//! ```text
//! log a = c r,   c = -8 softplus(Λ)
//! h     = a h + sqrt(1 - a²) i x      with 1 for the root at the first token of a sequence
//! ```
//!
//! with gates `r` and `i` between 0 and 1.

use super::{CHANNELS, Units, by_units};

/// What the unit runs over.
#[derive(Clone, Copy)]
pub(crate) struct GatedUnit<'a> {
    /// `x`, `[t, channels]`.
    pub(crate) x: &'a [f32],
    /// `i`, `[t, channels]`.
    pub(crate) input_gate: &'a [f32],
    /// `r`, `[t, channels]`.
    pub(crate) recurrent_gate: &'a [f32],
    /// `c <= 0` of each channel.
    pub(crate) log_decay: &'a [f32],
    /// Whether the first row is the first of its sequence.
    pub(crate) from_start: bool,
}

/// `h` `[t, channels]` of tokens behind those that left `state` `[channels]`, on all threads; `state` becomes
/// the last row.
pub(crate) fn gated_unit(input: &GatedUnit<'_>, state: &mut [f32]) -> Vec<f32> {
    let channels = input.log_decay.len();
    let t = input.x.len() / channels;
    let all = [input.x, input.input_gate, input.recurrent_gate];
    assert!(
        all.iter().all(|rows| rows.len() == t * channels) && state.len() == channels,
        "t rows of channels"
    );
    let sizes = Units { t, units: channels, width: 1, block: CHANNELS };
    by_units(sizes, state, |first, state, rows| {
        let count = state.len();
        for (token, out) in rows.chunks_exact_mut(count).enumerate() {
            let [x, i, r] = all.map(|rows| &rows[token * channels + first..][..count]);
            let first_of_all = token == 0 && input.from_start;
            let gates = i.iter().zip(r).zip(&input.log_decay[first..]);
            for ((h, out), (x, ((i, r), c))) in state.iter_mut().zip(out).zip(x.iter().zip(gates)) {
                let log_a = c * r;
                let root = if first_of_all { 1.0 } else { (-(2.0 * log_a).exp_m1()).sqrt() };
                *h = log_a.exp() * *h + root * i * x;
                *out = *h;
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
    fn the_unit_equals_its_recurrence_wherever_a_prompt_is_cut() {
        let mut rng = Rng::new(79);
        let (t, channels) = (30, 100);
        let x = numbers(&mut rng, t * channels, 1.0);
        let [i, r] = [(); 2]
            .map(|()| -> Vec<f32> { numbers(&mut rng, t * channels, 0.5).iter().map(|x| x + 0.5).collect() });
        let c: Vec<f32> = (0..channels).map(|channel| -0.1 * channel as f32).collect();
        let mut kept = vec![0f64; channels];
        let mut exact = Vec::new();
        for at in 0..t * channels {
            let a = (f64::from(c[at % channels]) * f64::from(r[at])).exp();
            let root = if at < channels { 1.0 } else { (1.0 - a * a).sqrt() };
            let h = &mut kept[at % channels];
            *h = a * *h + root * f64::from(i[at]) * f64::from(x[at]);
            exact.push(*h);
        }
        for cut in [0, 1, 11] {
            let (mut state, mut found) = (vec![0.0; channels], Vec::new());
            for rows in [0..cut, cut..t] {
                let part = |all: &[f32]| all[rows.start * channels..rows.end * channels].to_vec();
                let [x, i, r] = [&x, &i, &r].map(|all| part(all));
                let input = GatedUnit {
                    x: &x,
                    input_gate: &i,
                    recurrent_gate: &r,
                    log_decay: &c,
                    from_start: rows.start == 0,
                };
                found.extend(gated_unit(&input, &mut state));
            }
            for (found, exact) in found.iter().zip(&exact).chain(state.iter().zip(&kept)) {
                assert!((f64::from(*found) - exact).abs() <= 1e-6 * (1.0 + exact.abs()), "{found}, {exact}");
            }
        }
    }
}
