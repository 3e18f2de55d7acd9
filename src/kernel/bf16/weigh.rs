//! From scores to weights in bf16, or in parts in bf16: what of attention is no matrix product.

use super::Block;
use super::packed::{STRIP, TILE_ROWS, Tile, round, wide};
use crate::kernel::cpu;
use crate::kernel::exp::exp;
use crate::kernel::for_every_instruction_set;
use crate::kernel::screening::tanh;

/// One number a query.
pub(super) type Lanes = [f32; STRIP];

/// The keys that each query sees: `start[q]..end[q]`.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Visible {
    pub(crate) start: [i32; STRIP],
    pub(crate) end: [i32; STRIP],
}

/// What is subtracted from the scores of each query, and the sum of its weights relative to it.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Running {
    /// The largest score so far, or up to [`SLACK`] less.
    pub(super) level: Lanes,
    pub(super) sum: Lanes,
}

impl Default for Running {
    fn default() -> Self {
        Self { level: [f32::NEG_INFINITY; STRIP], sum: [0.0; STRIP] }
    }
}

/// The level follows the largest score only when that has risen by more. Otherwise one of 32 queries would
/// have a new maximum at nearly every step, and all that was mixed would be multiplied by its factor. No
/// precision is lost: weights are floating-point numbers, and `e^8` leaves room for sums.
pub(super) const SLACK: f32 = 8.0;

/// Turns scores `[keys, queries]` into weights `exp(z - level)`, 0 for keys that are not seen or are hidden,
/// and takes them
/// into the running level and sum. The factors that come back bring what was summed before to the new level;
/// exactly 1 where that is the old one.
pub(super) fn weigh<const PARTS: usize>(
    scores: &mut [Block],
    weights: [&mut [[Tile; 2]]; PARTS],
    (visible, hidden): (&Visible, &[Visible]),
    softcap: Option<f32>,
    running: &mut Running,
) -> Lanes {
    if let Some(softcap) = softcap {
        cap(scores.as_flattened_mut().as_flattened_mut(), softcap);
    }
    let keys = (scores.len() * 2 * TILE_ROWS) as i32;
    let all = visible.start.iter().all(|&start| start <= 0) && visible.end.iter().all(|&end| end >= keys);
    if !all {
        hide(scores, visible);
    }
    hidden.iter().for_each(|keys| conceal(scores, keys));
    #[cfg(target_arch = "x86_64")]
    if cpu::has(cpu::Set::Avx512) {
        // SAFETY: the processor has AVX-512F.
        return unsafe { avx512::powers(scores, weights, running) };
    }
    powers(scores, weights, running)
}

for_every_instruction_set! {
    /// Scores `z` to `c tanh(z / c)`.
    fn cap = cap_plain(scores: &mut [f32], softcap: f32)
}

#[inline(always)]
fn cap_plain(scores: &mut [f32], softcap: f32) {
    for z in scores {
        *z = softcap * tanh(*z / softcap);
    }
}

for_every_instruction_set! {
    /// Puts the scores of keys that are not seen to minus infinity.
    fn hide = hide_plain(scores: &mut [Block], visible: &Visible)
}

#[inline(always)]
fn hide_plain(scores: &mut [Block], visible: &Visible) {
    for (key, row) in (0i32..).zip(scores.iter_mut().flatten()) {
        for ((z, start), end) in row.iter_mut().zip(&visible.start).zip(&visible.end) {
            *z = if key >= *start && key < *end { *z } else { f32::NEG_INFINITY };
        }
    }
}

/// Puts the scores of `keys` to minus infinity.
fn conceal(scores: &mut [Block], keys: &Visible) {
    for (key, row) in (0i32..).zip(scores.iter_mut().flatten()) {
        for ((z, start), end) in row.iter_mut().zip(&keys.start).zip(&keys.end) {
            *z = if key >= *start && key < *end { f32::NEG_INFINITY } else { *z };
        }
    }
}

