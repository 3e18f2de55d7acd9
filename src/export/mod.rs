//! Reports as bytes, one file a format. Nothing here prints: every drawing is a string for the caller to place.

pub mod csv;
pub mod json;
pub mod palette;
pub mod shaded;
pub mod style;
pub mod table;
pub mod terminal;
