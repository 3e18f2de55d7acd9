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
