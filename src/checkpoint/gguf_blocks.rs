//! Matrices of a GGUF file that can be kept in their blocks.
//!
//! A row of a matrix is whole blocks, so rows can be left out and put into another order as they stand. What
//! changes numbers, or the order within a row, needs them expanded.

use std::ops::Range;

use candle_core::{Device, Tensor};

use super::gguf_layouts::Change;
use super::gguf_tensors::GgufTensors;
use crate::error::Result;
use crate::kernel::ggml::TensorType;
use crate::weights::Blocks;

/// Where the rows of a matrix lie.
pub(super) struct StoredRows {
    stored: String,
    kind: &'static TensorType,
    /// The rows that are read, of those of all matrices of a stack.
    rows: Range<usize>,
    /// Their order in the matrix, counted from the first; none where it is that of the file.
    order: Option<Vec<u32>>,
    /// `[n, k]`.
    shape: [usize; 2],
    factor: Option<f32>,
}

impl GgufTensors {
    /// The rows of the matrix that Llama would call `name`, where it can be kept as it is stored.
    pub(super) fn stored_rows(&self, name: &str) -> Result<Option<StoredRows>> {
        if self.keys_and_values(name).is_some() {
            return Ok(None);
        }
        let Some(place) = self.place(name) else { return Ok(None) };
        let (Some(kind), Some(stored)) = (self.file.kind(&place.stored), self.file.shape(&place.stored))
        else {
            return Ok(None);
        };
        let (first, all, k) = match (&stored[..], place.index) {
            (&[all, k], None) => (0, all, k),
            (&[count, all, k], Some(index)) if index < count => (index * all, all, k),
            _ => return Ok(None),
        };
        let rows = place.rows.clone().unwrap_or(0..all);
        if rows.start >= rows.end || rows.end > all || kind.row_bytes(k).is_none() {
            return Ok(None);
        }
        let Some(order) = order(rows.len(), &place.changes)? else { return Ok(None) };
        let shape = [order.as_ref().map_or(rows.len(), Vec::len), k];
        let rows = first + rows.start..first + rows.end;
        let factor = self.factor(&place)?;
        Ok(Some(StoredRows { stored: place.stored, kind, rows, order, shape, factor }))
    }

    /// The blocks of these rows: those of the file where they stand in its order.
    pub(super) fn read_stored_rows(&self, of: StoredRows) -> Result<Option<Blocks>> {
        let Some(row) = of.kind.row_bytes(of.shape[1]) else { return Ok(None) };
        let Some(bytes) = self.file.read_bytes(&of.stored, of.rows.start * row..of.rows.end * row)? else {
            return Ok(None);
        };
        let bytes = match of.order {
            None => bytes,
            Some(order) => order.iter().flat_map(|&at| &bytes[at as usize * row..][..row]).copied().collect(),
        };
        Ok(Blocks::new(of.kind, of.shape, bytes, of.factor))
    }
}

impl StoredRows {
    /// Bytes of the blocks.
    pub(super) fn bytes(&self) -> Option<usize> {
        self.kind.row_bytes(self.shape[1])?.checked_mul(self.shape[0])
    }
}

/// The order that `changes` put so many rows into: `None` where they change more than that, and an order of
/// `None` where there are none.
#[allow(clippy::option_option, reason = "no change is not an order that cannot be told")]
fn order(rows: usize, changes: &[Change]) -> Result<Option<Option<Vec<u32>>>> {
    if changes.is_empty() {
        return Ok(Some(None));
    }
    let of_rows = |change: &Change| match *change {
        Change::Halves { heads } => rows.is_multiple_of(2 * heads.max(1)),
        Change::PartOfHeads { heads, parts, .. } => rows.is_multiple_of(heads * parts),
        Change::ByKey { columns, values, .. } => !columns && rows.is_multiple_of(values.max(1)),
        _ => false,
    };
    let (Ok(count), [change]) = (u32::try_from(rows), changes) else { return Ok(None) };
    if !of_rows(change) {
        return Ok(None);
    }
    let numbers = Tensor::arange(0, count, &Device::Cpu)?.reshape((rows, 1))?; // [rows, 1]
    Ok(Some(Some(change.apply(&numbers)?.flatten_all()?.to_vec1()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_heads_are_put_into_order_and_other_changes_need_numbers() {
        assert_eq!(order(4, &[]).unwrap(), Some(None));
        let halves = Change::Halves { heads: 2 };
        assert_eq!(order(8, &[halves]).unwrap(), Some(Some(vec![0, 2, 1, 3, 4, 6, 5, 7])));
        let part = Change::PartOfHeads { heads: 2, parts: 2, part: 1 };
        assert_eq!(order(8, &[part]).unwrap(), Some(Some(vec![2, 3, 6, 7])));
        let by_key = |columns| Change::ByKey { keys: 2, values: 4, columns };
        assert_eq!(order(4, &[by_key(false)]).unwrap(), Some(Some(vec![0, 2, 1, 3])));
        for changes in [&[by_key(true)][..], &[Change::LogOfMinus], &[Change::Flat], &[halves, part]] {
            assert_eq!(order(8, changes).unwrap(), None, "{changes:?}");
        }
        assert_eq!(order(6, &[halves]).unwrap(), None);
    }
}
