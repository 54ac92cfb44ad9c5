//! Small system calls of the process: descriptors, random bytes, memory, its end.

use std::ffi::CString;
use std::fs;
use std::io::{self, Write};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

/// Raises the number of descriptors that the process may open as far as it may, and returns that
/// number.
pub fn raise_descriptor_limit() -> u64 {
    let limit = descriptor_limits();
    let raised = libc::rlimit { rlim_cur: limit.rlim_max, ..limit };
    // SAFETY: the kernel reads one rlimit, which lives through the call.
    match unsafe { libc::setrlimit(libc::RLIMIT_NOFILE, &raised) } {
        0 => raised.rlim_cur,
        _ => limit.rlim_cur,
    }
}

/// Ends the process with status 1 and this sentence, because it cannot go on.
pub fn fail(sentence: &str) -> ! {
    if log::log_enabled!(log::Level::Error) {
        log::error!("{sentence}");
    } else {
        // If standard error is closed, nothing can be done.
        let _ = writeln!(io::stderr(), "ringmq: {sentence}");
    }
    std::process::exit(1)
}

/// Returns random bytes from the kernel.
pub fn random<const N: usize>() -> [u8; N] {
    const { assert!(N <= 256, "the kernel gives up to 256 bytes without a signal in between") };
    let mut bytes = [0; N];
    // SAFETY: the kernel writes at most N bytes into an array of N.
    let got = unsafe { libc::getrandom(bytes.as_mut_ptr().cast(), N, 0) };
    assert_eq!(usize::try_from(got), Ok(N), "the kernel has random bytes: {}", io::Error::last_os_error());
    bytes
}

/// The resident memory of the process, bytes.
///
/// # Errors
/// The kernel's error, if it does not tell.
pub fn resident_memory() -> io::Result<u64> {
    let pages = fs::read_to_string("/proc/self/statm")?;
    let resident = pages.split(' ').nth(1).and_then(|pages| pages.parse::<u64>().ok());
    resident.map(|pages| pages * system(libc::_SC_PAGESIZE)).ok_or_else(|| io::ErrorKind::InvalidData.into())
}

/// How many descriptors the process may open.
pub fn descriptor_limit() -> u64 {
    descriptor_limits().rlim_cur
}

fn descriptor_limits() -> libc::rlimit {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the kernel writes one rlimit, which lives through the call.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_NOFILE, &mut limit) };
    assert_eq!(result, 0, "a process may ask for its own limits: {}", io::Error::last_os_error());
    limit
}

/// How often the threads of the process were switched.
pub fn context_switches() -> u64 {
    // SAFETY: the structure is plain numbers.
    let mut usage: libc::rusage = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel writes one rusage, which lives through the call.
    let failed = unsafe { libc::getrusage(libc::RUSAGE_SELF, &mut usage) } != 0;
    if failed { 0 } else { u64::try_from(usage.ru_nvcsw + usage.ru_nivcsw).unwrap_or_default() }
}

/// The memory of the machine, bytes.
pub fn machine_memory() -> u64 {
    system(libc::_SC_PHYS_PAGES) * system(libc::_SC_PAGESIZE)
}

/// Returns a number that the system always knows.
fn system(name: libc::c_int) -> u64 {
    // SAFETY: the call takes no pointers.
    u64::try_from(unsafe { libc::sysconf(name) }).expect("every Linux knows its pages")
}

/// The free space that processes without privileges may use in the file system of a directory,
/// bytes.
///
/// # Errors
/// The kernel's error, if the directory does not exist.
pub fn free_space(path: &Path) -> io::Result<u64> {
    let path = CString::new(path.as_os_str().as_bytes())?;
    // SAFETY: the structure is plain numbers.
    let mut room: libc::statvfs = unsafe { std::mem::zeroed() };
    // SAFETY: the kernel reads a string that ends with a zero and writes one statvfs; both live
    // through the call.
    match unsafe { libc::statvfs(path.as_ptr(), &mut room) } {
        0 => Ok(room.f_bavail.saturating_mul(room.f_frsize)),
        _ => Err(io::Error::last_os_error()),
    }
}

/// The name of the host, without its domain; `localhost` if it has none.
pub fn host_name() -> String {
    let mut name = [0u8; 256];
    // SAFETY: the kernel writes at most as many bytes as the array has.
    let failed = unsafe { libc::gethostname(name.as_mut_ptr().cast(), name.len()) } != 0;
    let end = name.iter().position(|&byte| byte == 0 || byte == b'.').unwrap_or(0);
    match std::str::from_utf8(&name[..end]) {
        Ok(name) if !failed && !name.is_empty() => name.to_owned(),
        _ => "localhost".to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_limit_is_raised_once() {
        assert_eq!(raise_descriptor_limit(), raise_descriptor_limit());
    }

    #[test]
    fn the_process_takes_some_of_the_machines_memory() {
        let resident = resident_memory().expect("Linux tells");
        assert!((1 << 16..machine_memory()).contains(&resident), "{resident}");
    }

    #[test]
    fn random_bytes_differ() {
        assert_ne!(random::<16>(), random::<16>());
    }

    #[test]
    fn a_directory_has_room() {
        assert!(free_space(&std::env::temp_dir()).expect("it is there") > 0);
        assert!(free_space(Path::new("/nowhere/to/be/found")).is_err());
    }
}
