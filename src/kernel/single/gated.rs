//! The first half of a gated MLP: each number of it is made where its two products are, in the cache.

use rayon::prelude::*;

use super::{Kernel, Out, STRIP, Scratch, kernel, write_columns};
use crate::kernel::Gate;
use crate::kernel::blocks::Shared;
use crate::kernel::matmul::Stored;

/// `act(x gᵀ) * (x uᵀ)`, `[m, n]`, for `x [m, k]` and the matrices `g` and `u` `[n, k]`, on all threads. To
/// the bit what [`super::many_rows`] of each and the gate of both give.
///
/// # Panics
/// When `x` has not `m` rows of `k` numbers, or the matrices differ in their rows.
pub(crate) fn gated_rows(x: &[f32], matrices: [&dyn Stored; 2], [m, k]: [usize; 2], act: Gate) -> Vec<f32> {
    gated_rows_with(kernel(), x, matrices, [m, k], act)
}

fn gated_rows_with(
    kernel: Kernel,
    x: &[f32],
    [g, u]: [&dyn Stored; 2],
    [m, k]: [usize; 2],
    act: Gate,
) -> Vec<f32> {
    assert!(k > 0 && x.len() == m * k, "m rows of k numbers");
    let n = g.rows(k);
    assert_eq!(n, u.rows(k), "a gate for each number");
    let mut inner: Vec<f32> = Vec::with_capacity(m * n); // [m, n]
    let output = Shared(inner.as_mut_ptr());
    (0..n.div_ceil(STRIP)).into_par_iter().with_max_len(1).for_each_init(
        <[Scratch; 2]>::default,
        |[gates, ups], index| {
            let columns = index * STRIP..n.min((index + 1) * STRIP);
            for (w, scratch) in [(g, &mut *gates), (u, &mut *ups)] {
                scratch.pack(w, columns.clone(), k);
                scratch.multiply(kernel, x, m, k);
            }
            act(gates.products.as_flattened_mut(), ups.products.as_flattened());
            // SAFETY: the first row of these columns, which lies in the output; strips write apart, each its
            // columns of all rows.
            unsafe {
                let out = Out { first: output.at(columns.start), stride: n };
                write_columns(&gates.products, columns.len(), out);
            }
        },
    );
    // SAFETY: the strips cover all columns, and each wrote them in all rows.
    unsafe { inner.set_len(m * n) };
    inner
}

#[cfg(test)]
mod tests {
    use super::super::{kernels, many_rows_with};
    use super::*;
    use crate::kernel::random::numbers;
    use crate::kernel::{gelu_tanh_gate, silu_gate};
    use crate::rng::Rng;

    #[test]
    fn gated_rows_have_the_bits_of_two_products_and_their_gate_on_every_kernel() {
        let mut rng = Rng::new(37);
        for (m, k, n) in [(1, 40, 16), (17, 65, 70), (24, 64, 96), (20, 7, 1), (13, 1033, 33)] {
            let x = numbers(&mut rng, m * k, 1.0);
            let (g, u) = (numbers(&mut rng, n * k, 1.0), numbers(&mut rng, n * k, 1.0));
            let (g, u) = (&g[..], &u[..]);
            for kernel in kernels() {
                for act in [silu_gate, gelu_tanh_gate] as [Gate; 2] {
                    let mut expected = many_rows_with(kernel, &x, &g, m, k);
                    act(&mut expected, &many_rows_with(kernel, &x, &u, m, k));
                    let found = gated_rows_with(kernel, &x, [&g, &u], [m, k], act);
                    assert_eq!(found, expected, "{} {m} {k} {n}", kernel.name);
                }
            }
        }
    }
}
