//! What rules have learned to read from the rows that queries are made of.

use crate::kernel::gemm::{Into, Matrix, multiply};

/// A map `u = W x + b` of a row `x`, one number for each query head.
#[derive(Debug, Clone, PartialEq)]
pub struct RowMap {
    /// `W`, `[heads, hidden]`.
    pub weight: Vec<f32>,
    /// `b`, `[heads]`.
    pub bias: Vec<f32>,
}

impl RowMap {
    /// `u` `[heads][rows]` of the rows `x` `[rows, hidden]`.
    pub(super) fn read(&self, x: &[f32], rows: usize) -> Vec<Vec<f32>> {
        if rows == 0 {
            return vec![Vec::new(); self.bias.len()];
        }
        let (heads, hidden) = (self.bias.len(), x.len() / rows);
        let mut read = vec![0f32; heads * rows]; // [heads, rows]
        let (weight, x) = (Matrix::new(&self.weight, heads, hidden), Matrix::new(x, rows, hidden));
        multiply(weight, x.t(), Into::Write, &mut read, rows);
        let with_bias = |(of_head, b): (&[f32], &f32)| of_head.iter().map(|u| u + b).collect();
        read.chunks_exact(rows).zip(&self.bias).map(with_bias).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_head_reads_every_row() {
        let map = RowMap { weight: vec![1.0, 2.0, 0.0, -1.0], bias: vec![0.5, 0.0] };
        let x = [1.0, 1.0, 3.0, 0.0, 0.0, 4.0];
        assert_eq!(map.read(&x, 3), [[3.5, 3.5, 8.5], [-1.0, 0.0, -4.0]]);
        assert_eq!(map.read(&[], 0), [[0.0f32; 0]; 2]);
    }
}
