//! The integers behind the numbers of a type, for products in integers.
//!
//! A group of numbers has a scale `s` and an offset `o`, and number `i` of it is `s l + o` with a level `l`
//! from 0 to 255. Of types that count in steps of one size, and of those that choose from a table of
//! integers, that is exact.

use super::iq4::{TABLE, scale_of_iq4_xs};
use super::k_quants::{quants_of_q3_k, quants_of_q6_k, scale_and_smallest, scales_of_q3_k};
use super::{bytes_at, half_at, long_at, word_at};
use crate::kernel::for_every_instruction_set;

/// What is added to a signed number of 8 bits to make a level of it.
pub(crate) const ZERO: f32 = 128.0;

/// Scale and offset of a group.
pub(crate) type Group = [f32; 2];

/// The levels of a type.
pub(crate) struct Levels {
    id: u64,
    /// Numbers of a group: 16 or 32.
    pub(crate) group: usize,
    /// Whether there are levels above 127.
    pub(crate) wide: bool,
    /// Takes them from whole blocks.
    take: fn(&[u8], &mut [u8], &mut [Group]),
}

impl Levels {
    /// Writes the levels of whole blocks, and scale and offset of each group.
    pub(super) fn take(&self, bytes: &[u8], levels: &mut [u8], groups: &mut [Group]) {
        (self.take)(bytes, levels, groups);
    }
}

/// The levels of a type that is given by its number, if they are exact.
pub(crate) fn of(id: u64) -> Option<&'static Levels> {
    LEVELS.iter().find(|levels| levels.id == id)
}

/// A type whose blocks `$one` takes apart.
macro_rules! levels {
    ($id:literal, $numbers:literal, $bytes:literal, $group:literal, $wide:literal, $one:path) => {{
        #[inline(always)]
        fn each(bytes: &[u8], levels: &mut [u8], groups: &mut [Group]) {
            let levels = levels.as_chunks_mut::<$numbers>().0;
            let groups = groups.as_chunks_mut::<{ $numbers / $group }>().0;
            for ((block, levels), groups) in bytes.as_chunks::<$bytes>().0.iter().zip(levels).zip(groups) {
                $one(block, levels, groups);
            }
        }
        for_every_instruction_set! {
            fn compiled = each(bytes: &[u8], levels: &mut [u8], groups: &mut [Group])
        }
        Levels { id: $id, group: $group, wide: $wide, take: compiled }
    }};
}

#[rustfmt::skip] // a line a type
static LEVELS: [Levels; 12] = [
    levels!(2, 32, 18, 32, false, q4_0),
    levels!(3, 32, 20, 32, false, q4_1),
    levels!(6, 32, 22, 32, false, q5_0),
    levels!(7, 32, 24, 32, false, q5_1),
    levels!(8, 32, 34, 32, true, q8_0),
    levels!(10, 256, 84, 16, false, q2_k),
    levels!(11, 256, 110, 16, false, q3_k),
    levels!(12, 256, 144, 32, false, q4_k),
    levels!(13, 256, 176, 32, false, q5_k),
    levels!(14, 256, 210, 16, false, q6_k),
    levels!(20, 32, 18, 32, true, iq4_nl),
    levels!(23, 256, 136, 32, true, iq4_xs),
];

/// The levels of 16 bytes of low bits, with the fifth bits `high`: in two loops, which compilers make vectors
/// of.
#[inline(always)]
fn put(low: &[u8; 16], high: Option<u32>, levels: &mut [u8; 32]) {
    let (first, second) = levels.split_at_mut(16);
    first.iter_mut().zip(low).for_each(|(level, byte)| *level = byte & 15);
    second.iter_mut().zip(low).for_each(|(level, byte)| *level = byte >> 4);
    if let Some(high) = high {
        levels.iter_mut().enumerate().for_each(|(i, level)| *level |= ((high >> i & 1) << 4) as u8);
    }
}

/// Scale and offset of levels that count from `zero`.
#[inline(always)]
fn around(scale: f32, zero: f32) -> Group {
    [scale, -zero * scale]
}

#[inline(always)]
fn q4_0(block: &[u8; 18], levels: &mut [u8; 32], groups: &mut [Group; 1]) {
    put(bytes_at(block, 2), None, levels);
    groups[0] = around(half_at(block, 0), 8.0);
}

#[inline(always)]
fn q4_1(block: &[u8; 20], levels: &mut [u8; 32], groups: &mut [Group; 1]) {
    put(bytes_at(block, 4), None, levels);
    groups[0] = [half_at(block, 0), half_at(block, 2)];
}

#[inline(always)]
fn q5_0(block: &[u8; 22], levels: &mut [u8; 32], groups: &mut [Group; 1]) {
    put(bytes_at(block, 6), Some(long_at(block, 2)), levels);
    groups[0] = around(half_at(block, 0), 16.0);
}

#[inline(always)]
fn q5_1(block: &[u8; 24], levels: &mut [u8; 32], groups: &mut [Group; 1]) {
    put(bytes_at(block, 8), Some(long_at(block, 4)), levels);
    groups[0] = [half_at(block, 0), half_at(block, 2)];
}

#[inline(always)]
fn q8_0(block: &[u8; 34], levels: &mut [u8; 32], groups: &mut [Group; 1]) {
    // Adding 128 turns the highest bit over.
    levels.iter_mut().zip(bytes_at::<32>(block, 2)).for_each(|(level, q)| *level = q ^ 0x80);
    groups[0] = around(half_at(block, 0), ZERO);
}

