use super::*;
use crate::export::palette::{MISSING, RAG, VIRIDIS};
use crate::report::document::{Axis, Chart, Point, Series, Shape};
use crate::report::heatmap::{HeatCell, Heatmap, Scale as Colors, Unit};

fn series(name: &str, color: usize, shape: Shape, points: Vec<Point>) -> Series {
    Series { name: name.to_string(), color, shape, points }
}

fn chart_of(series: Vec<Series>, logarithmic: bool) -> Chart {
    let x = if logarithmic { Axis::logarithmic("length (tokens)") } else { Axis::linear("length", None) };
    Chart {
        title: "t".to_string(),
        x,
        y: Axis::linear("loss", None),
        series,
        marks: vec![(4.0, "training length".to_string())],
    }
}

fn chart(points: Vec<Point>, logarithmic: bool) -> Panel {
    Panel::Chart(chart_of(vec![series("a < b & c", 9, Shape::Line, points)], logarithmic))
}

fn figure(panels: Vec<Panel>) -> Figure {
    Figure { name: "f".to_string(), caption: "\"quoted\"".to_string(), panels }
}

fn map(title: &str, cells: Vec<Option<f64>>) -> Heatmap {
    let cell = |value: Option<f64>| Some(HeatCell { value: value?, n: 1 });
    Heatmap {
        title: title.to_string(),
        quantity: "accuracy".to_string(),
        x_label: "context length (tokens)".to_string(),
        y_label: "depth %".to_string(),
        columns: (0..cells.len()).map(|n| (256 << n).to_string()).collect(),
        rows: vec!["0".to_string()],
        cells: vec![cells.into_iter().map(cell).collect()],
        scale: Colors::Sequential,
        range: (0.0, 1.0),
        unit: Unit::Percent,
        mark: None,
        marked: vec![],
        notes: vec![],
    }
}

fn paper(figure: &Figure) -> String {
    let style = Style { palette: VIRIDIS, ..Style::plain(80) };
    String::from_utf8(alone(figure, &style).unwrap()).unwrap()
}

/// The value of an attribute behind `from`.
fn attribute<'s>(svg: &'s str, from: &str, name: &str) -> &'s str {
    let element = svg.split(from).nth(1).unwrap_or_else(|| panic!("no {from} in {svg}"));
    element.split(&format!(" {name}=\"")).nth(1).unwrap().split('"').next().unwrap()
}

#[test]
fn what_is_drawn_lies_in_the_picture_and_words_are_escaped() {
    let points = vec![Point::new(1.0, 5.0), Point { interval: Some((2.0, 9.0)), ..Point::new(1024.0, 3.0) }];
    let svg = draw(&figure(vec![chart(points, true)]), RAG);
    assert!(svg.contains("a &lt; b &amp; c") && svg.contains("&quot;quoted&quot;"), "{svg}");
    assert!(svg.contains(">1k<") && !svg.contains("NaN") && !svg.contains("inf"), "{svg}");
    let line = attribute(&svg, "<polyline", "points");
    let places: Vec<f64> = line.split([' ', ',']).map(|number| number.parse().unwrap()).collect();
    assert_eq!(places.len(), 4);
    assert!((places[0] - PAGE.margins[0]).abs() < 0.1);
    assert!((places[2] - (PAGE.panel.0 - PAGE.margins[2])).abs() < 0.1);
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
                let value = element.split(&format!(" {key}=\"")).nth(1).unwrap();
                value.split('"').next().unwrap().parse().unwrap()
            };
            let place: (f64, f64) = (number("x"), number("y"));
            place
        };
        names.iter().map(start).collect::<Vec<_>>()
    };
    let [one, two, three, four] = starts(&["one", "two", "three", "four"])[..] else { panic!("four names") };
    assert!(
        one.1 == two.1 && one.1 == four.1 && one.0 < two.0 && three.0 < four.0,
        "short names share a line"
    );
    let long: Vec<String> = (0..4).map(|index| format!("multiscreen of width 80, seed {index}")).collect();
    let found = starts(&long.iter().map(String::as_str).collect::<Vec<_>>());
    let end = 2.0 * PAGE.panel.0;
    // Letters are some 6.5 pixels wide.
    assert!(found[3].0 + 6.5 * long[3].len() as f64 <= end, "{found:?} in {end}");
    assert!(found[3].1 > found[0].1, "{found:?}");
}

#[test]
fn no_points_one_point_and_numbers_that_are_not_finite_make_a_picture() {
    for points in [vec![], vec![Point::new(3.0, 1.0)], vec![Point::new(1.0, f64::NAN), Point::new(2.0, 1.0)]]
    {
        for logarithmic in [false, true] {
            let one = figure(vec![chart(points.clone(), logarithmic)]);
            for svg in [draw(&one, RAG), paper(&one)] {
                assert!(!svg.contains("NaN") && !svg.contains("inf"), "{svg}");
            }
        }
    }
}

