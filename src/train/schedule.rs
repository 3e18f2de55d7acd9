//! The learning rate over the steps of a training.

use serde::{Deserialize, Serialize};

use crate::registry::Entry;

/// What the learning rate does after its warm-up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Schedule {
    /// It falls along half a cosine, to 0 behind the last step.
    Cosine,
    /// It stays.
    Constant,
}

/// The schedules, by name.
pub const SCHEDULES: &[Entry<Schedule>] = &[
    Entry { name: "cosine", about: "down to 0 along half a cosine", value: Schedule::Cosine },
    Entry { name: "constant", about: "the same after the warm-up", value: Schedule::Constant },
];

impl Schedule {
    /// The factor on the learning rate at `step`, from 0, of `steps`, of which `warmup` rise linearly.
    ///
    /// ```
    /// use niah::train::Schedule;
    /// let rate = |step| Schedule::Cosine.factor(step, 12, 2);
    /// assert_eq!([rate(0), rate(1), rate(2)], [0.5, 1.0, 1.0]);
    /// assert!((rate(7) - 0.5).abs() < 1e-12 && rate(11) > 0.0);
    /// ```
    #[must_use]
    pub fn factor(self, step: usize, steps: usize, warmup: usize) -> f64 {
        if step < warmup {
            return (step + 1) as f64 / warmup as f64;
        }
        match self {
            Self::Constant => 1.0,
            Self::Cosine => {
                let done = (step - warmup) as f64 / (steps - warmup).max(1) as f64;
                0.5 * (1.0 + (std::f64::consts::PI * done).cos())
            }
        }
    }
}
