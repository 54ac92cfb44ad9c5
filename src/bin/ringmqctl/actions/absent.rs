//! Commands that mean something to Erlang's runtime, or to features that this broker does not have.
//! Scripts may call them: those about the runtime succeed with a sentence, the others are refused.

use crate::actions::Action;
use crate::call::Call;
use crate::failure::{Failure, Result};
use crate::format::Output;

/// The actions.
pub const ACTIONS: &[Action] = &[
    Action::anytime("cipher_suites", |_| told("The cipher suites of rustls are enabled")),
    Action::anytime("erlang_cookie_hash", about_erlang),
    Action::anytime("erlang_cookie_sources", about_erlang),
    Action::anytime("list_channel_interceptors", |_| Ok(Output::List(Vec::new()))),
    Action::anytime("maybe_stuck", about_erlang),
    Action::anytime("observer", about_erlang),
    Action::anytime("remote_shell", about_erlang),
    Action::anytime("resolver_info", |_| told("Host names are resolved by the system")),
    Action::anytime("runtime_thread_stats", about_erlang),
    Action::anytime("decode", no_encryption),
    Action::anytime("decrypt_conf_value", no_encryption),
    Action::anytime("encode", no_encryption),
    Action::anytime("encrypt_conf_value", no_encryption),
    Action::new("set_channel_interceptor_priorities", |_| refused("This broker has no channel interceptors")),
    Action::new("decommission_mqtt_node", |_| Ok(Output::Done)),
];

fn told(sentence: &str) -> Result<Output> {
    Ok(Output::Text(sentence.into()))
}

fn about_erlang(_: &Call) -> Result<Output> {
    told("This broker has no Erlang runtime, so there is nothing to show")
}

fn no_encryption(_: &Call) -> Result<Output> {
    refused("This broker does not decrypt values of configuration files: keep them in a file that others cannot read")
}

fn refused(sentence: &str) -> Result<Output> {
    Err(Failure::refused(sentence))
}
