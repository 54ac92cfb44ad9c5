//! Configuration files: one by one, or all `*.conf` of a directory in the order of their names; and
//! the files that these include or take values from.

use std::ffi::OsStr;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

use crate::config::conf::{self, Include, Line, Setting};
use crate::io::StartError;
use crate::start::files::unusable;
use crate::start::text_file;

/// Reads the settings in these files and directories, in order.
///
/// # Errors
/// One sentence: a file cannot be read, or one of its lines is not a setting.
pub fn read(paths: &[PathBuf]) -> Result<Vec<Setting>, StartError> {
    let mut reader = Reader::default();
    for path in paths {
        files(path, "conf")?.iter().try_for_each(|file| reader.read(file))?;
    }
    Ok(reader.settings)
}

/// The file of this name, which may lack its extension; or, of a directory, all files with the
/// extension, sorted by name.
///
/// # Errors
/// One sentence: the directory cannot be read.
pub fn files(path: &Path, extension: &str) -> Result<Vec<PathBuf>, StartError> {
    if !path.is_dir() {
        let extended = path.with_added_extension(extension);
        return Ok(vec![if !path.exists() && extended.exists() { extended } else { path.to_owned() }]);
    }
    let mut files = list(path)?;
    files.retain(|file| file.extension().is_some_and(|found| found == extension));
    Ok(files)
}

/// The paths in a directory, sorted by name.
fn list(directory: &Path) -> Result<Vec<PathBuf>, StartError> {
    let entries = fs::read_dir(directory).and_then(|entries| entries.map(|entry| Ok(entry?.path())).collect());
    let mut paths: Vec<PathBuf> = entries.map_err(|error| unusable(directory, &error))?;
    paths.sort();
    Ok(paths)
}

/// A reader that follows includes.
#[derive(Default)]
struct Reader {
    settings: Vec<Setting>,
    /// The file that is read, and those that include it.
    open: Vec<PathBuf>,
}

impl Reader {
    fn read(&mut self, file: &Path) -> Result<(), StartError> {
        let text = text_file::read(file)?;
        let lines = conf::parse(&text, &file.display().to_string()).map_err(StartError)?;
        self.open.push(file.canonicalize().map_err(|error| unusable(file, &error))?);
        let beside = file.parent().unwrap_or(Path::new(""));
        for line in lines {
            match line {
                Line::Setting(setting) => self.settings.push(with_value(setting, beside)?),
                Line::Include(include) => self.include(&include, beside)?,
            }
        }
        self.open.pop();
        Ok(())
    }

    fn include(&mut self, include: &Include, beside: &Path) -> Result<(), StartError> {
        for file in included(&beside.join(&include.pattern))? {
            if file.canonicalize().is_ok_and(|path| self.open.contains(&path)) {
                return Err(StartError(format!("{}: {} includes itself", include.place, file.display())));
            }
            self.read(&file)?;
        }
        Ok(())
    }
}

/// The files that match a pattern, sorted by name; as in RabbitMQ there may be none.
fn included(pattern: &Path) -> Result<Vec<PathBuf>, StartError> {
    let (Some(directory), Some(name)) = (pattern.parent(), pattern.file_name()) else { return Ok(Vec::new()) };
    let directory = if directory == Path::new("") { Path::new(".") } else { directory };
    if fs::metadata(directory).is_err_and(|error| error.kind() == ErrorKind::NotFound) {
        return Ok(Vec::new());
    }
    let mut files = list(directory)?;
    files.retain(|file| file.file_name().is_some_and(|found| matches(name, found)));
    Ok(files)
}

/// Whether a name matches a pattern such as `*.conf`.
fn matches(pattern: &OsStr, name: &OsStr) -> bool {
    let parts: Vec<&[u8]> = pattern.as_encoded_bytes().split(|&byte| byte == b'*').collect();
    let [first, middle @ .., last] = &parts[..] else { return pattern == name };
    let rest = name.as_encoded_bytes().strip_prefix(*first).and_then(|rest| rest.strip_suffix(*last));
    let find = |rest: &mut &[u8], part: &&[u8]| {
        let at = (0..=rest.len()).find(|&at| rest[at..].starts_with(part))?;
        *rest = &rest[at + part.len()..];
        Some(())
    };
    rest.is_some_and(|mut rest| middle.iter().all(|part| find(&mut rest, part).is_some()))
}

