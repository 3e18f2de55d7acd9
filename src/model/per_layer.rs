//! Vectors of each token for each layer ([`PerLayerInput`]).

use candle_core::{Device, Result, Tensor};

use super::decoder::load_norm;
use super::layers::{Norm, sum};
use super::linear::Linear;
use super::spent::Spent;
use super::table::Table;
use crate::spec::{Activation, DecoderSpec, NormKind, PerLayerInput};
use crate::weights::Weights;

/// What makes these vectors.
#[derive(Debug)]
pub(super) struct PerLayerInputs {
    spec: PerLayerInput,
    layers: usize,
    embed_tokens: Table, // [vocab_size_per_layer_input, layers * width]
    projection: Linear,
    norm: Norm,
}

impl PerLayerInputs {
    /// What is stored below `model`.
    pub(super) fn load(
        spec: &DecoderSpec,
        input: PerLayerInput,
        model: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let (layers, width) = (spec.num_hidden_layers, input.hidden_size_per_layer_input);
        let all = layers * width;
        let rows = [input.vocab_size_per_layer_input, all];
        let embedding = model.pp("embed_tokens_per_layer").matrix("weight", rows)?;
        let weight = model.pp("per_layer_projection_norm").get("weight", &[width])?;
        let shape = [all, spec.hidden_size];
        Ok(Self {
            spec: input,
            layers,
            embed_tokens: Table::new(&embedding, model.dtype())?,
            projection: Linear::load(&model.pp("per_layer_model_projection"), shape, false)?,
            norm: Norm::new(NormKind::Rms, weight, None, spec.norm_eps)?,
        })
    }

    /// The vectors of `tokens`, of which `x` `[t, hidden]` are the embeddings: `[t, layers * width]`.
    pub(super) fn of(&self, tokens: &[u32], x: &Tensor, device: &Device) -> Result<Tensor> {
        let (t, width) = (tokens.len(), self.spec.hidden_size_per_layer_input);
        let known = |&token: &u32| match (token as usize) < self.spec.vocab_size_per_layer_input {
            true => token,
            false => 0,
        };
        let ids = tokens.iter().map(known).collect::<Vec<_>>(); // [t]
        let own = self.embed_tokens.rows(&ids, device)?; // [t, layers * width]
        let x = (x / (x.dim(1)? as f64).sqrt())?;
        let shared = self.projection.forward(&x)?.reshape((t, self.layers, width))?; // [t, layers, width]
        let shared = self.norm.forward(&shared)?.reshape((t, self.layers * width))?;
        (shared + (own * (width as f64).sqrt())?)? / 2f64.sqrt()
    }
}

/// What a layer does with its vectors.
#[derive(Debug)]
pub(super) struct PerLayerGate {
    index: usize,
    width: usize,
    gate: Linear,
    projection: Linear,
    norm: Norm,
}

impl PerLayerGate {
    /// That of layer `index`, stored below it.
    pub(super) fn load(
        spec: &DecoderSpec,
        index: usize,
        input: PerLayerInput,
        layer: &Weights<'_>,
    ) -> crate::error::Result<Self> {
        let (hidden, width) = (spec.hidden_size, input.hidden_size_per_layer_input);
        Ok(Self {
            index,
            width,
            gate: Linear::load(&layer.pp("per_layer_input_gate"), [width, hidden], false)?,
            projection: Linear::load(&layer.pp("per_layer_projection"), [hidden, width], false)?,
            norm: load_norm(spec, &layer.pp("post_per_layer_input_norm"))?,
        })
    }

    /// The residual stream `x` `[rows, hidden]` with what `inputs` `[rows, layers * width]` add to it.
    pub(super) fn forward(
        &self,
        act: Activation,
        x: &Tensor,
        inputs: &Tensor,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        sum(x, &self.added(act, x, inputs, spent)?)
    }

    /// What `inputs` `[rows, layers * width]` add, of the residual stream `x` `[rows, hidden]`: `[rows,
    /// hidden]`.
    pub(super) fn added(
        &self,
        act: Activation,
        x: &Tensor,
        inputs: &Tensor,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let inputs = inputs.narrow(1, self.index * self.width, self.width)?.contiguous()?; // [rows, width]
        let gated = act.gate(&spent.on_linear(|| self.gate.forward(x))?, &inputs)?; // [rows, width]
        let added = spent.on_linear(|| self.projection.forward(&gated))?; // [rows, hidden]
        self.norm.forward(&added)
    }
}
