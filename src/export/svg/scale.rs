//! Where values of an axis lie, and which are written beside it.

use crate::report::document::Axis;

/// Where values of an axis lie, in the units of the picture.
pub(super) struct Scale {
    logarithmic: bool,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    pub(super) fn new(axis: &Axis, values: impl Iterator<Item = f64>, [from, to]: [f64; 2]) -> Self {
        let values = values.filter(|value| value.is_finite() && (!axis.logarithmic || *value > 0.0));
        let ends = values.fold((f64::INFINITY, f64::NEG_INFINITY), |(a, b), x| (a.min(x), b.max(x)));
        let (low, high) = axis.range.unwrap_or(ends);
        let (low, high) = match (low.is_finite() && high.is_finite(), low < high) {
            (true, true) => (low, high),
            (true, false) if axis.logarithmic => (low / 2.0, low * 2.0),
            (true, false) => (low - 0.5, low + 0.5),
            (false, _) => (1.0, 2.0),
        };
        Self { logarithmic: axis.logarithmic, low, high, from, to }
    }

    /// Whether the axis has a place for a value.
    pub(super) fn has(&self, value: f64) -> bool {
        value.is_finite() && (!self.logarithmic || value > 0.0)
    }

    pub(super) fn place(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share.clamp(-0.02, 1.02) * (self.to - self.from)
    }

    /// Values to write beside the axis: powers of two, of ten where they are fractions, or round numbers.
    pub(super) fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let (base, most) = if self.low < 1.0 { (10f64, 6) } else { (2.0, 9) };
            let power = |value: f64| value.ln() / base.ln();
            let ends = (power(self.low) - 1e-9).ceil() as i32..=(power(self.high) + 1e-9).floor() as i32;
            let every = (ends.clone().count() / most + 1).max(1);
            return ends.step_by(every).map(|power| base.powi(power)).collect();
        }
        let rough = (self.high - self.low) / 5.0;
        let unit = 10f64.powf(rough.log10().floor());
        let step = [1.0, 2.0, 5.0, 10.0].map(|x| x * unit).into_iter().find(|step| *step >= rough);
        let step = step.unwrap_or(rough);
        let (first, last) = ((self.low / step).ceil() as i64, (self.high / step + 1e-9).floor() as i64);
        (first..=last).map(|i| i as f64 * step).collect()
    }
}

/// A number beside an axis.
pub(super) fn label(value: f64) -> String {
    if value.abs() >= 1024.0 && value % 1024.0 == 0.0 {
        return format!("{}k", value / 1024.0);
    }
    if value != 0.0 && value.abs() < 1e-3 {
        return format!("{value:.0e}");
    }
    let text = format!("{value:.4}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_string() } else { text.to_string() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ticks(axis: &Axis, values: &[f64]) -> Vec<String> {
        let scale = Scale::new(axis, values.iter().copied(), [0.0, 1.0]);
        scale.ticks().into_iter().map(label).collect()
    }

    #[test]
    fn ticks_are_round_and_inside() {
        assert_eq!(ticks(&Axis::linear("", Some((0.13, 2.71))), &[]), ["1", "2"]);
        assert_eq!(ticks(&Axis::logarithmic(""), &[300.0, 8192.0]), ["512", "1k", "2k", "4k", "8k"]);
        assert_eq!(ticks(&Axis::logarithmic(""), &[2e-5, 0.5]), ["1e-4", "0.001", "0.01", "0.1"]);
    }
}
