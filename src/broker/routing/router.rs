//! The router: RabbitMQ's rules of publishing, then a walk from exchange to exchange.
//!
//! ```text
//! publish ─▶ permitted? exchange there? internal? ─▶ expiration ─▶ CC, BCC ─▶ topics permitted?
//!         ─▶ user-id ─▶ walk ─▶ queues, each once
//! walk: exchange bound to exchange           walk on
//!       no binding matched                   its alternate exchange
//!       the exchange delays the message      its own queue; the rest of the way comes later
//!       the exchange remembers messages      a Keeper walks the same way
//! ```
//!
//! The walk visits an exchange once, so cycles end. It allocates nothing as long as the queues fit
//! into the route set itself and fewer than nine exchanges are bound to each other.
//!
//! Routes that a channel and its shard remember (`shard::publish::last_routes`,
//! [`KnownRoutes`](crate::broker::routing::known_routes::KnownRoutes)) save the walk. For messages
//! without properties that must be checked ([`needs_checks`]), they save the checks as well.

use smallvec::SmallVec;

use crate::base::ids::ExchangeId;
use crate::broker::access::User;
use crate::broker::catalog::{Catalog, ExchangeInfo, Resource, Right, Walk};
use crate::broker::exchange::{Chance, Dest, Features, Matcher, RoutingKeys, delay};
use crate::broker::routing::publish_rules::{CarbonCopies, check_expiration, check_user_id};
use crate::contract::{Code, Fault, REPLY_TO, RouteSet, VhostId, is_reply_name};
use crate::message::{MessageView, Properties, TableRef, flag, replace_reply_to};

/// A publisher.
pub struct Publisher<'a> {
    /// Its virtual host.
    pub vhost: VhostId,
    /// Its user.
    pub user: &'a User,
    /// The name of its channel in direct reply-to, if the channel waits for replies.
    pub reply_name: Option<&'a str>,
    /// The means of random choices: its shard, and the random source.
    pub chance: Chance<'a>,
}

/// The result of routing, besides the queues.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Routed {
    /// Whether exchange and routing key alone decided the queues: then every message with the same
    /// two has the same queues, unless it [`needs_checks`].
    pub cacheable: bool,
    /// Whether exchange, routing key and headers together decided the queues: then every message
    /// with the same three has the same queues, if [`check_known_headers`] agrees.
    pub cacheable_by_headers: bool,
    /// Whether an exchange on the way remembers messages. Then a
    /// [`Keeper`](crate::broker::routing::keeper::Keeper) must find the queues, and remove BCC.
    pub is_remembered: bool,
    /// The property list from now on, if it is not the message's own: consumers must not see BCC,
    /// and replies need an address.
    pub properties: Option<Vec<u8>>,
    /// Names of direct reply-to in CC and BCC, which lead to channels that wait for replies.
    pub reply_names: Vec<Vec<u8>>,
    /// The work that was done: number of keys, bindings, headers and queues that were looked at.
    pub looked_at: usize,
}

/// Whether a property list has anything that [`route`] must check. If not, a remembered route is
/// valid; otherwise [`check_known`] decides.
#[inline]
pub fn needs_checks(properties: &[u8]) -> bool {
    let properties = Properties::trusted(properties);
    properties.has_any(flag::HEADERS | flag::EXPIRATION | flag::USER_ID) || wants_replies(properties)
}

/// Whether the replies are to go to the publisher's own channel (row S15).
#[inline]
fn wants_replies(properties: Properties<'_>) -> bool {
    properties.has_any(flag::REPLY_TO) && properties.reply_to() == Some(REPLY_TO.as_bytes())
}

/// Checks the properties of a message whose route is remembered. Returns whether the remembered
/// route is valid for it.
pub fn check_known(catalog: &Catalog, user: &User, properties: &[u8]) -> Result<bool, Fault> {
    let properties = Properties::trusted(properties);
    if wants_replies(properties) {
        return Ok(false);
    }
    let (_, copies) = check_properties(properties)?;
    if copies.is_empty() {
        check_claim(catalog, user, properties)?;
    }
    Ok(copies.is_empty())
}

/// Does the same for a message whose route is remembered with its headers.
pub fn check_known_headers(catalog: &Catalog, user: &User, properties: Properties<'_>) -> Result<bool, Fault> {
    if wants_replies(properties) {
        return Ok(false);
    }
    properties.expiration().map_or(Ok(()), check_expiration)?;
    check_claim(catalog, user, properties)?;
    Ok(true)
}

