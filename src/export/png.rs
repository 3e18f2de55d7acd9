//! The pictures of a report as PNG: the SVG, painted at twice its size.
//!
//! An SVG leaves the font to who shows it; a PNG needs one, and brings it along (`png/LICENSE-DejaVu`), so
//! that it looks the same everywhere. Letters that the font lacks are boxes.

use std::sync::Arc;

use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree, fontdb};

use super::style::Style;
use super::svg;
use crate::error::{Error, Result};
use crate::report::Report;
use crate::report::document::Figure;

const FONT: &[u8] = include_bytes!("png/DejaVuSansCondensed.ttf");
/// What the font calls itself.
const FAMILY: &str = "DejaVu Sans";
/// Pixels of the PNG for one of the SVG.
const SCALE: f32 = 2.0;
/// The same for a figure of a paper: 600 dots an inch, of the 96 that SVG counts.
const SCALE_IN_PRINT: f32 = 600.0 / 96.0;

/// The picture as bytes.
///
/// # Errors
/// When the report has no figure, or more than fit into a picture.
pub fn write(report: &Report, style: &Style) -> Result<Vec<u8>> {
    painted(&svg::write(report, style)?, SCALE)
}

/// The figure as a picture of its own, for print.
///
/// # Errors
/// When it is larger than a picture can be.
pub fn alone(figure: &Figure, style: &Style) -> Result<Vec<u8>> {
    painted(&svg::alone(figure, style)?, SCALE_IN_PRINT)
}

fn painted(svg: &[u8], scale: f32) -> Result<Vec<u8>> {
    let failed = |problem: String| Error::Message(format!("no PNG can be made: {problem}; take svg or html"));
    let mut fonts = fontdb::Database::new();
    fonts.load_font_data(FONT.to_vec());
    fonts.set_sans_serif_family(FAMILY);
    let options = Options { fontdb: Arc::new(fonts), font_family: FAMILY.to_string(), ..Options::default() };
    let tree = Tree::from_data(svg, &options).map_err(|error| failed(error.to_string()))?;
    let size = [tree.size().width(), tree.size().height()].map(|side| (scale * side).ceil() as u32);
    let mut picture =
        Pixmap::new(size[0], size[1]).ok_or_else(|| failed(format!("{} x {} pixels", size[0], size[1])))?;
    resvg::render(&tree, Transform::from_scale(scale, scale), &mut picture.as_mut());
    picture.encode_png().map_err(|error| failed(error.to_string()))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::data::Data;
    use crate::report::document::{Block, Document};
    use crate::report::heatmap::Heatmap;
    use crate::report::tests::outcome;

    fn report(title: &str) -> Report {
        let cells = crate::report::cells(&[outcome(1024, 0.0, 0, true, None)], &[]);
        let blocks = vec![Block::Figure(Figure::heatmap("accuracy", Heatmap::accuracy(&cells, None)))];
        Report { document: Document { title: title.to_string(), blocks }, data: Data::rows("run", cells) }
    }

    #[test]
    fn the_picture_has_the_size_of_the_svg_and_its_colours_and_words() {
        let style = Style::plain(80);
        let png = write(&report("Title"), &style).unwrap();
        let picture = Pixmap::decode_png(&png).unwrap();
        let svg = String::from_utf8(svg::write(&report("Title"), &style).unwrap()).unwrap();
        let side = |name: &str| {
            svg.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap().to_string()
        };
        let expected = ["width", "height"].map(|name| 2 * side(name).parse::<u32>().unwrap());
        assert_eq!([picture.width(), picture.height()], expected);
        let middle = picture.pixel(picture.width() / 2, picture.height() / 2 + 60).unwrap();
        assert_eq!([middle.red(), middle.green(), middle.blue()], [0x0c, 0xd7, 0x9f], "a cell of 100 %");
        let title = |png: &Pixmap| {
            png.pixels()[..(40 * png.width()) as usize].iter().filter(|p| p.red() < 128).count()
        };
        let without = Pixmap::decode_png(&write(&report(""), &style).unwrap()).unwrap();
        assert!(title(&picture) > title(&without) + 50, "{} {}", title(&picture), title(&without));
    }

    #[test]
    fn a_report_without_a_picture_says_so() {
        let empty = Report {
            document: Document::default(),
            data: Data::rows("run", Vec::<crate::report::CellSummary>::new()),
        };
        assert!(write(&empty, &Style::plain(80)).unwrap_err().to_string().contains("no picture"));
    }
}
