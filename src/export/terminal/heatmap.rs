//! A heatmap as text: coloured blocks with the values in them, or numbers and a ramp of characters without
//! colours.
//!
//! The drawing is never wider than the terminal: first the cells get narrow, then the values lose digits,
//! then the columns are broken into several blocks.

use unicode_width::UnicodeWidthStr;

use crate::export::palette::{MISSING, Rgb};
use crate::export::style::{ColorMode, Style, visible};
use crate::report::heatmap::{HeatCell, Heatmap, Scale};

/// Draws `map`; every line ends with a line end.
#[must_use]
pub fn draw(map: &Heatmap, style: &Style) -> String {
    ended([grid(map, style), legend(&[map], style)].concat())
}

fn ended(lines: Vec<String>) -> String {
    lines.into_iter().map(|line| line + "\n").collect()
}

/// The title, the cells, and an empty line.
fn grid(map: &Heatmap, style: &Style) -> Vec<String> {
    let mut lines = style.wrap(&map.title);
    lines.push(String::new());
    if is_empty(map) {
        // One that is too large to be drawn says so in its notes.
        lines.extend(map.notes.is_empty().then(|| "no results".to_string()));
    } else {
        let layout = Layout::of(map, style);
        for start in (0..map.columns.len()).step_by(layout.columns_per_block) {
            let end = (start + layout.columns_per_block).min(map.columns.len());
            Block { map, style, layout: &layout, columns: start..end }.draw(&mut lines);
            lines.push(String::new());
        }
    }
    lines
}

fn is_empty(map: &Heatmap) -> bool {
    map.cells.iter().flatten().next().is_none()
}

/// Columns between heatmaps that stand side by side.
const GAP: usize = 3;

/// Draws heatmaps, as many side by side as have room for it and the others under them; every line ends with a
/// line end. A legend that holds for all of them stands once, below the last.
#[must_use]
pub fn draw_beside(maps: &[Heatmap], style: &Style) -> String {
    draw_rows(&[maps], style)
}

/// The same of several figures: all side by side where they have room for it, else each for itself.
#[must_use]
pub(super) fn draw_rows(figures: &[&[Heatmap]], style: &Style) -> String {
    let all: Vec<Heatmap> = figures.concat();
    let shared = all.len() > 1 && have_one_legend(&all);
    let rows = match beside(&all, style) {
        Some(count) if count == all.len() || figures.len() == 1 => in_rows(&all, count, shared, style),
        _ => {
            let of = |maps: &&[Heatmap]| in_rows(maps, beside(maps, style).unwrap_or(1), shared, style);
            figures.iter().flat_map(of).collect()
        }
    };
    let below = if shared { ended(legend(&all.iter().collect::<Vec<_>>(), style)) } else { String::new() };
    rows.join(if shared { "" } else { "\n" }) + &below
}

/// Whether colours mean the same in all of them.
pub(super) fn have_one_legend(maps: &[Heatmap]) -> bool {
    let key = |map: &Heatmap| (map.range, map.scale);
    maps.iter().all(|map| !is_empty(map) && key(map) == key(&maps[0]))
}

/// How many of the heatmaps stand side by side with room to spare; `None` for one alone.
fn beside(maps: &[Heatmap], style: &Style) -> Option<usize> {
    let fit = |count: &usize| {
        let part = part(*count, style);
        let roomy = |map: &Heatmap| map.cells.is_empty() || Layout::of(map, &part).roomy;
        part.width >= part.columns() && maps.iter().all(roomy)
    };
    (2..=maps.len()).rev().find(fit)
}

/// The room of one of `count` heatmaps side by side.
fn part(count: usize, style: &Style) -> Style {
    let width = (style.columns() + GAP).saturating_sub(GAP * count) / count;
    Style { width, ..*style }
}

/// Rows of `count` heatmaps, each with its legend unless they share one.
fn in_rows(maps: &[Heatmap], count: usize, shared: bool, style: &Style) -> Vec<String> {
    let row = |maps: &[Heatmap]| {
        let part = if maps.len() > 1 { part(count, style) } else { *style };
        let drawn = |map: &Heatmap| match shared {
            true => grid(map, &part),
            false => [grid(map, &part), legend(&[map], &part)].concat(),
        };
        side_by_side(maps.iter().map(drawn).collect(), titles(maps, &part), part.width)
    };
    maps.chunks(count).map(row).collect()
}

