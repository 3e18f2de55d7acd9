//! RWKV 5, 6 and 7: one token at a time, behind a state.

use std::sync::Arc;

use candle_core::{Device, Result, Tensor};
use candle_nn::VarBuilder;
use candle_transformers::models::{rwkv_v5, rwkv_v6, rwkv_v7};

use crate::model::black_box::Reader;
use crate::spec::{DecoderSpec, RWKV7_HEAD, RwkvSpec};

/// A model that changes a state token by token.
trait Recurrent: Send + Sync + 'static {
    type State: Send + Sync;

    /// The logits behind `token`, `vocab` of them in any shape.
    fn step(&self, token: u32, state: &mut Self::State) -> Result<Tensor>;

    /// A copy of a state. Tensors are never changed in place, so that both may hold the same ones.
    fn copy(state: &Self::State) -> Self::State;
}

/// A recurrent model and its state.
struct Recur<M: Recurrent> {
    model: Arc<M>,
    state: M::State,
}

impl<M: Recurrent> Recur<M> {
    fn boxed(model: M, state: M::State) -> Box<dyn Reader> {
        Box::new(Self { model: Arc::new(model), state })
    }
}

impl<M: Recurrent> Reader for Recur<M> {
    fn read(&mut self, tokens: &[u32]) -> Result<()> {
        tokens.iter().try_for_each(|&token| self.model.step(token, &mut self.state).map(drop))
    }

    fn settle(&mut self) -> Result<()> {
        Ok(())
    }

    fn next(&mut self, token: u32) -> Result<Tensor> {
        self.model.step(token, &mut self.state)?.flatten_all()
    }

    fn fork(&self) -> Box<dyn Reader> {
        Box::new(Self { model: self.model.clone(), state: M::copy(&self.state) })
    }
}

fn config(spec: &DecoderSpec, rwkv: RwkvSpec) -> rwkv_v5::Config {
    rwkv_v5::Config {
        vocab_size: spec.vocab_size,
        hidden_size: spec.hidden_size,
        num_hidden_layers: spec.num_hidden_layers,
        attention_hidden_size: spec.hidden_size,
        // What candle divides the width by to have the number of heads.
        num_attention_heads: rwkv.head_size,
        head_size: rwkv.head_size,
        intermediate_size: Some(spec.intermediate_size),
        layer_norm_epsilon: spec.norm_eps,
        rescale_every: 0,
    }
}

/// RWKV 5.
pub(super) fn v5(spec: &DecoderSpec, rwkv: RwkvSpec, vb: VarBuilder<'_>) -> Result<Box<dyn Reader>> {
    let (config, device) = (config(spec, rwkv), vb.device().clone());
    let state = rwkv_v5::State::new(1, &config, &device)?;
    Ok(Recur::boxed(V5(rwkv_v5::Model::new(&config, vb)?, device), state))
}

/// RWKV 6.
pub(super) fn v6(spec: &DecoderSpec, rwkv: RwkvSpec, vb: VarBuilder<'_>) -> Result<Box<dyn Reader>> {
    let (config, device) = (config(spec, rwkv), vb.device().clone());
    let state = rwkv_v5::State::new(1, &config, &device)?;
    Ok(Recur::boxed(V6(rwkv_v6::Model::new(&config, vb)?, device), state))
}

/// RWKV 7.
pub(super) fn v7(spec: &DecoderSpec, vb: VarBuilder<'_>) -> Result<Box<dyn Reader>> {
    let config = rwkv_v7::Config {
        version: rwkv_v7::ModelVersion::V7,
        vocab_size: spec.vocab_size,
        hidden_size: spec.hidden_size,
        num_hidden_layers: spec.num_hidden_layers,
        head_size: RWKV7_HEAD,
        intermediate_size: Some(spec.intermediate_size),
        rescale_every: 0,
    };
    let device = vb.device().clone();
    let state = rwkv_v7::State::new(&config, &device)?;
    Ok(Recur::boxed(V7(rwkv_v7::Model::new(&config, vb)?, device), state))
}

struct V5(rwkv_v5::Model, Device);
struct V6(rwkv_v6::Model, Device);
struct V7(rwkv_v7::Model, Device);

/// The state that versions 5 and 6 have in common.
fn copy_of_5(state: &rwkv_v5::State) -> rwkv_v5::State {
    let layer = |layer: &rwkv_v5::StatePerLayer| rwkv_v5::StatePerLayer {
        extract_key_value: layer.extract_key_value.clone(),
        linear_attention: layer.linear_attention.clone(),
        feed_forward: layer.feed_forward.clone(),
    };
    rwkv_v5::State { per_layer: state.per_layer.iter().map(layer).collect(), pos: state.pos }
}

impl Recurrent for V5 {
    type State = rwkv_v5::State;

    fn step(&self, token: u32, state: &mut Self::State) -> Result<Tensor> {
        self.0.forward(&Tensor::new(&[[token]], &self.1)?, state)
    }

    fn copy(state: &Self::State) -> Self::State {
        copy_of_5(state)
    }
}

impl Recurrent for V6 {
    type State = rwkv_v5::State;

    fn step(&self, token: u32, state: &mut Self::State) -> Result<Tensor> {
        self.0.forward(&Tensor::new(&[[token]], &self.1)?, state)
    }

    fn copy(state: &Self::State) -> Self::State {
        copy_of_5(state)
    }
}

impl Recurrent for V7 {
    type State = rwkv_v7::State;

    fn step(&self, token: u32, state: &mut Self::State) -> Result<Tensor> {
        self.0.forward(&Tensor::new(&[[token]], &self.1)?, state, &[token])
    }

    fn copy(state: &Self::State) -> Self::State {
        let layer = |layer: &rwkv_v7::StatePerLayer| rwkv_v7::StatePerLayer {
            att_x_prev: layer.att_x_prev.clone(),
            att_kv: layer.att_kv.clone(),
            ffn_x_prev: layer.ffn_x_prev.clone(),
        };
        // Only the versions with attention beside the state have the third part.
        let per_layer = state.per_layer.iter().map(layer).collect();
        rwkv_v7::State { per_layer, dea: None, pos: state.pos }
    }
}
