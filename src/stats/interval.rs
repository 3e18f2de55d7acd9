//! A 95 % interval with its method, or the reason why there is none.

use std::cmp::Ordering;

/// What gave an interval; `docs/statistics.md` says how often each holds the truth.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Wilson's score interval of a share ([`super::share_interval`]).
    Wilson,
    /// Tango's score interval of the difference of paired shares ([`super::paired_interval`]).
    PairedScore,
    /// Newcombe's hybrid score interval of the difference of shares on different prompts
    /// ([`super::unpaired_interval`]).
    Newcombe,
    /// Student's t over groups ([`super::mean_interval`]).
    Student,
    /// The studentised bootstrap over groups ([`super::mean_interval`]).
    StudentisedBootstrap,
}

impl Method {
    /// The name as it stands in tables.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::Wilson => "wilson",
            Self::PairedScore => "paired-score",
            Self::Newcombe => "newcombe",
            Self::Student => "student-t",
            Self::StudentisedBootstrap => "studentised-bootstrap",
        }
    }

    /// The name as a sentence has it.
    #[must_use]
    pub fn words(self) -> &'static str {
        match self {
            Self::Wilson => "Wilson's",
            Self::PairedScore => "paired score interval",
            Self::Newcombe => "Newcombe's",
            Self::Student => "Student's t",
            Self::StudentisedBootstrap => "studentised bootstrap",
        }
    }
}

/// Why no interval is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Withheld {
    /// There is no value.
    NoValue,
    /// All values are of one group, which says nothing of how others would be.
    OneGroup,
    /// All groups have the same mean, so that nothing is known of their spread.
    AllAlike,
    /// The values are of different prompts, of which no difference can be taken one by one.
    Unpaired,
}

impl Withheld {
    /// The entry of a column `ci_method`.
    #[must_use]
    pub fn name(self) -> &'static str {
        match self {
            Self::NoValue => "",
            Self::OneGroup => "withheld: one trial",
            Self::AllAlike => "withheld: all trials alike",
            Self::Unpaired => "withheld: unpaired",
        }
    }

    /// The reason in words; `group` is what the values are grouped by, such as `trial`.
    #[must_use]
    pub fn words(self, group: &str) -> String {
        match self {
            Self::NoValue => "nothing was measured".to_string(),
            Self::OneGroup => format!("that takes two {group}s"),
            Self::AllAlike => format!("all {group}s are alike"),
            Self::Unpaired => "the prompts differ".to_string(),
        }
    }
}

/// A 95 % interval, or why there is none. One of no width is never given.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Interval {
    /// From `low` to `high`.
    Given {
        /// Lower end.
        low: f64,
        /// Upper end.
        high: f64,
        /// What gave it.
        method: Method,
    },
    /// None is honest.
    Withheld(Withheld),
}

impl Default for Interval {
    /// That of no value.
    fn default() -> Self {
        Self::Withheld(Withheld::NoValue)
    }
}

impl Interval {
    /// Both ends, where there is an interval.
    #[must_use]
    pub fn ends(self) -> Option<(f64, f64)> {
        match self {
            Self::Given { low, high, .. } => Some((low, high)),
            Self::Withheld(_) => None,
        }
    }

    /// The entry of a column `ci_method`: the method, or why there is none.
    #[must_use]
    pub fn method_name(self) -> &'static str {
        match self {
            Self::Given { method, .. } => method.name(),
            Self::Withheld(why) => why.name(),
        }
    }

    /// On which side of zero the interval lies, `Equal` where it holds zero; `None` without an interval.
    #[must_use]
    pub fn side(self) -> Option<Ordering> {
        let (low, high) = self.ends()?;
        Some(match (low > 0.0, high < 0.0) {
            (true, _) => Ordering::Greater,
            (_, true) => Ordering::Less,
            _ => Ordering::Equal,
        })
    }

    /// `95 % interval +0.100 to +0.300, Student's t over 3 seeds`, the ends written by `text`; or
    /// `no interval: that takes two seeds`.
    #[must_use]
    pub fn told(self, groups: usize, group: &str, text: impl Fn(f64) -> String) -> String {
        match self {
            Self::Given { low, high, method } => {
                format!(
                    "95 % interval {} to {}, {} over {}",
                    text(low),
                    text(high),
                    method.words(),
                    counted(groups, group)
                )
            }
            Self::Withheld(why) => format!("no interval: {}", why.words(group)),
        }
    }
}

/// `1 trial`, `4 trials`.
fn counted(count: usize, what: &str) -> String {
    format!("{count} {what}{}", if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_side_is_that_of_the_interval_and_not_of_its_middle() {
        let given = |low, high| Interval::Given { low, high, method: Method::Student };
        assert_eq!(given(0.1, 0.2).side(), Some(Ordering::Greater));
        assert_eq!(given(-0.2, -0.1).side(), Some(Ordering::Less));
        for holds_zero in [given(-0.1, 0.9), given(0.0, 0.5), given(-0.5, 0.0)] {
            assert_eq!(holds_zero.side(), Some(Ordering::Equal));
        }
        assert_eq!(Interval::Withheld(Withheld::OneGroup).side(), None);
    }

    #[test]
    fn an_interval_is_told_with_its_method_and_a_missing_one_with_the_reason() {
        let text = |x: f64| format!("{x:+.2}");
        let given = Interval::Given { low: -0.5, high: 1.0, method: Method::PairedScore };
        assert_eq!(
            given.told(4, "trial", text),
            "95 % interval -0.50 to +1.00, paired score interval over 4 trials"
        );
        let told = |why| Interval::Withheld(why).told(1, "seed", text);
        assert_eq!(told(Withheld::OneGroup), "no interval: that takes two seeds");
        assert_eq!(told(Withheld::AllAlike), "no interval: all seeds are alike");
    }
}