/// Checks a message and finds its queues: `out` is emptied, and filled in the order of their homes.
/// A message without queues is no error.
pub fn route(catalog: &Catalog, publisher: &mut Publisher<'_>, message: &MessageView<'_>, out: &mut RouteSet) -> Result<Routed, Fault> {
    out.clear();
    let Publisher { vhost, user, reply_name, ref mut chance } = *publisher;
    let name = message.route.exchange();
    catalog.permit(user.id, vhost, Right::Write, Resource::Exchange(name))?;
    let exchange = catalog.exchange_by_name(vhost, name).ok_or_else(|| catalog.no_exchange(vhost, name))?;
    if exchange.spec.internal {
        let text = format!("cannot publish to internal exchange '{}' in vhost '{}'", exchange.spec.name, catalog.vhost_name(vhost));
        return Err(Fault::new(Code::AccessRefused, text));
    }
    let properties = Properties::trusted(message.properties);
    let addressed = wants_replies(properties).then(|| address(message.properties, reply_name)).transpose()?;
    let (headers, copies) = check_properties(properties)?;
    let keys = RoutingKeys::new(message.route.key(), copies.keys());
    if let Matcher::Topic(_) = exchange.matcher {
        keys.all().try_for_each(|key| catalog.permit_topic(user.id, vhost, Right::Write, &exchange.spec.name, key))?;
    }
    check_claim(catalog, user, properties)?;
    let (mut is_by_key, mut is_by_headers, mut is_remembered) = (true, true, false);
    let looked_at = if name.is_empty() {
        out.extend(keys.distinct().filter_map(|key| catalog.queue_by_key(vhost, key)).map(|queue| queue.addr));
        keys.count()
    } else {
        let way = Way { catalog, keys, features: Features { headers, properties } };
        let visit = |exchange: &ExchangeInfo| {
            is_by_key &= exchange.matcher.is_by_key() && exchange.delay_queue.is_none();
            is_by_headers &= exchange.matcher.is_by_headers() && exchange.delay_queue.is_none();
            is_remembered |= exchange.remembers;
            true
        };
        way.walk(exchange.id, chance, visit, out)
    };
    keep_each_once(out);
    let own = addressed.as_deref().unwrap_or(message.properties);
    let is_for_clients = |queue| catalog.queue(queue).is_none_or(|queue| queue.delays.is_none());
    let is_seen = !is_remembered && (out.is_empty() || out.iter().any(|addr| is_for_clients(addr.queue)));
    let properties = if copies.has_blind() && is_seen { Some(copies.without_blind(own, headers)) } else { addressed };
    let names = copies.keys().filter(|key| name.is_empty() && is_reply_name(key));
    let reply_names = names.map(<[u8]>::to_vec).collect();
    let may_be_cached = copies.is_empty() && !is_remembered;
    let (cacheable, cacheable_by_headers) = (may_be_cached && is_by_key, may_be_cached && is_by_headers);
    Ok(Routed { cacheable, cacheable_by_headers, is_remembered, properties, reply_names, looked_at })
}

/// Finds the queues of a message that the exchange `from` has delayed, from there on. The message
/// was checked before, and has no delay any more.
pub fn route_on(catalog: &Catalog, from: ExchangeId, message: &MessageView<'_>, mut chance: Chance<'_>, out: &mut RouteSet) -> Routed {
    out.clear();
    let properties = Properties::trusted(message.properties);
    let headers = properties.headers().unwrap_or_default();
    let copies = CarbonCopies::of(headers).unwrap_or_default();
    let keys = RoutingKeys::new(message.route.key(), copies.keys());
    let way = Way { catalog, keys, features: Features { headers, properties } };
    let mut is_remembered = false;
    let visit = |exchange: &ExchangeInfo| {
        is_remembered |= exchange.remembers && exchange.id != from;
        true
    };
    way.walk(from, &mut chance, visit, out);
    keep_each_once(out);
    let hides = copies.has_blind() && !is_remembered;
    let properties = hides.then(|| copies.without_blind(message.properties, headers));
    Routed { is_remembered, properties, ..Routed::default() }
}

