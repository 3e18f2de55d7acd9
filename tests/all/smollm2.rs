//! SmolLM2-135M-Instruct Q4_1 against an independent implementation run on the same file
//! (`fixtures/make_oracles.py`).

#![allow(clippy::unwrap_used, reason = "a test fails by panicking")]

use crate::common;

use std::sync::LazyLock;

use common::real_model::RealModel;

static MODEL: LazyLock<Option<RealModel>> =
    LazyLock::new(|| RealModel::open("SmolLM2-135M-Instruct.Q4_1.gguf", "smollm2_logits.json"));

#[test]
fn smollm2_predicts_what_the_reference_predicts() {
    if let Some(model) = &*MODEL {
        model.assert_predictions();
    }
}

#[test]
fn smollm2_attends_where_the_reference_attends() {
    if let Some(model) = &*MODEL {
        model.assert_attention();
    }
}
