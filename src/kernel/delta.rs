//! The gated delta rule, in chunks of tokens by matrix products.
//!
//! Token by token, with a state `S` `[dk, dv]` of each value head, `a = exp(g)` one number or one for each
//! row of `S`, and queries and keys of length 1 (`q` also over `sqrt(dk)`):
//!
//! ```text
//! S = diag(a) S;   S += k (beta (v - Sᵀ k))ᵀ;   o = Sᵀ q
//! ```
//!
//! For `C` tokens at once, with `c_i` the sum of `g` up to token `i` of the chunk and `S` the state before
//! it, the corrections `U` that the tokens write solve a triangular system (arXiv 2412.06464, section 3.3):
//!
//! ```text
//! A_ij = beta_i sum over d of k_id k_jd exp(c_id - c_jd), j < i
//! (1 + A) U = beta (V - (K exp(c)) S)
//! O = (Q exp(c)) S + P U,   P_ij = sum over d of q_id k_jd exp(c_id - c_jd), j <= i
//! S = diag(exp(c_C)) S + (K exp(c_C - c))ᵀ U
//! ```
//!
//! `exp(c_i - c_j)` is at most 1, but neither factor of `exp(c_i) exp(-c_j)` need be: where each channel
//! fades on its own, products are therefore taken by blocks of rows with `exp(c_i - r) exp(r - c_j)`, `r`
//! being `c` before the block of `i`.

use rayon::prelude::*;

use super::exp::exp;
use super::gemm::{Into, Matrix, multiply};
use super::lanes::dot;
use super::{LANES, for_every_instruction_set};

/// Tokens of a chunk.
const CHUNK: usize = 64;
/// Rows that are solved for, or multiplied with decays, at once.
const BLOCK: usize = 16;
/// What keeps the length of a query or key from 0.
const NORM_EPS: f32 = 1e-6;

/// The heads of a layer.
#[derive(Debug, Clone, Copy)]
pub(crate) struct DeltaHeads {
    /// Heads of queries and keys.
    pub(crate) keys: usize,
    /// Heads of values, a multiple of them: neighbours share a key.
    pub(crate) values: usize,
    /// Width of a key.
    pub(crate) key_dim: usize,
    /// Width of a value.
    pub(crate) value_dim: usize,
}

/// What the rule is given of `t` tokens.
#[derive(Clone, Copy)]
pub(crate) struct DeltaRows<'a> {
    /// All queries, keys and values: `[t, keys * key_dim + keys * key_dim + values * value_dim]`.
    pub(crate) qkv: &'a [f32],
    /// `g <= 0`: `[t, values]`, or `[t, values * key_dim]` where each channel has its own.
    pub(crate) decay: &'a [f32],
    /// `[t, values]`.
    pub(crate) beta: &'a [f32],
}

/// Takes `state` `[values, key_dim, value_dim]` through the tokens, on all threads; returns what is read at
/// each, `[values, t, value_dim]`.
pub(crate) fn delta_rule(heads: DeltaHeads, rows: DeltaRows<'_>, state: &mut [f32]) -> Vec<f32> {
    let DeltaHeads { keys, values, key_dim, value_dim } = heads;
    let t = rows.beta.len() / values;
    let mut out = vec![0f32; values * t * value_dim];
    if t == 0 {
        return out;
    }
    let shared = values / keys;
    let (of_key, state_of_key) = (shared * t * value_dim, shared * key_dim * value_dim);
    let parts = out.par_chunks_mut(of_key).zip(state.par_chunks_mut(state_of_key));
    parts.enumerate().for_each(|(key_head, (out, state))| {
        let mut scratch = Scratch::new(heads);
        for first in (0..t).step_by(CHUNK) {
            let chunk = Chunk { heads, rows, first, len: CHUNK.min(t - first) };
            scratch.take_keys(&chunk, key_head);
            let per_head =
                out.chunks_exact_mut(t * value_dim).zip(state.chunks_exact_mut(key_dim * value_dim));
            for (index, (out, state)) in per_head.enumerate() {
                let out = &mut out[first * value_dim..][..chunk.len * value_dim];
                scratch.head(&chunk, key_head * shared + index, state, out);
            }
        }
    });
    out
}

