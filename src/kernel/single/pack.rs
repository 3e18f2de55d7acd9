//! Columns side by side, in the order that the kernels read them.

use super::STRIP;
#[cfg(target_arch = "x86_64")]
use super::avx512;
use crate::kernel::for_every_instruction_set;

/// Writes up to 32 columns, `[columns, k]` one after the other, as the steps `[k, 32]` of a strip. Columns
/// that are not there keep what the strip holds.
pub(super) fn pack(strip: &mut [[f32; STRIP]], columns: &[f32], k: usize) {
    #[cfg(target_arch = "x86_64")]
    if avx512::available() && columns.len() == STRIP * k && strip.len() == k {
        let whole = avx512::pack_whole(strip, columns, k);
        for (column, numbers) in columns.chunks_exact(k).enumerate() {
            strip[whole..].iter_mut().zip(&numbers[whole..]).for_each(|(step, x)| step[column] = *x);
        }
        return;
    }
    pack_each(strip, columns, k);
}

for_every_instruction_set! {
    /// The same, number by number.
    fn pack_each = pack_plain(strip: &mut [[f32; STRIP]], columns: &[f32], k: usize)
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::rng::Rng;

    #[test]
    fn columns_lie_side_by_side_and_those_that_are_not_there_keep_what_was_there() {
        let mut rng = Rng::new(71);
        for (k, count) in [(1, 32), (16, 32), (47, 32), (64, 32), (40, 31), (33, 1)] {
            let columns = numbers(&mut rng, count * k, 1.0);
            let mut strip = vec![[9.0; STRIP]; k];
            pack(&mut strip, &columns, k);
            let expected = |step: usize, column: usize| columns.get(column * k + step).copied();
            for (step, found) in strip.iter().enumerate() {
                for (column, found) in found.iter().enumerate() {
                    let expected = expected(step, column).filter(|_| column < count).unwrap_or(9.0);
                    assert_eq!(*found, expected, "{k} {count} at {step}, {column}");
                }
            }
        }
    }
}
