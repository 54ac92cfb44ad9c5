//! Tests of the API over HTTP, most of them against what RabbitMQ was seen to answer.

mod connections;
mod conversations;
mod gate;
mod lists;
mod permissions;
mod shapes;

use super::fixture::{Numbers, with_server};
use crate::config::Config;
