//! Definitions and the data directory: definitions in files are added to what a restart finds,
//! before any client connects.
//!
//! ```text
//! storage::find ─▶ Found ─ found a new broker ─ definitions::import of each file ─▶ Found;
//!                                                     the catalog is written anew, in one piece
//! ```
//!
//! A new broker is founded in the same way: its catalog is there before its identity is. A crash
//! leaves the catalog as it was before, or with all files. A hash of the files is stored in the
//! catalog, so that unchanged files can be skipped: then objects that operators have deleted stay
//! deleted.

use std::path::{Path, PathBuf};

use sha2::{Digest, Sha256};

use crate::base::limits;
use crate::broker::catalog::{Catalog, Change, Saved, defaults};
use crate::config::Config;
use crate::config::defaults::Defaults;
use crate::config::source::{ClientTls, Source};
use crate::contract::Administration;
use crate::definitions::{self, Definitions, Homes, Imported};
use crate::io::StartError;
use crate::io::host::process;
use crate::shard::Found;
use crate::start::catalog_files;
use crate::start::conf_files;
use crate::start::data_dir::DataDir;
use crate::start::fetch::fetch;
use crate::start::files;
use crate::start::storage;
use crate::start::text_file;

/// Adds to `found` the founding of a new broker and the definitions in the configured files. A
/// definition that cannot be carried out is left out and logged.
///
/// # Errors
/// One sentence: a file cannot be read or written, or is not what it should be.
pub fn load(config: &Config, found: &mut Found) -> Result<(), StartError> {
    let is_new = found.catalog_log.is_empty();
    defaults::check(&config.defaults).map_err(StartError)?;
    if is_new {
        found.catalog = if config.definitions.is_empty() { founding(config) } else { Vec::new() };
    }
    let changed = load_files(config, found)? || is_new;
    if is_new && Catalog::restored(&found.catalog).users().next().is_none() {
        log::warn!("the definitions name no user: nobody can log in");
    }
    if changed {
        catalog_files::rewrite(&config.data_dir, found)?;
    }
    Ok(())
}

/// The virtual host and the user of a new broker, and the defaults of the virtual host.
fn founding(config: &Config) -> Vec<Saved> {
    let founding = Change::founding(&config.founding, config.defaults.queue_type.as_deref(), process::random());
    let added = Catalog::made_by(&founding).add_defaults(&config.founding.vhost, &config.defaults, process::random);
    founding.into_iter().chain(added).map(Saved::Change).collect()
}

/// Returns all definitions of a data directory, as JSON.
///
/// # Errors
/// One sentence: there is no such directory, it is in use, or it cannot be read.
pub fn export(data_dir: &Path) -> Result<String, StartError> {
    if !data_dir.is_dir() {
        return Err(StartError(format!("{} is not a data directory: give the data directory of a broker", data_dir.display())));
    }
    let _ours = DataDir::open(data_dir)?;
    let catalog = Catalog::restored(&catalog_files::read(data_dir, false)?.records);
    Ok(definitions::export(&catalog).write())
}

/// Adds the definitions of a file, or of the files of a directory, to a data directory; new virtual
/// hosts get these defaults.
///
/// # Errors
/// One sentence: the directory is in use, or a file cannot be read or written, or is not what it
/// should be.
pub fn import(data_dir: PathBuf, file: PathBuf, defaults: Defaults, available: usize) -> Result<(), StartError> {
    let _ours = DataDir::open(&data_dir)?;
    let in_use = files::shard_directories(&data_dir)?.last().map_or(0, |shard| usize::from(shard.0) + 1);
    let shards = in_use.max(available).clamp(1, limits::SHARDS_MAX.into()) as u16;
    let config = Config { data_dir, shards, defaults, definitions: vec![Source::Path(file)], ..Config::default() };
    let mut found = storage::find(&config)?;
    let loaded = load(&config, &mut found);
    if let Some(stop) = &found.stopped {
        storage::write_stop(&config.data_dir, stop)?;
    }
    loaded
}

/// Imports the files. Returns whether they have changed anything.
fn load_files(config: &Config, found: &mut Found) -> Result<bool, StartError> {
    let mut files = Vec::new();
    for source in &config.definitions {
        files.extend(read(source, &config.definitions_tls)?);
    }
    let hash = config.skip_unchanged_definitions.then(|| hash(&files));
    let is_known = |hash: &String| Catalog::restored(&found.catalog).global_parameters().any(|known| known == (HASH, &**hash));
    if hash.as_ref().is_some_and(is_known) {
        log::info!("the definitions are the same as at the last import and are skipped");
        return Ok(false);
    }
    let mut changed = hash.is_some();
    for (file, text) in &files {
        changed |= load_file(config, found, file, text)?;
    }
    let note = hash.map(|hash| Change::Administration(Administration::PutGlobalParameter { name: HASH.into(), value: hash.into() }));
    found.catalog.extend(note.map(Saved::Change));
    Ok(changed)
}

