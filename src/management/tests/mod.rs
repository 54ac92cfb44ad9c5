//! Tests of the API over HTTP, most of them against what RabbitMQ was seen to answer.

mod permissions;

use super::fixture::{Numbers, with_server};
use crate::config::Config;
