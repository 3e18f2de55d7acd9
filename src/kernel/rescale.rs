//! What strips of queries have mixed, brought to a new maximum.

use super::for_every_instruction_set;

/// Queries that lie side by side.
const QUERIES: usize = 32;

for_every_instruction_set! {
    /// Multiplies every row by the factors of its queries.
    fn rescale = rescale_plain(mixed: &mut [[f32; QUERIES]], factor: &[f32; QUERIES])
}

#[inline(always)]
pub(super) fn rescale_plain(mixed: &mut [[f32; QUERIES]], factor: &[f32; QUERIES]) {
    // Most blocks of keys have no new maximum, and a product with 1 is what it was.
    if *factor == [1.0; QUERIES] {
        return;
    }
    for row in mixed {
        *row = std::array::from_fn(|query| row[query] * factor[query]);
    }
}
