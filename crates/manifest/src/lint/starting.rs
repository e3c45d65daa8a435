//! Programs that are there and can never start: text that the system does not take for a script, and programs for other machines.

use std::fs::File;
use std::path::Path;

use super::{Linter, Problem, Severity};
use crate::PlatformCommand;
use crate::executable::{Format, Machine, Script};
use crate::programs::is_for_windows;
use crate::yaml::Position;

/// What keeps a program from starting.
struct StartFinding {
    code: &'static str,
    column: usize,
    message: String,
    help: &'static str,
}

impl Linter<'_> {
    /// Whether the program in the plugin's file `name` could be started by `command`.
    pub(super) fn can_start(&mut self, severity: Severity, name: &str, command: &PlatformCommand) {
        let path = self.dir.join(name);
        // One that cannot be read is told of with the other files.
        let Some(format) = File::open(&path).and_then(|mut file| Format::of(&mut file)).ok() else { return };
        let found = if is_for_windows(command) { windows_fault(&format) } else { fault(&format) };
        let Some(StartFinding { code, column, message, help }) = found.or_else(|| foreign(&format, command)) else { return };
        let at = Position { line: 1, column: u32::try_from(column).unwrap_or(u32::MAX) };
        let file = Path::new(name).to_string_lossy().replace('\\', "/");
        let problem = Problem { severity, code, message, file, at: Some(at), help: help.to_owned() };
        // Several commands may name one program.
        if !self.problems.contains(&problem) {
            self.problems.push(problem);
        }
    }
}

fn fault(format: &Format) -> Option<StartFinding> {
    let is = |code, help| {
        Some(StartFinding { code, column: 1, message: format!("it is {}, and never starts", format.what()), help })
    };
    match format {
        Format::Empty => is("program-empty", "put the program there"),
        Format::Text => is("script-no-interpreter", "begin it with a line such as `#!/bin/sh`"),
        Format::Marked => is("script-byte-order-mark", "save it as UTF-8 without a byte order mark"),
        Format::Utf16 => is("script-utf16", "save it as UTF-8"),
        Format::Script(script) => script_fault(script),
        Format::Module | Format::Component => is("program-format", "a plugin of WebAssembly has `runtime: extism/v1`"),
        Format::Zip | Format::JavaClass => {
            is("program-format", "start it with `java`, in a script or as the command's first word")
        }
        Format::Object | Format::Unknown => is("program-format", "put a program or a script there"),
        Format::Program(_) | Format::Universal => None,
    }
}

fn script_fault(script: &Script) -> Option<StartFinding> {
    // Behind `#!`.
    let column = |before: &str| 3 + before.chars().count();
    let line = format!("{} {}", script.interpreter, script.argument);
    if script.has_carriage_return() {
        let before = line.split('\r').next().unwrap_or_default().trim_end();
        let message = "its first line ends in a carriage return, so its interpreter is never found".to_owned();
        let help = "save it with Unix line ends (`\\n`)";
        return Some(StartFinding { code: "script-carriage-return", column: column(before), message, help });
    }
    if script.interpreter.is_empty() {
        let message = "its first line names no interpreter".to_owned();
        return Some(StartFinding {
            code: "script-no-interpreter",
            column: 3,
            message,
            help: "begin it with a line such as `#!/bin/sh`",
        });
    }
    if script.several_words_for_env() {
        let message = format!(
            "Linux gives `env` one word: it looks for a program called `{}`",
            crate::text::Sanitized(&script.argument)
        );
        let column = column(&script.interpreter) + 1;
        return Some(StartFinding {
            code: "script-env-words",
            column,
            message,
            help: "write `#!/usr/bin/env -S` before several words",
        });
    }
    None
}

/// Windows tells scripts by their names.
fn windows_fault(format: &Format) -> Option<StartFinding> {
    match format {
        Format::Empty | Format::Module | Format::Component | Format::Object => fault(format),
        Format::Script(_)
        | Format::Text
        | Format::Marked
        | Format::Utf16
        | Format::Program(_)
        | Format::Universal
        | Format::Zip
        | Format::JavaClass
        | Format::Unknown => None,
    }
}

/// A program for another machine than the entry is for.
fn foreign(format: &Format, command: &PlatformCommand) -> Option<StartFinding> {
    let machine = format.machine()?;
    if serves(machine, &command.os.to_lowercase(), &command.arch.to_lowercase()) {
        return None;
    }
    let entry = match command.arch.is_empty() {
        true => command.os.clone(),
        false => format!("{}/{}", command.os, command.arch),
    };
    let message = format!("it is {}, and the entry is for {}", format.what(), crate::text::Sanitized(&entry));
    Some(StartFinding {
        code: "program-platform",
        column: 1,
        message,
        help: "put a program for that platform there, or mend `os` and `arch`",
    })
}

/// Whether a program for `machine` runs on this system and architecture; an empty one is any.
fn serves(machine: Machine, os: &str, arch: &str) -> bool {
    // Systems of one family mark their programs alike, so only the families are told apart.
    let family = |os: &str| match os {
        "windows" => 1,
        "darwin" | "ios" => 2,
        _ => 3,
    };
    let arch = machine.arch.is_empty()
        || arch.is_empty()
        || arch == machine.arch
        // What 64-bit systems run besides.
        || matches!((arch, machine.arch), ("amd64", "386") | ("arm64", "arm"))
        || (os == "darwin" && (arch, machine.arch) == ("arm64", "amd64"));
    (os.is_empty() || family(os) == family(machine.os)) && arch
}