/// Lines that the title of each takes.
fn titles(maps: &[Heatmap], part: &Style) -> Vec<usize> {
    maps.iter().map(|map| part.wrap(&map.title).len()).collect()
}

/// Drawings side by side, each in its part of the terminal; shorter titles get empty lines, so that cells of
/// one row stand beside each other.
fn side_by_side(mut drawings: Vec<Vec<String>>, titles: Vec<usize>, width: usize) -> String {
    let tallest = titles.iter().copied().max().unwrap_or(0);
    for (drawing, title) in drawings.iter_mut().zip(titles) {
        drawing.splice(title..title, std::iter::repeat_n(String::new(), tallest - title));
    }
    let height = drawings.iter().map(Vec::len).max().unwrap_or(0);
    let mut lines = vec![String::new(); height];
    for (index, drawing) in drawings.iter().enumerate() {
        let start = index * (width + GAP);
        for (line, text) in lines.iter_mut().zip(drawing).filter(|(_, text)| !text.is_empty()) {
            *line += &" ".repeat(start - visible(line).width());
            *line += text;
        }
    }
    lines.iter().map(|line| line.trim_end().to_string() + "\n").collect()
}

/// What the available width allows.
struct Layout {
    /// Width of the row labels and the space after them.
    gutter: usize,
    /// Width of a value, a column's label or an `n=`, whichever is longest.
    text: usize,
    /// Whether a cell has a space after its text and, without colours, two characters of the ramp.
    roomy: bool,
    /// Whether values are printed with fewer digits.
    short: bool,
    /// Whether every value has its own `n=` below.
    n_in_cells: bool,
    columns_per_block: usize,
}

impl Layout {
    fn of(map: &Heatmap, style: &Style) -> Self {
        let n_in_cells = map.uniform_n().is_none();
        let longest = |texts: &[String]| texts.iter().map(|text| text.chars().count()).max().unwrap_or(0);
        let gutter = longest(&map.rows).max(map.y_label.chars().count()).min(style.columns() / 2 - 1) + 1;
        let mark = usize::from(map.mark.is_some());
        let layouts = [(true, false), (false, false), (false, true)].map(|(roomy, short)| {
            let values = map.cells.iter().flatten().flatten();
            let text = values
                .flat_map(|cell| [Some(map.unit.text(cell.value, short)), n_in_cells.then(|| n_text(cell))])
                .flatten()
                .map(|text| text.len())
                .chain([longest(&map.columns)])
                .max()
                .unwrap_or(1);
            Self { gutter, text, roomy, short, n_in_cells, columns_per_block: map.columns.len() }
        });
        let room = style.columns() - gutter - mark;
        let fits = layouts.iter().position(|layout| layout.cell_width(style) * map.columns.len() <= room);
        let [roomy, narrow, short] = layouts;
        match fits {
            Some(0) => roomy,
            Some(1) => narrow,
            Some(_) => short,
            None => {
                let text = short.text.min(room - 1);
                Self { text, columns_per_block: room / (text + 1), ..short }
            }
        }
    }

    fn cell_width(&self, style: &Style) -> usize {
        let ramp = if style.color == ColorMode::None { 3 } else { 0 };
        1 + self.text + if self.roomy { 1 + ramp } else { 0 }
    }
}

/// Some columns of a heatmap, drawn under each other.
struct Block<'a> {
    map: &'a Heatmap,
    style: &'a Style,
    layout: &'a Layout,
    columns: std::ops::Range<usize>,
}

