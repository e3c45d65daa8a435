//! A getter. The host calls this with four words: a certificate, its key, the authorities to trust (paths of files, or empty) and the
//! URL; a user name and a password are in HELM_PLUGIN_USERNAME and HELM_PLUGIN_PASSWORD. The content goes to standard output. Ending with
//! a code other than 0 means that nothing came.

use std::env;
use std::fs::File;
use std::io;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

fn main() -> ExitCode {
    match get() {
        Ok(()) => ExitCode::SUCCESS,
        Err(what) => {
            eprintln!("{}: {what}", env::var("HELM_PLUGIN_NAME").unwrap_or_else(|_| "getter".to_owned()));
            ExitCode::FAILURE
        }
    }
}

fn get() -> Result<(), String> {
    let args: Vec<String> = env::args_os().skip(1).map(|arg| arg.to_string_lossy().into_owned()).collect();
    let [_certificate, _key, _authorities, url] = args.as_slice() else {
        return Err("expected CERTIFICATE KEY AUTHORITIES URL, as a host calls it".to_owned());
    };
    let (path, root) = (path_of(url)?, root()?);
    let file = root.join(path);
    if !file.is_file() {
        return Err(format!("there is no {path} in {}", root.display()));
    }
    let mut content = File::open(&file).map_err(|error| format!("{}: {error}", file.display()))?;
    io::copy(&mut content, &mut io::stdout().lock()).map_err(|error| error.to_string())?;
    Ok(())
}

/// What is served: the files below `files/` of the plugin, or below the directory that `GETTER_ROOT` names.
fn root() -> Result<PathBuf, String> {
    if let Some(root) = env::var_os("GETTER_ROOT") {
        return Ok(root.into());
    }
    let plugin = env::var_os("HELM_PLUGIN_DIR").ok_or("HELM_PLUGIN_DIR is not set; a host sets it")?;
    Ok(Path::new(&plugin).join("files"))
}

/// The path that `url` names: what follows `scheme://`, without query and fragment.
fn path_of(url: &str) -> Result<&str, String> {
    let rest = url.split_once("://").map(|(_, rest)| rest).ok_or_else(|| format!("{url} is no URL"))?;
    let path = rest.split(['?', '#']).next().unwrap_or_default();
    // Whatever climbs out of the directory, or could be read in two ways, is refused.
    match path.split('/').any(|part| matches!(part, "" | "." | "..")) || path.contains(['%', '\\']) {
        true => Err(format!("{url} names no file")),
        false => Ok(path),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_urls() {
        assert_eq!(path_of("x://hello.txt"), Ok("hello.txt"));
        assert_eq!(path_of("x://a/b.tgz?c#d"), Ok("a/b.tgz"));
        for bad in ["hello.txt", "x://", "x://../a", "x://a//b", "x://a/", "x://%2e%2e/a", "x://a\\b"] {
            assert!(path_of(bad).is_err(), "{bad}");
        }
    }
}
