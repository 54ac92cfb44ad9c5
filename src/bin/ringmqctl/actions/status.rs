//! The state of the node in blocks of lines, and its memory.

use serde_json::{Value, json};

use crate::actions::Action;
use crate::actions::health::alarms;
use crate::actions::node::Listener;
use crate::call::Call;
use crate::failure::{Failure, Result};
use crate::format::Output;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::new("cluster_status", super::cluster_status::show),
    Action::new("memory_breakdown", memory_breakdown).checked(check_unit),
    Action::new("status", status).checked(check_unit),
];

fn check_unit(call: &Call) -> Result<()> {
    let unit = call.given.value("unit").unwrap_or_default().to_lowercase();
    match UNITS.iter().any(|(known, _)| *known == unit) {
        true => Ok(()),
        false => Err(Failure::usage(format!("\"unit '{unit}' is not supported. Please use one of: bytes, mb, mib, gb, gib, tb, tib\""))),
    }
}

const UNITS: &[(&str, f64)] =
    &[("bytes", 1.0), ("mb", 1e6), ("mib", 1_048_576.0), ("gb", 1e9), ("gib", 1_073_741_824.0), ("tb", 1e12), ("tib", 1_099_511_627_776.0)];

/// Prints bytes in a unit.
fn in_unit(bytes: f64, unit: &str) -> String {
    let size = UNITS.iter().find(|(known, _)| *known == unit).map_or(1.0, |(_, size)| *size);
    match unit {
        "bytes" => format!("{bytes} {unit}"),
        _ => format!("{:?} {unit}", (bytes / size * 10_000.0).round() / 10_000.0),
    }
}

/// Returns the shares of the memory, the largest first: the name, the bytes, the per cent.
fn shares(memory: &Value) -> Vec<(String, u64, f64)> {
    let total = memory["total"].as_object().into_iter().flatten().filter_map(|(_, bytes)| bytes.as_f64()).fold(1.0, f64::max);
    let share = |(name, bytes): (&String, &Value)| {
        let bytes = bytes.as_u64()?;
        Some((name.clone(), bytes, (bytes as f64 / total * 10_000.0).round() / 100.0))
    };
    let mut shares: Vec<_> = memory.as_object().into_iter().flatten().filter(|(name, _)| *name != "total").filter_map(share).collect();
    shares.sort_by_key(|(_, bytes, _)| std::cmp::Reverse(*bytes));
    shares
}

fn unit(call: &Call) -> String {
    call.given.value("unit").unwrap_or("gb").to_lowercase()
}

fn memory(call: &Call) -> Result<Value> {
    Ok(call.get(&["api", "nodes", &call.node()?.name, "memory"])?["memory"].take())
}

fn memory_breakdown(call: &Call) -> Result<Output> {
    let (shares, unit) = (shares(&memory(call)?), unit(call));
    let lines = shares.iter().map(|(name, bytes, share)| format!("{name}: {} ({share:?}%)\n", in_unit(*bytes as f64, &unit)));
    let members = shares.iter().map(|(name, bytes, share)| (name.clone(), json!({ "bytes": bytes, "percentage": share })));
    Ok(Output::Report { text: lines.collect(), json: Value::Object(members.collect()) })
}

/// All that is known of the node.
struct Facts {
    node: Value,
    overview: Value,
    memory: Value,
    settings: Value,
    vhosts: usize,
}

fn facts(call: &Call) -> Result<Facts> {
    Ok(Facts {
        node: call.get(&["api", "nodes", &call.node()?.name])?,
        overview: call.get(&["api", "overview"])?,
        memory: memory(call)?,
        settings: if call.client.is_local() { call.get(&["ctl", "settings"])? } else { Value::Null },
        vhosts: call.list(&["api", "vhosts"])?.len(),
    })
}

fn status(call: &Call) -> Result<Output> {
    let facts = facts(call)?;
    Ok(Output::Report { text: facts.text(&unit(call)), json: facts.json() })
}

impl Facts {
    fn name(&self) -> &str {
        self.node["name"].as_str().unwrap_or_default()
    }

    fn alarms(&self) -> Vec<String> {
        alarms(std::slice::from_ref(&self.node), None)
    }

    fn text(&self, unit: &str) -> String {
        let blocks = [
            ("Runtime", self.runtime()),
            ("Plugins", self.plugins()),
            ("Data directory", self.data_directory()),
            ("Config files", items(&self.node["config_files"])),
            ("Log file(s)", items(&self.node["log_files"])),
            ("Alarms", or_none(self.alarms())),
            ("Tags", or_none(pairs(&self.overview["node_tags"]))),
            ("Memory", self.memory(unit)),
            ("Free Disk Space", self.disk(unit)),
            ("Totals", self.totals()),
            ("Listeners", or_none(self.listeners().iter().map(Listener::line).collect())),
        ];
        blocks.map(|(title, lines)| block(title, &lines)).join("\n\n")
    }

    fn runtime(&self) -> Vec<String> {
        let node = &self.node;
        vec![
            format!("OS PID: {}", plain(&node["os_pid"])),
            "OS: Linux".into(),
            format!("Uptime (seconds): {}", node["uptime"].as_u64().unwrap_or_default() / 1000),
            format!("Is under maintenance?: {}", node["being_drained"] == true),
            format!("RabbitMQ version: {}", plain(&node["rabbitmq_version"])),
            "RabbitMQ release series support status: see https://www.rabbitmq.com/release-information".into(),
            format!("Node name: {}", self.name()),
            format!("Erlang configuration: {}", plain(&node["erlang_full_version"]).trim_end()),
            format!("Crypto library: {}", plain(&node["crypto_lib_version"])),
            format!("Erlang processes: {} used, {} limit", plain(&node["proc_used"]), plain(&node["proc_total"])),
            format!("Scheduler run queue: {}", plain(&node["run_queue"])),
            format!("Cluster heartbeat timeout (net_ticktime): {}", plain(&node["net_ticktime"])),
        ]
    }

