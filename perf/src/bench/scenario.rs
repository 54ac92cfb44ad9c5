//! Scenarios: which steps are run against which broker, and the bars that the figures must reach.
//! They are read from `perf/scenarios/*.toml`.
//!
//! ```text
//! scenario ─┬─ steps   one run of this program each; steps with equal flags share a broker
//!           └─ bars    value (a path: step, then keys of its JSON report)
//!                      [÷ over: another value of the same broker]
//!                      [÷ against: the same value of another broker]
//!                      at least, at most, or only reported
//! ```

use std::fs;
use std::path::Path;

use serde::{Deserialize, Serialize};

use crate::connection::Result;

/// A broker to measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Target {
    RingMq,
    Null,
    RabbitMq,
    /// RabbitMQ again, with quorum queues.
    Quorum,
}

impl Target {
    /// All brokers, in the order of a repetition.
    pub const ALL: [Target; 4] = [Target::RingMq, Target::Null, Target::RabbitMq, Target::Quorum];

    /// The broker's name.
    pub fn name(self) -> &'static str {
        match self {
            Target::RingMq => "RingMQ",
            Target::Null => "null broker",
            Target::RabbitMq => "RabbitMQ",
            Target::Quorum => "RabbitMQ quorum",
        }
    }

    /// Whether it must be running already.
    pub fn is_rabbitmq(self) -> bool {
        matches!(self, Target::RabbitMq | Target::Quorum)
    }
}

/// A scenario.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Scenario {
    /// Its name.
    pub name: String,
    /// One sentence for the summary.
    pub about: String,
    /// Its steps.
    #[serde(rename = "step")]
    pub steps: Vec<Step>,
    /// Its bars.
    #[serde(default, rename = "bar")]
    pub bars: Vec<Bar>,
    /// Values to be shown besides those of the bars.
    #[serde(default)]
    pub show: Vec<String>,
    /// Additional flags of the null broker; `%data` is its data directory.
    #[serde(default)]
    pub null: String,
}

/// One run of the generator.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// Its name.
    pub name: String,
    /// The command line: `run --size 16 --autoack`; `%data` is the broker's data directory.
    pub run: String,
    /// The brokers that it is run against.
    #[serde(default = "all_targets")]
    pub targets: Vec<Target>,
    /// Flags of RingMQ.
    #[serde(default = "one_shard")]
    pub ringmq: String,
    /// Whether the broker is killed before the step and started again with its data, which the
    /// kernel has not cached. Only for RingMQ.
    #[serde(default)]
    pub restart: bool,
    /// The producers' pace, as a part of the rate of an earlier step.
    pub rate: Option<Rate>,
}

/// A rate that depends on an earlier step.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rate {
    /// The path of the rate.
    pub of: String,
    /// The factor.
    pub times: f64,
}

/// A bar that a figure of RingMQ must reach; without bounds the figure is only reported.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Bar {
    /// The path of the value.
    pub value: String,
    /// The path of a value of the same broker by which it is divided.
    pub over: Option<String>,
    /// The broker by whose value it is divided.
    pub against: Option<Target>,
    /// The smallest value that is good enough.
    pub least: Option<f64>,
    /// The largest value that is good enough.
    pub most: Option<f64>,
}

impl Scenario {
    /// The brokers that the steps need, in the order of a repetition.
    pub fn targets(&self) -> impl Iterator<Item = Target> {
        Target::ALL.into_iter().filter(|target| self.steps.iter().any(|step| step.targets.contains(target)))
    }

    /// The values that bars or readers need, each once.
    pub fn values(&self) -> Vec<&str> {
        let bars = self.bars.iter().flat_map(|bar| std::iter::once(&bar.value).chain(&bar.over));
        let mut values: Vec<&str> = Vec::new();
        for value in bars.chain(&self.show) {
            if !values.contains(&value.as_str()) {
                values.push(value);
            }
        }
        values
    }

    /// Checks that each path begins with a step, and that of a pace with an earlier one.
    fn check(&self) -> Result<()> {
        let complain = |path: &str| Err(format!("scenario {}: {path} names no step that has run by then", self.name));
        for path in self.values() {
            if !self.steps.iter().any(|step| step.name == step_of(path)) {
                return complain(path);
            }
        }
        for (i, step) in self.steps.iter().enumerate() {
            if step.restart && (step.targets != [Target::RingMq] || self.steps[..i].last().is_none_or(|s| s.ringmq != step.ringmq)) {
                return Err(format!("scenario {}: {} has no RingMQ to restart", self.name, step.name));
            }
            if let Some(rate) = step.rate.as_ref().filter(|rate| !self.steps[..i].iter().any(|s| s.name == step_of(&rate.of))) {
                return complain(&rate.of);
            }
        }
        Ok(())
    }
}

impl Bar {
    /// The bar as text: `load.total.per_broker_cpu_second ÷ null broker ≥ 0.5`.
    pub fn text(&self) -> String {
        let mut text = self.value.clone();
        if let Some(over) = &self.over {
            text += &format!(" ÷ {over}");
        }
        if let Some(against) = self.against {
            text += &format!(" ÷ {}", against.name());
        }
        for (sign, bound) in [('≥', self.least), ('≤', self.most)] {
            if let Some(bound) = bound {
                text += &format!(" {sign} {bound}");
            }
        }
        text
    }

