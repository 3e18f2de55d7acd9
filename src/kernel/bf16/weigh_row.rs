//! From the scores of one query to its weights, rounded where [`super::weigh`] rounds those of 32: how many
//! queries come at a time then changes no number but for the order of sums.

use super::attend::KEYS;
use super::packed::{round, wide};
use super::weigh::SLACK;
use crate::kernel::exp::exp;
use crate::kernel::{cpu, for_every_instruction_set, lanes};

/// Turns the scores of a query into weights `exp(z - level)` and returns the level and the sum of the weights
/// before they were rounded. `first` is the position of the first key: the level rises with the keys of a
/// block, a weight is rounded to bf16 at the level of its own, and brought to the last level behind that.
pub(crate) fn weigh_row(scores: &mut [f32], first: usize) -> [f32; 2] {
    let (mut level, mut sum, mut factors) = (f32::NEG_INFINITY, 0.0, Vec::new());
    let (begun, whole) = scores.split_at_mut((KEYS - first % KEYS).min(scores.len()));
    let mut blocks: Vec<&mut [f32]> = std::iter::once(begun).chain(whole.chunks_mut(KEYS)).collect();
    for block in &mut blocks {
        let largest = lanes::max(block);
        let risen = largest > level + SLACK;
        let factor = if risen { exp(level - largest) } else { 1.0 };
        level = if risen { largest } else { level };
        // Where no key has been seen yet it is the same whatever is subtracted.
        let here = weigh_block(block, if level == f32::NEG_INFINITY { 0.0 } else { level });
        sum = sum * factor + here;
        factors.push(factor);
    }
    let mut behind = 1.0;
    for (block, factor) in blocks.into_iter().zip(factors).rev() {
        if behind != 1.0 {
            block.iter_mut().for_each(|weight| *weight *= behind);
        }
        behind *= factor;
    }
    [level, sum]
}

/// Scores to weights in bf16; returns the sum of what was rounded.
fn weigh_block(scores: &mut [f32], level: f32) -> f32 {
    #[cfg(target_arch = "x86_64")]
    if cpu::has(cpu::Set::Avx512) {
        // SAFETY: the processor has AVX-512F.
        return unsafe { super::weigh::avx512::weigh_block(scores, level) };
    }
    powers(scores, level)
}

for_every_instruction_set! {
    /// The same. Its twin for AVX-512 rounds otherwise in the last places, as that of [`super::weigh`] does.
    fn powers = powers_plain(scores: &mut [f32], level: f32) -> f32
}

#[inline(always)]
fn powers_plain(scores: &mut [f32], level: f32) -> f32 {
    let sum = lanes::map_sum(scores, |z| exp(z - level));
    scores.iter_mut().for_each(|weight| *weight = wide(round(*weight)));
    sum
}

#[cfg(test)]
mod tests {
    use super::super::packed::{STRIP, TILE_ROWS, Tile};
    use super::super::weigh::{Running, Visible, weigh};
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    /// The weights of a query of a strip, with the factors that bring what was before to each block's level.
    fn of_strip(scores: &[f32], running: &mut Running) -> (Vec<f32>, f32) {
        let everything = Visible { start: [0; STRIP], end: [i32::MAX; STRIP] };
        let mut blocks = vec![[[f32::NEG_INFINITY; STRIP]; 2 * TILE_ROWS]; scores.len().div_ceil(STRIP)];
        blocks.iter_mut().flatten().zip(scores).for_each(|(row, z)| row[3] = *z);
        let mut tiles = vec![[Tile::ZERO; 2]; blocks.len()];
        let factor = weigh(&mut blocks, [&mut tiles], (&everything, &[]), None, running)[3];
        let place = |key: usize| key % STRIP / 2 * STRIP + 3 * 2 + key % 2;
        let weight = |key: usize| wide(tiles[key / STRIP][0].0[place(key)]);
        ((0..scores.len()).map(weight).collect(), factor)
    }

    #[test]
    fn the_weights_of_a_row_are_those_of_a_strip_to_the_bit_before_they_are_brought_to_the_last_level() {
        let mut rng = Rng::new(47);
        for (count, first, scale) in [(1000, 0, 1.0), (1000, 40, 9.0), (77, 127, 30.0), (128, 0, 0.1)] {
            let mut scores = numbers(&mut rng, count, scale);
            scores[3..20].fill(f32::NEG_INFINITY);
            let mut weights = scores.clone();
            let [level, sum] = weigh_row(&mut weights, first);
            let mut running = Running::default();
            let (mut expected, mut from) = (Vec::new(), 0);
            while from < count {
                let until = count.min(from + KEYS - (first + from) % KEYS);
                let (block, factor) = of_strip(&scores[from..until], &mut running);
                expected.iter_mut().for_each(|weight| *weight *= factor);
                expected.extend(block);
                from = until;
            }
            assert_eq!(level, running.level[3]);
            assert!((sum / running.sum[3] - 1.0).abs() < 1e-5, "{sum} {}", running.sum[3]);
            for (key, (found, expected)) in weights.iter().zip(&expected).enumerate() {
                // Rounding is to 2^-9 of a weight, factors are right to 5e-6.
                assert!((found - expected).abs() <= 3e-5 * expected + 1e-37, "{key}: {found} {expected}");
            }
        }
    }

    #[test]
    fn every_instruction_set_weighs_to_the_same_bits_and_avx512_to_nearly_the_same() {
        let scores = numbers(&mut Rng::new(53), 333, 20.0);
        let (mut plain, mut fast, mut here) = (scores.clone(), scores.clone(), scores);
        let sums = [powers_plain(&mut plain, 9.0), powers(&mut fast, 9.0), weigh_block(&mut here, 9.0)];
        assert_eq!((&plain, sums[0]), (&fast, sums[1]));
        assert!((sums[2] / sums[0] - 1.0).abs() < 2e-5);
        let close = |(a, b): (&f32, &f32)| (a - b).abs() <= b / 128.0 + 1e-35;
        assert!(here.iter().zip(&plain).all(close));
    }
}
