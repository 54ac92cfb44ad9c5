//! Access: logins and the opening of virtual hosts. The [catalog](super::catalog) decides what a
//! user may do in a virtual host.

mod password;
mod pattern;

pub use password::SALT;
pub use pattern::Pattern;

use super::catalog::Catalog;
use crate::base::ids::UserId;
use crate::base::quota::{Place, Quota};
use crate::contract::{Code, Fault, PasswordHash, VhostId};

/// A user that has logged in.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct User {
    /// The user's number; a user that is deleted and made again has another one.
    pub id: UserId,
    /// The user's name; a message's user-id must be equal to it.
    pub name: Box<str>,
}

/// A connection's units of the quotas of the broker, the virtual host and its user, given back on
/// drop.
#[derive(Debug)]
pub struct Stay {
    _in_broker: Place,
    _in_vhost: Place,
    _of_user: Place,
}

/// The reason of a failed login, for the log. The peer is only told that the login failed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// The user does not exist.
    UnknownUser,
    /// The password is wrong.
    WrongPassword,
    /// There is no password. This is never right, whatever hash is stored.
    BlankPassword,
    /// The user may connect from this host only.
    NotLoopback,
}

impl Refusal {
    /// RabbitMQ's text for the refusal.
    pub fn text(self, user: &str) -> String {
        match self {
            Refusal::UnknownUser | Refusal::WrongPassword => format!("user '{user}' - invalid credentials"),
            Refusal::BlankPassword => format!(
                "user '{user}' attempted to log in with a blank password, which is prohibited by the internal authN backend. \
                 Change the password for the user to be non-blank."
            ),
            Refusal::NotLoopback => format!("user '{user}' can only connect via localhost"),
        }
    }
}

/// Logs a user in. Users whose names are in `confined` may not log in from where the peer is.
pub fn authenticate(catalog: &Catalog, user: &str, password: &[u8], confined: &[String]) -> Result<User, Refusal> {
    if password.is_empty() {
        return Err(Refusal::BlankPassword);
    }
    let Some(known) = catalog.user_by_name(user) else {
        PasswordHash::waste_time(password);
        return Err(Refusal::UnknownUser);
    };
    if !known.password.is_of(password) {
        return Err(Refusal::WrongPassword);
    }
    if confined.iter().any(|name| name == user) {
        return Err(Refusal::NotLoopback);
    }
    Ok(User { id: known.id, name: known.name.clone() })
}

