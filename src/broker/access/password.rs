//! Passwords as RabbitMQ stores them: four octets of salt, then the hash of the salt and the
//! password.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use md5::Md5;
use sha2::{Digest, Sha256, Sha512};

use crate::contract::{Administration, Command, Hashing, Password, PasswordHash, UserSpec};

impl PasswordHash {
    /// Hashes a password.
    pub fn new(hashing: Hashing, salt: [u8; SALT], password: &[u8]) -> PasswordHash {
        let hash = match hashing {
            Hashing::Sha256 => hash::<Sha256>(salt, password),
            Hashing::Sha512 => hash::<Sha512>(salt, password),
            Hashing::Md5 => hash::<Md5>(salt, password),
        };
        PasswordHash { hashing, octets: [&salt[..], &hash].concat().into() }
    }

    /// Whether this is the password. The time that the check takes does not depend on the hash.
    pub fn is_of(&self, password: &[u8]) -> bool {
        let Some(&salt) = self.octets.first_chunk::<SALT>() else { return false };
        let octets = PasswordHash::new(self.hashing, salt, password).octets;
        let difference = octets.iter().zip(&self.octets).fold(0, |difference, (one, other)| difference | (one ^ other));
        octets.len() == self.octets.len() && difference == 0
    }

    /// Takes as long as checking a password, so that the time of an answer does not reveal which
    /// users exist.
    pub(super) fn waste_time(password: &[u8]) {
        std::hint::black_box(PasswordHash::new(Hashing::default(), [0; SALT], password));
    }

    /// Reads the form that definitions use. Returns `None` if the text has another form.
    pub fn from_base64(hashing: Hashing, text: &str) -> Option<PasswordHash> {
        STANDARD.decode(text).ok().map(|octets| PasswordHash { hashing, octets: octets.into() })
    }

    /// Writes the form that definitions use.
    pub fn to_base64(&self) -> String {
        STANDARD.encode(&self.octets)
    }
}

impl Command {
    /// Returns the command with a hashed password, as it must be before it is ordered.
    #[must_use]
    pub fn hashed(self, salt: impl FnOnce() -> [u8; SALT]) -> Command {
        match self {
            Command::Administration(administration) => administration.hashed(salt).into(),
            topology @ Command::Topology { .. } => topology,
        }
    }
}

impl Administration {
    /// The operation with a hashed password, as it must be before it is ordered.
    #[must_use]
    pub fn hashed(self, salt: impl FnOnce() -> [u8; SALT]) -> Administration {
        match self {
            Administration::PutUser(UserSpec { name, password: Some(password), tags }) => {
                Administration::PutUser(UserSpec { name, password: Some(Password::Hashed(password.hashed(salt()))), tags })
            }
            other => other,
        }
    }
}

impl Password {
    /// Returns the stored form of the password; the salt is used if it is not hashed yet.
    pub fn hashed(self, salt: [u8; SALT]) -> PasswordHash {
        match self {
            Password::Plain(password) => PasswordHash::new(Hashing::default(), salt, &password),
            Password::Hashed(hash) => hash,
        }
    }
}

fn hash<D: Digest>(salt: [u8; SALT], password: &[u8]) -> Vec<u8> {
    D::new().chain_update(salt).chain_update(password).finalize().to_vec()
}

/// Number of octets of salt.
pub const SALT: usize = 4;

#[cfg(test)]
mod tests {
    use super::*;

    /// RabbitMQ 4.3's hashes of the password `secret`.
    const KNOWN: [(Hashing, &str); 3] = [
        (Hashing::Sha256, "SXjh1NKtV567MoHoypNeBzreFup9utVvOsF/HliB6xtwhpMX"),
        (Hashing::Sha512, "l8tEUtTsLHHycmslIOe5iR5ed6FRSVbvC5BDuJm6MQQ8uF6DSC+0mrG3178vBkFnVAYqOBYA5mnScVS7F8PCj6xqpso="),
        (Hashing::Md5, "myp7GI8HRRT7V44ytOvLztXfswc="),
    ];

    #[test]
    fn rabbitmq_s_hashes_are_understood() {
        for (hashing, text) in KNOWN {
            let hash = PasswordHash::from_base64(hashing, text).expect("base64");
            assert!(hash.is_of(b"secret") && !hash.is_of(b"Secret") && !hash.is_of(b""), "{hashing:?}");
            assert_eq!(hash.to_base64(), text);
        }
        assert_eq!(PasswordHash::from_base64(Hashing::Md5, "no!"), None);
    }

    #[test]
    fn the_same_password_has_another_hash_with_another_salt() {
        let [one, other] = [[1, 2, 3, 4], [1, 2, 3, 5]].map(|salt| Password::Plain((*b"secret").into()).hashed(salt));
        assert!(one != other && one.is_of(b"secret") && other.is_of(b"secret"));
        assert_eq!(one.octets.len(), SALT + 32);
    }

    #[test]
    fn without_a_hash_no_password_is_right() {
        for octets in [&b""[..], b"abc", b"abcd"] {
            let hash = PasswordHash { octets: octets.into(), ..PasswordHash::default() };
            assert!(!hash.is_of(b"") && !hash.is_of(b"abcd"));
        }
    }
}
