//! Memory a run will take, known before it starts.

use std::fmt;

use candle_core::Device;
use serde::Serialize;

use super::Precision;
use crate::error::{Error, Result};
use crate::model::kv_cache::MARKS;
use crate::process::{available_memory, own_limit};
use crate::spec::Dtype;
use crate::spec::{DecoderSpec, HeadSizes, LayerSpec};

/// Bytes by purpose. Files of weights are read piece by piece, so they are not counted. Peak memory grows
/// with the prompt, never with its square: scores exist for one block of keys at a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct MemoryPlan {
    /// The weights, in their dtype, or as their file has them.
    pub weights: usize,
    /// Weights that are kept a second time: a tied head in bf16, as rows for the embedding and packed for the
    /// product.
    pub copies: usize,
    /// Keys and values of the longest prompt.
    pub cache: usize,
    /// States of layers that keep no keys, with the copies that the cache goes back to.
    #[serde(skip_serializing_if = "is_zero")]
    pub states: usize,
    /// Activations of one chunk, the logits and full attention rows of the answer's queries, the program and
    /// its tokenizer.
    pub working: usize,
    /// Logits and attention that are kept whole; none in a run.
    pub output: usize,
    /// The most that is held while the weights load, when nothing else is there yet.
    pub loading: usize,
}

pub(super) fn is_zero(bytes: &usize) -> bool {
    *bytes == 0
}

const F32: usize = size_of::<f32>();

/// The program itself, its threads and what its allocator keeps.
const PROGRAM: usize = 32 << 20;

/// What a tokenizer holds for one entry of its vocabulary: the text twice, tables, merges.
const VOCABULARY_ENTRY: usize = 512;

/// Rows that get logits at once: the answer's tokens under teacher forcing.
const LOGIT_ROWS: usize = 16;

impl MemoryPlan {
    /// The memory of prompts of `longest` tokens, `chunk` of them at a time.
    #[must_use]
    pub fn new(spec: &DecoderSpec, precision: Precision, longest: usize, chunk: usize) -> Self {
        let chunk = chunk.min(longest);
        // Scores and weights of one probed row of all heads, and the three rows that a probe keeps. Screening
        // has a row for each step of its equations, and a softmask by distance for each tile.
        let of_heads = if spec.screening.is_some() { 7 } else { 2 };
        let rows = longest.saturating_mul(of_heads * spec.num_attention_heads + 4);
        // Of several residual streams, those before a layer and those behind it.
        let streams = 4 + spec.extras.alt_up.map_or(0, |alt_up| 2 * alt_up.altup_num_inputs);
        let activations = chunk.saturating_mul(widest(spec) + streams * spec.hidden_size);
        let logits = 3 * LOGIT_ROWS * spec.vocab_size;
        let program = PROGRAM + VOCABULARY_ENTRY * spec.vocab_size;
        let dtype = precision.dtype;
        let table = spec.vocab_size * spec.hidden_size;
        let weights = precision.kept.map_or(dtype.bytes(spec.parameter_count()), |kept| kept.bytes);
        let kept_table = precision.kept.is_some_and(|kept| kept.table);
        let copies = match dtype {
            Dtype::Bf16 if spec.tie_word_embeddings && !kept_table => dtype.bytes(table),
            // What is looked up is in f32 beside the integers that are multiplied.
            Dtype::Int8 if precision.kept.is_none() => Dtype::F32.bytes(table),
            _ => 0,
        };
        // Embedding and head come first, in f32 beside what they are read from (quantised: a byte a weight,
        // twice) or made into; then the matrices of the blocks, each in f32 for a while.
        let beside =
            if matches!(dtype, Dtype::F32 | Dtype::Bf16x2) { 2 * table } else { 2 * dtype.bytes(table) };
        let blocks = weights.saturating_add(copies).saturating_add(F32 * largest_matrix(spec));
        let loading = match precision.kept {
            None => F32.saturating_mul(table).saturating_add(beside).max(blocks).saturating_add(program),
            // A matrix that is kept is read as it stays.
            Some(kept) => weights.saturating_add(F32 * kept.largest_expanded).saturating_add(program),
        };
        let cache = precision.cache(spec, &Device::Cpu);
        Self {
            weights,
            copies,
            cache: cache.cache_bytes(spec, longest),
            states: spec.state_bytes().saturating_mul(1 + MARKS),
            working: rows
                .saturating_add(activations.saturating_add(logits))
                .saturating_mul(F32)
                .saturating_add(cache.rounded_bytes(spec, precision.dtype, longest, chunk))
                .saturating_add(spec.extras.black_box.map_or(0, |unseen| unseen.whole_bytes(spec, longest)))
                .saturating_add(program),
            output: 0,
            loading,
        }
    }