/// Returns the properties of a request, with the name to which replies are to be sent.
fn address(properties: &[u8], reply_name: Option<&str>) -> Result<Vec<u8>, Fault> {
    match reply_name {
        Some(name) => Ok(replace_reply_to(properties, name)),
        None => Err(Fault::new(Code::PreconditionFailed, "fast reply consumer does not exist")),
    }
}

fn check_properties(properties: Properties<'_>) -> Result<(TableRef<'_>, CarbonCopies<'_>), Fault> {
    if let Some(expiration) = properties.expiration() {
        check_expiration(expiration)?;
    }
    let headers = properties.headers().unwrap_or_default();
    Ok((headers, CarbonCopies::of(headers)?))
}

fn check_claim(catalog: &Catalog, user: &User, properties: Properties<'_>) -> Result<(), Fault> {
    properties.user_id().map_or(Ok(()), |claimed| check_user_id(claimed, catalog, user))
}

/// The way of a message from exchange to exchange.
pub struct Way<'a> {
    /// The catalog.
    pub catalog: &'a Catalog,
    /// The message's routing keys.
    pub keys: RoutingKeys<'a>,
    /// The message's headers and properties.
    pub features: Features<'a>,
}

impl Way<'_> {
    /// Finds the queues of a dead message that is published to the exchange `name`; none if that is
    /// missing. Returns whether an exchange on the way remembers messages. (Row DL6: the permission
    /// was checked when the queue was declared, and an internal exchange takes dead letters.)
    pub fn route_dead(self, vhost: VhostId, name: &[u8], mut chance: Chance<'_>, out: &mut RouteSet) -> bool {
        let mut is_remembered = false;
        out.clear();
        if name.is_empty() {
            out.extend(self.keys.distinct().filter_map(|key| self.catalog.queue_by_key(vhost, key)).map(|queue| queue.addr));
        } else if let Some(exchange) = self.catalog.exchange_by_name(vhost, name) {
            let visit = |exchange: &ExchangeInfo| {
                is_remembered |= exchange.remembers;
                true
            };
            self.walk(exchange.id, &mut chance, visit, out);
        }
        keep_each_once(out);
        is_remembered
    }

    /// Collects the queues, with repetitions. `visit` is called for each exchange on the way, and
    /// decides whether the message goes on from there. Returns the work that was done.
    pub(in crate::broker) fn walk(
        &self,
        start: ExchangeId,
        chance: &mut Chance<'_>,
        mut visit: impl FnMut(&ExchangeInfo) -> bool,
        out: &mut RouteSet,
    ) -> usize {
        let catalog = self.catalog;
        let mut looked_at = 0;
        let walk = catalog.start_walk();
        let mut ahead: SmallVec<[ExchangeId; 8]> = SmallVec::new();
        visit_first(catalog, start, walk, &mut ahead);
        while let Some(exchange) = ahead.pop().and_then(|id| catalog.exchange(id)) {
            if !visit(exchange) {
                continue;
            }
            if let Some(addr) = exchange.delay_queue.filter(|_| delay(self.features.headers).is_some()) {
                out.push(addr);
                continue;
            }
            let mut matched = false;
            looked_at += self.keys.count()
                + exchange.matcher.matching(&self.keys, self.features, chance, &mut |dest| {
                    matched = true;
                    match dest {
                        Dest::Queue(queue) if out.last() == Some(&queue) => {}
                        Dest::Queue(queue) => out.push(queue),
                        Dest::Exchange(id) => visit_first(catalog, id, walk, &mut ahead),
                    }
                });
            if !matched && let Some(alternate) = catalog.alternate(exchange) {
                visit_first(catalog, alternate.id, walk, &mut ahead);
            }
        }
        looked_at + out.len()
    }
}

/// Adds an exchange to those ahead, unless it was visited before.
fn visit_first(catalog: &Catalog, id: ExchangeId, walk: Walk, ahead: &mut SmallVec<[ExchangeId; 8]>) {
    if catalog.exchange(id).is_some_and(|exchange| exchange.visit(walk)) {
        ahead.push(id);
    }
}

