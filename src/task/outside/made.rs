//! What a prompt that `niah` wrote says of where it came from.

use serde_json::{Map, Value};

use crate::grid::Depth;

/// Keys of a prompt that say of which trial of which run it is; missing in files of others.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Made {
    /// The task.
    pub task: Option<String>,
    /// The control that it was under.
    pub control: Option<String>,
    /// Needles about something else that were added.
    pub distractors: usize,
    /// The depth asked for.
    pub depth: Option<Depth>,
    /// The depth as built, in per cent.
    pub actual_depth_percent: Option<f64>,
    /// The number of the trial in its cell.
    pub trial: Option<usize>,
    /// The seed.
    pub seed: Option<u64>,
    /// Tokens of the prompt.
    pub prompt_tokens: Option<usize>,
    /// SHA-256 of its tokens.
    pub prompt_hash: Option<String>,
    /// The first needle's text.
    pub needle: String,
    /// The first needle's tokens, and those of its value.
    pub needle_span: Option<(usize, usize)>,
    /// The tokens of its value.
    pub value_span: Option<(usize, usize)>,
}

impl Made {
    pub(super) fn of(object: &Map<String, Value>) -> Self {
        let number = |value: &Value| value.as_u64().and_then(|number| usize::try_from(number).ok());
        let count = |key: &str| object.get(key).and_then(number);
        let text = |key: &str| object.get(key).and_then(Value::as_str).map(str::to_string);
        let percent = |key: &str| object.get(key).and_then(Value::as_f64);
        let span = |key: &str| {
            let first = object.get(key)?.get(0)?;
            Some((number(first.get(0)?)?, number(first.get(1)?)?))
        };
        let needle = object.get("needles").and_then(|needles| needles.get(0)?.as_str());
        Self {
            task: text("task"),
            control: text("control"),
            distractors: count("distractors").unwrap_or(0),
            depth: percent("depth_percent").and_then(|percent| Depth::from_percent(percent).ok()),
            actual_depth_percent: percent("actual_depth_percent"),
            trial: count("trial"),
            seed: object.get("seed").and_then(Value::as_u64),
            prompt_tokens: count("prompt_tokens"),
            prompt_hash: text("prompt_sha256"),
            needle: needle.unwrap_or_default().to_string(),
            needle_span: span("needle_spans"),
            value_span: span("value_spans"),
        }
    }
}