/// The texts of a source, each with its place.
fn read(source: &Source, tls: &ClientTls) -> Result<Vec<(String, String)>, StartError> {
    match source {
        Source::Path(path) => {
            conf_files::files(path, "json")?.into_iter().map(|file| Ok((file.display().to_string(), text_file::read(&file)?))).collect()
        }
        Source::Url(url) => Ok(vec![(source.to_string(), text_file::without_mark(&fetch(url, tls)?).to_owned())]),
    }
}

/// A hash of the files, as the value of a global parameter.
fn hash(files: &[(String, String)]) -> String {
    let mut hash = Sha256::new();
    for (_, text) in files {
        hash.update(text.len().to_le_bytes());
        hash.update(text);
    }
    let hex: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
    format!("\"{hex}\"")
}

/// Imports a file. Returns whether it has changed anything.
fn load_file(config: &Config, found: &mut Found, file: &str, text: &str) -> Result<bool, StartError> {
    let steps = Definitions::read(text).and_then(|definitions| definitions.steps());
    let steps = steps.map_err(|why| StartError(format!("{file}: {why}")))?;
    let mut catalog = Catalog::restored(&found.catalog);
    let homes = Homes { shards: config.shards, next_number: found.numbers().next };
    let Imported { changes, present, left_out } = definitions::import(&mut catalog, steps, homes, &config.defaults, process::random);
    log::info!("{file}: objects new or changed: {}, already there: {present}", changes.len());
    left_out.iter().for_each(|why| log::warn!("{file}: {why}"));
    let changed = !changes.is_empty();
    found.catalog.extend(changes);
    Ok(changed)
}

