//! The real driver, over loopback: a broker in this process (`broker`, `app`), the socket of the
//! command line tool (`ctl`), and the program (`program`).

mod alarms;
mod alone;
mod app;
mod broker;
mod client;
mod ctl;
mod program;
mod scratch;
#[path = "../support/mod.rs"]
mod support;
