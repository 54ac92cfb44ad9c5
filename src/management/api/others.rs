//! Endpoints about no object of their own.

use serde_json::json;

use super::call::Call;
use super::nodes::check_node;
use super::object::{Object, object};
use crate::management::http::{Answer, Outcome, Refusal};

/// The list of something that RingMQ has none of: shovels, federation links, stream connections,
/// extensions of the web page.
pub async fn none(_: &Call) -> Outcome {
    Ok(Answer::list([]))
}

/// `POST /rebalance/queues`: on one node there is nothing to move.
pub async fn rebalance(_: &Call) -> Outcome {
    Ok(Answer::done())
}

/// `DELETE /reset`: forgets samples.
pub async fn reset(call: &Call) -> Outcome {
    call.site.rates.borrow_mut().clear();
    Ok(Answer::done())
}

/// `DELETE /reset/N`
pub async fn reset_node(call: &Call) -> Outcome {
    check_node(call)?;
    reset(call).await
}

/// `GET /auth/attempts/N` and `…/source`
pub async fn attempts(call: &Call) -> Outcome {
    check_node(call)?;
    let amqp = call.broker().totals().await?.iter().fold((0, 0), |sum, totals| (sum.0 + totals.logins.0, sum.1 + totals.logins.1));
    Ok(Answer::list([row("amqp091", since(amqp, call.site.attempts.amqp_reset())), row("http", call.site.attempts.since_reset())]))
}

/// `DELETE /auth/attempts/N` and `…/source`
pub async fn reset_attempts(call: &Call) -> Outcome {
    check_node(call)?;
    let amqp = call.broker().totals().await?.iter().fold((0, 0), |sum, totals| (sum.0 + totals.logins.0, sum.1 + totals.logins.1));
    call.site.attempts.reset(amqp);
    Ok(Answer::done())
}

fn since(now: (u64, u64), then: (u64, u64)) -> (u64, u64) {
    (now.0.saturating_sub(then.0), now.1.saturating_sub(then.1))
}

fn row(protocol: &str, (accepted, failed): (u64, u64)) -> Object {
    object(json!({
        "protocol": protocol,
        "auth_attempts": accepted + failed,
        "auth_attempts_failed": failed,
        "auth_attempts_succeeded": accepted,
    }))
}

/// `GET /config/effective`: the configuration that operators may see.
pub async fn configuration(call: &Call) -> Outcome {
    let config = call.broker().config();
    let management = &config.management;
    Ok(Answer::one(json!({
        "node_name": config.node_name,
        "shards": config.shards,
        "listeners.tcp": call.site.listeners.amqp,
        "channel_max": config.channel_max,
        "frame_max": config.frame_max,
        "heartbeat": config.heartbeat,
        "consumer_timeout": config.consumer_timeout_ms,
        "max_message_size": config.max_message_size,
        "connection_max": config.max_connections,
        "handshake_timeout": config.handshake_ms,
        "loopback_users": config.loopback_users,
        "collect_statistics_interval": management.interval_ms,
        "management.path_prefix": management.path_prefix,
        "management.http.max_body_size": management.body_max,
        "product.name": config.product,
        "product.version": config.product_version,
    })))
}

/// The refusal of a path without a route.
pub fn unknown(segments: &[String]) -> Refusal {
    if segments.iter().any(String::is_empty) {
        let reason = "Not Found: the path has an empty part. Does a proxy decode %2F, which stands for the virtual host '/'?";
        return Refusal::told(hyper::StatusCode::NOT_FOUND, "Object Not Found", reason);
    }
    Refusal::absent()
}