/// Replaces the value by the content of the file that it names, without the last end of line.
fn with_value(setting: Setting, beside: &Path) -> Result<Setting, StartError> {
    let Some(file) = setting.value_file().map(|name| beside.join(name)) else { return Ok(setting) };
    let text = text_file::read(&file)?;
    let value = text.strip_suffix('\n').map_or(&*text, |line| line.strip_suffix('\r').unwrap_or(line));
    Ok(Setting { value: value.to_owned(), ..setting })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::io::scratch::Scratch;

    /// The values of a file or directory, in order.
    fn values(scratch: &Scratch, name: &str) -> Result<String, String> {
        let settings = read(&[scratch.join(name)]).map_err(|error| error.0)?;
        Ok(settings.into_iter().map(|setting| setting.value).collect())
    }

    #[test]
    fn a_directory_is_read_in_the_order_of_its_names() {
        let scratch = Scratch::new();
        scratch.file("20.conf", "b = 2");
        scratch.file("10.conf", "a = 1\nb = 1");
        scratch.file("10.conf.bak", "nonsense");
        assert_eq!(values(&scratch, ""), Ok("112".into()));
        scratch.file("10.conf", "\u{feff}a = 1 \t\r\n\r\n \tb = 1\t\r\n# end");
        assert_eq!(values(&scratch, ""), Ok("112".into()), "as editors leave it");
        assert_eq!(values(&scratch, "20"), Ok("2".into()), "the extension may be left out");
        assert!(values(&scratch, "30").expect_err("no such file").contains("30 cannot be used"));
        scratch.file("30.conf", "\nnonsense");
        let place = scratch.join("30.conf:2");
        assert_eq!(values(&scratch, ""), Err(format!("{} is not a setting: write KEY = VALUE, or include PATH", place.display())));
    }

    #[test]
    fn files_are_included_where_they_are_named() {
        let scratch = Scratch::new();
        scratch.file("main.conf", "a = 1\ninclude conf.d/*.conf\ninclude missing.conf\ninclude missing/*\na = 2");
        scratch.file("conf.d/20.conf", "a = 5\ninclude sub/x.conf");
        scratch.file("conf.d/10.conf", "a = 4");
        scratch.file("conf.d/10.bak", "nonsense");
        scratch.file("conf.d/sub/x.conf", "a = 6");
        assert_eq!(values(&scratch, "main.conf"), Ok("14562".into()));
        scratch.file("twice.conf", "include conf.d/10.conf\ninclude ./conf.d/10.conf");
        assert_eq!(values(&scratch, "twice.conf"), Ok("44".into()));
        scratch.file("absolute.conf", &format!("include {}", scratch.join("conf.d/1*").display()));
        let refusal = values(&scratch, "absolute.conf").expect_err("a file that is none");
        assert!(refusal.ends_with("10.bak:1 is not a setting: write KEY = VALUE, or include PATH"), "{refusal}");
    }

    #[test]
    fn who_includes_itself_is_told() {
        let scratch = Scratch::new();
        scratch.file("a.conf", "include b.conf");
        scratch.file("b.conf", "x = 1\ninclude ./a.conf");
        let (b, a) = (scratch.join("b.conf:2"), scratch.join("a.conf"));
        let expected = format!("{}: {} includes itself", b.display(), a.display());
        assert_eq!(values(&scratch, "a.conf"), Err(expected));
    }

    #[test]
    fn values_come_from_files() {
        let scratch = Scratch::new();
        scratch.file("conf.d/a.conf", "a = $(<../secret)\nb = $(<two)");
        scratch.file("secret", "p w\n");
        scratch.file("conf.d/two", "\u{feff}x\n\n");
        assert_eq!(values(&scratch, "conf.d/a.conf"), Ok("p wx\n".into()));
        scratch.file("b.conf", "a = $(<none)");
        assert!(values(&scratch, "b.conf").expect_err("no such file").contains("none cannot be used"));
    }

    #[test]
    fn a_star_is_any_letters() {
        let is = |pattern: &str, name: &str| matches(pattern.as_ref(), name.as_ref());
        for (pattern, name) in
            [("*.conf", "a.conf"), ("*.conf", ".conf"), ("*", "x"), ("a*b*c", "abc"), ("a*b*c", "axbxbxc"), ("x", "x"), ("a**", "a")]
        {
            assert!(is(pattern, name), "{pattern} {name}");
        }
        for (pattern, name) in [("*.conf", "a.config"), ("a*a", "a"), ("a*b*c", "acb"), ("a*b*c", "ac"), ("x", "xx"), ("*x", "")] {
            assert!(!is(pattern, name), "{pattern} {name}");
        }
    }
}
