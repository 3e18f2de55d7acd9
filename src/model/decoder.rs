//! The decoder: embedding, blocks of attention and MLP, head. One forward pass for every family.

use candle_core::{D, DType, Device, Tensor};

use super::alt_up::StreamEnds;
use super::block::{Layer, LayerContext, Watch};
use super::head_outputs::{HeadOutputs, MeanOutputs, OutputSums, ReplacedHeads};
use super::kv_cache::{KvCache, KvDtype, KvDtypes};
use super::layers::Norm;
use super::linear::Linear;
use super::per_layer::PerLayerInputs;
use super::rope::Rope;
use super::row_blocks;
use super::screening::{load_scale, unit_rows};
use super::spent::Spent;
use super::table::Table;
use crate::attention::screening::Screen;
use crate::attention::{AlibiBias, AttentionContext, AttentionRecorder, AttentionVariant};
use crate::error::{Error, Result};
use crate::spec::DecoderSpec;
use crate::spec::Dtype;
use crate::weights::{Matrix, Weights};

/// A decoder with its weights.
#[derive(Debug)]
pub struct Decoder {
    spec: DecoderSpec,
    embed_tokens: Table,             // [vocab, hidden]
    embed_positions: Option<Tensor>, // [positions, hidden]
    embed_norm: Option<Norm>,
    per_layer_inputs: Option<PerLayerInputs>,
    /// Where one residual stream becomes several, and several become one.
    stream_ends: Option<StreamEnds>,
    alibi: Option<AlibiBias>,
    /// The maps from the embedding to the residual stream, and back before the head.
    projections: Option<(Linear, Linear)>,
    layers: Vec<Layer>,
    norm: Option<Norm>, // see DecoderSpec::has_last_norm
    lm_head: Linear,
    device: Device,
    /// Of the weights.
    dtype: Dtype,
    kv_dtype: KvDtypes,
    replaced: ReplacedHeads,
}

/// What a forward pass is given besides its tokens.
pub struct Forward<'a> {
    /// The attention rule.
    pub variant: &'a dyn AttentionVariant,
    /// How many of the last rows get logits; 0 for none.
    pub keep_logits: usize,
    /// Where to record attention.
    pub probe: Option<&'a mut (dyn AttentionRecorder + 'a)>,
}

impl Decoder {
    /// Loads the decoder that `spec` describes from `weights`, whose names are those of Llama in Hugging
    /// Face's layout.
    ///
    /// # Errors
    /// [`Error::Tensor`] when a tensor is missing, has another shape or holds numbers that are not finite.
    pub fn load(spec: DecoderSpec, weights: &Weights<'_>) -> Result<Self> {
        let (hidden, vocab) = (spec.embedding_size(), spec.vocab_size);
        let model = weights.pp("model");
        let spec = if spec.screening.is_some() { with_learned_multipliers(spec, &model)? } else { spec };
        // The largest matrices come first and are left in the dtype of the weights before the next one is
        // read, so that loading holds little more than what stays.
        let embedding = model.pp("embed_tokens");
        let embedding = match spec.screening {
            Some(_) => Matrix::Numbers(unit_rows(&embedding.get("weight", &[vocab, hidden])?)?),
            None => embedding.matrix("weight", [vocab, hidden])?,
        };
        let device = weights.device().clone();
        let embed_tokens = Table::new(&embedding, weights.dtype())?;
        let head = match (spec.tie_word_embeddings, &embed_tokens) {
            // What is packed is packed from f32; else both are one.
            (true, Table::Numbers(table)) if weights.dtype() != Dtype::Bf16 => Matrix::Numbers(table.clone()),
            (true, _) => embedding,
            (false, _) => {
                drop(embedding);
                weights.pp("lm_head").matrix("weight", [vocab, hidden])?
            }
        };
        let bias = if spec.bias.head { Some(weights.pp("lm_head").get("bias", &[vocab])?) } else { None };
        let lm_head = Linear::of(&head, bias, weights.dtype())?;
        drop(head);
        let embed_positions = match spec.learned_positions {
            Some(rows) => Some(model.pp("embed_positions").get("weight", &[rows, spec.hidden_size])?),
            None => None,
        };
        let weights_of_layers = model.pp("layers");
        let layer = |(index, layer)| Layer::load(&spec, index, layer, &weights_of_layers.pp(index));
        let layers = spec.layers.iter().enumerate().map(layer).collect::<Result<_>>()?;
        let per_layer = spec.extras.per_layer_input;
        let per_layer_inputs =
            per_layer.map(|input| PerLayerInputs::load(&spec, input, &model)).transpose()?;
        let stream_ends = spec.extras.alt_up.map(|alt_up| StreamEnds::load(&spec, alt_up, &model));
        let stream_ends = stream_ends.transpose()?;
        let embed_norm = spec.extras.embedding_norm.then(|| load_norm(&spec, &model.pp("embed_norm")));
        let last_eps = spec.norm_eps_at(spec.num_hidden_layers);
        let norm = spec.has_last_norm().then(|| load_norm_with(&spec, last_eps, &model.pp("norm")));
        let projections = match spec.extras.embedding_size {
            Some(size) => {
                let linear = |name, shape| Linear::load(&model.pp(name), shape, false);
                let inner = spec.hidden_size;
                Some((linear("project_in", [inner, size])?, linear("project_out", [size, inner])?))
            }
            None => None,
        };
        Ok(Self {
            layers,
            norm: norm.transpose()?,
            embed_norm: embed_norm.transpose()?,
            per_layer_inputs,
            stream_ends,
            alibi: spec.extras.alibi.map(|alibi| AlibiBias::new(alibi, spec.num_attention_heads)),
            projections,
            lm_head,
            kv_dtype: KvDtype::following(&spec, weights.dtype(), &device).into(),
            dtype: weights.dtype(),
            device,
            embed_positions,
            embed_tokens,
            replaced: ReplacedHeads::default(),
            spec,
        })
    }