    /// Whether the value is a ratio, and not a figure with a unit.
    pub fn is_ratio(&self) -> bool {
        self.over.is_some() || self.against.is_some()
    }

    /// Whether `reached` is good enough; `None` if the bar has no bounds.
    pub fn holds(&self, reached: f64) -> Option<bool> {
        let bounded = self.least.is_some() || self.most.is_some();
        bounded.then(|| self.least.is_none_or(|least| reached >= least) && self.most.is_none_or(|most| reached <= most))
    }
}

/// The step with which a path begins.
pub fn step_of(path: &str) -> &str {
    path.split('.').next().unwrap_or_default()
}

/// Reads the scenarios of a directory, files in the order of their names, and keeps those whose
/// names contain one of `wanted`.
pub fn load(directory: &Path, wanted: &[String]) -> Result<Vec<Scenario>> {
    let trouble = |e: std::io::Error| format!("{}: {e}", directory.display());
    let entries = fs::read_dir(directory).map_err(trouble)?.collect::<std::io::Result<Vec<_>>>().map_err(trouble)?;
    let mut paths: Vec<_> = entries.into_iter().map(|e| e.path()).filter(|p| p.extension().is_some_and(|x| x == "toml")).collect();
    paths.sort();
    let mut scenarios = Vec::new();
    for path in paths {
        let text = fs::read_to_string(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        scenarios.extend(parse(&text).map_err(|e| format!("{}: {e}", path.display()))?);
    }
    scenarios.retain(|s| wanted.is_empty() || wanted.iter().any(|name| s.name.contains(name.as_str())));
    if scenarios.is_empty() { Err("no scenario has such a name".to_owned()) } else { Ok(scenarios) }
}

fn parse(text: &str) -> Result<Vec<Scenario>> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct File {
        scenario: Vec<Scenario>,
    }
    let file: File = toml::from_str(text).map_err(|e| e.to_string())?;
    file.scenario.iter().try_for_each(Scenario::check)?;
    Ok(file.scenario)
}

fn all_targets() -> Vec<Target> {
    vec![Target::RingMq, Target::Null, Target::RabbitMq]
}

fn one_shard() -> String {
    "--shards 1 --cpus 0".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = r#"
        [[scenario]]
        name = "a"
        about = "b"
        show = ["load.total.x"]
        step = [{ name = "load", run = "run" }, { name = "half", run = "run", targets = ["ringmq"], rate = { of = "load.y", times = 0.5 } }]
        bar = [{ value = "load.total.x", against = "null", least = 0.5 }, { value = "half.z", over = "load.z", most = 2 }]
    "#;

    #[test]
    fn a_scenario_is_read() {
        let scenario = &parse(TEXT).unwrap()[0];
        assert_eq!(scenario.values(), ["load.total.x", "half.z", "load.z"]);
        assert_eq!(scenario.targets().collect::<Vec<_>>(), all_targets());
        assert_eq!(scenario.steps[1].targets, [Target::RingMq]);
        assert_eq!(scenario.bars[0].text(), "load.total.x ÷ null broker ≥ 0.5");
        assert_eq!(scenario.bars[1].text(), "half.z ÷ load.z ≤ 2");
    }

    #[test]
    fn paths_name_steps_that_have_run() {
        assert!(parse(&TEXT.replace("load.y", "half.y")).unwrap_err().contains("half.y"));
        assert!(parse(&TEXT.replace("half.z", "full.z")).unwrap_err().contains("full.z"));
        assert!(parse(&TEXT.replace("about", "abut")).is_err());
    }

    #[test]
    fn only_a_ringmq_that_stands_is_restarted() {
        let restarted = TEXT.replace("rate = {", "restart = true, rate = {");
        assert!(parse(&restarted).is_ok());
        assert!(parse(&restarted.replace(r#"["ringmq"]"#, r#"["null"]"#)).is_err());
        assert!(parse(&restarted.replace("restart", "ringmq = '--shards 2', restart")).is_err());
    }

    #[test]
    fn bars_hold_between_their_bounds() {
        let bar = |least, most| Bar { value: String::new(), over: None, against: None, least, most };
        assert_eq!(bar(Some(0.5), None).holds(0.5), Some(true));
        assert_eq!(bar(None, Some(80.0)).holds(80.1), Some(false));
        assert_eq!(bar(None, None).holds(1.0), None);
    }

    #[test]
    fn the_repository_s_scenarios_are_valid() {
        use clap::Parser;
        let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("scenarios");
        let scenarios = [load(&directory, &[]).unwrap(), load(&directory.join("durable"), &[]).unwrap()].concat();
        for step in scenarios.iter().flat_map(|s| &s.steps) {
            let words = std::iter::once("ringmq-perf").chain(step.run.split_whitespace());
            assert!(crate::cli::Cli::try_parse_from(words).is_ok(), "{}", step.run);
        }
        let names: std::collections::HashSet<_> = scenarios.iter().map(|s| &s.name).collect();
        assert_eq!(names.len(), scenarios.len());
    }
}
