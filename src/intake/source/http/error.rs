//! Why a request failed.

use std::io;
use std::path::PathBuf;

use super::server_message::ServerMessage;
use super::tls_cause::TlsCause;
use crate::error::{Classified, ErrorKind};

/// What lies under a failed request.
pub(super) type Cause = Box<dyn std::error::Error + Send + Sync>;

/// Why a request failed. URLs in it have no user name and no password, and their queries are masked.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum HttpError {
    /// 404 or 410.
    #[error("`{url}` is not there (HTTP {status}){said}; check the URL, and the credentials where it is private")]
    NotFound {
        /// The URL.
        url: String,
        /// The status.
        status: u16,
        /// What the server says about it.
        said: ServerMessage,
    },
    /// 401 without credentials.
    #[error(
        "`{url}` asks for a user name and a password (HTTP 401){said}; it is private, or not there under this name: check the \
         spelling, or give `--username` and `--password-stdin`, or an entry in .netrc"
    )]
    Unauthorized {
        /// The URL.
        url: String,
        /// What the server says about it.
        said: ServerMessage,
        /// How the server wants to be asked (`WWW-Authenticate`), not safe to show.
        challenge: String,
    },
    /// 401 although credentials were sent.
    #[error("`{url}` refuses the user name and password that were given (HTTP 401){said}; check them")]
    Refused {
        /// The URL.
        url: String,
        /// What the server says about it.
        said: ServerMessage,
    },
    /// 403.
    #[error("`{url}` is forbidden (HTTP 403){said}; {}", access(*.logged_in))]
    Forbidden {
        /// The URL.
        url: String,
        /// Whether the server was told who asks.
        logged_in: bool,
        /// What the server says about it.
        said: ServerMessage,
    },
    /// 403 or 429, since we have asked for more than our share.
    #[error("the server answered HTTP {status} for `{url}`: its limit for us is used up{}; try again later", until.as_ref().map(|until| format!(" until {until}")).unwrap_or_default())]
    RateLimit {
        /// The URL.
        url: String,
        /// The status.
        status: u16,
        /// Until when, where it says so.
        until: Option<String>,
    },
    /// Another status that is no success.
    #[error("the server answered HTTP {status} for `{url}`{said}; {}", advice(*.status))]
    Status {
        /// The URL.
        url: String,
        /// The status.
        status: u16,
        /// What the server says about it.
        said: ServerMessage,
    },
    /// The server asks for more patience than we have.
    #[error("the server answered HTTP {status} for `{url}`{said} and asks to wait {seconds} seconds; try again then")]
    RetryLater {
        /// The URL.
        url: String,
        /// The status.
        status: u16,
        /// What the server says about it.
        said: ServerMessage,
        /// How long.
        seconds: u64,
    },
    /// No connection came about.
    #[error("cannot connect to the server of `{url}`; check the host's name, the network and the proxy variables")]
    Unreachable {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// TLS failed.
    #[error("no trusted connection to the server of `{url}`: {cause}")]
    Tls {
        /// The URL.
        url: String,
        /// Why, and what helps.
        cause: TlsCause,
        /// What TLS says.
        #[source]
        source: Cause,
    },
    /// The server speaks something else than TLS.
    #[error(
        "the server of `{url}` does not speak TLS; check the port, or ask for http without TLS: with an `http://` URL, or for a registry with `--plain-http`"
    )]
    NotTls {
        /// The URL.
        url: String,
        /// Why.
        #[source]
        source: Cause,
    },
    /// No connection came about in time.
    #[error(
        "cannot connect to the server of `{url}` within {seconds} seconds; check the network, or raise `http.connectTimeout`"
    )]
    ConnectTimeout {
        /// The URL.
        url: String,
        /// The limit.
        seconds: u64,
    },
    /// The server fell silent.
    #[error("the server of `{url}` sent nothing for {seconds} seconds; try again, or raise `http.idleTimeout`")]
    Idle {
        /// The URL.
        url: String,
        /// The limit.
        seconds: u64,
    },
    /// The whole took too long.
    #[error("fetching `{url}` took longer than `--timeout` allows ({seconds} s)")]
    Timeout {
        /// The URL.
        url: String,
        /// The limit.
        seconds: u64,
    },
    /// The connection broke.
    #[error("the connection to the server of `{url}` broke, again and again; try again later")]
    Broken {
        /// The URL.
        url: String,
        /// Why, the last time.
        #[source]
        source: Cause,
    },
    /// The body ended early.
    #[error(
        "`{url}` is incomplete: the server announced {expected} bytes and sent {got}; try again, or ask the server's owner"
    )]
    Short {
        /// The URL.
        url: String,
        /// Bytes announced.
        expected: u64,
        /// Bytes that came.
        got: u64,
        /// How the connection ended, where it broke.
        #[source]
        source: Option<Cause>,
    },
    /// The server's answers to parts of one file do not fit together.
    #[error("`{url}` changes while it is downloaded, or the server answers ranges wrongly: {reason}; try again later")]
    Changed {
        /// The URL.
        url: String,
        /// What does not fit.
        reason: &'static str,
    },
    /// More bytes than allowed.
    #[error(
        "`{url}` is larger than the {limit} bytes that are allowed; where it may be, raise `http.maxBytes` in config.yaml"
    )]
    TooLarge {
        /// The URL.
        url: String,
        /// The limit.
        limit: u64,
    },
    /// A redirect from https to http.
    #[error("`{from}` redirects to `{to}`: https is never left for http; ask the server's owner")]
    Downgrade {
        /// The URL that redirects.
        from: String,
        /// Its target.
        to: String,
    },
    /// A redirect that cannot be followed.
    #[error("`{url}` redirects to where nobody can follow: {reason}")]
    BadRedirect {
        /// The URL that redirects.
        url: String,
        /// Why not.
        reason: String,
    },
    /// Too many redirects.
    #[error("`{url}` redirects more than {limit} times; the server probably sends it in a circle")]
    TooManyRedirects {
        /// The first URL.
        url: String,
        /// The limit.
        limit: usize,
    },
    /// A certificate or key file cannot be read or is no such thing.
    #[error("cannot use `{}` as {what}; check the path and what is in the file", path.display())]
    TlsFile {
        /// The file.
        path: PathBuf,
        /// What it should be.
        what: &'static str,
        /// Why not.
        #[source]
        source: Cause,
    },
    /// A variable names a proxy that cannot be used.
    #[error(
        "the variable {variable} names no proxy that can be used: it must be an http:// or https:// URL; mend it or unset it"
    )]
    Proxy {
        /// The variable.
        variable: &'static str,
    },
    /// The body was packed on the way, and cannot be unpacked.
    #[error(
        "the server packed `{url}` on the way ({coding}), although it was asked not to, and that cannot be undone; ask its owner to \
         switch that off for packages and what lies beside them"
    )]
    Coding {
        /// The URL.
        url: String,
        /// How, safe to show.
        coding: String,
    },
    /// The client could not be made.
    #[error("cannot set up an HTTP client; where the system's certificates are missing, name some with `--ca-file`")]
    Client {
        /// Why not.
        #[source]
        source: Cause,
    },
    /// What was to be uploaded cannot be read.
    #[error("cannot read `{}` to upload it", path.display())]
    Upload {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
    /// `.netrc` cannot be read.
    #[error("cannot read `{}` for user names and passwords; mend it, or point NETRC elsewhere", path.display())]
    Netrc {
        /// The file.
        path: PathBuf,
        /// Why not.
        #[source]
        source: io::Error,
    },
}

