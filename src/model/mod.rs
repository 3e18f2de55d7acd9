//! One decoder for many families: its description, layers, positions, cache and forward pass.

mod alt_up;
mod attention;
pub mod black_box;
mod block;
pub mod causal_lm;
pub mod copy_peak;
pub mod decoder;
mod differential;
mod feed_forward;
pub mod form_speed;
pub mod gemm_peak;
pub mod head_outputs;
mod indexer;
pub mod kv_cache;
mod latent;
mod layers;
pub mod linear;
mod mlp;
mod moe;
mod per_layer;
pub mod recurrent;
pub mod rope;
mod row_blocks;
pub mod screening;
mod spent;
mod table;

pub use spent::Spent;

use crate::error::Error;

impl From<candle_core::Error> for Error {
    /// The first line of candle's message: the rest is a backtrace.
    fn from(error: candle_core::Error) -> Self {
        let text = error.to_string();
        Self::Compute(text.lines().next().unwrap_or("computation failed").to_string())
    }
}
