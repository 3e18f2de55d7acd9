//! Figures as SVG: everything inside one element, no fonts, scripts or files from elsewhere.

use std::fmt::Write as _;

use super::figures;
use super::palette::{MISSING, Palette};
use super::style::Style;
use crate::error::{Error, Result};
use crate::printable;
use crate::report::Report;
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Series, Shape};
use crate::report::heatmap::{Heatmap, Scale as Colors};

/// Colours of series that the colour-blind can tell apart (Okabe and Ito 2008).
const COLORS: [&str; 8] =
    ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a8a8a"];

/// Width and height of a panel, in pixels.
const PANEL: (f64, f64) = (460.0, 320.0);
/// Room inside a panel, left, top, right and bottom of what is drawn.
const MARGINS: [f64; 4] = [58.0, 30.0, 14.0, 44.0];
/// Height of a line of the legend.
const LEGEND_LINE: f64 = 18.0;
/// Room for the sample of a series in the legend and for the gap behind its name, and for a letter of the
/// name: fonts differ.
const LEGEND_ENTRY: (f64, f64) = (40.0, 6.8);
/// Panels beside each other.
const PANELS_A_ROW: usize = 2;

/// All figures of the report under each other, each above its caption, below the title and what is said
/// before the first of them.
///
/// # Errors
/// When the report has no figure.
pub fn write(report: &Report, style: &Style) -> Result<Vec<u8>> {
    let document = &report.document;
    let figures = figures::of(document);
    if figures.is_empty() {
        return Err(Error::Message(
            "this report has no picture to draw; take another form of output, such as html".to_string(),
        ));
    }
    let width = figures.iter().map(|figure| Size::of(figure).width).fold(0.0, f64::max);
    let narrow = Style { width: (width / LEGEND_ENTRY.1) as usize, ..Style::unicode() };
    let mut drawn = String::new();
    let mut y = 0.0;
    let head = std::iter::once(document.title.as_str()).chain(match document.blocks.first() {
        Some(Block::Paragraph(words)) => std::slice::from_ref(words).iter().map(String::as_str),
        Some(Block::Lines(words)) => words.iter().map(String::as_str),
        _ => [].iter().map(String::as_str),
    });
    let words = |drawn: &mut String, y: &mut f64, words: &str| {
        for line in narrow.wrap(words).iter().filter(|line| !line.is_empty()) {
            *y += LEGEND_LINE;
            text(drawn, [8.0, *y], "start", "#222222", line);
        }
    };
    head.for_each(|line| words(&mut drawn, &mut y, line));
    for figure in figures {
        y += LEGEND_LINE;
        let _ = writeln!(drawn, "<g transform=\"translate(0 {y})\">");
        draw_panels(&mut drawn, figure, style.palette);
        drawn.push_str("</g>\n");
        y += Size::of(figure).height;
        words(&mut drawn, &mut y, &figure.caption);
        words(&mut drawn, &mut y, if has_missing(figure) { "grey: missing" } else { "" });
    }
    let mut svg = open([width, y + LEGEND_LINE], &document.title);
    svg.push_str(&drawn);
    svg.push_str("</svg>\n");
    Ok(svg.into_bytes())
}

/// Whether a heatmap of the figure has a cell without a value.
fn has_missing(figure: &Figure) -> bool {
    figure.panels.iter().any(|panel| match panel {
        Panel::Heatmap(map) => map.cells.iter().flatten().any(Option::is_none),
        Panel::Chart(_) => false,
    })
}

/// The figure, without its caption.
#[must_use]
pub fn draw(figure: &Figure, palette: Palette) -> String {
    let Size { width, height, .. } = Size::of(figure);
    let mut svg = open([width, height], &figure.caption);
    draw_panels(&mut svg, figure, palette);
    svg.push_str("</svg>\n");
    svg
}

