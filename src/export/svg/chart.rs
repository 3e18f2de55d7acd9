//! Curves and dots. Series are told apart by colour, dash and marker, so that grey print loses none of them.

use std::fmt::Write as _;

use super::layout::{LETTER, Layout, Size};
use super::scale::{Scale, label};
use super::{axis_label, line, text};
use crate::report::document::{Chart, Panel, Point, Series, Shape};

/// Colours of series that the colour-blind can tell apart (Okabe and Ito 2008).
const COLORS: [&str; 8] =
    ["#d55e00", "#0072b2", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#000000", "#8a8a8a"];

/// Dashes by the place of a colour among those that are drawn, in widths of the curve; the first is whole.
const DASHES: [&[f64]; 6] =
    [&[], &[5.0, 2.0], &[1.2, 1.6], &[7.0, 2.0, 1.2, 2.0], &[3.0, 1.5], &[9.0, 2.0, 1.2, 2.0, 1.2, 2.0]];

/// Markers on a curve, at most: more are no longer told apart.
const MOST_MARKERS: usize = 16;

/// A sample of a series in the legend.
#[derive(Clone, Copy, PartialEq)]
pub(super) struct Entry<'a> {
    pub(super) name: &'a str,
    color: usize,
    shape: Shape,
}

/// How a series looks: its colour and the place of that among those of the figure.
#[derive(Clone, Copy)]
struct Look {
    color: &'static str,
    rank: usize,
    shape: Shape,
}

impl Look {
    fn of(color: usize, shape: Shape, entries: &[Entry<'_>]) -> Self {
        let mut colors: Vec<usize> = Vec::new();
        for entry in entries {
            if !colors.contains(&entry.color) {
                colors.push(entry.color);
            }
        }
        let rank = colors.iter().position(|known| *known == color).unwrap_or(0);
        Self { color: COLORS[color % COLORS.len()], rank, shape }
    }
}

/// What stands for which series, each once.
pub(super) fn legend(panels: &[Panel]) -> Vec<Entry<'_>> {
    let mut legend: Vec<Entry<'_>> = Vec::new();
    let charts = panels.iter().filter_map(|panel| match panel {
        Panel::Chart(chart) => Some(chart),
        Panel::Heatmap(_) => None,
    });
    for series in charts.flat_map(|chart| &chart.series) {
        let entry = Entry { name: &series.name, color: series.color, shape: series.shape };
        if !legend.contains(&entry) {
            legend.push(entry);
        }
    }
    legend
}

