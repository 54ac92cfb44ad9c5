//! Connections.

use serde_json::{Value, json};

use super::call::Call;
use super::channels;
use super::names::connection_name;
use super::object::{Object, object};
use super::queue_object::garbage_collection;
use crate::broker::catalog::Catalog;
use crate::contract::{ConnectionFigures, ConnectionState, Intervention};
use crate::definitions::arguments::to_json;
use crate::management::http::{Answer, Outcome, Refusal};
use crate::management::measures::{self, History, OCTETS};
use crate::management::rates::{Subject, Windows};

/// `GET /connections`
pub async fn list(call: &Call) -> Outcome {
    objects(call, |_, _| true).await
}

/// `GET /vhosts/V/connections`
pub async fn of_vhost(call: &Call) -> Outcome {
    objects(call, |catalog, connection| connection.vhost == call.vhost(catalog).ok()).await
}

/// `GET /connections/C`
pub async fn get(call: &Call) -> Outcome {
    let (connection, windows) = (find(call).await?, Windows::parse(&call.params)?);
    Ok(Answer::one(connection_object(call, &call.broker().catalog(), &connection, windows)))
}

/// `DELETE /connections/C`; the header `x-reason` is what the client is told.
pub async fn close(call: &Call) -> Outcome {
    let connection = find(call).await?;
    close_one(call, &connection).await?;
    Ok(Answer::done())
}

/// `GET /connections/C/channels`
pub async fn channels_of(call: &Call) -> Outcome {
    let connection = find(call).await?;
    channels::objects(call, |_, channel| channel.addr.conn == connection.addr).await
}

/// `GET /connections/C/sessions`: those of AMQP 1.0.
pub async fn sessions_of(call: &Call) -> Outcome {
    find(call).await.map(|_| Answer::list([]))
}

/// `GET /connections/username/U`
pub async fn of_user(call: &Call) -> Outcome {
    let connections = named(call).await?;
    let catalog = call.broker().catalog();
    Ok(Answer::list(connections.iter().map(|connection| {
        object(json!({
            "name": connection_name(connection.peer, connection.local),
            "vhost": vhost_name(&catalog, connection),
            "user": call.variable("user"),
            "node": call.site.node(),
        }))
    })))
}

/// `DELETE /connections/username/U`
pub async fn close_of_user(call: &Call) -> Outcome {
    for connection in named(call).await? {
        close_one(call, &connection).await?;
    }
    Ok(Answer::done())
}

async fn close_one(call: &Call, connection: &ConnectionFigures) -> Result<(), Refusal> {
    let reason = call.headers.get("x-reason").and_then(|reason| reason.to_str().ok()).unwrap_or("Closed via management plugin");
    let conn = connection.addr;
    call.broker().intervene(conn.shard, Intervention::CloseConnection { conn, reason: reason.into() }).await?;
    Ok(())
}

/// The connections of the user that the path names.
async fn named(call: &Call) -> Result<Vec<ConnectionFigures>, Refusal> {
    let mut connections = call.broker().connections().await?;
    connections.retain(|connection| user_name(connection) == call.variable("user"));
    Ok(connections)
}

/// The connection that the path names, if the asker may see it.
async fn find(call: &Call) -> Result<ConnectionFigures, Refusal> {
    let connections = call.broker().connections().await?;
    let wanted = call.variable("connection");
    let found = connections.into_iter().find(|connection| connection_name(connection.peer, connection.local) == wanted);
    let connection = found.ok_or_else(Refusal::absent)?;
    let is_reading = call.method == hyper::Method::GET || call.method == hyper::Method::HEAD;
    let may = call.login.is_administrator() || is_reading && call.login.is_monitoring() || is_own(call, &connection);
    if may { Ok(connection) } else { Err(Refusal::not_authorised("User not authorised to access object")) }
}

