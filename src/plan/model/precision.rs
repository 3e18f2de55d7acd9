//! The precision that a plan computes in.

use candle_core::Device;

use super::ModelChoice;
use super::chosen::known_speeds;
use crate::attention::AttentionVariant;
use crate::checkpoint::{Checkpoint, KeptWeights};
use crate::error::{Error, Result};
use crate::model::black_box::BlackBox;
use crate::model::causal_lm::CausalLm;
use crate::model::decoder::Decoder;
use crate::model::kv_cache::{KvDtype, KvDtypes};
use crate::spec::{DecoderSpec, Dtype, WeightForm};

impl ModelChoice {
    /// The precision that a checkpoint runs in.
    ///
    /// Where nothing is asked for, f32: exact, and the same answers whatever the processor multiplies fast.
    /// Rounding weights and activations to bf16 changes answers of small models (docs/models.md). Weights are
    /// held in the form that fits into memory and is the fastest, as far as that has been measured on this
    /// machine; it changes no number.
    #[must_use]
    pub fn precision(&self, checkpoint: &Checkpoint) -> Precision {
        self.chosen(checkpoint, |kept| known_speeds(checkpoint, kept)).0
    }

    /// Refuses a form that no matrix of a checkpoint is in, and any in integers, which leave no choice.
    pub(in crate::plan) fn check_weights(&self, checkpoint: &Checkpoint) -> Result<()> {
        if let (Some(asked), Some(Dtype::Int8)) = (self.weights, self.dtype) {
            let expected =
                "nothing with dtype int8: blocks stay as they are, and numbers are rounded to such";
            return Err(Error::invalid("weights", asked.name(), expected));
        }
        let Some(asked) = self.weights.filter(|form| *form != WeightForm::Expanded) else { return Ok(()) };
        let found = checkpoint.kept_weights(Dtype::F32).map(|kept| kept.form);
        if found == Some(asked) {
            return Ok(());
        }
        let found = found.map_or(String::new(), |form| format!("{}, or ", form.name()));
        let none = match asked {
            WeightForm::Halves => "stands in numbers of 16 bits alone",
            _ => "is in blocks of a GGUF file that are smaller than its numbers",
        };
        let expected = format!("{found}expanded: no matrix of this checkpoint {none}");
        Err(Error::invalid("weights", asked.name(), expected))
    }

    /// `, weights in bf16, keys in q4_0`, as it stands in a title: the weights where they are not f32, and
    /// what is asked for of the cache; nothing where neither is.
    #[must_use]
    pub(crate) fn rounding(&self) -> String {
        let weights = self.dtype.filter(|&dtype| dtype != Dtype::F32);
        let weights = weights.map(|dtype| format!(", weights in {}", dtype.name()));
        let cache = self.cache_in_words().map(|words| format!(", {words}"));
        [weights, cache].into_iter().flatten().collect()
    }

    /// What is asked for of the cache, in words; nothing where nothing is.
    fn cache_in_words(&self) -> Option<String> {
        let named = [("cache", self.kv_dtype), ("keys", self.k_dtype), ("values", self.v_dtype)];
        let words: Vec<String> = named
            .into_iter()
            .filter_map(|(what, dtype)| Some(format!("{what} in {}", dtype?.name())))
            .collect();
        (!words.is_empty()).then(|| words.join(", "))
    }

    /// The precisions of the cache that are asked for. Of keys and values, that which is not named apart has
    /// the precision of both, or follows the weights.
    pub(super) fn kv_dtypes(&self, spec: &DecoderSpec, dtype: Dtype) -> Option<KvDtypes> {
        if self.k_dtype.is_none() && self.v_dtype.is_none() {
            return self.kv_dtype.map(Into::into);
        }
        let both = self.kv_dtype.unwrap_or(KvDtype::following(spec, dtype, &Device::Cpu));
        Some(KvDtypes { keys: self.k_dtype.unwrap_or(both), values: self.v_dtype.unwrap_or(both) })
    }
}

/// The precision of weights and of the cache.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Precision {
    /// Of the weights.
    pub dtype: Dtype,
    /// Of cached keys and values; that which follows from the weights when absent.
    pub kv_dtype: Option<KvDtypes>,
    /// What weights take that stay as their file has them; nothing where they are expanded.
    pub kept: Option<KeptWeights>,
}

impl Precision {
    /// That of the cached keys and values of such a decoder on `device`.
    #[must_use]
    pub fn cache(self, spec: &DecoderSpec, device: &Device) -> KvDtypes {
        self.kv_dtype.unwrap_or_else(|| KvDtype::following(spec, self.dtype, device).into())
    }

