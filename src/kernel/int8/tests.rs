//! Every kernel against the definition, and the definition against the product of the numbers.

use std::sync::Arc;

use super::*;
use crate::kernel::Blocks;
use crate::kernel::ggml::{TYPES, TensorType};
use crate::kernel::random::numbers;
use crate::rng::Rng;

/// A matrix of a type whose scales are small.
fn blocks(kind: &'static TensorType, [n, k]: [usize; 2], rng: &mut Rng) -> Arc<Blocks> {
    let block = |rng: &mut Rng| loop {
        let bytes: Vec<u8> = (0..kind.block_bytes).map(|_| rng.below(256) as u8).collect();
        let mut numbers = vec![0f32; kind.block_size];
        kind.expand_here(&bytes, &mut numbers);
        if numbers.iter().all(|x| x.abs() < 100.0) {
            break bytes;
        }
    };
    let bytes: Vec<u8> = (0..n * k / kind.block_size).flat_map(|_| block(rng)).collect();
    Arc::new(Blocks::new(kind, [n, k], bytes, None).unwrap())
}

/// The types in blocks.
fn kinds() -> impl Iterator<Item = &'static TensorType> {
    TYPES.iter().filter(|kind| !kind.plain)
}

#[test]
fn every_kernel_gives_the_same_bits_for_every_type_and_number_of_rows() {
    let mut rng = Rng::new(89);
    for kind in kinds() {
        for ([n, k], m) in [([70, 256], 1), ([33, 768], 13), ([3, 1280], 6)] {
            let w = Matrix::kept(blocks(kind, [n, k], &mut rng));
            let x = numbers(&mut rng, m * k, 1.0);
            let x = Rows::round(&x, m, k);
            let [expected] = multiply_with(PLAIN, &x, [&w]);
            for kernel in kernels() {
                let [found] = multiply_with(kernel, &x, [&w]);
                let same = found.iter().map(|y| y.to_bits()).eq(expected.iter().map(|y| y.to_bits()));
                assert!(same, "{} {} {m} {n} {k}", kind.name, kernel.name);
            }
        }
    }
}

#[test]
fn products_are_those_of_the_weights_and_of_rounded_inputs() {
    let mut rng = Rng::new(97);
    let (m, n, k) = (7, 40, 512);
    for kind in kinds() {
        let w = blocks(kind, [n, k], &mut rng);
        let x = numbers(&mut rng, m * k, 1.0);
        let mut rounded = vec![0f64; m * k];
        for (x, rounded) in x.chunks(BLOCK).zip(rounded.chunks_mut(BLOCK)) {
            let d = f64::from(x.iter().fold(0f32, |max, x| max.max(x.abs()))) / 127.0;
            x.iter().zip(rounded).for_each(|(x, y)| *y = (f64::from(*x) / d).round_ties_even() * d);
        }
        let weights: Vec<f64> = w.to_f32().into_iter().map(f64::from).collect();
        let [found] = multiply(&Rows::round(&x, m, k), [&Matrix::kept(w.clone())]);
        let [few] = multiply(&Rows::round(&x[..FEW * k], FEW, k), [&Matrix::kept(w.clone())]);
        let exact = w.exact_levels().is_some();
        for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
            let terms = rounded[row * k..][..k].iter().zip(&weights[column * k..][..k]);
            let (mut sum, mut size) = (0.0, 0.0);
            terms.for_each(|(x, w)| (sum, size) = (sum + x * w, size + (x * w).abs()));
            // Of types without levels each weight is off by up to half a 127th of the largest of its block.
            let within = if exact { 2e-6 * size } else { 0.01 * size.max(1e-3) };
            for found in [&found, &few].into_iter().filter_map(|found| found.get(row * n + column)) {
                let off = (f64::from(*found) - sum).abs();
                assert!(off <= within, "{} is off by {off} of {size}", kind.name);
            }
        }
    }
}

#[test]
fn matrices_of_numbers_are_rounded_and_may_have_any_width() {
    let mut rng = Rng::new(101);
    for (m, n, k) in [(1, 5, 7), (20, 70, 100), (9, 33, 576)] {
        let (x, w) = (numbers(&mut rng, m * k, 1.0), numbers(&mut rng, n * k, 1.0));
        let matrix = Matrix::round(&w, n, k).unwrap();
        let [found] = multiply(&Rows::round(&x, m, k), [&matrix]);
        for (row, column) in (0..m).flat_map(|row| (0..n).map(move |column| (row, column))) {
            let terms = x[row * k..][..k].iter().zip(&w[column * k..][..k]);
            let exact: f32 = terms.map(|(x, w)| x * w).sum();
            // Both are off by up to half of a 127th: a random walk of k steps.
            let within = 6.0 * (k as f32).sqrt() * 0.5 / 127.0;
            let off = (found[row * n + column] - exact).abs();
            assert!(off < within, "{m} {n} {k}: off by {off}");
        }
    }
    assert!(Matrix::round(&[0.0; 5], 2, 3).is_none());
}

#[test]
fn several_matrices_at_once_give_the_bits_of_each_alone() {
    let mut rng = Rng::new(103);
    let kind = |name: &str| TYPES.iter().find(|kind| kind.name == name).unwrap();
    let k = 512;
    let [a, b, c] = [("Q4_K", 40), ("Q6_K", 7), ("Q8_0", 64)]
        .map(|(name, n)| Matrix::kept(blocks(kind(name), [n, k], &mut rng)));
    for m in [0, 1, FEW, FEW + 1, 40] {
        let x = Rows::round(&numbers(&mut rng, m * k, 1.0), m, k);
        assert_eq!(multiply(&x, [&a, &b, &c]), [&a, &b, &c].map(|w| multiply(&x, [w]).concat()), "{m}");
    }
}

#[test]
fn inputs_at_the_limits_round_to_what_they_are() {
    let (m, k) = (2, 40);
    let matrix = Matrix::round(&vec![1.0; 3 * k], 3, k).unwrap();
    for (number, expected) in [(0.0, 0.0), (-2.5, -100.0), (1e-42, 0.0), (1e36, 4e37), (1e-30, 4e-29)] {
        for m in [m, 20] {
            let [found] = multiply(&Rows::round(&vec![number; m * k], m, k), [&matrix]);
            let close = |y: &f32| (y - expected).abs() <= 1e-3 * expected.abs();
            assert!(found.iter().all(close), "{number}: {found:?}");
        }
    }
    for broken in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut x = vec![1.0; m * k];
        x[k + 39] = broken;
        let [found] = multiply(&Rows::round(&x, m, k), [&matrix]);
        assert!(
            found[..3].iter().all(|y| y.is_finite()) && found[3..].iter().all(|y| y.is_nan()),
            "{broken}"
        );
    }
}
