//! `--plot`: rates at the top, latency percentiles at the bottom, over the time of the run; as SVG,
//! or as an HTML page with the report's text.

use std::fs;
use std::ops::Range;
use std::path::Path;

use plotters::coord::Shift;
use plotters::prelude::*;

use crate::report::{Interval, Report, grouped};

/// A line of a chart.
struct Line {
    name: &'static str,
    color: RGBColor,
    value: fn(&Interval) -> f64,
}

/// Draws the report to a file; the file's ending decides the format.
///
/// # Errors
/// A text that names the file and what went wrong.
pub fn write(report: &Report, path: &Path) -> Result<(), String> {
    let svg = draw(report).map_err(|e| format!("{}: {e}", path.display()))?;
    let content = match path.extension().and_then(|e| e.to_str()) {
        Some("svg") => svg,
        Some("html") => page(report, &svg),
        _ => return Err(format!("{}: a plot is .svg or .html", path.display())),
    };
    fs::write(path, content).map_err(|e| format!("{}: {e}", path.display()))
}

fn draw(report: &Report) -> Result<String, Box<dyn std::error::Error>> {
    let mut svg = String::new();
    {
        let root = SVGBackend::with_string(&mut svg, SIZE).into_drawing_area();
        root.fill(&WHITE)?;
        let (upper, lower) = root.split_vertically(SIZE.1 / 2);
        let rates = [
            Line { name: "sent", color: BLUE, value: |i| i.sent_per_second },
            Line { name: "received", color: GREEN, value: |i| i.received_per_second },
        ];
        chart(&upper, "messages per second", &report.intervals, &rates)?;
        let confirms = report.total.latency_us.count == 0;
        chart(&lower, if confirms { "confirm, us" } else { "latency, us" }, &report.intervals, &percentile_lines(confirms))?;
        root.present()?;
    }
    Ok(svg)
}

fn percentile_lines(confirms: bool) -> [Line; 3] {
    let line = |name, color, of_latency, of_confirm| Line { name, color, value: if confirms { of_confirm } else { of_latency } };
    [
        line("p50", GREEN, |i| i.latency_us.p50, |i| i.confirm_us.p50),
        line("p99", BLUE, |i| i.latency_us.p99, |i| i.confirm_us.p99),
        line("max", RED, |i| i.latency_us.max, |i| i.confirm_us.max),
    ]
}

fn chart(
    area: &DrawingArea<SVGBackend<'_>, Shift>,
    title: &str,
    intervals: &[Interval],
    lines: &[Line],
) -> Result<(), Box<dyn std::error::Error>> {
    let end = intervals.last().map_or(1.0, |i| i.at_seconds);
    let mut chart = ChartBuilder::on(area)
        .caption(title, ("sans-serif", 18))
        .margin(12)
        .x_label_area_size(32)
        .y_label_area_size(90)
        .build_cartesian_2d(0.0..end, height(intervals, lines))?;
    chart.configure_mesh().x_desc("seconds").y_label_formatter(&|v| grouped(*v)).light_line_style(WHITE).draw()?;
    for line in lines {
        let points = intervals.iter().map(|i| (i.at_seconds, (line.value)(i)));
        let color = line.color;
        let series = chart.draw_series(LineSeries::new(points, &color))?;
        series.label(line.name).legend(move |(x, y)| PathElement::new([(x, y), (x + 16, y)], color));
    }
    chart.configure_series_labels().background_style(WHITE.mix(0.8)).border_style(BLACK).draw()?;
    Ok(())
}

/// The range from 0 to somewhat above the highest value.
fn height(intervals: &[Interval], lines: &[Line]) -> Range<f64> {
    let values = intervals.iter().flat_map(|i| lines.iter().map(move |line| (line.value)(i)));
    0.0..values.fold(1.0, f64::max) * 1.1
}

fn page(report: &Report, svg: &str) -> String {
    let escape = |text: &str| text.replace('&', "&amp;").replace('<', "&lt;");
    format!(
        "<!doctype html>\n<meta charset=\"utf-8\">\n<title>ringmq-perf</title>\n<pre>{}</pre>\n{svg}\n<pre>{}</pre>\n",
        escape(&report.command.join(" ")),
        escape(&report.text())
    )
}

const SIZE: (u32, u32) = (960, 720);

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Percentiles;

    #[test]
    fn draws_lines_and_the_report() {
        let interval = |at_seconds, rate| Interval {
            at_seconds,
            sent_per_second: rate,
            latency_us: Percentiles { count: 1, p99: 5.0, ..Percentiles::default() },
            ..Interval::default()
        };
        let report = Report { intervals: vec![interval(1.0, 10.0), interval(2.0, 30.0)], ..Report::default() };
        let svg = draw(&report).unwrap();
        assert!(svg.starts_with("<svg") && svg.contains("polyline") && svg.contains("messages per second"));
        assert!(page(&report, &svg).contains("sent"));
    }
}
