//! What screening tiles do to rows: unit length, positions, TanhNorm and the gate.

use super::blocks::in_blocks;
use super::exp::exp;
use super::for_every_instruction_set;
use super::gated::sigmoid;
use super::lanes::dot;

/// Numbers that a thread takes at once, about.
const BLOCK: usize = 1 << 14;

/// `x [t, tiles, d]` as `[tiles, t, d]` in rows of unit length (a row of zeros stays one), on all threads;
/// the first two coordinates of each turned by its `(cos, sin)` of `turns [tiles, t]`, where they are given.
pub(crate) fn unit_heads(x: &[f32], [t, tiles, d]: [usize; 3], turns: Option<&[(f32, f32)]>) -> Vec<f32> {
    assert_eq!(x.len(), t * tiles * d, "t rows of every tile");
    assert!(turns.is_none_or(|turns| turns.len() == t * tiles && d >= 2), "a turn for every row");
    let rows = (BLOCK / d).max(1);
    in_blocks(x.len(), rows * d, |at, block| {
        for (row, out) in (at / d..).zip(block.chunks_exact_mut(d)) {
            let (tile, position) = (row / t, row % t);
            out.copy_from_slice(&x[(position * tiles + tile) * d..][..d]);
            unit(out);
            if let Some((cos, sin)) = turns.map(|turns| turns[row]) {
                (out[0], out[1]) = (out[0] * cos - out[1] * sin, out[0] * sin + out[1] * cos);
            }
        }
    })
}

for_every_instruction_set! {
    /// `x / |x|`; zeros stay zeros.
    fn unit = unit_plain(x: &mut [f32])
}

#[inline(always)]
fn unit_plain(x: &mut [f32]) {
    let square = dot(x, x);
    if square > 1e-30 && square < 1e30 {
        let norm = square.sqrt();
        x.iter_mut().for_each(|x| *x /= norm);
    } else {
        // What f32 cannot square.
        let norm = x.iter().map(|&x| f64::from(x) * f64::from(x)).sum::<f64>().sqrt();
        if norm > 0.0 {
            x.iter_mut().for_each(|x| *x = (f64::from(*x) / norm) as f32);
        }
    }
}

/// `scale tanh(|y|) / |y| y tanh(silu(g))` of every row of `d` numbers of `mixed` and its gates, on all
/// threads; the scales of the tiles begin anew when they are used up.
pub(crate) fn gated_tanh_norm(mixed: &[f32], gates: &[f32], d: usize, scales: &[f32]) -> Vec<f32> {
    assert_eq!(mixed.len(), gates.len(), "each number has its gate");
    let rows = (BLOCK / d).max(1);
    in_blocks(mixed.len(), rows * d, |at, block| {
        let given = mixed[at..].chunks_exact(d).zip(gates[at..].chunks_exact(d));
        let scales = scales.iter().cycle().skip(at / d % scales.len());
        for ((out, (mixed, gates)), scale) in block.chunks_exact_mut(d).zip(given).zip(scales) {
            gated_row(out, mixed, gates, *scale);
        }
    })
}

for_every_instruction_set! {
    /// One row.
    fn gated_row = gated_row_plain(out: &mut [f32], mixed: &[f32], gates: &[f32], scale: f32)
}

#[inline(always)]
fn gated_row_plain(out: &mut [f32], mixed: &[f32], gates: &[f32], scale: f32) {
    let norm = dot(mixed, mixed).sqrt();
    // Below, tanh(y) / y is 1 to the last place, and a norm of 0 divides nothing.
    let shrink = if norm > 1e-4 { tanh(norm) / norm } else { 1.0 };
    let factor = scale * shrink;
    for ((out, mixed), gate) in out.iter_mut().zip(mixed).zip(gates) {
        *out = factor * mixed * tanh(gate * sigmoid(*gate));
    }
}