/// The part of [`weigh`] behind caps and masks. Its twin for AVX-512 rounds otherwise in the last places.
fn powers<const PARTS: usize>(
    scores: &[Block],
    mut weights: [&mut [[Tile; 2]]; PARTS],
    running: &mut Running,
) -> Lanes {
    let mut largest = running.level;
    for row in scores.iter().flatten() {
        for (max, &z) in largest.iter_mut().zip(row) {
            *max = if z > *max { z } else { *max };
        }
    }
    let mut factor = [1.0; STRIP];
    for ((level, largest), factor) in running.level.iter_mut().zip(largest).zip(&mut factor) {
        if largest > *level + SLACK {
            *factor = exp(*level - largest);
            *level = largest;
        }
    }
    // A query that has seen no key yet keeps its sum of 0, whatever is subtracted.
    let level = running.level.map(|level| if level == f32::NEG_INFINITY { 0.0 } else { level });
    running.sum.iter_mut().zip(&factor).for_each(|(sum, factor)| *sum *= factor);
    for (index, block) in scores.iter().enumerate() {
        for (key, row) in block.iter().enumerate() {
            for (query, z) in row.iter().enumerate() {
                let weight = exp(z - level[query]);
                running.sum[query] += weight;
                let place = key / 2 * STRIP + query % TILE_ROWS * 2 + key % 2;
                let mut rest = weight;
                for tiles in &mut weights {
                    let part = round(rest);
                    tiles[index][query / TILE_ROWS].0[place] = part;
                    rest -= wide(part);
                }
            }
        }
    }
    factor
}

#[cfg(target_arch = "x86_64")]
pub(super) mod avx512 {
    use std::arch::x86_64::{
        __m512, __m512i, _CMP_GT_OQ, _mm512_add_epi32, _mm512_add_ps, _mm512_and_si512, _mm512_castps_si512,
        _mm512_castsi512_ps, _mm512_cmp_ps_mask, _mm512_fmadd_ps, _mm512_fmsub_ps, _mm512_loadu_ps,
        _mm512_mask_blend_ps, _mm512_max_ps, _mm512_mul_ps, _mm512_or_si512, _mm512_reduce_add_ps,
        _mm512_roundscale_ps, _mm512_scalef_ps, _mm512_set1_epi32, _mm512_set1_ps, _mm512_setzero_ps,
        _mm512_slli_epi32, _mm512_srli_epi32, _mm512_storeu_ps, _mm512_storeu_si512, _mm512_sub_ps,
    };

    use super::{Block, Lanes, Running, SLACK, STRIP, TILE_ROWS, Tile};

    /// See [`super::powers`].
    #[target_feature(enable = "avx512f")]
    pub(super) fn powers<const PARTS: usize>(
        scores: &[Block],
        mut weights: [&mut [[Tile; 2]]; PARTS],
        running: &mut Running,
    ) -> Lanes {
        let mut factors = [0f32; STRIP];
        for half in 0..2 {
            let old = half_of(&running.level, half);
            let rows = || scores.iter().flatten();
            let largest = rows().fold(old, |max, row| _mm512_max_ps(half_of(row, half), max));
            let risen = _mm512_cmp_ps_mask::<_CMP_GT_OQ>(largest, _mm512_add_ps(old, _mm512_set1_ps(SLACK)));
            let new = _mm512_mask_blend_ps(risen, old, largest);
            // A query that has seen no key yet keeps its sum of 0, whatever is subtracted.
            let level = _mm512_max_ps(new, _mm512_set1_ps(-1e30));
            let level = _mm512_mul_ps(level, _mm512_set1_ps(std::f32::consts::LOG2_E));
            let factor = _mm512_mask_blend_ps(risen, _mm512_set1_ps(1.0), power(old, level));
            let mut sums = [_mm512_mul_ps(half_of(&running.sum, half), factor), _mm512_setzero_ps()];
            for (index, block) in scores.iter().enumerate() {
                for (pair, keys) in block.as_chunks::<2>().0.iter().enumerate() {
                    let mut rest = [0, 1].map(|key: usize| power(half_of(&keys[key], half), level));
                    sums = [_mm512_add_ps(sums[0], rest[0]), _mm512_add_ps(sums[1], rest[1])];
                    for tiles in &mut weights {
                        let part = rounded(rest[0], rest[1]);
                        let place = &mut tiles[index][half].0.as_chunks_mut::<STRIP>().0[pair];
                        // SAFETY: the pair holds the 32 numbers of 16 bits that are written.
                        unsafe { _mm512_storeu_si512(place.as_mut_ptr().cast(), part) };
                        let [first, second] = widened(part);
                        rest = [_mm512_sub_ps(rest[0], first), _mm512_sub_ps(rest[1], second)];
                    }
                }
            }
            put(&mut running.level, half, new);
            put(&mut running.sum, half, _mm512_add_ps(sums[0], sums[1]));
            put(&mut factors, half, factor);
        }
        factors
    }

