//! The asker of a request: its name, its powers by its tags, and the virtual hosts that it may see.
//!
//! ```text
//! management < policymaker   the policies and parameters of its virtual hosts
//! management < monitoring    all connections, channels and nodes
//! all of them < administrator
//! ```

use std::cell::Cell;
use std::net::IpAddr;

use base64::Engine;
use base64::prelude::BASE64_STANDARD;

use crate::base::ids::{ShardId, UserId};
use crate::broker::access::{Refusal as Failure, authenticate};
use crate::broker::catalog::{Asker, Catalog};
use crate::config::Config;
use crate::contract::VhostId;
use crate::management::http::Refusal;
use hyper::StatusCode;

/// The origin of a connection.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Origin {
    /// A peer who must log in.
    Remote(IpAddr),
    /// A process of an operator of this machine, who is an administrator without a login.
    Local,
}

/// The asker of a request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Login {
    /// The user; none: the machine's operator.
    pub user: Option<UserId>,
    /// The user's name.
    pub name: Box<str>,
    /// The password, for acting as the user over AMQP.
    pub password: Box<str>,
    tags: Box<[Box<str>]>,
}

/// What a route demands of its asker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Needs {
    /// No login.
    Nothing,
    /// Any of the four tags.
    Management,
    /// The tag `policymaker`, or `administrator`.
    Policymaker,
    /// The tag `monitoring`, or `administrator`.
    Monitoring,
    /// The tag `administrator`.
    Administrator,
}

/// Counts of logins.
#[derive(Debug, Default)]
pub struct Attempts {
    accepted: Cell<u64>,
    failed: Cell<u64>,
    /// Both at the last reset.
    before: Cell<(u64, u64)>,
    /// The attempts over AMQP at the last reset.
    amqp: Cell<(u64, u64)>,
}

impl Attempts {
    /// Logins that were accepted and that failed since the start.
    pub fn get(&self) -> (u64, u64) {
        (self.accepted.get(), self.failed.get())
    }

    /// Logins that were accepted and that failed since the last reset.
    pub fn since_reset(&self) -> (u64, u64) {
        let ((accepted, failed), before) = (self.get(), self.before.get());
        (accepted - before.0, failed - before.1)
    }

    /// Attempts over AMQP that are counted no more.
    pub fn amqp_reset(&self) -> (u64, u64) {
        self.amqp.get()
    }

    /// Begins to count anew; `amqp` is the number of attempts over AMQP until now.
    pub fn reset(&self, amqp: (u64, u64)) {
        self.before.set(self.get());
        self.amqp.set(amqp);
    }

    fn count(&self, is_accepted: bool) {
        let cell = if is_accepted { &self.accepted } else { &self.failed };
        cell.set(cell.get() + 1);
    }
}

/// Finds the asker of a request by its `Authorization` header.
///
/// # Errors
/// There is no login, or a wrong one.
pub fn log_in(catalog: &Catalog, config: &Config, origin: &Origin, header: Option<&[u8]>, attempts: &Attempts) -> Result<Login, Refusal> {
    let Origin::Remote(peer) = origin else { return Ok(Login::of_operator()) };
    let (name, password) = credentials(header)?;
    of_user(catalog, config, *peer, (&name, &password), attempts)
}

/// Logs a user in with a name and a password, and counts the attempt.
///
/// # Errors
/// They are wrong, or the user may not log in from there.
pub fn of_user(
    catalog: &Catalog,
    config: &Config,
    peer: IpAddr,
    (name, password): (&str, &str),
    attempts: &Attempts,
) -> Result<Login, Refusal> {
    let confined = if peer.to_canonical().is_loopback() { &[][..] } else { &config.loopback_users };
    let user = authenticate(catalog, name, password.as_bytes(), confined);
    attempts.count(user.is_ok());
    let user = user.map_err(|failure| {
        log::warn!("management: login from {peer} failed: {}", failure.text(name).escape_debug());
        match failure {
            Failure::NotLoopback => Refusal::not_authorised("User can only log in via localhost"),
            _ => Refusal::wrong_login(),
        }
    })?;
    let tags = catalog.user(user.id).map(|user| user.tags.clone()).unwrap_or_default();
    Ok(Login { user: Some(user.id), name: user.name, password: password.into(), tags })
}

impl Login {
    /// The operator of this machine.
    pub fn of_operator() -> Login {
        Login { user: None, name: "(local operator)".into(), password: "".into(), tags: ["administrator".into()].into() }
    }

    /// Somebody who did not log in.
    pub fn of_nobody() -> Login {
        Login { user: None, name: "".into(), password: "".into(), tags: [].into() }
    }

    /// Its tags.
    pub fn tags(&self) -> &[Box<str>] {
        &self.tags
    }

    fn has(&self, tag: &str) -> bool {
        self.tags.iter().any(|own| **own == *tag)
    }

    /// Whether it may do everything.
    pub fn is_administrator(&self) -> bool {
        self.has("administrator")
    }

    /// Whether it sees what others do.
    pub fn is_monitoring(&self) -> bool {
        self.is_administrator() || self.has("monitoring")
    }

