//! Layers whose past is a state of fixed size in place of keys and values: their sizes, tensors and states.

use std::convert::Infallible;

use serde::Serialize;

use super::rwkv::{ChannelMixSpec, TimeMixSpec};
use super::state_space::{GatedUnitSpec, Mamba2Spec, MambaSpec, ShortConvSpec};
use super::tensors::Visit;

/// A mixer of a layer whose state does not grow with the text.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum RecurrentSpec {
    /// Gated DeltaNet (Qwen 3.5, OLMo Hybrid), or with a decay for each channel Kimi Delta Attention.
    DeltaNet(DeltaNetSpec),
    /// Mamba-2 (Granite 4, Bamba, Nemotron-H).
    Mamba2(Mamba2Spec),
    /// Mamba (Jamba).
    Mamba(MambaSpec),
    /// The gated short convolution of LFM2.
    ShortConv(ShortConvSpec),
    /// The recurrent block of Griffin (RecurrentGemma).
    GatedUnit(GatedUnitSpec),
    /// Time mixing of RWKV-4.
    TimeMix(TimeMixSpec),
    /// Channel mixing of RWKV-4.
    ChannelMix(ChannelMixSpec),
}

/// A gated delta rule (arXiv 2412.06464; by channel arXiv 2510.26692), with Hugging Face's names.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct DeltaNetSpec {
    /// Where its tensors stand under the layer.
    pub place: &'static str,
    /// Heads of queries and keys; divides the value heads.
    pub linear_num_key_heads: usize,
    /// Heads of values, each with a state of its own.
    pub linear_num_value_heads: usize,
    /// Width of a query and of a key.
    pub linear_key_head_dim: usize,
    /// Width of a value.
    pub linear_value_head_dim: usize,
    /// Tokens that the convolution before the rule sees.
    pub linear_conv_kernel_dim: usize,
    /// Whether `beta` reaches to 2 instead of 1, so that a step may turn a state's sign.
    pub linear_allow_neg_eigval: bool,
    /// How a state fades.
    pub decay: DeltaDecay,
    /// The gate of what is read from a state.
    pub output_gate: DeltaGate,
    /// Epsilon of the norm of what is read.
    pub norm_eps: f64,
}

/// The logarithm `g <= 0` of the factor by which a state fades before each token.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeltaDecay {
    /// One for a head: `-exp(A_log) softplus(a_proj x + dt_bias)`.
    PerHead,
    /// One for each channel of the keys: the same of `f_b_proj(f_a_proj x)`, through `rank` numbers.
    LowRank {
        /// Inner width of the projection.
        rank: usize,
    },
    /// One for each channel, of a single `f_proj x`.
    Full,
    /// One for each channel, no stronger than a bound: `lower_bound sigmoid(exp(A_log) (f_proj x +
    /// dt_bias))`.
    Bounded {
        /// The strongest decay, below 0.
        lower_bound: f64,
    },
}

/// What the normed output of a head is multiplied by.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum DeltaGate {
    /// `silu(g_proj x)`.
    Silu,
    /// `sigmoid(g_proj x)`.
    Sigmoid,
    /// `sigmoid(g_b_proj(g_a_proj x))`, through `rank` numbers.
    LowRankSigmoid {
        /// Inner width of the projection.
        rank: usize,
        /// Whether the second map has a bias.
        bias: bool,
    },
}