/// Tokens that are taken at once.
struct Chunk<'a> {
    heads: DeltaHeads,
    rows: DeltaRows<'a>,
    first: usize,
    len: usize,
}

impl Chunk<'_> {
    /// Part of the row of a token.
    fn qkv(&self, token: usize, start: usize, len: usize) -> &[f32] {
        let DeltaHeads { keys, values, key_dim, value_dim } = self.heads;
        let width = 2 * keys * key_dim + values * value_dim;
        &self.rows.qkv[(self.first + token) * width + start..][..len]
    }

    /// Decays of a token.
    fn decays(&self) -> usize {
        self.rows.decay.len() * self.heads.values / self.rows.beta.len()
    }

    fn fades_by_channel(&self) -> bool {
        self.decays() != self.heads.values
    }

    fn beta(&self, token: usize, head: usize) -> f32 {
        self.rows.beta[(self.first + token) * self.heads.values + head]
    }
}

/// What a thread works with, for one chunk and one head after the other.
struct Scratch {
    q: Vec<f32>,     // [CHUNK, key_dim], of length 1 / sqrt(key_dim)
    k: Vec<f32>,     // [CHUNK, key_dim], of length 1
    kk: Vec<f32>,    // [CHUNK, CHUNK], products of keys without decay
    qk: Vec<f32>,    // [CHUNK, CHUNK], of queries and keys
    c: Vec<f64>,     // [CHUNK, 1 or key_dim]
    left: Vec<f32>,  // [CHUNK, key_dim], queries or keys times a decay
    right: Vec<f32>, // [CHUNK, key_dim], the same
    a: Vec<f32>,     // [CHUNK, CHUNK], -A
    p: Vec<f32>,     // [CHUNK, CHUNK]
    u: Vec<f32>,     // [CHUNK, value_dim]
}

impl Scratch {
    fn new(heads: DeltaHeads) -> Self {
        let keys = || vec![0f32; CHUNK * heads.key_dim];
        let products = || vec![0f32; CHUNK * CHUNK];
        Self {
            q: keys(),
            k: keys(),
            kk: products(),
            qk: products(),
            c: Vec::new(),
            left: keys(),
            right: keys(),
            a: products(),
            p: products(),
            u: vec![0f32; CHUNK * heads.value_dim],
        }
    }

    /// Queries and keys of a head, and where a head fades as one their products, which its values share.
    fn take_keys(&mut self, chunk: &Chunk<'_>, head: usize) {
        let DeltaHeads { keys, key_dim, .. } = chunk.heads;
        let scale = 1.0 / (key_dim as f32).sqrt();
        for (rows, start, scale) in [(&mut self.q, 0, scale), (&mut self.k, keys * key_dim, 1.0)] {
            for (token, row) in rows.chunks_exact_mut(key_dim).take(chunk.len).enumerate() {
                unit(row, chunk.qkv(token, start + head * key_dim, key_dim), scale);
            }
        }
        if !chunk.fades_by_channel() {
            let [q, k] = [&self.q, &self.k].map(|rows| Matrix::new(rows, chunk.len, key_dim));
            multiply(k, k.t(), Into::Write, &mut self.kk, CHUNK);
            multiply(q, k.t(), Into::Write, &mut self.qk, CHUNK);
        }
    }

