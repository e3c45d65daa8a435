//! Everything that is wrong with a plugin's directory, found in one go: what keeps it from loading, from being packaged and
//! from running, and what its author hardly means.
//!
//! A package is linted by unpacking it first; that and showing the report are for others to do.

mod starting;

use std::fs;
use std::io;
use std::path::{Component, Path, PathBuf};

use ignore::gitignore::{Gitignore, GitignoreBuilder};
use serde::Serialize;
use walkdir::WalkDir;

use crate::Limits;
use crate::executable::Format;
use crate::files;
use crate::text::Sanitized;
use crate::yaml::{self, Node, Position};

use super::platform::{Platform, select};
use super::problem::{Problem, Severity};
use super::programs::in_plugin_dir;
use super::{ApiVersion, Config, MODULE_NAME, Metadata, PlatformCommand, RuntimeConfig, Subprocess, completion, sarif};

/// The platforms that most users of a plugin have.
const COMMON: [(&str, &str); 5] =
    [("linux", "amd64"), ("linux", "arm64"), ("darwin", "amd64"), ("darwin", "arm64"), ("windows", "amd64")];

/// The events whose hooks are run.
const EVENTS: [&str; 3] = ["install", "update", "delete"];

/// How many problems with files are listed: a tree with more has one cause.
const MAX_FILE_PROBLEMS: usize = 100;

/// What is wrong with a plugin. Serialises to what `plugin lint -o json` prints.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct LintReport {
    /// What was looked at, as it was asked for.
    pub path: String,
    /// Whether there are no errors; there may be warnings.
    pub ok: bool,
    /// What is wrong: the manifest's problems first, in the order of the file.
    pub problems: Vec<Problem>,
}

impl LintReport {
    /// The report in the Static Analysis Results Interchange Format 2.1.0, which code hosts show beside the lines.
    pub fn to_sarif(&self) -> serde_json::Value {
        sarif::report(self)
    }
}

/// Looks at the plugin at `path`: its directory, or the `plugin.yaml` in it.
pub fn lint(path: &Path, limits: &Limits) -> LintReport {
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    let dir = if is_file { path.parent().unwrap_or(Path::new("")) } else { path };
    let dir = if dir.as_os_str().is_empty() { Path::new(".") } else { dir };
    let mut linter = Linter { dir, limits, problems: Vec::new() };
    linter.manifest();
    linter.completion();
    linter.files();
    let problems = linter.problems;
    let ok = problems.iter().all(|problem| problem.severity != Severity::Error);
    LintReport { path: path.to_string_lossy().into_owned(), ok, problems }
}

/// Looks at the programs of the plugin in `dir` alone: what can never start, whatever the machine.
pub fn lint_programs(dir: &Path, limits: &Limits) -> Vec<Problem> {
    let mut linter = Linter { dir, limits, problems: Vec::new() };
    linter.manifest();
    let about_programs = |problem: &Problem| problem.code.starts_with("program-") || problem.code.starts_with("script-");
    linter.problems.retain(|problem| problem.severity == Severity::Error && about_programs(problem));
    linter.problems
}

/// What a command is for.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Role {
    Command,
    Hook,
    Getter,
}

/// A command and where it stands.
struct Site<'a> {
    at: Position,
    role: Role,
    command: &'a PlatformCommand,
}

struct Linter<'a> {
    dir: &'a Path,
    limits: &'a Limits,
    problems: Vec<Problem>,
}