    /// The same decoder, with caches of this precision; `None` lets them follow the weights.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] for another one than f32 on another device than the CPU, or for layers that
    /// cannot read it.
    pub fn with_kv_dtype(self, choice: Option<impl Into<KvDtypes>>) -> Result<Self> {
        let choice = choice.map(Into::into);
        self.spec.check_kv_dtype(choice)?;
        match choice.filter(|choice| *choice != KvDtype::F32.into()) {
            Some(choice) if !self.device.is_cpu() => {
                let expected = "f32, or `device` cpu: pages of other precisions are for the CPU";
                Err(Error::invalid("kv dtype", choice.name(), expected))
            }
            _ => Ok(Self { kv_dtype: choice.unwrap_or(self.kv_dtype), ..self }),
        }
    }

    /// The same decoder, in which some heads hand on something else than what they mix.
    #[must_use]
    pub fn with_replaced_heads(self, replaced: ReplacedHeads) -> Self {
        Self { replaced, ..self }
    }

    /// What each head hands on in the mean over all tokens of these `texts`, of which `chunk` tokens go
    /// through the decoder at once.
    ///
    /// # Errors
    /// As of [`Self::forward`].
    pub fn mean_outputs(
        &self,
        texts: &[Vec<u32>],
        variant: &dyn AttentionVariant,
        chunk: usize,
    ) -> Result<MeanOutputs> {
        let (sums, spent) = (OutputSums::default(), &mut Spent::default());
        for text in texts {
            let mut cache = self.new_cache(text.len());
            for tokens in text.chunks(chunk.max(1)) {
                let forward = Forward { variant, keep_logits: 0, probe: None };
                self.forward_here(tokens, &mut cache, forward, HeadOutputs::Summed(&sums), spent)?;
            }
        }
        Ok(sums.means())
    }

    /// The precisions that caches are kept in.
    #[must_use]
    pub fn kv_dtype(&self) -> KvDtypes {
        self.kv_dtype
    }

    /// What the decoder is made of.
    #[must_use]
    pub fn spec(&self) -> &DecoderSpec {
        &self.spec
    }

    /// An empty cache for a sequence of `sequence_length` tokens, those that will be generated included.
    ///
    /// Rotary scalings that depend on the length of the sequence go by this number from its first token to
    /// its last (see [`super::rope`]). A sequence that turns out longer has room, but its positions keep the
    /// frequencies of the plan.
    #[must_use]
    pub fn new_cache(&self, sequence_length: usize) -> KvCache {
        let cache = KvCache::new(self.spec.num_hidden_layers, sequence_length, self.kv_dtype);
        let in_parts = self.dtype == Dtype::Bf16x2 && self.device.is_cpu();
        cache.with_rounding(self.kv_dtype.are_rounded(self.dtype)).with_parts(in_parts)
    }