async fn objects(call: &Call, which: impl Fn(&Catalog, &ConnectionFigures) -> bool) -> Outcome {
    let mut connections = call.broker().connections().await?;
    let (catalog, windows) = (call.broker().catalog(), Windows::of_list(&call.params)?);
    let sees_all = call.login.is_monitoring();
    connections.retain(|connection| (sees_all || is_own(call, connection)) && which(&catalog, connection));
    connections
        .sort_by_cached_key(|connection| (vhost_name(&catalog, connection).to_owned(), connection_name(connection.peer, connection.local)));
    Ok(Answer::list(connections.iter().map(|connection| connection_object(call, &catalog, connection, windows))))
}

fn is_own(call: &Call, connection: &ConnectionFigures) -> bool {
    *user_name(connection) == *call.login.name
}

fn user_name(connection: &ConnectionFigures) -> &str {
    connection.user.as_ref().map_or("", |(_, name)| name)
}

fn vhost_name<'a>(catalog: &'a Catalog, connection: &ConnectionFigures) -> &'a str {
    connection.vhost.and_then(|vhost| catalog.find_vhost(vhost)).map_or("", |vhost| &vhost.spec.name)
}

/// The state in RabbitMQ's words.
pub fn state_name(state: ConnectionState) -> &'static str {
    match state {
        ConnectionState::Opening => "opening",
        ConnectionState::Running => "running",
        ConnectionState::Blocking => "blocking",
        ConnectionState::Blocked => "blocked",
        ConnectionState::Flow => "flow",
        ConnectionState::Closing => "closing",
    }
}

fn connection_object(call: &Call, catalog: &Catalog, connection: &ConnectionFigures, windows: Windows) -> Object {
    let ConnectionFigures { peer, local, protocol, connected_at_ms, mechanism, client_properties, .. } = connection;
    let properties = to_json(client_properties.view());
    let mut all = object(json!({
        "name": connection_name(*peer, *local),
        "node": call.site.node(),
        "type": "network",
        "protocol": protocol,
        "user": user_name(connection),
        "user_who_performed_action": user_name(connection),
        "vhost": vhost_name(catalog, connection),
        "connected_at": connected_at_ms,
        "auth_mechanism": mechanism,
        "channels": connection.channels,
        "channel_max": connection.channel_max,
        "frame_max": connection.frame_max,
        "timeout": connection.heartbeat,
        "host": local.ip().to_canonical(),
        "port": local.port(),
        "peer_host": peer.ip().to_canonical(),
        "peer_port": peer.port(),
        "ssl": false,
    }));
    all.extend(properties.get("connection_name").filter(|name| name.is_string()).map(|name| ("user_provided_name".into(), name.clone())));
    all.insert("client_properties".into(), properties.into());
    if !call.params.is_true("disable_stats") {
        add_numbers(&mut all, call, connection, windows);
    }
    all
}

fn add_numbers(to: &mut Object, call: &Call, connection: &ConnectionFigures, windows: Windows) {
    let rates = call.site.rates.borrow();
    let history = History { series: rates.of(Subject::Connection(connection.addr)), from: 0, window: windows.data };
    measures::put(to, &OCTETS, &[connection.octets.0, connection.octets.1], history);
    measures::put(to, &["reductions"], &[0], History::default());
    to.insert("state".into(), state_name(connection.state).into());
    to.insert("recv_cnt".into(), connection.packets.0.into());
    to.insert("send_cnt".into(), connection.packets.1.into());
    to.insert("send_pend".into(), connection.pending.into());
    to.insert("garbage_collection".into(), garbage_collection());
    to.extend(TLS.into_iter().map(|key| (key.to_owned(), Value::Null)));
}

/// What is known of connections with TLS.
const TLS: [&str; 8] = [
    "ssl_protocol",
    "ssl_cipher",
    "ssl_hash",
    "ssl_key_exchange",
    "peer_cert_subject",
    "peer_cert_issuer",
    "peer_cert_validity",
    "peer_cert_serial_number",
];