impl Linter<'_> {
    fn add(
        &mut self,
        severity: Severity,
        at: Option<Position>,
        code: &'static str,
        message: impl Into<String>,
        help: impl Into<String>,
    ) {
        let file = super::FILE_NAME.to_owned();
        self.problems.push(Problem { severity, code, message: message.into(), file, at, help: help.into() });
    }

    fn add_file(&mut self, severity: Severity, file: &Path, code: &'static str, message: String, help: &str) {
        let file = file.to_string_lossy().replace('\\', "/");
        self.problems.push(Problem { severity, code, message, file, at: None, help: help.to_owned() });
    }

    fn manifest(&mut self) {
        let Some(root) = self.document(super::FILE_NAME, true) else { return };
        let (metadata, problems) = super::read(&root);
        self.problems.extend(problems);
        let Some(metadata) = metadata else { return };
        if metadata.api_version == ApiVersion::Legacy && metadata.version.is_none() && !self.has("version-invalid") {
            let message = "no `version`: the plugin cannot be packaged or updated";
            self.add(Severity::Warning, Some(root.at), "version-missing", message, "add one, such as `version: 0.1.0`");
        }
        match &metadata.runtime {
            RuntimeConfig::Subprocess(subprocess) => self.subprocess(&root, &metadata, subprocess),
            RuntimeConfig::Extism(_) => self.module(&root),
        }
        self.problems.sort_by_key(|problem| problem.at);
    }

    fn has(&self, code: &str) -> bool {
        self.problems.iter().any(|problem| problem.code == code)
    }

    /// The document in `name`; where it cannot be read that is a problem.
    fn document(&mut self, name: &'static str, required: bool) -> Option<Node> {
        let path = self.dir.join(name);
        let (at, code, message, help) = match files::read_bounded(&path, self.limits.manifest_bytes) {
            Ok(Some(bytes)) => match yaml::parse(&bytes) {
                Ok(root) => return Some(root),
                Err(error) => (Some(error.at()), "yaml", error.reason(), "mend the YAML at this place".to_owned()),
            },
            Ok(None) => {
                let limit = self.limits.manifest_bytes;
                (None, "too-large", format!("{name} has more than {limit} bytes"), "move long texts elsewhere".to_owned())
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound && !required => return None,
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let help = "every plugin's directory has one: check the path, or write it".to_owned();
                (None, "manifest-missing", format!("there is no {name}"), help)
            }
            Err(error) => (None, "unreadable", format!("cannot read {name}: {error}"), "check its permissions".to_owned()),
        };
        self.problems.push(Problem { severity: Severity::Error, code, message, file: name.to_owned(), at, help });
        None
    }

    fn subprocess(&mut self, root: &Node, metadata: &Metadata, subprocess: &Subprocess) {
        let base = match metadata.api_version {
            ApiVersion::Legacy => Some(root),
            ApiVersion::V1 => root.get("runtimeConfig"),
        };
        let sites = sites(base, subprocess);
        for site in &sites {
            self.words(site);
            self.program(site, subprocess.hooks.contains_key("install"));
        }
        self.platforms(root, base, metadata, subprocess);
        self.hooks(base, subprocess);
    }

    /// A plugin that has nothing to run, or nothing for some of its users.
    fn platforms(&mut self, root: &Node, base: Option<&Node>, metadata: &Metadata, subprocess: &Subprocess) {
        let main = &subprocess.platform_commands;
        let getter = matches!(metadata.config, Config::Getter { .. });
        let test = matches!(metadata.config, Config::Test);
        if main.is_empty() && (!getter || subprocess.protocol_commands.is_empty()) && !test {
            let help = "add `platformCommand` with at least one `command`";
            self.add(Severity::Error, Some(root.at), "command-missing", "there is no command to run", help);
        }
        let lists = std::iter::once((main, "the command"))
            .chain(subprocess.protocol_commands.iter().map(|command| (&command.platform_commands, "a protocol command")));
        let at = base.and_then(|base| base.get("platformCommand").or(base.get("protocolCommands"))).unwrap_or(root).at;
        for (commands, what) in lists.filter(|(commands, _)| !commands.is_empty()) {
            let missing: Vec<_> = COMMON
                .iter()
                .filter(|(os, arch)| select(commands, &Platform::new(os, arch)).is_none())
                .map(|(os, arch)| format!("{os}/{arch}"))
                .collect();
            if !missing.is_empty() {
                let message = format!("{what} has no entry for {}", missing.join(", "));
                let help = "add entries for them, or one without `os` and `arch` for all others";
                self.add(Severity::Warning, Some(at), "platform-missing", message, help);
            }
        }
    }

    /// Events that never come, and shell lines for a system without a shell.
    fn hooks(&mut self, base: Option<&Node>, subprocess: &Subprocess) {
        let windows = subprocess.platform_commands.iter().any(|command| command.os.eq_ignore_ascii_case("windows"));
        for key in ["hooks", "platformHooks"] {
            for entry in base.and_then(|base| base.get(key)).and_then(Node::as_mapping).unwrap_or_default() {
                if !EVENTS.contains(&&*entry.key) {
                    let help = match &*entry.key {
                        "upgrade" => "write `update`".to_owned(),
                        "uninstall" | "remove" => "write `delete`".to_owned(),
                        _ => format!("the events are {}", EVENTS.join(", ")),
                    };
                    let message = format!("the hook `{}` is never run: there is no such event", Sanitized(&entry.key));
                    self.add(Severity::Warning, Some(entry.at), "hook-event", message, help);
                }
                if key == "hooks" && windows {
                    let message = format!("the hook `{}` needs `sh`, which Windows lacks", Sanitized(&entry.key));
                    let help = "write `platformHooks`, with an entry for `os: windows`";
                    self.add(Severity::Warning, Some(entry.at), "hook-shell", message, help);
                }
            }
        }
    }

    /// What looks like a shell's syntax in a command, which no shell reads.
    fn words(&mut self, site: &Site<'_>) {
        let command = &site.command.command;
        let at = Some(site.at);
        if command.is_empty() || command.starts_with(' ') {
            let (message, help) = ("the command begins with an empty word and cannot be run", "begin it with the program");
            // Legacy downloaders without a command have been reported already.
            if !(site.role == Role::Getter && command.is_empty() && self.has("downloader-command")) {
                self.add(Severity::Error, at, "command-empty", message, help);
            }
            return;
        }
        if command.contains("  ") || command.ends_with(' ') {
            let help = "write one space between words; arguments with spaces belong into `args`";
            self.add(
                Severity::Warning,
                at,
                "command-spaces",
                "the command has empty words, which become empty arguments",
                help,
            );
        }
        let operator = |word: &str| matches!(word, "|" | "||" | "&&" | "&" | ";" | ">" | ">>" | "<" | "2>&1");
        if command.contains(['"', '\'', '`']) || command.contains("$(") || command.split(' ').any(operator) {
            let help = "write `command: sh` with `args: [-c, \"...\"]`, or put the words into `args`";
            let message =
                "the command has shell syntax, but no shell reads it: quotes and operators are passed on as they are";
            self.add(Severity::Warning, at, "command-shell", message, help);
        }
        // A shell reads the script of `sh -c` itself.
        let script = site.command.args.iter().any(|arg| arg == "-c");
        let args = site.command.args.iter().filter(|_| !script);
        if let Some(name) = std::iter::once(command).chain(args).find_map(|text| odd_variable(text)) {
            let message =
                format!("`${{{}}}` is no variable: only a shell knows such a form, and here it is empty", Sanitized(name));
            self.add(Severity::Warning, at, "variable-form", message, "write `$NAME` or `${NAME}`");
        }
    }

    /// Whether the program is there and can be run, as far as the directory tells.
    fn program(&mut self, site: &Site<'_>, makes_files: bool) {
        let word = site.command.command.split(' ').next().unwrap_or_default();
        let windows = site.command.os.eq_ignore_ascii_case("windows");
        let word = if windows { word.replace('\\', "/") } else { word.to_owned() };
        let at = Some(site.at);
        let relative = match (in_plugin_dir(&word), site.role) {
            (Some(rest), _) => rest.to_owned(),
            (None, Role::Getter) if !word.starts_with('/') => word,
            (None, _) => {
                if word.contains('/') && !word.starts_with(['/', '$']) {
                    let message =
                        format!("the program `{}` is looked for in the user's working directory", Sanitized(&word));
                    let help = format!("write `$HELM_PLUGIN_DIR/{}`", Sanitized(word.trim_start_matches("./")));
                    self.add(Severity::Warning, at, "program-relative", message, help);
                }
                return;
            }
        };
        // What a variable stands for, nobody knows here.
        if relative.contains('$') || relative.is_empty() {
            return;
        }
        let shown = Sanitized(&relative).to_string();
        if leaves(Path::new(&relative)) {
            let message = format!("the program `{shown}` lies outside the plugin's directory");
            self.add(Severity::Error, at, "program-outside", message, "put it into the plugin's directory");
            return;
        }
        let severity = if makes_files { Severity::Warning } else { Severity::Error };
        let mut path = self.dir.join(&relative);
        if windows && !path.is_file() {
            path.as_mut_os_string().push(".exe");
        }
        if !path.is_file() {
            let message = format!("the program `{shown}` is not in the plugin's directory");
            let help = match makes_files {
                true => "add it, or make sure that the install hook makes it",
                false => "add it, or mend the path",
            };
            self.add(severity, at, "program-missing", message, help);
            return;
        }
        if !windows && !executable(&path) {
            let message = format!("the program `{shown}` is not executable");
            self.add(severity, at, "program-not-executable", message, format!("run `chmod +x {shown}`"));
        }
        let name = path.strip_prefix(self.dir).unwrap_or(&path).to_string_lossy().into_owned();
        self.can_start(severity, &name, site.command);
    }

    fn module(&mut self, root: &Node) {
        let help = "build the module and put it there";
        match files::open_regular(&self.dir.join(MODULE_NAME)).and_then(|(mut file, _)| Format::of(&mut file)) {
            Ok(Format::Module) => {}
            Ok(Format::Component) => {
                let message = format!("{MODULE_NAME} is a component of WebAssembly, and the runtime takes a core module");
                let help = "build it for `wasm32-wasip1`, or take the core module before it is made a component";
                self.add_file(Severity::Error, Path::new(MODULE_NAME), "module-component", message, help);
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => {
                let message = format!("wasm binary missing for extism/v1 plugin: there is no {MODULE_NAME}");
                self.add(Severity::Error, Some(root.at), "module-missing", message, help);
            }
            _ => {
                let message = format!("{MODULE_NAME} is no WebAssembly module");
                self.add_file(Severity::Error, Path::new(MODULE_NAME), "module-invalid", message, help);
            }
        }
    }

    fn completion(&mut self) {
        if let Some(root) = self.document(completion::FILE_NAME, false) {
            self.problems.extend(completion::read(&root).1);
        }
        let path = self.dir.join(completion::PROGRAM_NAME);
        if path.is_file() && !executable(&path) {
            let message = format!("{} is not executable, so it completes nothing", completion::PROGRAM_NAME);
            let help = "run `chmod +x plugin.complete`";
            let file = Path::new(completion::PROGRAM_NAME);
            self.add_file(Severity::Warning, file, "completion-not-executable", message, help);
        }
        if path.is_file() {
            self.can_start(Severity::Warning, completion::PROGRAM_NAME, &PlatformCommand::default());
        }
    }

    /// Links, special files and modes in the tree, but for what is never packaged.
    fn files(&mut self) {
        let Ok(root) = self.dir.canonicalize() else { return };
        let ignored = ignore_rules(&root);
        let before = self.problems.len();
        let skip = |entry: &walkdir::DirEntry| {
            let path = entry.path().strip_prefix(&root).unwrap_or(entry.path());
            let ours = path == Path::new("") || path == Path::new(super::FILE_NAME);
            path == Path::new(".git") || (!ours && ignored.matched(path, entry.file_type().is_dir()).is_ignore())
        };
        let walk = WalkDir::new(&root).sort_by_file_name().into_iter().filter_entry(|entry| !skip(entry));
        let mut count = 0;
        for entry in walk {
            count += 1;
            if count > self.limits.entries || self.problems.len() - before >= MAX_FILE_PROBLEMS {
                let message = format!("looked at {count} files and no more");
                self.add(Severity::Warning, None, "too-many-files", message, "mend what is listed and look again");
                return;
            }
            match entry {
                Ok(entry) => self.file(&root, &entry),
                Err(error) => {
                    let path = error.path().unwrap_or(&root);
                    let file = path.strip_prefix(&root).unwrap_or(path).to_owned();
                    let message = format!("cannot be looked at: {}", Sanitized(&error.to_string()));
                    self.add_file(Severity::Error, &file, "unreadable", message, "check its permissions");
                }
            }
        }
    }

    fn file(&mut self, root: &Path, entry: &walkdir::DirEntry) {
        let file = match entry.path().strip_prefix(root) {
            Ok(file) if file.as_os_str().is_empty() => Path::new("."),
            Ok(file) => file,
            Err(_) => return,
        };
        let kind = entry.file_type();
        if kind.is_symlink() {
            match entry.path().canonicalize() {
                Ok(target) if target.starts_with(root) => {}
                Ok(_) => {
                    let message = "the symbolic link leaves the plugin's directory, so it cannot be packaged".to_owned();
                    self.add_file(
                        Severity::Error,
                        file,
                        "link-outside",
                        message,
                        "copy the file into the plugin, or ignore it",
                    );
                }
                Err(_) => {
                    let message = "the symbolic link leads nowhere, so it cannot be packaged".to_owned();
                    self.add_file(Severity::Error, file, "link-broken", message, "mend or remove it");
                }
            }
            return;
        }
        if !kind.is_file() && !kind.is_dir() {
            let message = "is no file and no directory, so it cannot be packaged".to_owned();
            self.add_file(Severity::Error, file, "special-file", message, "remove it, or ignore it in .helmignore");
            return;
        }
        #[cfg(unix)]
        if let Ok(metadata) = entry.metadata() {
            let mode = std::os::unix::fs::PermissionsExt::mode(&metadata.permissions());
            let who = match mode & 0o022 {
                0 => return,
                0o020 => "its group",
                _ => "everyone",
            };
            let message = format!("{who} can write to it, and so change what is run");
            self.add_file(Severity::Warning, file, "writable", message, "run `chmod go-w` on it");
        }
    }
}

