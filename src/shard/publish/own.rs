//! Messages of the broker itself, such as events and traces. No user publishes them, so no
//! permission is needed, internal exchanges take them, and nobody hears whether a queue has them.

use crate::broker::exchange::{Chance, Features, RoutingKeys};
use crate::broker::routing::router::Way;
use crate::contract::{Publication, RouteSet};
use crate::message::{Body, MessageView, Properties, Route, Stamp, wire};
use crate::shard::Shard;
use crate::shard::publish::effect::Effect;

impl Shard {
    /// Publishes a message of the broker itself. In a virtual host that is gone, nothing happens.
    pub(in crate::shard) fn publish_own(&mut self, publication: &Publication) -> Effect {
        let Publication { vhost, exchange, key, properties, body } = publication;
        let Some(vhost) = self.catalog.vhost_by_name(vhost) else { return Effect::NONE };
        let headers = Properties::trusted(properties).headers().unwrap_or_default();
        let features = Features { headers, properties: Properties::trusted(properties) };
        let way = Way { catalog: &self.catalog, keys: RoutingKeys::new(key, std::iter::empty()), features };
        let mut routes = RouteSet::new();
        way.route_dead(vhost, exchange.as_bytes(), Chance { rng: &mut self.rng, here: self.id }, &mut routes);
        let mut route = Vec::with_capacity(2 + exchange.len() + key.len());
        wire::put_shortstr(&mut route, exchange.as_bytes());
        wire::put_shortstr(&mut route, key);
        let message = MessageView { route: Route::new(&route), properties, stamp: Stamp::NONE, body: Body::Slice(body) };
        self.forward(&message, &routes)
    }
}
