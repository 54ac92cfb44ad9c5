//! A channel, and the table of a connection's channels.

use super::assembly::Assembly;
use super::confirms::Confirms;
use super::consumers::{Consumer, Consumers};
use super::unacked::Unacked;
use crate::base::quota::Place;
use crate::contract::session::ChannelQuotas;
use crate::contract::{Code, Counts, Fault};

/// One channel.
#[derive(Debug, Default)]
pub struct Channel {
    /// The stage of its life.
    pub life: Life,
    /// Distinguishes the channel from earlier ones with its number.
    pub generation: u32,
    /// The kind of its next frame. Frames are also put together while the channel closes, as in
    /// RabbitMQ.
    pub assembly: Assembly,
    /// Its unsettled deliveries.
    pub unacked: Unacked,
    /// Number of unsettled deliveries to consumers, including those that a transaction has settled.
    pub volume: u32,
    /// The limit of `volume`: basic.qos with `global`. 0 is no limit.
    pub volume_max: u32,
    /// Number of messages that queues on other shards may send in addition to the volume (see
    /// [`crate::contract::Window`]).
    pub lent: u32,
    /// basic.qos without `global`: the limit of each consumer that is started later. 0 is no limit.
    pub prefetch: u16,
    /// Its consumers.
    pub consumers: Consumers,
    /// The mode of its publishes.
    pub mode: Mode,
    /// The queue that an empty name stands for; empty if none was declared.
    pub last_queue: Box<str>,
    /// Its messages, as far as nothing else counts them (see [`super::figures`]).
    pub counts: Counts,
    /// Its units of the channel quotas of its user and of the broker, while it is in the table.
    pub _places: Option<Places>,
}

/// A channel's units of these quotas.
pub type Places = [Place; 2];

/// Takes the units for a channel of this user on this node.
///
/// # Errors
/// A limit is reached (530).
pub fn take_places(quotas: &ChannelQuotas, user: &[u8], node: &str) -> Result<Places, Fault> {
    let refused = |text| Fault::new(Code::NotAllowed, text);
    let of_user = quotas.of_user.take().map_err(|max| {
        let user = String::from_utf8_lossy(user);
        refused(format!("number of channels opened for user '{user}' has reached the maximum allowed user limit of {max}"))
    })?;
    let in_broker = quotas
        .in_broker
        .take()
        .map_err(|max| refused(format!("number of channels opened on node '{node}' has reached the maximum allowed limit of {max}")))?;
    Ok([of_user, in_broker])
}

/// The stage of a channel's life.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Life {
    /// The channel is in use.
    #[default]
    Open,
    /// The client has closed it. Its consumers and messages are being cleaned up; then close-ok
    /// follows.
    Leaving,
    /// A fault has closed it and the client was told. Its consumers and messages are being cleaned
    /// up.
    Failed,
    /// Everything is cleaned up. The channel waits for the client's close-ok and ignores all else.
    Closing,
}

/// The mode of a channel's publishes.
#[derive(Debug, Default)]
pub enum Mode {
    /// Neither confirmed nor in a transaction.
    #[default]
    Plain,
    /// Confirmed.
    Confirm(Confirms),
    /// Publishes and settlements wait for the commit; the shard keeps them.
    Tx,
}

impl Channel {
    /// Whether its consumers together have as many unsettled deliveries as they may have.
    #[inline]
    pub fn is_full(&self) -> bool {
        self.room() == 0
    }

    /// How many more unsettled deliveries its consumers together may have.
    #[inline]
    pub fn room(&self) -> u32 {
        if self.volume_max == 0 { u32::MAX } else { self.volume_max.saturating_sub(self.volume.saturating_add(self.lent)) }
    }

    /// Removes a consumer. Messages lent to its queue are not counted any more.
    pub fn remove_consumer(&mut self, index: u32) -> Option<Consumer> {
        let consumer = self.consumers.remove(index)?;
        self.lent -= consumer.window.lent();
        Some(consumer)
    }

    /// Lets `change` lower the volume or its limit. Returns whether the channel was full before and
    /// is not now.
    pub fn relieve(&mut self, change: impl FnOnce(&mut Channel)) -> bool {
        let was_full = self.is_full();
        change(self);
        was_full && !self.is_full()
    }
}

