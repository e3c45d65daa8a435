//! What the end-to-end tests share: a throw-away world with its own home, in which the built program runs with an
//! environment of its own.

#![allow(dead_code, reason = "each topic uses its part")]

pub(crate) mod advice;
pub(crate) mod archive;
pub(crate) mod http_server;
pub(crate) mod peers;

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs;
use std::io::Write as _;
use std::os::unix::fs::PermissionsExt as _;
use std::os::unix::process::ExitStatusExt as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};

/// A home directory, a working directory and the program's own directories, all gone when this is dropped.
pub(crate) struct World {
    dir: tempfile::TempDir,
    env: BTreeMap<String, String>,
}

/// How one run of the program ended.
#[derive(Debug, Clone)]
pub(crate) struct Ran {
    /// The exit code, or 128 and the signal's number.
    pub(crate) code: i32,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

impl World {
    pub(crate) fn new() -> Self {
        let dir = tempfile::Builder::new().prefix("plugsmith-").tempdir().unwrap();
        for name in ["home", "work"] {
            fs::create_dir(dir.path().join(name)).unwrap();
        }
        let text = |path: &Path| path.to_str().unwrap().to_owned();
        let env = BTreeMap::from([
            ("PATH".to_owned(), std::env::var("PATH").unwrap()),
            ("HOME".to_owned(), text(&dir.path().join("home"))),
            ("LANG".to_owned(), "C.UTF-8".to_owned()),
            ("TMPDIR".to_owned(), text(dir.path())),
        ]);
        Self { dir, env }
    }

    /// Sets an environment variable for all further runs.
    pub(crate) fn set(&mut self, key: &str, value: impl Into<String>) -> &mut Self {
        self.env.insert(key.to_owned(), value.into());
        self
    }

    /// A path in the working directory.
    pub(crate) fn path(&self, relative: &str) -> PathBuf {
        self.dir.path().join("work").join(relative)
    }

    pub(crate) fn root(&self) -> &Path {
        self.dir.path()
    }

    /// The program's plugin directory, where nothing else was set.
    pub(crate) fn plugins(&self) -> PathBuf {
        self.dir.path().join("home/.local/share/tool/plugins")
    }

    /// Writes a file below the working directory, with its directories.
    pub(crate) fn write(&self, relative: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.path(relative);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// Writes a program below the working directory.
    pub(crate) fn script(&self, relative: &str, text: &str) -> PathBuf {
        let path = self.write(relative, format!("#!/bin/sh\n{text}\n"));
        fs::set_permissions(&path, fs::Permissions::from_mode(0o755)).unwrap();
        path
    }

    /// A legacy plugin in `work/<name>` that echoes its name, version and arguments.
    pub(crate) fn plugin(&self, name: &str, version: &str) -> PathBuf {
        self.write(
            &format!("{name}/plugin.yaml"),
            format!("name: {name}\nversion: {version}\nusage: {name} for tests\ncommand: $TOOL_PLUGIN_DIR/run.sh\n"),
        );
        self.script(&format!("{name}/run.sh"), &format!("echo {name} {version} \"$@\""));
        self.path(name)
    }

    /// The command for the built program with this world's environment.
    pub(crate) fn command<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_tool"));
        command.args(args).env_clear().envs(&self.env).current_dir(self.path("")).stdin(Stdio::null());
        command
    }

    /// A line for the shell, with this world's environment.
    pub(crate) fn shell(&self, line: &str) -> Command {
        let mut command = Command::new("sh");
        command.args(["-c", line]).env_clear().envs(&self.env).current_dir(self.path("")).stdin(Stdio::null());
        command
    }

    /// Runs the program to its end.
    #[must_use = "look at the exit code or at the output"]
    pub(crate) fn tool<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>) -> Ran {
        let mut command = self.command(args);
        let ran = finish(&mut command);
        let words: Vec<String> = command.get_args().map(|word| word.to_string_lossy().into_owned()).collect();
        advice::check(&words, &ran.stderr);
        ran
    }

    /// Runs the program with `input` on its standard input.
    pub(crate) fn tool_with_input<S: AsRef<OsStr>>(&self, args: impl IntoIterator<Item = S>, input: &[u8]) -> Ran {
        let mut child =
            self.command(args).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input).unwrap();
        Ran::of(child.wait_with_output().unwrap())
    }

    /// Runs the program with words split at spaces, and expects exit code 0.
    pub(crate) fn ok(&self, words: &str) -> Ran {
        let ran = self.tool(words.split(' '));
        assert_eq!(ran.code, 0, "`tool {words}` failed:\n{}{}", ran.stdout, ran.stderr);
        ran
    }

    /// Runs the program with words split at spaces, and expects exit code `code`.
    pub(crate) fn fails(&self, code: i32, words: &str) -> Ran {
        let ran = self.tool(words.split(' '));
        assert_eq!(ran.code, code, "`tool {words}`:\n{}{}", ran.stdout, ran.stderr);
        ran
    }

    /// Every path below `dir` with its kind, mode and contents, but for the store's lock: what must not change.
    pub(crate) fn snapshot(&self, dir: &Path) -> BTreeMap<String, String> {
        snapshot(dir)
    }
}

/// Runs `git` in `directory`, as somebody with no configuration of their own, and gives what it prints.
pub(crate) fn git(directory: &Path, arguments: &[&str]) -> String {
    let mut command = Command::new("git");
    command.args(["-c", "user.name=A", "-c", "user.email=a@example.com", "-c", "commit.gpgSign=false"]);
    let output = command.args(arguments).current_dir(directory).env("GIT_CONFIG_GLOBAL", "/dev/null").output().unwrap();
    assert!(output.status.success(), "git {arguments:?}");
    String::from_utf8(output.stdout).unwrap().trim_end().to_owned()
}

/// Runs `command` to its end.
pub(crate) fn finish(command: &mut Command) -> Ran {
    Ran::of(command.output().unwrap())
}

impl Ran {
    #[allow(clippy::needless_pass_by_value, reason = "nobody needs the output any more")]
    pub(crate) fn of(output: std::process::Output) -> Self {
        Self {
            code: output.status.code().unwrap_or_else(|| 128 + output.status.signal().unwrap_or(0)),
            stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
            stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
        }
    }

    /// Standard output as JSON.
    pub(crate) fn json(&self) -> serde_json::Value {
        serde_json::from_str(&self.stdout).unwrap_or_else(|e| panic!("{e}:\n{}", self.stdout))
    }
}

/// Every path below `dir` with its kind, mode and contents.
pub(crate) fn snapshot(dir: &Path) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for entry in walkdir::WalkDir::new(dir).min_depth(1).sort_by_file_name() {
        let entry = entry.unwrap();
        let path = entry.path().strip_prefix(dir).unwrap().to_string_lossy().into_owned();
        let metadata = entry.path().symlink_metadata().unwrap();
        let mode = metadata.permissions().mode() & 0o7777;
        let what = if metadata.is_dir() {
            format!("directory {mode:o}")
        } else if metadata.is_symlink() {
            format!("link to {}", fs::read_link(entry.path()).unwrap().display())
        } else {
            let (digest, size) = plugsmith::digest::Sha256Digest::of_file(entry.path()).unwrap();
            format!("file {mode:o} {size} {digest}")
        };
        found.insert(path, what);
    }
    found
}

/// A directory of this repository.
pub(crate) fn repository(relative: &str) -> PathBuf {
    Path::new(concat!(env!("CARGO_MANIFEST_DIR"), "/../..")).join(relative)
}
