//! The catalog's files at the start: two copies, of which one is enough.
//!
//! ```text
//! both are in order                            go on behind them
//! one is damaged, cut short, missing or torn   say so, and write both anew from all that is left
//! a part is in neither, or both are missing    refuse and change nothing; with --accept-log-loss
//!                                              go on with the rest
//! version 2: one file                          the same with one copy; write two anew
//! version 3: logs may have no lists            write it anew once they have them
//! ```
//!
//! Files that are written anew are a new generation, complete before the old one goes: a crash
//! leaves one or the other. Files whose damage was accepted are kept, as `*.damaged`.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use crate::broker::catalog::{Catalog, Numbers, Saved};
use crate::io::StartError;
use crate::io::disk::worker::{ACCEPT, catalog_paths, write_whole};
use crate::shard::Found;
use crate::start::files::{list, remove, set_aside, sign_of_use, unusable};
use crate::start::log_files::Known;
use crate::store::catalog_log::{self, CatalogLog, CatalogOp, Fault};

/// The contents of the files.
pub struct FoundCatalog {
    /// The records, oldest first.
    pub records: Vec<Saved>,
    /// The catalog's log, to go on behind the records.
    pub log: CatalogLog,
    /// Whether the files are of a version without lists of segments, or there are none.
    pub is_unlisted: bool,
    /// Whether the files are to be written anew.
    is_faulty: bool,
    /// Whether the files lack records, which was accepted.
    is_damaged: bool,
}

/// The newest files.
struct Copies {
    generation: u32,
    /// Whether there are older ones.
    has_older: bool,
    /// Two copies, or one of version 2; none: the file is not there, or cannot be read.
    files: Vec<(PathBuf, Option<Vec<u8>>)>,
}

/// Reads the catalog and changes nothing.
///
/// # Errors
/// One sentence: a file cannot be read, is damaged, or was written by a newer version.
pub fn read(data_dir: &Path, accept_loss: bool) -> Result<FoundCatalog, StartError> {
    let Some(copies) = newest(data_dir)? else { return begin(data_dir, accept_loss) };
    let Copies { generation, has_older, ref files } = copies;
    let bytes = |copy: usize| files.get(copy).and_then(|(_, bytes)| bytes.as_deref());
    let read = match bytes(0) {
        Some(only) if files.len() == 1 => catalog_log::read_one(only, generation),
        _ => catalog_log::read([bytes(0), bytes(1)], generation),
    };
    for ((path, bytes), fault) in files.iter().zip(read.faults) {
        report(path, bytes.is_some(), has_older, fault);
    }
    let names: Vec<String> = files.iter().map(|(path, _)| path.display().to_string()).collect();
    let names = names.join(" and ");
    for place in &read.lost {
        let what = format!("{names}: damaged at byte {place}, and the other copy lacks the same part");
        if !accept_loss {
            return Err(StartError(format!("{what}; put the files back from a backup, or start with {ACCEPT} what is damaged")));
        }
        log::error!("{what}: this part is lost");
    }
    let is_headless = read.lost.first() == Some(&0);
    let records = match Saved::read(read.payloads.iter().copied()) {
        Some(records) if !is_headless => records,
        None if read.lost.is_empty() => {
            return Err(StartError(format!("{names}: written by a newer version of RingMQ; start that version")));
        }
        _ => Saved::read_rest(read.payloads.iter().copied(), is_headless),
    };
    let (is_damaged, is_unlisted) = (!read.lost.is_empty(), !read.is_listed);
    let is_torn = read.faults.iter().any(Option::is_some) || files.iter().any(|(_, bytes)| bytes.is_none());
    let log = CatalogLog::new(generation, read.size, read.next_write);
    Ok(FoundCatalog { records, log, is_unlisted, is_faulty: is_damaged || is_torn || is_unlisted, is_damaged })
}

fn report(path: &Path, is_there: bool, has_older: bool, fault: Option<Fault>) {
    let path = path.display();
    match fault {
        None if is_there => {}
        None if has_older => log::info!("{path} was not written before a crash; it is written now"),
        None => log::error!("{path} is missing; it is restored from the other copy"),
        Some(Fault { place, may_be_torn: true }) => {
            log::warn!("{path} ends at byte {place} in a write that a crash tore, or in damage; it is restored")
        }
        Some(Fault { place, .. }) => log::error!("{path} is damaged at byte {place}; it is restored from the other copy"),
    }
}

/// Begins the catalog of a new broker, if no broker has used the directory.
fn begin(data_dir: &Path, accept_loss: bool) -> Result<FoundCatalog, StartError> {
    if let Some(sign) = sign_of_use(data_dir)? {
        let what =
            format!("{}: the catalog (catalog-*.a, catalog-*.b) is missing, although {} is there", data_dir.display(), sign.display());
        if !accept_loss {
            return Err(StartError(format!(
                "{what}; put its files back from a backup, or start a new broker with {ACCEPT} users, queues, bindings and messages"
            )));
        }
        log::error!("{what}: a new broker is created");
    }
    let records = Saved::read(std::iter::empty()).expect("an empty log has no unknown record");
    Ok(FoundCatalog { records, log: CatalogLog::new(0, 0, 0), is_unlisted: true, is_faulty: false, is_damaged: false })
}

