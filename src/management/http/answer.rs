//! Answers: status, content, and the few headers that only some answers have.

use std::fmt;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::header::{CONTENT_DISPOSITION, HeaderName, HeaderValue, LOCATION};
use serde_json::{Map, Value};
use tokio::sync::mpsc::Receiver;

use super::{Page, Refusal};

/// An answer, or the refusal of the request.
pub type Outcome = Result<Answer, Refusal>;

/// An answer.
#[derive(Debug)]
pub struct Answer {
    /// The status.
    pub status: StatusCode,
    /// The content.
    pub content: Content,
    /// Headers beside those that every answer has.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

/// The content of an answer.
#[derive(Debug)]
pub enum Content {
    /// None.
    Nothing,
    /// One object, or another JSON value that no query parameter applies to but `columns`.
    One(Value),
    /// A list, sorted by virtual host and name, to which all query parameters apply.
    List(Vec<Value>),
    /// A long list in its own order, whose items are made while it is sent.
    Lazy(Lazy),
    /// A page of a list whose handler has cut and sorted it.
    Page(Page),
    /// Text or bytes of another type.
    Raw {
        /// The content type.
        kind: &'static str,
        /// The bytes.
        bytes: Vec<u8>,
    },
    /// Pieces of another type, sent as they come, until the client goes away.
    Live {
        /// The content type.
        kind: &'static str,
        /// The pieces.
        pieces: Receiver<Bytes>,
    },
}

/// The items of a list, some at a time; none: that was all.
pub struct Lazy(pub Box<dyn FnMut() -> Option<Vec<Value>>>);

impl Lazy {
    /// The same list with changed items.
    #[must_use]
    pub fn map(mut self, change: impl Fn(Value) -> Value + 'static) -> Lazy {
        Lazy(Box::new(move || Some((self.0)()?.into_iter().map(&change).collect())))
    }
}

impl fmt::Debug for Lazy {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Lazy")
    }
}

impl Answer {
    /// 200 with an object.
    pub fn one(value: impl Into<Value>) -> Answer {
        Answer::new(StatusCode::OK, Content::One(value.into()))
    }

    /// 200 with a list.
    pub fn list(objects: impl IntoIterator<Item = Map<String, Value>>) -> Answer {
        Answer::new(StatusCode::OK, Content::List(objects.into_iter().map(Value::Object).collect()))
    }

    /// 200 with a list whose items are made while it is sent: at each call some, none after the last.
    pub fn lazy(items: impl FnMut() -> Option<Vec<Value>> + 'static) -> Answer {
        Answer::new(StatusCode::OK, Content::Lazy(Lazy(Box::new(items))))
    }

    /// 200 with bytes of this type.
    pub fn raw(kind: &'static str, bytes: impl Into<Vec<u8>>) -> Answer {
        Answer::new(StatusCode::OK, Content::Raw { kind, bytes: bytes.into() })
    }

    /// 200 with pieces of this type, sent as they come.
    pub fn live(kind: &'static str, pieces: Receiver<Bytes>) -> Answer {
        Answer::new(StatusCode::OK, Content::Live { kind, pieces })
    }

    /// A status without content.
    pub fn bare(status: StatusCode) -> Answer {
        Answer::new(status, Content::Nothing)
    }

    /// 204
    pub fn done() -> Answer {
        Answer::bare(StatusCode::NO_CONTENT)
    }

    /// 201 for an object that was made, 204 for one that existed.
    pub fn put(is_new: bool) -> Answer {
        Answer::bare(if is_new { StatusCode::CREATED } else { StatusCode::NO_CONTENT })
    }

    /// 301 to another path.
    pub fn moved(path: &str) -> Answer {
        Answer::bare(StatusCode::MOVED_PERMANENTLY).with(LOCATION, path)
    }

    /// Makes an answer.
    pub fn new(status: StatusCode, content: Content) -> Answer {
        Answer { status, content, headers: Vec::new() }
    }

    /// The answer with another header; a value that cannot be one is left out.
    #[must_use]
    pub fn with(mut self, name: HeaderName, value: &str) -> Answer {
        self.headers.extend(HeaderValue::from_str(value).ok().map(|value| (name, value)));
        self
    }

    /// The answer as a file to be downloaded under this name.
    #[must_use]
    pub fn as_file(self, name: &str) -> Answer {
        self.with(CONTENT_DISPOSITION, &format!("attachment; filename={name}"))
    }
}
