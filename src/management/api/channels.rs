//! Channels.

use serde_json::{Value, json};

use super::call::Call;
use super::connections::state_name;
use super::consumers::consumer_object;
use super::names::{channel_name, connection_name};
use super::object::{Object, extend, object};
use super::queue_object::garbage_collection;
use crate::broker::catalog::Catalog;
use crate::contract::ChannelFigures;
use crate::management::http::{Answer, Outcome, Refusal};
use crate::management::measures::{self, History, OF_CHANNEL};
use crate::management::rates::{Subject, Windows};

/// `GET /channels`
pub async fn list(call: &Call) -> Outcome {
    objects(call, |_, _| true).await
}

/// `GET /vhosts/V/channels`
pub async fn of_vhost(call: &Call) -> Outcome {
    objects(call, |catalog, channel| Some(channel.vhost) == call.vhost(catalog).ok()).await
}

/// `GET /channels/C`
pub async fn get(call: &Call) -> Outcome {
    let wanted = call.variable("channel");
    let channels = call.broker().channels().await?;
    let found = channels.into_iter().find(|channel| name(channel) == wanted);
    let channel = found.ok_or_else(Refusal::absent)?;
    if !call.login.is_monitoring() && *channel.user != *call.login.name {
        return Err(Refusal::not_authorised("User not authorised to access object"));
    }
    let (consumers, windows) = (call.broker().consumers().await?, Windows::parse(&call.params)?);
    let catalog = call.broker().catalog();
    let mut found = channel_object(call, &catalog, &channel, windows);
    let its = consumers.iter().filter(|consumer| consumer.channel == channel.addr);
    let details = its.map(|consumer| Value::Object(consumer_object(call, &catalog, consumer, None)));
    found.insert("consumer_details".into(), details.collect());
    found.insert("deliveries".into(), json!([]));
    found.insert("publishes".into(), json!([]));
    Ok(Answer::one(found))
}

/// The channels that match and that the asker may see.
pub async fn objects(call: &Call, which: impl Fn(&Catalog, &ChannelFigures) -> bool) -> Outcome {
    let mut channels = call.broker().channels().await?;
    let (catalog, windows) = (call.broker().catalog(), Windows::of_list(&call.params)?);
    let sees_all = call.login.is_monitoring();
    channels.retain(|channel| (sees_all || *channel.user == *call.login.name) && which(&catalog, channel));
    channels.sort_by_cached_key(|channel| {
        let (peer, local) = channel.ends;
        (vhost_name(&catalog, channel).to_owned(), connection_name(peer, local), channel.addr.channel)
    });
    Ok(Answer::list(channels.iter().map(|channel| channel_object(call, &catalog, channel, windows))))
}

fn name(channel: &ChannelFigures) -> String {
    channel_name(channel.ends.0, channel.ends.1, channel.addr.channel)
}

fn vhost_name<'a>(catalog: &'a Catalog, channel: &ChannelFigures) -> &'a str {
    catalog.find_vhost(channel.vhost).map_or("", |vhost| &vhost.spec.name)
}

fn channel_object(call: &Call, catalog: &Catalog, channel: &ChannelFigures, windows: Windows) -> Object {
    let (peer, local) = channel.ends;
    let mut all = object(json!({
        "name": name(channel),
        "number": channel.addr.channel,
        "node": call.site.node(),
        "user": channel.user,
        "user_who_performed_action": channel.user,
        "vhost": vhost_name(catalog, channel),
        "connection_details": {
            "name": connection_name(peer, local),
            "peer_host": peer.ip().to_canonical(),
            "peer_port": peer.port(),
        },
    }));
    if !call.params.is_true("disable_stats") {
        add_numbers(&mut all, call, channel, windows);
    }
    all
}

fn add_numbers(to: &mut Object, call: &Call, channel: &ChannelFigures, windows: Windows) {
    let rates = call.site.rates.borrow();
    let history = History { series: rates.of(Subject::Channel(channel.addr)), from: 0, window: windows.messages };
    to.insert("message_stats".into(), measures::message_stats(&channel.counts, &OF_CHANNEL, history));
    measures::put(to, &["reductions"], &[0], History::default());
    extend(
        to,
        json!({
            "state": state_name(channel.state),
            "confirm": channel.confirm,
            "transactional": channel.transactional,
            "prefetch_count": channel.prefetch,
            "global_prefetch_count": channel.global_prefetch,
            "consumer_count": channel.consumers,
            "messages_unacknowledged": channel.unacked,
            "messages_unconfirmed": channel.unconfirmed,
            "messages_uncommitted": channel.uncommitted,
            "acks_uncommitted": channel.acks_uncommitted,
            "pending_raft_commands": 0,
            "cached_segments": 0,
            "garbage_collection": garbage_collection(),
        }),
    );
}
