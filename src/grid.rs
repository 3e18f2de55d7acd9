//! The depth x length grid: checked depths, context lengths as users write them, and their cells.

use std::cmp::Ordering;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::error::Error;
use crate::registry::Entry;

/// Where in the haystack the needle goes: 0 = first, 100 = last, in per cent of the haystack's tokens.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "f64", into = "f64")]
pub struct Depth(f64);

// Per cent are never NaN.
impl Eq for Depth {}

impl PartialOrd for Depth {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Depth {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.total_cmp(&other.0)
    }
}

impl Depth {
    /// A depth from per cent, 0 to 100, rounded to a thousandth so that it prints and hashes the same
    /// everywhere.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] outside 0..=100 or when not a number.
    pub fn from_percent(percent: f64) -> Result<Self, Error> {
        if !(0.0..=100.0).contains(&percent) {
            return Err(Error::invalid("depth", percent, "per cent between 0 (first) and 100 (last)"));
        }
        // From -0 to 0: they are one depth.
        Ok(Self((percent * 1000.0).round().abs() / 1000.0))
    }

    /// The depth in per cent, 0 to 100.
    #[must_use]
    pub fn percent(self) -> f64 {
        self.0
    }

    /// The depth as a fraction, 0 to 1.
    #[must_use]
    pub fn fraction(self) -> f64 {
        self.0 / 100.0
    }
}

impl TryFrom<f64> for Depth {
    type Error = Error;
    fn try_from(percent: f64) -> Result<Self, Error> {
        Self::from_percent(percent)
    }
}

impl From<Depth> for f64 {
    fn from(depth: Depth) -> f64 {
        depth.0
    }
}

impl fmt::Display for Depth {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0.to_string())
    }
}

impl FromStr for Depth {
    type Err = Error;
    fn from_str(text: &str) -> Result<Self, Error> {
        let number = text.trim().trim_end_matches('%').trim_end();
        let percent = number.parse::<f64>().map_err(|_| {
            Error::invalid("depth", text, "per cent between 0 and 100, such as 0,25,50,75,100")
        })?;
        Self::from_percent(percent)
    }
}

/// A prompt length in tokens with everything inside it: special tokens, template, haystack, needles,
/// question, answer prefix and answer budget.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "usize", into = "usize")]
pub struct ContextLength(pub usize);

impl TryFrom<usize> for ContextLength {
    type Error = Error;
    fn try_from(tokens: usize) -> Result<Self, Error> {
        match tokens {
            1..=LONGEST => Ok(Self(tokens)),
            _ => Err(Error::invalid("context length", tokens, format!("1 to {LONGEST} tokens"))),
        }
    }
}

impl From<ContextLength> for usize {
    fn from(length: ContextLength) -> usize {
        length.0
    }
}

impl fmt::Display for ContextLength {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0 {
            n if n >= 1 << 20 && n % (1 << 20) == 0 => f.pad(&format!("{}M", n >> 20)),
            n if n >= 1 << 10 && n % (1 << 10) == 0 => f.pad(&format!("{}k", n >> 10)),
            n => f.pad(&n.to_string()),
        }
    }
}

/// No context is longer, so that sizes computed from lengths stay in range.
pub const LONGEST: usize = 1 << 40;

impl FromStr for ContextLength {
    type Err = Error;

    /// Reads `4096`, `4k` (x 1024), `1m` (x 1024 x 1024) and `2^12`.
    fn from_str(text: &str) -> Result<Self, Error> {
        let expected = "a number of tokens such as 4096, 4k (4096) or 2^12";
        let wrong = || Error::invalid("context length", text, expected);
        let lower = text.trim().to_lowercase().replace('_', "");
        let tokens = if let Some((base, exponent)) = lower.split_once('^') {
            let base: usize = base.parse().map_err(|_| wrong())?;
            base.checked_pow(exponent.parse().map_err(|_| wrong())?)
        } else {
            let (digits, unit) = match lower.strip_suffix('k') {
                Some(digits) => (digits, 1 << 10),
                None => lower.strip_suffix('m').map_or((lower.as_str(), 1), |digits| (digits, 1 << 20)),
            };
            let number: f64 = digits.parse().map_err(|_| wrong())?;
            let product = number * f64::from(unit);
            (product.fract() == 0.0).then_some(product as usize)
        };
        tokens.filter(|n| (1..=LONGEST).contains(n)).map(Self).ok_or_else(wrong)
    }
}

/// One place of the grid: a context length and a depth. By these it is known whatever grid it came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Cell {
    /// Prompt length in tokens, everything included.
    pub context_length: ContextLength,
    /// Where the first needle goes.
    pub depth: Depth,
}

impl Cell {
    /// The cell in whole numbers, for seeds: length, and depth in thousandths of a per cent.
    #[must_use]
    pub fn numbers(&self) -> (usize, u64) {
        (self.context_length.0, (self.depth.percent() * 1000.0).round() as u64)
    }
}

/// How depths are spread between 0 and 100 when only their number is given.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum DepthSpacing {
    /// Evenly.
    Linear,
    /// Denser at both ends: the logistic curve with k = 6, renormalised so that it starts at 0 and ends at
    /// 100.
    Sigmoid,
}

/// The ways to spread depths, by name.
pub const DEPTH_SPACINGS: &[Entry<DepthSpacing>] = &[
    Entry { name: "linear", about: "evenly", value: DepthSpacing::Linear },
    Entry { name: "sigmoid", about: "denser at both ends", value: DepthSpacing::Sigmoid },
];

/// The lengths and depths of a run, each sorted and without repeats.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "StoredGrid")]
pub struct Grid {
    context_lengths: Vec<ContextLength>,
    depths: Vec<Depth>,
}

