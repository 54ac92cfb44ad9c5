//! `ringmq-perf`: measures brokers for AMQP 0-9-1, all in the same way.
//!
//! A generator must cost less than what it measures, or it measures itself: messages are encoded
//! once, deliveries are read in the receive buffer, and one thread drives many connections. It
//! counts messages per second, and, for a broker on the same machine, messages per second of the
//! broker's CPU time, which is the figure that does not depend on other load.

mod amqp;
mod awaiting;
mod bench;
mod ceiling;
mod churn;
mod cli;
mod connection;
mod disk;
mod due;
mod idle;
mod load;
mod plot;
mod process;
mod report;
mod sys;
mod values;

use std::fs;
use std::path::Path;
use std::process::ExitCode;

use clap::Parser;

use cli::{Cli, Command, RunArgs};

fn main() -> ExitCode {
    let result = match Cli::parse().command {
        Command::Run(args) => run(&args),
        Command::Churn(args) => churn::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Idle(args) => idle::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Disk(args) => disk::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Due(args) => due::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Await(args) => awaiting::run(&args).map(|()| ExitCode::SUCCESS),
        Command::Bench(args) => bench::run(&args),
        Command::Ceiling(args) => ceiling::run(&args).map(|()| ExitCode::SUCCESS),
    };
    match result {
        Ok(code) => code,
        Err(reason) => {
            eprintln!("ringmq-perf: {reason}");
            ExitCode::from(2)
        }
    }
}

fn run(args: &RunArgs) -> Result<ExitCode, String> {
    let report = load::run::run(args)?;
    let json_only = args.json.as_deref() == Some(Path::new("-"));
    if !json_only {
        println!("{}", report.text());
    }
    if let Some(path) = &args.json {
        let json = serde_json::to_string_pretty(&report).map_err(|e| e.to_string())?;
        if json_only { println!("{json}") } else { fs::write(path, json).map_err(|e| format!("{}: {e}", path.display()))? }
    }
    if let Some(path) = &args.plot {
        plot::write(&report, path)?;
    }
    let clean = report.faults.is_none_or(|f| f == load::verify::Faults::default());
    Ok(if clean { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}
