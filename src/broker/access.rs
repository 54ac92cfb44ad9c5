//! Who may use the broker. For now there is one user, guest, who may do everything and connects over loopback only.

use super::catalog::Catalog;
use crate::contract::{Code, Fault, VhostId};

/// A user who has logged in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// The name; what a message's user-id must be.
    pub name: Box<str>,
}

/// Why a login failed: for the log. The peer is only told that it did.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// There is no such user.
    UnknownUser,
    /// Another password.
    WrongPassword,
    /// The user may connect from this host only.
    NotLoopback,
}

impl Refusal {
    /// RabbitMQ's words for it.
    pub fn text(self, user: &str) -> String {
        match self {
            Refusal::UnknownUser | Refusal::WrongPassword => format!("user '{user}' - invalid credentials"),
            Refusal::NotLoopback => format!("user '{user}' can only connect via localhost"),
        }
    }
}

/// Logs a user in.
pub fn authenticate(user: &str, password: &str, peer_is_loopback: bool) -> Result<User, Refusal> {
    if user != GUEST {
        return Err(Refusal::UnknownUser);
    }
    if password != GUEST {
        return Err(Refusal::WrongPassword);
    }
    if !peer_is_loopback {
        return Err(Refusal::NotLoopback);
    }
    Ok(User { name: GUEST.into() })
}

/// Lets a user into a virtual host.
pub fn open_vhost(catalog: &Catalog, _user: &User, vhost: &str) -> Result<VhostId, Fault> {
    catalog.vhost_by_name(vhost).ok_or_else(|| Fault::new(Code::NotAllowed, format!("vhost {vhost} not found")))
}

/// Name and password of the one user.
const GUEST: &str = "guest";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn guest_connects_over_loopback_with_the_right_password() {
        assert_eq!(&*authenticate("guest", "guest", true).unwrap().name, "guest");
        assert_eq!(authenticate("guest", "wrong", true), Err(Refusal::WrongPassword));
        assert_eq!(authenticate("guest", "guest", false), Err(Refusal::NotLoopback));
        assert_eq!(authenticate("Guest", "guest", true), Err(Refusal::UnknownUser));
        assert_eq!(Refusal::NotLoopback.text("guest"), "user 'guest' can only connect via localhost");
    }

    #[test]
    fn a_virtual_host_must_exist() {
        let catalog = Catalog::new();
        let user = User { name: "guest".into() };
        assert_eq!(open_vhost(&catalog, &user, "/"), Ok(VhostId(0)));
        let fault = open_vhost(&catalog, &user, "").unwrap_err();
        assert_eq!(fault.reply_text(), "NOT_ALLOWED - vhost  not found");
    }
}
