//! Input: from bytes to frames to events. The general path takes whole frames, except body frames,
//! which are appended to their message as they arrive. Fast paths come first, for the two forms
//! that matter: small publishes that are complete in the input, and acks.

use super::assembly::{Assembly, Draft};
use super::negotiation::GREETING_SIZE;
use super::*;
use crate::base::limits::{FRAME_SIZE_SLACK, MESSAGE_SIZE_CAP, PUBLISH_RUN_MAX};
use crate::contract::{Code, Count, Outcome};
use crate::message::{Body, Content, Properties, PropertiesError, Route, TableError};
use crate::protocol::amqp::acks::peek_acks;
use crate::protocol::amqp::content::{self, ContentHeader};
use crate::protocol::amqp::frame::{
    self, Deframed, FRAME_END, FRAME_HEADER_SIZE, FRAME_OVERHEAD, Frame, FrameHeader, Kind, deframe, payload_max,
};
use crate::protocol::amqp::method::{Method, basic};
use crate::protocol::amqp::publish::{FastPublish, peek_alike, peek_next, peek_publish};

/// The result of reading the front of the input.
#[derive(Debug)]
pub enum Step<'a> {
    /// More bytes are needed.
    Starved,
    /// This many bytes are consumed.
    Took(usize),
    /// This many bytes are consumed, and the shard gets the event.
    Event(usize, Event<'a>),
}

/// A body frame that has not arrived completely.
#[derive(Clone, Copy, Debug, Default)]
pub struct BodyFrame {
    /// The frame's channel.
    pub channel: u16,
    /// Size of its payload, octets.
    pub size: usize,
    /// Number of these octets that are still missing; the end octet follows them.
    pub left: usize,
}

