//! The layers every decoder is made of: linear maps, normalisations, activations.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};

use super::spec::{Activation, NormKind};
use crate::kernel;

/// `y = x Wᵀ + b`.
#[derive(Debug, Clone)]
pub(crate) struct Linear {
    weight: Tensor,       // [out, in]
    bias: Option<Tensor>, // [out]
}

impl Linear {
    pub(crate) fn new(weight: Tensor, bias: Option<Tensor>) -> Self {
        Self { weight, bias }
    }

    /// `x` `[t, in]` to `[t, out]`. Rank 2 only: candle 0.11.1 multiplies transposed views of rank 3 wrongly.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous()?;
        let y = match x.dim(0)? {
            1..=kernel::MOST_ROWS if is_plain(&x) => x.apply_op2_no_bwd(&self.weight, &FewRows)?,
            _ => x.matmul(&self.weight.t()?)?,
        }; // [t, out]
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// Whether our own kernels read this tensor: f32 on the CPU.
fn is_plain(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// `x [m, k] · wᵀ` for `w [n, k]` with few rows `m`. Inference only: it has no backward pass.
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
        let ((m, k), (n, _)) = (x_at.shape().dims2()?, w_at.shape().dims2()?);
        let product = kernel::few_rows(contiguous(x, x_at)?, contiguous(w, w_at)?, m, k);
        Ok((CpuStorage::F32(product), (m, n).into()))
    }
}

/// `silu(gate) * up`. Inference only: it has no backward pass.
struct SiluGate;

impl CustomOp2 for SiluGate {
    fn name(&self) -> &'static str {
        "silu-gate"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_at: &Layout,
        up: &CpuStorage,
        up_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let mut gated = contiguous(gate, gate_at)?.to_vec();
        kernel::silu_gate(&mut gated, contiguous(up, up_at)?);
        Ok((CpuStorage::F32(gated), gate_at.shape().clone()))
    }
}

fn contiguous<'a>(storage: &'a CpuStorage, layout: &Layout) -> Result<&'a [f32]> {
    match layout.contiguous_offsets() {
        Some((start, end)) => Ok(&storage.as_slice::<f32>()?[start..end]),
        None => candle_core::bail!("a kernel needs contiguous tensors"),
    }
}

/// A normalisation over the last dimension (see [`NormKind`]).
#[derive(Debug, Clone)]
pub(crate) struct Norm {
    weight: Tensor,       // [width]
    bias: Option<Tensor>, // [width]; a LayerNorm has one, if only of zeros
    eps: f64,
}

impl Norm {
    /// `weight` and `bias` are the stored tensors; a bias is used by [`NormKind::LayerWithBias`] alone.
    pub(crate) fn new(kind: NormKind, weight: Tensor, bias: Option<Tensor>, eps: f64) -> Result<Self> {
        Ok(match kind {
            NormKind::Rms => Self { weight, bias: None, eps },
            NormKind::RmsPlusOne => Self { weight: (weight + 1.0)?, bias: None, eps },
            NormKind::Layer => Self { bias: Some(weight.zeros_like()?), weight, eps },
            NormKind::LayerWithBias => {
                Self { bias: Some(bias.map_or_else(|| weight.zeros_like(), Ok)?), weight, eps }
            }
        })
    }

    /// `x` `[.., width]` to the same shape.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        let x = x.contiguous()?;
        match &self.bias {
            None => candle_nn::ops::rms_norm(&x, &self.weight, self.eps as f32),
            Some(bias) => candle_nn::ops::layer_norm(&x, &self.weight, bias, self.eps as f32),
        }
    }
}

impl Activation {
    /// `act(gate) * up`.
    pub(crate) fn gate(self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        if self == Self::Silu && is_plain(gate) {
            gate.apply_op2_no_bwd(up, &SiluGate)
        } else {
            self.forward(gate)? * up
        }
    }

    /// Applies it to every number.
    pub(crate) fn forward(self, x: &Tensor) -> Result<Tensor> {
        match self {
            Self::Silu => x.silu(),
            Self::Gelu => x.gelu_erf(),
            Self::GeluTanh => x.gelu(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use candle_core::Device;

    /// candle 0.11.1 gives wrong numbers for a transposed view times a broadcast weight; rank 2 must stay right.
    #[test]
    fn a_transposed_view_multiplies_rightly() {
        let x = Tensor::arange(0f32, 12.0, &Device::Cpu).unwrap().reshape((3, 4)).unwrap().t().unwrap(); // [4, 3]
        let weight = Tensor::arange(0f32, 6.0, &Device::Cpu).unwrap().reshape((2, 3)).unwrap();
        let y = Linear::new(weight, None).forward(&x).unwrap().to_vec2::<f32>().unwrap();
        assert_eq!(y[1], [1.0 * 0.0 + 5.0 * 1.0 + 9.0 * 2.0, 1.0 * 3.0 + 5.0 * 4.0 + 9.0 * 5.0]);
    }
}