impl FoundCatalog {
    /// The facts that the logs need.
    pub fn known(&self) -> Known {
        let homes = Catalog::restored(&self.records).queues().map(|queue| queue.addr.home).collect();
        Known { declared_below: Numbers::of(&self.records).declared_below, is_unlisted: self.is_unlisted, homes }
    }

    /// Leaves the catalog in two whole copies, and deletes older ones.
    ///
    /// # Errors
    /// One sentence: it cannot be written.
    pub fn mend(&mut self, data_dir: &Path) -> Result<(), StartError> {
        let found = self;
        let drafts = list(data_dir, |name| (name.starts_with(NAME) && name.ends_with(".new")).then_some(0))?;
        drafts.iter().try_for_each(|(_, draft)| remove(draft))?;
        let old = files(data_dir)?;
        if found.is_faulty {
            put(data_dir, &found.records, Numbers::of(&found.records), &mut found.log)?;
        }
        for (generation, path) in &old {
            match old.last().is_some_and(|(newest, _)| generation == newest) {
                true if found.is_damaged => set_aside(path)?,
                true if !found.is_faulty => {}
                _ => remove(path)?,
            }
        }
        Ok(())
    }
}

/// Writes the catalog that was found as a new log, in one piece, and deletes the old one.
///
/// # Errors
/// One sentence: it cannot be written.
pub fn rewrite(data_dir: &Path, found: &mut Found) -> Result<(), StartError> {
    let numbers = found.numbers();
    write(data_dir, &found.catalog, numbers, &mut found.catalog_log)
}

/// Writes records as new files, in one piece, and deletes the old ones.
///
/// # Errors
/// One sentence: they cannot be written.
pub fn write(data_dir: &Path, records: &[Saved], numbers: Numbers, log: &mut CatalogLog) -> Result<(), StartError> {
    let old = files(data_dir)?;
    put(data_dir, records, numbers, log)?;
    old.iter().try_for_each(|(_, path)| remove(path))
}

fn put(data_dir: &Path, records: &[Saved], numbers: Numbers, log: &mut CatalogLog) -> Result<(), StartError> {
    let catalog = Catalog::restored(records);
    let numbers = numbers.records().map(|record| record.encode());
    let records: Vec<Vec<u8>> = catalog.snapshot().into_iter().chain(numbers).collect();
    let CatalogOp::Replace(generation, bytes) = log.replace(&records) else { unreachable!("a new log replaces the old one") };
    let write = |path: &PathBuf| write_whole(path, &bytes).map_err(|error| unusable(path, &error));
    catalog_paths(data_dir, generation).iter().try_for_each(write)?;
    log.on_written();
    Ok(())
}

/// All files of the catalog, the newest ones last.
fn files(data_dir: &Path) -> Result<Vec<(u32, PathBuf)>, StartError> {
    let generation = |name: &str| {
        let rest = name.strip_prefix(NAME)?;
        rest.strip_suffix(".a").or(rest.strip_suffix(".b")).unwrap_or(rest).parse().ok()
    };
    list(data_dir, generation)
}

fn newest(data_dir: &Path) -> Result<Option<Copies>, StartError> {
    let all = files(data_dir)?;
    let Some(&(generation, ref last)) = all.last() else { return Ok(None) };
    let is_old = last.extension().is_none();
    let paths = if is_old { vec![last.clone()] } else { catalog_paths(data_dir, generation).into() };
    let files = paths.into_iter().map(|path| match fs::read(&path) {
        Ok(bytes) => Ok((path, Some(bytes))),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok((path, None)),
        Err(error) if error.raw_os_error() == Some(libc::EIO) => {
            log::error!("{} cannot be read: {error}", path.display());
            Ok((path, None))
        }
        Err(error) => Err(unusable(&path, &error)),
    });
    let files = files.collect::<Result<_, _>>()?;
    Ok(Some(Copies { generation, has_older: all[0].0 < generation, files }))
}

