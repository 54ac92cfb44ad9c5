//! The client of the broker's HTTP API.
//!
//! The API is served on a Unix socket in the data directory, whose permissions decide who may use
//! it, and on ports, where a user logs in. One connection serves all requests of a command; there is
//! no thread but the caller's.

use std::cell::RefCell;
use std::fs::File;
use std::future::Future;
use std::io;
use std::os::fd::AsRawFd;
use std::path::{Path, PathBuf};
use std::time::Duration;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::{SendRequest, handshake};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HOST};
use hyper::{Method, Request, Response, StatusCode, Uri};
use hyper_util::rt::TokioIo;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_decode_str, utf8_percent_encode};
use serde_json::Value;
use tokio::net::{TcpStream, UnixStream};
use tokio::runtime::Runtime;

use crate::failure::{Failure, Result};

/// The place where the API is served.
#[derive(Clone, PartialEq, Debug)]
pub enum Place {
    /// A Unix socket.
    Socket(PathBuf),
    /// A port.
    Port {
        /// The host and the port.
        address: String,
        /// The value of the `authorization` header.
        authorization: Option<String>,
        /// The path before `/api`.
        prefix: String,
    },
}

impl Place {
    /// Reads a URL, for example `http://guest:guest@localhost:15672`.
    ///
    /// # Errors
    /// One sentence.
    pub fn from_url(url: &str) -> std::result::Result<Place, String> {
        let uri: Uri = url.parse().map_err(|error| format!("'{url}' is not a URL: {error}"))?;
        let authority = uri.authority().map(|authority| authority.as_str()).ok_or_else(|| format!("'{url}' is not a URL with a host"))?;
        if uri.scheme_str() != Some("http") {
            return Err(format!("'{url}' is not a URL of the scheme http"));
        }
        let (login, address) = authority.rsplit_once('@').map_or((None, authority), |(login, address)| (Some(login), address));
        let has_port = uri.port().is_some();
        let decoded = login.map(|login| percent_decode_str(login).decode_utf8_lossy().into_owned());
        Ok(Place::Port {
            address: if has_port { address.to_owned() } else { format!("{address}:15672") },
            authorization: decoded.map(|login| format!("Basic {}", STANDARD.encode(login))),
            prefix: uri.path().trim_end_matches('/').to_owned(),
        })
    }

    fn shown(&self) -> String {
        match self {
            Place::Socket(path) => path.display().to_string(),
            Place::Port { address, .. } => address.clone(),
        }
    }
}

/// An answer.
#[derive(Clone, PartialEq, Debug)]
pub struct Answer {
    /// The status.
    pub status: u16,
    /// The body: JSON, or the text as a string.
    pub body: Value,
}

impl Answer {
    /// Whether the request succeeded.
    pub fn is_ok(&self) -> bool {
        (200..300).contains(&self.status)
    }

    /// Returns the reason of a refusal.
    pub fn reason(&self) -> String {
        match &self.body["reason"] {
            Value::String(reason) => reason.clone(),
            Value::Null => format!("the broker answers {} {}", self.status, name_of(self.status)),
            reason => reason.to_string(),
        }
    }

    /// Returns the body, or fails with the reason.
    ///
    /// # Errors
    /// The reason of the refusal.
    pub fn accepted(self) -> Result<Value> {
        if self.is_ok() {
            return Ok(self.body);
        }
        match self.body["error"].as_str() {
            Some("app_stopped") => Err(Failure::app_stopped()),
            _ => Err(Failure::refused(self.reason())),
        }
    }
}

fn name_of(status: u16) -> &'static str {
    StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason()).unwrap_or_default()
}

/// A client.
pub struct Client {
    runtime: Runtime,
    place: Place,
    timeout: Option<Duration>,
    sender: RefCell<Option<SendRequest<Full<Bytes>>>>,
}

impl Client {
    /// Makes a client that gives up after a time, if there is one.
    ///
    /// # Errors
    /// The system has no descriptors left.
    pub fn new(place: Place, timeout: Option<Duration>) -> io::Result<Client> {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build()?;
        Ok(Client { runtime, place, timeout, sender: RefCell::new(None) })
    }