    /// The memory of `tokens` tokens, `chunk` of them at a time, when all logits and `attention` bytes of
    /// weights are kept.
    #[must_use]
    pub fn of_logits(
        spec: &DecoderSpec,
        precision: Precision,
        tokens: usize,
        chunk: usize,
        attention: usize,
    ) -> Self {
        let row = spec.vocab_size.saturating_mul(F32);
        let run = Self::new(spec, precision, tokens, chunk);
        Self {
            working: run.working.saturating_add(chunk.saturating_mul(3 * row)),
            output: tokens.saturating_mul(row).saturating_add(attention),
            ..run
        }
    }

    /// The most that is held at once.
    #[must_use]
    pub fn total(&self) -> usize {
        let running = [self.copies, self.cache, self.states, self.working, self.output];
        running.into_iter().fold(self.weights, usize::saturating_add).max(self.loading)
    }

    /// Whether it fits into the memory that is available. Where the machine does not say how much that is,
    /// all fits that some machine could hold.
    #[must_use]
    pub fn fits(&self) -> bool {
        self.total() <= available()
    }

    /// Refuses a plan that does not fit, in this precision, and says what to do about it.
    ///
    /// # Errors
    /// [`Error::Message`] with the numbers.
    pub fn check(&self, precision: Precision, remedy: &str) -> Result<()> {
        if self.fits() {
            return Ok(());
        }
        let smaller = match (precision.dtype, precision.kept) {
            (Dtype::F32 | Dtype::Bf16x2, None) => "; `dtype` bf16 takes half of the weights",
            _ => "",
        };
        let available = available();
        let limit = own_limit().filter(|(_, left)| *left <= available);
        let under = limit.map(|(command, _)| format!(" under {command}")).unwrap_or_default();
        let available = gib(available);
        Err(Error::Message(format!(
            "the run needs {self}, but only {available} is available{under}; {remedy}{smaller}"
        )))
    }
}

impl fmt::Display for MemoryPlan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} of memory (weights {}", gib(self.total()), gib(self.weights))?;
        let parts = [
            ("packed copies", self.copies),
            ("cache", self.cache),
            ("states", self.states),
            ("working set", self.working),
        ];
        for (name, bytes) in parts {
            if bytes > 0 {
                write!(f, ", {name} {}", gib(bytes))?;
            }
        }
        if self.output > 0 {
            write!(f, ", output {}", gib(self.output))?;
        }
        if self.total() == self.loading {
            write!(f, "; {} while the weights load", gib(self.loading))?;
        }
        f.write_str(")")
    }
}

fn available() -> usize {
    available_memory().unwrap_or(isize::MAX as usize)
}