    /// One value head: what is read, `out` `[len, value_dim]`, and its `state` behind the chunk.
    fn head(&mut self, chunk: &Chunk<'_>, head: usize, state: &mut [f32], out: &mut [f32]) {
        let DeltaHeads { keys, key_dim, value_dim, .. } = chunk.heads;
        let len = chunk.len;
        self.add_up(chunk, head);
        if chunk.fades_by_channel() {
            self.products_by_channel(len, key_dim);
        } else {
            self.products(len);
        }
        for (token, row) in self.a.chunks_exact_mut(CHUNK).take(len).enumerate() {
            let beta = chunk.beta(token, head);
            row[..token].iter_mut().for_each(|product| *product *= -beta);
        }
        let width = self.c.len() / len;
        let none = vec![0f64; width];
        let faded = |out: &mut [f32], x: &[f32], c: &[f64]| {
            let rows = out.chunks_exact_mut(key_dim).zip(x.chunks_exact(key_dim)).zip(c.chunks_exact(width));
            rows.for_each(|((out, x), c)| fade(out, x, c, &none));
        };

        let before = Matrix::new(state, key_dim, value_dim);
        faded(&mut self.left, &self.k, &self.c);
        multiply(Matrix::new(&self.left, len, key_dim), before, Into::Write, &mut self.u, value_dim);
        for (token, u) in self.u.chunks_exact_mut(value_dim).take(len).enumerate() {
            let beta = chunk.beta(token, head);
            let v = chunk.qkv(token, 2 * keys * key_dim + head * value_dim, value_dim);
            u.iter_mut().zip(v).for_each(|(u, v)| *u = beta * (v - *u));
        }
        solve(&self.a, &mut self.u[..len * value_dim], value_dim);

        faded(&mut self.left, &self.q, &self.c);
        multiply(Matrix::new(&self.left, len, key_dim), before, Into::Write, out, value_dim);
        let u = Matrix::new(&self.u, len, value_dim);
        multiply(Matrix::strided(&self.p, len, len, CHUNK), u, Into::Add, out, value_dim);

        let last = &self.c[(len - 1) * width..];
        for (channel, row) in state.chunks_exact_mut(value_dim).enumerate() {
            let factor = last[channel % width].exp() as f32;
            row.iter_mut().for_each(|x| *x *= factor);
        }
        let rows = self.left.chunks_exact_mut(key_dim).zip(self.k.chunks_exact(key_dim));
        rows.zip(self.c.chunks_exact(width)).for_each(|((out, k), c)| fade(out, k, last, c));
        multiply(Matrix::new(&self.left, len, key_dim).t(), u, Into::Add, state, value_dim);
    }

    /// `c`: the sums of `g` from the first token of the chunk on, in f64, as differences of them are taken.
    fn add_up(&mut self, chunk: &Chunk<'_>, head: usize) {
        let width = chunk.decays() / chunk.heads.values;
        self.c.clear();
        for token in 0..chunk.len {
            let row = (chunk.first + token) * chunk.decays() + head * width;
            for &g in &chunk.rows.decay[row..][..width] {
                let before = if token == 0 { 0.0 } else { self.c[self.c.len() - width] };
                self.c.push(before + f64::from(g));
            }
        }
    }

    /// `P`, and the products of `A` without `beta`, where a head fades as one.
    fn products(&mut self, len: usize) {
        let rows = self.a.chunks_exact_mut(CHUNK).zip(self.p.chunks_exact_mut(CHUNK));
        let products = self.kk.chunks_exact(CHUNK).zip(self.qk.chunks_exact(CHUNK));
        for (token, ((a, p), (kk, qk))) in rows.zip(products).take(len).enumerate() {
            let (c, before) = (self.c[token], &self.c[..=token]);
            fade_each(&mut a[..token], &kk[..token], c, before);
            fade_each(&mut p[..=token], &qk[..=token], c, before);
            p[token + 1..].fill(0.0);
        }
    }

