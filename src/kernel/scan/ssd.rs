//! State space duality, the recurrence of Mamba-2 (arXiv 2405.21060), in chunks.
//!
//! Each head of width `P` keeps a matrix `S` `[P, N]`; heads of a group share `B` and `C`. With a step size
//! `dt >= 0` and `a <= 0`, token by token:
//!
//! ```text
//! S_t = exp(a dt_t) S_{t-1} + dt_t x_t B_tᵀ
//! y_t = S_t C_t + D x_t
//! ```
//!
//! Over a chunk, with `L_i = sum over j <= i of a dt_j`, the same is three matrix products:
//!
//! ```text
//! Y   = (C Bᵀ ∘ M) X + diag(exp L) C S_0ᵀ + D X        M_ij = exp(L_i - L_j) dt_j for j <= i, else 0
//! S_1 = exp(L_end) S_0 + (diag(exp(L_end - L_j) dt_j) X)ᵀ B
//! ```

use super::{Units, by_units};
use crate::kernel::blocks::in_blocks;
use crate::kernel::exp::exp;
use crate::kernel::for_every_instruction_set;
use crate::kernel::gemm::{Into, Matrix, multiply};
use crate::kernel::lanes::dot;

/// Tokens of a chunk: enough for the products to pay, few enough that what they compute above the diagonal
/// does not count.
const CHUNK: usize = 64;

/// Tokens up to which one after the other is faster than a chunk.
const FEW: usize = 8;

/// Sizes of the recurrence.
#[derive(Debug, Clone, Copy)]
pub(crate) struct SsdSizes {
    /// Heads.
    pub(crate) heads: usize,
    /// `P`, the width of a head.
    pub(crate) head_dim: usize,
    /// Groups of heads that share `B` and `C`; divides the heads.
    pub(crate) groups: usize,
    /// `N`, columns of a state.
    pub(crate) state: usize,
}

impl SsdSizes {
    /// Numbers of `x`, `B` and `C` of a token.
    pub(crate) fn row(self) -> usize {
        self.heads * self.head_dim + 2 * self.groups * self.state
    }
}

/// What the recurrence runs over.
#[derive(Clone, Copy)]
pub(crate) struct Ssd<'a> {
    pub(crate) sizes: SsdSizes,
    /// `[t, x (heads * head_dim) | B (groups * state) | C (groups * state)]`.
    pub(crate) xbc: &'a [f32],
    /// Step sizes, `[t, heads]`.
    pub(crate) dt: &'a [f32],
    /// `a` of each head.
    pub(crate) a: &'a [f32],
    /// `D` of each head.
    pub(crate) d: &'a [f32],
}

/// `y` `[t, heads * head_dim]` of tokens behind those that left `state` `[heads, head_dim, state]`, on all
/// threads; `state` becomes that behind the last token.
pub(crate) fn ssd(input: &Ssd<'_>, state: &mut [f32]) -> Vec<f32> {
    let SsdSizes { heads, head_dim, groups, state: n } = input.sizes;
    let t = input.dt.len() / heads;
    assert!(input.xbc.len() == t * input.sizes.row() && input.dt.len() == t * heads, "t rows");
    assert!(state.len() == heads * head_dim * n && heads.is_multiple_of(groups), "a state a head");
    let scores = if t > FEW { input.scores(t) } else { Vec::new() };
    let sizes = Units { t, units: heads, width: head_dim, block: 1 };
    by_units(sizes, state, |head, state, rows| {
        if t > FEW { input.in_chunks(head, &scores, state, rows) } else { input.in_steps(head, state, rows) }
    })
}

