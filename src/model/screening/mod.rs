//! Screening tiles (Multiscreen, arXiv 2604.01178): layers without softmax, MLP or norms.
//!
//! ```text
//! x0     = e^{s_E} E[token] / |E[token]|
//! layer:   x <- x + sum over tiles of  e^{s_O} (u * tanh(silu(x W_G))) W_O
//!            q, k, v = unit(x W_Q), unit(x W_K), unit(x W_V)        unit(y) = y / |y|, and 0 of 0
//!            q, k with their first two coordinates turned by position (MiPE: see ScreeningSpec::angle)
//!            y = screened mix of v (see crate::attention::screening)
//!            u = tanh(|y|) / |y| * y                                TanhNorm; 0 stays 0
//! logits = x · (e^{s_F} E / |E|)                                    rows of unit length; a row of zeros stays one
//! ```

mod tiles;

pub(super) use tiles::{Tiles, load_scale, unit_rows};
