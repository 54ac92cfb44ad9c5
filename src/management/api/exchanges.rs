//! Exchanges.

use serde_json::json;

use super::call::Call;
use super::object::{Object, object};
use crate::base::hash::Map;
use crate::base::ids::ExchangeId;
use crate::broker::catalog::{Catalog, ExchangeInfo};
use crate::contract::{Counts, ExchangeSpec, Topology};
use crate::definitions::arguments::{to_json, to_table};
use crate::management::http::{Answer, Columns, Outcome, Refusal, Sort};
use crate::management::measures::{self, History, OF_EXCHANGE};
use crate::management::rates::{Subject, Windows};

/// `GET /exchanges` and `/exchanges/V`
pub async fn list(call: &Call) -> Outcome {
    let counts = counts(call).await?;
    let windows = Windows::of_list(&call.params)?;
    let catalog = call.broker().catalog();
    let lists = call.lists(&catalog);
    let mut exchanges: Vec<&ExchangeInfo> = catalog.exchanges().filter(|exchange| lists(exchange.vhost)).collect();
    exchanges.sort_unstable_by_key(|exchange| (catalog.vhost_name(exchange.vhost), &exchange.spec.name));
    Ok(Answer::list(exchanges.into_iter().map(|exchange| exchange_object(call, &catalog, exchange, counts.as_ref(), &windows))))
}

/// `GET /exchanges/V/X`
pub async fn get(call: &Call) -> Outcome {
    let counts = counts(call).await?;
    let windows = Windows::parse(&call.params)?;
    let catalog = call.broker().catalog();
    let exchange = find(call, &catalog)?;
    let mut found = exchange_object(call, &catalog, exchange, counts.as_ref(), &windows);
    found.insert("incoming".into(), json!([]));
    found.insert("outgoing".into(), json!([]));
    Ok(Answer::one(found))
}

/// `PUT /exchanges/V/X`
pub async fn put(call: &Call) -> Outcome {
    let body = call.object()?;
    let spec = ExchangeSpec {
        name: call.exchange("exchange").into(),
        kind: body.text("type")?.unwrap_or("direct").into(),
        durable: body.bool("durable", false)?,
        auto_delete: body.bool("auto_delete", false)?,
        internal: body.bool("internal", false)?,
        arguments: to_table(&body.object("arguments")?).map_err(Refusal::bad_request)?,
    };
    call.change(Topology::DeclareExchange(spec)).await.map(Answer::put)
}

/// `DELETE /exchanges/V/X`
pub async fn delete(call: &Call) -> Outcome {
    find(call, &call.broker().catalog()).map(drop)?;
    let (name, if_unused) = (call.exchange("exchange").into(), call.params.is_true("if-unused"));
    call.change(Topology::DeleteExchange { name, if_unused }).await?;
    Ok(Answer::done())
}

/// The exchange that the path names.
pub fn find<'a>(call: &Call, catalog: &'a Catalog) -> Result<&'a ExchangeInfo, Refusal> {
    catalog.exchange_by_name(call.vhost(catalog)?, call.exchange("exchange").as_bytes()).ok_or_else(Refusal::absent)
}

/// The counts of all exchanges; none if they are not asked for.
async fn counts(call: &Call) -> Result<Option<Map<ExchangeId, Counts>>, Refusal> {
    let sort = Sort::parse(&call.params);
    let sorts_by_number = sort.field().is_some_and(|field| !ATTRIBUTES.contains(&field));
    if call.params.is_true("disable_stats") || Columns::parse(&call.params).are_among(&ATTRIBUTES) && !sorts_by_number {
        return Ok(None);
    }
    let mut sums = Map::<ExchangeId, Counts>::default();
    for figures in call.broker().exchanges().await? {
        *sums.entry(figures.id).or_default() += &figures.counts;
    }
    Ok(Some(sums))
}

fn exchange_object(
    call: &Call,
    catalog: &Catalog,
    exchange: &ExchangeInfo,
    counts: Option<&Map<ExchangeId, Counts>>,
    windows: &Windows,
) -> Object {
    let ExchangeSpec { name, kind, durable, auto_delete, internal, arguments } = &exchange.spec;
    let is_own = name.is_empty() || name.starts_with("amq.");
    let mut all = object(json!({
        "name": name,
        "vhost": catalog.vhost_name(exchange.vhost),
        "type": kind,
        "durable": durable,
        "auto_delete": auto_delete,
        "internal": internal,
        "arguments": to_json(arguments.view()),
        "user_who_performed_action": if is_own { "rmq-internal" } else { "" },
    }));
    if let Some(policy) = catalog.policy_of_exchange(exchange) {
        all.insert("policy".into(), (*policy.name).into());
    }
    if let Some(counts) = counts {
        let rates = call.site.rates.borrow();
        let history = History { series: rates.of(Subject::Exchange(exchange.id)), from: 0, window: windows.messages };
        let counts = counts.get(&exchange.id).copied().unwrap_or_default();
        all.insert("message_stats".into(), measures::message_stats(&counts, &OF_EXCHANGE, history));
    }
    all
}

/// The keys that need no numbers.
const ATTRIBUTES: [&str; 9] =
    ["name", "vhost", "type", "durable", "auto_delete", "internal", "arguments", "user_who_performed_action", "policy"];