impl Ssd<'_> {
    /// Where `x`, `B` and `C` of a head begin in a row.
    fn places(&self, head: usize) -> [usize; 3] {
        let SsdSizes { heads, head_dim, groups, state } = self.sizes;
        let group = head / (heads / groups);
        let b = heads * head_dim + group * state;
        [head * head_dim, b, b + groups * state]
    }

    /// `C Bᵀ` of each chunk and group, `[chunks, groups, CHUNK, CHUNK]`.
    fn scores(&self, t: usize) -> Vec<f32> {
        let SsdSizes { heads, groups, state, .. } = self.sizes;
        let (row, size) = (self.sizes.row(), CHUNK * CHUNK);
        in_blocks(t.div_ceil(CHUNK) * groups * size, size, |at, scores| {
            let (chunk, group) = (at / size / groups, at / size % groups);
            let first = chunk * CHUNK;
            let rows = CHUNK.min(t - first);
            let [_, b, c] = self.places(group * (heads / groups));
            let matrix = |place| Matrix::strided(&self.xbc[first * row + place..], rows, state, row);
            multiply(matrix(c), matrix(b).t(), Into::Write, scores, CHUNK);
        })
    }

    fn in_chunks(&self, head: usize, scores: &[f32], state: &mut [f32], rows: &mut [f32]) {
        let SsdSizes { heads, head_dim, groups, state: n } = self.sizes;
        let (row, group) = (self.sizes.row(), head / (heads / groups));
        let [mut m, mut steps] = [vec![0.0; CHUNK * CHUNK], Vec::with_capacity(CHUNK)];
        let [mut scaled_c, mut scaled_x] = [vec![0.0; CHUNK * n], vec![0.0; CHUNK * head_dim]];
        for (chunk, rows) in rows.chunks_mut(CHUNK * head_dim).enumerate() {
            let (first, len) = (chunk * CHUNK, rows.len() / head_dim);
            let [x, b, c] = self.places(head).map(|place| &self.xbc[first * row + place..]);
            steps.clear();
            steps.extend((first..first + len).map(|token| self.dt[token * heads + head]));
            // In f64: a difference of two sums must be as exact as if it were summed alone.
            let sums: Vec<f64> = { steps.iter() }
                .scan(0.0, |sum, dt| {
                    *sum += f64::from(self.a[head]) * f64::from(*dt);
                    Some(*sum)
                })
                .collect();
            let end = sums[len - 1];
            let scores = &scores[(chunk * groups + group) * CHUNK * CHUNK..][..CHUNK * CHUNK];
            for (token, (m, scores)) in m.chunks_mut(len).zip(scores.chunks(CHUNK)).enumerate().take(len) {
                let (seen, unseen) = m.split_at_mut(token + 1);
                decayed(seen, scores, &steps, &sums, sums[token]);
                unseen.fill(0.0);
                let from_state = exp(sums[token] as f32);
                let given = &c[token * row..][..n];
                scaled_c[token * n..][..n].iter_mut().zip(given).for_each(|(out, c)| *out = c * from_state);
                let to_state = exp((end - sums[token]) as f32) * steps[token];
                let given = &x[token * row..][..head_dim];
                let scaled_x = &mut scaled_x[token * head_dim..][..head_dim];
                scaled_x.iter_mut().zip(given).for_each(|(out, x)| *out = x * to_state);
            }
            let x_rows = Matrix::strided(x, len, head_dim, row);
            multiply(Matrix::new(&m[..len * len], len, len), x_rows, Into::Write, rows, head_dim);
            let kept = Matrix::new(state, head_dim, n);
            multiply(Matrix::new(&scaled_c, len, n), kept.t(), Into::Add, rows, head_dim);
            for (y, x) in rows.chunks_exact_mut(head_dim).zip(x.chunks(row)) {
                y.iter_mut().zip(x).for_each(|(y, x)| *y += self.d[head] * x);
            }
            let decay = exp(end as f32);
            state.iter_mut().for_each(|number| *number *= decay);
            let b_rows = Matrix::strided(b, len, n, row);
            multiply(Matrix::new(&scaled_x, len, head_dim).t(), b_rows, Into::Add, state, n);
        }
    }

    fn in_steps(&self, head: usize, state: &mut [f32], rows: &mut [f32]) {
        let SsdSizes { heads, head_dim, state: n, .. } = self.sizes;
        for (token, y) in rows.chunks_exact_mut(head_dim).enumerate() {
            let row = &self.xbc[token * self.sizes.row()..];
            let [x, b, c] = self.places(head).map(|place| &row[place..]);
            let dt = self.dt[token * heads + head];
            step(y, state, &x[..head_dim], &b[..n], &c[..n], [exp(self.a[head] * dt), dt, self.d[head]]);
        }
    }
}

for_every_instruction_set! {
    /// A row of `C Bᵀ ∘ M`: `scores_j dt_j exp(at - L_j)` for every `j` that `m` has a place for.
    fn decayed = decayed_plain(m: &mut [f32], scores: &[f32], steps: &[f32], sums: &[f64], at: f64)
}

#[inline(always)]
fn decayed_plain(m: &mut [f32], scores: &[f32], steps: &[f32], sums: &[f64], at: f64) {
    for ((m, score), (dt, sum)) in m.iter_mut().zip(scores).zip(steps.iter().zip(sums)) {
        *m = score * dt * exp((at - sum) as f32);
    }
}

for_every_instruction_set! {
    /// One token of one head; `rule` is `exp(a dt)`, `dt` and `D`.
    fn step = step_plain(y: &mut [f32], state: &mut [f32], x: &[f32], b: &[f32], c: &[f32], rule: [f32; 3])
}