    /// See [`super::super::weigh_row`].
    #[target_feature(enable = "avx512f")]
    pub(in super::super) fn weigh_block(scores: &mut [f32], level: f32) -> f32 {
        let level = _mm512_set1_ps(level * std::f32::consts::LOG2_E);
        let half = _mm512_set1_epi32(0x8000);
        let upper = _mm512_set1_epi32(0xffff_0000u32.cast_signed());
        let mut sum = _mm512_setzero_ps();
        let (whole, rest) = scores.as_chunks_mut::<TILE_ROWS>();
        let mut last = [f32::NEG_INFINITY; TILE_ROWS];
        last[..rest.len()].copy_from_slice(rest);
        for lanes in whole.iter_mut().chain(std::iter::once(&mut last)) {
            // SAFETY: sixteen numbers are read.
            let weights = power(unsafe { _mm512_loadu_ps(lanes.as_ptr()) }, level);
            sum = _mm512_add_ps(sum, weights);
            // As pairs of them are rounded.
            let rounded = _mm512_and_si512(_mm512_add_epi32(_mm512_castps_si512(weights), half), upper);
            // SAFETY: sixteen numbers are written.
            unsafe { _mm512_storeu_si512(lanes.as_mut_ptr().cast(), rounded) };
        }
        rest.copy_from_slice(&last[..rest.len()]);
        _mm512_reduce_add_ps(sum)
    }

    /// Sixteen of the numbers.
    #[target_feature(enable = "avx512f")]
    fn half_of(lanes: &Lanes, half: usize) -> __m512 {
        // SAFETY: half a set of lanes holds the sixteen numbers that are read.
        unsafe { _mm512_loadu_ps(lanes.as_chunks::<TILE_ROWS>().0[half].as_ptr()) }
    }

    #[target_feature(enable = "avx512f")]
    fn put(lanes: &mut Lanes, half: usize, numbers: __m512) {
        // SAFETY: half a set of lanes holds the sixteen numbers that are written.
        unsafe { _mm512_storeu_ps(lanes.as_chunks_mut::<TILE_ROWS>().0[half].as_mut_ptr(), numbers) };
    }

    /// `2^(z log2 e - level)`, within 5e-6 of itself; about 1e-38 instead of less. A NaN stays one.
    ///
    /// `2^r` for `|r| <= 1/2` is a polynomial through the Chebyshev points of that interval.
    #[target_feature(enable = "avx512f")]
    fn power(z: __m512, level: __m512) -> __m512 {
        const NEAREST: i32 = 0;
        let x = _mm512_fmsub_ps(z, _mm512_set1_ps(std::f32::consts::LOG2_E), level);
        let x = _mm512_max_ps(_mm512_set1_ps(-126.0), x);
        let whole = _mm512_roundscale_ps::<NEAREST>(x);
        let r = _mm512_sub_ps(x, whole);
        let series = SERIES[1..]
            .iter()
            .fold(_mm512_set1_ps(SERIES[0]), |sum, &c| _mm512_fmadd_ps(sum, r, _mm512_set1_ps(c)));
        _mm512_scalef_ps(series, whole)
    }

    /// Coefficients, that of the highest power first.
    const SERIES: [f32; 5] = [0.009_666_368, 0.055_921_976, 0.240_223_5, 0.693_121, 1.0];

    /// Two sets of weights as pairs of bf16, to nearest; halfway away from zero.
    #[target_feature(enable = "avx512f")]
    fn rounded(first: __m512, second: __m512) -> __m512i {
        let half = _mm512_set1_epi32(0x8000);
        let [first, second] = [first, second].map(|x| _mm512_add_epi32(_mm512_castps_si512(x), half));
        let upper = _mm512_and_si512(second, _mm512_set1_epi32(0xffff_0000u32.cast_signed()));
        _mm512_or_si512(_mm512_srli_epi32::<16>(first), upper)
    }

    /// The numbers of pairs of bf16.
    #[target_feature(enable = "avx512f")]
    fn widened(pairs: __m512i) -> [__m512; 2] {
        let second = _mm512_and_si512(pairs, _mm512_set1_epi32(0xffff_0000u32.cast_signed()));
        [_mm512_slli_epi32::<16>(pairs), second].map(|bits| _mm512_castsi512_ps(bits))
    }

