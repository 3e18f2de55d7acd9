//! Matrix products of f32 on the thread that asks for them.

/// A matrix in a slice: element `(i, j)` is at `i * row_stride + j * column_stride`.
#[derive(Clone, Copy)]
pub(crate) struct Matrix<'a> {
    data: &'a [f32],
    rows: usize,
    columns: usize,
    row_stride: usize,
    column_stride: usize,
}

impl<'a> Matrix<'a> {
    /// `rows` rows of `columns` numbers, one behind the other.
    pub(crate) fn new(data: &'a [f32], rows: usize, columns: usize) -> Self {
        Self::strided(data, rows, columns, columns)
    }

    /// The same with `row_stride` numbers from one row to the next.
    pub(crate) fn strided(data: &'a [f32], rows: usize, columns: usize, row_stride: usize) -> Self {
        Self { data, rows, columns, row_stride, column_stride: 1 }
    }

    /// The transposed matrix.
    pub(crate) fn t(self) -> Self {
        Self {
            rows: self.columns,
            columns: self.rows,
            row_stride: self.column_stride,
            column_stride: self.row_stride,
            ..self
        }
    }
}

/// Whether a product takes the place of what is there or is added to it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Into {
    /// `c = a b`.
    Write,
    /// `c += a b`.
    Add,
}

/// `a b` into the rows of `c`, `row_stride` numbers from one to the next.
///
/// # Panics
/// When sizes do not fit together.
pub(crate) fn multiply(a: Matrix<'_>, b: Matrix<'_>, into: Into, c: &mut [f32], row_stride: usize) {
    let (m, k, n) = (a.rows, a.columns, b.columns);
    let last = |m: Matrix<'_>| (m.rows - 1) * m.row_stride + (m.columns - 1) * m.column_stride;
    assert!(m > 0 && k > 0 && n > 0 && b.rows == k, "a product of {m} x {k} and {} x {n}", b.rows);
    assert!(last(a) < a.data.len() && last(b) < b.data.len() && (m - 1) * row_stride + n <= c.len());
    let stride = |stride: usize| stride as isize;
    // SAFETY: every element of the three matrices lies within its slice, by the assertions above.
    unsafe {
        gemm::gemm(
            m,
            n,
            k,
            c.as_mut_ptr(),
            1,
            stride(row_stride),
            into == Into::Add,
            a.data.as_ptr(),
            stride(a.column_stride),
            stride(a.row_stride),
            b.data.as_ptr(),
            stride(b.column_stride),
            stride(b.row_stride),
            1.0,
            1.0,
            false,
            false,
            false,
            gemm::Parallelism::None,
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn products_of_transposed_and_strided_matrices_are_right() {
        let (a, b) = ([1.0, 2.0, 3.0, 4.0, 5.0, 6.0], [1.0, 0.0, 2.0, 9.0, 0.0, 1.0, 1.0, 9.0]);
        let (a, b) = (Matrix::new(&a, 2, 3), Matrix::strided(&b, 2, 3, 4));
        let mut c = [0.0; 6];
        multiply(a, b.t(), Into::Write, &mut c, 3);
        assert_eq!(c, [7.0, 5.0, 0.0, 16.0, 11.0, 0.0]);
        let mut c = [1.0; 9];
        multiply(a.t(), b, Into::Add, &mut c, 3);
        assert_eq!(c, [2.0, 5.0, 7.0, 3.0, 6.0, 10.0, 4.0, 7.0, 13.0]);
    }
}