    /// Whether the API is served on the socket, which has more endpoints than a port.
    pub fn is_local(&self) -> bool {
        matches!(self.place, Place::Socket(_))
    }

    /// Sends a request.
    ///
    /// # Errors
    /// The broker cannot be reached, or it takes too long.
    pub fn send(&self, method: Method, path: &str, body: Option<&Value>, reason: Option<&str>) -> Result<Answer> {
        let request = self.request(method, path, body, reason)?;
        self.wait(async {
            let response = self.exchange(request).await?;
            let status = response.status().as_u16();
            let bytes = response.into_body().collect().await.map_err(|error| self.unreachable(error))?.to_bytes();
            Ok(Answer { status, body: read(&bytes) })
        })
    }

    /// Asks for an endless body and passes its lines on, for as long as the receiver wants them and
    /// at most for a time.
    ///
    /// # Errors
    /// The broker cannot be reached, or refuses.
    pub fn follow(&self, path: &str, duration: Option<Duration>, mut take: impl FnMut(&str) -> bool) -> Result<()> {
        let request = self.request(Method::GET, path, None, None)?;
        let following = async {
            let response = self.exchange(request).await?;
            let status = response.status().as_u16();
            let mut body = response.into_body();
            if status != 200 {
                let bytes = body.collect().await.map_err(|error| self.unreachable(error))?.to_bytes();
                return Answer { status, body: read(&bytes) }.accepted().map(|_| ());
            }
            let mut text = Vec::new();
            while let Some(frame) = body.frame().await {
                text.extend_from_slice(frame.map_err(|error| self.unreachable(error))?.data_ref().map_or(&[], |data| data));
                while let Some(end) = text.iter().position(|byte| *byte == b'\n') {
                    let line: Vec<u8> = text.drain(..=end).collect();
                    if !take(String::from_utf8_lossy(&line[..end]).as_ref()) {
                        return Ok(());
                    }
                }
            }
            Ok(())
        };
        match duration {
            Some(duration) => self.runtime.block_on(async { tokio::time::timeout(duration, following).await }).unwrap_or(Ok(())),
            None => self.runtime.block_on(following),
        }
    }

    fn request(&self, method: Method, path: &str, body: Option<&Value>, reason: Option<&str>) -> Result<Request<Full<Bytes>>> {
        let (prefix, host, authorization) = match &self.place {
            Place::Socket(_) => ("", "localhost", None),
            Place::Port { address, authorization, prefix } => (prefix.as_str(), address.as_str(), authorization.as_ref()),
        };
        if path.starts_with("/ctl/") && !self.is_local() {
            return Err(Failure::refused("this command works on the broker's host only, over the socket in its data directory"));
        }
        let body = body.map(Value::to_string).unwrap_or_default();
        let mut request = Request::builder().method(method).uri(format!("{prefix}{path}")).header(HOST, host);
        for (name, value) in [(AUTHORIZATION.as_str(), authorization.map(String::as_str)), ("x-reason", reason)] {
            request = value.into_iter().fold(request, |request, value| request.header(name, value));
        }
        let request = request.header(CONTENT_TYPE, "application/json").body(Full::new(Bytes::from(body)));
        request.map_err(|error| Failure::bad_argument(error.to_string()))
    }

    async fn exchange(&self, request: Request<Full<Bytes>>) -> Result<Response<Incoming>> {
        let kept = self.sender.take().filter(|sender| !sender.is_closed());
        let mut sender = match kept {
            Some(sender) => sender,
            None => self.connect().await?,
        };
        sender.ready().await.map_err(|error| self.unreachable(error))?;
        let response = sender.send_request(request).await.map_err(|error| self.unreachable(error))?;
        self.sender.replace(Some(sender));
        Ok(response)
    }

    async fn connect(&self) -> Result<SendRequest<Full<Bytes>>> {
        match &self.place {
            Place::Socket(path) => self.shake_hands(connect(path).await).await,
            Place::Port { address, .. } => self.shake_hands(TcpStream::connect(address).await).await,
        }
    }

