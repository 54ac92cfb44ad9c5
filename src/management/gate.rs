//! The gate: from a request to its response. Everything that does not depend on the object asked for
//! happens here: path prefix, methods, login, content types, body, headers, compression, CORS.
//!
//! ```text
//! request ─ prefix ─ path ─ route ─ method ─ login ─ accept ─ body ─▶ api ─▶ Answer ─ headers ─▶ response
//!                      404 ┘  405 ┘   401 ┘   406 ┘   400 ┘
//! ```

use std::rc::Rc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::Incoming;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{HeaderMap, Method, Request, Response, StatusCode};
use serde_json::json;
use tokio::task::spawn_local;
use tokio::time::timeout;

use super::api::{self, Action, Call, Route};
use super::ctl;
use super::http::{Answer, Columns, Content, Outcome, Params, Path, PathError, Payload, Refusal, shape, shape_one, shape_page};
use super::login::{Login, Needs, Origin, log_in};
use super::site::Site;

/// Answers a request that came from there.
pub async fn answer(site: Rc<Site>, origin: Origin, request: Request<Incoming>) -> Response<Payload> {
    let mut gate = Gate { site, origin, allow: String::new(), path: String::new() };
    let (parts, body) = request.into_parts();
    let (method, headers) = (parts.method.clone(), parts.headers.clone());
    let outcome = gate.pass(parts.method, parts.uri, parts.headers, body).await;
    gate.respond(&method, &headers, outcome)
}

/// A request on its way.
struct Gate {
    site: Rc<Site>,
    origin: Origin,
    /// The methods of the route, once it is found.
    allow: String,
    path: String,
}

impl Gate {
    async fn pass(&mut self, method: Method, uri: hyper::Uri, headers: HeaderMap, body: Incoming) -> Outcome {
        self.path = uri.path().to_owned();
        if method == Method::TRACE || method == Method::CONNECT {
            return Err(Refusal::Bare(StatusCode::NOT_IMPLEMENTED));
        }
        let segments = match Path::parse(uri.path()) {
            Ok(Path(segments)) => segments,
            Err(PathError::Malformed) => return Err(Refusal::Bare(StatusCode::BAD_REQUEST)),
            Err(PathError::NotUtf8) => return Err(Refusal::absent()),
        };
        let segments = match self.below_prefix(&segments) {
            Ok(segments) => segments,
            Err(outcome) => return outcome,
        };
        let found = match segments.split_first().map(|(first, below)| (&**first, below)) {
            Some(("api", [])) => return Ok(Answer::moved(&format!("{}/api/index.html", self.prefix()))),
            Some(("api", [page])) if page == "index.html" => return Ok(api::reference_page()),
            Some(("api", below)) => api::find(below).ok_or_else(|| api::unknown(below)),
            Some(("ctl", below)) if self.origin == Origin::Local => ctl::find(below).ok_or_else(Refusal::absent),
            _ => return self.other(segments),
        };
        let (route, variables) = found?;
        self.allow = route.allow();
        if method == Method::OPTIONS {
            return Ok(Answer::bare(StatusCode::OK));
        }
        let Some(action) = route.action(&method) else { return Err(not_allowed(&method, &self.allow)) };
        let login = self.log_in(action.needs, &headers)?;
        check_accept(&headers)?;
        let params = Params::parse(uri.query().unwrap_or_default());
        let body = match method {
            Method::PUT | Method::POST => read(body, self.most(route, action, &login)).await?,
            _ => Bytes::new(),
        };
        let (site, origin) = (self.site.clone(), self.origin.clone());
        let call = Call { site, login, origin, method, variables, params, headers, body };
        let path = std::mem::take(&mut self.path);
        // A client that closes its connection meanwhile ends neither a change nor its audit. It does end
        // a fetch of messages, so that they stay in their queue.
        if !route.changes(&call.method) {
            return carry_out(call, route, action, path).await;
        }
        spawn_local(carry_out(call, route, action, path)).await.unwrap_or_else(|error| {
            log::error!("management: a request was not carried out: {error}");
            Err(Refusal::Bare(StatusCode::INTERNAL_SERVER_ERROR))
        })
    }

    /// The most bytes that a body may have. Files of definitions may be long, so administrators have
    /// another limit for them; who has not logged in has little to say.
    fn most(&self, route: &Route, action: &Action, login: &Login) -> usize {
        let most = self.site.broker.config().management.body_max;
        match action.needs {
            Needs::Nothing => most.min(BODY_MAX_UNKNOWN),
            _ if login.is_administrator() && DEFINITIONS.contains(&route.path) => most.max(DEFINITIONS_MAX),
            _ => most,
        }
    }

    /// The path prefix of the ports; the socket has none.
    fn prefix(&self) -> &str {
        match self.origin {
            Origin::Local => "",
            Origin::Remote(_) => &self.site.broker.config().management.path_prefix,
        }
    }

