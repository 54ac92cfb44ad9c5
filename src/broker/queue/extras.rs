//! The extras of a queue: what only a queue with settings about its messages has, or one with a
//! message that expires. Here is what follows from the settings; `deadlines` has the rest.

use super::deadlines::Deadlines;
use super::earlier_ttls::EarlierTtls;
use super::retry::Held;
use super::{Delays, Level, Overflow, Queue, Settings};
use crate::base::ids::{ExchangeId, TimerId};
use crate::broker::deduplication::{Deduplication, Forgotten, Wanted};
use crate::contract::split_place;
use crate::message::Properties;

/// The parts that a plain queue does without.
#[derive(Default)]
pub(super) struct Extras {
    /// The settings.
    pub settings: Settings,
    /// The TTLs that messages got before a change.
    pub earlier: EarlierTtls,
    /// The times when messages in memory expire.
    pub deadlines: Deadlines,
    /// The delayed messages, if the queue is for those of an exchange.
    pub delays: Option<Delays>,
    /// Dead messages that nobody took yet and that the queue has to keep; they count towards its
    /// limits.
    unburied: u64,
    /// Messages that came back and are not ready again yet.
    pub held: Held,
    /// The values by which the queue recognises duplicates.
    pub deduplication: Option<Deduplication>,
    /// The time since which nobody has used the queue, milliseconds of the shard's time.
    unused_since: u64,
    /// The timer that is set, and its time.
    timer: Option<(TimerId, u64)>,
}

impl Queue {
    /// Whether the queue has extras: settings, or a message that expires.
    #[inline]
    pub fn is_special(&self) -> bool {
        self.extras.is_some()
    }

    /// The queue's settings, if it has any.
    pub fn settings(&self) -> Option<&Settings> {
        self.extras.as_ref().map(|extras| &extras.settings)
    }

    /// The queue's extras; it has some from now on.
    pub(super) fn extras(&mut self) -> &mut Extras {
        self.extras.get_or_insert_default()
    }

    /// Makes the queue plain again if it needs no extras. Returns whether that changed it, and the
    /// timer that was set.
    pub fn shed_extras(&mut self) -> (bool, Option<TimerId>) {
        let extras = if self.is_plain() { self.extras.take() } else { None };
        (extras.is_some(), extras.and_then(|extras| extras.timer).map(|(timer, _)| timer))
    }

    /// Sets the queue's settings; messages in it keep the TTL that they got. Returns whether the
    /// settings changed.
    pub fn promise(&mut self, settings: Settings, now: u64) -> bool {
        let places: Vec<u64> = self.levels.iter().map(Level::next).filter(|&next| split_place(next).1 > 0).collect();
        let extras = self.extras();
        if extras.settings == settings {
            return false;
        }
        let earlier = std::mem::replace(&mut extras.settings, settings);
        if earlier.message_ttl != extras.settings.message_ttl && !places.is_empty() {
            extras.earlier.push(places, earlier.message_ttl);
        }
        if earlier.deduplication != extras.settings.deduplication {
            extras.deduplication = extras.settings.deduplication.clone().map(Deduplication::new);
        }
        extras.unused_since = now;
        true
    }

    /// Whether the queue needs no extras.
    fn is_plain(&self) -> bool {
        self.extras.as_ref().is_none_or(|extras| {
            let Extras { settings, earlier, deadlines, delays, held, unburied, .. } = &**extras;
            let keeps_none = deadlines.next().is_none() && delays.is_none() && held.next().is_none() && *unburied == 0;
            *settings == Settings::default() && earlier.is_empty() && keeps_none
        })
    }

    /// Whether another message of `bytes` bytes would be refused.
    pub fn refuses(&self, bytes: usize) -> bool {
        let unburied = self.extras.as_ref().map_or(0, |extras| extras.unburied);
        let (length, bytes) = (self.len() as u64 + unburied + 1, self.ready_bytes + bytes as u64);
        self.settings().is_some_and(|settings| settings.rejects() && settings.is_exceeded(length, bytes))
    }

    /// Whether there are too many messages, so that the oldest must go.
    pub fn is_over_limit(&self) -> bool {
        let length = self.len() as u64;
        let drops = |settings: &Settings| settings.overflow == Overflow::DropHead && settings.is_exceeded(length, self.ready_bytes);
        length > 0 && self.settings().is_some_and(drops)
    }

