//! What RabbitMQ asks of a message's properties when it is published: expiration, CC and BCC, user-id.

use crate::base::limits::EXPIRATION_MS_MAX;
use crate::contract::{Code, Fault};
use crate::message::{ErlangString, TableRef, Value, Values, erlang_text, rewrite_headers};

/// expiration is the decimal text of 0 to ten years in milliseconds.
pub(super) fn check_expiration(expiration: &[u8]) -> Result<(), Fault> {
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

/// A user-id tells the truth.
pub(super) fn check_user_id(claimed: &[u8], user: &str) -> Result<(), Fault> {
    if claimed == user.as_bytes() {
        return Ok(());
    }
    let claimed = erlang_text(claimed);
    let text = format!("user_id property set to '{claimed}' but authenticated user was '{user}'");
    Err(Fault::new(Code::PreconditionFailed, text))
}

/// The routing keys in the headers CC and BCC, beside the message's own.
#[derive(Clone, Copy)]
pub(super) struct CarbonCopies<'a> {
    open: Option<Values<'a>>,
    blind: Option<Values<'a>>,
}

impl<'a> CarbonCopies<'a> {
    /// Both are arrays, if they are there; elements that are not text are overlooked.
    pub fn of(headers: TableRef<'a>) -> Result<CarbonCopies<'a>, Fault> {
        if headers.is_empty() {
            return Ok(CarbonCopies { open: None, blind: None });
        }
        Ok(CarbonCopies { open: array(headers, "CC")?, blind: array(headers, BLIND)? })
    }

    pub fn is_empty(&self) -> bool {
        self.open.is_none() && self.blind.is_none()
    }

    pub fn keys(self) -> impl Iterator<Item = &'a [u8]> {
        self.open.into_iter().chain(self.blind).flatten().filter_map(Value::as_text)
    }

    pub fn has_blind(&self) -> bool {
        self.blind.is_some()
    }

    /// The property list without BCC.
    pub fn without_blind(&self, properties: &[u8], headers: TableRef<'_>) -> Vec<u8> {
        let rest = headers.without(|name| name == BLIND.as_bytes());
        rewrite_headers(properties, &rest.view())
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

/// The copies that nobody sees.
const BLIND: &str = "BCC";
