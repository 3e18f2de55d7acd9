//! A run on a screen of its own in the terminal: its grid, the trials of a cell, the shaded prompt of a
//! trial, and the heads over a selection of cells, by keys.
//!
//! [`App`] is the state, which keys change; what it shows are lines of text for a width and a height.
//! [`screen`] alone talks to a terminal. Heatmaps by head, prompts and tables are those of
//! [`crate::export::terminal`], at the width of the screen, so that both say the same.
//!
//! Texts carry the escape sequences that set colours of [`Style`](crate::export::style::Style) and no others:
//! nothing that a model or a file says reaches the terminal raw. Colours are set for cells and tokens alone,
//! each with the colour of its text, so that the screen is as light or dark as the terminal.

mod app;
mod escapes;
mod going;
mod grid;
mod heads;
mod keys;
mod prompt;
pub mod screen;
mod source;
mod text;
mod trials;

#[cfg(test)]
mod tests;

pub use app::{App, Leave};
pub use going::Going;
pub use source::{Source, Stored};