impl Block<'_> {
    fn draw(&self, lines: &mut Vec<String>) {
        let Self { map, layout, .. } = self;
        // The axis's name goes where it fits; the caller's lines must not get wider for it.
        let room = self.style.columns() - layout.gutter - 1;
        let label = self.style.clean(&map.x_label);
        // Where it does not fit its unit goes first, which stands in brackets: half a bracket says nothing.
        let whole = label.chars().count() <= room;
        let name = if whole { &label } else { label.split(" (").next().unwrap_or_default() };
        let x_label: String = name.chars().take(room).collect();
        lines.push(format!("{:width$} {}", "", x_label.trim_end(), width = layout.gutter));
        lines.push(self.line(&map.y_label, |column| self.padded(&map.columns[column], None)));
        for (row, label) in map.rows.iter().enumerate() {
            let cell = |column: usize| map.cells[row][column];
            let drawn = |column| {
                let text = |c: &HeatCell| map.unit.text(c.value, layout.short);
                self.cell(cell(column), map.marked.contains(&(row, column)), text)
            };
            lines.push(self.line(label, drawn));
            if layout.n_in_cells {
                lines.push(self.line("", |column| self.n(cell(column))));
            }
        }
    }

    /// One line: the label, the cells, and the mark between them.
    fn line(&self, label: &str, cell: impl Fn(usize) -> String) -> String {
        let width = self.layout.gutter - 1;
        let mut line = format!("{:>width$} ", fitted(&self.style.clean(label), width));
        let mark = self.map.mark.as_ref().map(|mark| mark.before_column);
        let bar = self.style.pick('│', '|');
        for column in self.columns.clone() {
            if mark == Some(column) {
                line.push(bar);
            }
            line.push_str(&cell(column));
        }
        let after_all = self.columns.end == self.map.columns.len() && mark == Some(self.columns.end);
        if after_all {
            line.push(bar);
        }
        line.trim_end().to_string()
    }

    /// A cell with its colour; a star stands before what is marked.
    fn cell(&self, cell: Option<HeatCell>, marked: bool, text: impl Fn(&HeatCell) -> String) -> String {
        let style = self.style;
        let Some(cell) = cell else {
            let dot = format!("{:^width$}", style.pick('·', '.'), width = self.layout.text);
            return style.on(MISSING, &self.padded(&dot, None));
        };
        let position = self.map.position(cell.value);
        let mut padded = self.padded(&text(&cell), Some(position));
        if marked {
            // Between the space and the number, wherever that begins.
            let number = padded.find(|c: char| c != ' ').unwrap_or(1);
            padded.replace_range(number - 1..number, "*");
        }
        style.on(color(self.map, position, style), &padded)
    }

    /// The second line of a cell, in its colour.
    fn n(&self, cell: Option<HeatCell>) -> String {
        let color = |cell: HeatCell| color(self.map, self.map.position(cell.value), self.style);
        let background = cell.map_or(MISSING, color);
        self.style.on(background, &self.padded(&cell.as_ref().map(n_text).unwrap_or_default(), None))
    }

    /// `text` in a cell's width, with the ramp's character for `position` after it where there is room.
    fn padded(&self, text: &str, position: Option<f64>) -> String {
        let width = self.layout.text;
        let mut padded = format!(" {:>width$}", fitted(&self.style.clean(text), width));
        if self.layout.roomy {
            padded.push(' ');
            if self.style.color == ColorMode::None {
                let shade = position.map_or(' ', |position| ramp(self.map, position, self.style));
                padded.extend([shade, shade, ' ']);
            }
        }
        padded
    }
}

fn n_text(cell: &HeatCell) -> String {
    format!("n={}", cell.n)
}

/// `text`, or `#` in its place when it is too long: part of a number would be another number.
fn fitted(text: &str, width: usize) -> String {
    if text.chars().count() <= width { text.to_string() } else { "#".repeat(width) }
}

/// The colour of `position`.
fn color(map: &Heatmap, position: f64, style: &Style) -> Rgb {
    match map.scale {
        Scale::Sequential => style.palette.color(position),
        Scale::Diverging => style.palette.diverging(position),
    }
}

/// The character whose ink grows with `position`; of a difference with its size, since the value shows the
/// sign.
fn ramp(map: &Heatmap, position: f64, style: &Style) -> char {
    let ink = match map.scale {
        Scale::Sequential => position,
        Scale::Diverging => (2.0 * position - 1.0).abs(),
    };
    // No `%` among them: beside a number it would read as per cent.
    let ramp: &[char] =
        style.pick(&[' ', '░', '▒', '▓', '█'], &[' ', '.', ':', '-', '=', '+', '*', '#', '@']);
    ramp[(ink.clamp(0.0, 1.0) * (ramp.len() - 1) as f64).round() as usize]
}