/// A grid as a file holds it, not yet checked.
#[derive(Deserialize)]
struct StoredGrid {
    context_lengths: Vec<ContextLength>,
    depths: Vec<Depth>,
}

impl TryFrom<StoredGrid> for Grid {
    type Error = Error;
    fn try_from(stored: StoredGrid) -> Result<Self, Error> {
        Self::new(stored.context_lengths, stored.depths)
    }
}

impl Default for Grid {
    /// 1k, 2k and 4k tokens, at five depths from the first sentence to the last.
    fn default() -> Self {
        let context_lengths = [1024, 2048, 4096].map(ContextLength).to_vec();
        Self { context_lengths, depths: spaced_depths(5, DepthSpacing::Linear) }
    }
}

impl Grid {
    /// A grid over these lengths and depths, sorted, repeats removed.
    ///
    /// # Errors
    /// [`Error::InvalidValue`] when either list is empty.
    pub fn new(mut context_lengths: Vec<ContextLength>, mut depths: Vec<Depth>) -> Result<Self, Error> {
        if context_lengths.is_empty() {
            return Err(Error::invalid("context length", "nothing", "at least one length"));
        }
        if depths.is_empty() {
            return Err(Error::invalid("depth", "nothing", "at least one depth"));
        }
        context_lengths.sort_unstable();
        context_lengths.dedup();
        depths.sort_by(|a, b| a.0.total_cmp(&b.0));
        depths.dedup();
        Ok(Self { context_lengths, depths })
    }

    /// The context lengths, ascending.
    #[must_use]
    pub fn context_lengths(&self) -> &[ContextLength] {
        &self.context_lengths
    }

    /// The depths, ascending.
    #[must_use]
    pub fn depths(&self) -> &[Depth] {
        &self.depths
    }

    /// How many cells there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.context_lengths.len().saturating_mul(self.depths.len())
    }

    /// Whether it has this cell.
    #[must_use]
    pub fn contains(&self, cell: &Cell) -> bool {
        let depth = self.depths.binary_search_by(|depth| depth.0.total_cmp(&cell.depth.0));
        depth.is_ok() && self.context_lengths.binary_search(&cell.context_length).is_ok()
    }

    /// Every cell, by length and then by depth.
    pub fn cells(&self) -> impl Iterator<Item = Cell> + '_ {
        self.context_lengths
            .iter()
            .flat_map(|&context_length| self.depths.iter().map(move |&depth| Cell { context_length, depth }))
    }
}

/// `count` lengths from `min` to `max`, evenly spaced and rounded to whole tokens.
#[must_use]
pub fn spaced_lengths(min: ContextLength, max: ContextLength, count: usize) -> Vec<ContextLength> {
    spaced(min.0 as f64, max.0 as f64, count).map(|n| ContextLength(n.round() as usize)).collect()
}

/// `count` depths from 0 to 100 per cent.
#[must_use]
pub fn spaced_depths(count: usize, spacing: DepthSpacing) -> Vec<Depth> {
    let logistic = |x: f64| 1.0 / (1.0 + (-6.0 * (x - 0.5)).exp());
    let (low, high) = (logistic(0.0), logistic(1.0));
    spaced(0.0, 1.0, count)
        .map(|x| match spacing {
            DepthSpacing::Linear => x,
            DepthSpacing::Sigmoid => (logistic(x) - low) / (high - low),
        })
        .filter_map(|fraction| Depth::from_percent(100.0 * fraction.clamp(0.0, 1.0)).ok())
        .collect()
}

fn spaced(low: f64, high: f64, count: usize) -> impl Iterator<Item = f64> {
    (0..count).map(move |i| if count == 1 { low } else { low + (high - low) * i as f64 / (count - 1) as f64 })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lengths_read_as_users_write_them() {
        for (text, tokens) in
            [("4096", 4096), ("4k", 4096), ("2^12", 4096), ("1.5k", 1536), ("1M", 1 << 20), ("8_192", 8192)]
        {
            assert_eq!(text.parse::<ContextLength>().unwrap(), ContextLength(tokens), "{text}");
        }
        for text in ["", "0", "-1", "4kk", "k", "2^99", "1.0001k", "NaN", "inf"] {
            assert!(text.parse::<ContextLength>().is_err(), "{text}");
        }
        assert_eq!(ContextLength(4096).to_string(), "4k");
        assert_eq!(ContextLength(1000).to_string(), "1000");
    }

    #[test]
    fn depths_are_checked_and_print_shortly() {
        assert_eq!("50%".parse::<Depth>().unwrap().to_string(), "50");
        assert_eq!("12.5".parse::<Depth>().unwrap().to_string(), "12.5");
        for text in ["-1", "101", "NaN", "", "half"] {
            assert!(text.parse::<Depth>().is_err(), "{text}");
        }
    }

    #[test]
    fn sigmoid_depths_are_the_published_ones() {
        let depths: Vec<_> = spaced_depths(11, DepthSpacing::Sigmoid).iter().map(|d| d.percent()).collect();
        assert_eq!(depths[..6], [0.0, 3.949, 10.432, 20.334, 33.908, 50.0]);
        assert_eq!(depths[10], 100.0);
    }

    #[test]
    fn a_grid_is_sorted_without_repeats() {
        let depth = |p| Depth::from_percent(p).unwrap();
        let grid = Grid::new(
            vec![ContextLength(2), ContextLength(1), ContextLength(2)],
            vec![depth(100.0), depth(0.0), depth(100.0)],
        )
        .unwrap();
        assert_eq!(
            grid.cells().map(|c| c.numbers()).collect::<Vec<_>>(),
            [(1, 0), (1, 100_000), (2, 0), (2, 100_000)]
        );
    }
}