#[inline(always)]
fn step_plain(y: &mut [f32], state: &mut [f32], x: &[f32], b: &[f32], c: &[f32], rule: [f32; 3]) {
    let [decay, dt, d] = rule;
    for ((y, x), state) in y.iter_mut().zip(x).zip(state.chunks_exact_mut(b.len())) {
        state.iter_mut().zip(b).for_each(|(s, b)| *s = *s * decay + dt * x * b);
        *y = dot(state, c) + d * x;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    /// The recurrence as it is written, in f64.
    fn plain(input: &Ssd<'_>, state: &mut [f64]) -> Vec<f64> {
        let SsdSizes { heads, head_dim, state: n, .. } = input.sizes;
        let t = input.dt.len() / heads;
        let mut y = vec![0.0; t * heads * head_dim];
        for token in 0..t {
            let row: Vec<f64> = input.xbc[token * input.sizes.row()..][..input.sizes.row()]
                .iter()
                .map(|x| (*x).into())
                .collect();
            for head in 0..heads {
                let [x, b, c] = input.places(head);
                let dt = f64::from(input.dt[token * heads + head]);
                let decay = (f64::from(input.a[head]) * dt).exp();
                for p in 0..head_dim {
                    let state = &mut state[(head * head_dim + p) * n..][..n];
                    let mut sum = f64::from(input.d[head]) * row[x + p];
                    for k in 0..n {
                        state[k] = decay * state[k] + dt * row[x + p] * row[b + k];
                        sum += state[k] * row[c + k];
                    }
                    y[(token * heads + head) * head_dim + p] = sum;
                }
            }
        }
        y
    }

    #[test]
    fn chunks_equal_the_recurrence_wherever_a_prompt_is_cut() {
        let mut rng = Rng::new(61);
        for (sizes, t) in [
            (SsdSizes { heads: 4, head_dim: 16, groups: 2, state: 8 }, 200),
            (SsdSizes { heads: 3, head_dim: 5, groups: 1, state: 33 }, 131),
        ] {
            let xbc = numbers(&mut rng, t * sizes.row(), 1.0);
            // From steps that keep nearly everything to some that forget all.
            let dt: Vec<f32> =
                numbers(&mut rng, t * sizes.heads, 6.0).iter().map(|x| x.exp() * 0.05).collect();
            let a: Vec<f32> = (0..sizes.heads).map(|head| -0.05 - 2.0 * head as f32).collect();
            let d = numbers(&mut rng, sizes.heads, 1.0);
            let input = Ssd { sizes, xbc: &xbc, dt: &dt, a: &a, d: &d };
            let start = numbers(&mut rng, sizes.heads * sizes.head_dim * sizes.state, 1.0);
            let mut exact_state: Vec<f64> = start.iter().map(|x| f64::from(*x)).collect();
            let exact = plain(&input, &mut exact_state);
            for lengths in [vec![t], vec![1; t], vec![7; t.div_ceil(7)], vec![64, 64, t], vec![100, 1, 9, t]]
            {
                let (mut state, mut found, mut at) = (start.clone(), Vec::new(), 0);
                for length in lengths {
                    let end = t.min(at + length);
                    let part = Ssd {
                        xbc: &xbc[at * sizes.row()..end * sizes.row()],
                        dt: &dt[at * sizes.heads..end * sizes.heads],
                        ..input
                    };
                    found.extend(ssd(&part, &mut state));
                    at = end;
                }
                for (found, exact) in found.iter().zip(&exact).chain(state.iter().zip(&exact_state)) {
                    let off = (f64::from(*found) - exact).abs();
                    assert!(off <= 2e-5 * (1.0 + exact.abs()), "{found} instead of {exact}");
                }
            }
        }
    }

    #[test]
    fn every_instruction_set_gives_the_same_bits() {
        let mut rng = Rng::new(67);
        let (n, p) = (37, 5);
        let [scores, steps, b, c] = [(); 4].map(|()| numbers(&mut rng, n, 1.0));
        let sums: Vec<f64> = (0..n).map(|i| -0.3 * i as f64).collect();
        let [mut fast, mut plain] = [(); 2].map(|()| vec![0.0; n]);
        decayed(&mut fast, &scores, &steps, &sums, sums[n - 1]);
        decayed_plain(&mut plain, &scores, &steps, &sums, sums[n - 1]);
        assert_eq!(fast, plain);
        let x = numbers(&mut rng, p, 1.0);
        let state = numbers(&mut rng, p * n, 1.0);
        let [mut fast, mut plain] = [(); 2].map(|()| (vec![0.0; p], state.clone()));
        step(&mut fast.0, &mut fast.1, &x, &b, &c, [0.7, 0.2, 1.5]);
        step_plain(&mut plain.0, &mut plain.1, &x, &b, &c, [0.7, 0.2, 1.5]);
        assert_eq!(fast, plain);
    }
}
