//! The bytes of an answer. A long list is written piece by piece while it is sent, so that it is
//! never in memory as a whole.

use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};
use std::vec::IntoIter;

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use hyper::body::{Body, Frame, SizeHint};
use serde_json::Value;
use tokio::sync::mpsc::Receiver;

use super::Lazy;

/// The body of an answer.
pub struct Payload {
    rest: Rest,
    encoder: Option<GzEncoder<Vec<u8>>>,
}

enum Rest {
    Bytes(Vec<u8>),
    /// The items of a list that were not written yet; whether none was.
    List(IntoIter<Value>, bool),
    /// The same of a list whose items are not made yet.
    Lazy(Lazy, bool),
    /// Pieces that somebody else makes, for as long as the client listens.
    Live(Receiver<Bytes>),
    /// Nothing but the end of the compressed stream.
    End,
}

impl Payload {
    /// Makes the body of these bytes.
    pub fn bytes(bytes: Vec<u8>) -> Payload {
        Payload { rest: Rest::Bytes(bytes), encoder: None }
    }

    /// Makes the body of a list.
    pub fn list(items: Vec<Value>) -> Payload {
        let len = items.len();
        let mut payload = Payload { rest: Rest::List(items.into_iter(), true), encoder: None };
        if len <= SHORT {
            payload.rest = Rest::Bytes(payload.piece(usize::MAX));
        }
        payload
    }

    /// Makes the body of a list whose items are made while it is sent.
    pub fn lazy(items: Lazy) -> Payload {
        Payload { rest: Rest::Lazy(items, true), encoder: None }
    }

    /// Makes the body of pieces that come from elsewhere. Each is sent as it comes.
    pub fn live(pieces: Receiver<Bytes>) -> Payload {
        Payload { rest: Rest::Live(pieces), encoder: None }
    }

    /// The length, if it is known.
    pub fn known_len(&self) -> Option<usize> {
        match &self.rest {
            Rest::Bytes(bytes) if self.encoder.is_none() => Some(bytes.len()),
            _ => None,
        }
    }

    /// Compresses the body, if it is worth it. Returns whether it is.
    pub fn compress(&mut self) -> bool {
        let is_long = self.known_len().is_none_or(|len| len >= COMPRESSED_MIN) && !matches!(self.rest, Rest::Live(_));
        if is_long {
            self.encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
        }
        is_long
    }

    /// Drops the body, as an answer to HEAD.
    pub fn clear(&mut self) {
        *self = Payload::bytes(Vec::new());
    }

    /// Writes some items of the list.
    fn piece(&mut self, len_max: usize) -> Vec<u8> {
        let Rest::List(items, is_first) = &mut self.rest else { return Vec::new() };
        let mut piece = Vec::new();
        while piece.len() < len_max {
            let Some(item) = items.next() else {
                piece.extend_from_slice(end(*is_first));
                self.rest = Rest::End;
                break;
            };
            put(&mut piece, &item, is_first);
        }
        piece
    }

    /// Makes and writes some items of the list.
    fn lazy_piece(&mut self) -> Vec<u8> {
        let Rest::Lazy(items, is_first) = &mut self.rest else { return Vec::new() };
        let mut piece = Vec::new();
        match (items.0)() {
            Some(items) => items.iter().for_each(|item| put(&mut piece, item, is_first)),
            None => {
                piece.extend_from_slice(end(*is_first));
                self.rest = Rest::End;
            }
        }
        piece
    }

    /// The next bytes of the body.
    fn next_piece(&mut self) -> Option<Vec<u8>> {
        let piece = match &mut self.rest {
            Rest::Bytes(bytes) => {
                let bytes = std::mem::take(bytes);
                self.rest = Rest::End;
                bytes
            }
            Rest::List(..) => self.piece(PIECE),
            Rest::Lazy(..) => self.lazy_piece(),
            Rest::Live(_) => return None,
            Rest::End => {
                let encoder = self.encoder.take()?;
                return Some(encoder.finish().expect("a vector takes all"));
            }
        };
        let Some(encoder) = &mut self.encoder else { return Some(piece) };
        encoder.write_all(&piece).expect("a vector takes all");
        Some(std::mem::take(encoder.get_mut()))
    }
}

impl Body for Payload {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if let Rest::Live(pieces) = &mut self.rest {
            return pieces.poll_recv(context).map(|piece| piece.map(|piece| Ok(Frame::data(piece))));
        }
        loop {
            match self.next_piece() {
                None => return Poll::Ready(None),
                Some(piece) if piece.is_empty() => {}
                Some(piece) => return Poll::Ready(Some(Ok(Frame::data(piece.into())))),
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.encoder.is_none() && matches!(&self.rest, Rest::End) || self.known_len() == Some(0)
    }

    fn size_hint(&self) -> SizeHint {
        self.known_len().map_or_else(SizeHint::default, |len| SizeHint::with_exact(len as u64))
    }
}

/// Writes an item, with what stands before it.
fn put(piece: &mut Vec<u8>, item: &Value, is_first: &mut bool) {
    piece.push(if std::mem::take(is_first) { b'[' } else { b',' });
    serde_json::to_writer(piece, item).expect("a value in memory can be written");
}

fn end(is_empty: bool) -> &'static [u8] {
    if is_empty { b"[]" } else { b"]" }
}

/// Bytes that are written at once.
const PIECE: usize = 64 << 10;
/// Items of a list that is written as a whole, with its length.
const SHORT: usize = 100;
/// Bytes from which on compression is worth it.
const COMPRESSED_MIN: usize = 300;

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;
    use std::io::Read;

    fn written(mut payload: Payload) -> Vec<Vec<u8>> {
        std::iter::from_fn(|| payload.next_piece()).collect()
    }

    #[test]
    fn a_list_is_written_in_pieces() {
        let items: Vec<Value> = (0..5000).map(|n| json!({ "name": format!("queue number {n}") })).collect();
        let pieces = written(Payload::list(items.clone()));
        assert!(pieces.len() > 2 && pieces.iter().all(|piece| piece.len() < PIECE + 100));
        assert_eq!(serde_json::from_slice::<Vec<Value>>(&pieces.concat()).expect("JSON"), items);
        for few in [0, 1, 2] {
            let payload = Payload::list(items[..few].to_vec());
            assert!(payload.known_len().is_some());
            assert_eq!(serde_json::from_slice::<Vec<Value>>(&written(payload).concat()).expect("JSON"), items[..few]);
        }
    }

    #[test]
    fn items_are_made_while_they_are_sent() {
        for count in [0, 1, 3] {
            let mut left = count;
            let items = move || {
                left = usize::checked_sub(left, 1)?;
                Some(vec![json!(left), json!("x")])
            };
            let lazy = Lazy(Box::new(items)).map(|item| json!([item]));
            let list: Vec<Value> = serde_json::from_slice(&written(Payload::lazy(lazy)).concat()).expect("JSON");
            assert_eq!(list.len(), 2 * count);
            assert!(list.iter().all(Value::is_array));
        }
    }

    #[test]
    fn a_compressed_list_is_the_same() {
        let items: Vec<Value> = (0..5000).map(|n| json!({ "name": n })).collect();
        let mut payload = Payload::list(items.clone());
        assert!(payload.compress() && payload.known_len().is_none());
        let bytes = written(payload).concat();
        let mut text = String::new();
        flate2::read::GzDecoder::new(&bytes[..]).read_to_string(&mut text).expect("gzip");
        assert_eq!(serde_json::from_str::<Vec<Value>>(&text).expect("JSON"), items);
        assert!(!Payload::bytes(vec![0; 10]).compress());
    }
}