    /// Runs `tokens` `[t]` behind what `cache` holds and returns the logits of the last `keep_logits` rows,
    /// `[keep_logits, vocab]`, in f32.
    ///
    /// # Errors
    /// [`Error::Compute`] when memory is out, positions run past a learned embedding, or logits are not
    /// finite.
    pub fn forward(&self, tokens: &[u32], cache: &mut KvCache, forward: Forward<'_>) -> Result<Tensor> {
        self.forward_timed(tokens, cache, forward, &mut Spent::default())
    }

    /// The same; what attention and linear maps take is added to `spent`.
    ///
    /// # Errors
    /// As of [`Self::forward`].
    pub fn forward_timed(
        &self,
        tokens: &[u32],
        cache: &mut KvCache,
        forward: Forward<'_>,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let outputs = HeadOutputs::Replaced(&self.replaced);
        if !self.device.is_cpu() {
            return self.forward_here(tokens, cache, forward, outputs, spent);
        }
        // On a thread of the pool, which joins in every loop; any other would wake one and wait, hundreds of
        // times a pass.
        rayon::scope(|_| self.forward_here(tokens, cache, forward, outputs, spent))
    }

    fn forward_here(
        &self,
        tokens: &[u32],
        cache: &mut KvCache,
        mut forward: Forward<'_>,
        outputs: HeadOutputs<'_>,
        spent: &mut Spent,
    ) -> Result<Tensor> {
        let (t, first_position) = (tokens.len(), cache.len());
        let turns = self.spec.turns();
        let tables = turns.iter().map(|&(spec, rotary_dim)| {
            let rope = Rope::new(spec, rotary_dim, cache.sequence_length());
            rope.tables(first_position, t, &self.device)
        });
        let tables = tables.collect::<candle_core::Result<Vec<_>>>()?; // [t, rotary_dim / 2] each
        let x = self.embed(tokens, first_position)?; // [t, hidden]
        let per_layer = self.per_layer_inputs.as_ref().map(|inputs| inputs.of(tokens, &x, &self.device));
        let per_layer = per_layer.transpose()?; // [t, layers * width]
        let blocked = cache.blocked().clone();
        let mut rows = row_blocks::split(&x, &tables, per_layer.as_ref(), self.lm_head.is_packed())?;
        if let Some(ends) = &self.stream_ends {
            for block in &mut rows {
                block.streams = ends.begin(&block.x)?;
            }
        }
        for (index, (weights, layer)) in self.layers.iter().zip(&self.spec.layers).enumerate() {
            let attention = AttentionContext {
                layer: index,
                first_position,
                scale: self.spec.heads(layer).attention_scale,
                window: layer.window,
                softcap: self.spec.attn_logit_softcapping,
                bias: self.alibi.as_ref().map(|alibi| alibi as _),
                blocked: blocked.at(index),
                variant: forward.variant,
                multipliers: None,
            };
            let rope = turns.iter().position(|known| Some(*known) == self.spec.turn(layer));
            let screens = self.screens(forward.variant, index, cache.sequence_length())?;
            let context = LayerContext { attention, rope, screens: &screens, outputs };
            let watch = Watch { recorder: forward.probe.as_deref_mut(), spent: &mut *spent };
            weights.forward(&self.spec, &mut rows, cache, context, watch)?;
        }
        cache.advance(t);
        if let Some(ends) = &self.stream_ends {
            for block in rows.iter_mut().filter(|block| block.rows.end + forward.keep_logits > t) {
                block.x = ends.end(&block.streams)?;
            }
        }
        let kept = row_blocks::last(&rows, forward.keep_logits)?; // [kept, hidden]
        if forward.keep_logits == 0 {
            return Ok(kept);
        }
        let kept = match &self.norm {
            Some(norm) => norm.forward(&kept)?,
            None => kept,
        }; // [kept, hidden]
        let kept = match &self.projections {
            Some((_, out)) => out.forward(&kept)?,
            None => kept,
        }; // [kept, embedding_size]
        let logits = self.lm_head.forward(&kept)?.to_dtype(DType::F32)?; // [kept, vocab]
        let logits = scaled(logits, self.spec.logits_multiplier)?;
        let logits = match self.spec.final_logit_softcapping {
            Some(cap) => ((logits / cap)?.tanh()? * cap)?,
            None => logits,
        };
        check_finite(&logits, first_position + t - forward.keep_logits)?;
        Ok(logits)
    }

