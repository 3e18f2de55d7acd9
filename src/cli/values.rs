//! Values of flags that are names in a table of [`crate::registry`], or a pair.

use crate::error::Error;
use crate::export::{EXPORTERS, Exporter};
use crate::grid::{DEPTH_SPACINGS, DepthSpacing};
use crate::model::kv_cache::{KV_DTYPES, KvDtype};
use crate::plan::{CHAT_CHOICES, ChatChoice};
use crate::prompt::{SNAPS, Snap};
use crate::registry;
use crate::spec::WINDOW_EXPANSIONS;
use crate::spec::{DTYPES, Dtype};
use crate::split::{SPLITS, Split};
use crate::train::{LAYER_KINDS, LayerKind, SCHEDULES, Schedule};

pub(super) fn dtype(text: &str) -> Result<Dtype, Error> {
    Ok(registry::find("dtype", DTYPES, text)?.value)
}

pub(super) fn kv_dtype(text: &str) -> Result<KvDtype, Error> {
    Ok(registry::find("dtype of a cache", KV_DTYPES, text)?.value)
}

pub(super) fn window_expansion(text: &str) -> Result<bool, Error> {
    Ok(registry::find("window expansion", WINDOW_EXPANSIONS, text)?.value)
}

pub(super) fn chat_choice(text: &str) -> Result<ChatChoice, Error> {
    Ok(registry::find("choice", CHAT_CHOICES, text)?.value)
}

pub(super) fn exporter(text: &str) -> Result<Exporter, Error> {
    Ok(registry::find("form of output", EXPORTERS, text)?.value)
}

pub(super) fn split(text: &str) -> Result<Split, Error> {
    Ok(registry::find("part", SPLITS, text)?.value)
}

pub(super) fn snap(text: &str) -> Result<Snap, Error> {
    Ok(registry::find("cut", SNAPS, text)?.value)
}

pub(super) fn depth_spacing(text: &str) -> Result<DepthSpacing, Error> {
    Ok(registry::find("spacing", DEPTH_SPACINGS, text)?.value)
}

pub(super) fn layer_kind(text: &str) -> Result<LayerKind, Error> {
    Ok(registry::find("kind of layer", LAYER_KINDS, text)?.value)
}

pub(super) fn schedule(text: &str) -> Result<Schedule, Error> {
    Ok(registry::find("schedule", SCHEDULES, text)?.value)
}

pub(super) fn share(text: &str) -> Result<(String, f64), Error> {
    let (name, share) = text.split_once('=').unwrap_or((text, "1"));
    let number = share.parse().map_err(|_| {
        Error::invalid("--mix", format!("{text:?}"), "a kind and its share, such as needles=0.5")
    })?;
    Ok((name.to_string(), number))
}
