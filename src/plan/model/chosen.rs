//! The form that weights are held in, and why. Forms differ in memory and time, and in no number, so nothing
//! of this is a part of what a run is known by.

use std::fmt;

use candle_core::Device;
use serde::Serialize;

use super::{ModelChoice, Precision, known};
use crate::checkpoint::Checkpoint;
use crate::model::form_speed::{FormSpeed, FormSpeeds, measure};
use crate::plan::MemoryPlan;
use crate::spec::{Dtype, WeightForm};
use crate::weights::Weights;

/// Weights up to which a model is not worth a measurement: it loads in less time than that takes.
const SMALL: usize = 1 << 25;

/// Tokens of the prompt, and of the answer, whose time decides: what a run reads is far longer than what it
/// writes.
const PROMPT: f64 = 1024.0;
const ANSWER: f64 = 16.0;

/// The share of time that a form in less memory may take more.
const AS_FAST: f64 = 0.02;

/// Why weights are held in their form.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(tag = "reason", rename_all = "kebab-case")]
pub enum Because {
    /// It was asked for.
    Asked,
    /// There is no other.
    Only,
    /// Expanded weights do not fit into memory.
    Memory,
    /// Without a measurement: numbers of 16 bits stay, and blocks are expanded.
    Unmeasured,
    /// It is the fastest, or takes less memory and is as fast.
    Measured(FormSpeeds),
}

impl fmt::Display for Because {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Asked => f.write_str("as asked for"),
            Self::Only => f.write_str("the only form that there is"),
            Self::Memory => f.write_str("expanded they do not fit into memory"),
            Self::Unmeasured => f.write_str("by rule: too small to be measured"),
            Self::Measured(FormSpeeds { expanded, kept }) => {
                let more = 100.0 * (time(*kept) / time(*expanded) - 1.0);
                let (size, word) = (more.abs(), if more < 0.0 { "less" } else { "more" });
                write!(
                    f,
                    "as the file has them, a prompt of 1k tokens and an answer of 16 take {size:.0} % {word} \
                     time than expanded (measured on this machine)"
                )
            }
        }
    }
}

/// The time that a number of a matrix takes in a prompt and its answer, in nanoseconds.
fn time(speed: FormSpeed) -> f64 {
    PROMPT * speed.prefill + ANSWER * speed.decode
}

/// Whether weights stay in the form of their file, which takes less memory, and why.
fn settled(form: WeightForm, speeds: Option<FormSpeeds>) -> (bool, Because) {
    let Some(speeds) = speeds else { return (form == WeightForm::Halves, Because::Unmeasured) };
    let stays = time(speeds.kept) <= (1.0 + AS_FAST) * time(speeds.expanded);
    (stays, Because::Measured(speeds))
}

impl ModelChoice {
    /// The precision that a checkpoint runs in on the CPU, and why its weights have their form; `speeds` are
    /// asked for where they decide.
    pub(super) fn chosen(
        &self,
        checkpoint: &Checkpoint,
        speeds: impl FnOnce(Precision) -> Option<FormSpeeds>,
    ) -> (Precision, Because) {
        let dtype = self.dtype.unwrap_or_default();
        let expanded = Precision { dtype, kv_dtype: self.kv_dtypes(&checkpoint.spec, dtype), kept: None };
        if self.weights == Some(WeightForm::Expanded) {
            return (expanded, Because::Asked);
        }
        let Some(form) = checkpoint.kept_weights(dtype) else { return (expanded, Because::Only) };
        let kept = Precision { kept: Some(form), ..expanded };
        if dtype == Dtype::Int8 {
            // Expanded weights would be rounded again, to other numbers.
            return (kept, Because::Only);
        }
        if self.weights.is_some() {
            return (kept, Because::Asked);
        }
        if !MemoryPlan::new(&checkpoint.spec, expanded, 1, 1).fits() {
            return (kept, Because::Memory);
        }
        let large = checkpoint.spec.parameter_count() > SMALL;
        let (stays, because) = settled(form.form, if large { speeds(kept) } else { None });
        (if stays { kept } else { expanded }, because)
    }
}

/// What has been measured of such a checkpoint on this machine.
pub(super) fn known_speeds(checkpoint: &Checkpoint, kept: Precision) -> Option<FormSpeeds> {
    known::Of::new(&checkpoint.kept_matrices(kept.dtype), kept).known()
}

