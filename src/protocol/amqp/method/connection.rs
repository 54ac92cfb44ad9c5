//! Class connection: from the handshake to the close, all on channel 0.

use crate::message::TableRef;

methods! { 10 "connection";
    /// Server: who it is and how one may log in.
    Start<'a> = 10 "start" {
        version_major: u8,
        version_minor: u8,
        server_properties: TableRef<'a>,
        mechanisms: &'a [u8],
        locales: &'a [u8],
    }
    /// Client: who it is, and the first word of its login.
    StartOk<'a> = 11 "start-ok" {
        client_properties: TableRef<'a>,
        mechanism: &'a str,
        response: &'a [u8],
        locale: &'a str,
    }
    /// Server: the mechanism needs another word.
    Secure<'a> = 20 "secure" {
        challenge: &'a [u8],
    }
    /// Client: that word.
    SecureOk<'a> = 21 "secure-ok" {
        response: &'a [u8],
    }
    /// Server: the limits it proposes; 0 is no limit, heartbeat in seconds.
    Tune = 30 "tune" {
        channel_max: u16,
        frame_max: u32,
        heartbeat: u16,
    }
    /// Client: the limits it takes.
    TuneOk = 31 "tune-ok" {
        channel_max: u16,
        frame_max: u32,
        heartbeat: u16,
    }
    /// Client: the virtual host it wants; the rest is reserved.
    Open<'a> = 40 "open" {
        virtual_host: &'a str,
        capabilities: &'a str,
        insist: bool,
    }
    /// Server: go ahead.
    OpenOk<'a> = 41 "open-ok" {
        known_hosts: &'a str,
    }
    /// Either: it is over, why, and which method was to blame.
    Close<'a> = 50 "close" {
        reply_code: u16,
        reply_text: &'a str,
        class_id: u16,
        method_id: u16,
    }
    /// Either: understood.
    CloseOk = 51 "close-ok" {}
    /// Server: publishes are not read for now.
    Blocked<'a> = 60 "blocked" {
        reason: &'a str,
    }
    /// Server: they are again.
    Unblocked = 61 "unblocked" {}
    /// Client: a new password or token.
    UpdateSecret<'a> = 70 "update-secret" {
        new_secret: &'a [u8],
        reason: &'a str,
    }
    /// Server: taken.
    UpdateSecretOk = 71 "update-secret-ok" {}
}