impl Session {
    /// Takes the next event out of `input`, the contiguous bytes that have arrived and were not
    /// consumed before. Returns the number of bytes consumed, and the event; `contents` receives
    /// the messages of an [`Event::Publish`]. The last event must have been answered.
    pub fn poll<'a>(&mut self, input: &'a [u8], contents: &mut Contents<'a>) -> (usize, Event<'a>) {
        contents.clear();
        self.keepalive.received |= !input.is_empty();
        let mut consumed = 0;
        loop {
            if self.stage == Stage::Finished {
                return (consumed, Event::Finished);
            }
            assert!(self.pending.is_none(), "a request is answered before the next poll");
            if let Some(event) = self.announce() {
                return (consumed, event);
            }
            match self.step(&input[consumed..], contents) {
                Step::Starved => return (consumed, Event::Starved),
                Step::Took(bytes) => consumed += bytes,
                Step::Event(bytes, event) => return (consumed + bytes, event),
            }
        }
    }

    /// How many bytes poll needs, contiguous from `head` on, to make progress. `head` is the input
    /// that it has not consumed.
    pub fn needed(&self, head: &[u8]) -> usize {
        if self.stage == Stage::Greeting {
            return GREETING_SIZE;
        }
        if self.body_frame.is_some() {
            return 1;
        }
        match FrameHeader::parse(head) {
            Some(header) if self.is_frame_possible(header) && !self.streams(header) => header.size as usize + FRAME_OVERHEAD,
            _ => FRAME_HEADER_SIZE,
        }
    }

    fn announce<'a>(&mut self) -> Option<Event<'a>> {
        Some(match self.announcements.pop_front()? {
            Announcement::ChannelEnded(channel) => Event::ChannelEnded { channel },
            Announcement::Relieved(channel) => Event::Relieved { channel },
            Announcement::Metered(channel) => Event::Metered { channel },
            Announcement::Late(late) => Event::Late(late),
            Announcement::Blocked => {
                self.block();
                Event::Blocked
            }
            Announcement::Closing(fault) => Event::Closing(fault),
        })
    }

    fn step<'a>(&mut self, input: &'a [u8], contents: &mut Contents<'a>) -> Step<'a> {
        if input.is_empty() {
            return Step::Starved;
        }
        if self.body_frame.is_some() {
            return self.on_body_piece(input);
        }
        match self.stage {
            Stage::Running => match self.on_fast_publish(input, contents).or_else(|| self.on_fast_acks(input)) {
                Some(step) => step,
                None => self.on_frame(input),
            },
            Stage::Greeting => self.on_greeting(input),
            Stage::Muted => Step::Took(input.len()),
            _ => self.on_frame(input),
        }
    }

    /// Takes the fast path of publishes. Returns `None` if anything about channel or message is
    /// unusual: then the general path follows.
    #[inline]
    fn on_fast_publish<'a>(&mut self, input: &'a [u8], contents: &mut Contents<'a>) -> Option<Step<'a>> {
        let (size, publish) = peek_publish(input, self.client.frame_max)?;
        let FastPublish { channel: number, mandatory, immediate, route, .. } = publish;
        let channel = self.channels.find_mut(number)?;
        let usual =
            channel.life == Life::Open && matches!(channel.assembly, Assembly::Method) && !immediate && self.throttle.alarms.is_empty();
        let size_max = self.config.max_message_size;
        if !usual || matches!(channel.mode, Mode::Tx) || !is_usual(publish.content, Properties::NONE, size_max) {
            return None;
        }
        let size = take_run(input, size, &publish, self.client.frame_max, size_max, contents);
        let confirm = match &mut channel.mode {
            Mode::Confirm(confirms) => Some(confirms.publish(contents.len() as u64)),
            _ => {
                channel.counts.add(Count::Publish, contents.len());
                None
            }
        };
        if confirm.is_some() {
            self.must_flush(number);
        }
        self.method = PUBLISH;
        Some(Step::Event(size, Event::Publish(Publish { channel: number, mandatory, confirm, route: Route::new(route) })))
    }

    /// Takes the fast path of acks.
    #[inline]
    fn on_fast_acks<'a>(&mut self, input: &'a [u8]) -> Option<Step<'a>> {
        let (size, number, tags) = peek_acks(input)?;
        let channel = self.channels.find(number)?;
        let usual = channel.life == Life::Open && matches!(channel.assembly, Assembly::Method);
        usual.then(|| {
            self.method = ACK;
            Step::Event(size, channel.settlement(number, tags, Outcome::Acked))
        })
    }

    /// Takes the general path.
    fn on_frame<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        if let Some(header) = FrameHeader::parse(input)
            && self.streams(header)
        {
            let size = header.size as usize;
            self.body_frame = Some(BodyFrame { channel: header.channel, size, left: size });
            return Step::Took(FRAME_HEADER_SIZE);
        }
        match deframe(input, self.client.frame_max) {
            Ok(Deframed::Incomplete { .. }) => Step::Starved,
            Ok(Deframed::Frame(frame)) => match self.on_whole_frame(&frame) {
                Some(event) => Step::Event(frame.consumed, event),
                None => Step::Took(frame.consumed),
            },
            Err(error) => {
                self.lose_track(error.to_string());
                Step::Took(input.len())
            }
        }
    }

    /// Whether a frame is processed as it arrives, and need not be complete: it belongs to a
    /// message, or is ignored.
    fn streams(&self, header: FrameHeader) -> bool {
        let expected = match self.stage {
            Stage::Running => match self.channels.find(header.channel).map(|channel| &channel.assembly) {
                Some(Assembly::Body(draft)) => u64::from(header.size) <= draft.missing(),
                _ => false,
            },
            Stage::Closing | Stage::Closed => true,
            _ => false,
        };
        header.kind == Kind::Body && expected && self.is_frame_possible(header)
    }

    fn is_frame_possible(&self, header: FrameHeader) -> bool {
        header.size as usize <= payload_max(self.client.frame_max) + FRAME_SIZE_SLACK
    }

    fn on_body_piece<'a>(&mut self, input: &'a [u8]) -> Step<'a> {
        let frame = self.body_frame.as_mut().expect("the caller has looked");
        let piece = &input[..input.len().min(frame.left)];
        frame.left -= piece.len();
        let frame = *frame;
        if let Some(Channel { assembly: Assembly::Body(draft), .. }) = self.channels.find_mut(frame.channel) {
            draft.on_body(piece);
        }
        let Some(&end) = input.get(piece.len()) else {
            return Step::Took(piece.len());
        };
        self.body_frame = None;
        if end != FRAME_END {
            self.on_bad_end(frame, end);
            return Step::Took(input.len());
        }
        let complete = self.complete(frame.channel);
        self.on_content();
        match complete {
            Some(event) => Step::Event(piece.len() + 1, event),
            None => Step::Took(piece.len() + 1),
        }
    }

    fn on_bad_end(&mut self, frame: BodyFrame, end: u8) {
        let payload = match self.channels.find(frame.channel).map(|channel| &channel.assembly) {
            Some(Assembly::Body(draft)) => draft.tail(frame.size),
            _ => &[],
        };
        let shown = frame::describe(Kind::Body, payload);
        self.lose_track(format!("{shown}: {{invalid_frame_end_marker,{end}}}"));
    }

    /// Handles a frame that ends at the wrong place: the bytes after it cannot be read.
    fn lose_track(&mut self, text: String) {
        let fault = Fault::new(Code::FrameError, text);
        match self.stage {
            Stage::Running | Stage::Opening => self.close_connection((0, 0), fault, Farewell::Mute),
            Stage::Closing | Stage::Closed => self.on_expired(),
            _ => self.fail(0, (0, 0), fault),
        }
    }

    fn on_whole_frame<'a>(&mut self, frame: &Frame<'a>) -> Option<Event<'a>> {
        match (self.stage, frame.channel, frame.kind) {
            (Stage::Closing | Stage::Closed, 0, Kind::Method) => self.on_last_words(frame.payload),
            (Stage::Closing | Stage::Closed, ..) => {}
            (_, 0, Kind::Heartbeat) if frame.payload.is_empty() => {}
            (_, 0, Kind::Method) => return self.on_connection_method(frame.payload),
            (stage, 1.., _) if stage != Stage::Running => self.unexpected_frame(frame),
            (_, _, Kind::Unknown(_)) => self.unknown_frame(frame),
            (_, _, Kind::Heartbeat) if !frame.payload.is_empty() => self.unknown_frame(frame),
            (_, _, Kind::Header) if frame.payload.len() < content::HEADER_PAYLOAD_MIN => self.unknown_frame(frame),
            (_, 1.., Kind::Method | Kind::Header | Kind::Body) => return self.on_channel_frame(frame),
            _ => self.unexpected_frame(frame),
        }
        None
    }

    fn unexpected_frame(&mut self, frame: &Frame<'_>) {
        self.fail(0, (0, 0), Fault::new(Code::UnexpectedFrame, frame::describe(frame.kind, frame.payload)));
    }

    fn unknown_frame(&mut self, frame: &Frame<'_>) {
        let text = format!("{}: unknown_frame", frame::describe(frame.kind, frame.payload));
        self.fail(0, (0, 0), Fault::new(Code::FrameError, text));
    }

    /// Takes a frame on a channel. The channel's last method decides which frames are allowed. A
    /// body frame that fits is not handled here.
    fn on_channel_frame<'a>(&mut self, frame: &Frame<'a>) -> Option<Event<'a>> {
        let number = frame.channel;
        let assembly = self.channels.find(number).map_or(&Assembly::Method, |channel| &channel.assembly);
        let (method, code, text) = match (assembly, frame.kind) {
            (Assembly::Method, Kind::Method) => return self.on_channel_method(number, frame.payload),
            (Assembly::Header(_), Kind::Header) => return self.on_content_header(number, frame.payload),
            (Assembly::Body(_), Kind::Body) => (PUBLISH, Code::FrameError, "content body frame exceeds remaining content size"),
            (Assembly::Method, _) => ((0, 0), Code::UnexpectedFrame, "expected method frame, got non method frame instead"),
            (Assembly::Header(_), _) => (PUBLISH, Code::UnexpectedFrame, NO_HEADER),
            (Assembly::Body(_), _) => (PUBLISH, Code::UnexpectedFrame, "expected content body, got non content body frame instead"),
        };
        self.fail(0, method, Fault::new(code, text));
        None
    }

    fn on_channel_method<'a>(&mut self, number: u16, payload: &'a [u8]) -> Option<Event<'a>> {
        match Method::parse(payload) {
            Ok(method) => {
                self.method = method.ids();
                self.on_method(number, &method)
            }
            Err(error) => {
                self.fail(0, error.ids(), error.fault());
                None
            }
        }
    }

    /// Takes basic.publish, whose content follows.
    pub(super) fn on_publish(&mut self, number: u16, publish: &basic::Publish<'_>) {
        let route = [publish.exchange.0, publish.routing_key.0];
        let draft = Draft::new(number, publish.mandatory, publish.immediate, route, &mut self.spare);
        if let Some(channel) = self.channels.find_mut(number) {
            channel.assembly = Assembly::Header(draft);
        }
    }

    fn on_content_header<'a>(&mut self, number: u16, payload: &[u8]) -> Option<Event<'a>> {
        let header = ContentHeader::parse(payload).expect("shorter headers are unknown frames");
        if let Err((code, text)) = check_header(&header) {
            self.fail(0, PUBLISH, Fault::new(code, text));
            return None;
        }
        if let Err(error) = Properties::parse(header.properties) {
            let (method, fault) = unreadable(error);
            self.fail(0, method, fault);
            return None;
        }
        let size_max = self.config.max_message_size as u64;
        let channel = self.channels.find_mut(number)?;
        let Assembly::Header(mut draft) = std::mem::take(&mut channel.assembly) else {
            unreachable!("the caller has looked");
        };
        draft.on_header(header.body_size, header.properties, header.body_size <= size_max && channel.life == Life::Open);
        channel.assembly = Assembly::Body(draft);
        let complete = self.complete(number);
        self.on_content();
        complete
    }

    /// Passes on a channel's message if it is complete.
    fn complete<'a>(&mut self, number: u16) -> Option<Event<'a>> {
        let channel = self.channels.find_mut(number)?;
        let (draft, life) = match std::mem::take(&mut channel.assembly) {
            Assembly::Body(draft) if draft.missing() == 0 => (draft, channel.life),
            unfinished => {
                channel.assembly = unfinished;
                return None;
            }
        };
        self.method = PUBLISH;
        if life != Life::Open {
            self.spare.give(draft.finish());
            return None;
        }
        if let Some(fault) = self.refuse(&draft) {
            self.fail(number, PUBLISH, fault);
            return None;
        }
        self.accept(number, draft.finish())
    }

    /// Does the checks that RabbitMQ does first with a complete message.
    fn refuse(&self, draft: &Draft) -> Option<Fault> {
        let (size, max) = (draft.size, self.config.max_message_size);
        if draft.immediate {
            return Some(Fault::new(Code::NotImplemented, "immediate=true"));
        }
        let configured = if max == MESSAGE_SIZE_CAP { "" } else { "configured " };
        let text = || format!("message size {size} is larger than {configured}max size {max}");
        (size > max as u64).then(|| Fault::new(Code::PreconditionFailed, text()))
    }

    fn accept<'a>(&mut self, number: u16, mut message: Assembled) -> Option<Event<'a>> {
        let channel = self.channels.find_mut(number)?;
        match &mut channel.mode {
            Mode::Plain => channel.counts.add(Count::Publish, 1),
            Mode::Confirm(confirms) => {
                message.confirm = Some(confirms.publish(1));
                self.must_flush(number);
            }
            Mode::Tx => {
                channel.counts.add(Count::Publish, 1);
                self.assembled = Some(message);
                return Some(Event::PublishAtCommit { channel: number });
            }
        }
        self.assembled = Some(message);
        Some(Event::Assembled { channel: number })
    }

    /// Takes out the message of [`Event::Assembled`] or [`Event::PublishAtCommit`].
    pub fn take_assembled(&mut self) -> Assembled {
        self.assembled.take().expect("the last event was a message")
    }

    /// Takes a message's buffers back, for the next one.
    pub fn recycle(&mut self, message: Assembled) {
        self.spare.give(message);
    }
}

