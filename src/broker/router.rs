//! Where a published message goes: RabbitMQ's rules of publishing, then a walk from exchange to exchange.
//!
//! ```text
//! publish ─▶ exchange there? internal? ─▶ expiration ─▶ CC, BCC ─▶ user-id ─▶ walk ─▶ queues, each once
//!                                                                              │ exchange bound to exchange: walk on
//!                                                                              └ nothing bound matched: its alternate exchange
//! ```
//!
//! The walk visits an exchange once, so circles end. It allocates nothing as long as the queues fit into the route set's own place
//! and fewer than nine exchanges are bound to each other.
//!
//! What a channel remembers ([`RouteCache`](crate::contract::RouteCache)) spares both for messages without properties that must be
//! looked at ([`needs_checks`]).

use smallvec::SmallVec;

use super::catalog::{Catalog, ExchangeInfo, Walk};
use super::exchange::Dest;
use super::publish_rules::{CarbonCopies, check_expiration, check_user_id};
use crate::base::ids::ExchangeId;
use crate::contract::{Code, Fault, RouteSet, VhostId};
use crate::message::{MessageView, Properties, TableRef, flag};

/// What was learnt beside the queues.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routed {
    /// Whether exchange and routing key alone led to these queues, so that they are those of every message with the same two that
    /// [`needs_checks`] lets pass.
    pub cacheable: bool,
    /// The property list to go on with, if it is not the message's own: BCC is not for the consumers to see.
    pub properties: Option<Vec<u8>>,
}

/// Whether a property list has anything that [`route`] must look at. If not, a remembered route holds.
#[inline]
pub fn needs_checks(properties: &[u8]) -> bool {
    Properties::trusted(properties).has_any(flag::HEADERS | flag::EXPIRATION | flag::USER_ID)
}

/// Checks a message of `user` and finds its queues: `out` is emptied, and filled in the order of their homes. No queue is no fault.
pub fn route(catalog: &Catalog, vhost: VhostId, user: &str, message: &MessageView<'_>, out: &mut RouteSet) -> Result<Routed, Fault> {
    out.clear();
    let name = message.route.exchange();
    let exchange = catalog.exchange_by_name(vhost, name).ok_or_else(|| catalog.no_exchange(vhost, name))?;
    if exchange.spec.internal {
        let text = format!("cannot publish to internal exchange '{}' in vhost '{}'", exchange.spec.name, catalog.vhost_name(vhost));
        return Err(Fault::new(Code::AccessRefused, text));
    }
    let properties = Properties::trusted(message.properties);
    let (headers, copies) = check_properties(properties, user)?;
    let keys = || std::iter::once(message.route.key()).chain(copies.keys());
    let reads_headers = if name.is_empty() {
        out.extend(keys().filter_map(|key| catalog.queue_by_key(vhost, key)).map(|queue| queue.addr));
        false
    } else {
        walk(catalog, exchange, keys, headers, out)
    };
    keep_each_once(out);
    let properties = copies.has_blind().then(|| copies.without_blind(message.properties, headers));
    Ok(Routed { cacheable: copies.is_empty() && !reads_headers, properties })
}

fn check_properties<'a>(properties: Properties<'a>, user: &str) -> Result<(TableRef<'a>, CarbonCopies<'a>), Fault> {
    if let Some(expiration) = properties.expiration() {
        check_expiration(expiration)?;
    }
    let headers = properties.headers().unwrap_or_default();
    let copies = CarbonCopies::of(headers)?;
    if let Some(claimed) = properties.user_id() {
        check_user_id(claimed, user)?;
    }
    Ok((headers, copies))
}

/// Collects the queues, not yet each once. Returns whether the headers were looked at on the way.
fn walk<'k, K: Iterator<Item = &'k [u8]>>(
    catalog: &Catalog,
    start: &ExchangeInfo,
    keys: impl Fn() -> K,
    headers: TableRef<'_>,
    out: &mut RouteSet,
) -> bool {
    let walk = catalog.start_walk();
    let mut reads_headers = false;
    let mut ahead: SmallVec<[ExchangeId; 8]> = SmallVec::new();
    visit_first(catalog, start.id, walk, &mut ahead);
    while let Some(exchange) = ahead.pop().and_then(|id| catalog.exchange(id)) {
        let mut matched = false;
        exchange.matcher.matching(keys(), headers, &mut |dest| {
            matched = true;
            match dest {
                Dest::Queue(queue) => out.push(queue),
                Dest::Exchange(id) => visit_first(catalog, id, walk, &mut ahead),
            }
        });
        if !matched && let Some(alternate) = alternate_of(catalog, exchange) {
            visit_first(catalog, alternate, walk, &mut ahead);
        }
        reads_headers |= exchange.matcher.reads_headers();
    }
    reads_headers
}

/// Puts an exchange on the way, unless it was there before.
fn visit_first(catalog: &Catalog, id: ExchangeId, walk: Walk, ahead: &mut SmallVec<[ExchangeId; 8]>) {
    if catalog.exchange(id).is_some_and(|exchange| exchange.visit(walk)) {
        ahead.push(id);
    }
}

/// The alternate exchange, if it exists.
fn alternate_of(catalog: &Catalog, exchange: &ExchangeInfo) -> Option<ExchangeId> {
    let name = exchange.alternate.as_deref()?;
    catalog.exchange_by_name(exchange.vhost, name).map(|alternate| alternate.id)
}

/// Sorting also brings the queues of one shard together.
fn keep_each_once(out: &mut RouteSet) {
    if out.len() > 1 {
        out.sort_unstable();
        out.dedup();
    }
}
