//! The layers every decoder is made of besides its linear maps: normalisations and activations.

use candle_core::{CpuStorage, CustomOp2, DType, Layout, Result, Shape, Tensor};

use super::linear::contiguous;
use super::spec::{Activation, NormKind};
use crate::kernel;

/// Whether our own kernels read this tensor: f32 on the CPU.
fn is_plain(x: &Tensor) -> bool {
    x.device().is_cpu() && x.dtype() == DType::F32
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
