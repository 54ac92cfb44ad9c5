//! Runs one hot scenario on shards without sockets: `hot-path SCENARIO MESSAGES`. Without arguments
//! it prints the names of the scenarios.
//!
//! It prints nothing else and measures nothing: valgrind counts its instructions
//! (`tests/instructions/main.rs`); `callgrind_annotate` and `perf` show where they are spent.

mod run;
mod scenario;
#[path = "../../support/mod.rs"]
mod support;
mod yard;

use scenario::SCENARIOS;

/// The broker's own allocator.
#[global_allocator]
static ALLOCATOR: ringmq::io::host::memory::Allocator = ringmq::io::host::memory::Allocator;

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match &arguments[..] {
        [] => SCENARIOS.iter().for_each(|scenario| println!("{}", scenario.name)),
        [name, messages] => {
            let scenario = SCENARIOS.iter().find(|scenario| scenario.name == name).expect("one of the scenarios");
            scenario.run(messages.parse().expect("a number of messages"));
        }
        _ => panic!("hot-path [SCENARIO MESSAGES]"),
    }
}
