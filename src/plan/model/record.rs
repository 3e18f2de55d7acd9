//! What is told and stored of a model that was opened.

use std::path::Path;

use candle_core::Device;
use serde_json::{Map, Value, json};

use super::{OpenModel, RopeChoice};
use crate::checkpoint::SHIPPED_PREFIX;
use crate::error::Result;
use crate::model::kv_cache::KvDtypes;
use crate::spec::{Dtype, ScreeningSpec, WeightForm};

/// Facts by their keys, in the order that they are stored in.
pub(in crate::plan) type Facts = Map<String, Value>;

/// The members of an object.
pub(in crate::plan) fn facts(object: Value) -> Facts {
    match object {
        Value::Object(facts) => facts,
        _ => Facts::new(),
    }
}

impl OpenModel {
    /// The precisions that keys and values are kept in.
    #[must_use]
    pub fn kv_dtype(&self) -> KvDtypes {
        self.precision.cache(self.spec(), self.device())
    }

    /// What results depend on besides the weights; they are the same on every device. Behind it stands what
    /// is decided in some families alone.
    pub(in crate::plan) fn decisions(&self) -> (Facts, Facts) {
        let of_all = facts(json!({
            "dtype": self.precision.dtype,
            "kv_dtype": self.precision.cache(self.spec(), &Device::Cpu),
            "variant": self.variant.name(),
            "variant_description": self.variant.description(),
            "ssmax_scale": self.choice.ssmax_scale,
            "rope": self.spec().ropes(),
        }));
        let of_screening =
            |screening: &ScreeningSpec| json!({ "screening_window_expansion": screening.window_expansion });
        let mut of_some = self.spec().screening.as_ref().map(of_screening).map(facts).unwrap_or_default();
        if !self.choice.engine.is_own() {
            of_some.insert("engine".to_string(), json!(self.choice.engine));
        }
        (of_all, of_some)
    }

    /// What `run.json` says of it; `form` is that of its prompts.
    #[must_use]
    pub(crate) fn in_run(&self, form: &str) -> Value {
        let mut model = json!({
            "family": self.checkpoint.family,
            "form": form,
            "own_variant": self.checkpoint.own_variant.name,
            "parameters": self.spec().parameter_count(),
            "dtype": self.precision.dtype,
            "kv_dtype": self.kv_dtype(),
            "weights": self.precision.weights(),
            "weights_because": self.because,
            "matmul": self.precision.dtype.matmul(),
            "files": self.checkpoint.files(),
            "file_bytes": self.checkpoint.file_bytes(),
            "spec": self.spec(),
        });
        if let Some(largest) = self.spec().largest_score() {
            model["largest_score"] = json!(largest);
        }
        if !self.choice.engine.is_own() {
            model["engine"] = json!(self.choice.engine);
        }
        model
    }

    /// What `loss.json` says of it. The first call reads all of the weights, for their hash.
    ///
    /// # Errors
    /// When a file of weights cannot be read.
    pub(crate) fn in_loss(&self) -> Result<Value> {
        let spec = self.spec();
        Ok(json!({
            "family": self.checkpoint.family,
            "sha256": self.checkpoint.sha256()?,
            "own_variant": self.checkpoint.own_variant.name,
            "parameters": spec.parameter_count(),
            "kv_dtype": self.kv_dtype(),
            "matmul": self.precision.dtype.matmul(),
            "training_length": spec.training_length(),
            "rope": spec.ropes(),
            "screening": spec.screening,
        }))
    }

    /// What a file of logits says of every model. The first call reads all of the weights, for their hash.
    ///
    /// # Errors
    /// When a file of weights cannot be read.
    pub(crate) fn in_logits(&self) -> Result<Vec<(&'static str, String)>> {
        Ok(vec![
            ("model", self.choice.name.clone()),
            ("model_sha256", self.checkpoint.sha256()?.to_string()),
            ("dtype", self.precision.dtype.name().to_string()),
            ("kv_dtype", self.kv_dtype().name()),
            ("variant", self.variant.name().to_string()),
        ])
    }

    /// What a file of logits says of positions and windows that were asked for.
    #[must_use]
    pub(crate) fn changed_in_logits(&self) -> Vec<(&'static str, String)> {
        let choice = &self.choice;
        let screening = self.spec().screening.as_ref();
        let words = [
            ("rope_theta", choice.rope_theta.map(|theta| theta.to_string())),
            ("rope", choice.rope.map(|RopeChoice::None| "none".to_string())),
            ("rope_theta_scale", choice.rope_theta_scale.map(|scale| scale.to_string())),
            ("screening_window_expansion", screening.map(|screening| screening.window_expansion.to_string())),
        ];
        words.into_iter().filter_map(|(key, value)| Some((key, value?))).collect()
    }

    /// Checkpoint, family, variant and precision in one line.
    #[must_use]
    pub(crate) fn title(&self) -> String {
        let dtype = self.precision.dtype;
        if let Some(unseen) = self.spec().extras.black_box {
            let (name, family) = (&self.choice.name, self.checkpoint.family);
            return format!("{name} ({family}), {} of candle as a black box, weights f32", unseen.name());
        }
        let kept = match self.precision.weights() {
            WeightForm::Expanded | WeightForm::Rounded => "",
            WeightForm::Halves => " from 16 bits",
            WeightForm::Quantised => " from blocks",
        };
        format!(
            "{} ({}), {}, weights {}{kept} ({}), cache {}",
            self.choice.name,
            self.checkpoint.family,
            self.variant.name(),
            dtype.name(),
            dtype.matmul(),
            self.kv_dtype().name()
        )
    }

    /// A name for a directory: checkpoint and variant, and behind it windows as learned, the dtype when it is
    /// not f32, and that of the cache, where they were asked for.
    #[must_use]
    pub(crate) fn file_name(&self) -> String {
        let name = &self.choice.name;
        let model = Path::new(name.strip_prefix(SHIPPED_PREFIX).unwrap_or(name));
        let model = model.file_name().map_or("model".into(), |name| name.to_string_lossy());
        let model = model.strip_suffix(".gguf").unwrap_or(&model);
        let windows = match self.choice.screening_window_expansion {
            Some(false) => "-windows-as-learned",
            _ => "",
        };
        let dtype = match self.precision.dtype {
            Dtype::F32 => String::new(),
            other => format!("-{}", other.name()),
        };
        let asked = self.choice.kv_dtypes(self.spec(), self.precision.dtype);
        let cache = asked.map_or(String::new(), |cache| format!("-{}", cache.file_name()));
        // A colon is no part of a file's name everywhere.
        let variant = self.variant.name().replace(':', "-");
        format!("{model}-{variant}{windows}{dtype}{cache}")
    }
}
