//! The table of all routes under `/api/`.
//!
//! Of two routes that match a path, the first one counts. A variable `{vhost}` is checked before the
//! handler runs: the virtual host exists, and the asker may open it.

use super::route::{Route, routes};
use super::{bindings, channels, connections, consumers, exchanges, limits, nodes, overview, parameters, permissions, policies, queues};
use super::{definitions, features, health, messages, others, replicas, users, vhosts};

/// All routes, by what they are about.
pub const TABLES: &[&[Route]] = &[QUEUES, EXCHANGES, CONNECTIONS, USERS, VHOSTS, POLICIES, BROKER, HEALTH];

const QUEUES: &[Route] = routes! {
    "queues" { Get Management queues::list }
    "queues/detailed" { Get Management queues::list }
    "queues/quorum/replicas/on/{node}/grow" { Post Administrator replicas::grow }
    "queues/quorum/replicas/on/{node}/shrink" { Delete Administrator replicas::shrink }
    "queues/quorum/{vhost}/{queue}/status" { Get Management replicas::status }
    "queues/quorum/{vhost}/{queue}/replicas/add" { Post Administrator replicas::add }
    "queues/quorum/{vhost}/{queue}/replicas/delete" { Delete Administrator replicas::delete }
    "queues/{vhost}" { Get Management queues::list }
    "queues/{vhost}/{queue}" { Get Management queues::get, Put Management queues::put, Delete Management queues::delete }
    "queues/{vhost}/{queue}/bindings" { Get Management bindings::of_queue }
    "queues/{vhost}/{queue}/contents" { Delete Management queues::purge }
    "queues/{vhost}/{queue}/get" { Post Management messages::get }
    "queues/{vhost}/{queue}/actions" { Post Management queues::act }
};

const EXCHANGES: &[Route] = routes! {
    "exchanges" { Get Management exchanges::list }
    "exchanges/{vhost}" { Get Management exchanges::list }
    "exchanges/{vhost}/{exchange}" { Get Management exchanges::get, Put Management exchanges::put, Delete Management exchanges::delete }
    "exchanges/{vhost}/{exchange}/publish" { Post Management messages::publish }
    "exchanges/{vhost}/{exchange}/bindings/source" { Get Management bindings::of_source }
    "exchanges/{vhost}/{exchange}/bindings/destination" { Get Management bindings::of_destination }
    "bindings" { Get Management bindings::list }
    "bindings/{vhost}" { Get Management bindings::list }
    "bindings/{vhost}/e/{exchange}/{kind}/{destination}" { Get Management bindings::between, Post Management bindings::post }
    "bindings/{vhost}/e/{exchange}/{kind}/{destination}/{properties}" { Get Management bindings::get, Delete Management bindings::delete }
};

const CONNECTIONS: &[Route] = routes! {
    "connections" { Get Management connections::list }
    "connections/username/{user}" { Get Monitoring connections::of_user, Delete Administrator connections::close_of_user }
    "connections/{connection}" { Get Management connections::get, Delete Management connections::close }
    "connections/{connection}/channels" { Get Management connections::channels_of }
    "connections/{connection}/sessions" { Get Management connections::sessions_of }
    "channels" { Get Management channels::list }
    "channels/{channel}" { Get Management channels::get }
    "consumers" { Get Management consumers::list }
    "consumers/{vhost}" { Get Management consumers::list }
};

const USERS: &[Route] = routes! {
    "whoami" { Get Management users::whoami }
    "login" { Post Nothing users::log_in }
    "users" { Get Administrator users::list }
    "users/without-permissions" { Get Administrator users::without_permissions }
    "users/bulk-delete" { Post Administrator users::delete_many }
    "users/{user}" { Get Administrator users::get, Put Administrator users::put, Delete Administrator users::delete }
    "users/{user}/permissions" { Get Administrator permissions::of_user }
    "users/{user}/topic-permissions" { Get Administrator permissions::topics_of_user }
    "users/{user}/queues" { Get Management queues::of_user }
    "permissions" { Get Administrator permissions::list }
    "permissions/{of-vhost}/{user}" {
        Get Administrator permissions::get, Put Administrator permissions::put, Delete Administrator permissions::delete
    }
    "topic-permissions" { Get Administrator permissions::list_topics }
    "topic-permissions/{of-vhost}/{user}" {
        Get Administrator permissions::get_topics,
        Put Administrator permissions::put_topics,
        Delete Administrator permissions::delete_topics,
    }
    "topic-permissions/{of-vhost}/{user}/{exchange}" {
        Get Administrator permissions::get_topics, Delete Administrator permissions::delete_topics
    }
    "user-limits" { Get Administrator limits::list_users }
    "user-limits/{user}" { Get Monitoring limits::get_user }
    "user-limits/{user}/{limit}" { Put Administrator limits::put_user, Delete Administrator limits::delete_user }
    "auth/hash_password/{password}" { Get Administrator users::hash_password }
    "auth/attempts/{node}" { Get Monitoring others::attempts, Delete Monitoring others::reset_attempts }
    "auth/attempts/{node}/source" { Get Monitoring others::attempts, Delete Monitoring others::reset_attempts }
};

