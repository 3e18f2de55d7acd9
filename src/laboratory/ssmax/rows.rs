//! The configurations of the factorial: what a row of it is called, and the flags that train it.

use crate::error::Result;
use crate::registry::{self, Entry};

/// The rules that turn scores into weights, the three that are compared first.
pub(super) const VARIANTS: &[&str] = &["softmax", "ssmax", "softmax-scale"];
/// The two further forms of the paper.
pub(super) const RULES: &[&str] = &["ssmax-fixed", "ssmax-bias"];

/// The norm on queries and keys.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Norm {
    /// In the name of a configuration.
    pub(super) name: &'static str,
    flag: &'static str,
}

/// The norms on queries and keys.
pub(super) const NORMS: &[Norm] =
    &[Norm { name: "gain", flag: "per_head" }, Norm { name: "no norm", flag: "none" }, WITHOUT_GAIN];
/// The norm that bounds scores.
pub(super) const WITHOUT_GAIN: Norm = Norm { name: "norm without gain", flag: "weightless" };

/// The positions of the layers that see everything.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Positions {
    None,
    Rotary,
}

/// A row of the factorial.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Row {
    pub(super) variant: &'static str,
    pub(super) norm: Norm,
    pub(super) positions: Positions,
}

impl Row {
    /// Such as `softmax, gain` or `ssmax, no norm, rotary`.
    pub(super) fn name(self) -> String {
        let rotary = if self.positions == Positions::Rotary { ", rotary" } else { "" };
        format!("{}, {}{rotary}", self.variant, self.norm.name)
    }

    /// The flags of `niah train` that make it.
    pub(super) fn flags(self) -> Vec<&'static str> {
        let mut flags = vec!["--variant", self.variant, "--qk-norm", self.norm.flag];
        if self.positions == Positions::Rotary {
            flags.extend(["--layer-pattern", "local,rotary"]);
        }
        flags
    }
}

/// A part of the experiment besides its main configurations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Part {
    /// The main variants with the other norms.
    Norms,
    /// The two further forms of the paper.
    Rules,
    /// Everything with rotary positions.
    Rotary,
    /// More steps.
    Longer,
    /// Other training lengths.
    Lengths,
    /// Answers that weigh as other tokens.
    Weights,
    /// Several needles at once, distractors, updates and chains.
    Several,
    /// SSMax in the place of Softmax.
    Swaps,
    /// Nothing besides.
    None,
}

/// The parts, by name.
#[rustfmt::skip] // a line an entry
pub(crate) const PARTS: &[Entry<Part>] = &[
    Entry { name: "norms", about: "the other norms on queries and keys", value: Part::Norms },
    Entry { name: "rules", about: "ssmax-fixed and ssmax-bias with each norm", value: Part::Rules },
    Entry { name: "rotary", about: "rotary positions on all layers, as they are and with theta x 50", value: Part::Rotary },
    Entry { name: "longer", about: "2 times the steps, and 4 times with the first seed", value: Part::Longer },
    Entry { name: "lengths", about: "half and twice the training length", value: Part::Lengths },
    Entry { name: "weights", about: "answers that weigh as other tokens", value: Part::Weights },
    Entry { name: "several", about: "trained on several needles at once, distractors, updates and chains", value: Part::Several },
    Entry { name: "swaps", about: "SSMax put in the place of Softmax, and the multipliers p_n", value: Part::Swaps },
    Entry { name: "none", about: "the main configurations alone", value: Part::None },
];

impl Part {
    /// Its name in [`PARTS`].
    pub(super) fn name(self) -> &'static str {
        PARTS.iter().find(|entry| entry.value == self).map_or("", |entry| entry.name)
    }
}

/// What was asked for by name: all of them where nothing was.
pub(super) fn parts(asked: &[String]) -> Result<Vec<Part>> {
    match asked {
        [] => Ok(PARTS.iter().map(|entry| entry.value).collect()),
        asked => asked.iter().map(|name| Ok(registry::find("part", PARTS, name)?.value)).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_told_by_its_name_and_made_by_its_flags() {
        let row = Row { variant: "ssmax", norm: NORMS[1], positions: Positions::Rotary };
        assert_eq!(row.name(), "ssmax, no norm, rotary");
        assert_eq!(row.flags().join(" "), "--variant ssmax --qk-norm none --layer-pattern local,rotary");
    }

    #[test]
    fn parts_are_all_or_those_that_are_named() {
        let words = |words: &[&str]| words.iter().map(ToString::to_string).collect::<Vec<_>>();
        assert_eq!(parts(&[]).unwrap().len(), PARTS.len());
        assert_eq!(parts(&words(&["swaps", "norms"])).unwrap(), [Part::Swaps, Part::Norms]);
        assert!(parts(&words(&["rotery"])).unwrap_err().to_string().contains("rotary"));
    }
}