/// The figure as a picture of its own.
///
/// # Errors
/// None.
pub fn alone(figure: &Figure, style: &Style) -> Result<Vec<u8>> {
    Ok(draw(figure, style.palette).into_bytes())
}

/// The beginning of a picture.
fn open([width, height]: [f64; 2], label: &str) -> String {
    format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" \
         height=\"{height}\" font-family=\"sans-serif\" font-size=\"12\" role=\"img\" \
         aria-label=\"{}\">\n<rect width=\"100%\" height=\"100%\" fill=\"#ffffff\"/>\n",
        escaped(label)
    )
}

/// What a figure takes, in pixels, and how its legend is laid out.
struct Size {
    width: f64,
    height: f64,
    rows: usize,
    legend_columns: usize,
}

impl Size {
    fn of(figure: &Figure) -> Self {
        let legend = legend(&figure.panels);
        let columns = figure.panels.len().clamp(1, PANELS_A_ROW);
        let rows = figure.panels.len().div_ceil(PANELS_A_ROW);
        let width = PANEL.0 * columns as f64;
        let longest = legend.iter().map(|(name, ..)| name.chars().count()).max().unwrap_or(0);
        let entry = LEGEND_ENTRY.0 + LEGEND_ENTRY.1 * longest as f64;
        let legend_columns = (((width - MARGINS[0]) / entry) as usize).clamp(1, 2 * columns);
        let legend_rows = legend.len().div_ceil(legend_columns);
        let height = PANEL.1 * rows as f64 + LEGEND_LINE * legend_rows as f64 + 8.0;
        Self { width, height, rows, legend_columns }
    }
}

fn draw_panels(svg: &mut String, figure: &Figure, palette: Palette) {
    let legend = legend(&figure.panels);
    let Size { width, rows, legend_columns, .. } = Size::of(figure);
    for (index, panel) in figure.panels.iter().enumerate() {
        let (column, row) = (index % PANELS_A_ROW, index / PANELS_A_ROW);
        let _ = writeln!(
            svg,
            "<g transform=\"translate({} {})\">",
            PANEL.0 * column as f64,
            PANEL.1 * row as f64
        );
        match panel {
            Panel::Chart(chart) => draw_chart(svg, chart),
            Panel::Heatmap(map) => draw_heatmap(svg, map, palette),
        }
        svg.push_str("</g>\n");
    }
    for (index, (name, color, shape)) in legend.iter().enumerate() {
        let (row, column) = (index / legend_columns, index % legend_columns);
        let x = MARGINS[0] + (width - MARGINS[0]) / legend_columns as f64 * column as f64;
        let y = PANEL.1 * rows as f64 + LEGEND_LINE * (row as f64 + 0.5);
        let sample = [Point::new(x, y), Point::new(x + 22.0, y)];
        draw_points(svg, &sample, color, *shape);
        text(svg, [x + 28.0, y + 4.0], "start", "#222222", name);
    }
}

