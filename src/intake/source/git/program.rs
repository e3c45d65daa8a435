//! Running `git`: an environment without surprises, bounded time and output, secrets on no command line.

use std::ffi::OsString;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::GitError;
use super::complaint::{self, GitFailure};
use super::refs::ChosenRef;
use crate::intake::source::error::SourceError;
use crate::intake::source::grammar::GitUrl;
use crate::intake::source::http::netrc_entry;
use crate::intake::source::options::{Credentials, FetchOptions};

/// No answer that is read as a whole is longer: a list of a million references has about 60 MB.
const ANSWER: u64 = 128 << 20;

/// As much of git's complaints as a message can bear.
const COMPLAINT: u64 = 16 << 10;

/// Variables that would lead git elsewhere than we say, or make it tell secrets. All that begin with `GIT_TRACE` go as well.
/// What a user needs to reach a server stays: `GIT_SSH_COMMAND`, `GIT_ASKPASS`, `GIT_SSL_...`, `GIT_CONFIG_GLOBAL`.
const CLEARED: [&str; 21] = [
    "GIT_ALTERNATE_OBJECT_DIRECTORIES",
    "GIT_CEILING_DIRECTORIES",
    "GIT_COMMON_DIR",
    "GIT_CONFIG",
    "GIT_CONFIG_PARAMETERS",
    "GIT_CURL_VERBOSE",
    "GIT_DEFAULT_HASH",
    "GIT_DIR",
    "GIT_DISCOVERY_ACROSS_FILESYSTEM",
    "GIT_EXTERNAL_DIFF",
    "GIT_GRAFT_FILE",
    "GIT_IMPLICIT_WORK_TREE",
    "GIT_INDEX_FILE",
    "GIT_NAMESPACE",
    "GIT_OBJECT_DIRECTORY",
    "GIT_PREFIX",
    "GIT_PROTOCOL_FROM_USER",
    "GIT_QUARANTINE_PATH",
    "GIT_REPLACE_REF_BASE",
    "GIT_SHALLOW_FILE",
    "GIT_WORK_TREE",
];

/// Hands the user name and password of this process's environment to git, where it asks for them.
const HELPER: &str = r#"!f() { test "$1" = get && printf 'username=%s\npassword=%s\n' "$PLUGSMITH_GIT_USERNAME" "$PLUGSMITH_GIT_PASSWORD"; }; f"#;

/// When the server learns who asks.
enum GitLogin {
    /// Never: nobody told us.
    Never,
    /// With the first request, since many servers tell strangers that nothing is there: the name and the value of a setting. It would
    /// go along wherever a server leads git, and so git follows nobody then.
    AtOnce { key: String, value: String },
    /// When the server asks: git asks us, and we answer for one origin alone.
    WhenAsked,
}

/// The program, set up for one repository.
pub(super) struct Git<'a> {
    options: &'a FetchOptions,
    /// What git is told to fetch from: no user name or password of http in it.
    url: String,
    /// The same, safe to show.
    shown: String,
    /// Where it works: a private directory.
    spool: PathBuf,
    config: Vec<String>,
    environment: Vec<(&'static str, OsString)>,
    login: GitLogin,
    deadline: Option<(Instant, u64)>,
}

