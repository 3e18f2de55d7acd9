//! Tasks out of files of the user's own.

mod csv;
mod file;
mod needles;
mod rows;

pub use needles::Needles;