    fn plugins(&self) -> Vec<String> {
        let head = [format!("Enabled plugin file: {}", self.plugins_file()), "Enabled plugins:\n".to_owned()];
        head.into_iter().chain(items(&self.node["enabled_plugins"])).collect()
    }

    fn plugins_file(&self) -> String {
        format!("{}/enabled_plugins", plain(&self.node["db_dir"]))
    }

    fn data_directory(&self) -> Vec<String> {
        let directory = plain(&self.node["db_dir"]);
        let raft = format!("Raft data directory: {directory}/quorum/{}", self.name());
        vec![format!("Node data directory: {directory}"), raft]
    }

    fn memory(&self, unit: &str) -> Vec<String> {
        let strategy = plain(&self.memory["strategy"]);
        let used = self.memory["total"][&strategy].as_f64().unwrap_or_default();
        let setting = match &self.settings["memory_high_watermark"] {
            setting if setting["relative"].is_number() => format!("{} of available memory", plain(&setting["relative"])),
            setting if setting["absolute"].is_number() => in_unit(setting["absolute"].as_f64().unwrap_or_default(), unit),
            _ => "(not available)".into(),
        };
        let limit = in_unit(self.node["mem_limit"].as_f64().unwrap_or_default(), unit);
        let mut lines = vec![
            format!("Total memory used: {}", in_unit(used, unit)),
            format!("Calculation strategy: {strategy}"),
            format!("Memory high watermark setting: {setting}, computed to: {limit}\n"),
        ];
        lines.extend(
            shares(&self.memory).iter().map(|(name, bytes, share)| format!("{name}: {} ({share:?} %)", in_unit(*bytes as f64, unit))),
        );
        lines
    }

    fn disk(&self, unit: &str) -> Vec<String> {
        let space = |key: &str| self.node[key].as_f64().map_or_else(|| "(not available)".into(), |bytes| in_unit(bytes, unit));
        vec![format!("Low free disk space watermark: {}", space("disk_free_limit")), format!("Free disk space: {}", space("disk_free"))]
    }

    fn totals(&self) -> Vec<String> {
        let count = |key: &str| plain(&self.overview["object_totals"][key]);
        vec![
            format!("Connection count: {}", count("connections")),
            format!("Queue count: {}", count("queues")),
            format!("Virtual host count: {}", self.vhosts),
        ]
    }

    fn listeners(&self) -> Vec<Listener> {
        Listener::all(&self.overview, Some(self.name())).into_iter().map(|(_, listener)| listener).collect()
    }

    fn json(&self) -> Value {
        let node = &self.node;
        let listeners: Vec<Value> = self.listeners().iter().map(|listener| listener.json(self.name())).collect();
        let totals = &self.overview["object_totals"];
        json!({
            "pid": node["os_pid"].as_str().and_then(|pid| pid.parse::<u64>().ok()),
            "os": "Linux",
            "uptime": node["uptime"].as_u64().unwrap_or_default() / 1000,
            "is_under_maintenance": node["being_drained"] == true,
            "product_name": self.overview["product_name"],
            "product_version": self.overview["product_version"],
            "rabbitmq_version": node["rabbitmq_version"],
            "erlang_version": node["erlang_full_version"],
            "crypto_lib_version": node["crypto_lib_version"],
            "processes": { "used": node["proc_used"], "limit": node["proc_total"] },
            "run_queue": node["run_queue"],
            "net_ticktime": node["net_ticktime"],
            "active_plugins": node["enabled_plugins"],
            "enabled_plugin_file": self.plugins_file(),
            "data_directory": node["db_dir"],
            "raft_data_directory": format!("{}/quorum/{}", plain(&node["db_dir"]), self.name()),
            "config_files": node["config_files"],
            "log_files": node["log_files"],
            "alarms": self.alarms(),
            "tags": self.overview["node_tags"],
            "memory": self.memory,
            "vm_memory_calculation_strategy": self.memory["strategy"],
            "vm_memory_high_watermark_setting": self.settings["memory_high_watermark"],
            "vm_memory_high_watermark_limit": node["mem_limit"],
            "disk_free": node["disk_free"],
            "disk_free_limit": node["disk_free_limit"],
            "totals": {
                "connection_count": totals["connections"],
                "queue_count": totals["queues"],
                "virtual_host_count": self.vhosts,
            },
            "listeners": listeners,
        })
    }
}

/// Prints a block: its title, an empty line, and its lines.
pub fn block(title: &str, lines: &[String]) -> String {
    format!("{title}\n\n{}", lines.join("\n"))
}

/// Returns the lines, or one that says that there are none.
pub fn or_none(lines: Vec<String>) -> Vec<String> {
    if lines.is_empty() { vec!["(none)".into()] } else { lines }
}

/// Prints the members of an object.
pub fn pairs(value: &Value) -> Vec<String> {
    value.as_object().into_iter().flatten().map(|(key, value)| format!("{key}: {}", plain(value))).collect()
}

fn items(value: &Value) -> Vec<String> {
    value.as_array().into_iter().flatten().map(|item| format!(" * {}", plain(item))).collect()
}

/// Prints a value without quotes.
pub fn plain(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Null => String::new(),
        value => value.to_string(),
    }
}
