//! Measurements of speed, summed up by length.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::data::Data;
use super::document::{Axis, Block, Chart, Document, Figure, Panel, Point, Series, Shape, Table};
use super::{Report, or_missing};
use crate::grid::ContextLength;
use crate::speed::Speed;
use crate::stats::median;

/// The median of repeated measurements, and how far they lie apart.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Spread {
    /// Of these values; `None` of nothing.
    #[must_use]
    pub fn of(values: &[f64]) -> Option<Self> {
        Some(Self {
            median: median(values)?,
            min: values.iter().copied().fold(f64::INFINITY, f64::min),
            max: values.iter().copied().fold(f64::NEG_INFINITY, f64::max),
        })
    }
}

/// The speed at one length. What could not be measured is missing.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct LengthSpeed {
    /// Tokens of the prompt.
    pub context_length: usize,
    /// Prompt tokens read in a second.
    pub prefill_tokens_per_second: Option<Spread>,
    /// Tokens written behind it in a second.
    pub decode_tokens_per_second: Option<Spread>,
    /// Share of the prompt's time that was spent in attention, 0 to 1.
    pub attention_share: Option<Spread>,
    /// Speed of the linear maps of the blocks while the prompt is read, over that of the best matrix multiply
    /// alone.
    pub gemm_peak_share: Option<Spread>,
    /// Operations a second of the best matrix multiply alone.
    pub gemm_rate: Option<Spread>,
    /// Speed of the whole prefill, in operations of linear maps and attention, over that of the best matrix
    /// multiply alone.
    #[serde(default)]
    pub roof_share: Option<Spread>,
    /// Bytes a second that the tokens behind the prompt read of weights and cache, over those of a copy
    /// alone.
    #[serde(default)]
    pub bandwidth_share: Option<Spread>,
    /// Bytes a second of a copy alone; what is read and written counts twice.
    #[serde(default)]
    pub copy_rate: Option<Spread>,
    /// Most memory that the process held, in MiB.
    pub peak_memory_mib: Option<f64>,
}

/// What the measurements of a length have in common.
#[derive(Debug, Clone, Copy)]
pub struct SpeedOf {
    /// Tokens of the prompt.
    pub prompt_tokens: usize,
    /// Tokens written behind it.
    pub new_tokens: usize,
    /// Operations of the linear maps of all blocks for one token.
    pub operations_per_token: f64,
    /// Operations of the whole prompt, where they can be counted.
    pub prompt_operations: Option<f64>,
    /// Bytes that a token behind the prompt reads, in the mean, where they can be counted.
    pub token_bytes: Option<f64>,
    /// Whether time is spent where it is measured, as on the CPU.
    pub shares: bool,
}

impl LengthSpeed {
    /// The repeated measurements `runs` of one length, and the most memory held, in bytes.
    #[must_use]
    pub fn new(of: SpeedOf, runs: &[Speed], peak_memory: Option<usize>) -> Self {
        let each = |value: &dyn Fn(&Speed) -> f64| Spread::of(&runs.iter().map(value).collect::<Vec<_>>());
        let on_cpu = |value: &dyn Fn(&Speed) -> f64| each(value).filter(|_| of.shares);
        let (prompt, new) = (of.prompt_tokens as f64, of.new_tokens as f64);
        let linear = of.operations_per_token * prompt;
        Self {
            context_length: of.prompt_tokens,
            prefill_tokens_per_second: each(&|run| prompt / seconds(run.prefill)),
            decode_tokens_per_second: each(&|run| new / seconds(run.decode)),
            attention_share: on_cpu(&|run| seconds(run.spent.attention) / seconds(run.prefill)),
            gemm_peak_share: on_cpu(&|run| linear / seconds(run.spent.linear) / run.gemm_rate),
            gemm_rate: each(&|run| run.gemm_rate),
            roof_share: of
                .prompt_operations
                .and_then(|all| on_cpu(&|run| all / seconds(run.prefill) / run.gemm_rate)),
            bandwidth_share: of
                .token_bytes
                .and_then(|bytes| on_cpu(&|run| new * bytes / seconds(run.decode) / run.copy_rate)),
            copy_rate: each(&|run| run.copy_rate),
            peak_memory_mib: peak_memory.map(|bytes| bytes as f64 / f64::from(1 << 20)),
        }
    }
}

/// A duration in seconds, never 0.
fn seconds(duration: Duration) -> f64 {
    duration.as_secs_f64().max(1e-9)
}

/// What there is to say of speeds.
pub struct SpeedReport {
    /// What ran, in one line.
    pub title: String,
    /// What ran, for programs: an object.
    pub ran: Value,
    /// The speed at each length.
    pub lengths: Vec<LengthSpeed>,
    /// How it was measured, in words.
    pub notes: Vec<String>,
}

/// The medians of a length, as a row.
#[derive(Default, Serialize)]
struct Medians {
    context_length: usize,
    prefill_tokens_per_second: Option<f64>,
    decode_tokens_per_second: Option<f64>,
    attention_share: Option<f64>,
    gemm_peak_share: Option<f64>,
    roof_share: Option<f64>,
    bandwidth_share: Option<f64>,
    peak_memory_mib: Option<f64>,
}

impl From<&LengthSpeed> for Medians {
    fn from(speed: &LengthSpeed) -> Self {
        let median = |spread: Option<Spread>| spread.map(|spread| spread.median);
        Self {
            context_length: speed.context_length,
            prefill_tokens_per_second: median(speed.prefill_tokens_per_second),
            decode_tokens_per_second: median(speed.decode_tokens_per_second),
            attention_share: median(speed.attention_share),
            gemm_peak_share: median(speed.gemm_peak_share),
            roof_share: median(speed.roof_share),
            bandwidth_share: median(speed.bandwidth_share),
            peak_memory_mib: speed.peak_memory_mib,
        }
    }
}

