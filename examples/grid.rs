//! A grid on the checkpoint that comes with niah: its cells on stdout, and a picture of them in grid.svg.

#![allow(clippy::print_stdout)] // a program may print

use niah::export::{style::Style, svg};
use niah::grid::{ContextLength, Depth, Grid};
use niah::{Device, ModelChoice, Settings};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let depths = [0.0, 50.0, 100.0].map(Depth::from_percent).into_iter().collect::<niah::Result<_>>()?;
    let grid = Grid::new([128, 512].map(ContextLength).to_vec(), depths)?;
    let model = ModelChoice::of("shipped:ssmax");
    let run = niah::evaluate(Settings { model, grid, ..Settings::default() }, &Device::Cpu)?;
    run.check()?;
    for row in run.cells() {
        println!("{} tokens, depth {} %: {:?}", row.context_length, row.depth_percent, row.means.accuracy);
    }
    std::fs::write("grid.svg", svg::write(&run.report(), &Style::plain(100))?)?;
    Ok(())
}