/// Weights of the largest matrix of a block; experts may be stored as one.
fn largest_matrix(spec: &DecoderSpec) -> usize {
    let width = |layer: &LayerSpec| match layer.moe {
        None => spec.intermediate_of(layer).max(spec.num_attention_heads * spec.heads(layer).head_dim),
        // Gates that alternate with up projections are put in order in a copy.
        Some(moe) => {
            let copies = if moe.experts.has_bias() { 2 } else { 1 };
            2 * copies * moe.num_experts * moe.moe_intermediate_size
        }
    };
    let widest = spec.hidden_size * spec.layers.iter().map(width).max().unwrap_or(0);
    let recurrent = spec.recurrent().map(|mixer| mixer.largest_matrix(spec.hidden_size)).max();
    widest.max(recurrent.unwrap_or(0))
}

/// Numbers that one token takes beside the residual stream where a block is widest: in attention (queries as
/// they are projected, rotated, scaled and cut into blocks, and what is mixed for them), or in the MLP. In
/// screening tiles: queries, keys and values, gates, what is mixed in blocks, put together and gated, and
/// what one map projects.
fn widest(spec: &DecoderSpec) -> usize {
    if let Some(screening) = &spec.screening {
        return spec.num_attention_heads * (2 * spec.head_dim + 6 * screening.value_dim);
    }
    let attention = |heads: HeadSizes| {
        heads.cached_width() * (7 * spec.num_attention_heads + 5 * heads.num_key_value_heads)
    };
    let recurrent = spec.recurrent().map(|mixer| mixer.activations(spec.hidden_size)).max().unwrap_or(0);
    spec.cached_heads().map(attention).max().unwrap_or(0).max(recurrent).max(feed_forward_width(spec))
}

/// Numbers that one token takes in the widest MLP or mixture of experts. Of a mixture, one expert computes at
/// a time, while the inputs and outputs of all that the token meets are there, by expert and by token.
fn feed_forward_width(spec: &DecoderSpec) -> usize {
    let width = |layer: &LayerSpec| match layer.moe {
        None => 4 * spec.intermediate_of(layer),
        Some(moe) => {
            let experts = 4 * moe.moe_intermediate_size
                + moe.num_experts
                + 5 * moe.num_experts_per_tok * spec.hidden_size;
            // What the MLP beside them has made waits for them.
            let dense = 4 * spec.intermediate_of(layer);
            if moe.beside_mlp { dense.max(experts + 2 * spec.hidden_size) } else { experts }
        }
    };
    spec.layers.iter().map(width).max().unwrap_or(0)
}

