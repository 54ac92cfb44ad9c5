//! SASL: from the mechanism and the response of connection.start-ok to a [`Login`].

use crate::config::auth::{Auth, Mechanism};
use crate::contract::session::Login;
use crate::contract::{Code, Fault};
use crate::message::TableRef;

/// The names of the mechanisms that are offered to clients.
pub fn offer(auth: &Auth) -> String {
    auth.offered().map(Mechanism::name).collect::<Vec<_>>().join(" ")
}

/// Reads a response. That of an anonymous client is ignored.
pub fn login(auth: &Auth, mechanism: &str, response: &[u8]) -> Result<Login, Fault> {
    let refused = |what| Fault::new(Code::CommandInvalid, format!("{what} authentication mechanism '{mechanism}'"));
    let known = Mechanism::named(mechanism).ok_or_else(|| refused("unknown"))?;
    if !auth.offers(known) {
        return Err(refused("invalid"));
    }
    let read = match known {
        Mechanism::Anonymous => auth.anonymous.as_ref().map(|(user, password)| (user.as_bytes(), password.as_bytes())),
        Mechanism::Plain => plain(response),
        Mechanism::Amqplain => amqplain(response),
    };
    let name = known.name();
    let (user, password) = read.ok_or_else(|| Fault::new(Code::SyntaxError, format!("{name} response invalid")))?;
    Ok(Login { mechanism: name, user: user.into(), password: password.into() })
}

/// Reads `\0user\0password`, without an authorization identity before it, as RabbitMQ does since
/// 3.0.
fn plain(response: &[u8]) -> Option<(&[u8], &[u8])> {
    let mut fields = response.split(|&byte| byte == 0);
    match (fields.next(), fields.next(), fields.next(), fields.next()) {
        (Some([]), Some(user), Some(password), None) => Some((user, password)),
        _ => None,
    }
}

/// Reads a table without its length before it.
fn amqplain(response: &[u8]) -> Option<(&[u8], &[u8])> {
    let table = TableRef::parse(response).ok()?;
    Some((table.find("LOGIN")?.as_text()?, table.find("PASSWORD")?.as_text()?))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::TableBuilder;

    #[test]
    fn plain_is_read_as_rabbitmq_reads_it() {
        assert_eq!(plain(b"\0guest\0pass"), Some((&b"guest"[..], &b"pass"[..])));
        assert_eq!(plain(b"\0\0"), Some((&b""[..], &b""[..])));
        for bad in [&b""[..], b"guest", b"\0guest", b"me\0guest\0pass", b"\0a\0b\0c"] {
            assert_eq!(plain(bad), None, "{bad:?}");
        }
    }

    #[test]
    fn amqplain_is_a_bare_table() {
        let table = TableBuilder::new().text("LOGIN", "u").text("PASSWORD", "p").build();
        assert_eq!(amqplain(table.wire()), Some((&b"u"[..], &b"p"[..])));
        assert_eq!(amqplain(TableBuilder::new().text("LOGIN", "u").build().wire()), None);
        assert_eq!(amqplain(b"\x05LOG"), None);
    }

    #[test]
    fn an_anonymous_client_is_the_user_of_the_configuration() {
        let auth = Auth { anonymous: Some(("u".into(), "p".into())), ..Auth::default() };
        let expected = Login { mechanism: "ANONYMOUS", user: (*b"u").into(), password: (*b"p").into() };
        assert_eq!(login(&auth, "ANONYMOUS", b"\xffwhatever"), Ok(expected));
        let refusal = |auth: &Auth, mechanism| login(auth, mechanism, b"").expect_err("refused").reply_text();
        let text = "COMMAND_INVALID - invalid authentication mechanism 'ANONYMOUS'";
        assert_eq!(refusal(&Auth { anonymous: None, ..Auth::default() }, "ANONYMOUS"), text);
        assert_eq!(refusal(&Auth { mechanisms: vec![Mechanism::Plain], ..auth.clone() }, "ANONYMOUS"), text);
        assert_eq!(refusal(&auth, "anonymous"), "COMMAND_INVALID - unknown authentication mechanism 'anonymous'");
    }
}
