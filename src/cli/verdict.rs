//! How a run is judged.

use clap::Args;

use super::values::{choice, fraction};
use crate::stats::{Decides, LengthRule, RULES, Rule};

/// The rule of the effective length.
#[derive(Debug, Clone, Args)]
pub struct RuleArgs {
    /// Rule of the effective length, the largest up to which every length passes
    #[arg(
        long,
        value_name = "RULE",
        value_parser = choice("rule", RULES),
        default_value = RULES[0].name,
        help_heading = "Verdict"
    )]
    rule: Rule,
    /// Threshold of the rule, such as 0.9 or 90% [default: the rule's own]
    #[arg(long, value_name = "SHARE", value_parser = fraction, help_heading = "Verdict")]
    threshold: Option<f64>,
    /// Let the lower end of 95% intervals decide, not the value
    #[arg(long, help_heading = "Verdict")]
    conservative: bool,
}

impl Default for RuleArgs {
    fn default() -> Self {
        Self { rule: RULES[0].value, threshold: None, conservative: false }
    }
}

impl RuleArgs {
    /// What was typed, as a rule.
    #[must_use]
    pub fn length_rule(&self) -> LengthRule {
        let decides = if self.conservative { Decides::LowerEnd } else { Decides::Score };
        LengthRule { rule: self.rule, threshold: self.threshold, decides }
    }
}