/// Lets a user into a virtual host, if the broker may have another connection; the checks are in
/// RabbitMQ's order. The returned quota is that of the user's channels.
pub fn open_vhost(catalog: &Catalog, connections: &Quota, user: &User, vhost: &str) -> Result<(VhostId, Quota, Stay), Fault> {
    let not_allowed = |text: String| Fault::new(Code::NotAllowed, text);
    let in_broker = connections.take();
    let in_broker = in_broker.map_err(|max| not_allowed(format!("connection refused: node connection limit ({max}) is reached")))?;
    let name = &user.name;
    let refused = || format!("access to vhost '{vhost}' refused for user '{name}'");
    let opened = catalog.vhost_by_name(vhost).and_then(|vhost| catalog.find_vhost(vhost));
    let opened = opened.ok_or_else(|| not_allowed(format!("vhost {vhost} not found")))?;
    let in_vhost = opened.connections.take();
    let in_vhost = in_vhost.map_err(|max| not_allowed(format!("{}: connection limit ({max}) is reached", refused())))?;
    let known = catalog.user(user.id).ok_or_else(|| not_allowed(refused()))?;
    let of_user = known.connections.take();
    let of_user =
        of_user.map_err(|max| not_allowed(format!("connection refused for user '{name}': user connection limit ({max}) is reached")))?;
    if !catalog.may_open(user.id, opened.id) {
        return Err(not_allowed(refused()));
    }
    Ok((opened.id, known.channels.clone(), Stay { _in_broker: in_broker, _in_vhost: in_vhost, _of_user: of_user }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::catalog::Change;
    use crate::contract::{Administration, Password, Permissions, UserLimits, UserSpec, VhostLimits, VhostSpec};

    fn command(catalog: &mut Catalog, command: Administration) {
        catalog.apply(&Change::Administration(command));
    }

    #[test]
    fn guest_connects_over_loopback_with_the_right_password() {
        let (catalog, confined) = (Catalog::new(), ["guest".to_owned()]);
        assert_eq!(&*authenticate(&catalog, "guest", b"guest", &[]).unwrap().name, "guest");
        assert_eq!(authenticate(&catalog, "guest", b"wrong", &[]), Err(Refusal::WrongPassword));
        assert_eq!(authenticate(&catalog, "guest", b"wrong", &confined), Err(Refusal::WrongPassword));
        assert_eq!(authenticate(&catalog, "guest", b"guest", &confined), Err(Refusal::NotLoopback));
        assert_eq!(authenticate(&catalog, "Guest", b"guest", &[]), Err(Refusal::UnknownUser));
        assert_eq!(Refusal::NotLoopback.text("guest"), "user 'guest' can only connect via localhost");
    }

    #[test]
    fn a_blank_password_is_never_right() {
        let mut catalog = Catalog::new();
        for password in [None, Some(Password::Hashed(Password::Plain(Box::default()).hashed(*b"salt")))] {
            command(&mut catalog, Administration::PutUser(UserSpec { name: "u".into(), password, ..UserSpec::default() }));
            assert_eq!(authenticate(&catalog, "u", b"", &[]), Err(Refusal::BlankPassword));
        }
        assert_eq!(authenticate(&catalog, "nobody", b"", &[]), Err(Refusal::BlankPassword));
        let text = Refusal::BlankPassword.text("u");
        assert!(text.starts_with("user 'u' attempted to log in with a blank password, which is prohibited"), "{text}");
    }

    #[test]
    fn a_virtual_host_is_opened_in_rabbitmq_s_order_of_checks() {
        let mut catalog = Catalog::new();
        for one in [
            Administration::PutVhost(VhostSpec { name: "v".into(), ..VhostSpec::default() }),
            Administration::PutUser(UserSpec { name: "u".into(), ..UserSpec::default() }),
            Administration::SetUserLimits { user: "u".into(), limits: UserLimits { max_connections: Some(1), max_channels: None } },
        ] {
            command(&mut catalog, one);
        }
        let user = User { id: catalog.user_by_name("u").unwrap().id, name: "u".into() };
        let connections = Quota::default();
        let refusal = |catalog: &Catalog, vhost| open_vhost(catalog, &connections, &user, vhost).unwrap_err().reply_text();
        assert_eq!(refusal(&catalog, ""), "NOT_ALLOWED - vhost  not found");
        assert_eq!(refusal(&catalog, "v"), "NOT_ALLOWED - access to vhost 'v' refused for user 'u'");
        command(&mut catalog, Administration::SetPermissions { vhost: "v".into(), user: "u".into(), permissions: Permissions::default() });
        let stay = open_vhost(&catalog, &connections, &user, "v").expect("what was refused before takes no place");
        let expected = "NOT_ALLOWED - connection refused for user 'u': user connection limit (1) is reached";
        assert_eq!((refusal(&catalog, "v"), refusal(&catalog, "/")), (expected.to_owned(), expected.to_owned()));
        command(
            &mut catalog,
            Administration::SetVhostLimits { vhost: "v".into(), limits: VhostLimits { max_connections: Some(1), max_queues: None } },
        );
        let expected = "NOT_ALLOWED - access to vhost 'v' refused for user 'u': connection limit (1) is reached";
        assert_eq!(refusal(&catalog, "v"), expected);
        connections.set_max(Some(1));
        assert_eq!(refusal(&catalog, "none"), "NOT_ALLOWED - connection refused: node connection limit (1) is reached");
        drop(stay);
        assert_eq!(open_vhost(&catalog, &connections, &user, "v").map(|(vhost, ..)| vhost).ok(), catalog.vhost_by_name("v"));
        command(&mut catalog, Administration::DeleteUser { name: "u".into() });
        assert_eq!(refusal(&catalog, "v"), "NOT_ALLOWED - access to vhost 'v' refused for user 'u'");
    }
}
