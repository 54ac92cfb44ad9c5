//! Reads configuration files: one by one, or all `*.conf` of a directory in the order of their names.

use std::fs;
use std::path::{Path, PathBuf};

use super::StartError;
use super::storage::unusable;
use crate::config::conf::{self, Setting};

/// The settings in these files and directories, in order.
///
/// # Errors
/// One sentence: a file cannot be read, or one of its lines is no setting.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Setting>, StartError> {
    let mut settings = Vec::new();
    for path in paths {
        for file in files(path, "conf")? {
            let text = fs::read_to_string(&file).map_err(|error| unusable(&file, &error))?;
            settings.extend(conf::parse(&text, &file.display().to_string()).map_err(StartError)?);
        }
    }
    Ok(settings)
}

/// The file of this name, which may lack its extension; or of a directory, all files with the extension, sorted by name.
///
/// # Errors
/// One sentence: the directory cannot be read.
pub fn files(path: &Path, extension: &str) -> Result<Vec<PathBuf>, StartError> {
    if !path.is_dir() {
        let extended = path.with_added_extension(extension);
        return Ok(vec![if !path.exists() && extended.exists() { extended } else { path.to_owned() }]);
    }
    let list = || fs::read_dir(path)?.map(|entry| Ok(entry?.path())).collect::<std::io::Result<Vec<_>>>();
    let mut files = list().map_err(|error| unusable(path, &error))?;
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::process;

    #[test]
    fn a_directory_is_read_in_the_order_of_its_names() {
        let scratch = std::env::temp_dir().join(format!("ringmq-conf-{:016x}", u64::from_ne_bytes(process::random())));
        let write = |name: &str, text: &str| fs::write(scratch.join(name), text).expect("a directory of ours");
        fs::create_dir(&scratch).expect("a fresh name");
        write("20.conf", "b = 2");
        write("10.conf", "a = 1\nb = 1");
        write("10.conf.bak", "nonsense");
        let read_values = |path: &Path| read(&[path.to_owned()]).map(|settings| settings.into_iter().map(|s| s.value).collect::<String>());
        assert_eq!(read_values(&scratch), Ok("112".into()));
        assert_eq!(read_values(&scratch.join("20")), Ok("2".into()), "the extension may be left out");
        assert!(read_values(&scratch.join("30")).expect_err("no such file").0.contains("30 cannot be used"));
        write("30.conf", "\nnonsense");
        let place = scratch.join("30.conf:2");
        assert_eq!(read_values(&scratch), Err(StartError(format!("{} is no setting: write KEY = VALUE", place.display()))));
        fs::remove_dir_all(&scratch).expect("ours");
    }
}