    /// The same where each channel fades on its own.
    fn products_by_channel(&mut self, len: usize, key_dim: usize) {
        let row = |token: usize| token * key_dim..(token + 1) * key_dim;
        for start in (0..len).step_by(BLOCK) {
            let end = len.min(start + BLOCK);
            for i in start..end {
                for j in start..=i {
                    let (left, c, r) = ([&self.k, &self.q], &self.c[row(i)], &self.c[row(j)]);
                    let [kk, qk] = faded_dots(left.map(|rows| &rows[row(i)]), &self.k[row(j)], c, r);
                    (self.a[i * CHUNK + j], self.p[i * CHUNK + j]) = (kk, qk);
                }
                self.p[i * CHUNK + i + 1..(i + 1) * CHUNK].fill(0.0);
            }
            if start == 0 {
                continue;
            }
            let r = &self.c[row(start - 1)];
            for j in 0..start {
                fade(&mut self.right[row(j)], &self.k[row(j)], r, &self.c[row(j)]);
            }
            let keys = Matrix::new(&self.right, start, key_dim).t();
            for (rows, products) in [(&self.k, &mut self.a), (&self.q, &mut self.p)] {
                for i in start..end {
                    fade(&mut self.left[row(i - start)], &rows[row(i)], &self.c[row(i)], r);
                }
                let rows = Matrix::new(&self.left, end - start, key_dim);
                multiply(rows, keys, Into::Write, &mut products[start * CHUNK..], CHUNK);
            }
        }
    }
}

/// `(1 + A)⁻¹ u` in place, for `u` `[len, width]` and `a = -A`, of which only what is below the diagonal
/// counts.
fn solve(a: &[f32], u: &mut [f32], width: usize) {
    let len = u.len() / width;
    for start in (0..len).step_by(BLOCK) {
        let end = len.min(start + BLOCK);
        let (solved, rest) = u.split_at_mut(start * width);
        if start > 0 {
            let left = Matrix::strided(&a[start * CHUNK..], end - start, start, CHUNK);
            multiply(left, Matrix::new(solved, start, width), Into::Add, rest, width);
        }
        for i in start + 1..end {
            let (above, row) = rest.split_at_mut((i - start) * width);
            let factors = &a[i * CHUNK + start..i * CHUNK + i];
            add_rows(&mut row[..width], above, factors);
        }
    }
}

for_every_instruction_set! {
    /// `y += sum over i of factors[i] x[i]`, for rows `x` as long as `y`.
    fn add_rows = add_rows_plain(y: &mut [f32], x: &[f32], factors: &[f32])
}

#[inline(always)]
fn add_rows_plain(y: &mut [f32], x: &[f32], factors: &[f32]) {
    for (x, factor) in x.chunks_exact(y.len()).zip(factors) {
        y.iter_mut().zip(x).for_each(|(y, x)| *y += factor * x);
    }
}

for_every_instruction_set! {
    /// `out = x scale / sqrt(x · x + eps)`.
    fn unit = unit_plain(out: &mut [f32], x: &[f32], scale: f32)
}

#[inline(always)]
fn unit_plain(out: &mut [f32], x: &[f32], scale: f32) {
    let factor = scale / (dot(x, x) + NORM_EPS).sqrt();
    out.iter_mut().zip(x).for_each(|(out, x)| *out = x * factor);
}

for_every_instruction_set! {
    /// `out[d] = x[d] exp(c[d] - r[d])`; both sums have one number for all channels, or one for each.
    fn fade = fade_plain(out: &mut [f32], x: &[f32], c: &[f64], r: &[f64])
}

#[inline(always)]
fn fade_plain(out: &mut [f32], x: &[f32], c: &[f64], r: &[f64]) {
    if let ([c], [r]) = (c, r) {
        let factor = exp((c - r) as f32);
        out.iter_mut().zip(x).for_each(|(out, x)| *out = x * factor);
        return;
    }
    for ((out, x), (c, r)) in out.iter_mut().zip(x).zip(c.iter().zip(r)) {
        *out = x * exp((c - r) as f32);
    }
}

for_every_instruction_set! {
    /// `out[j] = x[j] exp(c - r[j])`.
    fn fade_each = fade_each_plain(out: &mut [f32], x: &[f32], c: f64, r: &[f64])
}