fn gib(bytes: usize) -> String {
    format!("{:.2} GiB", bytes as f64 / f64::from(1 << 30))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::{Checkpoint, KeptWeights, RopeOverride};
    use crate::model::kv_cache::{KvDtype, KvDtypes};
    use crate::spec::WeightForm;

    #[test]
    fn a_cache_of_keys_and_values_apart_takes_what_each_takes() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/vectors/llama");
        let spec = Checkpoint::open(folder, RopeOverride::default()).unwrap().spec;
        let of = |keys, values| KvDtypes { keys, values }.cache_bytes(&spec, 1000);
        use KvDtype::{Bf16, F32, Q4_0, Q8_0};
        assert_eq!(2 * of(Q8_0, Q4_0), of(Q8_0, Q8_0) + of(Q4_0, Q4_0));
        assert_eq!(2 * of(Bf16, Q4_0), of(Bf16, Bf16) + of(Q4_0, Q4_0));
        assert_eq!(of(F32, Q4_0), of(Q4_0, F32));
        assert!(of(Q8_0, Q8_0) as f64 <= 0.55 * of(Bf16, Bf16) as f64);
    }

    fn plan(dtype: Dtype, kv_dtype: Option<KvDtype>, longest: usize) -> MemoryPlan {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/vectors/llama");
        let spec = Checkpoint::open(folder, RopeOverride::default()).unwrap().spec;
        MemoryPlan::new(
            &spec,
            Precision { dtype, kv_dtype: kv_dtype.map(Into::into), kept: None },
            longest,
            512,
        )
    }

    #[test]
    fn a_tied_head_is_kept_twice_in_bf16_alone() {
        let copies = |dtype| plan(dtype, None, 100).copies;
        // 256 rows of 32 numbers.
        assert_eq!([Dtype::F32, Dtype::F16, Dtype::Bf16].map(copies), [0, 0, 2 * 256 * 32]);
    }

    #[test]
    fn the_cache_has_a_precision_of_its_own() {
        // 4 layers, 2 heads of width 8: in pages of 256 tokens whose rows are 32 wide, or as many numbers as
        // there are.
        let (f32, pages) = (4 * 2 * 2 * 8 * 4, 4 * 2 * 2 * 32 * 2);
        for dtype in [Dtype::F32, Dtype::Bf16] {
            assert_eq!(plan(dtype, Some(KvDtype::F32), 300).cache, 300 * f32);
            assert_eq!(plan(dtype, Some(KvDtype::Bf16), 300).cache, 512 * pages);
        }
        // 34 and 18 bytes for every 32 numbers, where bf16 has 64.
        for (kv_dtype, bytes) in [(KvDtype::Q8_0, 34), (KvDtype::Q4_0, 18)] {
            assert_eq!(plan(Dtype::F32, Some(kv_dtype), 300).cache, 512 * pages / 64 * bytes);
        }
        assert_eq!(plan(Dtype::Bf16, None, 300), plan(Dtype::Bf16, Some(KvDtype::Bf16), 300));
        // What is rounded beside weights in bf16 is of some heads of one layer.
        let working = |kv_dtype| plan(Dtype::Bf16, Some(kv_dtype), 300).working;
        let tiles = working(KvDtype::Q8_0) - working(KvDtype::Bf16);
        assert!((1..=2).any(|heads| tiles == 512 * heads * 2 * 32 * 2), "{tiles} bytes of tiles");
        assert_eq!(working(KvDtype::F32), working(KvDtype::Bf16));
    }

    #[test]
    fn weights_in_blocks_take_what_the_blocks_take_and_no_more_while_they_load() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/vectors/llama");
        let spec = Checkpoint::open(folder, RopeOverride::default()).unwrap().spec;
        let form = WeightForm::Quantised;
        let kept = |table| Some(KeptWeights { form, bytes: 12_345, largest_expanded: 100, table });
        let plan = |dtype, kept| MemoryPlan::new(&spec, Precision { dtype, kv_dtype: None, kept }, 300, 512);
        let found = plan(Dtype::F32, kept(true));
        assert_eq!((found.weights, found.copies), (12_345, 0));
        assert_eq!(found.loading, 12_345 + 4 * 100 + PROGRAM + VOCABULARY_ENTRY * spec.vocab_size);
        assert_eq!((found.cache, found.working), {
            let expanded = plan(Dtype::F32, None);
            (expanded.cache, expanded.working)
        });
        // A tied head is kept twice where the embedding is no block.
        assert_eq!([true, false].map(|table| plan(Dtype::Bf16, kept(table)).copies), [0, 2 * 256 * 32]);
    }

    #[test]
    fn the_total_is_the_run_or_the_loading_whichever_is_more() {
        let run = plan(Dtype::Bf16, None, 1000);
        assert_eq!(run.total(), run.weights + run.copies + run.cache + run.working);
        assert_eq!(run.states, 0);
        let loading = MemoryPlan { loading: 1 << 40, ..run };
        assert_eq!(loading.total(), 1 << 40);
        assert!(loading.to_string().contains("1024.00 GiB while the weights load"), "{loading}");
        assert!(run.to_string().contains("packed copies") && !run.to_string().contains("while"), "{run}");
        let refused = loading
            .check(Precision { dtype: Dtype::F32, kv_dtype: None, kept: None }, "do something")
            .unwrap_err()
            .to_string();
        assert!(
            refused.contains("1024.00 GiB") && refused.contains("do something; `dtype` bf16"),
            "{refused}"
        );
    }
}
