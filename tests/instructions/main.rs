//! The gate of the hot path: instructions per message of the shard alone, compared with the figures
//! in `benches/instructions.toml`.
//!
//! On a shared machine, times vary by ten percent and more; instruction counts do not. Valgrind
//! counts the instructions of `hot-path`, which feeds shards in its own process: no socket, no
//! kernel, no clock. A figure is `(instructions(2 N) − instructions(N)) / N`, so the start, the
//! handshakes and the declarations do not count. More than 3 % above the figure fails the test.
//!
//! A change that costs instructions on purpose, or that saves some, brings new figures and its
//! reason:
//!
//! ```text
//! RINGMQ_INSTRUCTIONS=update cargo test --test instructions   writes the figures that have changed
//! ```
//!
//! Write the reason behind each changed figure afterwards; the test fails until there is one.
//!
//! The figures depend on the compiler (a new version of Rust is a reason), and hardly on the host.
//! Valgrind simulates a CPU of its own: without AVX-512 on any host, and with AVX2 if the host has
//! it. The copy routines of libc with and without AVX2 differ by 0.2 %. `rep movsb` would count
//! once per byte, so libc is told to copy large blocks in another way. The hash maps draw new seeds
//! in each run, which changes a figure by less than 0.1 %.

mod figures;

use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use figures::Figures;

#[test]
fn instructions_per_message() {
    if !cfg!(all(target_arch = "x86_64", target_os = "linux")) {
        return say("instructions: not counted, the figures are for x86_64 Linux");
    }
    let program = build();
    let figures = Figures::read(Path::new(FIGURES));
    let mut updated = figures.clone();
    let (mut worse, mut table) = (Vec::new(), format!("{:32}{:>10}{:>10}{:>9}\n", "instructions per message", "figure", "now", ""));
    for scenario in output(&mut Command::new(&program)).lines() {
        let now = per_message(&program, scenario);
        let figure = figures.get(scenario);
        let change = figure.map_or(f64::INFINITY, |figure| now / figure - 1.0);
        table += &format!("{scenario:32}{:>10.0}{now:>10.0}{:>+8.1} %{}\n", figure.unwrap_or(0.0), change * 100.0, verdict(change));
        if change > WORSE_MAX {
            worse.push(scenario.to_owned());
        }
        if change.abs() > NOISE {
            updated.set(scenario, now);
        }
    }
    say(&table);
    if std::env::var("RINGMQ_INSTRUCTIONS").is_ok_and(|word| word == "update") {
        return updated.write(Path::new(FIGURES));
    }
    assert!(worse.is_empty(), "more than {:.0} % worse, or new: {worse:?}. If it must be: {HOW_TO_UPDATE}", WORSE_MAX * 100.0);
    let unexplained = figures.unexplained();
    assert!(unexplained.is_empty(), "{FIGURES} has figures without a reason: {unexplained:?}");
}

fn verdict(change: f64) -> &'static str {
    match change {
        f64::INFINITY => "  new",
        change if change > WORSE_MAX => "  worse",
        change if change < -BETTER_MAX => "  better: update the figure",
        _ => "",
    }
}

/// Builds the program in release mode, because the figures are those of the product.
fn build() -> PathBuf {
    let mut cargo = Command::new(env!("CARGO"));
    let built = cargo.args(["build", "--release", "--example", "hot-path", "--message-format", "json-render-diagnostics"]);
    let messages = output(built);
    let mut paths = messages.lines().filter(|line| line.contains("\"hot-path\"")).filter_map(|line| line.split_once("\"executable\":\""));
    paths.next_back().and_then(|(_, path)| path.split_once('"')).map(|(path, _)| path.into()).expect("cargo says where the program is")
}

fn per_message(program: &Path, scenario: &str) -> f64 {
    let [fewer, more] = [MESSAGES, 2 * MESSAGES].map(|messages| instructions(program, scenario, messages));
    (more - fewer) as f64 / MESSAGES as f64
}

fn instructions(program: &Path, scenario: &str, messages: u64) -> u64 {
    let mut valgrind = Command::new("valgrind");
    valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null", "--log-fd=1"]);
    valgrind.env("GLIBC_TUNABLES", "glibc.cpu.hwcaps=-ERMS");
    let report = output(valgrind.arg(program).args([scenario, &messages.to_string()]));
    let count = report.lines().find_map(|line| line.split_once("refs:")).map(|(_, count)| count.trim().replace(',', ""));
    count.and_then(|count| count.parse().ok()).unwrap_or_else(|| panic!("valgrind counted nothing:\n{report}"))
}

/// Returns the output of a command, which must succeed.
fn output(command: &mut Command) -> String {
    let run = command.output().unwrap_or_else(|error| panic!("{command:?}: {error} (scripts/setup installs what the tests need)"));
    let Output { status, stdout, stderr } = run;
    assert!(status.success(), "{command:?}: {status}\n{}", String::from_utf8_lossy(&stderr));
    String::from_utf8(stdout).expect("text")
}

/// Prints past the test harness, which shows the output of failed tests only.
fn say(text: &str) {
    let _ = writeln!(std::io::stderr(), "\n{text}");
}

/// The number of messages in the smaller of the two runs.
const MESSAGES: u64 = 20_000;

/// How much worse a scenario may become without a reason.
const WORSE_MAX: f64 = 0.03;

/// How much better a scenario may become without a new figure: an improvement must not be lost
/// again unnoticed.
const BETTER_MAX: f64 = 0.03;

/// More than the difference between two runs of the same program.
const NOISE: f64 = 0.005;

const FIGURES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/instructions.toml");

const HOW_TO_UPDATE: &str = "RINGMQ_INSTRUCTIONS=update cargo test --test instructions, then write the reason behind the figure";
