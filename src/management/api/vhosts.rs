//! Virtual hosts.

use std::collections::BTreeMap;

use serde_json::{Map, Value, json};

use super::call::Call;
use super::object::{Object, object};
use crate::broker::catalog::{Catalog, VhostInfo};
use crate::contract::{Administration, QueueFigures, VhostId, VhostSpec};
use crate::management::http::{Answer, Columns, Outcome, Refusal};
use crate::management::measures::{self, COUNTS, History, LENGTHS, OCTETS, OF_CHANNEL};
use crate::management::rates::{Subject, Windows};
use hyper::StatusCode;

/// `GET /vhosts`
pub async fn list(call: &Call) -> Outcome {
    let sums = Sums::of(call).await?;
    let catalog = call.broker().catalog();
    let mut vhosts: Vec<&VhostInfo> = catalog.vhosts().filter(|vhost| call.login.may_see(&catalog, vhost.id)).collect();
    vhosts.sort_unstable_by_key(|vhost| &vhost.spec.name);
    vhosts.into_iter().map(|vhost| vhost_object(call, vhost, &sums)).collect::<Result<Vec<_>, _>>().map(Answer::list)
}

/// `GET /vhosts/V`
pub async fn get(call: &Call) -> Outcome {
    let sums = Sums::of(call).await?;
    let catalog = call.broker().catalog();
    let vhost = catalog.vhost_by_name(call.variable("new-vhost")).and_then(|vhost| catalog.find_vhost(vhost));
    let vhost = vhost.ok_or_else(Refusal::absent)?;
    vhost_object(call, vhost, &sums).map(Answer::one)
}

/// `PUT /vhosts/V`
pub async fn put(call: &Call) -> Outcome {
    let (name, body) = (call.variable("new-vhost"), call.object()?);
    if name.len() > NAME_MAX {
        return Err(Refusal::bad_request(format!("the name of a virtual host has at most {NAME_MAX} bytes")));
    }
    let old = spec(&call.broker().catalog(), name);
    let is_new = old.is_none();
    let old = old.unwrap_or_default();
    let kind = body.text("default_queue_type")?.filter(|kind| !kind.is_empty() && *kind != "undefined");
    let spec = VhostSpec {
        name: name.into(),
        description: body.text("description")?.unwrap_or_default().into(),
        tags: body.tags("tags")?.unwrap_or_default(),
        default_queue_type: kind.map(Into::into).or(old.default_queue_type),
        tracing: body.bool("tracing", old.tracing)?,
        protected: old.protected,
    };
    call.administer(Administration::PutVhost(spec)).await?;
    if is_new && call.login.user.is_some() {
        let all = || ".*".into();
        let permissions = crate::contract::Permissions { configure: all(), write: all(), read: all() };
        let (vhost, user) = (name.into(), call.login.name.clone());
        call.administer(Administration::SetPermissions { vhost, user, permissions }).await?;
    }
    Ok(Answer::put(is_new))
}

/// `DELETE /vhosts/V`
pub async fn delete(call: &Call) -> Outcome {
    let name = call.variable("new-vhost");
    let spec = spec(&call.broker().catalog(), name).ok_or_else(Refusal::absent)?;
    if spec.protected {
        let reason = format!("Refusing to delete virtual host '{name}' because it is protected from deletion");
        return Err(Refusal::told(StatusCode::PRECONDITION_FAILED, "precondition_failed", reason));
    }
    call.administer(Administration::DeleteVhost { name: name.into() }).await?;
    Ok(Answer::done())
}

/// `POST /vhosts/V/deletion/protection`
pub async fn protect(call: &Call) -> Outcome {
    set_protection(call, true, "enable").await
}

/// `DELETE /vhosts/V/deletion/protection`
pub async fn unprotect(call: &Call) -> Outcome {
    set_protection(call, false, "disable").await
}

async fn set_protection(call: &Call, protected: bool, verb: &str) -> Outcome {
    let name = call.variable("new-vhost");
    let spec = spec(&call.broker().catalog(), name).ok_or_else(|| {
        Refusal::not_found(format!("Cannot {verb} deletion protection of virtual host '{name}' because it does not exist"))
    })?;
    call.administer(Administration::PutVhost(VhostSpec { protected, ..spec })).await?;
    Ok(Answer::done())
}

/// `POST /vhosts/V/start/NODE`: a virtual host always runs.
pub async fn start(_: &Call) -> Outcome {
    Ok(Answer::done())
}

fn spec(catalog: &Catalog, name: &str) -> Option<VhostSpec> {
    Some(catalog.find_vhost(catalog.vhost_by_name(name)?)?.spec.clone())
}

/// The numbers of ready and of unsettled messages, by virtual host.
struct Sums(BTreeMap<VhostId, (u64, u64)>);

impl Sums {
    async fn of(call: &Call) -> Result<Sums, Refusal> {
        if call.params.is_true("disable_stats") || Columns::parse(&call.params).are_among(&ATTRIBUTES) {
            return Ok(Sums(BTreeMap::new()));
        }
        let mut sums = BTreeMap::<VhostId, (u64, u64)>::new();
        let visit = |part: Vec<QueueFigures>| {
            let catalog = call.broker().catalog();
            for figures in part {
                let Some(queue) = catalog.queue(figures.id) else { continue };
                let sum = sums.entry(queue.vhost).or_default();
                *sum = (sum.0 + figures.ready, sum.1 + figures.unacked);
            }
        };
        call.broker().visit_queues(visit).await?;
        Ok(Sums(sums))
    }

    fn get(&self, vhost: VhostId) -> (u64, u64) {
        self.0.get(&vhost).copied().unwrap_or_default()
    }
}

fn vhost_object(call: &Call, vhost: &VhostInfo, sums: &Sums) -> Result<Object, Refusal> {
    let VhostSpec { name, description, tags, default_queue_type, tracing, protected } = &vhost.spec;
    let kind = default_queue_type.as_deref().unwrap_or("classic");
    let mut vhost_object = object(json!({
        "name": name,
        "description": description,
        "tags": tags,
        "default_queue_type": kind,
        "metadata": { "description": description, "tags": tags, "default_queue_type": kind },
        "tracing": tracing,
        "protected_from_deletion": protected,
        "cluster_state": { call.site.node(): "running" },
    }));
    if !call.params.is_true("disable_stats") {
        add_numbers(&mut vhost_object, call, vhost.id, sums)?;
    }
    Ok(vhost_object)
}

fn add_numbers(to: &mut Map<String, Value>, call: &Call, vhost: VhostId, sums: &Sums) -> Result<(), Refusal> {
    let windows = Windows::parse(&call.params)?;
    let rates = call.site.rates.borrow();
    let counted = rates.vhost(vhost);
    let history = History { series: rates.of(Subject::Vhost(vhost)), from: 0, window: windows.messages };
    to.insert("message_stats".into(), measures::message_stats(&counted.counts, &OF_CHANNEL, history));
    let (ready, unacked) = sums.get(vhost);
    measures::put(to, &LENGTHS, &measures::lengths(ready, unacked), history.at(COUNTS.len(), windows.lengths));
    let octets = [counted.octets.0, counted.octets.1];
    measures::put(to, &OCTETS, &octets, history.at(COUNTS.len() + LENGTHS.len(), windows.data));
    Ok(())
}

/// The longest name, bytes: a client cannot open a virtual host with a longer one.
const NAME_MAX: usize = 255;

/// The keys that need no numbers.
const ATTRIBUTES: [&str; 8] =
    ["name", "description", "tags", "default_queue_type", "metadata", "tracing", "protected_from_deletion", "cluster_state"];