const VHOSTS: &[Route] = routes! {
    "vhosts" { Get Management vhosts::list }
    "vhosts/{new-vhost}" { Get Administrator vhosts::get, Put Administrator vhosts::put, Delete Administrator vhosts::delete }
    "vhosts/{vhost}/permissions" { Get Administrator permissions::of_vhost }
    "vhosts/{vhost}/topic-permissions" { Get Administrator permissions::topics_of_vhost }
    "vhosts/{vhost}/connections" { Get Management connections::of_vhost }
    "vhosts/{vhost}/channels" { Get Management channels::of_vhost }
    "vhosts/{new-vhost}/deletion/protection" { Post Administrator vhosts::protect, Delete Administrator vhosts::unprotect }
    "vhosts/{vhost}/start/{node}" { Post Administrator vhosts::start }
    "vhost-limits" { Get Management limits::list_vhosts }
    "vhost-limits/{seen-vhost}" { Get Management limits::get_vhost }
    "vhost-limits/{vhost}/{limit}" { Put Administrator limits::put_vhost, Delete Administrator limits::delete_vhost }
};

const POLICIES: &[Route] = routes! {
    "policies" { Get Management policies::list }
    "policies/{vhost}" { Get Management policies::list }
    "policies/{vhost}/{policy}" { Get Policymaker policies::get, Put Policymaker policies::put, Delete Policymaker policies::delete }
    "operator-policies" { Get Management policies::list_operator }
    "operator-policies/{vhost}" { Get Management policies::list_operator }
    "operator-policies/{vhost}/{policy}" {
        Get Policymaker policies::get_operator,
        Put Administrator policies::put_operator,
        Delete Administrator policies::delete_operator,
    }
    "parameters" { Get Policymaker parameters::list }
    "parameters/{component}" { Get Policymaker parameters::list }
    "parameters/{component}/{vhost}" { Get Policymaker parameters::list }
    "parameters/{component}/{vhost}/{parameter}" {
        Get Policymaker parameters::get, Put Policymaker parameters::put, Delete Policymaker parameters::delete
    }
    "global-parameters" { Get Policymaker parameters::list_global }
    "global-parameters/{parameter}" {
        Get Policymaker parameters::get_global, Put Policymaker parameters::put_global, Delete Policymaker parameters::delete_global
    }
};

const BROKER: &[Route] = routes! {
    "version" { Get Nothing overview::version }
    "overview" { Get Management overview::get }
    "cluster-name" { Get Management parameters::cluster_name, Put Administrator parameters::put_cluster_name }
    "nodes" { Get Monitoring nodes::list }
    "nodes/{node}" { Get Monitoring nodes::get }
    "nodes/{node}/memory" { Get Monitoring nodes::memory }
    "nodes/{node}/memory/relative" { Get Monitoring nodes::relative_memory }
    "definitions" { Get Administrator definitions::get, Post Administrator definitions::post }
    "all-configuration" { Get Administrator definitions::get, Post Administrator definitions::post }
    "definitions/{vhost}" { Get Administrator definitions::get_vhost, Post Administrator definitions::post_vhost }
    "feature-flags" { Get Management features::flags }
    "feature-flags/{flag}/enable" { Put Administrator features::enable }
    "deprecated-features" { Get Management features::deprecated }
    "deprecated-features/used" { Get Management others::none }
    "extensions" { Get Management others::none }
    "rebalance/queues" { Post Administrator others::rebalance }
    "reset" { Delete Administrator others::reset }
    "reset/{node}" { Delete Administrator others::reset_node }
    "config/effective" { Get Administrator others::configuration }
    "shovels" { Get Monitoring others::none }
    "shovels/{vhost}" { Get Monitoring others::none }
    "federation-links" { Get Monitoring others::none }
    "federation-links/state/down" { Get Monitoring others::none }
    "federation-links/{vhost}" { Get Monitoring others::none }
    "federation-links/{vhost}/state/down" { Get Monitoring others::none }
    "stream/connections" { Get Management others::none }
    "stream/connections/{vhost}" { Get Management others::none }
    "stream/consumers" { Get Management others::none }
    "stream/consumers/{vhost}" { Get Management others::none }
    "stream/publishers" { Get Management others::none }
    "stream/publishers/{vhost}" { Get Management others::none }
    "top/{node}" { Get Administrator others::none }
};

const HEALTH: &[Route] = routes! {
    "aliveness-test/{vhost}" { Get Management health::ok }
    "healthchecks/node" { Get Management health::node }
    "healthchecks/node/{node}" { Get Management health::node }
    "health/checks/alarms" { Get Management health::alarms }
    "health/checks/local-alarms" { Get Management health::local_alarms }
    "health/checks/port-listener/{port}" { Get Management health::port_listener }
    "health/checks/protocol-listener/{protocols}" { Get Management health::protocol_listener }
    "health/checks/virtual-hosts" { Get Management health::ok }
    "health/checks/node-is-quorum-critical" { Get Management health::single_node }
    "health/checks/node-is-mirror-sync-critical" { Get Management health::single_node }
    "health/checks/certificate-expiration/{within}/{unit}" { Get Management health::certificates }
    "health/checks/is-in-service" { Get Nothing health::in_service }
    "health/checks/below-node-connection-limit" { Get Nothing health::below_limit }
    "health/checks/ready-to-serve-clients" { Get Nothing health::ready }
    "health/checks/reached-target-cluster-size" { Get Nothing health::ok }
    "health/checks/metadata-store/initialized" { Get Management health::ok }
    "health/checks/metadata-store/initialized/with-data" { Get Management health::ok }
    "health/checks/quorum-queues-without-elected-leaders/all-vhosts" { Get Management health::ok }
    "health/checks/quorum-queues-without-elected-leaders/all-vhosts/pattern/{pattern}" { Get Management health::ok }
    "health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}" { Get Management health::ok }
    "health/checks/quorum-queues-without-elected-leaders/vhost/{vhost}/pattern/{pattern}" { Get Management health::ok }
};
