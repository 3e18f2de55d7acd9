//! The types that tensors of GGUF files have, and the numbers that their bytes stand for.
//!
//! A type stores numbers in blocks of a few dozen to a few hundred, each with scales of its own; a row of a
//! tensor is whole blocks. Every function here gives, bit for bit, the f32 that ggml's own gives (a zero may
//! have the other sign). In the equations `d` and `m` are stored in f16, an unsigned quant is `q`, and `i`
//! counts the numbers of a block.

#[cfg(target_arch = "x86_64")]
mod avx2;
#[cfg(target_arch = "x86_64")]
pub(super) mod avx512;
mod blocks;
mod fp4;
mod grids;
mod iq1;
mod iq2;
mod iq3;
mod iq4;
mod k_quants;
pub(super) mod levels;
mod plain;
mod round;
mod ternary;

pub use blocks::Blocks;

use rayon::prelude::*;

use super::for_every_instruction_set;

/// A type of tensor.
#[derive(Debug)]
pub(crate) struct TensorType {
    /// Its number in files.
    pub(crate) id: u64,
    /// Its name.
    pub(crate) name: &'static str,
    /// Numbers of a block.
    pub(crate) block_size: usize,
    /// Bytes of a block.
    pub(crate) block_bytes: usize,
    /// Whether numbers are stored one by one.
    pub(crate) plain: bool,
    /// Writes the numbers of whole blocks.
    expand: fn(&[u8], &mut [f32]),
    /// The same as it is compiled for any processor.
    #[cfg(test)]
    expand_plain: fn(&[u8], &mut [f32]),
}

/// A type whose blocks are expanded one by one by a function from `[u8; bytes]` to `[f32; numbers]`, which is
/// inlined into what is compiled for each instruction set; or, where that is not fast, by one that is written
/// out for AVX2, or by one for AVX-512 and else one of both, where the processor has it.
macro_rules! blocks {
    ($id:literal, $name:literal, $numbers:literal, $bytes:literal, $one:path) => {
        blocks!(@ $id, $name, $numbers, $bytes, $one, |bytes, numbers| {
            for_every_instruction_set! {
                fn compiled = each(bytes: &[u8], numbers: &mut [f32])
            }
            compiled(bytes, numbers)
        })
    };
    ($id:literal, $name:literal, 32, $bytes:literal, $one:path; $avx512:path $(, $avx2:path)?) => {
        blocks!(@ $id, $name, 32, $bytes, $one, |bytes, numbers| {
            #[cfg(target_arch = "x86_64")]
            if avx512::available() {
                return $avx512(bytes, numbers);
            }
            $(
                #[cfg(target_arch = "x86_64")]
                if avx2::available() {
                    return $avx2(bytes, numbers);
                }
            )?
            for_every_instruction_set! {
                fn compiled = each(bytes: &[u8], numbers: &mut [f32])
            }
            compiled(bytes, numbers)
        })
    };
    ($id:literal, $name:literal, $numbers:literal, $bytes:literal, $one:path, $avx2:path) => {
        blocks!(@ $id, $name, $numbers, $bytes, $one, |bytes, numbers| {
            #[cfg(target_arch = "x86_64")]
            if avx2::available() {
                return $avx2(bytes, numbers);
            }
            each(bytes, numbers)
        })
    };
    (@ $id:literal, $name:literal, $numbers:literal, $bytes:literal, $one:path, $fastest:expr) => {{
        #[inline(always)]
        fn each(bytes: &[u8], numbers: &mut [f32]) {
            let numbers = numbers.as_chunks_mut::<$numbers>().0;
            for (block, numbers) in bytes.as_chunks::<$bytes>().0.iter().zip(numbers) {
                $one(block, numbers);
            }
        }
        TensorType {
            id: $id,
            name: $name,
            block_size: $numbers,
            block_bytes: $bytes,
            plain: $numbers == 1,
            expand: $fastest,
            #[cfg(test)]
            expand_plain: each,
        }
    }};
}

/// Every type that can be read.
#[rustfmt::skip]
pub(crate) const TYPES: &[TensorType] = &[
    blocks!(0, "F32", 1, 4, plain::f32),
    blocks!(1, "F16", 1, 2, plain::f16, avx2::f16),
    blocks!(2, "Q4_0", 32, 18, round::q4_0; avx512::q4_0, avx2::q4_0),
    blocks!(3, "Q4_1", 32, 20, round::q4_1; avx512::q4_1, avx2::q4_1),
    blocks!(6, "Q5_0", 32, 22, round::q5_0; avx512::q5_0),
    blocks!(7, "Q5_1", 32, 24, round::q5_1; avx512::q5_1),
    blocks!(8, "Q8_0", 32, 34, round::q8_0; avx512::q8_0),
    blocks!(9, "Q8_1", 32, 36, round::q8_1),
    blocks!(10, "Q2_K", 256, 84, k_quants::q2_k),
    blocks!(11, "Q3_K", 256, 110, k_quants::q3_k),
    blocks!(12, "Q4_K", 256, 144, k_quants::q4_k),
    blocks!(13, "Q5_K", 256, 176, k_quants::q5_k),
    blocks!(14, "Q6_K", 256, 210, k_quants::q6_k, avx2::q6_k),
    blocks!(15, "Q8_K", 256, 292, k_quants::q8_k),
    blocks!(16, "IQ2_XXS", 256, 66, iq2::iq2_xxs),
    blocks!(17, "IQ2_XS", 256, 74, iq2::iq2_xs),
    blocks!(18, "IQ3_XXS", 256, 98, iq3::iq3_xxs),
    blocks!(19, "IQ1_S", 256, 50, iq1::iq1_s),
    blocks!(20, "IQ4_NL", 32, 18, iq4::iq4_nl, avx2::iq4_nl),
    blocks!(21, "IQ3_S", 256, 110, iq3::iq3_s),
    blocks!(22, "IQ2_S", 256, 82, iq2::iq2_s),
    blocks!(23, "IQ4_XS", 256, 136, iq4::iq4_xs, avx2::iq4_xs),
    blocks!(24, "I8", 1, 1, plain::i8),
    blocks!(25, "I16", 1, 2, plain::i16),
    blocks!(26, "I32", 1, 4, plain::i32),
    blocks!(27, "I64", 1, 8, plain::i64),
    blocks!(28, "F64", 1, 8, plain::f64),
    blocks!(29, "IQ1_M", 256, 56, iq1::iq1_m),
    blocks!(30, "BF16", 1, 2, plain::bf16),
    blocks!(34, "TQ1_0", 256, 54, ternary::tq1_0),
    blocks!(35, "TQ2_0", 256, 66, ternary::tq2_0),
    blocks!(39, "MXFP4", 32, 17, fp4::mxfp4, avx2::mxfp4),
    blocks!(40, "NVFP4", 64, 36, fp4::nvfp4),
    blocks!(41, "Q1_0", 128, 18, ternary::q1_0),
    blocks!(42, "Q2_0", 64, 18, ternary::q2_0),
];

