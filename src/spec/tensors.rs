//! The tensors that a decoder is made of: their names, as Llama has them in Hugging Face's layout, and their
//! shapes.

use super::{
    BlockKind, DecoderSpec, LayerSpec, MlpKind, NORMS_BESIDE_MLP, OutputGate, QkNorm, ScreeningSpec,
};

/// Takes in a tensor's name and shape.
pub(super) type Visit<'a, E> = &'a mut dyn FnMut(&str, &[usize]) -> Result<(), E>;

impl BlockKind {
    /// Names of the norms before and after attention, before and after the MLP.
    #[must_use]
    pub fn norm_names(self) -> [Option<&'static str>; 4] {
        let (input, post) = (Some("input_layernorm"), Some("post_attention_layernorm"));
        let (before_mlp, after_mlp) = (Some("pre_feedforward_layernorm"), Some("post_feedforward_layernorm"));
        match self {
            Self::PreNorm | Self::ParallelTwoNorms => [input, None, post, None],
            Self::PostNorm | Self::NormAfterSum => [None, post, None, after_mlp],
            Self::SandwichNorm => [input, post, before_mlp, after_mlp],
            Self::ParallelOneNorm | Self::MixerAlone => [input, None, None, None],
            Self::MlpAlone => [None, None, input, None],
        }
    }
}

impl DecoderSpec {
    /// Hands every tensor to `visit`, in the order that a decoder loads them. `contains` says what there is
    /// where the same can be stored in two ways. One after the other, as a configuration may claim more of
    /// them than any list could hold.
    ///
    /// # Errors
    /// The first one that `visit` returns.
    pub fn each_tensor<E>(
        &self,
        contains: impl Fn(&str) -> bool,
        mut visit: impl FnMut(&str, &[usize]) -> Result<(), E>,
    ) -> Result<(), E> {
        if let Some(black_box) = self.extras.black_box {
            return black_box.each_tensor(self, &mut visit);
        }
        let (hidden, vocab) = (self.hidden_size, self.vocab_size);
        if self.screening.is_some() {
            visit("model.s_E", &[])?;
            visit("model.s_F", &[])?;
        }
        visit("model.embed_tokens.weight", &[vocab, self.embedding_size()])?;
        if !self.tie_word_embeddings {
            visit("lm_head.weight", &[vocab, self.embedding_size()])?;
        }
        if self.bias.head {
            visit("lm_head.bias", &[vocab])?;
        }
        if let Some(rows) = self.learned_positions {
            visit("model.embed_positions.weight", &[rows, hidden])?;
        }
        for (index, layer) in self.layers.iter().enumerate() {
            let place = format!("model.layers.{index}.");
            let mut below = |name: &str, shape: &[usize]| visit(&format!("{place}{name}"), shape);
            match &self.screening {
                Some(screening) => self.tiles(screening, &mut below)?,
                None => self.block(layer, &|name| contains(&format!("{place}{name}")), &mut below)?,
            }
        }
        if let Some(input) = self.extras.per_layer_input {
            let (width, rows) = (input.hidden_size_per_layer_input, input.vocab_size_per_layer_input);
            let all = self.num_hidden_layers * width;
            visit("model.embed_tokens_per_layer.weight", &[rows, all])?;
            visit("model.per_layer_model_projection.weight", &[all, hidden])?;
            visit("model.per_layer_projection_norm.weight", &[width])?;
        }
        if let Some(alt_up) = self.extras.alt_up {
            alt_up.each_end(hidden, &mut visit)?;
        }
        if self.extras.embedding_norm {
            self.norm("model.embed_norm", &mut visit)?;
        }
        if self.has_last_norm() {
            self.norm("model.norm", &mut visit)?;
        }
        let Some(size) = self.extras.embedding_size else { return Ok(()) };
        visit("model.project_in.weight", &[hidden, size])?;
        visit("model.project_out.weight", &[size, hidden])
    }

    fn tiles<E>(&self, screening: &ScreeningSpec, visit: Visit<'_, E>) -> Result<(), E> {
        let (tiles, hidden) = (self.num_attention_heads, self.hidden_size);
        let (keys, values) = (tiles * self.head_dim, tiles * screening.value_dim);
        for (map, shape) in [
            ("q_proj", [keys, hidden]),
            ("k_proj", [keys, hidden]),
            ("v_proj", [values, hidden]),
            ("g_proj", [values, hidden]),
            ("o_proj", [hidden, values]),
        ] {
            visit(&format!("block.{map}.weight"), &shape)?;
        }
        visit("block.sO", &[tiles])
    }

    fn block<E>(
        &self,
        layer: &LayerSpec,
        contains: &dyn Fn(&str) -> bool,
        visit: Visit<'_, E>,
    ) -> Result<(), E> {
        for name in self.block_of(layer).norm_names().into_iter().flatten() {
            self.norm(name, visit)?;
        }
        if layer.mixer.is_attention() {
            self.attention(layer, visit)?;
        }
        if let Some(mixer) = layer.mixer.recurrent() {
            mixer.each_tensor(self.hidden_size, visit)?;
        }
        let hidden = self.hidden_size;
        if let Some(alt_up) = self.extras.alt_up {
            self.norm("altup.router_norm", visit)?;
            alt_up.each_tensor(hidden, visit)?;
        }
        if let Some(rank) = self.extras.laurel_rank {
            rank.each_tensor(hidden, visit)?;
            self.norm("laurel.post_laurel_norm", visit)?;
        }
        if let Some(input) = self.extras.per_layer_input {
            let width = input.hidden_size_per_layer_input;
            linear("per_layer_input_gate", [width, hidden], false, visit)?;
            linear("per_layer_projection", [hidden, width], false, visit)?;
            self.norm("post_per_layer_input_norm", visit)?;
        }
        if self.extras.layer_scalar {
            visit("layer_scalar", &[1])?;
        }
        if !self.block_of(layer).has_mlp() {
            return Ok(());
        }
        let dense = [self.intermediate_of(layer), hidden];
        match layer.moe {
            None => mlp("mlp", self.mlp, dense, self.bias.mlp, visit),
            Some(moe) if moe.beside_mlp => {
                let [after_mlp, before_moe, after_moe] = NORMS_BESIDE_MLP;
                mlp("mlp", self.mlp, dense, self.bias.mlp, visit)?;
                self.norm(after_mlp, visit)?;
                self.norm(before_moe, visit)?;
                moe.each_tensor(hidden, contains, visit)?;
                self.norm(after_moe, visit)
            }
            Some(moe) => moe.each_tensor(hidden, contains, visit),
        }
    }

