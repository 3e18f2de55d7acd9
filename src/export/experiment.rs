//! What the stages of an experiment left on disk, read for its report.

use std::path::{Path, PathBuf};

use super::csv;
use super::directory::{ATTENTION_CSV, RESULTS_CSV};
use super::loss::LOSS_CSV;
use super::training::step_reports;
use crate::checkpoint::{Checkpoint, RopeOverride};
use crate::error::Result;
use crate::report::experiment::{SeedRun, StepLoss};
use crate::train::StepReport;

/// Where the results of one training are.
#[derive(Debug, Clone)]
pub struct Measured {
    /// Directory of its checkpoint.
    pub checkpoint: PathBuf,
    /// Its seed.
    pub seed: u64,
    /// Directory of its grid of needles in prose.
    pub needles: Option<PathBuf>,
    /// Directory of its grid of key-value lines.
    pub key_values: Option<PathBuf>,
    /// Directory of its losses.
    pub losses: Option<PathBuf>,
}

/// Reads all of them.
///
/// # Errors
/// When a table or the checkpoint cannot be read.
pub fn read(measured: &Measured) -> Result<SeedRun> {
    let opened = Checkpoint::open(&measured.checkpoint.to_string_lossy(), RopeOverride::default())?;
    let own = &opened.own_variant;
    let scales =
        own.scales.iter().flatten().map(|layer| layer.as_ref().map_or(vec![], |layer| layer.scale.clone()));
    let sizes = own.adaptive.iter().flat_map(|adaptive| &adaptive.sizes).map(|&p| f64::from(p));
    let (mut outcomes, mut attention, mut key_values, mut positions) = (vec![], vec![], vec![], vec![]);
    if let Some(grid) = &measured.needles {
        outcomes = csv::read(grid.join(RESULTS_CSV))?;
        attention = csv::read(grid.join(ATTENTION_CSV))?;
    }
    if let Some(grid) = &measured.key_values {
        key_values = csv::read(grid.join(RESULTS_CSV))?;
    }
    if let Some(losses) = &measured.losses {
        positions = csv::read(losses.join(LOSS_CSV))?;
    }
    Ok(SeedRun {
        seed: measured.seed,
        steps: steps(&measured.checkpoint)?,
        positions,
        outcomes,
        attention,
        key_values,
        scales: scales.collect(),
        sizes: sizes.collect(),
    })
}

/// None where the table of the training does not stand beside the checkpoint.
fn steps(checkpoint: &Path) -> Result<Vec<StepLoss>> {
    let loss = |row: StepReport| StepLoss { step: row.step, loss: row.loss, answer_loss: row.answer_loss };
    Ok(step_reports(checkpoint)?.into_iter().map(loss).collect())
}