/// Every command of the plugin with its place.
fn sites<'a>(base: Option<&Node>, subprocess: &'a Subprocess) -> Vec<Site<'a>> {
    let Some(base) = base else { return Vec::new() };
    let mut found = Vec::new();
    let mut add = |node: &Node, role, commands: &'a [PlatformCommand]| {
        // The same items that the reader kept.
        let items = node.as_sequence().unwrap_or(std::slice::from_ref(node)).iter().filter(|item| !item.is_null());
        for (item, command) in items.zip(commands) {
            found.push(Site { at: item.get("command").unwrap_or(item).at, role, command });
        }
    };
    if let Some(node) = base.get("platformCommand").filter(|node| node.as_sequence().is_some_and(|items| !items.is_empty()))
    {
        add(node, Role::Command, &subprocess.platform_commands);
    } else if let Some(node) = base.get("command") {
        add(node, Role::Command, &subprocess.platform_commands);
    }
    for key in ["hooks", "platformHooks"] {
        for entry in base.get(key).and_then(Node::as_mapping).unwrap_or_default() {
            if let Some(commands) = subprocess.hooks.get(&entry.key) {
                add(&entry.value, Role::Hook, commands);
            }
        }
    }
    for key in ["downloaders", "protocolCommands"] {
        let items = base.get(key).and_then(Node::as_sequence).unwrap_or_default().iter().filter(|item| !item.is_null());
        for (item, command) in items.zip(&subprocess.protocol_commands) {
            let node = item.get("platformCommand").or_else(|| item.get("command")).unwrap_or(item);
            add(node, Role::Getter, &command.platform_commands);
        }
    }
    found
}

