//! The state of the cluster in blocks of lines.

use serde_json::{Map, Value, json};

use crate::actions::health::alarms;
use crate::actions::node::Listener;
use crate::actions::status::{block, or_none, pairs, plain};
use crate::call::Call;
use crate::failure::Result;
use crate::format::Output;

/// Shows the state.
pub fn show(call: &Call) -> Result<Output> {
    let (nodes, overview) = (call.list(&["api", "nodes"])?, call.get(&["api", "overview"])?);
    let flags = call.list(&["api", "feature-flags"])?;
    let cluster = Cluster { nodes, overview, flags };
    Ok(Output::Report { text: cluster.text(), json: cluster.json() })
}

struct Cluster {
    nodes: Vec<Value>,
    overview: Value,
    flags: Vec<Value>,
}

impl Cluster {
    fn running(&self) -> impl Iterator<Item = &Value> {
        self.nodes.iter().filter(|node| node["running"] == true)
    }

    fn text(&self) -> String {
        let name = |node: &Value| plain(&node["name"]);
        let cores = self.running().map(|node| node["processors"].as_u64().unwrap_or_default()).sum::<u64>();
        let basics = vec![
            format!("Cluster name: {}", plain(&self.overview["cluster_name"])),
            format!("Total CPU cores available cluster-wide: {cores}"),
        ];
        let blocks = [
            ("Basics", basics),
            ("Cluster Tags", or_none(pairs(&self.overview["cluster_tags"]))),
            ("Disk Nodes", self.nodes.iter().map(name).collect()),
            ("Running Nodes", self.running().map(name).collect()),
            ("Versions", self.running().map(version).collect()),
            ("CPU Cores", self.running().map(cores_line).collect()),
            ("Maintenance status", self.nodes.iter().map(maintenance_line).collect()),
            ("Alarms", or_none(alarms(&self.nodes, None))),
            ("Network Partitions", or_none(Vec::new())),
            ("Listeners", or_none(self.listener_lines())),
            ("Feature flags", or_none(self.flags.iter().map(flag_line).collect())),
        ];
        blocks.map(|(title, lines)| block(title, &lines)).join("\n\n")
    }

    fn listener_lines(&self) -> Vec<String> {
        let line = |(node, listener): &(String, Listener)| {
            let Listener { interface, port, protocol } = listener;
            format!("Node: {node}, interface: {interface}, port: {port}, protocol: {protocol}, purpose: {}", listener.purpose())
        };
        Listener::all(&self.overview, None).iter().map(line).collect()
    }

    fn json(&self) -> Value {
        let names = |nodes: Vec<&Value>| nodes.iter().map(|node| node["name"].clone()).collect::<Vec<_>>();
        let by_node = |value: fn(&Value) -> Value| self.running().map(|node| (plain(&node["name"]), value(node))).collect::<Map<_, _>>();
        let mut listeners: Map<String, Value> = Map::new();
        for (node, listener) in Listener::all(&self.overview, None) {
            let of_node = listeners.entry(node.clone()).or_insert_with(|| json!([]));
            of_node.as_array_mut().into_iter().for_each(|items| items.push(listener.json(&node)));
        }
        let flags: Vec<Value> = self.flags.iter().map(|flag| json!({ "name": flag["name"], "state": flag["state"] })).collect();
        json!({
            "cluster_name": self.overview["cluster_name"],
            "cluster_tags": self.overview["cluster_tags"],
            "disk_nodes": names(self.nodes.iter().collect()),
            "ram_nodes": [],
            "running_nodes": names(self.running().collect()),
            "versions": by_node(versions),
            "cpu_cores": by_node(|node| node["processors"].clone()),
            "maintenance_status": by_node(|node| maintenance(node).into()),
            "alarms": alarms(&self.nodes, None),
            "partitions": {},
            "listeners": listeners,
            "feature_flags": flags,
        })
    }
}

fn version(node: &Value) -> String {
    format!("{}: RabbitMQ {} on Erlang {}", plain(&node["name"]), plain(&node["rabbitmq_version"]), plain(&node["erlang_version"]))
}

fn versions(node: &Value) -> Value {
    let name = format!("RabbitMQ {}", plain(&node["rabbitmq_version"]));
    json!({ "rabbitmq_name": "RabbitMQ", "rabbitmq_version": node["rabbitmq_version"], "erlang_version": node["erlang_version"], "description": name })
}

fn cores_line(node: &Value) -> String {
    format!("Node: {}, available CPU cores: {}", plain(&node["name"]), plain(&node["processors"]))
}

fn maintenance(node: &Value) -> &'static str {
    if node["being_drained"] == true { "marked for maintenance" } else { "not under maintenance" }
}

fn maintenance_line(node: &Value) -> String {
    format!("Node: {}, status: {}", plain(&node["name"]), maintenance(node))
}

fn flag_line(flag: &Value) -> String {
    format!("Flag: {}, state: {}", plain(&flag["name"]), plain(&flag["state"]))
}
