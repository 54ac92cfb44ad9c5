//! The two formats of the text: Prometheus' own and OpenMetrics.
//!
//! ```text
//! text         # TYPE x_total counter      OpenMetrics   # TYPE x counter
//!              # HELP x_total …                          # HELP x …
//!              x_total 1                                 x_total 1
//!                                                        # EOF
//! ```

use std::fmt::Write;

use super::family::Kind;

/// A format.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Format {
    /// Text, version 0.0.4.
    Text,
    /// OpenMetrics, version 1.0.0.
    OpenMetrics,
}

impl Format {
    /// The format that a request wants by its header `Accept`. Text is for everyone who takes it, as
    /// in RabbitMQ: dashboards were made for it. Only who takes nothing else gets OpenMetrics.
    pub fn accepted(accept: Option<&str>) -> Format {
        let ranges = accept.unwrap_or_default().split(',').map(Range::read);
        let (open, others): (Vec<Range>, Vec<Range>) = ranges.partition(|range| range.kind == "application/openmetrics-text");
        let best = |ranges: &[Range]| ranges.iter().map(|range| range.quality).fold(0.0, f64::max);
        let others: Vec<Range> = others.into_iter().filter(|range| TEXTS.contains(&range.kind.as_str())).collect();
        let is_wanted = best(&open) > 0.0 && best(&others) == 0.0;
        if is_wanted { Format::OpenMetrics } else { Format::Text }
    }

    /// The value of the header `Content-Type`.
    pub fn content_type(self) -> &'static str {
        match self {
            Format::Text => "text/plain; version=0.0.4",
            Format::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
        }
    }

    /// Writes the lines about a family that stand before its samples.
    pub(super) fn announce(self, out: &mut String, name: &str, kind: Kind, help: &str) {
        let (name, kind) = match (self, kind) {
            (Format::OpenMetrics, Kind::Counter) => name.strip_suffix("_total").map_or((name, "unknown"), |name| (name, "counter")),
            (Format::OpenMetrics, Kind::Untyped) => (name, "unknown"),
            (_, kind) => (name, kind.name()),
        };
        writeln!(out, "# TYPE {name} {kind}\n# HELP {name} {help}").expect("a string takes everything");
    }

    /// Writes what stands behind all families.
    pub(super) fn end(self, out: &mut String) {
        if self == Format::OpenMetrics {
            out.push_str("# EOF\n");
        }
    }
}

/// A range of media types in `Accept`.
struct Range {
    kind: String,
    quality: f64,
}

impl Range {
    fn read(text: &str) -> Range {
        let mut parts = text.split(';').map(str::trim);
        let kind = parts.next().unwrap_or_default().to_ascii_lowercase();
        let quality = parts.find_map(|part| part.strip_prefix("q=")?.parse().ok());
        Range { kind, quality: quality.unwrap_or(1.0) }
    }
}

/// Ranges that contain text.
const TEXTS: [&str; 3] = ["text/plain", "text/*", "*/*"];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn openmetrics_is_for_those_who_prefer_it() {
        let prometheus = "application/openmetrics-text;version=1.0.0,application/openmetrics-text;version=0.0.1;q=0.75,\
                          text/plain;version=0.0.4;q=0.5,*/*;q=0.1";
        for (accept, format) in [
            (None, Format::Text),
            (Some("*/*"), Format::Text),
            (Some("text/plain"), Format::Text),
            (Some("application/vnd.google.protobuf;q=0.7, text/plain;q=0.3"), Format::Text),
            (Some("text/plain, application/openmetrics-text; version=1.0.0; q=0.5"), Format::Text),
            (Some("application/openmetrics-text; q=0"), Format::Text),
            (Some("Application/OpenMetrics-text"), Format::OpenMetrics),
            (Some("application/json, application/openmetrics-text;q=0.1"), Format::OpenMetrics),
            (Some(prometheus), Format::Text),
        ] {
            assert_eq!(Format::accepted(accept), format, "{accept:?}");
        }
    }

    #[test]
    fn openmetrics_names_counters_without_total() {
        let announced = |format: Format, name, kind| {
            let mut out = String::new();
            format.announce(&mut out, name, kind, "h");
            out
        };
        assert_eq!(announced(Format::Text, "a_total", Kind::Counter), "# TYPE a_total counter\n# HELP a_total h\n");
        assert_eq!(announced(Format::OpenMetrics, "a_total", Kind::Counter), "# TYPE a counter\n# HELP a h\n");
        assert_eq!(announced(Format::OpenMetrics, "segments", Kind::Counter), "# TYPE segments unknown\n# HELP segments h\n");
        assert_eq!(announced(Format::OpenMetrics, "info", Kind::Untyped), "# TYPE info unknown\n# HELP info h\n");
    }
}