    #[cfg(test)]
    mod tests {
        use super::super::powers as plain;
        use super::*;
        use crate::kernel::random::numbers;
        use crate::rng::Rng;

        #[test]
        fn the_kernel_for_avx512_weighs_as_the_plain_one() {
            if !std::arch::is_x86_feature_detected!("avx512f") {
                return;
            }
            let mut rng = Rng::new(37);
            let mut running = [Running::default(), Running::default()];
            for scale in [1.0, 30.0, 0.1, 100.0] {
                let mut scores = [[[0f32; STRIP]; 2 * TILE_ROWS]; 3];
                let given = numbers(&mut rng, 3 * STRIP * STRIP, scale);
                scores.iter_mut().flatten().flatten().zip(&given).for_each(|(z, given)| *z = *given);
                scores.iter_mut().flatten().for_each(|row| row[5] = f32::NEG_INFINITY);
                let mut weights = [[[[Tile::ZERO; 2]; 3]; 2]; 2]; // [kernels][parts]
                let [of_plain, of_fast] =
                    weights.each_mut().map(|parts| parts.each_mut().map(|tiles| &mut tiles[..]));
                let factors = [
                    plain(&scores, of_plain, &mut running[0]),
                    // SAFETY: the processor has AVX-512F.
                    unsafe { powers(&scores, of_fast, &mut running[1]) },
                ];
                assert_eq!(running[0].level, running[1].level);
                let close = |a: f32, b: f32, off: f32| (a - b).abs() <= off * b.abs() + 1e-35;
                let all = |a: &[f32], b: &[f32]| a.iter().zip(b).all(|(a, b)| close(*a, *b, 2e-5));
                assert!(all(&factors[1], &factors[0]), "{factors:?}");
                assert!(all(&running[1].sum, &running[0].sum), "{running:?}");
                let part = |kernel: usize, part: usize| {
                    let tiles = weights[kernel][part].iter().flatten();
                    tiles.flat_map(|tile| tile.0).map(super::super::super::packed::wide).collect::<Vec<_>>()
                };
                let both = |kernel| part(kernel, 0).into_iter().zip(part(kernel, 1));
                for ((plain, plain_rest), (fast, fast_rest)) in both(0).zip(both(1)) {
                    assert!(close(fast, plain, 1.0 / 128.0), "{fast}, not {plain}");
                    // Two parts are the weight but for 2^-17 of it.
                    assert!(close(fast + fast_rest, plain + plain_rest, 3e-5), "{fast_rest}, {plain_rest}");
                    assert!(plain_rest.abs() <= plain / 256.0 && fast_rest.abs() <= fast / 256.0);
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn every_instruction_set_caps_to_the_same_bits() {
        let given = numbers(&mut Rng::new(43), 2 * STRIP * STRIP, 90.0);
        let mut plain = given.clone();
        let mut scores = given.clone();
        cap(&mut scores, 50.0);
        cap_plain(&mut plain, 50.0);
        assert_eq!(scores, plain);
        for (found, z) in scores.iter().zip(given) {
            assert!((f64::from(*found) - 50.0 * (f64::from(z) / 50.0).tanh()).abs() < 5e-5, "{z}: {found}");
        }
    }

    #[test]
    fn what_was_mixed_keeps_its_factor_to_the_bit_while_scores_rise_little() {
        let everything = Visible { start: [0; STRIP], end: [i32::MAX; STRIP] };
        let mut scores = [[[0f32; STRIP]; 2 * TILE_ROWS]; 1];
        let given = numbers(&mut Rng::new(41), STRIP * STRIP, 3.0);
        scores.iter_mut().flatten().flatten().zip(&given).for_each(|(z, given)| *z = *given);
        let mut weights = [[Tile::ZERO; 2]; 1];
        let mut running = Running::default();
        let mut factors = || weigh(&mut scores, [&mut weights], (&everything, &[]), None, &mut running);
        factors();
        assert_eq!(factors(), [1.0; STRIP]);
        let level = running.level[3];
        scores[0][0][3] = level + 0.9 * SLACK;
        scores[0][0][4] = running.level[4] + 1.1 * SLACK;
        let factors = weigh(&mut scores, [&mut weights], (&everything, &[]), None, &mut running);
        assert_eq!(factors[3], 1.0);
        assert_eq!(running.level[3], level);
        assert!(factors[4] < (-SLACK).exp() && running.level[4] == scores[0][0][4], "{}", factors[4]);
    }
}