#[inline(always)]
fn q2_k(block: &[u8; 84], levels: &mut [u8; 256], groups: &mut [Group; 16]) {
    let (d, m) = (half_at(block, 80), half_at(block, 82));
    for (group, levels) in levels.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        let (scale, smallest) = (block[group] & 15, block[group] >> 4);
        groups[group] = [d * f32::from(scale), -(m * f32::from(smallest))];
        let (at, shift) = (16 + group / 8 * 32 + group % 2 * 16, group % 8 / 2 * 2);
        let bytes: &[u8; 16] = bytes_at(block, at);
        levels.iter_mut().zip(bytes).for_each(|(level, byte)| *level = byte >> shift & 3);
    }
}

#[inline(always)]
fn q3_k(block: &[u8; 110], levels: &mut [u8; 256], groups: &mut [Group; 16]) {
    let (d, scales) = (half_at(block, 108), scales_of_q3_k(&block[96..108]));
    for (group, levels) in levels.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        groups[group] = around(d * scales[group], 4.0);
        *levels = quants_of_q3_k(block, group);
    }
}

/// Those of Q4_K and Q5_K, whose fifth bit is in `high` bytes or 0.
#[inline(always)]
fn four_bits_and_more(
    head: &[u8],
    high: &[u8; 32],
    low: &[u8],
    levels: &mut [u8; 256],
    groups: &mut [Group; 8],
) {
    let (d, m) = (half_at(head, 0), half_at(head, 2));
    for (group, levels) in levels.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        let (scale, smallest) = scale_and_smallest(&head[4..16], group);
        groups[group] = [d * scale, -(m * smallest)];
        let (low, shift): (&[u8; 32], _) = (bytes_at(low, group / 2 * 32), group % 2 * 4);
        for ((level, low), high) in levels.iter_mut().zip(low).zip(high) {
            *level = low >> shift & 15 | (high >> group & 1) << 4;
        }
    }
}

#[inline(always)]
fn q4_k(block: &[u8; 144], levels: &mut [u8; 256], groups: &mut [Group; 8]) {
    four_bits_and_more(&block[..16], &[0; 32], &block[16..], levels, groups);
}

#[inline(always)]
fn q5_k(block: &[u8; 176], levels: &mut [u8; 256], groups: &mut [Group; 8]) {
    let (high, low) = block[16..].split_at(32);
    let high = high.first_chunk().unwrap_or(&[0; 32]);
    four_bits_and_more(&block[..16], high, low, levels, groups);
}

#[inline(always)]
fn q6_k(block: &[u8; 210], levels: &mut [u8; 256], groups: &mut [Group; 16]) {
    let d = half_at(block, 208);
    for (group, levels) in levels.as_chunks_mut::<16>().0.iter_mut().enumerate() {
        groups[group] = around(d * f32::from(block[192 + group] as i8), 32.0);
        *levels = quants_of_q6_k(block, group);
    }
}

/// The levels of 16 bytes that choose from the table.
#[inline(always)]
fn nibbles(bytes: &[u8], levels: &mut [u8; 32]) {
    let level = |nibble: u8| TABLE[usize::from(nibble)].cast_unsigned() ^ 0x80;
    for (j, byte) in bytes.iter().enumerate() {
        levels[j] = level(byte & 15);
        levels[j + 16] = level(byte >> 4);
    }
}

#[inline(always)]
fn iq4_nl(block: &[u8; 18], levels: &mut [u8; 32], groups: &mut [Group; 1]) {
    nibbles(&block[2..], levels);
    groups[0] = around(half_at(block, 0), ZERO);
}

#[inline(always)]
fn iq4_xs(block: &[u8; 136], levels: &mut [u8; 256], groups: &mut [Group; 8]) {
    let (d, high) = (half_at(block, 0), word_at(block, 2));
    for (group, levels) in levels.as_chunks_mut::<32>().0.iter_mut().enumerate() {
        nibbles(&block[8 + group * 16..][..16], levels);
        groups[group] = around(d * scale_of_iq4_xs(block, high, group), ZERO);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::ggml::TYPES;
    use crate::rng::Rng;

    #[test]
    fn levels_stand_for_the_numbers_of_their_blocks() {
        let mut rng = Rng::new(83);
        let mut with = 0;
        for kind in TYPES {
            let Some(of) = of(kind.id) else { continue };
            with += 1;
            for _ in 0..200 {
                let bytes: Vec<u8> = (0..kind.block_bytes).map(|_| rng.below(256) as u8).collect();
                let (mut numbers, mut levels) = (vec![0f32; kind.block_size], vec![0; kind.block_size]);
                let mut groups = vec![[0f32; 2]; kind.block_size / of.group];
                kind.expand_here(&bytes, &mut numbers);
                of.take(&bytes, &mut levels, &mut groups);
                assert!(of.wide || levels.iter().all(|level| *level < 128), "{}", kind.name);
                for (i, number) in numbers.iter().enumerate() {
                    let [scale, offset] = groups[i / of.group].map(f64::from);
                    let found = (scale * f64::from(levels[i]) + offset) as f32;
                    let same = found == *number || !number.is_finite();
                    assert!(same, "{} number {i}: {found} for {number}", kind.name);
                }
            }
        }
        assert_eq!(with, LEVELS.len());
    }
}
