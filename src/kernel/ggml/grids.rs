//! The points that the types of one to three bits choose from: eight or four steps at a time.
//!
//! The tables are facts of the format, found by its makers as the points that quantised weights use most.
//! `grids.bin` holds them one after the other as the `gguf` Python package packs them
//! (`fixtures/make_gguf_types.py` writes it): an element is an index into the few steps that a table has, in
//! 2 bits (4 for IQ3), the first element of a byte lowest.

const PACKED: &[u8; 9216] = include_bytes!("grids.bin");

/// `COUNT` points of `WIDTH` elements, packed from byte `start` on in `bits` bits each.
const fn unpacked<const COUNT: usize, const WIDTH: usize>(
    start: usize,
    bits: usize,
    steps: &[i8],
) -> [[i8; WIDTH]; COUNT] {
    let mut points = [[0; WIDTH]; COUNT];
    let per_byte = 8 / bits;
    let mut at = 0;
    while at < COUNT * WIDTH {
        let byte = PACKED[start + at / per_byte] as usize;
        let index = byte >> (at % per_byte * bits) & ((1 << bits) - 1);
        points[at / WIDTH][at % WIDTH] = steps[index];
        at += 1;
    }
    points
}

const IQ2_STEPS: &[i8] = &[8, 25, 43];

pub(super) static IQ2_XXS: [[i8; 8]; 256] = unpacked(0, 2, IQ2_STEPS);
pub(super) static IQ2_XS: [[i8; 8]; 512] = unpacked(512, 2, IQ2_STEPS);
pub(super) static IQ2_S: [[i8; 8]; 1024] = unpacked(1536, 2, IQ2_STEPS);
pub(super) static IQ1: [[i8; 8]; 2048] = unpacked(3584, 2, &[-1, 0, 1]);
pub(super) static IQ3_XXS: [[i8; 4]; 256] = unpacked(7680, 4, &[4, 12, 20, 28, 36, 44, 52, 62]);
pub(super) static IQ3_S: [[i8; 4]; 512] = unpacked(8192, 4, &[1, 3, 5, 7, 9, 11, 13, 15]);

/// The signs of eight numbers by an index of 7 bits: a bit for each of the first seven, set for minus, and
/// the eighth so that the number of minus signs is even.
#[inline(always)]
pub(super) fn even_signs(index: u32) -> u8 {
    let index = (index & 127) as u8;
    index | (index.count_ones() as u8 & 1) << 7
}

/// `d point`, the sign of element `j` being bit `j`.
#[inline(always)]
pub(super) fn signed<const WIDTH: usize>(d: f32, point: &[i8; WIDTH], signs: u8, numbers: &mut [f32]) {
    for (j, (number, step)) in numbers.iter_mut().zip(point).enumerate() {
        let size = d * f32::from(*step);
        *number = if signs >> j & 1 == 1 { -size } else { size };
    }
}
