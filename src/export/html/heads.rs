//! The map of heads over a selection of cells: what a script needs to draw it anew.

use std::fmt::Write as _;

use serde_json::{Value, json};

use crate::export::palette::Palette;
use crate::export::svg::escaped;
use crate::grid::{Cell, ContextLength, Depth};
use crate::report::heads::{HeadSums, MOST_APART, Sums};

/// Colours of the scale that a script gets.
const COLORS: usize = 16;

/// Boxes to choose cells with, hidden until a script can answer them, and the sums.
pub(super) fn picker(sums: &HeadSums<Cell>, palette: Palette) -> String {
    let (cells, heads) = (sums.keys(), sums.heads());
    if cells.len() < 2 {
        return String::new();
    }
    // Some 20 bytes each.
    if cells.len() * heads.len() > MOST_APART {
        return format!(
            "<p>The map of a selection of cells is left out: {} heads in {} cells would be too much for a \
             page. niah view --by layer shows one cell.</p>",
            heads.len(),
            cells.len()
        );
    }
    let mut lengths: Vec<ContextLength> = cells.iter().map(|cell| cell.context_length).collect();
    lengths.dedup();
    let mut depths: Vec<Depth> = cells.iter().map(|cell| cell.depth).collect();
    depths.sort();
    depths.dedup();
    let mut html = String::from(
        "<fieldset class=\"pick\" hidden><legend>Cells that the map is of</legend>\n<p><button \
         type=\"button\" data-all=\"1\">all</button> <button type=\"button\" data-all=\"0\">none</button> \
         <span id=\"picked\" aria-live=\"polite\"></span></p>\n<div class=\"wide\"><table><thead><tr><th \
         scope=\"col\">depth (%)</th>",
    );
    for (column, length) in lengths.iter().enumerate() {
        let _ = write!(
            html,
            "<th scope=\"col\"><button type=\"button\" data-column=\"{column}\">{length}</button></th>"
        );
    }
    html.push_str("</tr></thead>\n<tbody>");
    for depth in &depths {
        let _ = write!(html, "<tr><th scope=\"row\"><button type=\"button\" data-row>{depth}</button></th>");
        for length in &lengths {
            let index = cells.iter().position(|cell| (cell.context_length, cell.depth) == (*length, *depth));
            let _ = match index {
                Some(index) => write!(
                    html,
                    "<td><input type=\"checkbox\" checked data-cell=\"{index}\" aria-label=\"{length} tokens, \
                     depth {depth}%\"></td>"
                ),
                None => write!(html, "<td></td>"),
            };
        }
        html.push_str("</tr>\n");
    }
    html.push_str("</tbody></table></div></fieldset>\n");
    let _ =
        write!(html, "<script type=\"application/json\" id=\"head-sums\">{}</script>", data(sums, palette));
    html
}

/// The sums as JSON in which nothing ends the element that it stands in.
fn data(sums: &HeadSums<Cell>, palette: Palette) -> String {
    let rounded = |value: f64| (value * 1e6).round() / 1e6;
    let flat = |of: &Sums| {
        let (n, sum, squares) = of.powers();
        [json!(n), json!(rounded(sum)), json!(rounded(squares))]
    };
    let cells: Vec<Vec<Value>> =
        (0..sums.keys().len()).map(|cell| sums.of_key(cell).iter().flat_map(flat).collect()).collect();
    let largest = sums.ranked(|_| true).first().map_or(0.0, |head| head.needle_mass);
    let colors: Vec<String> =
        (0..COLORS).map(|i| palette.color(i as f64 / (COLORS - 1) as f64).hex()).collect();
    let data = json!({ "heads": sums.heads(), "sums": cells, "largest": largest, "colors": colors });
    debug_assert_eq!(escaped(&data.to_string()).matches("&lt;").count(), 0);
    data.to_string().replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}
