//! The listener for metrics: no login, one kind of answer.

use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::rc::Rc;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Frame, Incoming};
use hyper::header::{self, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode};
use tokio::sync::OwnedSemaphorePermit;

use super::metrics::endpoint::{Endpoint, NoEndpoint};
use super::metrics::format::Format;
use super::metrics::process::Process;
use super::metrics::{Facts, Metrics};
use super::site::Site;

/// The body of an answer, which is made while it is sent.
pub struct Chunks {
    chunks: Box<dyn Iterator<Item = Vec<u8>>>,
    /// The answer's place among the large ones.
    _place: Option<OwnedSemaphorePermit>,
}

impl Chunks {
    fn new(chunks: impl Iterator<Item = Vec<u8>> + 'static, place: Option<OwnedSemaphorePermit>) -> Chunks {
        Chunks { chunks: Box::new(chunks), _place: place }
    }
}

impl Body for Chunks {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let next = self.chunks.find(|chunk| !chunk.is_empty());
        Poll::Ready(next.map(|chunk| Ok(Frame::data(chunk.into()))))
    }
}

/// Answers a request for metrics.
pub async fn answer(site: Rc<Site>, metrics: Rc<Metrics>, request: Request<Incoming>) -> Response<Chunks> {
    match *request.method() {
        Method::GET | Method::HEAD => {}
        Method::OPTIONS => return with_allow(text(StatusCode::OK, "")),
        _ => return with_allow(text(StatusCode::METHOD_NOT_ALLOWED, "")),
    }
    let (uri, headers) = (request.uri(), request.headers());
    let endpoint = match Endpoint::of(&site.broker.config().metrics, uri.path(), uri.query().unwrap_or_default()) {
        Ok(endpoint) => endpoint,
        Err(refusal @ NoEndpoint::WrongPattern(_)) => return text(StatusCode::BAD_REQUEST, &refusal.text()),
        Err(refusal) => return text(StatusCode::NOT_FOUND, &refusal.text()),
    };
    let place = match endpoint {
        Endpoint::Aggregated | Endpoint::MemoryBreakdown => None,
        Endpoint::PerObject | Endpoint::Detailed(_) => match site.scrapes.clone().try_acquire_owned() {
            Ok(place) => Some(place),
            Err(_) => return text(StatusCode::SERVICE_UNAVAILABLE, "Too many answers with every object at a time"),
        },
    };
    let format = Format::accepted(headers.get(header::ACCEPT).and_then(|value| value.to_str().ok()));
    let Ok(all) = metrics.render(facts(&site), &endpoint, format).await else {
        return text(StatusCode::SERVICE_UNAVAILABLE, "A shard does not answer");
    };
    let kind = HeaderValue::from_static(all.content_type());
    let is_compressed = accepts_gzip(headers);
    let mut response = match (request.method() == Method::HEAD, is_compressed) {
        (true, _) => text(StatusCode::OK, ""),
        (_, true) => {
            let rest = Some((all, GzEncoder::new(Vec::new(), Compression::fast())));
            Response::new(Chunks::new(Gzip { rest }, place))
        }
        (_, false) => Response::new(Chunks::new(all.map(String::into_bytes), place)),
    };
    response.headers_mut().insert(header::CONTENT_TYPE, kind);
    if is_compressed {
        response.headers_mut().insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
    }
    response
}

fn facts(site: &Site) -> Facts {
    let usage = site.host.usage();
    Facts {
        process: Process::read(),
        memory_max: Some(usage.memory.1),
        disk_free: Some(usage.disk.0),
        disk_free_min: Some(usage.disk.1),
        context_switches: Some(usage.context_switches),
        alarms: site.host.alarms(),
        http_logins: site.attempts.get(),
    }
}

fn accepts_gzip(headers: &HeaderMap) -> bool {
    let encodings = headers.get(header::ACCEPT_ENCODING).and_then(|value| value.to_str().ok()).unwrap_or_default();
    encodings.split(',').any(|encoding| encoding.trim().split(';').next() == Some("gzip"))
}

fn text(status: StatusCode, text: &str) -> Response<Chunks> {
    let mut response = Response::new(Chunks::new(std::iter::once(text.as_bytes().to_vec()), None));
    *response.status_mut() = status;
    response
}

fn with_allow(mut response: Response<Chunks>) -> Response<Chunks> {
    response.headers_mut().insert(header::ALLOW, HeaderValue::from_static("GET, HEAD, OPTIONS"));
    response
}

/// Text that is compressed chunk by chunk.
struct Gzip<T> {
    rest: Option<(T, GzEncoder<Vec<u8>>)>,
}

impl<T: Iterator<Item = String>> Iterator for Gzip<T> {
    type Item = Vec<u8>;

    fn next(&mut self) -> Option<Vec<u8>> {
        let (text, encoder) = self.rest.as_mut()?;
        match text.next() {
            Some(chunk) => {
                encoder.write_all(chunk.as_bytes()).expect("a vector takes all");
                Some(std::mem::take(encoder.get_mut()))
            }
            None => self.rest.take().map(|(_, encoder)| encoder.finish().expect("a vector takes all")),
        }
    }
}