    /// Whether it sets policies and parameters.
    pub fn is_policymaker(&self) -> bool {
        self.is_administrator() || self.has("policymaker")
    }

    /// Checks that it has the needed tag.
    ///
    /// # Errors
    /// It names the missing one.
    pub fn check(&self, needs: Needs) -> Result<(), Refusal> {
        let is_any = self.is_policymaker() || self.is_monitoring() || self.has("management");
        let (is_met, reason) = match needs {
            Needs::Nothing => (true, ""),
            Needs::Management => (is_any, "Not management user"),
            Needs::Policymaker => (self.is_policymaker(), "User not authorised to access object"),
            Needs::Monitoring => (self.is_monitoring(), "Not monitor user"),
            Needs::Administrator => (self.is_administrator(), "Not administrator user"),
        };
        if is_met { Ok(()) } else { Err(Refusal::not_authorised(reason)) }
    }

    /// Whether it may work with the objects of a virtual host.
    pub fn may_open(&self, catalog: &Catalog, vhost: VhostId) -> bool {
        self.is_administrator() || self.user.is_some_and(|user| catalog.may_open(user, vhost))
    }

    /// Whether it may know that a virtual host exists.
    pub fn may_see(&self, catalog: &Catalog, vhost: VhostId) -> bool {
        self.is_monitoring() || self.may_open(catalog, vhost)
    }

    /// The party whose AMQP permissions count.
    pub fn asker(&self) -> Asker {
        Asker { home: ShardId::ORDERER, conn: None, user: self.user }
    }
}

/// Reads name and password.
fn credentials(header: Option<&[u8]>) -> Result<(String, String), Refusal> {
    let malformed = || Refusal::Bare(StatusCode::BAD_REQUEST);
    let header = header.map(|header| std::str::from_utf8(header).map(str::trim)).transpose().map_err(|_| malformed())?;
    let Some((scheme, token)) = header.filter(|header| !header.is_empty()).map(|header| header.split_once(' ').unwrap_or((header, "")))
    else {
        return Err(Refusal::Challenge);
    };
    if scheme.eq_ignore_ascii_case("bearer") {
        return Err(Refusal::wrong_login());
    }
    if !scheme.eq_ignore_ascii_case("basic") {
        return Err(malformed());
    }
    let decoded = BASE64_STANDARD.decode(token.trim()).map_err(|_| malformed())?;
    let decoded = String::from_utf8(decoded).map_err(|_| malformed())?;
    let (name, password) = decoded.split_once(':').ok_or_else(malformed)?;
    Ok((name.to_owned(), password.to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from(header: Option<&str>, peer: &str) -> Result<Login, Refusal> {
        let origin = Origin::Remote(peer.parse().expect("an address"));
        log_in(&Catalog::new(), &Config::default(), &origin, header.map(str::as_bytes), &Attempts::default())
    }

    #[test]
    fn logins_are_answered_as_in_rabbitmq() {
        let guest = format!("bAsIc {}", BASE64_STANDARD.encode("guest:guest"));
        let wrong = format!("Basic {}", BASE64_STANDARD.encode("guest:wrong"));
        assert!(from(Some(&guest), "127.0.0.1").is_ok_and(|login| login.is_administrator() && &*login.name == "guest"));
        assert!(from(Some(&guest), "::ffff:127.0.0.1").is_ok(), "IPv4 in IPv6");
        assert_eq!(from(Some(&guest), "10.0.0.1"), Err(Refusal::not_authorised("User can only log in via localhost")));
        assert_eq!(from(Some(&wrong), "127.0.0.1"), Err(Refusal::wrong_login()));
        assert_eq!(from(Some("Bearer abc"), "127.0.0.1"), Err(Refusal::wrong_login()));
        assert_eq!([None, Some(""), Some(" ")].map(|header| from(header, "127.0.0.1")), [(); 3].map(|()| Err(Refusal::Challenge)));
        for header in ["Basic ???", "Digest x", "Basic", "Basic Z3Vlc3Q="] {
            assert_eq!(from(Some(header), "127.0.0.1"), Err(Refusal::Bare(StatusCode::BAD_REQUEST)), "{header}");
        }
    }

    #[test]
    fn tags_are_powers() {
        let reason = |tag: &str, needs| {
            let login = Login { tags: [tag.into()].into(), ..Login::of_operator() };
            match login.check(needs) {
                Ok(()) => String::new(),
                Err(Refusal::Told { reason, .. }) => reason,
                Err(other) => panic!("{other:?}"),
            }
        };
        let needs = [Needs::Management, Needs::Policymaker, Needs::Monitoring, Needs::Administrator];
        let lacks = ["Not management user", "User not authorised to access object", "Not monitor user", "Not administrator user"];
        for (tag, has) in [
            ("custom", [false, false, false, false]),
            ("management", [true, false, false, false]),
            ("policymaker", [true, true, false, false]),
            ("monitoring", [true, false, true, false]),
            ("administrator", [true, true, true, true]),
        ] {
            for at in 0..4 {
                assert_eq!(reason(tag, needs[at]), if has[at] { "" } else { lacks[at] }, "{tag} {:?}", needs[at]);
            }
        }
    }
}