/// Text that means itself in HTML and SVG, hidden characters as escapes that can be read: some of them may
/// stand in no XML.
#[must_use]
pub fn escaped(text: &str) -> String {
    let text = printable::lines(text);
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

/// What stands for which series, each once.
fn legend(panels: &[Panel]) -> Vec<(&str, &'static str, Shape)> {
    let mut legend: Vec<(&str, &'static str, Shape)> = Vec::new();
    let charts = panels.iter().filter_map(|panel| match panel {
        Panel::Chart(chart) => Some(chart),
        Panel::Heatmap(_) => None,
    });
    for series in charts.flat_map(|chart| &chart.series) {
        let entry = (series.name.as_str(), color(series), series.shape);
        if !legend.contains(&entry) {
            legend.push(entry);
        }
    }
    legend
}

fn color(series: &Series) -> &'static str {
    COLORS[series.color % COLORS.len()]
}

/// The title of a panel, smaller where it is long.
fn title(svg: &mut String, words: &str) {
    let (x, room) = ((MARGINS[0] + PANEL.0 - MARGINS[2]) / 2.0, PANEL.0 - 8.0);
    let size = room / (LEGEND_ENTRY.1 / 12.0 * words.chars().count().max(1) as f64);
    if size >= 12.0 {
        return text(svg, [x, 18.0], "middle", "#000000", words);
    }
    let words = escaped(words);
    let _ = writeln!(
        svg,
        "<text x=\"{:.1}\" y=\"18.0\" text-anchor=\"middle\" font-size=\"{size:.1}\" \
         fill=\"#000000\">{words}</text>",
        PANEL.0 / 2.0
    );
}

fn text(svg: &mut String, [x, y]: [f64; 2], anchor: &str, fill: &str, words: &str) {
    let words = escaped(words);
    let _ = writeln!(
        svg,
        "<text x=\"{x:.1}\" y=\"{y:.1}\" text-anchor=\"{anchor}\" fill=\"{fill}\">{words}</text>"
    );
}

/// The name of an upright axis, its middle at `y`.
fn axis_label(svg: &mut String, y: f64, words: &str) {
    let words = escaped(words);
    let _ = writeln!(
        svg,
        "<text transform=\"translate(14 {y:.1}) rotate(-90)\" text-anchor=\"middle\" \
         fill=\"#222222\">{words}</text>"
    );
}

fn line(svg: &mut String, from: [f64; 2], to: [f64; 2], style: &str) {
    let _ = writeln!(
        svg,
        "<line x1=\"{:.1}\" y1=\"{:.1}\" x2=\"{:.1}\" y2=\"{:.1}\" {style}/>",
        from[0], from[1], to[0], to[1]
    );
}

/// Where values of an axis lie, in pixels.
struct Scale {
    logarithmic: bool,
    low: f64,
    high: f64,
    from: f64,
    to: f64,
}

impl Scale {
    fn new(axis: &Axis, values: impl Iterator<Item = f64>, [from, to]: [f64; 2]) -> Self {
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

    fn place(&self, value: f64) -> f64 {
        let share = if self.logarithmic {
            (value / self.low).ln() / (self.high / self.low).ln()
        } else {
            (value - self.low) / (self.high - self.low)
        };
        self.from + share.clamp(-0.02, 1.02) * (self.to - self.from)
    }

    /// Values to write beside the axis: powers of two, or round numbers.
    fn ticks(&self) -> Vec<f64> {
        if self.logarithmic {
            let powers = self.low.log2().ceil() as i32..=self.high.log2().floor() as i32;
            let every = (powers.clone().count() / 9 + 1).max(1);
            return powers.step_by(every).map(|power| f64::from(power).exp2()).collect();
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
fn label(value: f64) -> String {
    if value.abs() >= 1024.0 && value % 1024.0 == 0.0 {
        return format!("{}k", value / 1024.0);
    }
    let text = format!("{value:.4}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_string() } else { text.to_string() }
}

fn draw_chart(svg: &mut String, chart: &Chart) {
    let [left, top, right, bottom] = MARGINS;
    let (x_end, y_end) = (PANEL.0 - right, PANEL.1 - bottom);
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let x = Scale::new(&chart.x, points().map(|point| point.x), [left, x_end]);
    let all_y = points().flat_map(|point| {
        let (low, high) = point.interval.unwrap_or((point.y, point.y));
        [point.y, low, high]
    });
    let y = Scale::new(&chart.y, all_y, [y_end, top]);
    title(svg, &chart.title);
    for tick in x.ticks() {
        let at = x.place(tick);
        line(svg, [at, top], [at, y_end], "stroke=\"#e4e4e4\"");
        text(svg, [at, y_end + 16.0], "middle", "#444444", &label(tick));
    }
    for tick in y.ticks() {
        let at = y.place(tick);
        line(svg, [left, at], [x_end, at], "stroke=\"#e4e4e4\"");
        text(svg, [left - 6.0, at + 4.0], "end", "#444444", &label(tick));
    }
    line(svg, [left, y_end], [x_end, y_end], "stroke=\"#444444\"");
    line(svg, [left, top], [left, y_end], "stroke=\"#444444\"");
    text(svg, [(left + x_end) / 2.0, PANEL.1 - 10.0], "middle", "#222222", &chart.x.label);
    axis_label(svg, (top + y_end) / 2.0, &chart.y.label);
    for (at, words) in &chart.marks {
        let at = x.place(*at);
        line(svg, [at, top], [at, y_end], "stroke=\"#666666\" stroke-dasharray=\"2 3\"");
        let room = PANEL.0 - at - 4.0 >= LEGEND_ENTRY.1 * words.chars().count() as f64;
        let (x, anchor) = if room { (at + 4.0, "start") } else { (at - 4.0, "end") };
        text(svg, [x, top + 12.0], anchor, "#666666", words);
    }
    for series in &chart.series {
        let placed = |point: &Point| Point {
            x: x.place(point.x),
            y: y.place(point.y),
            interval: point.interval.map(|(low, high)| (y.place(low), y.place(high))),
        };
        let points: Vec<Point> = series.points.iter().filter(|p| p.y.is_finite()).map(placed).collect();
        draw_points(svg, &points, color(series), series.shape);
    }
}

/// Points in pixels.
fn draw_points(svg: &mut String, points: &[Point], color: &str, shape: Shape) {
    for point in points {
        if let Some((low, high)) = point.interval {
            line(
                svg,
                [point.x, low],
                [point.x, high],
                &format!("stroke=\"{color}\" stroke-opacity=\"0.45\""),
            );
        }
    }
    match shape {
        Shape::Line | Shape::Dashes => {
            let path: Vec<String> = points.iter().map(|p| format!("{:.1},{:.1}", p.x, p.y)).collect();
            let dashes = if shape == Shape::Dashes { " stroke-dasharray=\"6 4\"" } else { "" };
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"1.8\"{dashes} points=\"{}\"/>",
                path.join(" ")
            );
        }
        Shape::Dots => {
            for Point { x, y, .. } in points {
                let _ = writeln!(
                    svg,
                    "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"3\" fill=\"{color}\" fill-opacity=\"0.7\"/>"
                );
            }
        }
        Shape::Crosses => {
            for Point { x, y, .. } in points {
                let style = format!("stroke=\"{color}\" stroke-width=\"1.5\"");
                line(svg, [x - 3.0, y - 3.0], [x + 3.0, y + 3.0], &style);
                line(svg, [x - 3.0, y + 3.0], [x + 3.0, y - 3.0], &style);
            }
        }
    }
}

fn draw_heatmap(svg: &mut String, map: &Heatmap, palette: Palette) {
    let [left, top, right, bottom] = MARGINS;
    let (columns, rows) = (map.columns.len().max(1) as f64, map.rows.len().max(1) as f64);
    let cell = [(PANEL.0 - left - right) / columns, (PANEL.1 - top - bottom) / rows];
    title(svg, &map.title);
    let every = |room: f64, names: &[String]| {
        let longest = names.iter().map(|name| name.chars().count()).max().unwrap_or(0) as f64;
        (LEGEND_ENTRY.1 * (longest + 1.0) / room).ceil().max(1.0) as usize
    };
    for (row, (name, cells)) in map.rows.iter().zip(&map.cells).enumerate() {
        let y = top + cell[1] * row as f64;
        if row % ((12.0 / cell[1]).ceil().max(1.0) as usize) == 0 {
            text(svg, [left - 6.0, y + cell[1] / 2.0 + 4.0], "end", "#444444", name);
        }
        for (column, value) in cells.iter().enumerate() {
            let x = left + cell[0] * column as f64;
            let color = value.map(|value| match map.scale {
                Colors::Sequential => palette.color(map.position(value.value)),
                Colors::Diverging => palette.diverging(map.position(value.value)),
            });
            let fill = color.unwrap_or(MISSING).hex();
            let _ = writeln!(
                svg,
                "<rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{:.1}\" height=\"{:.1}\" fill=\"{fill}\"/>",
                (cell[0] - 1.0).max(0.5),
                (cell[1] - 1.0).max(0.5)
            );
            if let (Some(value), Some(color)) = (value, color) {
                let words = map.unit.text(value.value, false);
                let at = [x + cell[0] / 2.0, y + cell[1] / 2.0 + 4.0];
                if LEGEND_ENTRY.1 * words.len() as f64 <= cell[0] && cell[1] >= 12.0 {
                    text(svg, at, "middle", &color.text_color().hex(), &words);
                }
            }
        }
    }
    for (column, name) in map.columns.iter().enumerate().step_by(every(cell[0], &map.columns)) {
        let x = left + cell[0] * (column as f64 + 0.5);
        text(svg, [x, PANEL.1 - bottom + 16.0], "middle", "#444444", name);
    }
    if let Some(mark) = &map.mark {
        let x = left + cell[0] * mark.before_column as f64 - 0.5;
        line(svg, [x, top - 4.0], [x, PANEL.1 - bottom + 4.0], "stroke=\"#000000\" stroke-width=\"2.5\"");
    }
    text(svg, [(left + PANEL.0 - right) / 2.0, PANEL.1 - 10.0], "middle", "#222222", &map.x_label);
    axis_label(svg, (top + PANEL.1 - bottom) / 2.0, &map.y_label);
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::export::palette::RAG;
    use crate::report::heatmap::{HeatCell, Unit};

    fn chart(points: Vec<Point>, logarithmic: bool) -> Panel {
        let series = Series { name: "a < b & c".to_string(), color: 9, shape: Shape::Line, points };
        let x = if logarithmic { Axis::logarithmic("length") } else { Axis::linear("length", None) };
        Panel::Chart(Chart {
            title: "t".to_string(),
            x,
            y: Axis::linear("loss", None),
            series: vec![series],
            marks: vec![(4.0, "training length".to_string())],
        })
    }

    fn figure(panels: Vec<Panel>) -> Figure {
        Figure { name: "f".to_string(), caption: "\"quoted\"".to_string(), panels }
    }

    #[test]
    fn what_is_drawn_lies_in_the_picture_and_words_are_escaped() {
        let points =
            vec![Point::new(1.0, 5.0), Point { interval: Some((2.0, 9.0)), ..Point::new(1024.0, 3.0) }];
        let svg = draw(&figure(vec![chart(points, true)]), RAG);
        assert!(svg.contains("a &lt; b &amp; c") && svg.contains("&quot;quoted&quot;"), "{svg}");
        assert!(svg.contains(">1k<") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
        let (_, line) = svg.split_once("<polyline").unwrap();
        let line = line.split("points=\"").nth(1).unwrap().split('"').next().unwrap();
        let places: Vec<f64> = line.split([' ', ',']).map(|number| number.parse().unwrap()).collect();
        assert_eq!(places.len(), 4);
        assert!((places[0] - MARGINS[0]).abs() < 0.1 && (places[2] - (PANEL.0 - MARGINS[2])).abs() < 0.1);
        assert!(places[1] < places[3], "the larger value is higher");
    }

    #[test]
    fn regression_what_a_mark_means_is_not_cut_off_at_the_right_edge() {
        let marked = |at: f64| {
            let points = vec![Point::new(1.0, 1.0), Point::new(1024.0, 1.0)];
            let Panel::Chart(chart) = chart(points, true) else { panic!("no chart") };
            let chart = Chart { marks: vec![(at, "training length".to_string())], ..chart };
            draw(&figure(vec![Panel::Chart(chart)]), RAG)
        };
        let anchor = |svg: &str| {
            let element = svg.split(">training length<").next().unwrap().rsplit("<text").next().unwrap();
            element.split("text-anchor=\"").nth(1).unwrap().split('"').next().unwrap().to_string()
        };
        assert_eq!([anchor(&marked(4.0)), anchor(&marked(1000.0))], ["start", "end"]);
    }

    #[test]
    fn long_names_of_a_legend_do_not_lie_on_each_other() {
        let named = |name: &str| {
            let Panel::Chart(mut chart) = chart(vec![Point::new(1.0, 1.0)], true) else { panic!("no chart") };
            chart.series[0].name = name.to_string();
            Panel::Chart(chart)
        };
        let starts = |names: &[&str]| {
            let svg = draw(&figure(names.iter().map(|name| named(name)).collect()), RAG);
            let start = |name: &&str| {
                let element =
                    svg.split(&format!(">{name}</text>")).next().unwrap().rsplit("<text").next().unwrap();
                let number = |key: &str| {
                    element
                        .split(&format!(" {key}=\""))
                        .nth(1)
                        .unwrap()
                        .split('"')
                        .next()
                        .unwrap()
                        .parse()
                        .unwrap()
                };
                let place: (f64, f64) = (number("x"), number("y"));
                place
            };
            names.iter().map(start).collect::<Vec<_>>()
        };
        let [one, two, three, four] = starts(&["one", "two", "three", "four"])[..] else {
            panic!("four names")
        };
        assert!(
            one.1 == two.1 && one.1 == four.1 && one.0 < two.0 && three.0 < four.0,
            "short names share a line"
        );
        let long: Vec<String> =
            (0..4).map(|index| format!("multiscreen of width 80, seed {index}")).collect();
        let found = starts(&long.iter().map(String::as_str).collect::<Vec<_>>());
        // Letters are some 6.5 pixels wide.
        assert!(found[3].0 + 6.5 * long[3].len() as f64 <= 2.0 * PANEL.0, "{found:?} in {}", 2.0 * PANEL.0);
        assert!(found[3].1 > found[0].1, "{found:?}");
    }

    #[test]
    fn no_points_one_point_and_numbers_that_are_not_finite_make_a_picture() {
        for points in
            [vec![], vec![Point::new(3.0, 1.0)], vec![Point::new(1.0, f64::NAN), Point::new(2.0, 1.0)]]
        {
            for logarithmic in [false, true] {
                let svg = draw(&figure(vec![chart(points.clone(), logarithmic)]), RAG);
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }

    #[test]
    fn a_missing_cell_is_grey_and_has_no_number() {
        let cell = |value| Some(HeatCell { value, n: 1 });
        let map = Heatmap {
            title: String::new(),
            x_label: String::new(),
            y_label: String::new(),
            columns: vec!["256".to_string(), "512".to_string()],
            rows: vec!["0".to_string()],
            cells: vec![vec![cell(1.0), None]],
            scale: Colors::Sequential,
            range: (0.0, 1.0),
            unit: Unit::Percent,
            mark: None,
            notes: vec![],
        };
        let svg = draw(&figure(vec![Panel::Heatmap(map)]), RAG);
        assert_eq!((svg.matches("100%<").count(), svg.matches(&MISSING.hex()).count()), (1, 1), "{svg}");
    }

    #[test]
    fn ticks_are_round_and_inside() {
        let linear = Scale::new(&Axis::linear("", Some((0.13, 2.71))), std::iter::empty(), [0.0, 1.0]);
        assert_eq!(linear.ticks().iter().map(|&x| label(x)).collect::<Vec<_>>(), ["1", "2"]);
        let powers = Scale::new(&Axis::logarithmic(""), [300.0, 8192.0].into_iter(), [0.0, 1.0]);
        assert_eq!(
            powers.ticks().iter().map(|&x| label(x)).collect::<Vec<_>>(),
            ["512", "1k", "2k", "4k", "8k"]
        );
    }
}
