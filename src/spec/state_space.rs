//! State spaces and short convolutions: their sizes, tensors and states.

use serde::Serialize;

use super::tensors::{Visit, linear};

/// Mamba-2 (arXiv 2405.21060), with the names of Granite 4 and Bamba. Its tensors stand under `mamba`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Mamba2Spec {
    /// Heads, each with a state of its own.
    pub mamba_n_heads: usize,
    /// Width of a head.
    pub mamba_d_head: usize,
    /// Groups of heads that share what is written to a state and what reads it; divides the heads.
    pub mamba_n_groups: usize,
    /// Numbers that a state has for each of a head's.
    pub mamba_d_state: usize,
    /// Tokens that the convolution sees.
    pub mamba_d_conv: usize,
    /// Whether the convolution has a bias.
    pub mamba_conv_bias: bool,
    /// Whether the projection from the residual stream has one.
    pub mamba_proj_bias: bool,
    /// Whether the projection back to it has one.
    pub out_bias: bool,
    /// Where step sizes are held; `None` as the upper end is no bound.
    pub time_step_limit: (f64, Option<f64>),
    /// The norm of what is read.
    pub norm: ReadNorm,
    /// Its epsilon.
    pub norm_eps: f64,
    /// Factors on what is projected from the residual stream: gate, `x`, `B`, `C` and step sizes (Falcon-H1).
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ssm_multipliers: Option<[f64; 5]>,
}

/// The root-mean-square norm of what is read from the states, over each group of heads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum ReadNorm {
    /// `norm(y silu(z)) w`.
    AfterGate,
    /// `norm(y) w silu(z)`.
    BeforeGate,
    /// `y silu(z)`, without a norm.
    None,
}

impl Mamba2Spec {
    /// Numbers of all heads of a token.
    #[must_use]
    pub fn inner(&self) -> usize {
        self.mamba_n_heads.saturating_mul(self.mamba_d_head)
    }

    /// Numbers of `B`, or of `C`, of a token.
    #[must_use]
    pub fn shared(&self) -> usize {
        self.mamba_n_groups.saturating_mul(self.mamba_d_state)
    }

    /// Numbers of a token that go through the convolution: `x`, `B` and `C`.
    #[must_use]
    pub fn conv_width(&self) -> usize {
        self.shared().saturating_mul(2).saturating_add(self.inner())
    }

    /// Numbers of a token that are projected from the residual stream: the gate, those of the convolution,
    /// and the step sizes.
    #[must_use]
    pub fn projected(&self) -> usize {
        self.inner().saturating_add(self.conv_width()).saturating_add(self.mamba_n_heads)
    }

    pub(super) fn state_numbers(&self) -> usize {
        tail(self.mamba_d_conv, self.conv_width())
            .saturating_add(self.inner().saturating_mul(self.mamba_d_state))
    }

    pub(super) fn each_tensor<E>(&self, hidden: usize, visit: Visit<'_, E>) -> Result<(), E> {
        let (inner, conv, heads) = (self.inner(), self.conv_width(), self.mamba_n_heads);
        linear("mamba.in_proj", [self.projected(), hidden], self.mamba_proj_bias, visit)?;
        convolution("mamba.conv1d", [conv, self.mamba_d_conv], self.mamba_conv_bias, visit)?;
        for name in ["A_log", "D", "dt_bias"] {
            visit(&format!("mamba.{name}"), &[heads])?;
        }
        if self.norm != ReadNorm::None {
            visit("mamba.norm.weight", &[inner])?;
        }
        linear("mamba.out_proj", [hidden, inner], self.out_bias, visit)
    }
}

/// Mamba (arXiv 2312.00752), with the names of Jamba. Its tensors stand under `mamba`.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct MambaSpec {
    /// Channels, each with a state of its own.
    pub intermediate_size: usize,
    /// Numbers of a channel's state.
    pub mamba_d_state: usize,
    /// Tokens that the convolution sees.
    pub mamba_d_conv: usize,
    /// Inner width of the projection to step sizes.
    pub mamba_dt_rank: usize,
    /// Whether the convolution has a bias.
    pub mamba_conv_bias: bool,
    /// Whether the projections from the residual stream and back have one.
    pub mamba_proj_bias: bool,
    /// Norms of what step sizes, `B` and `C` are made of.
    pub norms: SelectionNorms,
}

/// Root-mean-square norms of what Mamba selects by.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum SelectionNorms {
    /// None.
    None,
    /// With weights (Jamba).
    Learned {
        /// Their epsilon.
        eps: f64,
    },
    /// Without weights (Falcon Mamba).
    Weightless {
        /// Their epsilon.
        eps: f64,
    },
}