impl Classified for HttpError {
    fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::TlsFile { source, .. } => match source.downcast_ref::<io::Error>() {
                Some(error) if error.kind() == io::ErrorKind::NotFound => ErrorKind::NotFound,
                Some(_) | None => ErrorKind::Failed,
            },
            Self::Status { status, .. } => {
                if is_transient(*status) {
                    ErrorKind::Unavailable
                } else {
                    ErrorKind::Failed
                }
            }
            Self::RateLimit { .. }
            | Self::RetryLater { .. }
            | Self::Unreachable { .. }
            | Self::ConnectTimeout { .. }
            | Self::Idle { .. }
            | Self::Timeout { .. }
            | Self::Broken { .. }
            | Self::Short { .. }
            | Self::Changed { .. } => ErrorKind::Unavailable,
            Self::Unauthorized { .. }
            | Self::Refused { .. }
            | Self::Forbidden { .. }
            | Self::Tls { .. }
            | Self::NotTls { .. }
            | Self::TooLarge { .. }
            | Self::Downgrade { .. }
            | Self::BadRedirect { .. }
            | Self::TooManyRedirects { .. }
            | Self::Proxy { .. }
            | Self::Coding { .. }
            | Self::Client { .. }
            | Self::Upload { .. }
            | Self::Netrc { .. } => ErrorKind::Failed,
        }
    }
}

/// Whether a status says that the server has trouble, or too much to do, and may answer otherwise later.
pub(in crate::intake::source) fn is_transient(status: u16) -> bool {
    matches!(status, 408 | 429 | 500..=599)
}

/// What to do about a status that is none of those that have an error of their own.
fn advice(status: u16) -> &'static str {
    match status {
        status if is_transient(status) => "try again later, or ask the server's owner",
        200..=399 => "that is no answer with a file in it; check the URL",
        _ => "check what was asked for, or ask the server's owner",
    }
}

/// What to do about something that is forbidden.
fn access(logged_in: bool) -> &'static str {
    if logged_in {
        "the server knows who asks: ask its owner for access"
    } else {
        "ask the server's owner for access, or give `--username` and `--password-stdin`"
    }
}
