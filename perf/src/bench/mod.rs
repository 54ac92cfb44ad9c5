//! `ringmq-perf bench`: every scenario against RingMQ, the null broker and, if one is running,
//! RabbitMQ.
//!
//! ```text
//! for each scenario, repetition, broker:     brokers take turns, so that conditions are the same
//!    start broker on CPU 0 ─▶ steps, generator on CPU 1 ─▶ end broker
//! medians, ranges, bars ─▶ runs/<date>-<machine>/ and a line of history.jsonl per scenario
//! ```

mod figures;
mod machine;
mod process;
mod record;
mod scenario;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use clap::Args;
use serde_json::Value;

use crate::connection::Result;
use crate::report::grouped;
use figures::{Figure, Sample, Verdict};
use machine::Machine;
use process::{Broker, Scratch};
use scenario::{Scenario, Step, Target};

#[derive(Args, Clone)]
pub struct BenchArgs {
    /// Only scenarios whose names contain one of these
    pub scenarios: Vec<String>,
    /// One short repetition of each, kept in target/bench
    #[arg(long)]
    pub quick: bool,
    /// Repetitions (default: 3, with --quick 1)
    #[arg(long)]
    pub repetitions: Option<usize>,
    /// RingMQ's program
    #[arg(long, default_value = "target/release/ringmq")]
    pub ringmq: PathBuf,
    /// A RabbitMQ that runs, pinned to CPU 0
    #[arg(long, env = "RABBITMQ_URI", requires = "rabbitmq_pid")]
    pub rabbitmq: Option<String>,
    /// Its process
    #[arg(long, env = "RABBITMQ_PID")]
    pub rabbitmq_pid: Option<u32>,
    /// Directory of the scenarios
    #[arg(long, default_value = "perf/scenarios")]
    pub from: PathBuf,
    /// The scenarios of its subdirectory `durable` instead
    #[arg(long)]
    pub durable: bool,
    /// Directory for what brokers write while they are measured: on the disk that they are to be
    /// measured with
    #[arg(long, default_value = "target/bench")]
    pub scratch: PathBuf,
    /// Directory for runs/ and history.jsonl (default: perf, with --quick target/bench)
    #[arg(long)]
    pub results: Option<PathBuf>,
}

/// The results of a scenario.
pub struct Outcome {
    /// The scenario.
    pub scenario: Scenario,
    /// The samples of all brokers and repetitions.
    pub samples: Vec<Sample>,
    /// The figures.
    pub figures: Vec<Figure>,
    /// The verdicts on the bars.
    pub verdicts: Vec<Verdict>,
}

/// Runs, prints and records everything. Fails if a measured bar is missed or a step has failed.
pub fn run(args: &BenchArgs) -> Result<ExitCode> {
    let machine = Machine::read();
    if machine.cores < 2 {
        return Err("bench needs two CPUs: one for the broker, one for the generator".to_owned());
    }
    let from = if args.durable { args.from.join("durable") } else { args.from.clone() };
    let scenarios = scenario::load(&from, &args.scenarios)?;
    if args.durable {
        process::check_disk(&args.scratch)?;
    }
    process::catch_interrupts();
    let bench = Bench { args, program: std::env::current_exe().map_err(|e| e.to_string())? };
    let mut outcomes = Vec::new();
    for scenario in scenarios {
        let outcome = bench.scenario(scenario);
        if process::interrupted() {
            return Err("interrupted, nothing is recorded".to_owned());
        }
        outcomes.push(outcome);
    }
    let (path, summary) = record::write(args, &machine, &outcomes)?;
    println!("{summary}\n{}", path.display());
    let clean = |o: &Outcome| o.samples.iter().all(|s| s.failed.is_none()) && o.verdicts.iter().all(|v| v.pass != Some(false));
    Ok(if outcomes.iter().all(clean) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

struct Bench<'a> {
    args: &'a BenchArgs,
    program: PathBuf,
}

impl Bench<'_> {
    fn scenario(&self, scenario: Scenario) -> Outcome {
        let mut samples = Vec::new();
        for repetition in 0..self.args.repetitions() {
            for target in scenario.targets().filter(|t| !t.is_rabbitmq() || self.args.rabbitmq.is_some()) {
                if process::interrupted() {
                    break;
                }
                let sample = self.sample(&scenario, target, repetition);
                eprintln!("{}", progress(&scenario, &sample));
                samples.push(sample);
            }
        }
        let (figures, verdicts) = (figures::figures(&scenario, &samples), figures::verdicts(&scenario, &samples));
        Outcome { scenario, samples, figures, verdicts }
    }

    fn sample(&self, scenario: &Scenario, target: Target, repetition: usize) -> Sample {
        let mut sample = Sample { target, repetition, steps: BTreeMap::new(), failed: None };
        let mut standing: Option<(Broker, &str)> = None;
        for step in scenario.steps.iter().filter(|step| step.targets.contains(&target)) {
            // The last broker is ended before the next one starts: otherwise the two would share a
            // CPU.
            standing = standing.filter(|(_, flags)| *flags == step.ringmq);
            let report = match standing.take() {
                Some((broker, flags)) if step.restart => broker.restart(&self.args.ringmq, flags).map(|broker| (broker, flags)),
                Some(kept) => Ok(kept),
                None => self.start(scenario, step, target).map(|broker| (broker, step.ringmq.as_str())),
            };
            let report = report.and_then(|kept| {
                let (broker, _) = standing.insert(kept);
                self.step(step, target, broker, &sample)
            });
            match report {
                Ok(report) => _ = sample.steps.insert(step.name.clone(), report),
                Err(reason) => {
                    sample.failed = Some(format!("{}: {reason}", step.name));
                    break;
                }
            }
        }
        sample
    }

    fn start(&self, scenario: &Scenario, step: &Step, target: Target) -> Result<Broker> {
        let data = || Scratch::new(&self.args.scratch);
        match (target, &self.args.rabbitmq, self.args.rabbitmq_pid) {
            (Target::RingMq, ..) => Broker::ringmq(&self.args.ringmq, &step.ringmq, data()?),
            (Target::Null, ..) => Broker::null(&self.program, &scenario.null, data()?),
            (Target::RabbitMq | Target::Quorum, Some(uri), Some(pid)) => Ok(Broker::foreign(uri, pid)),
            (Target::RabbitMq | Target::Quorum, ..) => Err("no RabbitMQ was named".to_owned()),
        }
    }

    fn step(&self, step: &Step, target: Target, broker: &Broker, so_far: &Sample) -> Result<Value> {
        let rate = match &step.rate {
            Some(rate) => Some(rate.times * so_far.number(&rate.of).ok_or_else(|| format!("{} is unknown", rate.of))?),
            None => None,
        };
        let mut args = command_line(&broker.fill(&step.run)?, broker, rate, self.args.quick);
        if target == Target::Quorum {
            args.extend(process::words(QUORUM));
        }
        process::report(&self.program, &args, &Scratch::new(&self.args.scratch)?)
    }
}

