//! Class connection: from the handshake to the close, all on channel 0.

use crate::message::TableRef;

methods! { 10 "connection";
    /// Server: its properties, and the mechanisms of login.
    Start<'a> = 10 "start" {
        version_major: u8,
        version_minor: u8,
        server_properties: TableRef<'a>,
        mechanisms: &'a [u8],
        locales: &'a [u8],
    }
    /// Client: its properties, and its first response of the login.
    StartOk<'a> = 11 "start-ok" {
        client_properties: TableRef<'a>,
        mechanism: &'a str,
        response: &'a [u8],
        locale: &'a str,
    }
    /// Server: the mechanism needs another response.
    Secure<'a> = 20 "secure" {
        challenge: &'a [u8],
    }
    /// Client: that response.
    SecureOk<'a> = 21 "secure-ok" {
        response: &'a [u8],
    }
    /// Server: proposes limits; 0 is no limit, heartbeat in seconds.
    Tune = 30 "tune" {
        channel_max: u16,
        frame_max: u32,
        heartbeat: u16,
    }
    /// Client: chooses the limits.
    TuneOk = 31 "tune-ok" {
        channel_max: u16,
        frame_max: u32,
        heartbeat: u16,
    }
    /// Client: opens a virtual host; the other fields are reserved.
    Open<'a> = 40 "open" {
        virtual_host: &'a str,
        capabilities: &'a str,
        insist: bool,
    }
    /// Server: the connection is open.
    OpenOk<'a> = 41 "open-ok" {
        known_hosts: &'a str,
    }
    /// Either: closes the connection, with the reason and the method that caused it.
    Close<'a> = 50 "close" {
        reply_code: u16,
        reply_text: &'a str,
        class_id: u16,
        method_id: u16,
    }
    /// Either: the close is received.
    CloseOk = 51 "close-ok" {}
    /// Server: publishes are not read for now.
    Blocked<'a> = 60 "blocked" {
        reason: &'a str,
    }
    /// Server: publishes are read again.
    Unblocked = 61 "unblocked" {}
    /// Client: a new password or token.
    UpdateSecret<'a> = 70 "update-secret" {
        new_secret: &'a [u8],
        reason: &'a str,
    }
    /// Server: the secret is received.
    UpdateSecretOk = 71 "update-secret-ok" {}
}
