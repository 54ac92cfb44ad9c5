//! Start: everything before the shards turn.
//!
//! - [`app`]: the broker inside its process, which can stop and start again;
//! - [`data_dir`]: takes the data directory;
//! - [`storage`], [`catalog_files`], [`log_files`]: find what the last run left there;
//! - [`files`]: what all of these do with files;
//! - [`rehome`]: gives queues of shards that no longer exist a new home;
//! - [`conf_files`], [`definitions`]: read what operators wrote, as texts ([`text_file`]) or from a
//!   web server ([`fetch`]).

pub mod app;
pub mod catalog_files;
pub mod conf_files;
pub mod data_dir;
pub mod definitions;
pub mod fetch;
pub mod files;
pub mod host;
pub mod log_files;
pub mod management;
pub mod rehome;
pub mod storage;
pub mod text_file;
