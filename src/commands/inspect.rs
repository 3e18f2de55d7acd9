//! `niah inspect`: what a checkpoint is, from its headers.

use super::shown::{Shown, check};
use crate::cli::InspectArgs;
use crate::error::Result;
use crate::export::style::Style;
use crate::plan::Inspection;
use crate::report::Report;

/// Runs the command.
///
/// # Errors
/// When the checkpoint cannot be found, is damaged or of an unknown family.
pub fn run(args: &InspectArgs, style: &Style) -> Result<()> {
    check(&args.form, &["memory"])?;
    let found = Inspection::of(&args.choice(), &args.context_lengths)?;
    Shown::of(&args.form, &Report::from(found), None, style)?.out()
}
