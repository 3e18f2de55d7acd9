//! What was learned of scales: s by layer and head, and the multiplier p_n by size.

use super::{Experiment, StepLoss};
use crate::report::document::{Axis, Block, Chart, Figure, Panel, Point, Series, Shape, Table};
use crate::report::heatmap::Heatmap;
use crate::stats::{LineFit, mean, size_fit};

pub(super) fn section(experiment: &Experiment) -> Vec<Block> {
    let runs = || {
        let first = |configuration: &'_ super::Configuration| {
            Some((configuration.name.clone(), configuration.runs.first()?.clone()))
        };
        experiment.configurations.iter().filter_map(first)
    };
    let learned = runs().filter(|(_, run)| run.scales.iter().any(|layer| !layer.is_empty()));
    let panels: Vec<Panel> = learned
        .map(|(name, run)| {
            let map = Heatmap::of_heads("s", &run.scales);
            Panel::Heatmap(Heatmap { title: format!("{name}: learned s"), ..map })
        })
        .collect();
    let mut blocks = Vec::new();
    if !panels.is_empty() {
        blocks.push(Block::Figure(Figure {
            name: "learned-scales".to_string(),
            caption: "Learned s by layer and query head, of the first seed. Grey: a layer with a window, \
                      which has none."
                .to_string(),
            panels,
        }));
    }
    let moved: Vec<_> = runs().filter_map(|(name, run)| moved(&name, &run.steps)).collect();
    if !moved.is_empty() {
        blocks.push(Block::Table(Table {
            caption: "The mean of s over layers and heads, in the steps that trained it. A swap late in \
                      training, or after it, leaves few steps at low rates."
                .to_string(),
            header: ["configuration", "steps", "mean learning rate", "s after the first", "s after the last"]
                .map(String::from)
                .to_vec(),
            rows: moved,
        }));
    }
    for (name, run) in runs().filter(|(_, run)| !run.sizes.is_empty()) {
        blocks.extend(fitted(&name, &run.sizes));
    }
    if !blocks.is_empty() {
        blocks.insert(0, Block::Heading("Learned scales".to_string()));
    }
    blocks
}

/// How far the steps that had an s took it; nothing where none had.
fn moved(name: &str, steps: &[StepLoss]) -> Option<Vec<String>> {
    let with: Vec<(f64, f64)> =
        steps.iter().filter_map(|step| Some((step.learning_rate, step.scale?))).collect();
    let ((_, first), (_, last)) = (with.first()?, with.last()?);
    let rate = mean(&with.iter().map(|(rate, _)| *rate).collect::<Vec<_>>())?;
    Some(vec![
        name.to_string(),
        with.len().to_string(),
        format!("{rate:.1e}"),
        format!("{first:.4}"),
        format!("{last:.4}"),
    ])
}

/// The learned multipliers with the two fits.
fn fitted(name: &str, sizes: &[f64]) -> Vec<Block> {
    let Some(fit) = size_fit(sizes) else {
        return vec![Block::Paragraph(format!(
            "{name}: the learned multipliers are all alike, so nothing can be fitted."
        ))];
    };
    let points = |of: &dyn Fn(usize) -> f64| (2..=sizes.len()).map(|n| Point::new(n as f64, of(n))).collect();
    let line = |fit: LineFit, x: fn(f64) -> f64| move |n: usize| fit.slope * x(n as f64) + fit.intercept;
    let series = |name: &str, color, shape, points| Series { name: name.to_string(), color, shape, points };
    let (logarithm, root) = (line(fit.logarithm, f64::ln), line(fit.square_root, f64::sqrt));
    let chart = Chart {
        title: "Learned p_n".to_string(),
        x: Axis::logarithmic("keys that a row sees, n"),
        y: Axis::linear("p_n", None),
        series: vec![
            series("learned", 5, Shape::Dots, points(&|n| sizes[n - 1])),
            series("a1 ln n + a2", 0, Shape::Line, points(&logarithm)),
            series("a1 √n + a2", 1, Shape::Dashes, points(&root)),
        ],
        marks: vec![],
    };
    let better = if fit.logarithm.r_squared > fit.square_root.r_squared { "better" } else { "no better" };
    let row = |name: &str, fit: LineFit| {
        vec![
            name.to_string(),
            format!("{:.4}", fit.slope),
            format!("{:.4}", fit.intercept),
            format!("{:.4}", fit.r_squared),
        ]
    };
    vec![
        Block::Paragraph(format!(
            "{name}: p_n = {:.3} ln n {:+.3} fits the learned multipliers with R² = {:.3}, {better} than a \
             square root with R² = {:.3}; a constant has R² = 0. The paper finds the logarithm.",
            fit.logarithm.slope, fit.logarithm.intercept, fit.logarithm.r_squared, fit.square_root.r_squared
        )),
        Block::Figure(Figure {
            name: "learned-multipliers".to_string(),
            caption: "The learned multiplier p_n of the variant adaptive by the number of keys n, and \
                      least-squares fits over n = 2 to the training length."
                .to_string(),
            panels: vec![Panel::Chart(chart)],
        }),
        Block::Table(Table {
            caption: "Fits of p_n; R² is the share of the variance that a fit explains, 0 for a constant."
                .to_string(),
            header: ["fit", "a1", "a2", "R²"].map(String::from).to_vec(),
            rows: vec![row("a1 ln n + a2", fit.logarithm), row("a1 √n + a2", fit.square_root)],
        }),
    ]
}