    async fn shake_hands<S>(&self, stream: io::Result<S>) -> Result<SendRequest<Full<Bytes>>>
    where
        S: tokio::io::AsyncRead + tokio::io::AsyncWrite + Unpin + Send + 'static,
    {
        let stream = stream.map_err(|error| self.unreachable(error))?;
        let (sender, connection) = handshake(TokioIo::new(stream)).await.map_err(|error| self.unreachable(error))?;
        tokio::spawn(async { _ = connection.await });
        Ok(sender)
    }

    fn wait<T>(&self, work: impl Future<Output = Result<T>>) -> Result<T> {
        match self.timeout {
            Some(timeout) => self.runtime.block_on(async { tokio::time::timeout(timeout, work).await }).unwrap_or(Err(Failure::timeout())),
            None => self.runtime.block_on(work),
        }
    }

    fn unreachable(&self, error: impl std::fmt::Display) -> Failure {
        Failure::unreachable(format!("{}: {error}", self.place.shown()))
    }
}

/// Connects to a Unix socket. The kernel takes short paths only, so a long one is given by the
/// descriptor of its directory.
async fn connect(path: &Path) -> io::Result<UnixStream> {
    let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else { return UnixStream::connect(path).await };
    if path.as_os_str().len() <= SOCKET_PATH_MAX {
        return UnixStream::connect(path).await;
    }
    let directory = File::open(directory)?;
    UnixStream::connect(Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name)).await
}

/// The longest path of a Unix socket, without the zero at its end.
const SOCKET_PATH_MAX: usize = 107;

/// Reads a body that is JSON or a text.
fn read(bytes: &[u8]) -> Value {
    match serde_json::from_slice(bytes) {
        Ok(value) => value,
        Err(_) if bytes.is_empty() => Value::Null,
        Err(_) => String::from_utf8_lossy(bytes).into_owned().into(),
    }
}

/// Makes a path of segments, each of them encoded.
pub fn path(segments: &[&str]) -> String {
    segments.iter().map(|segment| format!("/{}", encoded(segment))).collect()
}

/// Encodes a segment of a path or a value of a query.
pub fn encoded(text: &str) -> String {
    utf8_percent_encode(text, RESERVED).to_string()
}

/// All but the letters that are plain in a path.
const RESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~').remove(b'@');

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn urls_name_a_place() {
        let port = |address: &str, authorization: Option<&str>, prefix: &str| Place::Port {
            address: address.into(),
            authorization: authorization.map(str::to_owned),
            prefix: prefix.into(),
        };
        assert_eq!(Place::from_url("http://localhost"), Ok(port("localhost:15672", None, "")));
        assert_eq!(Place::from_url("http://guest:guest@h:1/mq/"), Ok(port("h:1", Some("Basic Z3Vlc3Q6Z3Vlc3Q="), "/mq")));
        assert_eq!(Place::from_url("http://a:p%40ss@[::1]:5"), Ok(port("[::1]:5", Some("Basic YTpwQHNz"), "")));
        for url in ["https://h", "h:1", "http://"] {
            assert!(Place::from_url(url).is_err(), "{url}");
        }
    }

    #[test]
    fn paths_are_encoded() {
        assert_eq!(path(&["api", "queues", "/", "a b%ü"]), "/api/queues/%2F/a%20b%25%C3%BC");
    }

    #[test]
    fn refusals_have_a_reason() {
        let answer = |status, body| Answer { status, body };
        assert_eq!(answer(204, Value::Null).accepted(), Ok(Value::Null));
        assert_eq!(answer(400, json!({ "reason": "no" })).accepted(), Err(Failure::refused("no")));
        assert_eq!(answer(404, Value::Null).accepted(), Err(Failure::refused("the broker answers 404 Not Found")));
        assert_eq!(answer(503, json!({ "error": "app_stopped" })).accepted(), Err(Failure::app_stopped()));
    }
}