impl RecurrentSpec {
    /// Its name in what is told about a checkpoint.
    #[must_use]
    pub fn name(&self) -> &'static str {
        match self {
            Self::DeltaNet(spec) if spec.decay == DeltaDecay::PerHead => "Gated DeltaNet",
            Self::DeltaNet(_) => "Kimi Delta Attention",
            Self::Mamba2(_) => "Mamba-2",
            Self::Mamba(_) => "Mamba",
            Self::ShortConv(_) => "short convolution",
            Self::GatedUnit(_) => "RG-LRU",
            Self::TimeMix(_) => "RWKV time mixing",
            Self::ChannelMix(_) => "RWKV channel mixing",
        }
    }

    /// The delta net that it is.
    #[must_use]
    pub fn delta_net(&self) -> Option<&DeltaNetSpec> {
        match self {
            Self::DeltaNet(spec) => Some(spec),
            _ => None,
        }
    }

    /// Number of weights of the mixer between residual streams of `hidden_size` numbers.
    #[must_use]
    pub fn parameters(&self, hidden_size: usize) -> usize {
        self.weights(hidden_size, |_| true)
    }

    /// Weights of its linear maps, each one multiply and one add for a token.
    #[must_use]
    pub fn linear_weights(&self, hidden_size: usize) -> usize {
        self.weights(hidden_size, |shape| shape.len() == 2)
    }

    fn weights(&self, hidden_size: usize, counts: impl Fn(&[usize]) -> bool) -> usize {
        let mut weights = 0usize;
        let Ok(()) = self.each_tensor::<Infallible>(hidden_size, &mut |_, shape| {
            if counts(shape) {
                weights = weights.saturating_add(shape.iter().copied().fold(1, usize::saturating_mul));
            }
            Ok(())
        });
        weights
    }

    /// Bytes of the state of one sequence, in f32, between residual streams of `hidden_size` numbers.
    #[must_use]
    pub fn state_bytes(&self, hidden_size: usize) -> usize {
        let numbers = match self {
            Self::DeltaNet(spec) => {
                let tail = spec.linear_conv_kernel_dim.saturating_sub(1).saturating_mul(spec.conv_width());
                let state = spec.value_width().saturating_mul(spec.linear_key_head_dim);
                tail.saturating_add(state)
            }
            Self::Mamba2(spec) => spec.state_numbers(),
            Self::Mamba(spec) => spec.state_numbers(),
            Self::ShortConv(spec) => spec.state_numbers(hidden_size),
            Self::GatedUnit(spec) => spec.state_numbers(),
            Self::TimeMix(spec) => spec.state_numbers(hidden_size),
            Self::ChannelMix(_) => hidden_size,
        };
        numbers.saturating_mul(size_of::<f32>())
    }

    /// Numbers that one token takes beside the residual stream of `hidden_size`: what is projected, what the
    /// rule reads, and what is made of that.
    #[must_use]
    pub fn activations(&self, hidden_size: usize) -> usize {
        match self {
            Self::DeltaNet(spec) => {
                let decays = spec.decay_width().saturating_mul(3);
                let values = spec.value_width().saturating_mul(4);
                spec.conv_width().saturating_mul(3).saturating_add(decays).saturating_add(values)
            }
            Self::Mamba2(spec) => {
                let read = spec.inner().saturating_mul(4);
                spec.projected().saturating_mul(2).saturating_add(spec.conv_width()).saturating_add(read)
            }
            Self::Mamba(spec) => {
                spec.intermediate_size.saturating_mul(8).saturating_add(spec.selected().saturating_mul(2))
            }
            Self::ShortConv(_) => hidden_size.saturating_mul(8),
            Self::GatedUnit(spec) => spec.lru_width.saturating_mul(9),
            Self::TimeMix(spec) => {
                spec.attention_hidden_size.saturating_mul(8).saturating_add(hidden_size.saturating_mul(3))
            }
            Self::ChannelMix(spec) => {
                spec.intermediate_size.saturating_mul(2).saturating_add(hidden_size.saturating_mul(5))
            }
        }
    }

    /// Weights of its largest matrix, as it is put together.
    #[must_use]
    pub fn largest_matrix(&self, hidden_size: usize) -> usize {
        if let Self::DeltaNet(spec) = self {
            return spec.conv_width().saturating_mul(hidden_size);
        }
        let mut largest = 0;
        let Ok(()) = self.each_tensor::<Infallible>(hidden_size, &mut |_, shape| {
            largest = largest.max(shape.iter().copied().fold(1, usize::saturating_mul));
            Ok(())
        });
        largest
    }

    /// Hands every tensor to `visit`, by its name under the layer.
    ///
    /// # Errors
    /// The first one that `visit` returns.
    pub(super) fn each_tensor<E>(&self, hidden_size: usize, visit: Visit<'_, E>) -> Result<(), E> {
        match self {
            Self::DeltaNet(spec) => spec.each_tensor(hidden_size, visit),
            Self::Mamba2(spec) => spec.each_tensor(hidden_size, visit),
            Self::Mamba(spec) => spec.each_tensor(hidden_size, visit),
            Self::ShortConv(spec) => spec.each_tensor(hidden_size, visit),
            Self::GatedUnit(spec) => spec.each_tensor(hidden_size, visit),
            Self::TimeMix(spec) => spec.each_tensor(hidden_size, visit),
            Self::ChannelMix(spec) => spec.each_tensor(hidden_size, visit),
        }
    }
}