impl<'a> Git<'a> {
    /// Sets the program up for `url`.
    pub(super) fn new(url: &GitUrl, options: &'a FetchOptions, spool: &Path) -> Result<Self, SourceError> {
        let mut config: Vec<String> = [
            "core.hooksPath=/dev/null",
            "core.fsmonitor=false",
            "protocol.ext.allow=never",
            "submodule.recurse=false",
            "fetch.recurseSubmodules=false",
            "fetch.fsckObjects=false",
            "gc.auto=0",
            "maintenance.auto=false",
            "advice.detachedHead=false",
        ]
        .map(str::to_owned)
        .into();
        if options.refuse_git_redirects {
            config.push("http.followRedirects=false".to_owned());
        }
        let mut environment = Vec::new();
        let mut login = GitLogin::Never;
        let (address, schemes) = match url {
            GitUrl::Web(web) => {
                let idle = options.http.idle_timeout.as_secs().max(1);
                config.push("http.lowSpeedLimit=1".to_owned());
                config.push(format!("http.lowSpeedTime={idle}"));
                tls_options(options, &mut config, &mut environment);
                let host = web.url().host_str().unwrap_or_default();
                let credentials = match (&options.username, web.credentials()) {
                    (Some(username), _) => Some(Credentials {
                        username: username.clone(),
                        password: options.password.clone().unwrap_or_default(),
                    }),
                    (None, Some(credentials)) => Some(credentials.clone()),
                    (None, None) => netrc_entry(host)?,
                };
                if let Some(Credentials { username, password }) = credentials {
                    if [username.as_str(), password.expose()].iter().any(|text| text.chars().any(char::is_control)) {
                        return Err(GitError::Credentials { url: url.to_string() }.into());
                    }
                    let port = web.url().port().map(|port| format!(":{port}")).unwrap_or_default();
                    let origin = format!("{}://{host}{port}", web.url().scheme());
                    config.push("credential.helper=".to_owned());
                    config.push(format!("credential.{origin}.helper={HELPER}"));
                    let basic = STANDARD.encode(format!("{username}:{}", password.expose()));
                    let value = format!("Authorization: Basic {basic}");
                    login = GitLogin::AtOnce { key: format!("http.{origin}/.extraHeader"), value };
                    environment.push(("PLUGSMITH_GIT_USERNAME", username.into()));
                    environment.push(("PLUGSMITH_GIT_PASSWORD", password.expose().into()));
                }
                // A user's `insteadOf` may lead to ssh; a server's redirect cannot, and leads from https to https alone.
                let schemes = if web.url().scheme() == "https" { "https:ssh" } else { "http:https:ssh" };
                (web.without_credentials().to_owned(), schemes)
            }
            GitUrl::Plain(address) => {
                let scheme = match address.split_once("://") {
                    Some(("file", _)) => "file",
                    Some(("git", _)) => "git",
                    _ => "ssh",
                };
                (address.clone(), scheme)
            }
        };
        environment.push(("GIT_ALLOW_PROTOCOL", schemes.into()));
        environment.push(("GIT_TERMINAL_PROMPT", "0".into()));
        environment.push(("GIT_NO_REPLACE_OBJECTS", "1".into()));
        environment.push(("GIT_OPTIONAL_LOCKS", "0".into()));
        environment.push(("GIT_CEILING_DIRECTORIES", spool.parent().unwrap_or(spool).into()));
        environment.push(("LC_ALL", "C".into()));
        let deadline = options.total_timeout().and_then(|timeout| {
            let seconds = timeout.as_millis().div_ceil(1000).try_into().unwrap_or(u64::MAX);
            Some((Instant::now().checked_add(timeout)?, seconds))
        });
        Ok(Self {
            options,
            url: address,
            shown: url.to_string(),
            spool: spool.to_path_buf(),
            config,
            environment,
            login,
            deadline,
        })
    }

    /// The repository that [`Git::init`] makes.
    pub(super) fn directory(&self) -> PathBuf {
        self.spool.join("git")
    }

    /// The URL, safe to show.
    pub(super) fn shown(&self) -> &str {
        &self.shown
    }

    /// Makes an empty repository with the kind of ids that the remote has.
    pub(super) fn init(&mut self, choice: &ChosenRef) -> Result<(), GitError> {
        let format = if choice.id.len() == 64 { "sha256" } else { "sha1" };
        let directory = self.directory();
        let mut command = self.command();
        command.args(["init", "--quiet", "--bare", "--template=", "--initial-branch=main"]);
        command.arg(format!("--object-format={format}")).arg("--").arg(&directory);
        self.collect(command, "init", ANSWER)?;
        self.environment.push(("GIT_DIR", directory.into()));
        Ok(())
    }

    /// Asks the remote for its references: one a line, and where `HEAD` points.
    pub(super) fn ls_remote(&mut self) -> Result<Vec<u8>, GitError> {
        let ask = |git: &Self| {
            let mut command = git.command();
            command.args(["ls-remote", "--symref", "--", &git.url]);
            git.collect(command, "ls-remote", ANSWER)
        };
        match (ask(self), &self.login) {
            (Err(GitError::Moved { .. }), GitLogin::AtOnce { .. }) if !self.options.refuse_git_redirects => {
                self.login = GitLogin::WhenAsked;
                ask(self)
            }
            (answer, _) => answer,
        }
    }