    fn attention<E>(&self, layer: &LayerSpec, visit: Visit<'_, E>) -> Result<(), E> {
        if let Some(latent) = layer.latent {
            latent.each_tensor(self.num_attention_heads, self.hidden_size, self.bias.qkv, visit)?;
            return self.output_gate(self.num_attention_heads * latent.v_head_dim, visit);
        }
        let (hidden, heads, count) = (self.hidden_size, self.heads(layer), self.num_attention_heads);
        let (queries, keys) = (count * heads.head_dim, heads.num_key_value_heads * heads.head_dim);
        let value = layer.value_width(&heads);
        let (mixed, values) = (count * value, heads.num_key_value_heads * value);
        linear("self_attn.q_proj", [queries, hidden], self.bias.qkv, visit)?;
        if layer.shares.is_none() {
            linear("self_attn.k_proj", [keys, hidden], self.bias.qkv, visit)?;
            if !layer.values_are_keys {
                linear("self_attn.v_proj", [values, hidden], self.bias.qkv, visit)?;
            }
        }
        linear("self_attn.o_proj", [hidden, mixed], self.bias.output, visit)?;
        self.qk_norm("self_attn.q_norm", queries, heads.head_dim, visit)?;
        if layer.shares.is_none() {
            self.qk_norm("self_attn.k_norm", keys, heads.head_dim, visit)?;
        }
        self.output_gate(mixed, visit)?;
        if layer.differential.is_some() {
            for name in ["lambda_q1", "lambda_k1", "lambda_q2", "lambda_k2"] {
                visit(&format!("self_attn.{name}"), &[heads.head_dim])?;
            }
        }
        if layer.sinks { visit("self_attn.sinks", &[count]) } else { Ok(()) }
    }

    /// The gate on `mixed` numbers a row.
    fn output_gate<E>(&self, mixed: usize, visit: Visit<'_, E>) -> Result<(), E> {
        let width = match self.extras.output_gate {
            Some(OutputGate::ByElement) => mixed,
            Some(OutputGate::ByHead) => self.num_attention_heads,
            None => return Ok(()),
        };
        linear("self_attn.gate_proj", [width, self.hidden_size], false, visit)
    }

    fn norm<E>(&self, name: &str, visit: Visit<'_, E>) -> Result<(), E> {
        if self.norm.has_bias() {
            visit(&format!("{name}.bias"), &[self.hidden_size])?;
        }
        if self.norm.has_weight() { visit(&format!("{name}.weight"), &[self.hidden_size]) } else { Ok(()) }
    }

    /// The norm of queries or keys, `width` numbers a row, `d` a head.
    fn qk_norm<E>(&self, name: &str, width: usize, d: usize, visit: Visit<'_, E>) -> Result<(), E> {
        let weight = format!("{name}.weight");
        match self.qk_norm {
            QkNorm::None | QkNorm::WeightlessPerHead | QkNorm::WeightlessOnAllLayers => Ok(()),
            QkNorm::PerHead => visit(&weight, &[d]),
            QkNorm::Projection => visit(&weight, &[width]),
            QkNorm::LayerPerHead => {
                visit(&weight, &[d])?;
                visit(&format!("{name}.bias"), &[d])
            }
            QkNorm::LayerByHead | QkNorm::RmsByHead => {
                (0..width / d).try_for_each(|head| visit(&format!("{name}.{head}.weight"), &[d]))
            }
        }
    }
}

/// A linear map of `shape` `[out, in]`.
pub(super) fn linear<E>(
    name: &str,
    shape: [usize; 2],
    with_bias: bool,
    visit: Visit<'_, E>,
) -> Result<(), E> {
    if with_bias {
        visit(&format!("{name}.bias"), &shape[..1])?;
    }
    visit(&format!("{name}.weight"), &shape)
}

/// An MLP from `hidden` numbers through `inner` and back.
pub(super) fn mlp<E>(
    name: &str,
    kind: MlpKind,
    [inner, hidden]: [usize; 2],
    with_bias: bool,
    visit: Visit<'_, E>,
) -> Result<(), E> {
    if kind == MlpKind::Gated {
        linear(&format!("{name}.gate_proj"), [inner, hidden], with_bias, visit)?;
    }
    if kind == MlpKind::Xielu {
        visit(&format!("{name}.act_fn.alpha_p"), &[1])?;
        visit(&format!("{name}.act_fn.alpha_n"), &[1])?;
        visit(&format!("{name}.act_fn.beta"), &[])?;
        visit(&format!("{name}.act_fn.eps"), &[])?;
    }
    linear(&format!("{name}.up_proj"), [inner, hidden], with_bias, visit)?;
    linear(&format!("{name}.down_proj"), [hidden, inner], with_bias, visit)
}
