//! Gemma 3 270M Q4_K_M, whose attention row lies beyond the window of most layers, against an independent
//! implementation run on the same file (`fixtures/make_oracles.py`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common;

use std::sync::LazyLock;

use common::real_model::RealModel;

static MODEL: LazyLock<Option<RealModel>> =
    LazyLock::new(|| RealModel::open("gemma-3-270m-q4_k_m.gguf", "gemma3_logits.json"));

#[test]
fn gemma3_predicts_what_the_reference_predicts() {
    if let Some(model) = &*MODEL {
        model.assert_predictions();
    }
}

#[test]
fn gemma3_attends_where_the_reference_attends() {
    if let Some(model) = &*MODEL {
        model.assert_attention();
    }
}