    /// The same for a rule: one that does more to scores than to multiply them reads keys in f32.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when another precision of the cache was asked for.
    pub fn under(self, variant: &dyn AttentionVariant, spec: &DecoderSpec) -> Result<Self> {
        if !spec.attention_layers().any(|layer| variant.needs_scores(layer)) {
            return Ok(self);
        }
        match self.kv_dtype {
            Some(other) if other != KvDtype::F32.into() => {
                let expected = format!("f32: variant {} needs scores in that precision", variant.name());
                Err(Error::invalid("kv dtype", other.name(), expected))
            }
            // f32 that follows from the weights stays what follows from them.
            None if KvDtype::following(spec, self.dtype, &Device::Cpu) == KvDtype::F32 => Ok(self),
            _ => Ok(Self { kv_dtype: Some(KvDtype::F32.into()), ..self }),
        }
    }

    /// The form of the weights.
    #[must_use]
    pub fn weights(self) -> WeightForm {
        match self.kept {
            Some(kept) => kept.form,
            None if self.dtype == Dtype::Int8 => WeightForm::Rounded,
            None => WeightForm::Expanded,
        }
    }

    /// Loads the weights of a checkpoint.
    ///
    /// # Errors
    /// When they are damaged or do not fit the configuration, or the device keeps no such cache.
    pub fn decoder(self, checkpoint: &Checkpoint, device: &Device) -> Result<Box<dyn CausalLm>> {
        if checkpoint.spec.extras.black_box.is_some() {
            return Ok(Box::new(checkpoint.load(device, self.dtype, BlackBox::load)?));
        }
        Ok(Box::new(self.own_decoder(checkpoint, device)?))
    }

