//! The grid: what is drawn of a cell, and where the cursor is.

use unicode_width::UnicodeWidthStr;

use super::app::App;
use super::text::{bold, faint, reversed};
use crate::export::palette::MISSING;
use crate::export::style::ColorMode;
use crate::grid::Cell;
use crate::report::answer::Fate;
use crate::report::heatmap::{Heatmap, Unit};
use crate::trial::Outcome;

/// What the cells show.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Metric {
    Accuracy,
    NeedleMass,
    Outcome,
}

impl Metric {
    pub(super) const ALL: [Self; 3] = [Self::Accuracy, Self::NeedleMass, Self::Outcome];

    fn name(self) -> &'static str {
        match self {
            Self::Accuracy => "accuracy",
            Self::NeedleMass => "needle mass",
            Self::Outcome => "outcome",
        }
    }

    /// The metric `steps` further in the row of all.
    pub(super) fn further(self, steps: usize) -> Self {
        let place = Self::ALL.iter().position(|metric| *metric == self).unwrap_or(0);
        Self::ALL[(place + steps) % Self::ALL.len()]
    }
}

/// Trials of a cell by what became of them.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Fates {
    found: usize,
    looked: usize,
    missed: usize,
    wrong: usize,
    failed: usize,
}

impl Fates {
    fn of<'a>(outcomes: impl IntoIterator<Item = &'a Outcome>) -> Self {
        let mut fates = Self::default();
        for outcome in outcomes {
            match Fate::of(outcome) {
                Fate::Found => fates.found += 1,
                Fate::Looked => fates.looked += 1,
                Fate::Missed => fates.missed += 1,
                Fate::Wrong => fates.wrong += 1,
                Fate::Failed => fates.failed += 1,
                Fate::Skipped | Fate::Unscored => {}
            }
        }
        fates
    }

    fn judged(self) -> usize {
        self.found + self.looked + self.missed + self.wrong
    }

    /// 1 where all were found, half of it for those that were looked at.
    fn position(self) -> f64 {
        (self.found as f64 + 0.5 * self.looked as f64) / self.judged() as f64
    }

    fn text(self) -> String {
        let Self { found, looked, missed, wrong, .. } = self;
        let wrong = if wrong > 0 { format!("/{wrong}") } else { String::new() };
        format!("{found}/{looked}/{missed}{wrong}")
    }
}

/// A cell as it is drawn.
struct Drawn {
    text: String,
    /// Its place among the colours, 0 to 1.
    position: f64,
}

