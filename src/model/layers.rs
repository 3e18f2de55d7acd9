//! The two layers every decoder is made of: linear maps and RMSNorm.

use candle_core::{Result, Tensor};

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
        let y = x.contiguous()?.matmul(&self.weight.t()?)?; // [t, out]
        match &self.bias {
            Some(bias) => y.broadcast_add(bias),
            None => Ok(y),
        }
    }
}

/// `y = x / sqrt(mean(x²) + eps) * w` (arXiv 1910.07467).
#[derive(Debug, Clone)]
pub(crate) struct RmsNorm {
    weight: Tensor, // [hidden]
    eps: f64,
}

impl RmsNorm {
    pub(crate) fn new(weight: Tensor, eps: f64) -> Self {
        Self { weight, eps }
    }

    /// `x` `[t, hidden]` to `[t, hidden]`.
    pub(crate) fn forward(&self, x: &Tensor) -> Result<Tensor> {
        candle_nn::ops::rms_norm(&x.contiguous()?, &self.weight, self.eps as f32)
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