/// What colours, marks and numbers of these heatmaps mean, and their notes. The colours mean the same in all
/// of them.
fn legend(maps: &[&Heatmap], style: &Style) -> Vec<String> {
    let mut lines = Vec::new();
    if let Some(map) = maps.first().filter(|map| !is_empty(map)) {
        let end = |value: f64| distinct(maps.iter().map(|map| map.unit.text(value, false))).join(" = ");
        let (low, high) = (end(map.range.0), end(map.range.1));
        let steps = 20.min(style.columns().saturating_sub(low.len() + high.len() + 4)).max(2);
        let bar: String = (0..steps)
            .map(|step| step as f64 / (steps - 1) as f64)
            .map(|position| match style.color {
                ColorMode::None => ramp(map, position, style).to_string(),
                _ => style.on(color(map, position, style), " "),
            })
            .collect();
        let (open, close) = if style.color == ColorMode::None { ("[", "]") } else { ("", "") };
        lines.push(format!("{low} {open}{bar}{close} {high}"));
        let missing = |map: &&Heatmap| map.cells.iter().flatten().filter(|cell| cell.is_none()).count();
        let missing: Vec<usize> = maps.iter().map(missing).collect();
        if missing.iter().any(|count| *count > 0) {
            let sample = style.on(MISSING, &format!(" {} ", style.pick('·', '.')));
            let counts = match missing.iter().all(|count| *count == missing[0]) {
                true => missing[0].to_string(),
                false => missing.iter().map(usize::to_string).collect::<Vec<_>>().join(" and "),
            };
            lines.push(format!("{sample} missing: {counts}"));
        }
        let marks = maps.iter().filter_map(|map| map.mark.as_ref().map(|mark| mark.label.clone()));
        for label in distinct(marks) {
            lines.extend(style.wrap(&format!("{} {label}", style.pick('│', '|'))));
        }
        let counts = distinct(maps.iter().map(|map| map.uniform_n()));
        if let [Some(n @ 1..)] = counts[..] {
            lines.push(format!("n = {n} per cell"));
        }
    }
    let notes = distinct(maps.iter().flat_map(|map| map.notes.iter().cloned()));
    lines.extend(notes.iter().flat_map(|note| style.wrap(note)));
    lines
}