#[test]
fn a_missing_cell_is_grey_and_has_no_number() {
    let one = figure(vec![Panel::Heatmap(map("", vec![Some(1.0), None]))]);
    for svg in [draw(&one, RAG), paper(&one)] {
        assert_eq!((svg.matches("100%<").count(), svg.matches(&MISSING.hex()).count()), (1, 1), "{svg}");
    }
}

#[test]
fn a_figure_of_a_paper_has_no_title_and_says_what_its_axes_and_colours_are() {
    let svg = paper(&figure(vec![Panel::Heatmap(map("Accuracy of it all", vec![Some(0.5), Some(1.0)]))]));
    assert!(svg.starts_with("<svg ") && svg.contains(" width=\"241pt\""), "{svg}");
    assert!(
        !svg.contains(">Accuracy of it all</text>") && svg.contains("<title>Accuracy of it all"),
        "{svg}"
    );
    for words in [">context length (tokens)<", ">depth (%)<", ">accuracy (%)<", ">50%<", ">100<"] {
        assert!(svg.contains(words), "{words} in {svg}");
    }
    let sizes = svg.split("font-size=\"").skip(1).map(|rest| rest.split('"').next().unwrap());
    assert!(sizes.clone().count() > 5 && sizes.into_iter().all(|size| size.parse::<f64>().unwrap() >= 7.0));
    let both = paper(&figure(vec![
        Panel::Heatmap(map("softmax: Accuracy", vec![Some(0.5)])),
        Panel::Heatmap(map("ssmax: Accuracy", vec![Some(0.5)])),
    ]));
    assert!(both.contains(" width=\"482pt\""), "{both}");
    assert!(both.contains(">(a) softmax</text>") && both.contains(">(b) ssmax</text>"), "{both}");
}

#[test]
fn series_are_told_apart_by_dash_and_marker_as_well_as_by_colour() {
    let points = vec![Point::new(1.0, 1.0), Point::new(2.0, 2.0)];
    let all = ["one", "two", "three", "four"].iter().zip([3, 1, 7, 0]);
    let series = all.map(|(name, color)| series(name, color, Shape::Line, points.clone())).collect();
    let svg = paper(&figure(vec![Panel::Chart(chart_of(series, false))]));
    let lines: Vec<&str> =
        svg.split("<polyline").skip(1).map(|rest| rest.split("points").next().unwrap()).collect();
    fn dash<'s>(line: &&'s str) -> Option<&'s str> {
        line.split("stroke-dasharray=\"").nth(1)?.split('"').next()
    }
    let dashes: Vec<_> = lines.iter().take(4).map(dash).collect();
    let different: std::collections::BTreeSet<_> = dashes.iter().collect();
    assert_eq!((different.len(), dashes[0]), (4, None), "{dashes:?}");
    let markers = |shape: &str| svg.matches(shape).count();
    // Two points and two ends of a sample in the legend, of one series circles.
    assert_eq!((markers("<circle"), markers("<polygon")), (4, 12), "{svg}");
}

#[test]
fn a_line_of_the_training_length_stands_where_longer_contexts_are_and_else_not() {
    let marked = |before_column| {
        let mark = crate::report::heatmap::Mark { before_column, label: "trained".to_string() };
        paper(&figure(vec![Panel::Heatmap(Heatmap {
            mark: Some(mark),
            ..map("", vec![Some(0.5), Some(0.5)])
        })]))
    };
    assert_eq!([0, 1, 2].map(|column| marked(column).matches("class=\"mark\"").count()), [1, 1, 0]);
}

#[test]
fn a_cell_that_leads_somewhere_says_where() {
    let one = figure(vec![Panel::Heatmap(map("", vec![Some(0.5), Some(1.0)]))]);
    let link = |row: usize, column: usize| {
        (column == 1).then(|| Link { href: format!("#{row}-\""), title: "a < b".to_string() })
    };
    let mut svg = String::new();
    draw_into(&mut svg, &one, RAG, Some(&link));
    assert_eq!(svg.matches("<a ").count(), 1);
    assert!(svg.contains(
        "<a class=\"cell\" href=\"#0-&quot;\" aria-label=\"a &lt; b\" color=\"#000000\">\
             <title>a &lt; b</title>"
    ));
    assert!(svg.contains("role=\"group\"") && draw(&one, RAG).contains("role=\"img\""), "{svg}");
}

#[test]
fn the_scale_of_a_panel_with_a_letter_says_its_unit_alone_as_its_neighbour_begins_there() {
    let [looked, missed] = ["looked", "missed"].map(|what| Heatmap {
        quantity: what.to_string(),
        ..map(&format!("Answers that {what}"), vec![Some(0.5), Some(1.0)])
    });
    let both = paper(&figure(vec![Panel::Heatmap(looked.clone()), Panel::Heatmap(missed)]));
    assert_eq!((both.matches(">(a) looked<").count(), both.matches(">%<").count()), (1, 2), "{both}");
    assert!(!both.contains("looked (%)"), "{both}");
    assert!(paper(&figure(vec![Panel::Heatmap(looked)])).contains(">looked (%)<"));
}