impl App<'_> {
    /// The tabs of what cells show.
    pub(super) fn tabs(&self) -> String {
        let tab = |metric: Metric| match metric == self.metric {
            true => reversed(&format!(" {} ", metric.name())),
            false => format!(" {} ", metric.name()),
        };
        Metric::ALL.map(tab).join(" ")
    }

    /// The heatmap that has the labels, and the values where they are one number a cell.
    fn map(&self) -> Heatmap {
        let (cells, trained) = (&self.report.cells, self.report.training_length);
        match self.metric {
            Metric::NeedleMass => Heatmap::needle_mass(cells, trained),
            Metric::Accuracy | Metric::Outcome => Heatmap::accuracy(cells, trained),
        }
    }

    fn drawn(&self, map: &Heatmap, row: usize, column: usize) -> Option<Drawn> {
        if self.metric == Metric::Outcome {
            let fates = Fates::of(self.trials(self.cell_at(row, column)?));
            return (fates.judged() > 0).then(|| Drawn { text: fates.text(), position: fates.position() });
        }
        let cell = (*map.cells.get(row)?.get(column)?)?;
        Some(Drawn { text: map.unit.text(cell.value, false), position: map.position(cell.value) })
    }

    /// The grid in lines of `width` columns: those of the labels above it, and its rows.
    pub(super) fn grid(&self, width: usize) -> (Vec<String>, Vec<String>) {
        let (style, map) = (&self.style, self.map());
        let (rows, columns) = (&self.rows, &self.columns);
        let drawn: Vec<Vec<Option<Drawn>>> = (0..rows.len())
            .map(|row| (0..columns.len()).map(|column| self.drawn(&map, row, column)).collect())
            .collect();
        let row_labels: Vec<String> = rows.iter().map(ToString::to_string).collect();
        let labels: Vec<String> = columns.iter().map(ToString::to_string).collect();
        let widest = |texts: &mut dyn Iterator<Item = &String>| texts.map(|text| text.width()).max();
        let gutter = widest(&mut row_labels.iter()).unwrap_or(0).max(map.y_label.width());
        let texts = widest(&mut drawn.iter().flatten().flatten().map(|cell| &cell.text));
        let text = texts.max(widest(&mut labels.iter())).unwrap_or(1);
        // Around the text: the cursor's brackets, and the star of a mark.
        let cell_width = text + 3;
        let shown = (width.saturating_sub(gutter + 2) / cell_width).clamp(1, columns.len().max(1));
        let from = self.cursor.1.saturating_sub(shown / 2).min(columns.len().saturating_sub(shown));
        let shown = from..(from + shown).min(columns.len());

        let bar = style.pick('\u{2502}', '|');
        let mark = map.mark.as_ref().map(|mark| mark.before_column);
        let line = |label: &str, cell: &dyn Fn(usize) -> String| {
            let mut line = format!("{label} ");
            for column in shown.clone() {
                line.extend((mark == Some(column)).then_some(bar));
                line += &cell(column);
            }
            line.extend((mark == Some(columns.len()) && shown.end == columns.len()).then_some(bar));
            line
        };
        let part = match shown.len() < columns.len() {
            true => format!(", {} to {} of {}", shown.start + 1, shown.end, columns.len()),
            false => String::new(),
        };
        let heading = |column: usize| {
            let label = format!("  {:>text$} ", labels[column]);
            if column == self.cursor.1 { bold(&label) } else { label }
        };
        let above = vec![
            format!("{:gutter$}   {}{part}", "", map.x_label),
            line(&format!("{:>gutter$}", map.y_label), &heading),
        ];
        let mut lines = Vec::new();
        for (row, label) in row_labels.iter().enumerate() {
            let label = format!("{label:>gutter$}");
            let label = if row == self.cursor.0 { bold(&label) } else { label };
            lines.push(line(&label, &|column| self.padded(drawn[row][column].as_ref(), (row, column), text)));
        }
        (above, lines)
    }

    /// A cell in its colour, with the signs of cursor and mark.
    fn padded(&self, drawn: Option<&Drawn>, at: (usize, usize), width: usize) -> String {
        let style = &self.style;
        let missing = style.pick("\u{b7}", ".");
        let text = drawn.map_or(missing, |drawn| &drawn.text);
        let here = at == self.cursor;
        let (open, close) = if here { ("[", "]") } else { (" ", " ") };
        let is_marked = self.cell_at(at.0, at.1).is_some_and(|cell| self.marked.contains(&cell));
        let star = if is_marked { "*" } else { " " };
        let cell = format!("{open}{star}{text:>width$}{close}");
        let color = drawn.map_or(MISSING, |drawn| style.palette.color(drawn.position));
        match style.color {
            ColorMode::None if here => bold(&cell),
            ColorMode::None => cell,
            _ => style.on(color, &cell),
        }
    }

    /// What the colours mean, and what is known of the cell under the cursor.
    pub(super) fn legend(&self) -> Vec<String> {
        let (style, map) = (&self.style, self.map());
        let bar: String = match style.color {
            ColorMode::None => String::new(),
            _ => (0..20).map(|step| style.on(style.palette.color(f64::from(step) / 19.0), " ")).collect(),
        };
        let ends = match self.metric {
            Metric::Outcome => ("missed".to_string(), "found".to_string()),
            _ => (map.unit.text(map.range.0, false), map.unit.text(map.range.1, false)),
        };
        let of_outcome = match self.metric {
            Metric::Outcome if self.report.summary.wrong > 0 => "   found/looked/missed/wrong in a cell",
            Metric::Outcome => "   found/looked/missed in a cell",
            _ => "",
        };
        let scale = if bar.is_empty() { String::new() } else { format!("{} {bar} {}", ends.0, ends.1) };
        let scale = format!("{scale}{of_outcome}");
        let mut lines: Vec<String> = Some(scale.trim_start().to_string()).into_iter().collect();
        lines.retain(|line| !line.is_empty());
        if let Some(mark) = &map.mark {
            lines.push(faint(&format!("{} {}", style.pick('\u{2502}', '|'), mark.label)));
        }
        lines.extend(style.wrap(&self.words_of_cell()).into_iter().take(3));
        lines
    }

    /// What is known of the cell under the cursor.
    fn words_of_cell(&self) -> String {
        let Some(cell) = self.cell_at(self.cursor.0, self.cursor.1) else { return String::new() };
        let name = words(cell);
        let of = |summary: &&crate::report::CellSummary| {
            (summary.context_length, summary.depth_percent) == (cell.context_length.0, cell.depth)
        };
        let Some(summary) = self.report.cells.iter().find(of).filter(|summary| summary.means.n > 0) else {
            return format!("{name}: no trial has run");
        };
        let means = &summary.means;
        let percent = |share| Unit::Percent.text(share, false);
        let accuracy = means.accuracy.map_or(String::new(), |share| format!(" ({}", percent(share)));
        let interval = means.ci_low.zip(means.ci_high).map_or(String::new(), |(low, high)| {
            format!(", 95% CI {}-{}", Unit::Percent.text(low, true), percent(high))
        });
        let close = if accuracy.is_empty() { "" } else { ")" };
        let mass =
            means.needle_mass_top_mean.map_or(String::new(), |mass| format!("; needle mass {mass:.3}"));
        let fates = Fates::of(self.trials(cell));
        let wrong = if fates.wrong > 0 { format!(", wrong {}", fates.wrong) } else { String::new() };
        let failed = if fates.failed > 0 { format!(", failed {}", fates.failed) } else { String::new() };
        format!(
            "{name}: {} of {} right{accuracy}{interval}{close}{mass}; found {}, looked {}, missed {}{wrong}{failed}",
            means.n_correct, means.n, fates.found, fates.looked, fates.missed
        )
    }

    /// The last rows of the trials of a cell, by their number.
    pub(super) fn trials(&self, cell: Cell) -> Vec<&Outcome> {
        let rows = self.by_cell.get(&cell);
        rows.into_iter().flatten().filter_map(|&row| self.outcomes.get(row)).collect()
    }
}

/// A cell in words.
pub(super) fn words(cell: Cell) -> String {
    format!("{} tokens, depth {}%", cell.context_length, cell.depth)
}
