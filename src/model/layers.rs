//! The layers every decoder is made of besides its linear maps: normalisations and activations.

use candle_core::cpu::erf::erf_f32;
use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};

use super::spec::{Activation, NormKind};
use crate::attention::contiguous;
use crate::kernel::{self, Gate};

/// Whether our own kernels read this tensor: f32 on the CPU.
fn is_plain(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
}

/// A gate with `gelu(x) = x / 2 (1 + erf(x / sqrt(2)))`.
fn gelu_gate(gate: &mut [f32], up: &[f32]) {
    for (x, up) in gate.iter_mut().zip(up) {
        *x = *x * 0.5 * (1.0 + erf_f32(*x * std::f32::consts::FRAC_1_SQRT_2)) * up;
    }
}

/// `act(gate) * up`. Inference only: it has no backward pass.
struct Gated(Gate);

impl CustomOp2 for Gated {
    fn name(&self) -> &'static str {
        "gated"
    }

    fn cpu_fwd(
        &self,
        gate: &CpuStorage,
        gate_at: &Layout,
        up: &CpuStorage,
        up_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let gated = kernel::gated(self.0, contiguous(gate, gate_at)?, contiguous(up, up_at)?);
        Ok((CpuStorage::F32(gated), gate_at.shape().clone()))
    }
}

/// `x weight / sqrt(mean(x²) + eps)` over the last dimension. Inference only: it has no backward pass.
struct RmsNorm(f32);

impl CustomOp2 for RmsNorm {
    fn name(&self) -> &'static str {
        "rms-norm"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        weight: &CpuStorage,
        weight_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let normed = kernel::rms_norm(contiguous(x, x_at)?, contiguous(weight, weight_at)?, self.0);
        Ok((CpuStorage::F32(normed), x_at.shape().clone()))
    }
}

/// `x + y` of equal shapes. Inference only: it has no backward pass.
struct Sum;

impl CustomOp2 for Sum {
    fn name(&self) -> &'static str {
        "sum"
    }

    fn cpu_fwd(
        &self,
        x: &CpuStorage,
        x_at: &Layout,
        y: &CpuStorage,
        y_at: &Layout,
    ) -> Result<(CpuStorage, Shape)> {
        let sum = kernel::sum(contiguous(x, x_at)?, contiguous(y, y_at)?);
        Ok((CpuStorage::F32(sum), x_at.shape().clone()))
    }
}

/// `x + y` of equal shapes.
pub(super) fn sum(x: &Tensor, y: &Tensor) -> Result<Tensor> {
    if is_plain(x) { x.apply_op2_no_bwd(y, &Sum) } else { x + y }
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
            None if is_plain(&x) => x.apply_op2_no_bwd(&self.weight, &RmsNorm(self.eps as f32)),
            None => candle_nn::ops::rms_norm(&x, &self.weight, self.eps as f32),
            Some(bias) => candle_nn::ops::layer_norm(&x, &self.weight, bias, self.eps as f32),
        }
    }
}

impl Activation {
    /// The kernel that gates with it.
    pub(super) fn kernel(self) -> Gate {
        match self {
            Self::Silu => kernel::silu_gate,
            Self::Gelu => gelu_gate,
            Self::GeluTanh => kernel::gelu_tanh_gate,
        }
    }

    /// `act(gate) * up`.
    pub(crate) fn gate(self, gate: &Tensor, up: &Tensor) -> Result<Tensor> {
        if is_plain(gate) {
            gate.apply_op2_no_bwd(up, &Gated(self.kernel()))
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