/// Below the panels.
pub(super) fn draw_legend(svg: &mut String, entries: &[Entry<'_>], layout: &Layout, size: &Size) {
    let sample = 1.8 * layout.font;
    for (index, entry) in entries.iter().enumerate() {
        let (row, column) = (index / size.legend_columns, index % size.legend_columns);
        let step = (size.width - layout.margins[0]) / size.legend_columns as f64;
        let x = layout.margins[0] + step * column as f64;
        let y = layout.panel.1 * size.rows as f64 + layout.line * (row as f64 + 0.5);
        let points = match entry.shape {
            Shape::Line | Shape::Dashes => vec![Point::new(x, y), Point::new(x + sample, y)],
            Shape::Dots | Shape::Crosses => vec![Point::new(x + sample / 2.0, y)],
        };
        draw_points(svg, &points, Look::of(entry.color, entry.shape, entries), layout);
        text(svg, layout.small, [x + 1.3 * sample, y + 0.35 * layout.small], "start", entry.name);
    }
}

pub(super) fn draw(svg: &mut String, chart: &Chart, entries: &[Entry<'_>], layout: &Layout) {
    let [left, top, right, bottom] = layout.margins;
    let (width, height) = layout.panel;
    let (x_end, y_end) = (width - right, height - bottom);
    let points = || chart.series.iter().flat_map(|series| &series.points);
    let x = Scale::new(&chart.x, points().map(|point| point.x), [left, x_end]);
    let all_y = points().flat_map(|point| {
        let (low, high) = point.interval.unwrap_or((point.y, point.y));
        [point.y, low, high]
    });
    let y = Scale::new(&chart.y, all_y, [y_end, top]);
    let small = layout.small;
    let rule = "class=\"rule\" stroke=\"#e0e0e0\" stroke-width=\"0.6\"";
    let mut free = f64::NEG_INFINITY;
    for tick in x.ticks() {
        let (at, words) = (x.place(tick), label(tick));
        line(svg, [at, top], [at, y_end], rule);
        let half = layout.width(&words) / 2.0;
        if at - half >= free {
            text(svg, small, [at, y_end + 1.3 * small], "middle", &words);
            free = at + half + 0.4 * small;
        }
    }
    for tick in y.ticks() {
        let at = y.place(tick);
        line(svg, [left, at], [x_end, at], rule);
        text(svg, small, [left - 0.5 * small, at + 0.35 * small], "end", &label(tick));
    }
    let axis = "class=\"axis\" stroke=\"#444444\" stroke-width=\"0.8\"";
    line(svg, [left, y_end], [x_end, y_end], axis);
    line(svg, [left, top], [left, y_end], axis);
    text(svg, layout.font, [(left + x_end) / 2.0, height - 0.8 * layout.font], "middle", &chart.x.label);
    axis_label(svg, layout, [1.15 * layout.font, (top + y_end) / 2.0], &chart.y.label);
    for (at, words) in &chart.marks {
        let at = x.place(*at);
        let mark = "class=\"axis\" stroke=\"#666666\" stroke-width=\"0.8\" stroke-dasharray=\"2 3\"";
        line(svg, [at, top], [at, y_end], mark);
        let room = width - at - 4.0 >= LETTER * small * words.chars().count() as f64;
        let (x, anchor) = if room { (at + 4.0, "start") } else { (at - 4.0, "end") };
        text(svg, small, [x, top + small], anchor, words);
    }
    for series in &chart.series {
        draw_points(svg, &placed(series, &x, &y), Look::of(series.color, series.shape, entries), layout);
    }
}

/// The points of a series that the axes have a place for.
fn placed(series: &Series, x: &Scale, y: &Scale) -> Vec<Point> {
    let known = series.points.iter().filter(|point| x.has(point.x) && y.has(point.y));
    let place = |point: &Point| Point {
        x: x.place(point.x),
        y: y.place(point.y),
        interval: point.interval.map(|(low, high)| (y.place(low), y.place(high))),
    };
    known.map(place).collect()
}

/// Points in the units of the picture.
fn draw_points(svg: &mut String, points: &[Point], look: Look, layout: &Layout) {
    let Look { color, rank, shape } = look;
    let cap = 0.8 * layout.marker;
    for (point, (low, high)) in points.iter().filter_map(|point| Some((point, point.interval?))) {
        let style =
            format!("stroke=\"{color}\" stroke-opacity=\"0.75\" stroke-width=\"{:.1}\"", 0.6 * layout.stroke);
        line(svg, [point.x, low], [point.x, high], &style);
        for end in [low, high] {
            line(svg, [point.x - cap, end], [point.x + cap, end], &style);
        }
    }
    match shape {
        Shape::Line | Shape::Dashes => {
            let path: Vec<String> = points.iter().map(|p| format!("{:.1},{:.1}", p.x, p.y)).collect();
            let dashes = match DASHES[rank % DASHES.len()] {
                [] if shape == Shape::Dashes => &[4.0, 2.5],
                own => own,
            };
            let dashes: Vec<String> = dashes.iter().map(|d| format!("{:.1}", d * layout.stroke)).collect();
            let dashes = match dashes.is_empty() {
                true => String::new(),
                false => format!(" stroke-dasharray=\"{}\"", dashes.join(" ")),
            };
            let _ = writeln!(
                svg,
                "<polyline fill=\"none\" stroke=\"{color}\" stroke-width=\"{}\"{dashes} points=\"{}\"/>",
                layout.stroke,
                path.join(" ")
            );
            let every = points.len().div_ceil(MOST_MARKERS).max(1);
            let hollow = shape == Shape::Dashes;
            for Point { x, y, .. } in points.iter().step_by(every) {
                marker(svg, [*x, *y], layout.marker, look, hollow);
            }
        }
        Shape::Dots => {
            // Of a cloud the single point matters less than how thick it is.
            let size = if points.len() > 200 { 0.5 * layout.marker } else { layout.marker };
            for Point { x, y, .. } in points {
                marker(svg, [*x, *y], size, look, false);
            }
        }
        Shape::Crosses => {
            let (style, r) = (format!("stroke=\"{color}\" stroke-width=\"1.5\""), layout.marker);
            for Point { x, y, .. } in points {
                line(svg, [x - r, y - r], [x + r, y + r], &style);
                line(svg, [x - r, y + r], [x + r, y - r], &style);
            }
        }
    }
}

/// A marker of the series' own form, around a point.
fn marker(svg: &mut String, [x, y]: [f64; 2], r: f64, look: Look, hollow: bool) {
    let color = look.color;
    let paint = match hollow {
        true => {
            format!("class=\"hollow\" fill=\"#ffffff\" stroke=\"{color}\" stroke-width=\"{:.1}\"", 0.35 * r)
        }
        false => format!("fill=\"{color}\""),
    };
    let corners: &[[f64; 2]] = match look.rank % 5 {
        0 => {
            let _ = writeln!(svg, "<circle cx=\"{x:.1}\" cy=\"{y:.1}\" r=\"{r:.1}\" {paint}/>");
            return;
        }
        1 => &[[-0.9, -0.9], [0.9, -0.9], [0.9, 0.9], [-0.9, 0.9]],
        2 => &[[0.0, -1.2], [1.1, 0.9], [-1.1, 0.9]],
        3 => &[[0.0, -1.3], [1.3, 0.0], [0.0, 1.3], [-1.3, 0.0]],
        _ => &[[0.0, 1.2], [1.1, -0.9], [-1.1, -0.9]],
    };
    let corner = |[dx, dy]: &[f64; 2]| format!("{:.1},{:.1}", x + dx * r, y + dy * r);
    let corners: Vec<String> = corners.iter().map(corner).collect();
    let _ = writeln!(svg, "<polygon points=\"{}\" {paint}/>", corners.join(" "));
}
