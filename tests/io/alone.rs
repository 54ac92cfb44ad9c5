//! Tests that look at the threads of their process need one of their own: other tests run beside
//! them, with brokers of their own.

use std::env;
use std::fs;
use std::process::Command;

/// Runs a test in a new process. `name` is its full name.
pub fn alone(name: &str, test: impl FnOnce()) {
    if env::var_os(ALONE).is_some() {
        return test();
    }
    let program = env::current_exe().expect("Linux tells");
    let output = Command::new(program).args(["--exact", name]).env(ALONE, "1").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// Returns the names of the broker's threads in this process that have not ended.
pub fn threads() -> Vec<String> {
    let tasks = fs::read_dir("/proc/self/task").expect("Linux has it");
    let stats = tasks.filter_map(|task| fs::read_to_string(task.ok()?.path().join("stat")).ok());
    stats.filter_map(|stat| running(&stat)).filter(|name| name.starts_with("ringmq-")).collect()
}

/// Returns the name of a thread from its line of numbers, `number (name) state …`. A thread that was
/// joined may be listed a moment longer, but its flags say that it is exiting.
fn running(stat: &str) -> Option<String> {
    let (name, numbers) = stat.split_once('(')?.1.rsplit_once(") ")?;
    let flags: u32 = numbers.split(' ').nth(6)?.parse().ok()?;
    (flags & EXITING == 0).then(|| name.to_owned())
}

const ALONE: &str = "RINGMQ_TEST_ALONE";
/// PF_EXITING of the kernel.
const EXITING: u32 = 4;
