//! `amqp://user:password@host:port/vhost`, as in the AMQP URI specification: every part may be left
//! out, `%XX` is decoded, and a path of only `/` names the virtual host with the empty name.

use std::str::FromStr;

/// The address of a broker, and the login.
#[derive(Clone, Debug, PartialEq)]
pub struct Uri {
    /// The user's name.
    pub user: String,
    /// The password.
    pub password: String,
    /// The host's name or address.
    pub host: String,
    /// The port.
    pub port: u16,
    /// The virtual host.
    pub vhost: String,
}

impl FromStr for Uri {
    type Err = String;

    fn from_str(text: &str) -> Result<Uri, String> {
        let rest = text.strip_prefix("amqp://").ok_or("an AMQP URI begins with amqp:// (TLS is not supported)")?;
        let rest = rest.split('?').next().unwrap_or_default();
        let (authority, vhost) = match rest.split_once('/') {
            Some((authority, vhost)) => (authority, decode(vhost)?),
            None => (rest, "/".to_owned()),
        };
        let (login, address) = authority.rsplit_once('@').unwrap_or(("guest:guest", authority));
        let (user, password) = login.split_once(':').unwrap_or((login, "guest"));
        let (host, port) = match address.rsplit_once(':') {
            Some((host, port)) if !port.ends_with(']') => (host, port.parse().map_err(|_| format!("not a port: {port}"))?),
            _ => (address, DEFAULT_PORT),
        };
        let host = if host.is_empty() { "localhost" } else { host.trim_matches(['[', ']']) };
        Ok(Uri { user: decode(user)?, password: decode(password)?, host: host.to_owned(), port, vhost })
    }
}

fn decode(text: &str) -> Result<String, String> {
    let mut out = Vec::new();
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            out.push(byte);
            continue;
        }
        let digits = [bytes.next(), bytes.next()].map(|b| char::from(b.unwrap_or(b' ')).to_digit(16));
        let [Some(high), Some(low)] = digits else { return Err(format!("bad percent code in {text}")) };
        out.push((high * 16 + low) as u8);
    }
    String::from_utf8(out).map_err(|_| format!("not UTF-8: {text}"))
}

const DEFAULT_PORT: u16 = 5672;

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(text: &str) -> (String, String, String, u16, String) {
        let uri: Uri = text.parse().unwrap();
        (uri.user, uri.password, uri.host, uri.port, uri.vhost)
    }

    #[test]
    fn every_part_may_be_left_out() {
        let own = |a: &str, b: &str, c: &str, d, e: &str| (a.to_owned(), b.to_owned(), c.to_owned(), d, e.to_owned());
        assert_eq!(parts("amqp://"), own("guest", "guest", "localhost", 5672, "/"));
        assert_eq!(parts("amqp://a:b%40@h:1/v%2f"), own("a", "b@", "h", 1, "v/"));
        assert_eq!(parts("amqp://[::1]/"), own("guest", "guest", "::1", 5672, ""));
        assert!("amqps://x".parse::<Uri>().is_err());
    }
}