    /// Where git really goes, once the user's own settings (`url.*.insteadOf`) have had their say: as a receipt keeps it.
    pub(super) fn real_url(&self) -> Result<String, GitError> {
        let mut command = self.command();
        command.args(["ls-remote", "--get-url", "--", &self.url]);
        let answer = self.collect(command, "ls-remote", ANSWER)?;
        let url = String::from_utf8_lossy(&answer).trim_end().to_owned();
        let is_plain = ["ssh://", "git://"].iter().any(|scheme| url.starts_with(scheme)) || !url.contains("://");
        Ok(crate::text::without_credentials(&if is_plain { url } else { format!("git+{url}") }))
    }

    /// Fetches `refspecs`.
    pub(super) fn fetch(&self, refspecs: &[&str], shallow: bool) -> Result<(), GitError> {
        let mut command = self.command();
        command.args(["fetch", "--quiet", "--no-tags", "--no-recurse-submodules", "--no-write-fetch-head"]);
        if shallow {
            command.arg("--depth=1");
        }
        command.arg("--").arg(&self.url).args(refspecs);
        self.collect(command, "fetch", ANSWER).map(drop)
    }

    /// The answer of a local sub-command.
    pub(super) fn output(&self, arguments: &[&str]) -> Result<Vec<u8>, GitError> {
        let mut command = self.command();
        command.args(arguments);
        self.collect(command, arguments.first().copied().unwrap_or_default(), ANSWER)
    }

    /// The answer of a local sub-command, as one line of text.
    pub(super) fn line(&self, arguments: &[&str]) -> Result<String, GitError> {
        Ok(String::from_utf8_lossy(&self.output(arguments)?).trim_end().to_owned())
    }

    /// Starts a sub-command that is talked to.
    pub(super) fn converse(&self, arguments: &[&str]) -> Result<Child, GitError> {
        let mut command = self.command();
        command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null());
        command.spawn().map_err(|source| GitError::NoProgram { source })
    }

    fn command(&self) -> Command {
        let mut command = Command::new("git");
        command.current_dir(&self.spool).stdin(Stdio::null());
        for (name, _) in std::env::vars_os() {
            let text = name.to_string_lossy();
            if CLEARED.contains(&text.as_ref()) || text.starts_with("GIT_TRACE") {
                command.env_remove(&name);
            }
        }
        command.envs(self.environment.iter().map(|(name, value)| (name, value)));
        for setting in &self.config {
            command.arg("-c").arg(setting);
        }
        if let GitLogin::AtOnce { key, value } = &self.login {
            command.args(["-c", "http.followRedirects=false"]);
            // Arguments can be seen by everybody. The user's own settings of this kind stay.
            let count = std::env::var("GIT_CONFIG_COUNT").ok().and_then(|count| count.parse::<u32>().ok()).unwrap_or(0);
            command.env(format!("GIT_CONFIG_KEY_{count}"), key).env(format!("GIT_CONFIG_VALUE_{count}"), value);
            command.env("GIT_CONFIG_COUNT", count.saturating_add(1).to_string());
        }
        command
    }

    /// Runs `command` to its end and gives what it wrote, `limit` bytes at most.
    fn collect(&self, mut command: Command, what: &str, limit: u64) -> Result<Vec<u8>, GitError> {
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let mut child = command.spawn().map_err(|source| GitError::NoProgram { source })?;
        let pipe = |source| GitError::Pipe { what: "reading its answer", source };
        let answer = reader(child.stdout.take(), limit + 1).map_err(pipe)?;
        let complaint = reader(child.stderr.take(), COMPLAINT).map_err(pipe)?;
        let status = match self.wait(&mut child) {
            Ok(status) => status,
            Err(error) => {
                // What it started ends by itself once nobody reads any more; nobody waits for that.
                let _ = child.kill();
                let _ = child.wait();
                return Err(error);
            }
        };
        let answer = finished(answer).map_err(pipe)?;
        if answer.len() as u64 > limit {
            return Err(GitError::TooLarge { url: self.shown.clone(), what: "what git answers", limit });
        }
        if status.success() {
            return Ok(answer);
        }
        let complaint = finished(complaint).map_err(pipe)?;
        Err(self.complain(what, &String::from_utf8_lossy(&complaint)))
    }

    /// Waits for the program's end, the deadline, or too many bytes in the repository.
    fn wait(&self, child: &mut Child) -> Result<ExitStatus, GitError> {
        let mut pause = Duration::from_millis(1);
        let mut measured = Instant::now();
        loop {
            if let Some(status) =
                child.try_wait().map_err(|source| GitError::Pipe { what: "waiting for its end", source })?
            {
                return Ok(status);
            }
            if let Some((deadline, seconds)) = self.deadline
                && Instant::now() >= deadline
            {
                return Err(GitError::Timeout { url: self.shown.clone(), seconds });
            }
            if measured.elapsed() > Duration::from_millis(500) {
                measured = Instant::now();
                if size_of(&self.directory()) > self.options.http.max_bytes {
                    return Err(GitError::TooLarge {
                        url: self.shown.clone(),
                        what: "the repository",
                        limit: self.options.http.max_bytes,
                    });
                }
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(40));
        }
    }

    /// What git's complaint means. It names the URL as git knows it, whose query is not for everyone's eyes.
    fn complain(&self, what: &str, stderr: &str) -> GitError {
        let stderr = stderr.replace(&self.url, &self.shown);
        let (url, reason) = (self.shown.clone(), complaint::reason(&stderr));
        match complaint::cause(&stderr, self.options) {
            GitFailure::ForeignOwner(directory) => GitError::OtherOwner { url, directory },
            GitFailure::Unreachable => GitError::Unreachable { url, stderr: reason },
            GitFailure::ServerError => GitError::Failing { url, stderr: reason },
            GitFailure::SshHost => GitError::SshHost { url, stderr: reason },
            GitFailure::SshKey => GitError::SshKey { url, stderr: reason },
            GitFailure::Tls(cause) => GitError::Tls { url, cause, stderr: reason },
            GitFailure::Login => match self.login {
                GitLogin::Never => GitError::WhoAsks { url },
                GitLogin::AtOnce { .. } | GitLogin::WhenAsked => GitError::Refused { url, stderr: reason },
            },
            GitFailure::Moved => GitError::Moved { url, stderr: reason },
            GitFailure::NotFound if what == "ls-remote" => GitError::NotFound { url, stderr: reason },
            GitFailure::NotFound | GitFailure::Other => GitError::Failed { what: what.to_owned(), url, stderr: reason },
        }
    }
}

