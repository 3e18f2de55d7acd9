//! Tables of vectors that are looked up by the ids of tokens.

use std::sync::Arc;

use candle_core::{DType, Device, Result, Tensor};
use half::{bf16, f16};

use crate::spec::Dtype;
use crate::weights::{Blocks, Matrix};

/// A table `[ids, width]` in the precision of the weights.
#[derive(Debug)]
pub(super) enum Table {
    /// On any device.
    Numbers(Tensor), // [ids, width]
    /// As a file has it; rows are widened where they are asked for.
    Blocks(Arc<Blocks>, Dtype),
}

impl Table {
    /// The table that `matrix` holds, kept as `dtype`.
    ///
    /// # Errors
    /// When the device is out of memory.
    pub(super) fn new(matrix: &Matrix, dtype: Dtype) -> Result<Self> {
        Ok(match matrix {
            Matrix::Numbers(numbers) => Self::Numbers(numbers.to_dtype(dtype.tensor())?),
            Matrix::Blocks(blocks) => Self::Blocks(blocks.clone(), dtype),
        })
    }

    /// The vectors of `ids` in f32: `[ids, width]`.
    ///
    /// # Errors
    /// When there is no vector for an id.
    pub(super) fn rows(&self, ids: &[u32], device: &Device) -> Result<Tensor> {
        let (blocks, dtype) = match self {
            Self::Numbers(table) => {
                let ids = Tensor::new(ids, device)?; // [t]
                return table.index_select(&ids, 0)?.to_dtype(DType::F32); // [t, width]
            }
            Self::Blocks(blocks, dtype) => (blocks, *dtype),
        };
        let [count, width] = blocks.shape();
        let mut numbers = vec![0f32; ids.len() * width];
        for (&id, row) in ids.iter().zip(numbers.chunks_exact_mut(width)) {
            let id = id as usize;
            if id >= count {
                candle_core::bail!("token {id} has no vector: there are {count}");
            }
            blocks.widen(id..id + 1, row);
        }
        match dtype {
            Dtype::F32 | Dtype::Bf16x2 | Dtype::Int8 => {}
            Dtype::Bf16 => numbers.iter_mut().for_each(|x| *x = bf16::from_f32(*x).to_f32()),
            Dtype::F16 => numbers.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32()),
        }
        Tensor::from_vec(numbers, (ids.len(), width), device)
    }
}