/// The values without repetitions, in their order.
fn distinct<T: PartialEq>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut found = Vec::new();
    for value in values {
        if !found.contains(&value) {
            found.push(value);
        }
    }
    found
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::export::palette::{RAG, VIRIDIS};
    use crate::export::style::Charset;
    use crate::report::cells;
    use crate::report::heatmap::{Mark, Unit};
    use crate::report::tests::outcome;

    fn small() -> Heatmap {
        let mut outcomes = Vec::new();
        for trial in 0..2 {
            outcomes.push(outcome(1024, 0.0, trial, true, Some(0.875)));
            outcomes.push(outcome(1024, 50.0, trial, trial == 0, Some(0.5)));
            outcomes.push(outcome(8192, 0.0, trial, false, Some(0.0)));
        }
        Heatmap::accuracy(&cells(&outcomes, &[]), Some(4096))
    }

    #[test]
    fn ascii_without_colours_is_readable() {
        assert_eq!(
            draw(&small(), &Style::plain(80)),
            "\
Accuracy by context length and depth

         context length (tokens)
depth %    1k    |   8k
      0  100% @@ |   0%
     50   50% == |  .

0% [  ..::---==+++**##@@] 100%
 .  missing: 1
| training length, 4k tokens: longer contexts stand to its right
n = 2 per cell
"
        );
    }

    #[test]
    fn an_axis_is_named_without_its_unit_where_both_do_not_fit() {
        let second_line = |width| {
            let drawn = draw(&small(), &Style::plain(width));
            drawn
                .lines()
                .find(|line| line.starts_with("  ") && line.contains("context le"))
                .unwrap()
                .trim()
                .to_string()
        };
        assert_eq!(second_line(33), "context length (tokens)");
        assert_eq!(second_line(31), "context length");
        assert_eq!(second_line(20), "context len");
    }

    #[test]
    fn truecolor_paints_every_value_in_its_colour_and_missing_in_grey() {
        let style = Style {
            color: ColorMode::Truecolor,
            charset: Charset::Unicode,
            palette: RAG,
            width: 80,
            csv_safe: false,
        };
        let drawing = draw(&small(), &style);
        let lines: Vec<&str> = drawing.lines().collect();
        assert_eq!(lines[3], "depth %    1k │   8k");
        assert_eq!(
            lines[4],
            "      0 \x1b[48;2;12;215;159;38;2;0;0;0m 100% \x1b[0m│\x1b[48;2;240;73;110;38;2;0;0;0m   \
             0% \x1b[0m"
        );
        assert_eq!(
            lines[5],
            "     50 \x1b[48;2;235;184;57;38;2;0;0;0m  50% \x1b[0m│\x1b[48;2;158;158;158;38;2;0;0;0m  \
             ·   \x1b[0m"
        );
    }

    #[test]
    fn the_256_colours_are_the_nearest() {
        let style = Style {
            color: ColorMode::Ansi256,
            charset: Charset::Ascii,
            palette: VIRIDIS,
            width: 80,
            csv_safe: false,
        };
        let drawing = draw(&small(), &style);
        assert!(
            drawing.contains("\x1b[48;5;220;38;5;16m 100% \x1b[0m|\x1b[48;5;53;38;5;231m   0% \x1b[0m"),
            "{drawing:?}"
        );
    }

    #[test]
    fn regression_a_missing_cell_is_not_drawn_as_zero() {
        for (color, charset) in STYLES {
            let style = Style { color, charset, palette: RAG, width: 80, csv_safe: false };
            let drawing = draw(&small(), &style);
            let last_row = drawing.lines().nth(5).unwrap();
            assert!(!visible(last_row).trim_end().ends_with('%'), "{last_row:?}");
        }
    }

    #[test]
    fn different_counts_stand_under_their_values() {
        let outcomes = [
            outcome(1024, 0.0, 0, true, Some(0.5)),
            outcome(1024, 0.0, 1, true, Some(0.5)),
            outcome(2048, 0.0, 0, false, Some(0.25)),
        ];
        let map = Heatmap::needle_mass(&cells(&outcomes, &[]), None);
        let drawing = draw(&map, &Style::plain(24));
        assert!(drawing.contains("      0  0.50 0.25\n          n=2  n=1\n"), "{drawing}");
        assert!(!drawing.contains("per cell"));
    }

    #[test]
    fn narrow_terminals_get_narrow_cells_then_fewer_digits_then_several_blocks() {
        let outcomes: Vec<_> = (1..=8).map(|i| outcome(1024 * i, 0.0, 0, true, Some(0.5))).collect();
        let map = Heatmap::needle_mass(&cells(&outcomes, &[]), Some(5 * 1024));
        let drawn = |width| draw(&map, &Style { color: ColorMode::Truecolor, ..Style::plain(width) });
        let row = |width| visible(drawn(width).lines().find(|line| line.starts_with("      0")).unwrap());
        assert_eq!(row(80), "      0  0.50  0.50  0.50  0.50  0.50 | 0.50  0.50  0.50 ");
        assert_eq!(row(50), "      0  0.50 0.50 0.50 0.50 0.50| 0.50 0.50 0.50");
        assert_eq!(row(42), "      0  0.5 0.5 0.5 0.5 0.5| 0.5 0.5 0.5");
        assert_eq!(row(30), "      0  0.5 0.5 0.5 0.5 0.5");
        assert!(visible(&drawn(30)).contains("      0 | 0.5 0.5 0.5\n"), "{}", visible(&drawn(30)));
    }

    #[test]
    fn differences_show_their_sign_in_the_value_and_their_size_in_the_ink() {
        let mut map = small();
        (map.range, map.scale, map.unit) = ((-1.0, 1.0), Scale::Diverging, Unit::Points);
        map.cells[1][1] = Some(HeatCell { value: -1.0, n: 2 });
        let drawing = draw(&map, &Style::plain(80));
        assert!(drawing.contains("      0  +100 @@ |    0\n     50   +50 == | -100 @@\n\n"), "{drawing}");
        assert!(drawing.contains("-100 [@#*++=-:.  .:-=++*#@] +100\n"), "{drawing}");
        let style = Style {
            color: ColorMode::Truecolor,
            charset: Charset::Unicode,
            palette: VIRIDIS,
            width: 80,
            csv_safe: false,
        };
        let drawing = draw(&map, &style);
        assert!(drawing.contains("\x1b[48;2;84;39;136;38;2;255;255;255m +100 \x1b[0m"), "{drawing:?}");
        assert!(drawing.contains("\x1b[48;2;179;88;6;38;2;255;255;255m -100 \x1b[0m"), "{drawing:?}");
    }

    #[test]
    fn two_maps_stand_side_by_side_where_both_have_room() {
        let (map, wide) = (small(), draw(&small(), &Style::plain(80)));
        let both = draw_beside(&[map.clone(), map.clone()], &Style::plain(80));
        assert_eq!(both.lines().count(), wide.lines().count(), "one legend for both");
        assert!(
            both.contains("      0  100% @@ |   0%                        0  100% @@ |   0%\n"),
            "{both}"
        );
        let stacked = draw_beside(&[map.clone(), map.clone()], &Style::plain(40));
        let alone = draw(&map, &Style::plain(40));
        let (grid, _) = alone.split_once("0% [").unwrap();
        assert_eq!(stacked, format!("{grid}{alone}"));
    }

    #[test]
    fn heatmaps_whose_colours_mean_the_same_have_one_legend_and_others_their_own() {
        let accuracy = small();
        let mut mass =
            Heatmap { unit: Unit::Fraction, title: "Another title, in two lines".into(), ..small() };
        let both = draw_beside(&[accuracy.clone(), mass.clone()], &Style::plain(60));
        let lines: Vec<&str> = both.lines().collect();
        assert_eq!(both.matches("training length").count(), 1, "{both}");
        assert!(both.contains("0% = 0.00 [") && both.contains("] 100% = 1.00\n"), "{both}");
        assert_eq!(both.matches("n = 2 per cell").count(), 1, "{both}");
        let row = lines.iter().find(|line| line.contains("100% ")).unwrap();
        assert!(row.contains("1.00"), "cells of one row stand beside each other: {both}");
        mass.range = (0.0, 2.0);
        let apart = draw_beside(&[accuracy, mass], &Style::plain(120));
        assert_eq!(apart.matches("training length").count(), 2, "{apart}");
    }

    #[test]
    fn of_three_maps_as_many_stand_side_by_side_as_have_room() {
        let map = small();
        let lines = |width| {
            draw_beside(&[map.clone(), map.clone(), map.clone()], &Style::plain(width)).lines().count()
        };
        let one = draw(&map, &Style::plain(160)).lines().count();
        assert_eq!(lines(160), one);
        assert!(lines(80) > one && lines(80) <= 2 * one + 3, "two and one under them");
        assert!(lines(40) > lines(80) + 4, "one under the other");
    }

    #[test]
    fn nothing_to_draw_is_said() {
        let drawing = draw(&Heatmap::accuracy(&[], Some(1024)), &Style::plain(80));
        assert_eq!(drawing, "Accuracy by context length and depth\n\nno results\n");
    }

    const STYLES: [(ColorMode, Charset); 6] = [
        (ColorMode::None, Charset::Ascii),
        (ColorMode::None, Charset::Unicode),
        (ColorMode::Ansi256, Charset::Ascii),
        (ColorMode::Ansi256, Charset::Unicode),
        (ColorMode::Truecolor, Charset::Ascii),
        (ColorMode::Truecolor, Charset::Unicode),
    ];

    proptest! {
        #[test]
        fn no_line_is_wider_than_the_terminal(
            width in 20usize..140,
            columns in 1usize..40,
            rows in 1usize..4,
            seed in proptest::collection::vec(
                (proptest::option::weighted(0.8, 0.0..20000.0f64), 0usize..2000),
                160,
            ),
            mark in proptest::option::of(0usize..41),
            percent: bool,
            style in 0usize..6,
        ) {
            let (color, charset) = STYLES[style];
            let cell = |i: usize| {
                let (value, n) = seed[i % seed.len()];
                value.map(|value| HeatCell { value, n })
            };
            let map = Heatmap {
                title: "Needle mass of a title long enough to be wrapped on narrow terminals".into(),
                x_label: "context length (tokens)".into(),
                quantity: String::new(),
                y_label: "depth %".into(),
                columns: (0..columns).map(|i| (i * 104_729).to_string()).collect(),
                rows: (0..rows).map(|i| format!("{}", i as f64 * 3.949)).collect(),
                cells: (0..rows).map(|r| (0..columns).map(|c| cell(r * columns + c)).collect()).collect(),
                range: (0.0, 1.0),
                scale: if percent { Scale::Sequential } else { Scale::Diverging },
                unit: if percent { Unit::Percent } else { Unit::Fraction },
                marked: vec![(0, 0)],
                mark: mark.map(|column| Mark { before_column: column.min(columns), label: "training length".into() }),
                notes: vec!["3 failed trials are left out of this picture".into()],
            };
            let style = Style { color, charset, palette: RAG, width, csv_safe: false };
            let three = [map.clone(), map.clone(), map.clone()];
            for drawing in [draw(&map, &style), draw_beside(&three, &style)] {
                for line in visible(&drawing).lines() {
                    prop_assert!(line.width() <= width, "{} > {width}: {line:?}", line.width());
                }
                prop_assert!(charset == Charset::Unicode || drawing.is_ascii());
                prop_assert!(color != ColorMode::None || !drawing.contains('\x1b'));
            }
        }
    }
}