/// Types that llama.cpp had once, and no longer reads.
const REMOVED: &[(u64, &str)] = &[
    (4, "Q4_2"),
    (5, "Q4_3"),
    (31, "Q4_0_4_4"),
    (32, "Q4_0_4_8"),
    (33, "Q4_0_8_8"),
    (36, "IQ4_NL_4_4"),
    (37, "IQ4_NL_4_8"),
    (38, "IQ4_NL_8_8"),
];

/// The numbers of the two types whose numbers have 16 bits each and are no integers.
pub(crate) const F16: u64 = 1;
pub(crate) const BF16: u64 = 30;

/// The type of this number, when it can be read.
pub(crate) fn find(id: u64) -> Option<&'static TensorType> {
    TYPES.iter().find(|known| known.id == id)
}

/// The names of all types that can be read.
pub(crate) fn known_names() -> String {
    TYPES.iter().map(|known| known.name).collect::<Vec<_>>().join(", ")
}

/// Whether a type of this name stores numbers in blocks.
pub(crate) fn is_quantised(name: &str) -> bool {
    TYPES.iter().any(|known| known.name == name && !known.plain)
}

/// What a type that cannot be read is called.
pub(crate) fn unknown_name(id: u64) -> String {
    let removed = REMOVED.iter().find(|(number, _)| *number == id);
    removed.map_or_else(|| format!("type {id}"), |(_, name)| format!("{name}, type {id}"))
}

impl TensorType {
    /// Bytes of so many numbers, which are whole blocks; `None` beyond 64 bits.
    pub(crate) fn bytes(&self, numbers: u64) -> Option<u64> {
        numbers.div_ceil(self.block_size as u64).checked_mul(self.block_bytes as u64)
    }

    /// Bytes of a row of so many numbers; `None` where they are no whole blocks.
    pub(crate) fn row_bytes(&self, numbers: usize) -> Option<usize> {
        let blocks = numbers.is_multiple_of(self.block_size).then_some(numbers / self.block_size)?;
        blocks.checked_mul(self.block_bytes)
    }

    /// Writes the numbers of whole blocks, on all threads.
    pub(crate) fn expand(&self, bytes: &[u8], numbers: &mut [f32]) {
        /// Numbers that a thread takes at once: a multiple of every block.
        const PART: usize = 1 << 14;
        let part_bytes = PART / self.block_size * self.block_bytes;
        bytes
            .par_chunks(part_bytes)
            .zip(numbers.par_chunks_mut(PART))
            .for_each(|(bytes, numbers)| self.expand_here(bytes, numbers));
    }

    /// Writes the numbers of whole blocks, on this thread.
    pub(crate) fn expand_here(&self, bytes: &[u8], numbers: &mut [f32]) {
        (self.expand)(bytes, numbers);
    }
}

/// The f16 that begins at byte `at`.
#[inline(always)]
fn half_at(block: &[u8], at: usize) -> f32 {
    widen_half(word_at(block, at))
}

/// The number that the bits of an f16 stand for, without a question to the processor.
#[inline(always)]
fn widen_half(bits: u16) -> f32 {
    let magnitude = u32::from(bits & 0x7FFF);
    // The exponent stands 112 lower than in f32, subnormal numbers included; 31 of 31 is f32's 255.
    let finite = f32::from_bits(magnitude << 13) * f32::from_bits((127 + 112) << 23);
    let quiet = if magnitude > 0x7C00 { 1 << 22 } else { 0 };
    let special = 0x7F80_0000 | (magnitude & 0x3FF) << 13 | quiet;
    let magnitude = if magnitude < 0x7C00 { finite.to_bits() } else { special };
    f32::from_bits(magnitude | u32::from(bits & 0x8000) << 16)
}

/// `N` bytes from byte `at` on.
#[inline(always)]
fn bytes_at<const N: usize>(block: &[u8], at: usize) -> &[u8; N] {
    match block[at..].first_chunk() {
        Some(bytes) => bytes,
        None => unreachable!("a block has its bytes"),
    }
}

/// The 16 bits that begin at byte `at`.
#[inline(always)]
fn word_at(block: &[u8], at: usize) -> u16 {
    u16::from_le_bytes([block[at], block[at + 1]])
}

/// The 32 bits that begin at byte `at`.
#[inline(always)]
fn long_at(block: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([block[at], block[at + 1], block[at + 2], block[at + 3]])
}

#[cfg(test)]
mod tests;
