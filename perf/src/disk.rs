//! The disk by itself: how long one durable write takes, and how much space a directory takes.
//!
//! A confirm of a persistent message cannot come sooner than a write that the disk guarantees to
//! keep. The probe does nothing else: it writes one block at a time, past the page cache, into a
//! file that exists already, each write on stable storage when it returns (`O_DIRECT|O_DSYNC`).

use std::fs::{self, File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::{FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use clap::Args;
use serde::Serialize;

use crate::connection::Result;
use crate::load::stats::histogram;
use crate::report::{Percentiles, grouped, percentiles};
use crate::sys;
use crate::values::{Cpus, Sizes};

#[derive(Args, Clone)]
pub struct DiskArgs {
    /// Directory on the disk to measure
    #[arg(long, default_value = ".")]
    pub dir: PathBuf,
    /// Bytes of a write: a multiple of 4096
    #[arg(long, default_value = "4KiB")]
    pub size: Sizes,
    /// Seconds to measure
    #[arg(short = 'z', long, default_value_t = 3.0)]
    pub time: f64,
    /// CPU to pin to: the broker's, to compare with its confirms
    #[arg(long)]
    pub cpus: Option<Cpus>,
    /// Write the report as JSON to standard output
    #[arg(long)]
    pub json: bool,
}

#[derive(Serialize)]
struct DiskReport {
    write_bytes: usize,
    writes_per_second: f64,
    own_cpu_seconds: f64,
    write_us: Percentiles,
}

/// Measures, and prints the report.
pub fn run(args: &DiskArgs) -> Result<()> {
    if let Some(cpus) = &args.cpus {
        sys::pin(&cpus.0).map_err(|e| format!("cannot pin to a CPU: {e}"))?;
    }
    let Sizes::List(sizes) = &args.size else { return Err("a write has one size".to_owned()) };
    let &[len] = &sizes[..] else { return Err("a write has one size".to_owned()) };
    if !len.is_multiple_of(BLOCK) || len > FILE_BYTES as usize {
        return Err(format!("a write has a multiple of {BLOCK} bytes, at most {FILE_BYTES}"));
    }
    let path = args.dir.join(format!("ringmq-perf-disk-{}", std::process::id()));
    let report = measure(&path, len, args.time).map_err(|e| format!("{}: {e}", path.display()));
    // The file is removed in any case; one that could not be made cannot be removed.
    let _ = fs::remove_file(&path);
    let report = report?;
    println!("{}", if args.json { serde_json::to_string_pretty(&report).map_err(|e| e.to_string())? } else { text(&report) });
    Ok(())
}

fn measure(path: &Path, len: usize, seconds: f64) -> io::Result<DiskReport> {
    let file = prepared(path, FILE_BYTES)?;
    let memory = vec![0x5A; len + BLOCK];
    let block = &memory[memory.as_ptr().align_offset(BLOCK)..][..len];
    let mut writes = histogram();
    let (own, begin_ns) = (sys::own_cpu_seconds(), sys::now_ns());
    let (end_ns, mut now_ns, mut offset) = (begin_ns + (seconds * 1e9) as u64, begin_ns, 0);
    while now_ns < end_ns {
        file.write_all_at(block, offset)?;
        let done_ns = sys::now_ns();
        writes.saturating_record(done_ns - now_ns);
        offset = (offset + len as u64) % (FILE_BYTES - FILE_BYTES % len as u64);
        now_ns = done_ns;
    }
    Ok(DiskReport {
        write_bytes: len,
        writes_per_second: writes.len() as f64 / ((now_ns - begin_ns) as f64 / 1e9),
        own_cpu_seconds: sys::own_cpu_seconds() - own,
        write_us: percentiles(&writes),
    })
}

fn text(report: &DiskReport) -> String {
    let p = &report.write_us;
    format!(
        "writes     {} of {} bytes per second, one at a time\nwrite      min {:.0}  p50 {:.0}  p90 {:.0}  p99 {:.0}  p99.9 {:.0}  max {:.0} us\n\
         own        {:.2} CPU s",
        grouped(report.writes_per_second),
        report.write_bytes,
        p.min,
        p.p50,
        p.p90,
        p.p99,
        p.p999,
        p.max,
        report.own_cpu_seconds
    )
}

/// Makes a file full of zeros, open for writes past the page cache that return when they are on
/// stable storage. Zeros, because a write to space that was never written would also have to sync
/// the file system's journal.
pub fn prepared(path: &Path, bytes: u64) -> io::Result<File> {
    let mut plain = File::create(path)?;
    let zeros = vec![0; 1 << 20];
    for _ in 0..bytes.div_ceil(zeros.len() as u64) {
        plain.write_all(&zeros)?;
    }
    plain.sync_all()?;
    OpenOptions::new().write(true).custom_flags(libc::O_DIRECT | libc::O_DSYNC).open(path)
}

/// Bytes that a directory takes on its disk, with its subdirectories. A file that disappears in the
/// meantime takes none.
pub fn usage(path: &Path) -> u64 {
    let Ok(metadata) = fs::symlink_metadata(path) else { return 0 };
    let own = metadata.blocks() * STAT_BLOCK;
    if !metadata.is_dir() {
        return own;
    }
    let entries = fs::read_dir(path).into_iter().flatten().flatten();
    own + entries.map(|entry| usage(&entry.path())).sum::<u64>()
}

/// The alignment of memory and offsets of direct writes.
const BLOCK: usize = 4096;
/// The unit in which the kernel counts a file's blocks, whatever the file system's unit is.
const STAT_BLOCK: u64 = 512;
/// The size of the file: so large that the disk does not write one place over and over.
const FILE_BYTES: u64 = 16 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn usage_counts_everything_below() {
        let path = std::env::temp_dir().join(format!("ringmq-perf-usage-{}", std::process::id()));
        fs::create_dir_all(path.join("within")).unwrap();
        let empty = usage(&path);
        let file = prepared(&path.join("within/file"), 1 << 20).unwrap();
        let filled = usage(&path);
        drop(file);
        fs::remove_dir_all(&path).unwrap();
        assert!((1 << 20..2 << 20).contains(&(filled - empty)), "{empty} {filled}");
        assert_eq!(usage(&path), 0);
    }
}
