//! What the command line tool asks of the broker beside the API: the process, its limits, its log, its
//! listeners. Only the socket in the data directory serves this, below `/ctl/`; the ports do not.

mod log;
mod node;
mod plugins;
mod settings;
mod users;

use super::api::{Route, Variables, find_route, routes};

/// Finds the route of the segments behind `/ctl/`.
pub fn find(segments: &[String]) -> Option<(&'static Route, Variables)> {
    find_route(&[ROUTES], segments)
}

const ROUTES: &[Route] = routes! {
    "node" { Get Administrator node::get }
    "shutdown" { Post Administrator node::shut_down }
    "suspension" { Put Administrator node::suspend, Delete Administrator node::resume }
    "maintenance" { Put Administrator node::drain, Delete Administrator node::revive }
    "settings" { Get Administrator settings::get }
    "settings/memory_high_watermark" { Put Administrator settings::put_memory }
    "settings/disk_free_limit" { Put Administrator settings::put_disk_free }
    "settings/log_level" { Put Administrator settings::put_log_level }
    "alarms/{alarm}" { Put Administrator settings::raise_alarm, Delete Administrator settings::clear_alarm }
    "plugins" { Get Administrator plugins::list, Put Administrator plugins::put }
    "authentication" { Post Administrator users::authenticate }
    "log" { Get Administrator log::get }
    "certificates" { Get Administrator node::certificates }
};