    /// What the tiles of a layer screen with, in a sequence of this length; nothing where there are no tiles.
    fn screens(
        &self,
        variant: &dyn AttentionVariant,
        layer: usize,
        sequence_length: usize,
    ) -> Result<Vec<Screen>> {
        let learned = variant.screens(layer);
        match (&self.spec.screening, learned) {
            (None, None) => Ok(Vec::new()),
            (Some(spec), Some(learned)) if learned.len() == self.spec.num_attention_heads => {
                Ok(learned.iter().map(|screen| spec.in_sequence(*screen, sequence_length)).collect())
            }
            _ => Err(Error::Compute(format!(
                "variant {} does not belong to this decoder: tiles screen, and nothing else does",
                variant.name()
            ))),
        }
    }

    /// Embeddings of tokens and, where they are learned, of positions: `[t, hidden]`.
    fn embed(&self, tokens: &[u32], first_position: usize) -> Result<Tensor> {
        let x = self.embed_tokens.rows(tokens, &self.device)?; // [t, hidden]
        let x = scaled(x, self.spec.embedding_multiplier)?;
        let x = self.projections.as_ref().map_or(Ok(x.clone()), |(project_in, _)| project_in.forward(&x))?;
        let x = self.embed_norm.as_ref().map_or(Ok(x.clone()), |norm| norm.forward(&x))?;
        let Some(positions) = &self.embed_positions else { return Ok(x) };
        let offset = self.spec.extras.position_offset;
        let (end, rows) = (first_position + tokens.len(), positions.dim(0)?.saturating_sub(offset));
        if end > rows {
            return Err(Error::Compute(format!(
                "position {end} is past the {rows} that this checkpoint has learned; use shorter `context \
                 lengths`"
            )));
        }
        Ok((x + positions.narrow(0, offset + first_position, tokens.len())?)?)
    }
}

/// The spec of screening tiles with the scales of embedding and logits that a checkpoint has learned,
/// `e^{s_E}` and `e^{s_F}`.
fn with_learned_multipliers(spec: DecoderSpec, weights: &Weights<'_>) -> Result<DecoderSpec> {
    Ok(DecoderSpec {
        embedding_multiplier: load_scale(weights, "s_E")?,
        logits_multiplier: load_scale(weights, "s_F")?,
        ..spec
    })
}

/// The norm stored here, with the weight and the bias that its kind asks for.
pub(super) fn load_norm(spec: &DecoderSpec, weights: &Weights<'_>) -> Result<Norm> {
    load_norm_with(spec, spec.norm_eps, weights)
}

/// The same with an epsilon of its own.
pub(super) fn load_norm_with(spec: &DecoderSpec, eps: f64, weights: &Weights<'_>) -> Result<Norm> {
    let shape = [spec.hidden_size];
    let bias = if spec.norm.has_bias() { Some(weights.get("bias", &shape)?) } else { None };
    let weight = match spec.norm.has_weight() {
        true => weights.get("weight", &shape)?,
        false => Tensor::ones(&shape, DType::F32, weights.device())?,
    }; // [hidden]
    Ok(Norm::new(spec.norm, weight, bias, eps)?)
}

/// `x` times a multiplier that is 1 in most families.
pub(super) fn scaled(x: Tensor, multiplier: f64) -> candle_core::Result<Tensor> {
    if multiplier == 1.0 { Ok(x) } else { x * multiplier }
}

/// Refuses logits with a NaN or an infinity, naming the first position they appear at.
pub(super) fn check_finite(logits: &Tensor, first_position: usize) -> Result<()> {
    let sums = logits.sum(D::Minus1)?.to_vec1::<f32>()?; // [kept]
    match sums.iter().position(|sum| !sum.is_finite()) {
        None => Ok(()),
        Some(row) => Err(Error::Compute(format!(
            "the logits at position {} are not finite: the weights are damaged or overflow at this length",
            first_position + row
        ))),
    }
}
