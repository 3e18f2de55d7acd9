//! Linear maps, in the precision of their weights.

use std::sync::Arc;

use candle_core::{CpuStorage, CustomOp1, CustomOp2, DType, Layout, Result, Shape, Tensor};

use super::dtype::Dtype;
use crate::checkpoint::Weights;
use crate::kernel::{self, bf16};

/// `y = x Wᵀ + b`, with `x`, `b` and `y` in f32.
#[derive(Debug, Clone)]
pub struct Linear {
    weight: Weight,
    bias: Option<Tensor>, // [out]
}

#[derive(Debug, Clone)]
enum Weight {
    /// `[out, in]`, in any dtype and on any device.
    Tensor(Tensor),
    /// Packed for the bf16 kernels of the CPU.
    Packed(Arc<bf16::Matrix>),
}

impl Linear {
    /// A map with `weight` `[out, in]` and `bias` `[out]`, both in f32; the weight is kept as `dtype`.
    ///
    /// # Errors
    /// When the device is out of memory.
    pub fn new(weight: &Tensor, bias: Option<Tensor>, dtype: Dtype) -> Result<Self> {
        let weight = match dtype {
            Dtype::Bf16 if weight.device().is_cpu() => {
                let (n, k) = weight.dims2()?;
                Weight::Packed(Arc::new(with_f32(weight, |w| bf16::Matrix::round(w, n, k))?))
            }
            _ => Weight::Tensor(weight.to_dtype(dtype.tensor())?),
        };
        Ok(Self { weight, bias })
    }

    /// The map stored here, of `shape` `[out, in]`.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub(crate) fn load(
        weights: &Weights<'_>,
        shape: [usize; 2],
        with_bias: bool,
    ) -> crate::error::Result<Self> {
        let bias = if with_bias { Some(weights.get("bias", &shape[..1])?) } else { None };
        Ok(Self::new(&weights.get("weight", &shape)?, bias, weights.dtype())?)
    }

    /// `x` `[t, in]` to `[t, out]`. Rank 2 only: candle 0.11.1 multiplies transposed views of rank 3 wrongly.
    ///
    /// # Errors
    /// When shapes do not fit together.
    pub fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous()?;
        let y = match &self.weight {
            Weight::Packed(matrix) => x.apply_op1_no_bwd(&PackedMatmul(matrix))?,
            Weight::Tensor(weight) if !x.device().is_cpu() => {
                x.to_dtype(weight.dtype())?.matmul(&weight.t()?)?.to_dtype(DType::F32)?
            }
            Weight::Tensor(weight) if (1..=kernel::MOST_ROWS).contains(&x.dim(0)?) => {
                x.apply_op2_no_bwd(weight, &FewRows)?
            }
            Weight::Tensor(weight) if weight.dtype() == DType::F16 => {
                x.matmul(&weight.apply_op1_no_bwd(&Widen)?.t()?)?
            }
            Weight::Tensor(weight) => x.matmul(&weight.t()?)?,
        }; // [t, out]
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// Hands over the numbers of a contiguous f32 tensor on the CPU.
fn with_f32<T>(tensor: &Tensor, read: impl FnOnce(&[f32]) -> T) -> Result<T> {
    let tensor = tensor.contiguous()?;
    let (storage, layout) = tensor.storage_and_layout();
    match &*storage {
        candle_core::Storage::Cpu(storage) => Ok(read(contiguous(storage, layout)?)),
        _ => candle_core::bail!("a kernel of the CPU reads tensors on the CPU"),
    }
}

/// The numbers of a tensor, which must be contiguous and f32.
pub(super) fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("a kernel needs contiguous tensors"),
    }
}

/// `x [m, k] · wᵀ` for packed `w [n, k]`. Inference only: it has no backward pass.
struct PackedMatmul<'a>(&'a bf16::Matrix);

impl CustomOp1 for PackedMatmul<'_> {
    fn name(&self) -> &'static str {
        "packed-matmul"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_at: &Layout) -> Result<(CpuStorage, Shape)> {
        let (m, k) = x_at.shape().dims2()?;
        if k != self.0.k() {
            candle_core::bail!("{k} numbers a row meet a matrix for {}", self.0.k());
        }
        let product = bf16::multiply(&bf16::Rows::round(contiguous(x, x_at)?, m, k), self.0);
        Ok((CpuStorage::F32(product), (m, self.0.n()).into()))
    }
}

/// `x [m, k] · wᵀ` for `w [n, k]` in f32 or f16 with few rows `m`. Inference only: it has no backward pass.
struct FewRows;

