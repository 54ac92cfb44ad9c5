//! What a start does before the shards turn: it takes the data directory ([`data_dir`]), finds what the
//! last run left there ([`storage`], [`catalog_files`], [`log_files`]), gives queues of shards that are no
//! more a new home ([`rehome`]), and reads what operators wrote: configuration ([`conf_files`]) and
//! [`definitions`], as texts ([`text_file`]) or from a web server ([`fetch`]).

pub mod catalog_files;
pub mod conf_files;
pub mod data_dir;
pub mod definitions;
pub mod fetch;
pub mod log_files;
pub mod rehome;
pub mod storage;
pub mod text_file;