/// The same, measured now where it is not known. Weights that cannot be read are no error here: that is told
/// when they load.
pub(super) fn speeds(checkpoint: &Checkpoint, kept: Precision) -> Option<FormSpeeds> {
    let matrices = checkpoint.kept_matrices(kept.dtype);
    let of = known::Of::new(&matrices, kept);
    of.known().or_else(|| measured(checkpoint, kept, &matrices).inspect(|speeds| of.keep(speeds)))
}

fn measured(
    checkpoint: &Checkpoint,
    kept: Precision,
    matrices: &[(String, [usize; 2])],
) -> Option<FormSpeeds> {
    let by = |_, weights: &Weights<'_>| measure(weights, matrices);
    checkpoint.load_in_form(kept.weights(), &Device::Cpu, kept.dtype, by).ok().flatten()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checkpoint::RopeOverride;

    fn speeds(expanded: [f64; 2], kept: [f64; 2]) -> FormSpeeds {
        let speed = |[prefill, decode]: [f64; 2]| FormSpeed { prefill, decode };
        FormSpeeds { expanded: speed(expanded), kept: speed(kept) }
    }

    #[test]
    fn the_faster_form_is_chosen_and_of_equals_the_smaller() {
        for (expanded, kept, stays) in [
            // A prompt of 1024 tokens and an answer of 16: 1024 + 1600 against 1024 + 800.
            ([1.0, 100.0], [1.0, 50.0], true),
            ([1.0, 100.0], [1.0, 100.0], true),
            // 2624 against 2675 and 2678, of which 2 % more would be 2676.
            ([1.0, 100.0], [1.05, 100.0], true),
            ([1.0, 100.0], [1.053, 100.0], false),
            // Faster to decode, and too slow to read.
            ([1.0, 100.0], [2.0, 50.0], false),
            ([1.0, 100.0], [1.0, 104.0], false),
        ] {
            let speeds = speeds(expanded, kept);
            for form in [WeightForm::Halves, WeightForm::Quantised] {
                let found = settled(form, Some(speeds));
                assert_eq!(found, (stays, Because::Measured(speeds)), "{expanded:?} {kept:?}");
            }
        }
        assert_eq!(settled(WeightForm::Halves, None), (true, Because::Unmeasured));
        assert_eq!(settled(WeightForm::Quantised, None), (false, Because::Unmeasured));
    }

    #[test]
    fn both_forms_of_the_matrices_of_a_checkpoint_are_measured() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/config_cases/llama");
        let checkpoint = Checkpoint::open(folder, RopeOverride::default()).unwrap();
        let matrices = checkpoint.kept_matrices(Dtype::F32);
        assert!(matrices.iter().all(|(name, _)| name.starts_with("model.layers.")), "{matrices:?}");
        let kept = Precision { dtype: Dtype::F32, kv_dtype: None, kept: checkpoint.kept_weights(Dtype::F32) };
        let FormSpeeds { expanded, kept: halves } = measured(&checkpoint, kept, &matrices).unwrap();
        for nanoseconds in [expanded.prefill, expanded.decode, halves.prefill, halves.decode] {
            assert!(nanoseconds > 0.0 && nanoseconds.is_finite());
        }
        let expanded = Precision { kept: None, ..kept };
        assert_eq!(measured(&checkpoint, expanded, &matrices), None);
    }

    #[test]
    fn what_is_small_is_not_measured_and_what_is_asked_for_is_not_either() {
        let folder = concat!(env!("CARGO_MANIFEST_DIR"), "/fixtures/config_cases/llama");
        let checkpoint = Checkpoint::open(folder, RopeOverride::default()).unwrap();
        for (weights, because) in [
            (None, Because::Unmeasured),
            (Some(WeightForm::Expanded), Because::Asked),
            (Some(WeightForm::Halves), Because::Asked),
        ] {
            let choice = ModelChoice { weights, ..ModelChoice::default() };
            let (_, found) = choice.chosen(&checkpoint, |_| unreachable!("nothing is measured"));
            assert_eq!(found, because);
        }
    }

    #[test]
    fn reasons_are_told_in_words_and_stored_by_name() {
        let measured = Because::Measured(speeds([1.0, 100.0], [1.0, 50.0]));
        assert!(measured.to_string().contains("30 % less time"), "{measured}");
        let slower = Because::Measured(speeds([1.0, 100.0], [1.0, 200.0]));
        assert!(slower.to_string().contains("61 % more time"), "{slower}");
        let stored = serde_json::to_value(measured).unwrap();
        assert_eq!((&stored["reason"], &stored["kept"]["decode"]), (&"measured".into(), &50.0.into()));
        assert_eq!(serde_json::to_value(Because::Only).unwrap()["reason"], "only");
    }
}
