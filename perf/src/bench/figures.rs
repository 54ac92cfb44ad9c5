//! From samples to figures: the value of every repetition, their median and range, and whether a
//! bar is reached.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::Value;

use super::scenario::{Bar, Scenario, Target, step_of};

/// The results of one broker in one repetition of a scenario: the report of each step.
#[derive(Clone, Debug, Serialize)]
pub struct Sample {
    /// The broker.
    pub target: Target,
    /// The number of the repetition.
    pub repetition: usize,
    /// The reports, by step.
    pub steps: BTreeMap<String, Value>,
    /// The reason why a step gave no report.
    pub failed: Option<String>,
}

/// The median and the range of several repetitions.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct Spread {
    /// The median.
    pub median: f64,
    /// The smallest value.
    pub min: f64,
    /// The largest value.
    pub max: f64,
}

/// A bar, and whether it was reached.
#[derive(Clone, Debug, Serialize)]
pub struct Verdict {
    /// The bar as text.
    pub bar: String,
    /// The value that is compared; `None` if a broker that it needs was not measured.
    pub reached: Option<Spread>,
    /// Whether the bar was reached; `None` if the value is only reported, or was not measured.
    pub pass: Option<bool>,
}

/// A value of one broker.
#[derive(Clone, Debug, Serialize)]
pub struct Figure {
    /// The path of the value.
    pub value: String,
    /// The broker.
    pub broker: Target,
    /// Its median and range.
    #[serde(flatten)]
    pub spread: Spread,
}

impl Sample {
    /// The number at a path; `None` if it is absent or infinite.
    pub fn number(&self, path: &str) -> Option<f64> {
        let pointer = path[step_of(path).len()..].replace('.', "/");
        self.steps.get(step_of(path))?.pointer(&pointer)?.as_f64().filter(|n| n.is_finite())
    }
}

impl Spread {
    /// Computes median and range; `None` if there are no numbers.
    pub fn of(numbers: impl IntoIterator<Item = f64>) -> Option<Spread> {
        let mut sorted: Vec<f64> = numbers.into_iter().collect();
        sorted.sort_by(f64::total_cmp);
        let (&min, &max) = (sorted.first()?, sorted.last()?);
        let middle = sorted.len() / 2;
        let median = if sorted.len().is_multiple_of(2) { f64::midpoint(sorted[middle - 1], sorted[middle]) } else { sorted[middle] };
        Some(Spread { median, min, max })
    }
}

/// Returns every value of every broker that has it.
pub fn figures(scenario: &Scenario, samples: &[Sample]) -> Vec<Figure> {
    let mut all = Vec::new();
    for value in scenario.values() {
        for broker in scenario.targets() {
            let numbers = samples.iter().filter(|s| s.target == broker).filter_map(|s| s.number(value));
            all.extend(Spread::of(numbers).map(|spread| Figure { value: value.to_owned(), broker, spread }));
        }
    }
    all
}

/// Judges a scenario by the medians of its bars. A ratio is computed within each repetition, in
/// which both brokers had the same conditions.
pub fn verdicts(scenario: &Scenario, samples: &[Sample]) -> Vec<Verdict> {
    let ours = || samples.iter().filter(|s| s.target == Target::RingMq);
    let judge = |bar: &Bar| {
        let reached = Spread::of(ours().filter_map(|sample| reached(bar, sample, samples)));
        Verdict { bar: bar.text(), reached, pass: reached.and_then(|r| bar.holds(r.median)) }
    };
    scenario.bars.iter().map(judge).collect()
}

fn reached(bar: &Bar, sample: &Sample, samples: &[Sample]) -> Option<f64> {
    let ours = ratio(bar, sample)?;
    let Some(against) = bar.against else { return Some(ours) };
    let theirs = samples.iter().find(|s| s.target == against && s.repetition == sample.repetition)?;
    divide(ours, ratio(bar, theirs)?)
}

fn ratio(bar: &Bar, sample: &Sample) -> Option<f64> {
    let value = sample.number(&bar.value)?;
    bar.over.as_ref().map_or(Some(value), |over| divide(value, sample.number(over)?))
}

fn divide(a: f64, b: f64) -> Option<f64> {
    (b > 0.0).then(|| a / b)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn sample(target: Target, repetition: usize, rate: f64) -> Sample {
        let report = json!({ "total": { "rate": rate, "half": 2.0 }, "list": [{ "x": 7 }] });
        Sample { target, repetition, steps: [("load".to_owned(), report)].into(), failed: None }
    }

    fn bar(over: Option<&str>, against: Option<Target>) -> Bar {
        Bar { value: "load.total.rate".to_owned(), over: over.map(str::to_owned), against, least: Some(2.5), most: None }
    }

    fn scenario(bars: Vec<Bar>) -> Scenario {
        Scenario { name: String::new(), about: String::new(), steps: Vec::new(), bars, show: Vec::new(), null: String::new() }
    }

    #[test]
    fn spreads() {
        assert_eq!(Spread::of([3.0, 1.0, 2.0]), Some(Spread { median: 2.0, min: 1.0, max: 3.0 }));
        assert_eq!(Spread::of([4.0, 1.0]), Some(Spread { median: 2.5, min: 1.0, max: 4.0 }));
        assert_eq!(Spread::of([]), None);
    }

    #[test]
    fn paths_lead_into_reports() {
        let sample = sample(Target::RingMq, 0, 5.0);
        assert_eq!(sample.number("load.total.rate"), Some(5.0));
        assert_eq!(sample.number("load.list.0.x"), Some(7.0));
        assert_eq!([sample.number("load.total"), sample.number("other.x"), sample.number("load.y")], [None; 3]);
    }

    #[test]
    fn ratios_are_taken_within_a_repetition() {
        let samples = [
            sample(Target::RingMq, 0, 6.0),
            sample(Target::Null, 0, 2.0),
            sample(Target::RingMq, 1, 30.0),
            sample(Target::Null, 1, 10.0),
            sample(Target::RingMq, 2, 1.0),
        ];
        let bars = vec![bar(None, Some(Target::Null)), bar(Some("load.total.half"), None), bar(None, Some(Target::RabbitMq))];
        let verdicts = verdicts(&scenario(bars), &samples);
        assert_eq!(verdicts[0].reached, Some(Spread { median: 3.0, min: 3.0, max: 3.0 }));
        assert_eq!(verdicts[1].reached, Some(Spread { median: 3.0, min: 0.5, max: 15.0 }));
        assert_eq!((verdicts[0].pass, verdicts[1].pass), (Some(true), Some(true)));
        assert_eq!((verdicts[2].reached, verdicts[2].pass), (None, None));
    }
}