/// `tanh x`, within a few units in the last place.
#[inline(always)]
pub(super) fn tanh(x: f32) -> f32 {
    let (size, square) = (x.abs(), x * x);
    // e^-2|x| never overflows. Near 0 its difference from 1 has few digits, and the series has all.
    let e = exp(-2.0 * size);
    let large = (1.0 - e) / (1.0 + e);
    let series = 1.0
        - square * (1.0 / 3.0 - square * (2.0 / 15.0 - square * (17.0 / 315.0 - square * (62.0 / 2835.0))));
    let found = if size < 0.3 { size * series } else { large };
    if x < 0.0 { -found } else { found }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn tanh_is_right_everywhere() {
        for step in -200_000..=200_000 {
            let x = 12.0 * step as f32 / 200_000.0;
            let exact = f64::from(x).tanh();
            let off = (f64::from(tanh(x)) - exact).abs();
            assert!(off <= 6e-7 * exact.abs(), "tanh({x}): off by {off}");
        }
        assert_eq!((tanh(0.0), tanh(100.0), tanh(-100.0)), (0.0, 1.0, -1.0));
        assert!(tanh(f32::NAN).is_nan());
    }

    #[test]
    fn rows_get_unit_length_whatever_their_size_and_zeros_stay_zeros() {
        let mut rng = Rng::new(47);
        for (d, scale) in [(16, 1.0), (5, 1e-25), (64, 1e25), (33, 3e-40)] {
            let x = numbers(&mut rng, d, scale);
            let mut found = x.clone();
            unit(&mut found);
            let norm = x.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
            for (found, x) in found.iter().zip(&x) {
                assert!((f64::from(*found) - f64::from(*x) / norm).abs() < 1e-6);
            }
            let mut plain = x;
            unit_plain(&mut plain);
            assert_eq!(found, plain);
        }
        let mut zeros = [0.0; 7];
        unit(&mut zeros);
        assert_eq!(zeros, [0.0; 7]);
    }

    #[test]
    fn heads_are_split_and_turned_row_by_row() {
        let (t, tiles) = (3, 2);
        let x: Vec<f32> =
            (0..t * tiles).flat_map(|row| [3.0, 4.0, 0.0].map(|x| x * (row + 1) as f32)).collect();
        let turns: Vec<(f32, f32)> =
            (0..tiles * t).map(|row| if row == 4 { (0.0, 1.0) } else { (1.0, 0.0) }).collect();
        let found = unit_heads(&x, [t, tiles, 3], Some(&turns));
        for (row, found) in found.chunks(3).enumerate() {
            let expected = if row == 4 { [-0.8, 0.6, 0.0] } else { [0.6, 0.8, 0.0] };
            assert_eq!(found, expected, "{row}");
        }
    }

    #[test]
    fn rows_are_gated_to_the_same_bits_on_every_instruction_set() {
        let mut rng = Rng::new(53);
        for (d, size) in [(64, 1.0), (12, 1e-6), (7, 30.0), (16, 0.0)] {
            let (mixed, gates) = (numbers(&mut rng, 2 * d, size), numbers(&mut rng, 2 * d, 8.0));
            let found = gated_tanh_norm(&mixed, &gates, d, &[0.5, 2.0]);
            for (row, scale) in [(0, 0.5), (1, 2.0)] {
                let (mixed, gates) = (&mixed[row * d..][..d], &gates[row * d..][..d]);
                let mut plain = vec![0.0; d];
                gated_row_plain(&mut plain, mixed, gates, scale);
                assert_eq!(found[row * d..][..d], plain);
                let norm = mixed.iter().map(|&x| f64::from(x).powi(2)).sum::<f64>().sqrt();
                for (found, (&y, &g)) in plain.iter().zip(mixed.iter().zip(gates)) {
                    let (y, g) = (f64::from(y), f64::from(g));
                    let shrink = if norm > 0.0 { norm.tanh() / norm } else { 1.0 };
                    let exact = f64::from(scale) * shrink * y * (g / (1.0 + (-g).exp())).tanh();
                    assert!((f64::from(*found) - exact).abs() <= 2e-6 * exact.abs(), "{found} for {exact}");
                }
            }
        }
    }
}