#[inline(always)]
fn fade_each_plain(out: &mut [f32], x: &[f32], c: f64, r: &[f64]) {
    for ((out, x), r) in out.iter_mut().zip(x).zip(r) {
        *out = x * exp((c - r) as f32);
    }
}

for_every_instruction_set! {
    /// `sum over d of x[d] k[d] exp(c[d] - r[d])` for both `x`.
    fn faded_dots = faded_dots_plain(x: [&[f32]; 2], k: &[f32], c: &[f64], r: &[f64]) -> [f32; 2]
}

#[inline(always)]
fn faded_dots_plain([x, y]: [&[f32]; 2], k: &[f32], c: &[f64], r: &[f64]) -> [f32; 2] {
    let mut sums = [[0f32; LANES]; 2];
    let both = x.chunks(LANES).zip(y.chunks(LANES)).zip(k.chunks(LANES));
    for (((x, y), k), (c, r)) in both.zip(c.chunks(LANES).zip(r.chunks(LANES))) {
        for lane in 0..k.len() {
            let faded = k[lane] * exp((c[lane] - r[lane]) as f32);
            sums[0][lane] += x[lane] * faded;
            sums[1][lane] += y[lane] * faded;
        }
    }
    sums.map(|lanes| lanes.iter().sum())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    /// One token after the other, in f64.
    fn step_by_step(heads: DeltaHeads, rows: DeltaRows<'_>, state: &mut [f64]) -> Vec<f64> {
        let DeltaHeads { keys, values, key_dim, value_dim } = heads;
        let t = rows.beta.len() / values;
        let width = 2 * keys * key_dim + values * value_dim;
        let decays = rows.decay.len() / (t * values);
        let mut out = vec![0.0; values * t * value_dim];
        for (token, head) in (0..t).flat_map(|token| (0..values).map(move |head| (token, head))) {
            let part = |start: usize, len: usize| -> Vec<f64> {
                rows.qkv[token * width + start..][..len].iter().map(|&x| f64::from(x)).collect()
            };
            let unit = |x: Vec<f64>| -> Vec<f64> {
                let length = (x.iter().map(|x| x * x).sum::<f64>() + 1e-6).sqrt();
                x.iter().map(|x| x / length).collect()
            };
            let key_head = head / (values / keys);
            let q = unit(part(key_head * key_dim, key_dim));
            let k = unit(part((keys + key_head) * key_dim, key_dim));
            let v = part(2 * keys * key_dim + head * value_dim, value_dim);
            let s = &mut state[head * key_dim * value_dim..][..key_dim * value_dim];
            let at = token * values + head;
            for (d, row) in s.chunks_exact_mut(value_dim).enumerate() {
                let g = f64::from(rows.decay[at * decays + d % decays]);
                row.iter_mut().for_each(|x| *x *= g.exp());
            }
            for column in 0..value_dim {
                let read = |s: &[f64], x: &[f64]| {
                    (0..key_dim).map(|d| s[d * value_dim + column] * x[d]).sum::<f64>()
                };
                let delta = f64::from(rows.beta[at]) * (v[column] - read(s, &k));
                (0..key_dim).for_each(|d| s[d * value_dim + column] += k[d] * delta);
                out[(head * t + token) * value_dim + column] = read(s, &q) / (key_dim as f64).sqrt();
            }
        }
        out
    }

    /// Rows of `t` tokens: queries, keys and values, decays down to `-strongest`, betas up to 2.
    fn given(rng: &mut Rng, heads: DeltaHeads, t: usize, decays: usize, strongest: f64) -> [Vec<f32>; 3] {
        let width = 2 * heads.keys * heads.key_dim + heads.values * heads.value_dim;
        let decay =
            (0..t * heads.values * decays).map(|_| (-strongest * rng.unit().powi(4)) as f32).collect();
        let beta = (0..t * heads.values).map(|_| (2.0 * rng.unit()) as f32).collect();
        [numbers(rng, t * width, 1.0), decay, beta]
    }

    #[test]
    fn chunks_give_what_one_step_after_the_other_gives() {
        let mut rng = Rng::new(29);
        for (keys, values, key_dim, value_dim, t) in
            [(2, 4, 8, 12, 150), (1, 1, 5, 3, 1), (3, 3, 32, 17, 64), (2, 2, 16, 16, 97), (1, 3, 40, 8, 20)]
        {
            let heads = DeltaHeads { keys, values, key_dim, value_dim };
            for (decays, strongest) in [(1, 0.1), (1, 30.0), (key_dim, 0.1), (key_dim, 5.0), (key_dim, 90.0)]
            {
                let [qkv, decay, beta] = given(&mut rng, heads, t, decays, strongest);
                let rows = DeltaRows { qkv: &qkv, decay: &decay, beta: &beta };
                let start = numbers(&mut rng, values * key_dim * value_dim, 1.0);
                let mut exact_state: Vec<f64> = start.iter().map(|&x| f64::from(x)).collect();
                let exact = step_by_step(heads, rows, &mut exact_state);
                let mut state = start.clone();
                let whole = delta_rule(heads, rows, &mut state);
                let near = |found: &[f32], exact: &[f64]| {
                    let off =
                        found.iter().zip(exact).map(|(x, y)| (f64::from(*x) - y).abs() / (1.0 + y.abs()));
                    let off = off.fold(0.0, f64::max);
                    assert!(
                        off < 1e-5,
                        "{heads:?}, {t} tokens, {decays} decays to {strongest}: off by {off}"
                    );
                };
                near(&whole, &exact);
                near(&state, &exact_state);

                let mut in_parts = start;
                for part in [0..t / 3, t / 3..t / 2, t / 2..t] {
                    let of = |rows: &[f32]| {
                        let width = rows.len() / t;
                        rows[part.start * width..part.end * width].to_vec()
                    };
                    let [qkv, decay, beta] = [&qkv, &decay, &beta].map(|rows| of(rows));
                    let rows = DeltaRows { qkv: &qkv, decay: &decay, beta: &beta };
                    let out = delta_rule(heads, rows, &mut in_parts);
                    for head in 0..values {
                        let [len, width] = [part.len(), value_dim];
                        let expected = &exact[(head * t + part.start) * width..][..len * width];
                        near(&out[head * len * width..][..len * width], expected);
                    }
                }
                near(&in_parts, &exact_state);
            }
        }
    }

    #[test]
    fn loops_are_the_same_on_every_instruction_set() {
        let mut rng = Rng::new(31);
        for n in [1, 16, 37, 128] {
            let [x, y, k] = [0; 3].map(|_| numbers(&mut rng, n, 1.0));
            let r: Vec<f64> = numbers(&mut rng, n, 9.0).iter().map(|&x| f64::from(x)).collect();
            let c: Vec<f64> = r.iter().map(|r| r - 3.0 * rng.unit()).collect();
            assert_eq!(faded_dots([&x, &y], &k, &c, &r), faded_dots_plain([&x, &y], &k, &c, &r));
            let mut both = [x.clone(), x.clone()];
            fade(&mut both[0], &k, &c, &r);
            fade_plain(&mut both[1], &k, &c, &r);
            assert_eq!(both[0], both[1]);
            fade_each(&mut both[0], &k, -20.0, &r);
            fade_each_plain(&mut both[1], &k, -20.0, &r);
            assert_eq!(both[0], both[1]);
            unit(&mut both[0], &k, 0.3);
            unit_plain(&mut both[1], &k, 0.3);
            assert_eq!(both[0], both[1]);
            add_rows(&mut both[0], &[&x[..], &y].concat(), &[0.5, -1.5]);
            add_rows_plain(&mut both[1], &[&x[..], &y].concat(), &[0.5, -1.5]);
            assert_eq!(both[0], both[1]);
        }
    }
}