    /// The same of a model that no other engine computes.
    pub(in crate::plan) fn own_decoder(self, checkpoint: &Checkpoint, device: &Device) -> Result<Decoder> {
        if self.dtype == Dtype::Int8 && !device.is_cpu() {
            let expected = "f32, bf16 or f16: products of integers are those of the CPU";
            return Err(Error::invalid("dtype", self.dtype.name(), expected));
        }
        let decoder = checkpoint.load_in_form(self.weights(), device, self.dtype, Decoder::load)?;
        decoder.with_kv_dtype(self.kv_dtype)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn regression_the_default_precision_does_not_depend_on_the_processor() {
        use crate::checkpoint::{RopeOverride, SHIPPED};
        let llama = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/vectors/llama").to_string();
        let shipped = SHIPPED.iter().map(|entry| format!("shipped:{}", entry.name));
        for name in shipped.chain([llama]) {
            let checkpoint = Checkpoint::open(&name, RopeOverride::default()).unwrap();
            let found = ModelChoice::default().precision(&checkpoint);
            let cache = found.cache(&checkpoint.spec, &Device::Cpu);
            assert_eq!((found.dtype, cache), (Dtype::F32, KvDtype::F32.into()), "{name}");
        }
    }

    #[test]
    fn numbers_of_16_bits_stay_so_and_others_are_expanded_unless_another_form_is_asked_for() {
        use crate::checkpoint::RopeOverride;
        use WeightForm::{Expanded, Halves, Quantised, Rounded};
        let f32 = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/vectors/llama");
        let bf16 = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/config_cases/llama");
        for (name, dtype, weights, expected) in [
            (bf16, None, None, Halves),
            (bf16, None, Some(Halves), Halves),
            (bf16, None, Some(Expanded), Expanded),
            // As small as they are.
            (bf16, Some(Dtype::Bf16), None, Expanded),
            (f32, None, None, Expanded),
            // Rounded to 8 bits.
            (bf16, Some(Dtype::Int8), None, Rounded),
        ] {
            let checkpoint = Checkpoint::open(name, RopeOverride::default()).unwrap();
            let choice = ModelChoice { dtype, weights, ..ModelChoice::default() };
            choice.check_weights(&checkpoint).unwrap();
            assert_eq!(choice.precision(&checkpoint).weights(), expected, "{name} {dtype:?} {weights:?}");
        }
        for (name, asked, said) in [
            (bf16, Quantised, "16bit, or expanded: no matrix of this checkpoint is in blocks"),
            (f32, Quantised, "expanded: no matrix of this checkpoint is in blocks"),
            (f32, Halves, "expanded: no matrix of this checkpoint stands in numbers of 16 bits"),
        ] {
            let checkpoint = Checkpoint::open(name, RopeOverride::default()).unwrap();
            let choice = ModelChoice { weights: Some(asked), ..ModelChoice::default() };
            let refused = choice.check_weights(&checkpoint).unwrap_err().to_string();
            assert!(refused.contains(said), "{refused}");
        }
        let checkpoint = Checkpoint::open(bf16, RopeOverride::default()).unwrap();
        let choice =
            ModelChoice { dtype: Some(Dtype::Int8), weights: Some(Expanded), ..ModelChoice::default() };
        let refused = choice.check_weights(&checkpoint).unwrap_err().to_string();
        assert!(refused.contains("expanded") && refused.contains("dtype int8"), "{refused}");
    }

    #[test]
    fn a_rule_of_whole_rows_is_cached_in_f32_and_refuses_another_precision() {
        use crate::attention::variant::{VariantInputs, build};
        use crate::checkpoint::RopeOverride;
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/vectors/llama");
        let spec = Checkpoint::open(folder, RopeOverride::default()).unwrap().spec;
        let inputs =
            VariantInputs { layers: &spec.layers, training_length: Some(64), ..VariantInputs::default() };
        let under = |name: &str, dtype, kv_dtype: Option<KvDtype>| {
            let kv_dtype = kv_dtype.map(KvDtypes::from);
            let variant = build(name, &inputs).unwrap();
            Precision { dtype, kv_dtype, kept: None }
                .under(variant.as_ref(), &spec)
                .map(|precision| precision.kv_dtype)
        };
        for name in ["topk:8", "entmax15", "adaptive-temperature", "scale-invariant"] {
            assert_eq!(under(name, Dtype::Bf16, None).unwrap(), Some(KvDtype::F32.into()), "{name}");
            assert_eq!(under(name, Dtype::F32, None).unwrap(), None, "{name}");
            let refused = under(name, Dtype::F32, Some(KvDtype::Bf16)).unwrap_err().to_string();
            assert!(refused.contains("kv dtype: found bf16") && refused.contains(name), "{refused}");
            assert!(under(name, Dtype::F32, Some(KvDtype::Q4_0)).is_err());
        }
        assert_eq!(under("constant", Dtype::Bf16, None).unwrap(), None);
    }

    #[test]
    fn keys_and_values_named_apart_leave_the_other_as_it_would_be() {
        use crate::checkpoint::RopeOverride;
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/vectors/llama");
        let checkpoint = Checkpoint::open(folder, RopeOverride::default()).unwrap();
        let (f32, bf16, q8, q4) = (KvDtype::F32, KvDtype::Bf16, KvDtype::Q8_0, KvDtype::Q4_0);
        for (dtype, [both, keys, values], expected) in [
            (Dtype::F32, [None, Some(q8), None], Some((q8, f32))),
            (Dtype::Bf16, [None, None, Some(q4)], Some((bf16, q4))),
            (Dtype::Bf16, [Some(q8), None, Some(q4)], Some((q8, q4))),
            (Dtype::F32, [Some(q8), None, None], Some((q8, q8))),
            (Dtype::Bf16, [None, None, None], None),
        ] {
            let choice = ModelChoice {
                dtype: Some(dtype),
                kv_dtype: both,
                k_dtype: keys,
                v_dtype: values,
                ..ModelChoice::default()
            };
            let found = choice.precision(&checkpoint).kv_dtype;
            assert_eq!(found.map(|found| (found.keys, found.values)), expected);
            let words = choice.cache_in_words().unwrap_or_default();
            assert_eq!(words.contains("values in q4_0"), values.is_some(), "{words}");
        }
    }

    #[test]
    fn rows_that_choose_their_keys_are_cached_in_f32() {
        use crate::checkpoint::RopeOverride;
        use crate::spec::{IndexerSpec, LatentSpec};
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/vectors/llama");
        let mut spec = Checkpoint::open(folder, RopeOverride::default()).unwrap().spec;
        let following = |spec: &DecoderSpec| KvDtype::following(spec, Dtype::Bf16, &Device::Cpu);
        assert_eq!(following(&spec), KvDtype::Bf16);
        let indexer = IndexerSpec { index_n_heads: 2, index_head_dim: 8, index_topk: 16 };
        spec.layers[1].latent = Some(LatentSpec {
            q_lora_rank: None,
            kv_lora_rank: 12,
            qk_nope_head_dim: 8,
            qk_rope_head_dim: 4,
            v_head_dim: 8,
            indexer: Some(indexer),
        });
        assert_eq!(following(&spec), KvDtype::F32);
        let refused = spec.check_kv_dtype(Some(KvDtype::Bf16)).unwrap_err().to_string();
        assert!(refused.contains("rows choose the keys"), "{refused}");
        for keys in [KvDtype::Q8_0, KvDtype::Q4_0] {
            assert!(spec.check_kv_dtype(Some(KvDtypes { keys, values: KvDtype::F32 })).is_err());
        }
        assert!(spec.check_kv_dtype(Some(KvDtype::F32)).is_ok());
    }
}
