//! RabbitMQ's rules for the properties of a published message: expiration, CC and BCC, user-id.

use crate::base::limits::EXPIRATION_MS_MAX;
use crate::broker::access::User;
use crate::broker::catalog::Catalog;
use crate::contract::{Code, Fault};
use crate::message::{ErlangString, TableRef, Value, Values, erlang_text, replace_headers};

/// Checks expiration: it must be the decimal text of 0 to ten years in milliseconds.
pub(in crate::broker) fn check_expiration(expiration: &[u8]) -> Result<(), Fault> {
    let refuse = |why: String| {
        let text = format!("invalid expiration '{}': {why}", erlang_text(expiration));
        Err(Fault::new(Code::PreconditionFailed, text))
    };
    let (sign, unsigned) = match expiration {
        [b'-', rest @ ..] => ("-", rest),
        [b'+', rest @ ..] => ("", rest),
        all => ("", all),
    };
    let digits = unsigned.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let (digits, rest) = unsigned.split_at(digits);
    if digits.is_empty() {
        return refuse("no_integer".to_owned());
    }
    if !rest.is_empty() {
        return refuse(format!("{{leftover_string,{}}}", ErlangString(rest)));
    }
    let digits = std::str::from_utf8(digits).expect("digits are ASCII").trim_start_matches('0');
    match digits.parse::<u64>() {
        _ if digits.is_empty() => Ok(()),
        _ if sign == "-" => refuse(format!("{{value_negative,-{digits}}}")),
        Ok(0..=EXPIRATION_MS_MAX) => Ok(()),
        _ => refuse(format!("{{value_too_large,{digits}}}")),
    }
}

/// Checks user-id: it must be the user's name, unless the user may impersonate others.
pub(in crate::broker) fn check_user_id(claimed: &[u8], catalog: &Catalog, user: &User) -> Result<(), Fault> {
    if claimed == user.name.as_bytes() || catalog.user(user.id).is_some_and(|user| user.has_tag(IMPERSONATOR)) {
        return Ok(());
    }
    let (claimed, user) = (erlang_text(claimed), &user.name);
    let text = format!("user_id property set to '{claimed}' but authenticated user was '{user}'");
    Err(Fault::new(Code::PreconditionFailed, text))
}

/// The routing keys in the headers CC and BCC, besides the message's own.
#[derive(Clone, Copy, Default)]
pub(in crate::broker) struct CarbonCopies<'a> {
    open: Option<Values<'a>>,
    blind: Option<Values<'a>>,
}

impl<'a> CarbonCopies<'a> {
    /// Reads both headers. They must be arrays; elements that are not text are ignored.
    pub fn of(headers: TableRef<'a>) -> Result<CarbonCopies<'a>, Fault> {
        if headers.is_empty() {
            return Ok(CarbonCopies { open: None, blind: None });
        }
        Ok(CarbonCopies { open: array(headers, "CC")?, blind: array(headers, BLIND)? })
    }

    /// Whether there are no such keys.
    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.blind.is_none()
    }

    /// The keys in CC, then those in BCC.
    pub fn keys(self) -> impl Iterator<Item = &'a [u8]> {
        self.open.into_iter().chain(self.blind).flatten().filter_map(Value::as_text)
    }

    /// Whether there is a header BCC.
    pub fn has_blind(&self) -> bool {
        self.blind.is_some()
    }

    /// Returns the property list without BCC.
    pub fn without_blind(&self, properties: &[u8], headers: TableRef<'_>) -> Vec<u8> {
        let rest = headers.without(|name| name == BLIND.as_bytes());
        replace_headers(properties, rest.view(), 0)
    }
}

fn array<'a>(headers: TableRef<'a>, name: &str) -> Result<Option<Values<'a>>, Fault> {
    match headers.find(name) {
        None => Ok(None),
        Some(Value::Array(values)) => Ok(Some(values)),
        Some(other) => {
            let text = format!("invalid message: {{unacceptable_type_in_header,\"{name}\",{}}}", other.type_name());
            Err(Fault::new(Code::PreconditionFailed, text))
        }
    }
}

/// The header whose keys consumers do not see.
const BLIND: &str = "BCC";

/// The tag of users that may use any user-id.
const IMPERSONATOR: &str = "impersonator";

#[cfg(test)]
mod tests {
    use super::*;
    use crate::broker::catalog::Change;
    use crate::contract::{Administration, UserSpec};
    use crate::message::TableBuilder;

    #[test]
    fn an_expiration_is_read_as_in_rabbitmq() {
        for good in ["0", "10", "+5", "-0", "007", "315360000000", "000000000000000000000000000001"] {
            assert_eq!(check_expiration(good.as_bytes()), Ok(()), "{good}");
        }
        for (bad, why) in [
            ("", "no_integer"),
            ("a", "no_integer"),
            (" 10", "no_integer"),
            ("-", "no_integer"),
            ("--5", "no_integer"),
            ("-1", "{value_negative,-1}"),
            ("-5x", r#"{leftover_string,"x"}"#),
            ("10 ", r#"{leftover_string," "}"#),
            ("1.5", r#"{leftover_string,".5"}"#),
            ("5\"", r#"{leftover_string,"\""}"#),
            ("5\u{1}", "{leftover_string,[1]}"),
            ("5ä", "{leftover_string,\"Ã¤\"}"),
            ("315360000001", "{value_too_large,315360000001}"),
            ("99999999999999999999999", "{value_too_large,99999999999999999999999}"),
        ] {
            let text = check_expiration(bad.as_bytes()).unwrap_err().text;
            assert_eq!(text, format!("invalid expiration '{bad}': {why}"));
        }
    }

    #[test]
    fn copies_are_arrays_of_texts() {
        let refusal = |table: TableBuilder| CarbonCopies::of(table.build().view()).err().map(|fault| fault.text);
        let expected = "invalid message: {unacceptable_type_in_header,\"CC\",bool}".to_owned();
        assert_eq!(refusal(TableBuilder::new().int("BCC", 5).bool("CC", true)), Some(expected));
        let expected = "invalid message: {unacceptable_type_in_header,\"BCC\",void}".to_owned();
        assert_eq!(refusal(TableBuilder::new().value("BCC", Value::Void)), Some(expected));
        let table = TableBuilder::new().array("CC", |a| a.text("a").bool(true)).array("BCC", |a| a.text("b")).int("cc", 1).build();
        let copies = CarbonCopies::of(table.view()).unwrap();
        assert!(copies.keys().eq([b"a", b"b"]) && copies.has_blind());
    }

    #[test]
    fn a_user_id_is_the_user_s() {
        let mut catalog = Catalog::new();
        let guest = catalog.guest();
        assert_eq!(check_user_id(b"guest", &catalog, &guest), Ok(()));
        let text = check_user_id(b"", &catalog, &guest).unwrap_err().text;
        assert_eq!(text, "user_id property set to '' but authenticated user was 'guest'");
        let spec = UserSpec { name: "guest".into(), password: None, tags: Some(["impersonator".into()].into()) };
        catalog.apply(&Change::Administration(Administration::PutUser(spec)));
        assert_eq!(check_user_id(b"somebody", &catalog, &guest), Ok(()));
    }
}
