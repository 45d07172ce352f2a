//! Plots, as SVG.

use std::path::Path;

use plotters::prelude::*;

use super::case::Curve;
use super::report::{self, Turns};
use super::run::Figures;
use super::system::System;

/// Width and height of a plot.
const SIZE: (u32, u32) = (860, 420);
/// Colours that differ for nearly everybody's eyes (Okabe and Ito).
const COLOURS: [RGBColor; 7] = [
    RGBColor(0, 114, 178),
    RGBColor(230, 159, 0),
    RGBColor(0, 158, 115),
    RGBColor(204, 121, 167),
    RGBColor(86, 180, 233),
    RGBColor(213, 94, 0),
    RGBColor(90, 90, 90),
];
const FONT: (&str, u32) = ("sans-serif", 14);

type Drawn = Result<(), Box<dyn std::error::Error>>;

/// Bars: accepted messages a second of each system.
pub fn bars(path: &Path, systems: &[&'static System], turns: &Turns) -> Drawn {
    let rates: Vec<f64> =
        systems.iter().map(|system| report::middle(turns, system, |figures| figures.outcome.rate())).collect();
    let most = rates.iter().copied().fold(1.0, f64::max) * 1.1;
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let rows = systems.len() as f64;
    let mut chart =
        ChartBuilder::on(&root).margin(12).x_label_area_size(36).build_cartesian_2d(0.0..most, 0.0..rows)?;
    chart
        .configure_mesh()
        .disable_y_mesh()
        .disable_y_axis()
        .x_desc("accepted messages a second")
        .x_label_formatter(&|value| format!("{value:.0}"))
        .label_style(FONT)
        .draw()?;
    for (row, (system, rate)) in systems.iter().zip(&rates).enumerate() {
        let bottom = rows - row as f64 - 1.0;
        let colour = COLOURS[row % COLOURS.len()];
        chart.draw_series([Rectangle::new([(0.0, bottom + 0.12), (*rate, bottom + 0.5)], colour.filled())])?;
        let label = format!("{}: {rate:.0}", system.title);
        chart.draw_series([Text::new(label, (most * 0.005, bottom + 0.86), FONT.into_font())])?;
    }
    root.present()?;
    Ok(())
}

/// Lines: what each system does along a curve. Both axes are logarithmic.
pub fn lines(
    path: &Path,
    curve: &Curve,
    systems: &[&'static System],
    points: &[(usize, Vec<(&'static str, Figures)>)],
) -> Drawn {
    let height = |value: usize, turns: &Turns, system: &'static System| {
        report::middle(turns, system, |figures| report::height(curve, value, figures))
    };
    let all: Vec<f64> =
        points.iter().flat_map(|(value, turns)| systems.iter().map(|system| height(*value, turns, system))).collect();
    let (least, most) = (all.iter().copied().fold(f64::MAX, f64::min), all.iter().copied().fold(1.0, f64::max));
    let values = curve.values[0] as f64..curve.values[curve.values.len() - 1] as f64 * 1.05;
    let root = SVGBackend::new(path, SIZE).into_drawing_area();
    root.fill(&WHITE)?;
    let mut chart = ChartBuilder::on(&root)
        .margin(12)
        .x_label_area_size(36)
        .y_label_area_size(64)
        .build_cartesian_2d(values.log_scale(), (least * 0.5..most * 2.0).log_scale())?;
    chart
        .configure_mesh()
        .x_desc(curve.axis)
        .y_desc(report::counted(curve))
        .x_label_formatter(&|value| format!("{value:.0}"))
        .y_label_formatter(&|value| format!("{value:.0}"))
        .label_style(FONT)
        .draw()?;
    for (number, system) in systems.iter().enumerate() {
        let colour = COLOURS[number % COLOURS.len()];
        let line: Vec<(f64, f64)> =
            points.iter().map(|(value, turns)| (*value as f64, height(*value, turns, system))).collect();
        let drawn = chart.draw_series(LineSeries::new(line, colour.stroke_width(2)).point_size(3))?;
        drawn.label(system.title).legend(move |(x, y)| PathElement::new([(x, y), (x + 18, y)], colour));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).label_font(FONT).draw()?;
    root.present()?;
    Ok(())
}