impl CustomOp2 for FewRows {
    fn name(&self) -> &'static str {
        "few-rows-matmul"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        w: &CpuStorage,
        w_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let ((m, k), (n, w_k)) = (x_at.shape().dims2()?, w_at.shape().dims2()?);
        let Some((start, end)) = w_at.contiguous_offsets().filter(|_| k == w_k) else {
            candle_core::bail!("{k} numbers a row meet a matrix for {w_k}");
        };
        let x = contiguous(x, x_at)?;
        let product = match w {
            CpuStorage::F16(w) => kernel::few_rows(x, &w[start..end], m, k),
            w => kernel::few_rows(x, &w.as_slice::<f32>()?[start..end], m, k),
        };
        Ok((CpuStorage::F32(product), (m, n).into()))
    }
}

/// f16 to f32. Inference only: it has no backward pass.
struct Widen;

impl CustomOp1 for Widen {
    fn name(&self) -> &'static str {
        "widen"
    }

    fn cpu_fwd(&self, x: &CpuStorage, x_at: &Layout) -> Result<(CpuStorage, Shape)> {
        let Some((start, end)) = x_at.contiguous_offsets() else {
            candle_core::bail!("a kernel needs contiguous tensors");
        };
        let widened = kernel::widen(&x.as_slice::<half::f16>()?[start..end]);
        Ok((CpuStorage::F32(widened), x_at.shape().clone()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::kernel::random::numbers;
    use crate::model::dtype::DTYPES;
    use crate::rng::Rng;
    use candle_core::Device;

    /// candle 0.11.1 gives wrong numbers for a transposed view times a broadcast weight; rank 2 must stay right.
    #[test]
    fn a_transposed_view_multiplies_rightly() {
        let x = Tensor::arange(0f32, 12.0, &Device::Cpu).unwrap().reshape((3, 4)).unwrap().t().unwrap(); // [4, 3]
        let weight = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
        for entry in DTYPES {
            let linear = Linear::new(&weight, None, entry.value).unwrap();
            let y = linear.forward(&x).unwrap().to_vec2::<f32>().unwrap();
            let expected = [1.0 * 0.0 + 5.0 * 1.0 + 9.0 * 2.0, 1.0 * 3.0 + 5.0 * 4.0 + 9.0 * 5.0];
            assert_eq!(y[1], expected, "{}", entry.name);
        }
    }

    #[test]
    fn every_dtype_multiplies_what_it_has_rounded_whatever_the_number_of_rows() {
        let mut rng = Rng::new(23);
        let (k, n) = (70, 45);
        let weight = Tensor::from_vec(numbers(&mut rng, n * k, 1.0), (n, k), &Device::Cpu).unwrap();
        let bias = Tensor::from_vec(numbers(&mut rng, n, 1.0), n, &Device::Cpu).unwrap();
        for entry in DTYPES {
            let linear = Linear::new(&weight, Some(bias.clone()), entry.value).unwrap();
            for m in [1, kernel::MOST_ROWS, kernel::MOST_ROWS + 1, 50] {
                let x = Tensor::from_vec(numbers(&mut rng, m * k, 1.0), (m, k), &Device::Cpu).unwrap();
                let round =
                    |tensor: &Tensor, dtype| tensor.to_dtype(dtype).unwrap().to_dtype(DType::F64).unwrap();
                let inputs = if entry.value == Dtype::Bf16 { DType::BF16 } else { DType::F32 };
                let rounded = round(&weight, entry.value.tensor()).t().unwrap();
                let exact = round(&x, inputs).matmul(&rounded).unwrap();
                let exact = exact.broadcast_add(&round(&bias, DType::F32)).unwrap();
                let found = linear.forward(&x).unwrap().to_dtype(DType::F64).unwrap();
                let off = (found - exact).unwrap().abs().unwrap().max_all().unwrap();
                let off = off.to_scalar::<f64>().unwrap();
                assert!(off < 1e-5, "{} with {m} rows: off by {off}", entry.name);
            }
        }
    }

    #[test]
    fn rows_of_another_width_are_an_error() {
        let weight = Tensor::zeros((3, 4), DType::F32, &Device::Cpu).unwrap();
        let x = Tensor::zeros((2, 5), DType::F32, &Device::Cpu).unwrap();
        for entry in DTYPES {
            assert!(Linear::new(&weight, None, entry.value).unwrap().forward(&x).is_err(), "{}", entry.name);
        }
    }
}