/// Sorts the queues and removes repetitions. Sorting also brings those of one shard together.
pub(in crate::broker) fn keep_each_once(out: &mut RouteSet) {
    if out.len() > 1 {
        out.sort_unstable();
        out.dedup();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::base::ids::ShardId;
    use crate::base::rng::Rng;
    use crate::broker::catalog::Saved;
    use crate::broker::exchange::remembered::Memories;
    use crate::broker::fixture::{VHOST, binding, conn, exchange, queue};
    use crate::broker::routing::keeper::Keeper;
    use crate::contract::{BindingSpec, ExchangeSpec, QueueSpec, Topology};
    use crate::message::{Body, PropertiesBuilder, Route, Stamp, Table, TableBuilder};

    /// Returns the names of the queues, and the rest of the result.
    fn publish(catalog: &Catalog, exchange: &str, key: &str, properties: &[u8]) -> Result<(Vec<String>, Routed), Fault> {
        let wire = [&[exchange.len() as u8][..], exchange.as_bytes(), &[key.len() as u8], key.as_bytes()].concat();
        let message = MessageView { route: Route::new(&wire), properties, stamp: Stamp::NONE, body: Body::Slice(b"") };
        let (mut queues, mut rng) = (RouteSet::new(), Rng::seeded(1));
        let chance = Chance { rng: &mut rng, here: ShardId(0) };
        let guest = catalog.guest();
        let routed = route(catalog, &mut Publisher { vhost: VHOST, user: &guest, reply_name: None, chance }, &message, &mut queues)?;
        let names = queues.iter().map(|addr| catalog.queue(addr.queue).expect("it was routed to").spec.name.to_string());
        Ok((names.collect(), routed))
    }

    fn queues(catalog: &Catalog, exchange: &str, key: &str) -> Vec<String> {
        let (queues, routed) = publish(catalog, exchange, key, Properties::NONE).expect("nothing is wrong");
        assert!(routed.cacheable && routed.properties.is_none());
        queues
    }

    fn with_headers(headers: &Table) -> Vec<u8> {
        PropertiesBuilder { headers: Some(headers.view()), delivery_mode: Some(2), ..Default::default() }.build()
    }

    fn catalog(names: &[&str]) -> Catalog {
        let mut catalog = Catalog::new();
        for name in names {
            catalog.with_queue(name);
        }
        catalog
    }

    #[test]
    fn the_default_exchange_leads_to_the_queue_of_that_name() {
        let catalog = catalog(&["a", "b"]);
        assert_eq!(queues(&catalog, "", "b"), ["b"]);
        assert!(queues(&catalog, "", "c").is_empty());
    }

    #[test]
    fn rules_are_checked_in_rabbitmq_s_order() {
        let catalog = catalog(&["q"]);
        let text = |exchange, properties: &PropertiesBuilder<'_>| publish(&catalog, exchange, "q", &properties.build()).unwrap_err().text;
        let cc = TableBuilder::new().int("CC", 5).build();
        let mut bad = PropertiesBuilder { headers: Some(cc.view()), expiration: Some("a"), user_id: Some("x"), ..Default::default() };
        assert_eq!(text("no", &bad), "no exchange 'no' in vhost '/'");
        assert_eq!(text("amq.rabbitmq.trace", &bad), "cannot publish to internal exchange 'amq.rabbitmq.trace' in vhost '/'");
        assert_eq!(text("", &bad), "invalid expiration 'a': no_integer");
        bad.expiration = Some("1");
        assert_eq!(text("", &bad), "invalid message: {unacceptable_type_in_header,\"CC\",signedint}");
        bad.headers = None;
        assert_eq!(text("", &bad), "user_id property set to 'x' but authenticated user was 'guest'");
        bad.user_id = Some("guest");
        assert_eq!(publish(&catalog, "", "q", &bad.build()).unwrap().0, ["q"]);
    }

    #[test]
    fn only_some_properties_need_checks() {
        assert!(!needs_checks(&PropertiesBuilder { delivery_mode: Some(2), priority: Some(1), ..Default::default() }.build()));
        for list in [
            PropertiesBuilder { expiration: Some("1"), ..Default::default() },
            PropertiesBuilder { user_id: Some("guest"), ..Default::default() },
            PropertiesBuilder { headers: Some(TableRef::EMPTY), ..Default::default() },
        ] {
            assert!(needs_checks(&list.build()));
        }
    }

    #[test]
    fn copies_go_the_same_way_and_blind_ones_are_taken_out() {
        let mut catalog = catalog(&["a", "b", "c"]);
        catalog.with_binding("amq.topic", "a.*", "a").with_binding("amq.topic", "b.#", "b").with_binding("amq.topic", "#", "c");
        let headers = TableBuilder::new().array("CC", |a| a.text("b.x").text("")).array("BCC", |a| a.text("a.x")).int("n", 1).build();
        let (queues, routed) = publish(&catalog, "amq.topic", "z", &with_headers(&headers)).unwrap();
        assert_eq!((queues, routed.cacheable), (vec!["a".to_owned(), "b".into(), "c".into()], false));
        let rest = TableBuilder::new().array("CC", |a| a.text("b.x").text("")).int("n", 1).build();
        assert_eq!(routed.properties, Some(with_headers(&rest)));
        let blind = TableBuilder::new().array("BCC", |a| a.text("a")).build();
        let (queues, routed) = publish(&catalog, "", "no", &with_headers(&blind)).unwrap();
        assert_eq!((queues, routed.properties), (vec!["a".to_owned()], Some(with_headers(&Table::empty()))));
    }

    #[test]
    fn a_headers_exchange_on_the_way_is_not_cacheable() {
        let mut catalog = catalog(&["q"]);
        let arguments = TableBuilder::new().text("kind", "x").build();
        catalog.with_binding("amq.fanout", "", "=>amq.headers");
        catalog.perform(conn(0), &Topology::Bind(BindingSpec { arguments: arguments.clone(), ..binding("amq.headers", "", "q") })).unwrap();
        let (queues, routed) = publish(&catalog, "amq.fanout", "", &with_headers(&arguments)).unwrap();
        assert_eq!((&queues[..], routed.cacheable), (&["q".to_owned()][..], false));
        let (queues, routed) = publish(&catalog, "amq.fanout", "", Properties::NONE).unwrap();
        assert_eq!((queues.len(), routed.cacheable), (0, false));
        let (_, routed) = publish(&catalog, "amq.direct", "", &with_headers(&arguments)).unwrap();
        assert!(routed.cacheable);
    }

    #[test]
    fn exchanges_lead_on_in_circles_and_each_queue_is_named_once() {
        let mut catalog = catalog(&["a", "b"]);
        for name in ["x", "y", "z"] {
            catalog.with_exchange(name, "fanout").with_binding(name, "", "a");
        }
        catalog.with_binding("x", "", "=>y").with_binding("y", "", "=>z").with_binding("z", "", "=>x").with_binding("x", "", "=>x");
        catalog.with_binding("z", "", "b").with_binding("z", "other", "b");
        assert_eq!(queues(&catalog, "x", "k"), ["a", "b"]);
        assert_eq!(queues(&catalog, "y", "k"), ["a", "b"]);
    }

    #[test]
    fn an_internal_exchange_is_reached_through_another() {
        let mut catalog = catalog(&["q"]);
        let internal = ExchangeSpec { internal: true, ..exchange("inner", "fanout") };
        catalog.perform(conn(0), &Topology::DeclareExchange(internal)).unwrap();
        catalog.with_binding("amq.direct", "k", "=>inner").with_binding("inner", "", "q");
        assert_eq!(queues(&catalog, "amq.direct", "k"), ["q"]);
    }

    #[test]
    fn an_alternate_exchange_is_tried_where_nothing_bound_matches() {
        let mut catalog = catalog(&["q"]);
        catalog.with_alternate("a", "direct", "b").with_alternate("b", "direct", "c").with_exchange("empty", "fanout");
        assert!(queues(&catalog, "a", "k").is_empty(), "the last of the chain does not exist");
        catalog.with_alternate("c", "fanout", "a").with_binding("a", "k", "=>empty");
        assert!(queues(&catalog, "a", "k").is_empty(), "an exchange matched, though it leads nowhere");
        assert!(queues(&catalog, "a", "other").is_empty(), "a circle of alternates ends");
        catalog.with_binding("c", "", "q");
        assert_eq!(queues(&catalog, "a", "other"), ["q"]);
        catalog.with_alternate("d", "direct", "");
        assert!(queues(&catalog, "d", "q").is_empty(), "the default exchange is no alternate");
    }

    #[test]
    fn what_neither_key_nor_bindings_decide_is_not_cacheable() {
        let mut catalog = catalog(&["q"]);
        let by_header = TableBuilder::new().text("hash-header", "h").build();
        let declare = ExchangeSpec { arguments: by_header, ..exchange("by-header", "x-consistent-hash") };
        catalog.perform(conn(0), &Topology::DeclareExchange(declare)).unwrap();
        let kinds = [("x-consistent-hash", true), ("x-modulus-hash", true), ("x-random", false), ("x-local-random", false)];
        for (kind, _) in kinds {
            catalog.with_exchange(kind, kind).with_binding(kind, if kind == "x-consistent-hash" { "1" } else { "" }, "q");
        }
        catalog.with_binding("by-header", "5", "q");
        for (kind, cacheable) in kinds.into_iter().chain([("by-header", false)]) {
            let (queues, routed) = publish(&catalog, kind, "k", Properties::NONE).unwrap();
            assert_eq!((&queues[..], routed.cacheable, routed.is_remembered), (&["q".to_owned()][..], cacheable, false), "{kind}");
        }
    }

    #[test]
    fn a_restart_changes_no_hash() {
        let names: Vec<String> = (0..10).map(|n| format!("q{n}")).collect();
        let mut catalog = Catalog::new();
        for kind in ["x-consistent-hash", "x-modulus-hash"] {
            let spec = ExchangeSpec { durable: true, ..exchange(kind, kind) };
            catalog.perform(conn(0), &Topology::DeclareExchange(spec)).unwrap();
        }
        for name in &names {
            catalog.with_queue(&format!("passing-{name}"));
            catalog.perform(conn(0), &Topology::DeclareQueue(QueueSpec { durable: true, ..queue(name) })).unwrap();
            catalog.with_binding("x-consistent-hash", "1", name).with_binding("x-modulus-hash", "", name);
        }
        let records = catalog.snapshot();
        let again = Catalog::restored(&Saved::read(records.iter().map(Vec::as_slice)).expect("known"));
        for key in (0..200).map(|n| n.to_string()) {
            for exchange in ["x-consistent-hash", "x-modulus-hash"] {
                assert_eq!(queues(&catalog, exchange, &key), queues(&again, exchange, &key));
            }
        }
        assert_ne!(catalog.queue_by_name(VHOST, "q9").unwrap().addr, again.queue_by_name(VHOST, "q9").unwrap().addr, "ids are others");
    }

    #[test]
    fn a_keeper_walks_the_same_way_and_remembers() {
        let mut catalog = catalog(&["a", "b"]);
        let arguments = TableBuilder::new().bool("x-message-deduplication", true).build();
        catalog.perform(conn(0), &Topology::DeclareExchange(ExchangeSpec { arguments, ..exchange("once", "fanout") })).unwrap();
        catalog.with_exchange("history", "x-recent-history").with_binding("history", "", "=>once").with_binding("once", "", "a");
        catalog.with_binding("amq.fanout", "", "b").with_binding("amq.fanout", "", "=>history");
        let headers = TableBuilder::new().text("x-deduplication-header", "v").array("BCC", |bcc| bcc.text("secret")).build();
        let properties = with_headers(&headers);
        let (queues, routed) = publish(&catalog, "amq.fanout", "k", &properties).unwrap();
        assert_eq!((queues.len(), routed.is_remembered, routed.cacheable), (2, true, false));
        let (mut memories, mut rng, mut out) = (Memories::default(), Rng::seeded(1), RouteSet::new());
        let message =
            MessageView { route: Route::new(b"\x0aamq.fanout\x01k"), properties: &properties, stamp: Stamp::NONE, body: Body::Slice(b"") };
        for (count, is_duplicate) in [(2, false), (1, true)] {
            let chance = Chance { rng: &mut rng, here: ShardId(0) };
            let passed = Keeper { catalog: &catalog, memories: &mut memories, chance, copies: true, passed: None, now: 0 }
                .route(VHOST, &message, &mut out);
            assert_eq!((out.len(), passed.is_duplicate), (count, is_duplicate));
            let shown = TableBuilder::new().text("x-deduplication-header", "v").build();
            assert_eq!(passed.properties, Some(with_headers(&shown)));
            let history = catalog.exchange_by_name(VHOST, b"history").unwrap().id;
            assert!(memories.history(history).all(|kept| kept.view().properties == with_headers(&shown)));
        }
    }

    #[test]
    fn many_queues_are_named_once_each() {
        let mut catalog = Catalog::new();
        for n in 0..500 {
            catalog.with_queue(&format!("q{n}"));
            catalog.with_binding("amq.topic", "#", &format!("q{n}")).with_binding("amq.topic", "a.*", &format!("q{n}"));
        }
        assert_eq!(queues(&catalog, "amq.topic", "a.b").len(), 500);
    }
}
