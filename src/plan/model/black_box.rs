//! What can be chosen about a black box, and what is said of it.

use super::ModelChoice;
use crate::error::{Error, Result};
use crate::spec::{BlackBoxSpec, Dtype};

impl ModelChoice {
    /// Refuses choices about what is not seen in a black box.
    pub(super) fn check_for_black_box(&self, unseen: BlackBoxSpec) -> Result<()> {
        let name = unseen.name();
        let refused = |setting: &str, found: &str, why: &str| {
            Err(Error::invalid(setting, found, format!("{why}: candle computes {name} as a black box")))
        };
        if !["auto", "softmax"].contains(&self.variant.as_str()) {
            return refused("variant", &self.variant, "auto, as no scores are seen that a rule could change");
        }
        if let Some(dtype) = self.dtype.filter(|dtype| *dtype != Dtype::F32) {
            return refused("dtype", dtype.name(), "f32, which it was held against its reference in");
        }
        let caches = [("kv dtype", self.kv_dtype), ("k dtype", self.k_dtype), ("v dtype", self.v_dtype)];
        if let Some((setting, dtype)) =
            caches.into_iter().find_map(|(setting, dtype)| Some((setting, dtype?)))
        {
            return refused(setting, dtype.name(), "no such flag, as it keeps its own state");
        }
        let positions = [
            ("rope theta", self.rope_theta.map(|theta| theta.to_string())),
            ("rope theta scale", self.rope_theta_scale.map(|scale| scale.to_string())),
            ("rope", self.rope.map(|_| "none".to_string())),
        ];
        match positions.into_iter().find_map(|(setting, found)| Some((setting, found?))) {
            Some((setting, found)) => refused(setting, &found, "no such flag, as its positions are its own"),
            None => Ok(()),
        }
    }
}
