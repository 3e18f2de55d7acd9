//! Rows of 32 numbers that begin with a cache line, as an allocation of many numbers does not: a register of
//! 64 bytes that lies across two lines takes two reads.

use std::ops::{Deref, DerefMut};

/// Numbers in a row.
const NUMBERS: usize = 32;

/// Such rows; they are read and written as a slice of arrays.
#[derive(Debug, Clone, Default)]
pub(crate) struct Lines(Vec<Row>);

#[derive(Debug, Clone, Copy)]
#[repr(C, align(64))]
struct Row([f32; NUMBERS]);

const _: () = assert!(size_of::<Row>() == size_of::<[f32; NUMBERS]>(), "rows lie without gaps");

impl Lines {
    /// So many rows of zeros.
    pub(crate) fn zeros(count: usize) -> Self {
        Self(vec![Row([0.0; NUMBERS]); count])
    }

    /// Makes it so many rows; those that come are 0.
    pub(crate) fn resize(&mut self, count: usize) {
        self.0.resize(count, Row([0.0; NUMBERS]));
    }
}

impl Deref for Lines {
    type Target = [[f32; NUMBERS]];

    fn deref(&self) -> &Self::Target {
        // SAFETY: a row is its numbers and nothing else, so that rows are as many arrays.
        unsafe { std::slice::from_raw_parts(self.0.as_ptr().cast(), self.0.len()) }
    }
}

impl DerefMut for Lines {
    fn deref_mut(&mut self) -> &mut Self::Target {
        // SAFETY: as above.
        unsafe { std::slice::from_raw_parts_mut(self.0.as_mut_ptr().cast(), self.0.len()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_begin_with_a_cache_line_and_keep_their_numbers() {
        let mut lines = Lines::zeros(3);
        lines[1] = [2.0; NUMBERS];
        lines.resize(70);
        assert_eq!((lines.len(), lines[1], lines[69]), (70, [2.0; NUMBERS], [0.0; NUMBERS]));
        assert!(lines.iter().all(|row| row.as_ptr().addr().is_multiple_of(64)));
        assert!(Lines::default().is_empty());
    }
}