/// The global parameter with the hash of the last imported definitions. As in RabbitMQ, exports
/// leave out parameters whose names begin like it.
const HASH: &str = "internal_imported_definitions_hash";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Founding;
    use crate::config::defaults::DefaultUser;
    use crate::io::scratch::Scratch;
    use crate::shard::Stop;

    fn data(scratch: &Scratch) -> PathBuf {
        scratch.join("data")
    }

    fn names(data_dir: &Path) -> (Vec<String>, Vec<String>) {
        let defined = Definitions::read(&export(data_dir).expect("a data directory")).expect("we wrote it");
        (defined.users.into_iter().map(|user| user.name).collect(), defined.queues.into_iter().map(|queue| queue.name).collect())
    }

    fn add(scratch: &Scratch, file: PathBuf, available: usize) -> Result<(), StartError> {
        import(data(scratch), file, Defaults::default(), available)
    }

    const USER: &str = r#"{"users": [{"name": "u", "tags": ""}], "vhosts": [{"name": "v"}]}"#;

    #[test]
    fn a_new_broker_has_what_is_defined_and_an_old_one_also_what_it_had() {
        let scratch = Scratch::new();
        scratch.file("d/10.json", USER);
        let queue = |name: &str| format!(r#"{{"queues": [{{"name": "{name}", "vhost": "v"}}]}}"#);
        scratch.file("d/20.json", &queue("a"));
        add(&scratch, scratch.join("d"), 2).expect("imported");
        assert_eq!(names(&data(&scratch)), (vec!["u".into()], vec!["a".into()]));
        scratch.file("d/20.json", &format!("\u{feff}\r\n\t{}\r\n\t", queue("a")));
        add(&scratch, scratch.join("d"), 2).expect("imported as an editor left it");
        add(&scratch, scratch.file("more.json", &queue("b")), 2).expect("imported");
        assert_eq!(names(&data(&scratch)), (vec!["u".into()], vec!["a".into(), "b".into()]));
    }

    #[test]
    fn a_new_broker_is_founded_as_configured() {
        let scratch = Scratch::new();
        let founding = Founding { user: "ann".into(), vhost: "w".into(), ..Founding::default() };
        let config = |founding| Config { data_dir: data(&scratch), founding, ..Config::default() };
        let restart = |config: Config| {
            let _ours = DataDir::open(&config.data_dir).expect("free");
            load(&config, &mut storage::find(&config).expect("readable")).expect("loaded");
        };
        restart(config(founding));
        assert_eq!(names(&data(&scratch)).0, ["ann"]);
        restart(config(Founding { user: "bob".into(), ..Founding::default() }));
        assert_eq!(names(&data(&scratch)).0, ["ann"], "it is no new broker any more");
    }

    #[test]
    fn virtual_hosts_that_are_new_get_their_defaults() {
        let scratch = Scratch::new();
        let users = [("u".to_owned(), DefaultUser::default())].into();
        let defaults = Defaults { users, queue_type: Some("quorum".into()), ..Defaults::default() };
        let config = Config { data_dir: data(&scratch), defaults, ..Config::default() };
        let start = |config: &Config| {
            let _ours = DataDir::open(&config.data_dir).expect("free");
            load(config, &mut storage::find(config).expect("readable")).expect("loaded");
        };
        let permissions = || Definitions::read(&export(&data(&scratch)).expect("a data directory")).expect("we wrote it").permissions;
        start(&config);
        assert_eq!(names(&data(&scratch)).0, ["guest", "u"]);
        let vhosts = |user: &str| permissions().into_iter().filter(|one| one.user == user).map(|one| one.vhost).collect::<Vec<_>>();
        assert_eq!(vhosts("u"), ["/"]);
        let file = scratch.file("v.json", r#"{"vhosts": [{"name": "v"}, {"name": "/"}]}"#);
        start(&Config { definitions: vec![Source::Path(file)], ..config.clone() });
        assert_eq!(vhosts("u"), ["/", "v"]);
        let file = scratch.file("w.json", r#"{"vhosts": [{"name": "w"}, {"name": "/"}]}"#);
        import(data(&scratch), file, config.defaults, 1).expect("imported");
        assert_eq!(vhosts("u"), ["/", "v", "w"]);
        let defined = Definitions::read(&export(&data(&scratch)).expect("a data directory")).expect("we wrote it");
        let types: Vec<_> = defined.vhosts.into_iter().map(|vhost| vhost.metadata.default_queue_type).collect();
        assert_eq!(types, [const { "quorum" }; 3].map(|kind| Some(kind.to_owned())));
    }

    #[test]
    fn unchanged_definitions_are_left_alone_if_wanted() {
        let scratch = Scratch::new();
        scratch.file("d/10.json", USER);
        let start = |skip_unchanged_definitions, definition: &str| {
            scratch.file("d/20.json", definition);
            let config = Config {
                data_dir: data(&scratch),
                definitions: vec![Source::Path(scratch.join("d"))],
                skip_unchanged_definitions,
                ..Config::default()
            };
            let _ours = DataDir::open(&config.data_dir).expect("free");
            let mut found = storage::find(&config).expect("readable");
            load(&config, &mut found).expect("loaded");
            found
        };
        let queue = |name: &str| format!(r#"{{"queues": [{{"name": "{name}", "vhost": "v"}}]}}"#);
        let delete = |mut found: Found| {
            let user = Administration::DeleteUser { name: "u".into() };
            found.catalog.push(Saved::Change(Change::Administration(user)));
            catalog_files::rewrite(&data(&scratch), &mut found).expect("written");
        };
        delete(start(true, &queue("a")));
        start(true, &queue("a"));
        assert_eq!(names(&data(&scratch)), (vec![], vec!["a".into()]), "the user stays deleted");
        delete(start(true, &queue("b")));
        assert_eq!(names(&data(&scratch)), (vec![], vec!["a".into(), "b".into()]));
        start(false, &queue("b"));
        assert_eq!(names(&data(&scratch)).0, ["u"]);
        assert!(!export(&data(&scratch)).expect("a data directory").contains(HASH));
    }

    #[test]
    fn a_file_that_is_wrong_changes_nothing() {
        let scratch = Scratch::new();
        add(&scratch, scratch.file("user.json", USER), 1).expect("imported");
        scratch.file("d/10.json", r#"{"queues": [{"name": "q", "vhost": "v"}]}"#);
        scratch.file("d/20.json", r#"{"queues": [{"name": "p"}]}"#);
        let refusal = add(&scratch, scratch.join("d"), 1).expect_err("the second file");
        assert!(refusal.0.ends_with("20.json: queue 'p': missing field `vhost`"), "{refusal}");
        assert_eq!(names(&data(&scratch)), (vec!["u".into()], vec![]));
    }

    #[test]
    fn an_import_leaves_the_note_of_the_last_stop() {
        let scratch = Scratch::new();
        add(&scratch, scratch.file("user.json", USER), 1).expect("imported");
        let stop = Stop { delivered: vec![(1, 2, 3)], counts: vec![(1, 2, 4, 3)] };
        storage::write_stop(&data(&scratch), &stop).expect("written");
        add(&scratch, scratch.file("user.json", USER), 1).expect("imported");
        let config = Config { data_dir: data(&scratch), ..Config::default() };
        assert_eq!(storage::find(&config).expect("readable").stopped, Some(stop));
    }
}