/// Channels by number, in pages that are made with the first of their channels. Clients choose
/// numbers up to 65535, and two loads find any channel.
#[derive(Debug, Default)]
pub struct Channels {
    pages: Vec<Option<Box<Page>>>,
    len: usize,
    opened: u32,
}

type Page = [Option<Box<Channel>>; PAGE];

impl Channels {
    /// Number of channels.
    pub fn len(&self) -> usize {
        self.len
    }

    /// The channel with this number, if it exists.
    #[inline]
    pub fn find(&self, number: u16) -> Option<&Channel> {
        self.pages.get(usize::from(number) / PAGE)?.as_ref()?[usize::from(number) % PAGE].as_deref()
    }

    /// The channel with this number, to be changed.
    #[inline]
    pub fn find_mut(&mut self, number: u16) -> Option<&mut Channel> {
        self.pages.get_mut(usize::from(number) / PAGE)?.as_mut()?[usize::from(number) % PAGE].as_deref_mut()
    }

    /// Opens a channel whose number is free.
    pub fn open(&mut self, number: u16, places: Places) {
        let at = usize::from(number) / PAGE;
        if at >= self.pages.len() {
            self.pages.resize_with(at + 1, || None);
        }
        let page = self.pages[at].get_or_insert_with(|| Box::new(std::array::from_fn(|_| None)));
        let before = page[usize::from(number) % PAGE].replace(Box::new(Channel {
            generation: self.opened,
            _places: Some(places),
            ..Channel::default()
        }));
        assert!(before.is_none(), "only a free number is opened");
        self.len += 1;
        self.opened = self.opened.wrapping_add(1);
    }

    /// Removes a channel; its number becomes free.
    pub fn remove(&mut self, number: u16) -> Option<Box<Channel>> {
        let channel = self.pages.get_mut(usize::from(number) / PAGE)?.as_mut()?[usize::from(number) % PAGE].take()?;
        self.len -= 1;
        Some(channel)
    }

    /// Whether any channel meets the condition.
    pub fn any(&self, mut is_such: impl FnMut(&Channel) -> bool) -> bool {
        self.pages.iter().flatten().flat_map(|page| page.iter().flatten()).any(|channel| is_such(channel))
    }

    /// The numbers in use, ascending.
    pub fn numbers(&self) -> Vec<u16> {
        (0..=u16::MAX).take(self.pages.len() * PAGE).filter(|&number| self.find(number).is_some()).collect()
    }
}

/// Number of channels on one page.
const PAGE: usize = 32;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn any_number_can_be_a_channel() {
        let mut channels = Channels::default();
        for number in [1, 65535, 31, 32] {
            channels.open(number, take_places(&ChannelQuotas::default(), b"u", "n@h").expect("there is no limit"));
            assert!(channels.find(number).is_some());
        }
        assert_eq!((channels.len(), channels.numbers()), (4, vec![1, 31, 32, 65535]));
        assert!(channels.remove(32).is_some() && channels.remove(32).is_none() && channels.find(33).is_none());
        assert_eq!(channels.numbers(), [1, 31, 65535]);
    }

    #[test]
    fn the_limit_of_the_user_is_told_before_that_of_the_broker() {
        let quotas = ChannelQuotas::default();
        let refusal = || take_places(&quotas, b"u", "n@h").map(|_| ()).map_err(|fault| fault.text);
        quotas.in_broker.set_max(Some(1));
        let first = take_places(&quotas, b"u", "n@h");
        assert_eq!(refusal(), Err("number of channels opened on node 'n@h' has reached the maximum allowed limit of 1".into()));
        assert_eq!(quotas.of_user.taken(), 1, "its place is given back");
        quotas.of_user.set_max(Some(1));
        assert_eq!(refusal(), Err("number of channels opened for user 'u' has reached the maximum allowed user limit of 1".into()));
        drop(first);
        assert_eq!(refusal(), Ok(()));
    }

    #[test]
    fn a_full_channel_is_relieved_once() {
        let mut channel = Channel { volume: 2, volume_max: 2, ..Channel::default() };
        assert!(channel.relieve(|channel| channel.volume -= 1));
        assert!(!channel.relieve(|channel| channel.volume -= 1));
        assert!(!channel.relieve(|channel| channel.volume_max = 0));
    }
}
