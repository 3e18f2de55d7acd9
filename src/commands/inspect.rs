//! `niah inspect`: what a checkpoint is, from its headers.

use super::print;
use crate::cli::InspectArgs;
use crate::error::Result;
use crate::export::style::Style;
use crate::plan::Inspection;

/// Runs the command.
///
/// # Errors
/// When the checkpoint cannot be found, is damaged or of an unknown family.
pub fn run(args: &InspectArgs, style: &Style) -> Result<()> {
    let found = Inspection::of(&args.choice(), &args.context_lengths)?;
    print(&(args.output_format)(&found, style)?)
}
