//! The node: its state, its end, its listeners.

use std::time::Duration;

use hyper::StatusCode;
use serde_json::json;
use tokio::task::spawn_local;
use tokio::time::sleep;

use crate::contract::Intervention;
use crate::management::api::Call;
use crate::management::controls::Closure;
use crate::management::http::{Answer, Outcome};

/// `GET /ctl/node`: asked before nearly every command, so it costs the shards nothing.
pub async fn get(call: &Call) -> Outcome {
    let host = &call.site.host;
    Ok(Answer::one(json!({
        "name": call.site.node(),
        "app": "running",
        "pid": host.process(),
        "maintenance": host.is_in_maintenance(),
    })))
}

/// `POST /ctl/shutdown`: the end comes a moment after the answer, which must get out before.
pub async fn shut_down(call: &Call) -> Outcome {
    let site = call.site.clone();
    spawn_local(async move {
        sleep(BEFORE_THE_END).await;
        site.host.shut_down();
    });
    Ok(Answer::bare(StatusCode::ACCEPTED))
}

/// `PUT /ctl/suspension`
pub async fn suspend(call: &Call) -> Outcome {
    close_listeners(call, Closure::Suspension, true).await
}

/// `DELETE /ctl/suspension`
pub async fn resume(call: &Call) -> Outcome {
    close_listeners(call, Closure::Suspension, false).await
}

/// `PUT /ctl/maintenance`: closes the listeners first, so that no client comes back.
pub async fn drain(call: &Call) -> Outcome {
    close_listeners(call, Closure::Maintenance, true).await?;
    for connection in call.broker().connections().await? {
        let conn = connection.addr;
        let reason = "Node was put into maintenance mode".into();
        call.broker().intervene(conn.shard, Intervention::CloseConnection { conn, reason }).await?;
    }
    Ok(Answer::done())
}

/// `DELETE /ctl/maintenance`
pub async fn revive(call: &Call) -> Outcome {
    close_listeners(call, Closure::Maintenance, false).await
}

/// Closes or opens the listeners of clients, and waits until every shard has.
async fn close_listeners(call: &Call, closure: Closure, on: bool) -> Outcome {
    call.site.host.close_listeners(closure, on);
    call.broker().totals().await?;
    Ok(Answer::done())
}

/// `GET /ctl/certificates`: no listener has one.
pub async fn certificates(_: &Call) -> Outcome {
    Ok(Answer::list([]))
}

const BEFORE_THE_END: Duration = Duration::from_millis(100);
