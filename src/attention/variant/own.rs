//! The rule that a checkpoint was made with.

use std::path::PathBuf;

use super::{Adaptive, LogFloor, RowMap, ScaleMaps, Temperature};
use crate::attention::screening::Screen;

/// The rule that a checkpoint was made with, and what its configuration and weights say about it.
#[derive(Debug, Clone, PartialEq)]
pub struct OwnVariant {
    /// Its name in the table.
    pub name: &'static str,
    /// Which layers follow it; the others are plain softmax.
    pub layers: Vec<bool>,
    /// Scales and biases that were learned, by layer; `None` for a layer that does not follow the rule.
    pub scales: Option<Vec<Option<LayerScale>>>,
    /// `L` of `logn`, when the configuration gives it.
    pub logn_length: Option<usize>,
    /// The parameters of `temperature`.
    pub temperature: Option<Temperature>,
    /// The multipliers of `adaptive`.
    pub adaptive: Option<Adaptive>,
    /// The numbers of `log-floor`.
    pub log_floor: Option<LogFloor>,
    /// What `asentmax` reads from rows, by layer; `None` for a layer that does not follow the rule.
    pub entmax_scales: Option<Vec<Option<ScaleMaps>>>,
    /// What the gates of `forgetting` are made of, by layer; `None` for a layer that does not follow it.
    pub forget_gates: Option<Vec<Option<RowMap>>>,
    /// Logits of the sinks of query heads, by layer; `None` for a layer without.
    pub sinks: Option<Vec<Option<Vec<f32>>>>,
    /// The screens of `screening`, by layer and tile.
    pub screens: Option<Vec<Vec<Screen>>>,
}

/// Scales and biases of a layer, one a query head.
#[derive(Debug, Clone, PartialEq)]
pub struct LayerScale {
    /// `s`.
    pub scale: Vec<f32>,
    /// `b`, when the checkpoint has one.
    pub bias: Option<Vec<f32>>,
}

/// Scales of Scalable-Softmax that were given in a file, in the place of learned and derived ones.
#[derive(Debug, Clone, PartialEq)]
pub struct GivenScales {
    /// The file, for the report.
    pub file: PathBuf,
    /// `s` of each query head, by layer; `None` for a layer that does not attend.
    pub layers: Vec<Option<Vec<f32>>>,
}

impl OwnVariant {
    /// Plain softmax on every layer.
    #[must_use]
    pub fn softmax(layers: usize) -> Self {
        Self {
            name: "softmax",
            layers: vec![true; layers],
            scales: None,
            logn_length: None,
            temperature: None,
            adaptive: None,
            log_floor: None,
            entmax_scales: None,
            forget_gates: None,
            sinks: None,
            screens: None,
        }
    }

    /// Whether biases were learned.
    #[must_use]
    pub fn has_bias(&self) -> bool {
        self.scales.iter().flatten().flatten().any(|layer| layer.bias.is_some())
    }
}
