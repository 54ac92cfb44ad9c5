//! Feature flags and deprecated features: those of the RabbitMQ version that RingMQ presents itself
//! as. All flags are enabled, so that tools which wait for one go on.

use serde_json::json;

use super::call::Call;
use super::object::object;
use crate::management::http::{Answer, Outcome, Refusal};

/// `GET /feature-flags`
pub async fn flags(_: &Call) -> Outcome {
    let flag = |(name, stability): &(&str, &str)| {
        object(json!({
            "name": name,
            "state": "enabled",
            "stability": stability,
            "desc": "",
            "doc_url": "",
            "provided_by": "rabbit",
            "callbacks": [],
            "require_level": if *stability == "required" { "hard" } else { "none" },
            "experiment_level": "supported",
        }))
    };
    Ok(Answer::list(FLAGS.iter().map(flag)))
}

/// `PUT /feature-flags/F/enable`
pub async fn enable(call: &Call) -> Outcome {
    let wanted = call.variable("flag");
    let is_known = wanted == "all" || FLAGS.iter().any(|(name, _)| *name == wanted);
    if is_known { Ok(Answer::done()) } else { Err(Refusal::bad_request("unsupported")) }
}

/// `GET /deprecated-features`
pub async fn deprecated(_: &Call) -> Outcome {
    let feature = |(name, phase, state): &(&str, &str, &str)| {
        object(json!({
            "name": name,
            "deprecation_phase": phase,
            "state": state,
            "desc": "",
            "doc_url": "",
            "provided_by": "rabbit",
        }))
    };
    Ok(Answer::list(DEPRECATED.iter().map(feature)))
}

/// Name and stability of each flag.
const FLAGS: &[(&str, &str)] = &[
    ("classic_mirrored_queue_version", "required"),
    ("classic_queue_type_delivery_support", "required"),
    ("delete_ra_cluster_mqtt_node", "required"),
    ("detailed_queues_endpoint", "required"),
    ("direct_exchange_routing_v2", "required"),
    ("drop_unroutable_metric", "required"),
    ("empty_basic_get_metric", "required"),
    ("feature_flags_v2", "required"),
    ("implicit_default_bindings", "required"),
    ("khepri_db", "required"),
    ("listener_records_in_ets", "required"),
    ("maintenance_mode_status", "required"),
    ("message_containers", "required"),
    ("message_containers_deaths_v2", "required"),
    ("mqtt_v5", "required"),
    ("quorum_queue", "required"),
    ("quorum_queue_non_voters", "required"),
    ("rabbit_exchange_type_local_random", "required"),
    ("rabbit_mqtt_qos0_queue", "required"),
    ("rabbitmq_4.0.0", "required"),
    ("rabbitmq_4.1.0", "required"),
    ("rabbitmq_4.2.0", "required"),
    ("rabbitmq_4.3.0", "stable"),
    ("restart_streams", "required"),
    ("stream_filtering", "required"),
    ("stream_queue", "required"),
    ("stream_sac_coordinator_unblock_group", "required"),
    ("stream_single_active_consumer", "required"),
    ("stream_update_config_command", "required"),
    ("tie_binding_to_dest_with_keep_while_cond", "stable"),
    ("topic_binding_projection_v4", "stable"),
    ("topic_binding_projection_v5", "stable"),
    ("track_qq_members_uids", "stable"),
    ("tracking_records_in_ets", "required"),
    ("user_limits", "required"),
    ("virtual_host_metadata", "required"),
];

/// Name, phase and state of each deprecated feature. Those that RingMQ has are permitted.
const DEPRECATED: &[(&str, &str, &str)] = &[
    ("queue_master_locator", "denied_by_default", "denied"),
    ("global_qos", "denied_by_default", "permitted"),
    ("amqp_filter_set_bug", "denied_by_default", "denied"),
    ("amqp_address_v1", "denied_by_default", "denied"),
    ("management_metrics_collection", "permitted_by_default", "permitted"),
    ("transient_nonexcl_queues", "permitted_by_default", "permitted"),
    ("classic_queue_mirroring", "removed", "denied"),
    ("ram_node_type", "removed", "denied"),
];
