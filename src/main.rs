//! The broker's program: arguments → configuration → recovery → one thread per shard → wait for the
//! signal to end.

use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use ringmq::base::escaped::Escaped;
use ringmq::config::args::{self, Asked, Invocation};
use ringmq::config::conf::Setting;
use ringmq::config::flags::{Definitions, Task};
use ringmq::config::settings::{self, Warnings};
use ringmq::config::{Config, Surroundings};
use ringmq::io::StartError;
use ringmq::io::host::affinity;
use ringmq::io::host::logging;
use ringmq::io::host::memory::Allocator;
use ringmq::io::host::monitor;
use ringmq::io::host::process;
use ringmq::io::host::signal::EndSignals;
use ringmq::start::app::App;
use ringmq::start::conf_files;
use ringmq::start::definitions;

#[global_allocator]
static ALLOCATOR: Allocator = Allocator;

fn main() -> ExitCode {
    abort_on_panic();
    match args::parse(std::env::args_os()) {
        Ok(Asked::Run(invocation)) => match configure(&invocation) {
            Ok((config, warnings)) => report(run(Arc::new(config), &warnings)),
            Err(StartError(sentence)) => refuse(&sentence),
        },
        Ok(Asked::Perform(Task::Definitions(task))) => report(perform(task)),
        Ok(Asked::Print(text)) => {
            print(&text);
            ExitCode::SUCCESS
        }
        Err(sentence) => refuse(&sentence),
    }
}

fn refuse(sentence: &str) -> ExitCode {
    eprintln!("ringmq: {}", Escaped(sentence));
    ExitCode::from(2)
}

/// Makes the configuration from the command line, configuration files and the environment.
fn configure(invocation: &Invocation) -> Result<(Config, Warnings), StartError> {
    let mut settings = read_settings(invocation.config_paths())?;
    settings.extend(settings::from_environment(variable));
    let (cpus, host, node_name) = (affinity::available(), process::host_name(), variable("RABBITMQ_NODENAME"));
    let around = Surroundings { cpus: &cpus, host: &host, node_name: node_name.as_deref() };
    let (mut config, warnings) = invocation.configure(&settings, around).map_err(StartError)?;
    config.transient_memory = Some(monitor::transient_memory(&config));
    config.memory_max = Some(monitor::memory_max(&config));
    Ok((config, warnings))
}

/// Reads the settings of these files, or else of the file that the environment names.
fn read_settings(mut paths: Vec<PathBuf>) -> Result<Vec<Setting>, StartError> {
    if paths.is_empty() {
        paths.extend(variable("RABBITMQ_CONFIG_FILE").map(PathBuf::from));
    }
    conf_files::read(&paths)
}

fn variable(name: &str) -> Option<String> {
    std::env::var(name).ok()
}

fn run(config: Arc<Config>, warnings: &Warnings) -> Result<(), StartError> {
    logging::start(config.log, true);
    warnings.iter().for_each(|warning| log::warn!("{warning}"));
    let signals = EndSignals::block();
    process::raise_descriptor_limit();
    let app = App::start(&config)?;
    let signal = signals.wait();
    log::info!("{signal}: closing connections");
    signals.unblock();
    app.stop()?;
    log::info!("ended");
    Ok(())
}

/// Performs a task with a data directory that no broker uses.
fn perform(task: Definitions) -> Result<(), StartError> {
    match task {
        Definitions::Export { data_dir, file } => {
            let text = definitions::export(&data_dir)?;
            match file {
                Some(file) => {
                    std::fs::write(&file, text).map_err(|error| StartError(format!("{} cannot be written: {error}", file.display())))?
                }
                None => print(&text),
            }
            Ok(())
        }
        Definitions::Import { data_dir, config, file } => {
            logging::start(log::LevelFilter::Info, false);
            let (_, defaults, _) = settings::flags(&read_settings(config)?).map_err(StartError)?;
            definitions::import(data_dir, file, defaults, affinity::available().len())
        }
    }
}

/// Prints a text. A reader that closes the pipe early has read enough.
fn print(text: &str) {
    let _ = std::io::stdout().write_all(text.as_bytes());
}

fn report(result: Result<(), StartError>) -> ExitCode {
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("ringmq: {}", Escaped(error));
            ExitCode::FAILURE
        }
    }
}

/// Ends the process at once on a panic, also in builds that unwind. A panic is a bug, and a shard
/// that went on without its peer would let clients hang.
fn abort_on_panic() {
    let print = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        print(panic);
        std::process::abort();
    }));
}
