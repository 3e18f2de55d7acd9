//! Trim and softmask of screening, and the mix of what passes (arXiv 2604.01178).

use std::f64::consts::PI;

use super::{LANES, for_every_instruction_set};

/// `(cos(pi d / window) + 1) / 2` of the distances `d` from `count - 1` down to 0, each 0 from the window on.
///
/// In f64: the exact cosine and sine of every [`LANES`]th distance, and those between by the sum of angles.
pub(crate) fn softmasks(window: f64, count: usize) -> Vec<f32> {
    let angle = |distance: usize| (PI * (distance as f64 / window)).sin_cos();
    let steps: [(f64, f64); LANES] = std::array::from_fn(angle);
    let mut masks = vec![0f32; count];
    // From the last one, of distance 0, towards the first.
    for (index, masks) in masks.rchunks_mut(LANES).enumerate() {
        let (sin, cos) = angle(index * LANES);
        for (lane, mask) in masks.iter_mut().rev().enumerate() {
            let inside = ((index * LANES + lane) as f64) < window;
            *mask =
                if inside { (0.5 * (cos * steps[lane].1 - sin * steps[lane].0 + 1.0)) as f32 } else { 0.0 };
        }
    }
    masks
}

for_every_instruction_set! {
    /// Turns similarities `z` into `max(1 - (1 - z) / r, 0)² m` with `inverse` = 1 / r and the masks `m`, or
    /// 1 where none are given; returns how many are not 0.
    fn relevances = relevances_plain(scores: &mut [f32], masks: &[f32], inverse: f32) -> usize
}

#[inline(always)]
fn relevances_plain(scores: &mut [f32], masks: &[f32], inverse: f32) -> usize {
    let mut passed = 0u32;
    if masks.is_empty() {
        for z in scores {
            *z = trim(*z, inverse);
            passed += u32::from(*z != 0.0);
        }
    } else {
        for (z, mask) in scores.iter_mut().zip(masks) {
            *z = trim(*z, inverse) * mask;
            passed += u32::from(*z != 0.0);
        }
    }
    passed as usize
}

/// `max(1 - (1 - z) / r, 0)²`. A NaN must stay one, so that it is noticed in the logits.
#[inline(always)]
fn trim(z: f32, inverse: f32) -> f32 {
    let above = 1.0 - (1.0 - z) * inverse;
    let above = if above < 0.0 { 0.0 } else { above };
    above * above
}

for_every_instruction_set! {
    /// `mixed [d] += relevance [width] · values [width, d]`, passing over what is 0.
    fn add_passed = add_passed_plain(relevance: &[f32], values: &[f32], mixed: &mut [f32])
}

#[inline(always)]
fn add_passed_plain(relevance: &[f32], values: &[f32], mixed: &mut [f32]) {
    let d = mixed.len();
    for (relevance, values) in relevance.chunks(LANES).zip(values.chunks(LANES * d)) {
        let passed = relevance.iter().enumerate().map(|(key, a)| u32::from(*a != 0.0) << key);
        let mut passed = passed.fold(0, |bits, bit| bits | bit);
        // From one that passes to the next: asking each key would cost more than what few that pass do.
        while passed != 0 {
            let key = passed.trailing_zeros() as usize;
            passed &= passed - 1;
            let (a, value) = (relevance[key], &values[key * d..(key + 1) * d]);
            mixed.iter_mut().zip(value).for_each(|(y, v)| *y += a * v);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn masks_are_those_of_the_equation_at_every_distance() {
        for (window, count) in [(1.0, 1), (2.0, 2), (2.5, 3), (40.2, 41), (1e6, 5000), (30.0, 45)] {
            let masks = softmasks(window, count);
            assert_eq!(masks.len(), count);
            for (distance, mask) in masks.iter().rev().enumerate() {
                let d = distance as f64;
                let exact = if d < window { 0.5 * ((PI * d / window).cos() + 1.0) } else { 0.0 };
                assert!((f64::from(*mask) - exact).abs() < 1e-7, "window {window}, distance {distance}");
            }
        }
    }

    #[test]
    fn relevances_are_right_and_the_same_on_every_instruction_set() {
        let mut rng = Rng::new(67);
        for (width, inverse, masked) in
            [(128, 2.0, true), (37, 1.1, false), (16, 50.0, true), (5, 4.0, false), (0, 2.0, true)]
        {
            let scores = numbers(&mut rng, width, 1.0);
            let masks = if masked { softmasks(200.0, width) } else { Vec::new() };
            let (mut fast, mut plain) = (scores.clone(), scores.clone());
            let counts =
                (relevances(&mut fast, &masks, inverse), relevances_plain(&mut plain, &masks, inverse));
            assert_eq!((&fast, counts.0), (&plain, counts.1));
            assert_eq!(counts.0, plain.iter().filter(|a| **a != 0.0).count());
            for (index, (a, z)) in plain.iter().zip(&scores).enumerate() {
                let above = (1.0 - (1.0 - f64::from(*z)) * f64::from(inverse)).max(0.0);
                let exact = above * above * masks.get(index).map_or(1.0, |mask| f64::from(*mask));
                assert!((f64::from(*a) - exact).abs() < 2e-6 * f64::from(inverse));
            }
        }
        let mut nan = [f32::NAN];
        assert_eq!((relevances(&mut nan, &[], 2.0), nan[0].is_nan()), (1, true));
    }

    #[test]
    fn what_passes_is_mixed_to_the_same_bits_on_every_instruction_set() {
        let mut rng = Rng::new(71);
        for (rows, width, d) in [(3, 128, 64), (1, 19, 12), (32, 128, 10)] {
            let mut relevance = numbers(&mut rng, rows * width, 1.0);
            relevance.iter_mut().enumerate().for_each(|(i, a)| {
                if i % 23 != 0 {
                    *a = 0.0
                }
            });
            let (values, before) = (numbers(&mut rng, width * d, 1.0), numbers(&mut rng, rows * d, 1.0));
            let (mut fast, mut plain) = (before.clone(), before.clone());
            for (row, relevance) in relevance.chunks(width).enumerate() {
                add_passed(relevance, &values, &mut fast[row * d..(row + 1) * d]);
                add_passed_plain(relevance, &values, &mut plain[row * d..(row + 1) * d]);
            }
            assert_eq!(fast, plain);
            for (at, found) in plain.iter().enumerate() {
                let row = &relevance[at / d * width..][..width];
                let terms = row
                    .iter()
                    .enumerate()
                    .map(|(key, a)| f64::from(*a) * f64::from(values[key * d + at % d]));
                let exact = f64::from(before[at]) + terms.sum::<f64>();
                assert!((f64::from(*found) - exact).abs() < 1e-5);
            }
        }
    }
}