    /// Returns the segments behind the prefix, or the answer for what lies outside it.
    fn below_prefix<'a>(&self, segments: &'a [String]) -> Result<&'a [String], Outcome> {
        let prefix = self.prefix().split('/').filter(|part| !part.is_empty());
        let mut rest = segments;
        for part in prefix {
            match rest.split_first() {
                Some((first, below)) if first == part => rest = below,
                None if segments.is_empty() => return Err(Ok(Answer::moved(&format!("{}/", self.prefix())))),
                _ => return Err(Err(Refusal::absent())),
            }
        }
        Ok(rest)
    }

    /// Answers what is not below `/api`. Here other services of the same listeners find their place:
    /// metrics, the web page, and below `/ctl`, for [`Origin::Local`] only, the command line tool's.
    fn other(&self, segments: &[String]) -> Outcome {
        let segments: Vec<&str> = segments.iter().map(String::as_str).collect();
        match segments[..] {
            ["stats"] | ["doc", "stats.html"] => Ok(Answer::moved(&format!("{}/api/index.html", self.prefix()))),
            ["cli"] => Ok(Answer::moved(&format!("{}/cli/index.html", self.prefix()))),
            ["mgmt"] => Ok(Answer::moved(&format!("{}/", self.prefix()))),
            _ => Err(Refusal::absent()),
        }
    }

    fn log_in(&self, needs: Needs, headers: &HeaderMap) -> Result<Login, Refusal> {
        if needs == Needs::Nothing {
            return Ok(Login::of_nobody());
        }
        let config = self.site.broker.config();
        let header = headers.get(header::AUTHORIZATION).map(HeaderValue::as_bytes);
        if !config.management.basic_auth && matches!(self.origin, Origin::Remote(_)) {
            return Err(Refusal::wrong_login());
        }
        let login = log_in(&self.site.broker.catalog(), config, &self.origin, header, &self.site.attempts)?;
        login.check(needs)?;
        Ok(login)
    }

    fn respond(&self, method: &Method, headers: &HeaderMap, outcome: Outcome) -> Response<Payload> {
        let status = status(&outcome);
        let (mut payload, kind, own) = match outcome {
            Ok(answer) => content(answer),
            Err(refusal) => refused(refusal),
        };
        let mut response = Response::new(Payload::bytes(Vec::new()));
        *response.status_mut() = status;
        let to = response.headers_mut();
        self.put_headers(to, status == StatusCode::OK && kind.is_some());
        to.extend(own.into_iter().map(|(name, value)| (Some(name), value)));
        to.extend(kind.map(|kind| (Some(header::CONTENT_TYPE), HeaderValue::from_static(kind))));
        self.put_cors(to, method, headers);
        if takes_gzip(headers) && payload.compress() {
            to.insert(header::CONTENT_ENCODING, HeaderValue::from_static("gzip"));
        }
        if let Some(len) = payload.known_len().filter(|_| status != StatusCode::NO_CONTENT) {
            to.insert(header::CONTENT_LENGTH, len.into());
        }
        if method == Method::HEAD {
            payload.clear();
        }
        *response.body_mut() = payload;
        response
    }

    /// Puts the headers that every answer has.
    fn put_headers(&self, to: &mut HeaderMap, has_content: bool) {
        let cache = if has_content { "no-cache" } else { "public, max-age=0, must-revalidate" };
        to.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
        to.insert(header::VARY, HeaderValue::from_static("accept, accept-encoding, origin"));
        to.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static("script-src 'self'; object-src 'self'"));
        if !self.allow.is_empty() && !self.site.broker.config().management.hide_allow {
            to.extend(HeaderValue::from_str(&self.allow).ok().map(|allow| (Some(header::ALLOW), allow)));
        }
    }

    /// Puts the headers by which web pages of other origins may read the answer, if theirs is
    /// permitted.
    fn put_cors(&self, to: &mut HeaderMap, method: &Method, request: &HeaderMap) {
        let settings = &self.site.broker.config().management;
        let Some(origin) = request.get(header::ORIGIN) else { return };
        let is_listed = settings.cors_origins.iter().any(|known| known.as_bytes() == origin.as_bytes());
        let is_open = settings.cors_origins.iter().any(|known| known == "*");
        if is_open {
            to.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, HeaderValue::from_static("*"));
        } else if is_listed && origin != "null" && origin != "*" {
            to.insert(header::ACCESS_CONTROL_ALLOW_ORIGIN, origin.clone());
            to.insert(header::ACCESS_CONTROL_ALLOW_CREDENTIALS, HeaderValue::from_static("true"));
        } else {
            return;
        }
        if method == Method::OPTIONS {
            to.extend(HeaderValue::from_str(&self.allow).ok().map(|allow| (Some(header::ACCESS_CONTROL_ALLOW_METHODS), allow)));
            to.insert(header::ACCESS_CONTROL_MAX_AGE, settings.cors_max_age.into());
            let wanted = request.get(header::ACCESS_CONTROL_REQUEST_HEADERS).cloned();
            to.extend(wanted.map(|wanted| (Some(header::ACCESS_CONTROL_ALLOW_HEADERS), wanted)));
        }
    }
}