    /// Counts a dead message that the queue keeps because nobody took it yet.
    pub fn keep_unburied(&mut self) {
        self.extras().unburied += 1;
    }

    /// Counts such a message as gone.
    pub fn end_unburied(&mut self) {
        if let Some(extras) = &mut self.extras {
            extras.unburied -= 1;
        }
    }

    /// Whether the queue keeps dead messages.
    pub fn has_unburied(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.unburied > 0)
    }

    /// Whether messages that a restart has found are read though nobody asks for them: they may
    /// expire, their bytes count, or they may have duplicates.
    pub fn reads_ahead(&self) -> bool {
        let matters = |settings: &Settings| {
            let Settings { message_ttl, dead_letter, max_length_bytes, deduplication, .. } = settings;
            let is_by_content = deduplication.as_ref().is_some_and(Wanted::is_by_content);
            message_ttl.is_some() || dead_letter.is_some() || max_length_bytes.is_some() || is_by_content
        };
        self.settings().is_some_and(matters)
    }

    /// Whether the next message of a level, which has these properties, is no duplicate of an
    /// earlier one. It is remembered.
    pub fn is_first_of_its_kind(&mut self, level: u8, properties: &[u8], now: u64) -> bool {
        let place = self.level(level).next();
        let Some(deduplication) = self.deduplication() else { return true };
        deduplication.passes_into(place, Properties::trusted(properties).headers().unwrap_or_default(), now)
    }

    /// The queue's deduplication, if it drops duplicates.
    pub fn deduplication(&mut self) -> Option<&mut Deduplication> {
        self.extras.as_mut()?.deduplication.as_mut()
    }

    /// Takes out the values by which the queue recognised duplicates, as far as they go with its
    /// messages; all of them, if the queue itself goes.
    pub fn forget_duplicates(&mut self, is_over: bool) -> Option<Forgotten> {
        let deduplication = self.deduplication()?;
        if is_over { Some(deduplication.forget_all()) } else { deduplication.purge() }
    }

    /// Makes the queue hold the messages that this exchange delays.
    pub fn delay_for(&mut self, exchange: ExchangeId) {
        self.extras().delays = Some(Delays::new(exchange));
    }

    /// The delayed messages, if the queue holds those of an exchange.
    pub fn delays(&mut self) -> Option<&mut Delays> {
        self.extras.as_mut()?.delays.as_mut()
    }

    /// Whether the queue holds messages that an exchange delays.
    pub fn is_delayed(&self) -> bool {
        self.extras.as_ref().is_some_and(|extras| extras.delays.is_some())
    }

    /// Notes that the queue is used at this time, if it has extras. Returns whether it has.
    pub fn touch(&mut self, now: u64) -> bool {
        self.extras.as_mut().map(|extras| extras.unused_since = now).is_some()
    }

    /// When the queue goes if nobody uses it until then, in the shard's time (row D11).
    pub fn unused_until(&self) -> Option<u64> {
        let extras = self.extras.as_deref().filter(|_| self.consumers.is_empty())?;
        extras.settings.expires.map(|expires| extras.unused_since.saturating_add(expires))
    }

    /// When a message of the queue, or the queue itself, has to be looked at next, in the shard's
    /// time, which was 0 at the time of day `epoch`. With `is_fetching`, delayed messages are being
    /// read from the log.
    pub fn next_event(&self, epoch: u64, is_fetching: bool) -> Option<u64> {
        let extras = self.extras.as_deref()?;
        let release = extras.delays.as_ref().and_then(|delays| delays.next(is_fetching));
        let times = release.into_iter().chain(extras.deadlines.next()).chain(extras.held.next());
        let time = times.min().map(|time| time.saturating_sub(epoch));
        self.unused_until().into_iter().chain(time).min()
    }

    /// The time for which the queue's timer is set.
    pub fn timer_due(&self) -> Option<u64> {
        self.extras.as_ref()?.timer.map(|(_, due)| due)
    }

    /// Notes the timer that was set, and its time. Returns the one before.
    pub fn set_timer(&mut self, timer: TimerId, due: u64) -> Option<TimerId> {
        self.extras().timer.replace((timer, due)).map(|(before, _)| before)
    }

    /// Forgets the timer that was set, and returns it.
    pub fn take_timer(&mut self) -> Option<TimerId> {
        self.extras.as_mut()?.timer.take().map(|(timer, _)| timer)
    }
}