/// The first `${...}` in `text` that names no variable.
fn odd_variable(text: &str) -> Option<&str> {
    text.split("${").skip(1).find_map(|rest| {
        let (name, _) = rest.split_once('}')?;
        let odd = name.is_empty() || !name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_');
        odd.then_some(name)
    })
}

/// Whether a relative path climbs out of where it begins.
fn leaves(path: &Path) -> bool {
    let mut depth = 0_i32;
    for part in path.components() {
        match part {
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => depth += 1,
            _ => {}
        }
        if depth < 0 {
            return true;
        }
    }
    false
}

fn ignore_rules(root: &Path) -> Gitignore {
    let mut builder = GitignoreBuilder::new(root);
    for name in [".helmignore", ".pluginignore"] {
        let path: PathBuf = root.join(name);
        if path.is_file() {
            // A line that is no pattern is the packager's to complain about.
            let _ = builder.add(path);
        }
    }
    builder.build().unwrap_or_else(|_| Gitignore::empty())
}

#[cfg(unix)]
fn executable(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|metadata| std::os::unix::fs::PermissionsExt::mode(&metadata.permissions()) & 0o111 != 0)
}

#[cfg(not(unix))]
fn executable(_: &Path) -> bool {
    true
}

#[cfg(test)]
mod tests;
