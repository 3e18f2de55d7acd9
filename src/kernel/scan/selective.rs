//! The selective scan of Mamba (arXiv 2312.00752): each channel keeps `N` numbers `h`, with a step size and a
//! decay of its own,
//!
//! ```text
//! dt  = softplus(raw dt)
//! h_n = exp(dt a_n) h_n + dt B_n x
//! y   = sum over n of h_n C_n + D x
//! ```

use super::{CHANNELS, Units, by_units, softplus};
use crate::kernel::exp::exp;
use crate::kernel::{LANES, for_every_instruction_set};

/// What the scan runs over.
#[derive(Clone, Copy)]
pub(crate) struct Selective<'a> {
    /// `x`, `[t, channels]`.
    pub(crate) x: &'a [f32],
    /// Step sizes before softplus, `[t, channels]`.
    pub(crate) raw_dt: &'a [f32],
    /// `[t, N]`.
    pub(crate) b: &'a [f32],
    /// `[t, N]`.
    pub(crate) c: &'a [f32],
    /// `a <= 0`, `[channels, N]`.
    pub(crate) a: &'a [f32],
    /// `D` of each channel.
    pub(crate) d: &'a [f32],
}

/// `y` `[t, channels]` of tokens behind those that left `state` `[channels, N]`, on all threads; `state`
/// becomes that behind the last token.
pub(crate) fn selective(input: &Selective<'_>, state: &mut [f32]) -> Vec<f32> {
    let channels = input.d.len();
    let (t, n) = (input.x.len() / channels, input.a.len() / channels);
    assert!(input.x.len() == t * channels && input.raw_dt.len() == t * channels, "t rows of channels");
    assert!(
        input.b.len() == t * n && input.c.len() == t * n && state.len() == channels * n,
        "N numbers each"
    );
    let sizes = Units { t, units: channels, width: 1, block: CHANNELS };
    by_units(sizes, state, |first, state, rows| {
        let count = state.len() / n;
        let of_block = first..first + count;
        for (token, y) in rows.chunks_exact_mut(count).enumerate() {
            let at = token * channels;
            let [x, raw_dt] = [input.x, input.raw_dt].map(|rows| &rows[at + first..][..count]);
            let [b, c] = [input.b, input.c].map(|rows| &rows[token * n..][..n]);
            let a = &input.a[first * n..][..count * n];
            step(y, state, [x, raw_dt, a, b, c, &input.d[of_block.clone()]]);
        }
    })
}

for_every_instruction_set! {
    /// One token of some channels; the inputs are `x`, raw `dt`, `a`, `B`, `C` and `D`.
    fn step = step_plain(y: &mut [f32], state: &mut [f32], inputs: [&[f32]; 6])
}

#[inline(always)]
fn step_plain(y: &mut [f32], state: &mut [f32], inputs: [&[f32]; 6]) {
    let [x, raw_dt, a, b, c, d] = inputs;
    let n = b.len();
    let channels = state.chunks_exact_mut(n).zip(a.chunks_exact(n));
    for (((y, (state, a)), (x, raw_dt)), d) in y.iter_mut().zip(channels).zip(x.iter().zip(raw_dt)).zip(d) {
        let dt = softplus(*raw_dt);
        let mut sums = [0.0; LANES];
        let numbers = state.chunks_mut(LANES).zip(a.chunks(LANES));
        for ((state, a), (b, c)) in numbers.zip(b.chunks(LANES).zip(c.chunks(LANES))) {
            let given = state.iter_mut().zip(a).zip(b.iter().zip(c));
            for (sum, ((h, a), (b, c))) in sums.iter_mut().zip(given) {
                *h = exp(dt * a) * *h + dt * b * x;
                *sum += *h * c;
            }
        }
        *y = sums.iter().sum::<f32>() + d * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn the_scan_equals_the_recurrence_wherever_a_prompt_is_cut() {
        let mut rng = Rng::new(71);
        let t = 50;
        for (channels, n) in [(150, 16), (64, 5), (3, 40)] {
            let [x, raw_dt] = [(); 2].map(|()| numbers(&mut rng, t * channels, 2.0));
            let [b, c] = [(); 2].map(|()| numbers(&mut rng, t * n, 1.0));
            let a: Vec<f32> = numbers(&mut rng, channels * n, 2.0).iter().map(|x| -x.exp()).collect();
            let d = numbers(&mut rng, channels, 1.0);
            let start = numbers(&mut rng, channels * n, 1.0);
            let mut kept: Vec<f64> = start.iter().map(|x| f64::from(*x)).collect();
            let mut exact = Vec::new();
            for (row, channel) in (0..t).flat_map(|row| (0..channels).map(move |channel| (row, channel))) {
                let x = f64::from(x[row * channels + channel]);
                let dt = f64::from(raw_dt[row * channels + channel]).exp().ln_1p();
                let mut y = f64::from(d[channel]) * x;
                for k in 0..n {
                    let h = &mut kept[channel * n + k];
                    *h = (dt * f64::from(a[channel * n + k])).exp() * *h + dt * f64::from(b[row * n + k]) * x;
                    y += *h * f64::from(c[row * n + k]);
                }
                exact.push(y);
            }
            for cut in [0, 1, 17] {
                let (mut state, mut found) = (start.clone(), Vec::new());
                for rows in [0..cut, cut..t] {
                    let part = |all: &[f32], width| all[rows.start * width..rows.end * width].to_vec();
                    let [x, raw_dt] = [&x, &raw_dt].map(|all| part(all, channels));
                    let [b, c] = [&b, &c].map(|all| part(all, n));
                    let input = Selective { x: &x, raw_dt: &raw_dt, b: &b, c: &c, a: &a, d: &d };
                    found.extend(selective(&input, &mut state));
                }
                for (found, exact) in found.iter().zip(&exact).chain(state.iter().zip(&kept)) {
                    assert!(
                        (f64::from(*found) - exact).abs() <= 1e-5 * (1.0 + exact.abs()),
                        "{found}, {exact}"
                    );
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let mut rng = Rng::new(73);
        let (channels, n) = (7, 21);
        let [x, raw_dt, d] = [(); 3].map(|()| numbers(&mut rng, channels, 2.0));
        let [b, c] = [(); 2].map(|()| numbers(&mut rng, n, 1.0));
        let a: Vec<f32> = numbers(&mut rng, channels * n, 2.0).iter().map(|x| -x.exp()).collect();
        let state = numbers(&mut rng, channels * n, 1.0);
        let [mut fast, mut plain] = [(); 2].map(|()| (vec![0.0; channels], state.clone()));
        step(&mut fast.0, &mut fast.1, [&x, &raw_dt, &a, &b, &c, &d]);
        step_plain(&mut plain.0, &mut plain.1, [&x, &raw_dt, &a, &b, &c, &d]);
        assert_eq!(fast, plain);
    }
}
