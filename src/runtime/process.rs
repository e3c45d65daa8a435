//! Waiting for a process with a limit, understanding its end, and ending it with all that it started.

use std::io;
use std::process::{Child, ExitStatus};
use std::thread;
use std::time::{Duration, Instant};

use super::RunTarget;
use crate::interrupt;

/// How long to sleep at most between two looks at whether a process has ended.
const LONGEST_NAP: Duration = Duration::from_millis(20);

/// How a process ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum ProcessEnd {
    /// By itself.
    Code(i32),
    /// By a signal.
    Signal(i32),
}

impl ProcessEnd {
    pub(super) fn of(status: ExitStatus) -> Self {
        #[cfg(unix)]
        if let Some(signal) = std::os::unix::process::ExitStatusExt::signal(&status) {
            return Self::Signal(signal);
        }
        Self::Code(status.code().unwrap_or(1))
    }
}

/// Waits for `child` to end; `None` where it did not within `limit`.
pub(super) fn wait(child: &mut Child, limit: Duration) -> io::Result<Option<ProcessEnd>> {
    let start = Instant::now();
    let mut nap = Duration::from_micros(500);
    loop {
        if let Some(status) = child.try_wait()? {
            return Ok(Some(ProcessEnd::of(status)));
        }
        let left = limit.saturating_sub(start.elapsed());
        if left.is_zero() {
            return Ok(None);
        }
        thread::sleep(nap.min(left));
        nap = (nap * 2).min(LONGEST_NAP);
    }
}

/// How long a process may take to end once the user has interrupted.
const GRACE: Duration = Duration::from_secs(1);

/// As [`wait`], but not much longer than until the user interrupts.
pub(super) fn wait_unless_interrupted(child: &mut Child, limit: Duration) -> io::Result<Option<ProcessEnd>> {
    let start = Instant::now();
    while !interrupt::requested() {
        let left = limit.saturating_sub(start.elapsed());
        match wait(child, left.min(LONGEST_NAP))? {
            None if !left.is_zero() => {}
            end => return Ok(end),
        }
    }
    // Ctrl-C reaches it from the terminal, and it ends by itself; a signal that was sent to us alone does not.
    wait(child, GRACE)
}

/// Ends `child` and all that it started. They share our process group, so the group cannot be ended as a whole.
pub(super) fn kill_tree(child: &mut Child, target: RunTarget<'_>) {
    #[cfg(unix)]
    family::end(child.id(), target);
    #[cfg(not(unix))]
    {
        let _ = target;
        let id = child.id().to_string();
        let _ = std::process::Command::new("taskkill").args(["/T", "/F", "/PID", &id]).output();
    }
    let _ = child.kill();
    let _ = child.wait();
}

/// Finding and ending the processes that a program of a plugin started.
#[cfg(unix)]
mod family {
    use rustix::process::{Pid, Signal, getpgrp, getpid, kill_process};

    use super::RunTarget;

    /// A process: its id, its parent's, its group's.
    #[derive(Debug, Clone, Copy, PartialEq, Eq)]
    pub(super) struct Process {
        pub(super) id: u32,
        parent: u32,
        group: u32,
    }

    /// Stops the family of `head` until it no longer grows, then ends it: one that has not been stopped could start another
    /// while we look.
    pub(super) fn end(head: u32, target: RunTarget<'_>) {
        let mut found: Vec<u32> = Vec::new();
        for _ in 0..10 {
            let all = processes();
            let new: Vec<u32> = members(&all, head, target).into_iter().filter(|id| !found.contains(id)).collect();
            if new.is_empty() {
                break;
            }
            new.iter().for_each(|&id| signal(id, Signal::STOP));
            found.extend(new);
        }
        found.iter().for_each(|&id| signal(id, Signal::KILL));
    }

    fn signal(id: u32, signal: Signal) {
        if let Some(pid) = i32::try_from(id).ok().and_then(Pid::from_raw) {
            let _ = kill_process(pid, signal);
        }
    }

    /// `head`, its descendants, and those of its descendants whose parents have gone.
    fn members(all: &[Process], head: u32, target: RunTarget<'_>) -> Vec<u32> {
        let us = getpid().as_raw_nonzero().get().unsigned_abs();
        let group = getpgrp().as_raw_nonzero().get().unsigned_abs();
        let mut members = vec![head];
        for process in all {
            // An orphan of the program is in our group and has the plugin's directory in its environment; nobody else is.
            let orphan =
                process.group == group && process.id != us && process.parent != us && is_of_plugin(process.id, target);
            if orphan && !members.contains(&process.id) {
                members.push(process.id);
            }
        }
        let mut seen = 0;
        while let Some(&parent) = members.get(seen) {
            seen += 1;
            for process in all.iter().filter(|process| process.parent == parent && process.id != us) {
                if !members.contains(&process.id) {
                    members.push(process.id);
                }
            }
        }
        members
    }

    #[cfg(target_os = "linux")]
    fn is_of_plugin(id: u32, target: RunTarget<'_>) -> bool {
        use std::os::unix::ffi::OsStrExt;
        let mut entry = b"HELM_PLUGIN_DIR=".to_vec();
        entry.extend_from_slice(target.dir.as_os_str().as_bytes());
        std::fs::read(format!("/proc/{id}/environ")).is_ok_and(|all| all.split(|&byte| byte == 0).any(|own| own == entry))
    }

    #[cfg(not(target_os = "linux"))]
    fn is_of_plugin(_: u32, _: RunTarget<'_>) -> bool {
        false
    }

    /// All processes that can be seen.
    #[cfg(target_os = "linux")]
    pub(super) fn processes() -> Vec<Process> {
        let Ok(entries) = std::fs::read_dir("/proc") else { return Vec::new() };
        let ids = entries.flatten().filter_map(|entry| entry.file_name().to_str()?.parse().ok());
        ids.filter_map(|id: u32| {
            let stat = std::fs::read(format!("/proc/{id}/stat")).ok()?;
            // The program's name stands in parentheses and may hold any; what follows the last one is numbers.
            let stat = String::from_utf8_lossy(&stat[stat.iter().rposition(|&byte| byte == b')')? + 1..]).into_owned();
            let mut fields = stat.split_whitespace().skip(1).map(str::parse);
            Some(Process { id, parent: fields.next()?.ok()?, group: fields.next()?.ok()? })
        })
        .collect()
    }

    /// All processes that can be seen.
    #[cfg(not(target_os = "linux"))]
    pub(super) fn processes() -> Vec<Process> {
        let Ok(output) = std::process::Command::new("ps").args(["-A", "-o", "pid=,ppid=,pgid="]).output() else {
            return Vec::new();
        };
        let lines = String::from_utf8_lossy(&output.stdout).into_owned();
        lines
            .lines()
            .filter_map(|line| {
                let mut fields = line.split_whitespace().map(str::parse);
                Some(Process { id: fields.next()?.ok()?, parent: fields.next()?.ok()?, group: fields.next()?.ok()? })
            })
            .collect()
    }
}