impl BenchArgs {
    fn repetitions(&self) -> usize {
        self.repetitions.unwrap_or(if self.quick { 1 } else { REPETITIONS }).max(1)
    }

    fn results(&self) -> &Path {
        let usual = if self.quick { "target/bench" } else { "perf" };
        self.results.as_deref().unwrap_or(Path::new(usual))
    }
}

/// Returns a step's command line, with the options that depend on the run: broker, duration, CPU,
/// form of the report, and when the broker was started.
fn command_line(run: &str, broker: &Broker, rate: Option<f64>, quick: bool) -> Vec<String> {
    let mut args: Vec<String> = process::words(run).collect();
    let has = |args: &[String], name: &str| args.iter().any(|word| word == name);
    let (seconds, warm_up) = if quick { QUICK } else { FULL };
    let command = args.first().cloned().unwrap_or_default();
    let mut add = |words: &[&str]| args.extend(words.iter().map(|word| (*word).to_owned()));
    if command != "disk" {
        add(&["--uri", &broker.uri, "--broker-pid", &broker.pid.to_string()]);
    }
    add(&["--json"]);
    match command.as_str() {
        "run" => add(&["-", "--quiet", "--warm-up", warm_up]),
        "await" => add(&["--since", &broker.since_ns.to_string()]),
        _ => {}
    }
    if let Some(rate) = rate {
        add(&["--rate", &format!("{rate:.0}")]);
    }
    if command != "idle" && command != "await" {
        for (name, value) in [("--time", seconds), ("--cpus", "1")] {
            if !has(&args, name) {
                args.extend([name.to_owned(), value.to_owned()]);
            }
        }
    }
    args
}

fn progress(scenario: &Scenario, sample: &Sample) -> String {
    let shown = match (&sample.failed, scenario.values().first()) {
        (Some(reason), _) => format!("failed: {reason}"),
        (None, Some(value)) => format!("{value} {}", sample.number(value).map_or("-".to_owned(), grouped)),
        (None, None) => String::new(),
    };
    format!("{:<24} {:<12} {}  {shown}", scenario.name, sample.target.name(), sample.repetition + 1)
}

const REPETITIONS: usize = 3;
/// Separate queues, so that those of an interrupted run are not in the way.
const QUORUM: &str = "--queue-args x-queue-type=quorum --queue-pattern quorum-%d";
/// Seconds to measure, and seconds to warm up.
const FULL: (&str, &str) = ("3", "0.5");
const QUICK: (&str, &str) = ("0.8", "0.2");

#[cfg(test)]
mod tests {
    use super::*;

    fn line(run: &str, rate: Option<f64>) -> String {
        command_line(run, &Broker::foreign("amqp://h", 7), rate, false).join(" ")
    }

    #[test]
    fn steps_become_command_lines() {
        let told = "--uri amqp://h --broker-pid 7 --json";
        assert_eq!(line("run -a", None), format!("run -a {told} - --quiet --warm-up 0.5 --time 3 --cpus 1"));
        assert_eq!(line("run --cpus 0,1 --time 9", Some(1.4)), format!("run --cpus 0,1 --time 9 {told} - --quiet --warm-up 0.5 --rate 1"));
        assert_eq!(line("churn queue", None), format!("churn queue {told} --time 3 --cpus 1"));
        assert_eq!(line("idle", None), format!("idle {told}"));
        assert_eq!(line("await -u q", None), format!("await -u q {told} --since 0"));
        assert_eq!(line("disk --cpus 0", None), "disk --cpus 0 --json --time 3");
    }
}
