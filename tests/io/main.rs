//! The real driver, over loopback: a broker in this process (`broker`, `app`), and the program
//! (`program`).

mod alarms;
mod alone;
mod app;
mod broker;
mod client;
mod program;
mod scratch;
#[path = "../support/mod.rs"]
mod support;