/// The settings that say the same to git as the options of ours.
///
/// The files go into its environment, since git takes a variable before any setting: what the user's own says would else win
/// over the option.
fn tls_options(options: &FetchOptions, config: &mut Vec<String>, environment: &mut Vec<(&'static str, OsString)>) {
    let files =
        [("GIT_SSL_CAINFO", &options.ca_file), ("GIT_SSL_CERT", &options.cert_file), ("GIT_SSL_KEY", &options.key_file)];
    for (variable, path) in files {
        if let Some(path) = path {
            let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
            environment.push((variable, path.into()));
        }
    }
    if options.insecure_skip_tls_verify {
        config.push("http.sslVerify=false".to_owned());
    }
}

/// Reads a pipe on a thread of its own: up to `limit` bytes are kept, the rest is read and dropped, so that nobody blocks.
fn reader<R: Read + Send + 'static>(pipe: Option<R>, limit: u64) -> io::Result<JoinHandle<io::Result<Vec<u8>>>> {
    thread::Builder::new().name("git".to_owned()).spawn(move || {
        let mut kept = Vec::new();
        if let Some(mut pipe) = pipe {
            pipe.by_ref().take(limit).read_to_end(&mut kept)?;
            io::copy(&mut pipe, &mut io::sink())?;
        }
        Ok(kept)
    })
}

fn finished(reader: JoinHandle<io::Result<Vec<u8>>>) -> io::Result<Vec<u8>> {
    reader.join().unwrap_or_else(|_| Err(io::Error::other("the reading thread ended early")))
}

/// Bytes of all files under `directory`, as far as they can be seen.
fn size_of(directory: &Path) -> u64 {
    walkdir::WalkDir::new(directory)
        .into_iter()
        .filter_map(Result::ok)
        .filter_map(|entry| entry.metadata().ok())
        .filter(std::fs::Metadata::is_file)
        .map(|metadata| metadata.len())
        .sum()
}
