//! What git's complaints mean. It has one exit code for all of them and says the reason in words, which `LC_ALL=C` keeps the same; the
//! reason decides what the user is told to do.

use crate::intake::source::http::{TlsCause, passes};
use crate::intake::source::options::FetchOptions;
use crate::text;

/// As many lines of a complaint are shown.
const LINES: usize = 3;

/// As many characters of it are shown.
const SHOWN: usize = 400;

/// Why git failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Cause {
    /// Somebody else owns the repository, in this directory.
    OtherOwner(String),
    Unreachable,
    Failing,
    SshHost,
    SshKey,
    Tls(TlsCause),
    /// The server wants credentials, or other ones.
    Login,
    /// It sends git elsewhere.
    Moved,
    NotThere,
    Other,
}

/// Words of complaints, in lower case, with what they mean; the first that fits holds, since git and ssh go on to say what follows from
/// it: that nothing could be read, that the other side hung up.
const WORDS: [(&[&str], Cause); 6] = [
    (
        &[
            "connection refused",
            "connection timed out",
            "connection closed by",
            "connection reset",
            "connect to server",
            "could not resolve",
            "name or service not known",
            "no route to host",
            "network is unreachable",
            "operation timed out",
            "operation too slow",
            "empty reply from server",
            "early eof",
        ],
        Cause::Unreachable,
    ),
    (&["host key verification failed", "host identification has changed"], Cause::SshHost),
    (&["permission denied (", "too many authentication failures"], Cause::SshKey),
    (&["could not read username", "could not read password", "authentication failed"], Cause::Login),
    (&["unable to update url base from redirection"], Cause::Moved),
    (
        &[
            "not found",
            "does not exist",
            "not appear to be a git repository",
            "not read from remote repository",
            "not exported",
        ],
        Cause::NotThere,
    ),
];

/// Why git failed, by what it said to somebody who asked with `options`.
pub(super) fn cause(complaint: &str, options: &FetchOptions) -> Cause {
    let lower = complaint.to_ascii_lowercase();
    if lower.contains("dubious ownership") {
        let directory =
            complaint.split_once('\'').and_then(|(_, rest)| rest.split_once('\'')).map(|(directory, _)| directory);
        return Cause::OtherOwner(text::plain(directory.unwrap_or("*")).into_owned());
    }
    match status(&lower) {
        Some(401 | 403) => return Cause::Login,
        Some(404 | 410) => return Cause::NotThere,
        Some(300..=399) => return Cause::Moved,
        Some(status) if passes(status) => return Cause::Failing,
        Some(_) | None => {}
    }
    let words = || WORDS.iter().find(|(words, _)| words.iter().any(|words| lower.contains(words)));
    match (words(), TlsCause::of_complaint(&lower, options)) {
        (Some((_, cause @ Cause::Unreachable)), _) => cause.clone(),
        (_, Some(tls)) => Cause::Tls(tls),
        (Some((_, cause)), None) => cause.clone(),
        (None, None) if lower.contains("hung up unexpectedly") => Cause::Unreachable,
        (None, None) => Cause::Other,
    }
}

/// The status of http that a complaint names.
fn status(lower: &str) -> Option<u16> {
    let after = ["returned error: ", "rpc failed; http "].iter().find_map(|words| lower.split_once(words))?.1;
    after.get(..3)?.parse().ok()
}

/// The lines of a complaint that say why, without the advice behind them: safe to show.
pub(super) fn reason(complaint: &str) -> String {
    const ADVICE: [&str; 4] =
        ["Please make sure you have the correct access rights", "and the repository exists.", "hint:", "Cloning into"];
    let lines: Vec<&str> = complaint
        .lines()
        .map(|line| line.trim().trim_start_matches("fatal: "))
        .filter(|line| line.chars().any(char::is_alphanumeric) && !ADVICE.iter().any(|advice| line.starts_with(advice)))
        .take(LINES)
        .collect();
    let joined = text::plain(&lines.join("; ")).trim_end_matches('.').to_owned();
    match joined.char_indices().nth(SHOWN) {
        Some((end, _)) => format!("{}...", &joined[..end]),
        None => joined,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_reason_decides_what_a_complaint_means() {
        let read = "fatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n";
        let url = "fatal: unable to access 'https://h/x/': ";
        let table: [(String, Cause); 23] = [
            (
                format!("fatal: detected dubious ownership in repository at '/srv/a b/.git'\nTo add an exception for this directory, call:\n\n\tgit config --global --add safe.directory '/srv/a b/.git'\n{read}"),
                Cause::OtherOwner("/srv/a b/.git".to_owned()),
            ),
            ("fatal: could not read Username for 'https://h': terminal prompts disabled\n".to_owned(), Cause::Login),
            ("fatal: Authentication failed for 'https://h/x/'\n".to_owned(), Cause::Login),
            ("remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'https://h/x/'\n".to_owned(), Cause::Login),
            (format!("{url}The requested URL returned error: 403\n"), Cause::Login),
            (format!("{url}The requested URL returned error: 404\n"), Cause::NotThere),
            ("remote: Repository not found.\nfatal: repository 'https://h/x/' not found\n".to_owned(), Cause::NotThere),
            ("fatal: remote error: access denied or repository not exported: /x\n".to_owned(), Cause::NotThere),
            (format!("fatal: '/x' does not appear to be a git repository\n{read}"), Cause::NotThere),
            (format!("{url}The requested URL returned error: 503\n"), Cause::Failing),
            (format!("{url}The requested URL returned error: 429\n"), Cause::Failing),
            ("error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502\nfatal: the remote end hung up unexpectedly\n".to_owned(), Cause::Failing),
            (format!("{url}The requested URL returned error: 301\n"), Cause::Moved),
            (format!("{url}Could not resolve host: h\n"), Cause::Unreachable),
            (format!("{url}Failed to connect to h port 443: Connection refused\n"), Cause::Unreachable),
            (format!("{url}Operation too slow. Less than 1 bytes/sec\n"), Cause::Unreachable),
            (format!("ssh: connect to host h port 22: Connection timed out\r\n{read}"), Cause::Unreachable),
            (format!("ssh: Could not resolve hostname h: Name or service not known\r\n{read}"), Cause::Unreachable),
            (format!("git@h: Permission denied (publickey).\r\n{read}"), Cause::SshKey),
            (format!("Host key verification failed.\r\n{read}"), Cause::SshHost),
            (format!("{url}SSL certificate problem: certificate has expired\n"), Cause::Tls(TlsCause::Expired)),
            ("fatal: the remote end hung up unexpectedly\n".to_owned(), Cause::Unreachable),
            ("error: something new\n".to_owned(), Cause::Other),
        ];
        for (complaint, want) in table {
            assert_eq!(cause(&complaint, &FetchOptions::default()), want, "{complaint}");
        }
    }

    #[test]
    fn the_reason_is_shown_and_not_the_tail_of_the_advice() {
        let complaint = "git@h: Permission denied (publickey).\r\nfatal: Could not read from remote repository.\n\nPlease make sure you have the correct access rights\nand the repository exists.\n";
        assert_eq!(reason(complaint), "git@h: Permission denied (publickey).; Could not read from remote repository");
        assert_eq!(reason("fatal: a\u{1b}[31m\n"), "a\\u{1b}[31m");
        assert_eq!(reason(""), "");
        assert!(reason(&"x".repeat(5000)).len() < 500);
    }
}
