//! An HTTP server that misbehaves as told: a closure sees each request and writes the answer byte for byte.

#![allow(dead_code, reason = "unit tests and end-to-end tests use their part")]

use std::collections::BTreeMap;
use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::thread;
use std::time::Duration;

use rustls::ServerConfig;

/// A request.
#[allow(dead_code, reason = "each topic uses its part")]
#[derive(Debug, Clone)]
pub(crate) struct Request {
    /// `GET`, `PUT`...
    pub(crate) method: String,
    /// Path and query.
    pub(crate) target: String,
    /// Headers, names in lower case.
    pub(crate) headers: BTreeMap<String, String>,
    /// What follows them, as long as `Content-Length` says.
    pub(crate) body: Vec<u8>,
}

impl Request {
    /// A header's value.
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name).map(String::as_str)
    }
}

/// The connection on which an answer is written.
pub(crate) trait Connection: Read + Write {}
impl<T: Read + Write> Connection for T {}

type Handler = dyn Fn(&Request, &mut dyn Connection) -> io::Result<()> + Send + Sync;

/// The server; it ends with this value. A request is answered on a connection of its own.
pub(crate) struct Server {
    address: SocketAddr,
    scheme: &'static str,
    seen: Arc<Mutex<Vec<Request>>>,
    stop: Arc<AtomicBool>,
}

impl Server {
    /// Serves plain HTTP on a free port of 127.0.0.1.
    pub(crate) fn start(handler: impl Fn(&Request, &mut dyn Connection) -> io::Result<()> + Send + Sync + 'static) -> Self {
        Self::run(None, Arc::new(handler))
    }

    /// Serves HTTPS.
    pub(crate) fn start_tls(
        config: Arc<ServerConfig>,
        handler: impl Fn(&Request, &mut dyn Connection) -> io::Result<()> + Send + Sync + 'static,
    ) -> Self {
        Self::run(Some(config), Arc::new(handler))
    }

    /// Serves `files` by path, everything else is a 404.
    pub(crate) fn files(files: &[(&str, &[u8])]) -> Self {
        let files: BTreeMap<String, Vec<u8>> =
            files.iter().map(|(path, body)| ((*path).to_owned(), body.to_vec())).collect();
        Self::start(move |request, to| {
            let path = request.target.split('?').next().unwrap_or_default();
            match files.get(path) {
                Some(body) => answer(to, "200 OK", &[], body),
                None => answer(to, "404 Not Found", &[], b"nothing here"),
            }
        })
    }

    fn run(tls: Option<Arc<ServerConfig>>, handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let seen = Arc::new(Mutex::new(Vec::new()));
        let stop = Arc::new(AtomicBool::new(false));
        let server =
            Self { address, scheme: if tls.is_some() { "https" } else { "http" }, seen: seen.clone(), stop: stop.clone() };
        thread::spawn(move || {
            for stream in listener.incoming() {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                let Ok(stream) = stream else { continue };
                let (tls, handler, seen) = (tls.clone(), handler.clone(), seen.clone());
                // A client that goes away is what many tests are about.
                thread::spawn(move || drop(serve(stream, tls, &*handler, &seen)));
            }
        });
        server
    }

    /// The URL of `path` here.
    pub(crate) fn url(&self, path: &str) -> String {
        format!("{}://{}{path}", self.scheme, self.address)
    }

    /// The requests so far.
    pub(crate) fn requests(&self) -> Vec<Request> {
        self.seen.lock().unwrap().clone()
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

fn serve(
    mut stream: TcpStream,
    tls: Option<Arc<ServerConfig>>,
    handler: &Handler,
    seen: &Mutex<Vec<Request>>,
) -> io::Result<()> {
    stream.set_read_timeout(Some(Duration::from_secs(20)))?;
    match tls {
        None => exchange(&mut stream, handler, seen),
        Some(config) => {
            let mut connection = rustls::ServerConnection::new(config).map_err(io::Error::other)?;
            let result = exchange(&mut rustls::Stream::new(&mut connection, &mut stream), handler, seen);
            connection.send_close_notify();
            let _ = connection.complete_io(&mut stream);
            result
        }
    }
}

fn exchange(connection: &mut dyn Connection, handler: &Handler, seen: &Mutex<Vec<Request>>) -> io::Result<()> {
    let request = read_request(connection)?;
    seen.lock().unwrap().push(request.clone());
    handler(&request, connection)?;
    connection.flush()
}

fn read_request(connection: &mut dyn Connection) -> io::Result<Request> {
    let mut reader = BufReader::new(connection);
    let mut line = || -> io::Result<String> {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        Ok(line.trim_end().to_owned())
    };
    let first = line()?;
    let mut words = first.split(' ').map(str::to_owned);
    let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
    let mut headers = BTreeMap::new();
    while let Some((name, value)) = line()?.split_once(':') {
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let length = headers.get("content-length").and_then(|length| length.parse().ok()).unwrap_or(0);
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    Ok(Request { method, target, headers, body })
}

/// Writes a whole answer with its length.
pub(crate) fn answer(to: &mut dyn Connection, status: &str, headers: &[(&str, &str)], body: &[u8]) -> io::Result<()> {
    let mut all = vec![("Content-Length".to_owned(), body.len().to_string())];
    all.extend(headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())));
    head(to, status, &all)?;
    to.write_all(body)
}

/// Writes a status line and headers, and promises to close the connection.
pub(crate) fn head(to: &mut dyn Connection, status: &str, headers: &[(String, String)]) -> io::Result<()> {
    let mut text = format!("HTTP/1.1 {status}\r\nConnection: close\r\n");
    for (name, value) in headers {
        text.push_str(&format!("{name}: {value}\r\n"));
    }
    text.push_str("\r\n");
    to.write_all(text.as_bytes())
}

/// Writes a redirect.
pub(crate) fn redirect(to: &mut dyn Connection, location: &str) -> io::Result<()> {
    answer(to, "302 Found", &[("Location", location)], b"")
}
