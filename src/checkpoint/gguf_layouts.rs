//! What a tensor of a GGUF file goes through to become the one that a decoder reads.

use candle_core::Tensor;

use crate::error::Result;

/// A change of layout or of numbers. One that does not fit a tensor leaves its shape alone, which then is
/// reported as the wrong one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Change {
    /// Rows `[heads, d/2, 2]`, in the order of interleaved rotary positions, as `[heads, 2, d/2]`.
    Halves {
        /// Heads.
        heads: usize,
    },
    /// All numbers as one vector.
    Flat,
    /// A matrix of one column as a vector.
    Column,
    /// A vector as a matrix of one row.
    OneRow,
    /// `[channels, taps]` of a convolution, or `[1, channels, 1, taps]`, as `[channels, 1, taps]`.
    OneInput,
    /// `ln(-a)` of every number, which is below 0.
    LogOfMinus,
    /// Of `[heads, parts]` pieces of rows, those of one part.
    PartOfHeads {
        /// Heads.
        heads: usize,
        /// Pieces of a head, of equal size.
        parts: usize,
        /// Which of them.
        part: usize,
    },
    /// Rows (or columns) of value heads, which files that repeat key heads in turns hold as `[per_key, keys,
    /// width]`, as `[keys, per_key, width]`.
    ByKey {
        /// Key heads.
        keys: usize,
        /// Whether columns are meant.
        columns: bool,
        /// Value heads.
        values: usize,
    },
}

use Change::{ByKey, Column, Flat, Halves, LogOfMinus, OneInput, OneRow, PartOfHeads};

impl Change {
    /// The shape that a tensor of `shape` has after it.
    pub(super) fn shape(self, mut shape: Vec<usize>) -> Vec<usize> {
        match self {
            Halves { .. } | LogOfMinus | ByKey { .. } => {}
            Flat => shape = vec![shape.iter().product()],
            Column if shape.len() == 2 && shape[1] == 1 => shape.truncate(1),
            OneRow if shape.len() == 1 => shape.insert(0, 1),
            OneInput if shape.len() == 2 => shape.insert(1, 1),
            OneInput if shape.len() == 4 && shape[0] == 1 => drop(shape.remove(0)),
            PartOfHeads { heads, parts, .. } => {
                if let Some(rows) = shape.first_mut().filter(|rows| rows.is_multiple_of(heads * parts)) {
                    *rows /= parts;
                }
            }
            Column | OneRow | OneInput => {}
        }
        shape
    }

    /// Applies it to a tensor whose shape fits.
    pub(super) fn apply(self, tensor: &Tensor) -> Result<Tensor> {
        let shape = self.shape(tensor.dims().to_vec());
        Ok(match self {
            Flat | Column | OneRow | OneInput => tensor.reshape(shape)?,
            Halves { heads } => {
                let split = tensor.reshape((heads, shape[0] / heads / 2, 2, ()))?; // [heads, d/2, 2, in]
                split.transpose(1, 2)?.contiguous()?.reshape(shape)?
            }
            LogOfMinus => tensor.neg()?.log()?,
            PartOfHeads { heads, parts, part } => {
                let split = tensor.reshape((heads, parts, shape[0] / heads, ()))?; // [heads, parts, d, in]
                split.narrow(1, part, 1)?.contiguous()?.reshape(shape)?
            }
            ByKey { keys, values, columns: false } => {
                let split = tensor.reshape((values / keys, keys, shape[0] / values, ()))?;
                split.transpose(0, 1)?.contiguous()?.reshape(shape)? // [keys * per_key * width, in]
            }
            ByKey { keys, values, columns: true } => {
                let split = tensor.reshape((shape[0], values / keys, keys, ()))?;
                split.transpose(1, 2)?.contiguous()?.reshape(shape)? // [out, keys * per_key * width]
            }
        })
    }
}

#[cfg(test)]
mod tests {
    use candle_core::Device;

    use super::*;

    fn changed(change: Change, rows: &[&[f32]]) -> Vec<Vec<f32>> {
        let numbers: Vec<f32> = rows.concat();
        let shape = (rows.len(), rows[0].len());
        let tensor = Tensor::from_vec(numbers, shape, &Device::Cpu).unwrap();
        let changed = change.apply(&tensor).unwrap();
        assert_eq!(changed.dims(), change.shape(tensor.dims().to_vec()));
        let width = *changed.dims().last().unwrap();
        changed.reshape(((), width)).unwrap().to_vec2().unwrap()
    }

    #[test]
    fn rows_of_heads_are_put_into_the_order_that_a_decoder_reads() {
        let rows: Vec<[f32; 1]> = (0..8).map(|row| [row as f32]).collect();
        let rows: Vec<&[f32]> = rows.iter().map(|row| &row[..]).collect();
        let order = |change| changed(change, &rows).concat();
        assert_eq!(order(Halves { heads: 2 }), [0.0, 2.0, 1.0, 3.0, 4.0, 6.0, 5.0, 7.0]);
        assert_eq!(order(PartOfHeads { heads: 2, parts: 2, part: 0 }), [0.0, 1.0, 4.0, 5.0]);
        assert_eq!(order(PartOfHeads { heads: 2, parts: 2, part: 1 }), [2.0, 3.0, 6.0, 7.0]);
        // Values 0 to 3 of keys 0, 1, 0, 1, each of two rows.
        let by_key = ByKey { keys: 2, values: 4, columns: false };
        assert_eq!(order(by_key), [0.0, 1.0, 4.0, 5.0, 2.0, 3.0, 6.0, 7.0]);
        let by_key = ByKey { keys: 2, values: 4, columns: true };
        assert_eq!(changed(by_key, &[&[0.0, 1.0, 2.0, 3.0]]), [[0.0, 2.0, 1.0, 3.0]]);
    }

    #[test]
    fn numbers_and_shapes_are_those_that_a_decoder_reads() {
        assert_eq!(changed(Flat, &[&[1.0], &[2.0]]), [[1.0, 2.0]]);
        assert_eq!(changed(OneInput, &[&[1.0, 2.0], &[3.0, 4.0]]), [[1.0, 2.0], [3.0, 4.0]]);
        assert_eq!(OneInput.shape(vec![2, 4]), [2, 1, 4]);
        assert_eq!(OneInput.shape(vec![1, 2, 1, 4]), [2, 1, 4]);
        assert_eq!(OneInput.shape(vec![2, 2, 1, 4]), [2, 2, 1, 4]);
        assert_eq!((Column.shape(vec![5, 1]), Column.shape(vec![5, 2])), (vec![5], vec![5, 2]));
        assert_eq!((OneRow.shape(vec![5]), OneRow.shape(vec![1, 5])), (vec![1, 5], vec![1, 5]));
        let log = changed(LogOfMinus, &[&[-1.0, -std::f32::consts::E]]);
        assert!((log[0][0]).abs() < 1e-6 && (log[0][1] - 1.0).abs() < 1e-6);
        // What does not fit keeps its shape.
        assert_eq!(PartOfHeads { heads: 2, parts: 2, part: 0 }.shape(vec![6, 3]), [6, 3]);
    }
}
