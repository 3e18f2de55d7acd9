//! Mixers whose past is a state of fixed size: a layer has one where others have attention.
//!
//! Each kind is one file with its equations. All of them compute on the CPU in f32, whatever the device of
//! their linear maps: a state is small, and it is written at every token.

mod conv;
mod delta_net;
mod mamba;
mod mamba2;
mod rg_lru;
mod rwkv;
mod short_conv;

use candle_core::{Device, Tensor};

use super::linear::Linear;
use super::spent::Spent;
use crate::error::Result;
use crate::spec::RecurrentSpec;
use crate::weights::{Matrix, Weights};

use delta_net::DeltaNet;
use mamba::Mamba;
use mamba2::Mamba2;
use rg_lru::RgLru;
use rwkv::{ChannelMix, TimeMix};
use short_conv::ShortConv;

/// A mixer with a state.
#[derive(Debug)]
pub enum Recurrent {
    /// The gated delta rule.
    DeltaNet(DeltaNet),
    /// State space duality.
    Mamba2(Mamba2),
    /// The selective scan.
    Mamba(Mamba),
    /// A gated convolution.
    ShortConv(ShortConv),
    /// The gated linear recurrent unit.
    RgLru(RgLru),
    /// Time mixing of RWKV-4.
    TimeMix(TimeMix),
    /// Channel mixing of RWKV-4.
    ChannelMix(ChannelMix),
}

/// What a mixer keeps of the tokens before: nothing before the first one.
#[derive(Debug, Clone, Default)]
pub struct RecurrentState {
    /// The last rows that a convolution sees, `[taps - 1, channels]`.
    tail: Vec<f32>,
    /// What the rule itself keeps.
    hidden: Vec<f32>,
}

impl RecurrentState {
    /// Whether no token has gone by.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tail.is_empty() && self.hidden.is_empty()
    }

    /// Its bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        size_of_val(&self.tail[..]) + size_of_val(&self.hidden[..])
    }

    /// What the rule keeps, `len` numbers: 0 before the first token.
    fn hidden(&mut self, len: usize) -> &mut [f32] {
        self.hidden.resize(len, 0.0);
        &mut self.hidden
    }
}

impl Recurrent {
    /// The mixer stored in the layer `weights`, between residual streams of `hidden_size` numbers.
    ///
    /// # Errors
    /// When a tensor is missing or has another shape.
    pub fn load(spec: &RecurrentSpec, hidden_size: usize, weights: &Weights<'_>) -> Result<Self> {
        Ok(match spec {
            RecurrentSpec::DeltaNet(spec) => Self::DeltaNet(DeltaNet::load(spec, hidden_size, weights)?),
            RecurrentSpec::Mamba2(spec) => Self::Mamba2(Mamba2::load(spec, hidden_size, weights)?),
            RecurrentSpec::Mamba(spec) => Self::Mamba(Mamba::load(spec, hidden_size, weights)?),
            RecurrentSpec::ShortConv(spec) => Self::ShortConv(ShortConv::load(spec, hidden_size, weights)?),
            RecurrentSpec::GatedUnit(spec) => Self::RgLru(RgLru::load(spec, hidden_size, weights)?),
            RecurrentSpec::TimeMix(spec) => Self::TimeMix(TimeMix::load(spec, hidden_size, weights)?),
            RecurrentSpec::ChannelMix(spec) => {
                Self::ChannelMix(ChannelMix::load(spec, hidden_size, weights)?)
            }
        })
    }

    /// What is mixed for normed rows `x` `[t, hidden]`, in the order of the text: `[t, hidden]`. `state` is
    /// that of all tokens before, and then of these as well.
    ///
    /// # Errors
    /// When memory is out.
    pub fn forward(&self, x: &Tensor, state: &mut RecurrentState, spent: &mut Spent) -> Result<Tensor> {
        Ok(match self {
            Self::DeltaNet(mixer) => mixer.forward(x, state, spent)?,
            Self::Mamba2(mixer) => mixer.forward(x, state, spent)?,
            Self::Mamba(mixer) => mixer.forward(x, state, spent)?,
            Self::ShortConv(mixer) => mixer.forward(x, state, spent)?,
            Self::RgLru(mixer) => mixer.forward(x, state, spent)?,
            Self::TimeMix(mixer) => mixer.forward(x, state, spent)?,
            Self::ChannelMix(mixer) => mixer.forward(x, state, spent)?,
        })
    }
}

/// The linear map of several ones with the same input, their outputs side by side: `names` with the number of
/// outputs of each, without biases.
fn stacked(weights: &Weights<'_>, hidden_size: usize, names: &[(&str, usize)]) -> Result<Linear> {
    let part = |(name, width): &(&str, usize)| weights.pp(name).matrix("weight", [*width, hidden_size]);
    let parts = names.iter().map(part).collect::<Result<Vec<_>>>()?;
    Ok(Linear::of(&Matrix::stacked(&parts)?, None, weights.dtype())?)
}

/// The numbers of a parameter, on the CPU.
fn numbers(weights: &Weights<'_>, name: &str, shape: &[usize]) -> Result<Vec<f32>> {
    Ok(weights.get(name, shape)?.flatten_all()?.to_vec1()?)
}

/// The numbers of rows, on the CPU.
fn on_cpu(x: &Tensor) -> candle_core::Result<Tensor> {
    x.to_device(&Device::Cpu)?.contiguous()
}

/// Numbers that the CPU has made, as rows of `shape` on `device`.
fn back_from_cpu(numbers: Vec<f32>, shape: (usize, usize), device: &Device) -> candle_core::Result<Tensor> {
    Tensor::from_vec(numbers, shape, &Device::Cpu)?.to_device(device)
}
