//! CPUs, and the pinning of threads to them.

use std::io;

/// The CPUs that this process may use, ascending.
pub fn available() -> Vec<usize> {
    // SAFETY: a CPU set is plain bits, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes at most the size given, into a set that lives through the call.
    let result = unsafe { libc::sched_getaffinity(0, size_of_val(&set), &mut set) };
    assert_eq!(result, 0, "a thread may ask for its own CPUs: {}", io::Error::last_os_error());
    // SAFETY: the CPU numbers stay below the size of the set.
    (0..libc::CPU_SETSIZE as usize).filter(|&cpu| unsafe { libc::CPU_ISSET(cpu, &set) }).collect()
}

/// Pins the calling thread to `cpu`.
///
/// # Errors
/// The kernel's error, if the process may not use that CPU.
pub fn pin(cpu: usize) -> io::Result<()> {
    confine([cpu])
}

/// Confines the calling thread to these CPUs.
///
/// # Errors
/// The kernel's error, if the process may use none of them.
pub fn confine(cpus: impl IntoIterator<Item = usize>) -> io::Result<()> {
    let set = set_of(cpus);
    // SAFETY: the kernel reads at most the size given, from a set that lives through the call.
    match unsafe { libc::sched_setaffinity(0, size_of_val(&set), &set) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

/// Makes the kernel's form of a list of CPUs.
pub fn set_of(cpus: impl IntoIterator<Item = usize>) -> libc::cpu_set_t {
    // SAFETY: a CPU set is plain bits, for which zero is a value.
    let mut set: libc::cpu_set_t = unsafe { std::mem::zeroed() };
    for cpu in cpus {
        assert!(cpu < libc::CPU_SETSIZE as usize, "the configuration names CPUs that exist");
        // SAFETY: `cpu` is below the size of the set.
        unsafe { libc::CPU_SET(cpu, &mut set) };
    }
    set
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pinned_thread_has_one_cpu() {
        let cpus = available();
        let last = *cpus.last().expect("we run somewhere");
        std::thread::spawn(move || {
            pin(last).expect("an available CPU");
            assert_eq!(available(), [last]);
        })
        .join()
        .expect("the thread's assertions hold");
    }
}
