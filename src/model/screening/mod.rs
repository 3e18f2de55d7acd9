//! Screening: tiles that pass or drop each key by itself, without a normaliser (Multiscreen, arXiv 2604.01178).

mod spec;

pub use spec::{MipePositions, ScreeningSpec};