/// Carries a request out and notes it in the audit log if it changes something.
async fn carry_out(call: Call, route: &'static Route, action: &'static Action, path: String) -> Outcome {
    let outcome = api::perform(action, &call).await.and_then(|answer| shaped(answer, &call.params));
    if route.changes(&call.method) {
        call.audit(&path, status(&outcome).as_u16());
    }
    outcome
}

/// Reads a body of at most so many bytes.
async fn read(body: Incoming, most: usize) -> Result<Bytes, Refusal> {
    match timeout(BODY_TIMEOUT, Limited::new(body, most).collect()).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(Refusal::bad_request("Exceeded HTTP request body size limit")),
        Ok(Err(_)) | Err(_) => Err(Refusal::Bare(StatusCode::REQUEST_TIMEOUT)),
    }
}

/// Applies the query parameters to the content of an answer.
fn shaped(answer: Answer, params: &Params) -> Outcome {
    let content = match answer.content {
        Content::List(items) => shape(items, params)?,
        Content::Lazy(items) => {
            let columns = Columns::parse(params);
            Content::Lazy(items.map(move |item| columns.pick(item)))
        }
        Content::One(value) => Content::One(shape_one(value, params)),
        Content::Page(page) => Content::One(shape_page(page, params)),
        other => other,
    };
    Ok(Answer { content, ..answer })
}

fn status(outcome: &Outcome) -> StatusCode {
    match outcome {
        Ok(answer) => answer.status,
        Err(Refusal::Bare(status) | Refusal::Told { status, .. }) => *status,
        Err(Refusal::Challenge) => StatusCode::UNAUTHORIZED,
    }
}

type Parts = (Payload, Option<&'static str>, Vec<(HeaderName, HeaderValue)>);

fn content(answer: Answer) -> Parts {
    let (payload, kind) = match answer.content {
        Content::Nothing => (Payload::bytes(Vec::new()), None),
        Content::One(value) => (Payload::bytes(value.to_string().into_bytes()), Some(JSON)),
        Content::List(items) => (Payload::list(items), Some(JSON)),
        Content::Lazy(items) => (Payload::lazy(items), Some(JSON)),
        Content::Page(page) => (Payload::bytes(page.into_json(|item| item).to_string().into_bytes()), Some(JSON)),
        Content::Raw { kind, bytes } => (Payload::bytes(bytes), Some(kind)),
        Content::Live { kind, pieces } => (Payload::live(pieces), Some(kind)),
    };
    (payload, kind, answer.headers)
}

fn refused(refusal: Refusal) -> Parts {
    match refusal {
        Refusal::Bare(_) => (Payload::bytes(Vec::new()), None, Vec::new()),
        Refusal::Challenge => {
            let challenge = HeaderValue::from_static("Basic realm=\"RabbitMQ Management\"");
            (Payload::bytes(Vec::new()), None, vec![(header::WWW_AUTHENTICATE, challenge)])
        }
        Refusal::Told { error, reason, .. } => {
            (Payload::bytes(json!({ "error": error, "reason": reason }).to_string().into_bytes()), Some(JSON), Vec::new())
        }
    }
}

fn not_allowed(method: &Method, allow: &str) -> Refusal {
    let reason = format!("{method} is not allowed here; allowed are {allow}");
    Refusal::told(StatusCode::METHOD_NOT_ALLOWED, "method_not_allowed", reason)
}

/// Refuses requests of those who cannot read JSON. Who prefers Erlang's terms gets JSON, and finds
/// that out by the content type.
fn check_accept(headers: &HeaderMap) -> Result<(), Refusal> {
    let kinds: Vec<&str> =
        headers.get_all(header::ACCEPT).iter().filter_map(|value| value.to_str().ok()).flat_map(|kinds| kinds.split(',')).collect();
    let takes = |kind: &&str| {
        let kind = kind.split(';').next().unwrap_or_default().trim();
        matches!(kind, "" | "*/*" | "application/*" | "application/json" | "application/bert")
    };
    if kinds.is_empty() || kinds.iter().any(takes) { Ok(()) } else { Err(Refusal::Bare(StatusCode::NOT_ACCEPTABLE)) }
}

fn takes_gzip(headers: &HeaderMap) -> bool {
    let kinds = headers.get(header::ACCEPT_ENCODING).and_then(|kinds| kinds.to_str().ok()).unwrap_or_default();
    kinds.split(',').any(|kind| {
        let mut parts = kind.split(';').map(str::trim);
        parts.next().is_some_and(|name| name.eq_ignore_ascii_case("gzip")) && parts.next() != Some("q=0")
    })
}

const JSON: &str = "application/json";
/// How long a client may take to send a body.
const BODY_TIMEOUT: Duration = Duration::from_secs(60);
/// The largest file of definitions, bytes.
const DEFINITIONS_MAX: usize = 512 << 20;
/// The routes of files of definitions.
const DEFINITIONS: [&str; 3] = ["definitions", "all-configuration", "definitions/{vhost}"];
/// The largest body of somebody who has not logged in, bytes.
const BODY_MAX_UNKNOWN: usize = 16 << 10;
