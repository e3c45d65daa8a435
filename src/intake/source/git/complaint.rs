//! What git's complaints mean. It has one exit code for all of them and says the reason in words, which `LC_ALL=C` keeps the same; the
//! reason decides what the user is told to do.

use crate::intake::source::http::{TlsCause, is_transient};
use crate::intake::source::options::FetchOptions;
use crate::text;

/// As many lines of a complaint are shown.
const LINES: usize = 3;

/// As many characters of it are shown.
const SHOWN: usize = 400;

/// Why git failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum GitFailure {
    /// Somebody else owns the repository, in this directory.
    ForeignOwner(String),
    Unreachable,
    ServerError,
    SshHost,
    SshKey,
    Tls(TlsCause),
    /// The server wants credentials, or other ones.
    Login,
    /// It sends git elsewhere.
    Moved,
    NotFound,
    Other,
}

/// Words of complaints, in lower case, with what they mean; the first that fits holds, since git and ssh go on to say what follows from
/// it: that nothing could be read, that the other side hung up.
const WORDS: [(&[&str], GitFailure); 6] = [
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
        GitFailure::Unreachable,
    ),
    (&["host key verification failed", "host identification has changed"], GitFailure::SshHost),
    (&["permission denied (", "too many authentication failures"], GitFailure::SshKey),
    (&["could not read username", "could not read password", "authentication failed"], GitFailure::Login),
    (&["unable to update url base from redirection"], GitFailure::Moved),
    (
        &[
            "not found",
            "does not exist",
            "not appear to be a git repository",
            "not read from remote repository",
            "not exported",
        ],
        GitFailure::NotFound,
    ),
];

/// Why git failed, by what it said to somebody who asked with `options`.
pub(super) fn cause(complaint: &str, options: &FetchOptions) -> GitFailure {
    let lower = complaint.to_ascii_lowercase();
    if lower.contains("dubious ownership") {
        let directory =
            complaint.split_once('\'').and_then(|(_, rest)| rest.split_once('\'')).map(|(directory, _)| directory);
        return GitFailure::ForeignOwner(text::sanitized(directory.unwrap_or("*")).into_owned());
    }
    match status(&lower) {
        Some(401 | 403) => return GitFailure::Login,
        Some(404 | 410) => return GitFailure::NotFound,
        Some(300..=399) => return GitFailure::Moved,
        Some(status) if is_transient(status) => return GitFailure::ServerError,
        Some(_) | None => {}
    }
    let words = || WORDS.iter().find(|(words, _)| words.iter().any(|words| lower.contains(words)));
    match (words(), TlsCause::of_complaint(&lower, options)) {
        (Some((_, cause @ GitFailure::Unreachable)), _) => cause.clone(),
        (_, Some(tls)) => GitFailure::Tls(tls),
        (Some((_, cause)), None) => cause.clone(),
        (None, None) if lower.contains("hung up unexpectedly") => GitFailure::Unreachable,
        (None, None) => GitFailure::Other,
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
    let joined = text::sanitized(&lines.join("; ")).trim_end_matches('.').to_owned();
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
        let table: [(String, GitFailure); 23] = [
            (
                format!("fatal: detected dubious ownership in repository at '/srv/a b/.git'\nTo add an exception for this directory, call:\n\n\tgit config --global --add safe.directory '/srv/a b/.git'\n{read}"),
                GitFailure::ForeignOwner("/srv/a b/.git".to_owned()),
            ),
            ("fatal: could not read Username for 'https://h': terminal prompts disabled\n".to_owned(), GitFailure::Login),
            ("fatal: Authentication failed for 'https://h/x/'\n".to_owned(), GitFailure::Login),
            ("remote: HTTP Basic: Access denied\nfatal: Authentication failed for 'https://h/x/'\n".to_owned(), GitFailure::Login),
            (format!("{url}The requested URL returned error: 403\n"), GitFailure::Login),
            (format!("{url}The requested URL returned error: 404\n"), GitFailure::NotFound),
            ("remote: Repository not found.\nfatal: repository 'https://h/x/' not found\n".to_owned(), GitFailure::NotFound),
            ("fatal: remote error: access denied or repository not exported: /x\n".to_owned(), GitFailure::NotFound),
            (format!("fatal: '/x' does not appear to be a git repository\n{read}"), GitFailure::NotFound),
            (format!("{url}The requested URL returned error: 503\n"), GitFailure::ServerError),
            (format!("{url}The requested URL returned error: 429\n"), GitFailure::ServerError),
            ("error: RPC failed; HTTP 502 curl 22 The requested URL returned error: 502\nfatal: the remote end hung up unexpectedly\n".to_owned(), GitFailure::ServerError),
            (format!("{url}The requested URL returned error: 301\n"), GitFailure::Moved),
            (format!("{url}Could not resolve host: h\n"), GitFailure::Unreachable),
            (format!("{url}Failed to connect to h port 443: Connection refused\n"), GitFailure::Unreachable),
            (format!("{url}Operation too slow. Less than 1 bytes/sec\n"), GitFailure::Unreachable),
            (format!("ssh: connect to host h port 22: Connection timed out\r\n{read}"), GitFailure::Unreachable),
            (format!("ssh: Could not resolve hostname h: Name or service not known\r\n{read}"), GitFailure::Unreachable),
            (format!("git@h: Permission denied (publickey).\r\n{read}"), GitFailure::SshKey),
            (format!("Host key verification failed.\r\n{read}"), GitFailure::SshHost),
            (format!("{url}SSL certificate problem: certificate has expired\n"), GitFailure::Tls(TlsCause::Expired)),
            ("fatal: the remote end hung up unexpectedly\n".to_owned(), GitFailure::Unreachable),
            ("error: something new\n".to_owned(), GitFailure::Other),
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
