//! What `--dry-run` says: what a plan takes, and with `--precision` how many trials it should have.

use std::fmt;
use std::path::Path;

use serde::Serialize;

use super::warn;
use crate::error::{Error, Result};
use crate::plan::{DryRun, Settings};
use crate::report::needed::NeededTrials;
use crate::store::directory::RUN_JSON;
use crate::store::stored::StoredRun;

/// What is said of a plan.
#[derive(Serialize)]
pub(super) struct Dry {
    /// What it takes.
    #[serde(flatten)]
    pub(super) plan: DryRun,
    /// Trials that intervals of a wanted width take.
    #[serde(skip_serializing_if = "Option::is_none")]
    precision: Option<NeededTrials>,
}

impl Dry {
    /// Of a plan with these settings that would run into `place`, where trials of it may lie.
    ///
    /// # Errors
    /// When the run there is damaged, or no run has intervals of this width.
    pub(super) fn of(
        plan: DryRun,
        precision: Option<f64>,
        settings: &Settings,
        place: Option<&Path>,
    ) -> Result<Self> {
        let Some(half_width) = precision else { return Ok(Self { plan, precision: None }) };
        let run = place.filter(|place| place.join(RUN_JSON).exists());
        let run = run.map(|place| Ok::<_, Error>((place, StoredRun::read(place)?))).transpose()?;
        let of_the_plan = run.filter(|(place, run)| {
            let same = Settings {
                grid: settings.grid.clone(),
                trials: settings.trials,
                ..run.record.settings.clone()
            };
            let fits = same == *settings;
            if !fits {
                let place = place.display();
                warn(&[format!("the run in {place} has other settings, and says nothing of this one")]);
            }
            fits
        });
        let measured = of_the_plan.as_ref().map(|(place, run)| {
            warn(&run.warnings);
            (place.display().to_string(), run.outcomes.as_slice())
        });
        let measured = measured.as_ref().map(|(place, outcomes)| (place.as_str(), *outcomes));
        let precision = NeededTrials::of(&plan, half_width, measured)?;
        Ok(Self { plan, precision: Some(precision) })
    }
}

impl fmt::Display for Dry {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.plan.fmt(f)?;
        self.precision.as_ref().map_or(Ok(()), |precision| precision.fmt(f))
    }
}

/// As JSON.
///
/// # Errors
/// [`Error::Message`] when a number is none that JSON has.
pub(super) fn json(value: &impl Serialize) -> Result<String> {
    let text = serde_json::to_string_pretty(value);
    Ok(text.map_err(|error| Error::Message(format!("JSON: {error}")))? + "\n")
}
