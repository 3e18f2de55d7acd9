//! The numbers of tensors, for the kernels.

use candle_core::{CpuStorage, Layout, Result, Storage, Tensor};

/// Hands over the numbers of a contiguous f32 tensor on the CPU.
pub(crate) fn with_f32<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        Storage::Cpu(storage) => Ok(read(contiguous(storage, layout)?)),
        _ => candle_core::bail!("a kernel of the CPU reads tensors on the CPU"),
    }
}

/// The numbers of a tensor, which must be contiguous and f32.
pub(crate) fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("a kernel needs contiguous tensors"),
    }
}

/// The f32 rows of a `[matrices, rows, d]` tensor whose matrices are contiguous but may stand apart.
pub(super) struct Rows<'a> {
    data: &'a [f32],
    stride: usize,
    len: usize,
}

impl Rows<'_> {
    /// The rows of one of them.
    pub(super) fn matrix(&self, index: usize) -> &[f32] {
        &self.data[index * self.stride..index * self.stride + self.len]
    }
}

/// Hands over the rows of such a tensor.
pub(super) fn with_rows<T>(tensor: &Tensor, read: impl FnOnce(&Rows<'_>) -> Result<T>) -> Result<T> {
    let (_, rows, d) = tensor.dims3()?;
    let (storage, layout) = tensor.storage_and_layout();
    match (&*storage, layout.stride()) {
        (Storage::Cpu(CpuStorage::F32(data)), &[stride, row, 1]) if row == d => {
            read(&Rows { data: &data[layout.start_offset()..], stride, len: rows * d })
        }
        _ => candle_core::bail!("fused attention reads f32 rows on the CPU"),
    }
}
