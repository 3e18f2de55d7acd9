//! The recurrent block of Griffin (arXiv 2402.19427), as RecurrentGemma has it.
//!
//! With `x` the normed row of a token:
//!
//! ```text
//! u = conv(W_x x + b_x) + b;   r = sigmoid(blocks_r u + b_r);   i = sigmoid(blocks_i u + b_i)
//! h = RG-LRU(u, r, i);         out = W_out (h act(W_y x + b_y)) + b_out
//! ```
//!
//! The gates are block-diagonal maps. The recurrence is in `kernel/scan/gated_unit.rs`.

use candle_core::{Device, Result, Tensor};

use super::conv::CausalConv;
use super::{RecurrentState, back_from_cpu, numbers, on_cpu};
use crate::attention::with_f32;
use crate::kernel::scan::{GatedUnit, gated_unit, softplus};
use crate::model::linear::{Input, Linear};
use crate::model::spent::Spent;
use crate::spec::GatedUnitSpec;
use crate::weights::Weights;

/// The mixer with its weights.
#[derive(Debug)]
pub struct RgLru {
    spec: GatedUnitSpec,
    linear_x: Linear, // [width, hidden]
    linear_y: Linear, // [width, hidden]
    conv: CausalConv,
    input_gate: BlockMap,
    recurrent_gate: BlockMap,
    log_decay: Vec<f32>, // [width], -8 softplus(Λ)
    linear_out: Linear,  // [hidden, width]
}

/// A map that takes each block of channels to itself.
#[derive(Debug)]
struct BlockMap {
    weight: Tensor, // [blocks, in, out]
    bias: Tensor,   // [blocks, 1, out]
}

impl BlockMap {
    fn load(weights: &Weights<'_>, gate: &str, spec: &GatedUnitSpec) -> crate::error::Result<Self> {
        let (blocks, width) = (spec.num_attention_heads, spec.block_width());
        let weight = weights.get(&format!("{gate}_weight"), &[blocks, width, width])?;
        let bias = weights.get(&format!("{gate}_bias"), &[blocks, width])?;
        Ok(Self { weight: on_cpu(&weight)?, bias: on_cpu(&bias)?.unsqueeze(1)? })
    }

    /// `sigmoid(W x + b)` of `x` `[t, width]` on the CPU.
    fn gate(&self, x: &Tensor) -> Result<Tensor> {
        let (t, width) = x.dims2()?;
        let blocks = x.reshape((t, self.weight.dim(0)?, ()))?; // [t, blocks, in]
        let blocks = blocks.transpose(0, 1)?.contiguous()?; // [blocks, t, in]
        let mapped = blocks.matmul(&self.weight)?.broadcast_add(&self.bias)?; // [blocks, t, out]
        let mapped = mapped.transpose(0, 1)?.contiguous()?.reshape((t, width))?; // [t, width]
        candle_nn::ops::sigmoid(&mapped)
    }
}

impl RgLru {
    /// The mixer stored in the layer `weights`.
    pub(super) fn load(
        spec: &GatedUnitSpec,
        hidden: usize,
        weights: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let weights = weights.pp("temporal_block");
        let (width, unit) = (spec.lru_width, weights.pp("rg_lru"));
        let linear = |name: &str, shape| Linear::load(&weights.pp(name), shape, true);
        let log_decay = |decay: Vec<f32>| decay.into_iter().map(|decay| -8.0 * softplus(decay)).collect();
        Ok(Self {
            linear_y: linear("linear_y", [width, hidden])?,
            linear_x: linear("linear_x", [width, hidden])?,
            conv: CausalConv::load(&weights, &[("conv_1d", width)], spec.conv1d_width, true, false)?,
            log_decay: log_decay(numbers(&unit, "recurrent_param", &[width])?),
            input_gate: BlockMap::load(&unit, "input_gate", spec)?,
            recurrent_gate: BlockMap::load(&unit, "recurrent_gate", spec)?,
            linear_out: linear("linear_out", [hidden, width])?,
            spec: spec.clone(),
        })
    }

    /// `x` `[t, hidden]` to `[t, hidden]`.
    pub(super) fn forward(
        &self,
        x: &Tensor,
        state: &mut RecurrentState,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let (t, width) = (x.dim(0)?, self.spec.lru_width);
        let input = Input::new(x)?;
        let beside = spent.on_linear(|| self.linear_y.apply(&input))?; // [t, width]
        let u = on_cpu(&spent.on_linear(|| self.linear_x.apply(&input))?)?; // [t, width]
        let read = spent.on_attention(|| self.mix(&u, state))?; // [t * width]
        let read = back_from_cpu(read, (t, width), x.device())?; // [t, width]
        let gated = self.spec.hidden_activation.gate(&beside, &read)?; // [t, width]
        spent.on_linear(|| self.linear_out.forward(&gated)) // [t, hidden]
    }

    fn mix(&self, u: &Tensor, state: &mut RecurrentState) -> Result<Vec<f32>> {
        let from_start = state.is_empty();
        let shape = u.shape().clone();
        let u = self.conv.forward(u, &mut state.tail)?;
        let u = Tensor::from_vec(u, shape, &Device::Cpu)?; // [t, width]
        let [i, r] = [self.input_gate.gate(&u)?, self.recurrent_gate.gate(&u)?]; // [t, width]
        let kept = state.hidden(self.spec.lru_width);
        let mut run = |x: &[f32], input_gate: &[f32], recurrent_gate: &[f32]| {
            let log_decay = &self.log_decay;
            gated_unit(&GatedUnit { x, input_gate, recurrent_gate, log_decay, from_start }, kept)
        };
        with_f32(&u, |x| with_f32(&i, |i| with_f32(&r, |r| run(x, i, r))))??
    }
}