/// Takes the publish at the front of `input`, which is `size` bytes, and those after it with the
/// same exchange and routing key. Returns their size.
#[inline]
fn take_run<'a>(
    input: &'a [u8],
    mut size: usize,
    first: &FastPublish<'a>,
    frame_max: u32,
    size_max: usize,
    contents: &mut Contents<'a>,
) -> usize {
    let mut last = first.content;
    contents.push(last);
    while contents.len() < PUBLISH_RUN_MAX {
        let rest = &input[size..];
        if let Some((next, body)) = peek_alike(rest, first) {
            contents.push(Content { body: Body::Slice(body), ..first.content });
            size += next;
        } else if let Some((next, mut content)) = peek_next(rest, first.method_frame, frame_max)
            && is_usual(content, last.properties, size_max)
        {
            if content.properties == last.properties {
                content.properties = last.properties; // the same memory, which makes later comparisons fast
            }
            contents.push(content);
            size += next;
            last = content;
        } else {
            break;
        }
    }
    size
}

/// Whether the body is not too large and the properties are valid; they are if they equal the valid
/// properties of another message.
#[inline]
fn is_usual(content: Content<'_>, known: &[u8], size_max: usize) -> bool {
    content.body.bytes().len() <= size_max && (content.properties == known || Properties::parse(content.properties).is_ok())
}

