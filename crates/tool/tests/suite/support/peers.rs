//! Real servers and programs to test against, where `PLUGSMITH_PEERS` is set (`scripts/test --all` sets it and installs them).

use std::fs::File;
use std::io::{self, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// Whether real peers are wanted; says what is skipped where not.
pub(crate) fn wanted(what: &str) -> bool {
    let wanted = std::env::var_os("PLUGSMITH_PEERS").is_some_and(|value| value == "1");
    if !wanted {
        eprintln!("skipped: {what} needs PLUGSMITH_PEERS=1 (scripts/test --all)");
    }
    wanted
}

/// Whether a program is on `PATH`.
pub(crate) fn has(program: &str) -> bool {
    std::env::split_paths(&std::env::var_os("PATH").unwrap_or_default()).any(|dir| dir.join(program).is_file())
}

/// A server of its own process; it is killed when this goes, also by a panic.
pub(crate) struct Peer {
    child: Child,
    pub(crate) port: u16,
}

impl Peer {
    /// Starts a server that is told a free port of 127.0.0.1, and waits until it listens. What it says goes to `log`.
    pub(crate) fn start(log: &Path, command: impl Fn(u16) -> Command) -> Self {
        // Between our look and its start somebody else may take the port: then it ends at once, and another is tried.
        for _ in 0..5 {
            let port = free_port();
            let output = File::create(log).unwrap();
            let mut command = command(port);
            command.stdin(Stdio::null()).stdout(output.try_clone().unwrap()).stderr(output);
            let child = command.spawn().unwrap_or_else(|e| panic!("cannot start {command:?}: {e}"));
            let mut peer = Self { child, port };
            let until = Instant::now() + Duration::from_secs(20);
            while Instant::now() < until && peer.child.try_wait().unwrap().is_none() {
                if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                    return peer;
                }
                thread::sleep(Duration::from_millis(20));
            }
        }
        panic!("the server does not start:\n{}", std::fs::read_to_string(log).unwrap_or_default());
    }
}

impl Drop for Peer {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

/// A certificate for 127.0.0.1 with its key, as PEM files in `dir`: `tls.crt` and `tls.key`.
pub(crate) fn certificate(dir: &Path) -> (PathBuf, PathBuf) {
    let made = rcgen::generate_simple_self_signed(vec!["127.0.0.1".to_owned()]).unwrap();
    let (certificate, key) = (dir.join("tls.crt"), dir.join("tls.key"));
    std::fs::write(&certificate, made.cert.pem()).unwrap();
    std::fs::write(&key, made.signing_key.serialize_pem()).unwrap();
    (certificate, key)
}

/// Passes connections on to `to`, and cuts the first of them after `bytes` bytes of answer. Gives the port that it listens on;
/// it ends with the test program.
pub(crate) fn cutting_proxy(to: u16, bytes: u64) -> u16 {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    thread::spawn(move || {
        let mut limit = Some(bytes);
        for client in listener.incoming() {
            let Ok(mut client) = client else { continue };
            let limit = limit.take();
            thread::spawn(move || {
                let mut server = TcpStream::connect(("127.0.0.1", to))?;
                let (mut from_client, mut to_server) = (client.try_clone()?, server.try_clone()?);
                thread::spawn(move || io::copy(&mut from_client, &mut to_server));
                match limit {
                    Some(bytes) => io::copy(&mut (&server).take(bytes), &mut client)?,
                    None => io::copy(&mut server, &mut client)?,
                };
                client.flush()?;
                client.shutdown(std::net::Shutdown::Both)
            });
        }
    });
    port
}