impl MambaSpec {
    pub(super) fn state_numbers(&self) -> usize {
        let channels = self.intermediate_size;
        tail(self.mamba_d_conv, channels).saturating_add(channels.saturating_mul(self.mamba_d_state))
    }

    /// Numbers of a token that step sizes, `B` and `C` are made of.
    #[must_use]
    pub fn selected(&self) -> usize {
        self.mamba_d_state.saturating_mul(2).saturating_add(self.mamba_dt_rank)
    }

    pub(super) fn each_tensor<E>(&self, hidden: usize, visit: Visit<'_, E>) -> Result<(), E> {
        let (inner, state, rank) = (self.intermediate_size, self.mamba_d_state, self.mamba_dt_rank);
        linear("mamba.in_proj", [inner.saturating_mul(2), hidden], self.mamba_proj_bias, visit)?;
        convolution("mamba.conv1d", [inner, self.mamba_d_conv], self.mamba_conv_bias, visit)?;
        linear("mamba.x_proj", [self.selected(), inner], false, visit)?;
        if matches!(self.norms, SelectionNorms::Learned { .. }) {
            for (name, width) in [("dt", rank), ("b", state), ("c", state)] {
                visit(&format!("mamba.{name}_layernorm.weight"), &[width])?;
            }
        }
        linear("mamba.dt_proj", [inner, rank], true, visit)?;
        visit("mamba.A_log", &[inner, state])?;
        visit("mamba.D", &[inner])?;
        linear("mamba.out_proj", [hidden, inner], self.mamba_proj_bias, visit)
    }
}

/// The gated short convolution of LFM2. Its tensors stand under `conv`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ShortConvSpec {
    /// Tokens that the convolution sees.
    #[serde(rename = "conv_L_cache")]
    pub conv_l_cache: usize,
    /// Whether convolution and projections have biases.
    pub conv_bias: bool,
}

impl ShortConvSpec {
    pub(super) fn state_numbers(&self, hidden: usize) -> usize {
        tail(self.conv_l_cache, hidden)
    }

    pub(super) fn each_tensor<E>(&self, hidden: usize, visit: Visit<'_, E>) -> Result<(), E> {
        linear("conv.in_proj", [hidden.saturating_mul(3), hidden], self.conv_bias, visit)?;
        convolution("conv.conv", [hidden, self.conv_l_cache], self.conv_bias, visit)?;
        linear("conv.out_proj", [hidden, hidden], self.conv_bias, visit)
    }
}

/// The recurrent block of Griffin (arXiv 2402.19427), with the names of RecurrentGemma. Its tensors stand
/// under `temporal_block`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct GatedUnitSpec {
    /// Channels, each with one number as its state.
    pub lru_width: usize,
    /// Blocks of channels that make their gates together; divides the channels.
    pub num_attention_heads: usize,
    /// Tokens that the convolution sees.
    pub conv1d_width: usize,
    /// The activation of the branch beside the recurrence.
    pub hidden_activation: super::Activation,
}

impl GatedUnitSpec {
    /// Channels of a block.
    #[must_use]
    pub fn block_width(&self) -> usize {
        self.lru_width / self.num_attention_heads.max(1)
    }

    pub(super) fn state_numbers(&self) -> usize {
        tail(self.conv1d_width, self.lru_width).saturating_add(self.lru_width)
    }

    pub(super) fn each_tensor<E>(&self, hidden: usize, visit: Visit<'_, E>) -> Result<(), E> {
        let (width, blocks, block) = (self.lru_width, self.num_attention_heads, self.block_width());
        linear("temporal_block.linear_y", [width, hidden], true, visit)?;
        linear("temporal_block.linear_x", [width, hidden], true, visit)?;
        convolution("temporal_block.conv_1d", [width, self.conv1d_width], true, visit)?;
        visit("temporal_block.rg_lru.recurrent_param", &[width])?;
        for gate in ["input_gate", "recurrent_gate"] {
            visit(&format!("temporal_block.rg_lru.{gate}_weight"), &[blocks, block, block])?;
            visit(&format!("temporal_block.rg_lru.{gate}_bias"), &[blocks, block])?;
        }
        linear("temporal_block.linear_out", [hidden, width], true, visit)
    }
}

/// Numbers that a convolution of `channels` keeps.
fn tail(taps: usize, channels: usize) -> usize {
    taps.saturating_sub(1).saturating_mul(channels)
}

/// A convolution of each channel on its own.
fn convolution<E>(
    name: &str,
    [channels, taps]: [usize; 2],
    with_bias: bool,
    visit: Visit<'_, E>,
) -> Result<(), E> {
    visit(&format!("{name}.weight"), &[channels, 1, taps])?;
    if with_bias { visit(&format!("{name}.bias"), &[channels]) } else { Ok(()) }
}
