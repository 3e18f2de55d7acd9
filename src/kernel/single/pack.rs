//! Columns side by side, in the order that the kernels read them.

use super::STRIP;
use crate::kernel::for_every_instruction_set;

for_every_instruction_set! {
    /// Writes up to 32 columns, `[columns, k]` one after the other, as the steps `[k, 32]` of a strip.
    /// Columns that are not there keep what the strip holds.
    fn pack = pack_plain(strip: &mut [[f32; STRIP]], columns: &[f32], k: usize)
}

/// Steps that are written at once: so many cache lines of each column and of the strip stay where they are.
const STEPS: usize = 16;

#[inline(always)]
fn pack_plain(strip: &mut [[f32; STRIP]], columns: &[f32], k: usize) {
    for (part, steps) in strip.chunks_mut(STEPS).enumerate() {
        for (column, numbers) in columns.chunks_exact(k).enumerate() {
            let numbers = &numbers[part * STEPS..][..steps.len()];
            steps.iter_mut().zip(numbers).for_each(|(step, number)| step[column] = *number);
        }
    }
}
