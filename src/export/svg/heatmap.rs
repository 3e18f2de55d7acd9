//! Grids of coloured cells, numbers in them where there is room, and the scale of their colours.

use std::fmt::Write as _;

use super::layout::{LETTER, Layout};
use super::{Links, axis_label, escaped, line, text, with_unit};
use crate::export::palette::{MISSING, Palette, Rgb};
use crate::report::heatmap::{HeatCell, Heatmap, Scale, Unit};

/// Steps of the scale of colours: neighbours are not told apart.
const STEPS: usize = 40;

pub(super) fn draw(
    svg: &mut String,
    map: &Heatmap,
    layout: &Layout,
    palette: Palette,
    links: Option<Links<'_>>,
) {
    let [left, top, _, bottom] = layout.margins;
    let (width, height) = (layout.panel.0 - layout.bar, layout.panel.1);
    let (columns, rows) = (map.columns.len().max(1) as f64, map.rows.len().max(1) as f64);
    let cell = [(width - left) / columns, (height - top - bottom) / rows];
    let small = layout.small;
    for (row, (name, cells)) in map.rows.iter().zip(&map.cells).enumerate() {
        let y = top + cell[1] * row as f64;
        if row % Layout::every(cell[1], small) == 0 {
            text(svg, small, [left - 0.5 * small, y + cell[1] / 2.0 + 0.35 * small], "end", name);
        }
        for (column, (value, of)) in cells.iter().zip(&map.columns).enumerate() {
            let place = [left + cell[0] * column as f64, y];
            let label = format!("{} {name}, {} {}", map.y_label, map.x_label, of);
            let label = escaped(&label);
            match links.and_then(|links| links(row, column)) {
                Some(link) => {
                    let (href, title) = (escaped(&link.href), escaped(&link.title));
                    let on = value.map_or(MISSING, |value| color(map, palette, map.position(value.value)));
                    let _ = writeln!(
                        svg,
                        "<a class=\"cell\" href=\"{href}\" aria-label=\"{title}\" color=\"{}\">\
                         <title>{title}</title>",
                        on.text_color().hex()
                    );
                    draw_cell(svg, (*value, &label), (map, palette), (place, cell), small);
                    svg.push_str("</a>\n");
                }
                None => draw_cell(svg, (*value, &label), (map, palette), (place, cell), small),
            }
            if map.marked.contains(&(row, column)) {
                text(svg, small, [place[0] + 0.2 * small, place[1] + 0.9 * small], "start", "*");
            }
        }
    }
    let longest = map.columns.iter().map(|name| layout.width(name)).fold(0.0, f64::max) + 0.6 * small;
    for (column, name) in map.columns.iter().enumerate().step_by(Layout::every(cell[0], longest)) {
        let x = left + cell[0] * (column as f64 + 0.5);
        text(svg, small, [x, height - bottom + 1.3 * small], "middle", name);
    }
    // Where all lengths are within it, there is nothing to tell apart.
    if let Some(mark) = map.mark.as_ref().filter(|mark| mark.before_column < map.columns.len()) {
        let x = left + cell[0] * mark.before_column as f64 - 0.5;
        let over = 0.35 * small;
        let wide = format!("class=\"mark\" stroke=\"#000000\" stroke-width=\"{:.1}\"", 0.2 * small);
        line(svg, [x, top - over], [x, height - bottom + over], &wide);
    }
    let middle = (left + width) / 2.0;
    text(svg, layout.font, [middle, height - 0.8 * layout.font], "middle", &with_unit(&map.x_label));
    let middle = (top + height - bottom) / 2.0;
    axis_label(svg, layout, [1.15 * layout.font, middle], &with_unit(&map.y_label));
    draw_scale(svg, map, layout, palette);
}