impl DeltaNetSpec {
    /// Numbers of all queries of a token, and of all keys.
    #[must_use]
    pub fn key_width(&self) -> usize {
        self.linear_num_key_heads.saturating_mul(self.linear_key_head_dim)
    }

    /// Numbers of all values of a token.
    #[must_use]
    pub fn value_width(&self) -> usize {
        self.linear_num_value_heads.saturating_mul(self.linear_value_head_dim)
    }

    /// Numbers of a token that go through the convolution: queries, keys and values.
    #[must_use]
    pub fn conv_width(&self) -> usize {
        self.key_width().saturating_mul(2).saturating_add(self.value_width())
    }

    /// Logarithms of decay that a token has.
    #[must_use]
    pub fn decay_width(&self) -> usize {
        match self.decay {
            DeltaDecay::PerHead => self.linear_num_value_heads,
            _ => self.linear_num_value_heads.saturating_mul(self.linear_key_head_dim),
        }
    }

    fn each_tensor<E>(&self, hidden: usize, visit: Visit<'_, E>) -> Result<(), E> {
        let (keys, values, heads) = (self.key_width(), self.value_width(), self.linear_num_value_heads);
        let decays = self.decay_width();
        let mut visit = |name: &str, shape: &[usize]| visit(&format!("{}.{name}", self.place), shape);
        let parts = [("q", keys), ("k", keys), ("v", values)];
        for (name, width) in parts {
            visit(&format!("{name}_proj.weight"), &[width, hidden])?;
        }
        for (name, width) in parts {
            visit(&format!("{name}_conv1d.weight"), &[width, 1, self.linear_conv_kernel_dim])?;
        }
        visit("b_proj.weight", &[heads, hidden])?;
        match self.decay {
            DeltaDecay::PerHead => visit("a_proj.weight", &[heads, hidden])?,
            DeltaDecay::LowRank { rank } => {
                visit("f_a_proj.weight", &[rank, hidden])?;
                visit("f_b_proj.weight", &[decays, rank])?;
            }
            DeltaDecay::Full | DeltaDecay::Bounded { .. } => visit("f_proj.weight", &[decays, hidden])?,
        }
        visit("A_log", &[heads])?;
        visit("dt_bias", &[decays])?;
        match self.output_gate {
            DeltaGate::Silu | DeltaGate::Sigmoid => visit("g_proj.weight", &[values, hidden])?,
            DeltaGate::LowRankSigmoid { rank, bias } => {
                visit("g_a_proj.weight", &[rank, hidden])?;
                if bias {
                    visit("g_b_proj.bias", &[values])?;
                }
                visit("g_b_proj.weight", &[values, rank])?;
            }
        }
        visit("o_norm.weight", &[self.linear_value_head_dim])?;
        visit("o_proj.weight", &[hidden, values])
    }
}
