//! Dot products of [`super::lanes`] written out for AVX-512 and AVX2: compilers make pairs of numbers of its
//! loop. Lanes, and the order that they are added in, are those of the plain one, and so are the bits. Rows
//! that are kept as a file has them are widened where they are read.

mod avx2;
mod avx512;

use half::{bf16, f16};

use super::{LANES, cpu, ggml};

/// The numbers of types of blocks that are multiplied where they are read.
const Q4_0: u64 = 2;
const Q4_1: u64 = 3;
const Q5_0: u64 = 6;
const Q5_1: u64 = 7;
const Q8_0: u64 = 8;

/// The two bytes of a number of 16 bits, as a file has them.
type Bytes = [u8; 2];

/// `products[j, i] = x[i] · w[j]` for rows of `k` numbers, where the processor has AVX-512 or AVX2; whether
/// it has.
pub(super) fn products(x: &[f32], w: &[f32], k: usize, products: &mut [f32]) -> bool {
    if cpu::has(cpu::Set::Avx512) {
        // SAFETY: the processor has AVX-512F.
        unsafe { avx512::of_f32(x, w, k, products) };
        return true;
    }
    products_with_avx2(x, w, k, products)
}

/// The same with AVX2 alone.
fn products_with_avx2(x: &[f32], w: &[f32], k: usize, products: &mut [f32]) -> bool {
    if cpu::has(cpu::Set::Avx2) {
        // SAFETY: the processor has AVX2.
        unsafe { avx2::of_f32(x, w, k, products) };
        return true;
    }
    false
}

/// The same for rows as a file has them, of the type with this number; whether that was done.
pub(super) fn products_of_stored(x: &[f32], kind: u64, w: &[u8], k: usize, products: &mut [f32]) -> bool {
    if cpu::has(cpu::Set::Avx512) {
        // SAFETY: the processor has AVX-512F.
        return unsafe { avx512::of_type(x, kind, w, k, products) };
    }
    kind == ggml::BF16 && products_of_bf16_with_avx2(x, w.as_chunks().0, k, products)
}

fn products_of_bf16_with_avx2(x: &[f32], w: &[Bytes], k: usize, products: &mut [f32]) -> bool {
    if cpu::has(cpu::Set::Avx2) {
        // SAFETY: the processor has AVX2.
        unsafe { avx2::of_bf16(x, w, k, products) };
        return true;
    }
    false
}

#[inline(always)]
fn wide_bf16(bytes: Bytes) -> f32 {
    bf16::from_le_bytes(bytes).to_f32()
}

#[inline(always)]
fn wide_f16(bytes: Bytes) -> f32 {
    f16::from_le_bytes(bytes).to_f32()
}

/// The sum that nothing is added to.
fn nothing() -> f32 {
    [0f32; 0].iter().sum()
}

/// The sum of the products that fill no lanes.
#[inline(always)]
fn rest<T: Copy>(x: &[f32], w: &[T], number: impl Fn(T) -> f32) -> f32 {
    let (_, x) = x.as_chunks::<{ 2 * LANES }>();
    let (_, w) = w.as_chunks::<{ 2 * LANES }>();
    x.iter().zip(w).map(|(x, w)| x * number(*w)).sum()
}

#[cfg(test)]
mod tests {
    use super::super::lanes::dot;
    use super::super::random::numbers;
    use super::*;
    use crate::rng::Rng;

    #[test]
    fn products_of_rows_have_the_bits_of_the_plain_sums() {
        let mut rng = Rng::new(61);
        for (m, k, n) in [(1, 576, 12), (3, 70, 33), (2, 31, 16), (1, 1, 5), (8, 640, 17)] {
            let (mut x, mut w) = (numbers(&mut rng, m * k, 1.0), numbers(&mut rng, n * k, 1.0));
            // A row of zeros against positive numbers: zeros have signs.
            x[..k].fill(-0.0);
            w[..k].iter_mut().for_each(|number| *number = number.abs());
            let expected = w.chunks(k).flat_map(|w| x.chunks(k).map(move |x| dot(x, w).to_bits()));
            let expected: Vec<u32> = expected.collect();
            for by in [products, products_with_avx2] {
                let mut found = vec![f32::NAN; n * m];
                if by(&x, &w, k, &mut found) {
                    assert_eq!(
                        found.iter().map(|x| x.to_bits()).collect::<Vec<_>>(),
                        expected,
                        "{m} {k} {n}"
                    );
                }
            }
        }
    }

    /// Rows `[n, k]` of a type against the plain sums of their numbers.
    fn check_stored(kind: &ggml::TensorType, bytes: &[u8], [m, k, n]: [usize; 3], rng: &mut Rng) {
        let x = numbers(rng, m * k, 1.0);
        let mut rows = vec![0f32; n * k];
        kind.expand_here(bytes, &mut rows);
        let expected = rows.chunks(k).flat_map(|w| x.chunks(k).map(move |x| dot(x, w).to_bits()));
        let expected: Vec<u32> = expected.collect();
        let bits = |found: &[f32]| found.iter().map(|x| x.to_bits()).collect::<Vec<_>>();
        let mut found = vec![f32::NAN; n * m];
        if products_of_stored(&x, kind.id, bytes, k, &mut found) {
            assert_eq!(bits(&found), expected, "{} {m} {k} {n}", kind.name);
        }
        if kind.id == ggml::BF16 && products_of_bf16_with_avx2(&x, bytes.as_chunks().0, k, &mut found) {
            assert_eq!(bits(&found), expected, "with AVX2, {m} {k} {n}");
        }
    }

    #[test]
    fn rows_as_a_file_has_them_give_the_bits_of_their_widened_products() {
        let mut rng = Rng::new(67);
        for kind in ggml::TYPES {
            for [m, k, n] in [[1, 576, 12], [3, 70, 33], [2, 31, 16], [1, 1, 5], [4, 640, 17], [2, 32, 1]] {
                let Some(row) = kind.row_bytes(k) else { continue };
                // The high byte of a number of 16 bits, and that of a block's scale, makes it small;
                // subnormal numbers of f16 are among them.
                let high = |at: usize| at % kind.block_bytes.min(4) % 2 == 1;
                let byte = |at: usize| rng.below(256) as u8 & if high(at) { 0xBB } else { 0xFF };
                let bytes: Vec<u8> = (0..n * row).map(byte).collect();
                check_stored(kind, &bytes, [m, k, n], &mut Rng::new(k as u64));
            }
        }
    }

    #[test]
    fn the_types_that_are_told_by_their_number_are_those() {
        let named = [ggml::F16, ggml::BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0];
        let names = ["F16", "BF16", "Q4_0", "Q4_1", "Q5_0", "Q5_1", "Q8_0"];
        assert_eq!(named.map(|id| ggml::find(id).unwrap().name), names);
    }
}