/// Checks that a header can follow a publish.
fn check_header(header: &ContentHeader<'_>) -> Result<(), (Code, String)> {
    if header.weight != 0 {
        return Err((Code::UnexpectedFrame, NO_HEADER.into()));
    }
    if header.class != content::CLASS {
        let text = format!("expected content header for class 60, got one for class {} instead", header.class);
        return Err((Code::UnexpectedFrame, text));
    }
    if header.body_size > MESSAGE_SIZE_CAP as u64 {
        let text = format!("content body size {} exceeds maximum allowed size {MESSAGE_SIZE_CAP}", header.body_size);
        return Err((Code::FrameError, text));
    }
    Ok(())
}

/// Returns the reply for properties that cannot be read: RabbitMQ's text, or a different one if
/// RabbitMQ has none.
fn unreadable(error: PropertiesError) -> (MethodIds, Fault) {
    match error {
        PropertiesError::Headers(TableError::TooDeep) => {
            (PUBLISH, Fault::new(Code::SyntaxError, format!("cannot decode properties: {error}")))
        }
        _ => ((0, 0), Fault::new(Code::InternalError, "")),
    }
}

/// basic.publish
const PUBLISH: MethodIds = (60, 40);
/// basic.ack
const ACK: MethodIds = (60, 80);
const NO_HEADER: &str = "expected content header for class 60, got non content header frame instead";