const NAME: &str = "catalog-";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::catalog::Change;
    use crate::config::Config;
    use crate::contract::{Administration, VhostSpec};
    use crate::io::scratch::Scratch;
    use crate::start::data_dir::DataDir;
    use crate::start::{definitions, storage};

    /// A broker that was founded, and then got a virtual host.
    fn founded(scratch: &Scratch) -> Config {
        let config = Config { data_dir: scratch.path().to_owned(), shards: 1, ..Config::default() };
        let data_dir = DataDir::open(&config.data_dir).expect("ours");
        let mut found = storage::find(&config).expect("nothing is there");
        definitions::load(&config, &mut found).expect("a new broker");
        data_dir.node_id().expect("a name");
        let vhost = Change::Administration(Administration::PutVhost(VhostSpec { name: "v".into(), ..VhostSpec::default() }));
        found.catalog_log.append(&Saved::Change(vhost).encode());
        let Some(CatalogOp::Append(generation, bytes)) = found.catalog_log.next_op() else { panic!("something is staged") };
        for path in catalog_paths(&config.data_dir, generation) {
            let file = fs::read(&path).expect("both copies are there");
            fs::write(path, [file, bytes.clone()].concat()).expect("ours");
        }
        config
    }

    fn start(config: &Config) -> Result<Vec<String>, StartError> {
        let found = storage::find(config)?;
        Ok(Catalog::restored(&found.catalog).vhosts().map(|vhost| vhost.spec.name.to_string()).collect())
    }

    /// All files of the directory, with what they hold.
    fn contents(config: &Config) -> Vec<(PathBuf, Vec<u8>)> {
        let paths = list(&config.data_dir, |name| name.starts_with(NAME).then_some(0)).expect("ours");
        paths.into_iter().map(|(_, path)| (path.clone(), fs::read(path).expect("a file"))).collect()
    }

    fn refused(config: &Config, words: &[&str]) {
        let before = contents(config);
        let sentence = start(config).expect_err("it must not start").0;
        assert!(words.iter().all(|word| sentence.contains(word)) && sentence.contains("--accept-log-loss"), "{sentence}");
        assert!(contents(config) == before, "something was changed: {sentence}");
    }

    fn damage(path: &Path, how: usize) {
        let mut bytes = fs::read(path).expect("it is there");
        match how {
            0 => return fs::remove_file(path).expect("ours"),
            1 => bytes.clear(),
            2 => bytes.truncate(bytes.len() / 2),
            at => bytes[at - 3] ^= 1,
        }
        fs::write(path, bytes).expect("ours");
    }

    const BOTH: [&str; 2] = ["/", "v"];

    #[test]
    fn one_copy_is_enough_and_the_other_is_written_anew() {
        for (copy, how) in (0..2).flat_map(|copy| [0, 1, 2, 3, 100, 250].map(|how| (copy, how))) {
            let scratch = Scratch::new();
            let config = founded(&scratch);
            damage(&catalog_paths(&config.data_dir, 1)[copy], how);
            assert_eq!(start(&config).expect("the other copy is whole"), BOTH, "copy {copy}, damage {how}");
            let files = contents(&config);
            assert!(files.len() == 2 && files[0].1 == files[1].1, "two copies, and nothing else");
            damage(&files[1 - copy].0, 3);
            assert_eq!(start(&config).expect("this one was written anew"), BOTH);
        }
    }

    #[test]
    fn what_no_copy_has_stops_the_start() {
        let scratch = Scratch::new();
        let config = founded(&scratch);
        catalog_paths(&config.data_dir, 1).iter().for_each(|path| damage(path, 3));
        refused(&config, &["catalog-1.a", "catalog-1.b", "byte 0"]);
        assert!(definitions::export(&config.data_dir).is_err());
        let accepting = Config { accept_log_loss: true, ..config.clone() };
        assert_eq!(start(&accepting).expect("its loss is accepted"), BOTH);
        assert!(list(&config.data_dir, |name| name.ends_with(".damaged").then_some(0)).expect("ours").len() == 2);
        assert_eq!(start(&config).expect("once is enough"), BOTH);
    }

    #[test]
    fn a_broker_whose_catalog_is_gone_is_no_new_one() {
        for sign in ["node-id", "shard-0/0000000007.log"] {
            for how in [0, 1] {
                let scratch = Scratch::new();
                let config = founded(&scratch);
                fs::rename(config.data_dir.join("node-id"), config.data_dir.join(sign)).expect("ours");
                catalog_paths(&config.data_dir, 1).iter().for_each(|path| damage(path, how));
                refused(&config, &[if how == 0 { sign } else { "byte 0" }]);
                let accepting = Config { accept_log_loss: true, ..config };
                assert_eq!(start(&accepting).expect("its loss is accepted"), ["/"]);
            }
        }
    }

    #[test]
    fn a_catalog_of_the_version_before_is_taken_up() {
        let scratch = Scratch::new();
        let config = founded(&scratch);
        let [one, other] = catalog_paths(&config.data_dir, 1);
        fs::remove_file(other).expect("ours");
        fs::rename(one, config.data_dir.join("catalog-1")).expect("ours");
        assert_eq!(start(&config).expect("it is known"), BOTH);
        assert_eq!(contents(&config).len(), 2);
        assert_eq!(start(&config).expect("it was written anew"), BOTH);
    }
}