impl From<SpeedReport> for Report {
    fn from(report: SpeedReport) -> Self {
        let SpeedReport { title, ran, lengths, notes } = report;
        let blocks = vec![
            Block::Paragraph(title),
            Block::Table(table(&lengths)),
            Block::Figure(curves(&lengths)),
            Block::Lines(notes),
        ];
        let medians: Vec<_> = lengths.iter().map(Medians::from).collect();
        let data = Data::rows("speed", medians).of(ran).with_nested(lengths);
        Self { document: Document { title: "Speed by prompt length".to_string(), blocks }, data }
    }
}

/// Medians, with the range where there is one.
fn table(lengths: &[LengthSpeed]) -> Table {
    let number = |x: f64| if x < 10.0 { format!("{x:.1}") } else { format!("{x:.0}") };
    let percent = |x: f64| format!("{:.0}", 100.0 * x);
    let row = |speed: &LengthSpeed| {
        vec![
            ContextLength(speed.context_length).to_string(),
            spread(speed.prefill_tokens_per_second, number, ""),
            spread(speed.decode_tokens_per_second, number, ""),
            spread(speed.attention_share, percent, "%"),
            spread(speed.gemm_peak_share, percent, "%"),
            spread(speed.roof_share, percent, "%"),
            spread(speed.bandwidth_share, percent, "%"),
            or_missing(speed.peak_memory_mib.map(|mib| format!("{mib:.0} MiB"))),
        ]
    };
    let header =
        ["length", "prefill tok/s", "decode tok/s", "attention", "GEMM", "roof", "bandwidth", "peak memory"];
    Table::new(&header, lengths.iter().map(row).collect())
}

/// The median, and in brackets the range when it can be seen at this precision.
fn spread(spread: Option<Spread>, text: impl Fn(f64) -> String, unit: &str) -> String {
    let Some(spread) = spread else { return or_missing(None) };
    let [median, min, max] = [spread.median, spread.min, spread.max].map(text);
    if min == max { median + unit } else { format!("{median}{unit} ({min}-{max})") }
}

/// Tokens a second of the prompt and behind it, over its length.
fn curves(lengths: &[LengthSpeed]) -> Figure {
    let panel = |name: &str, color, value: fn(&LengthSpeed) -> Option<Spread>| {
        let point = |speed: &LengthSpeed| {
            let Spread { median, min, max } = value(speed)?;
            Some(Point { interval: Some((min, max)), ..Point::new(speed.context_length as f64, median) })
        };
        let points = lengths.iter().filter_map(point).collect();
        Panel::Chart(Chart {
            title: name.to_string(),
            x: Axis::logarithmic("prompt length (tokens)"),
            y: Axis::linear("tokens per second", None),
            series: vec![Series { name: name.to_string(), color, shape: Shape::Line, points }],
            marks: Vec::new(),
        })
    };
    Figure {
        name: "speed".to_string(),
        caption: "Medians, with the range of all repetitions".to_string(),
        panels: vec![
            panel("prefill", 1, |speed| speed.prefill_tokens_per_second),
            panel("decode", 0, |speed| speed.decode_tokens_per_second),
        ],
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Spent;

    fn run(prefill: u64) -> Speed {
        let spent = Spent { attention: Duration::from_secs(1), linear: Duration::from_secs(2) };
        Speed {
            prefill: Duration::from_secs(prefill),
            decode: Duration::from_secs(4),
            spent,
            gemm_rate: 1000.0,
            copy_rate: 500.0,
        }
    }

    #[test]
    fn speeds_are_medians_and_shares_can_be_checked_by_hand() {
        let of = SpeedOf {
            prompt_tokens: 100,
            new_tokens: 8,
            operations_per_token: 10.0,
            prompt_operations: Some(3000.0),
            token_bytes: Some(50.0),
            shares: true,
        };
        let runs = [run(4), run(10), run(5)];
        let found = LengthSpeed::new(of, &runs, Some(2 << 20));
        let spread = |median, min, max| Some(Spread { median, min, max });
        assert_eq!(found.prefill_tokens_per_second, spread(20.0, 10.0, 25.0));
        assert_eq!(found.decode_tokens_per_second, spread(2.0, 2.0, 2.0));
        assert_eq!(found.attention_share, spread(0.2, 0.1, 0.25));
        // 100 tokens x 10 operations in 2 s, of 1000 a second.
        assert_eq!(found.gemm_peak_share, spread(0.5, 0.5, 0.5));
        // 3000 operations in 4 to 10 s, of 1000 a second; 8 tokens of 50 bytes in 4 s, of 500 a second.
        assert_eq!(found.roof_share, spread(0.6, 0.3, 0.75));
        assert_eq!(found.bandwidth_share, spread(0.2, 0.2, 0.2));
        assert_eq!(found.peak_memory_mib, Some(2.0));
        let elsewhere = LengthSpeed::new(SpeedOf { shares: false, ..of }, &runs, None);
        assert_eq!((elsewhere.attention_share, elsewhere.gemm_peak_share), (None, None));
        let uncounted =
            LengthSpeed::new(SpeedOf { prompt_operations: None, token_bytes: None, ..of }, &runs, None);
        assert_eq!((uncounted.roof_share, uncounted.bandwidth_share), (None, None));
        assert_eq!(LengthSpeed::new(of, &[], None).prefill_tokens_per_second, None);
    }
}