fn draw_cell(
    svg: &mut String,
    (value, name): (Option<HeatCell>, &str),
    (map, palette): (&Heatmap, Palette),
    ([x, y], cell): ([f64; 2], [f64; 2]),
    small: f64,
) {
    let [w, h] = [(cell[0] - 1.0).max(0.5), (cell[1] - 1.0).max(0.5)];
    let color = value.map(|value| color(map, palette, map.position(value.value)));
    let fill = color.unwrap_or(MISSING).hex();
    let rect = format!(
        "<rect class=\"value\" x=\"{x:.1}\" y=\"{y:.1}\" width=\"{w:.1}\" height=\"{h:.1}\" fill=\"{fill}\""
    );
    let (Some(value), Some(color)) = (value, color) else {
        let _ = writeln!(svg, "{rect}/>");
        // In grey print the grey alone would be a value.
        return line(svg, [x, y + h], [x + w, y], "stroke=\"#ffffff\" stroke-width=\"0.8\"");
    };
    let fits = |words: &String| LETTER * small * words.chars().count() as f64 <= w && h >= small;
    let words = [map.unit.text(value.value, false), map.unit.text(value.value, true)];
    let _ = match words.iter().find(|words| fits(words)) {
        Some(words) => writeln!(
            svg,
            "{rect}/>\n<text class=\"number\" x=\"{:.1}\" y=\"{:.1}\" text-anchor=\"middle\" font-size=\"{small:.1}\" \
             fill=\"{}\">{words}</text>",
            x + w / 2.0,
            y + h / 2.0 + 0.35 * small,
            color.text_color().hex()
        ),
        // What has no room for its number tells it who asks.
        None => writeln!(svg, "{rect}><title>{name}: {}</title></rect>", words[0]),
    };
}

fn color(map: &Heatmap, palette: Palette, position: f64) -> Rgb {
    match map.scale {
        Scale::Sequential => palette.color(position),
        Scale::Diverging => palette.diverging(position),
    }
}

/// The colours from one end of the range to the other, right of the grid, with what they mean.
fn draw_scale(svg: &mut String, map: &Heatmap, layout: &Layout, palette: Palette) {
    let [_, top, _, bottom] = layout.margins;
    let (x, width) = (layout.panel.0 - layout.bar + 0.8 * layout.font, 0.8 * layout.font);
    let (height, small) = (layout.panel.1 - top - bottom, layout.small);
    let step = height / STEPS as f64;
    for index in (0..STEPS).rev() {
        let fill = color(map, palette, (index as f64 + 0.5) / STEPS as f64).hex();
        let y = top + height - step * (index + 1) as f64;
        // Each reaches to the bottom, lest the ground shine through between two.
        let _ = writeln!(
            svg,
            "<rect x=\"{x:.1}\" y=\"{y:.2}\" width=\"{width:.1}\" height=\"{:.2}\" fill=\"{fill}\"/>",
            step * (index + 1) as f64
        );
    }
    let (low, high) = map.range;
    let (unit, hundred) = match map.unit {
        Unit::Percent => ("%", 100.0),
        Unit::Points => ("points", 100.0),
        Unit::Fraction | Unit::Difference => ("", 1.0),
    };
    let signed = matches!(map.unit, Unit::Points | Unit::Difference);
    for share in [0.0, 0.5, 1.0] {
        let value = hundred * (low + share * (high - low));
        let rounded = super::scale::label((value * 100.0).round() / 100.0);
        let words = if signed && value > 0.0 { format!("+{rounded}") } else { rounded };
        let y = top + height * (1.0 - share);
        line(
            svg,
            [x + width, y],
            [x + width + 0.3 * small, y],
            "class=\"axis\" stroke=\"#444444\" stroke-width=\"0.8\"",
        );
        text(svg, small, [x + width + 0.5 * small, y + 0.35 * small], "start", &words);
    }
    let at = [layout.panel.0 - 0.5 * layout.font, top + height / 2.0];
    let words = match (layout.names_scale, unit) {
        (true, "") => map.quantity.clone(),
        (true, unit) => format!("{} ({unit})", map.quantity),
        (false, unit) => unit.to_string(),
    };
    if !words.is_empty() {
        axis_label(svg, layout, at, &words);
    }
}
