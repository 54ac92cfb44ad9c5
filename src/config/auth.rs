//! How clients may log in: the SASL mechanisms that they are offered, and the user of anonymous
//! clients.

/// A SASL mechanism.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Mechanism {
    /// Without a name or a password.
    Anonymous,
    /// A name and a password.
    Plain,
    /// The same in a field table.
    Amqplain,
}

/// The settings of authentication.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Auth {
    /// The permitted mechanisms.
    pub mechanisms: Vec<Mechanism>,
    /// Name and password of the user that anonymous clients become; none: they cannot log in.
    pub anonymous: Option<(String, String)>,
}

impl Mechanism {
    /// All mechanisms, in the order in which RabbitMQ offers them, whatever the order of its
    /// configuration.
    pub const ALL: [Mechanism; 3] = [Mechanism::Anonymous, Mechanism::Plain, Mechanism::Amqplain];

    /// The mechanism's name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Anonymous => "ANONYMOUS",
            Mechanism::Plain => "PLAIN",
            Mechanism::Amqplain => "AMQPLAIN",
        }
    }

    /// The mechanism of this name.
    pub fn named(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }
}

impl Auth {
    /// The mechanisms that clients are offered.
    pub fn offered(&self) -> impl Iterator<Item = Mechanism> + '_ {
        Mechanism::ALL.into_iter().filter(|&mechanism| self.offers(mechanism))
    }

    /// Whether clients are offered this mechanism.
    pub fn offers(&self, mechanism: Mechanism) -> bool {
        self.mechanisms.contains(&mechanism) && (mechanism != Mechanism::Anonymous || self.anonymous.is_some())
    }
}

impl Default for Auth {
    fn default() -> Self {
        Auth { mechanisms: Mechanism::ALL.into(), anonymous: Some(("guest".into(), "guest".into())) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn anonymous_clients_need_a_user() {
        let names = |auth: &Auth| auth.offered().map(Mechanism::name).collect::<Vec<_>>().join(" ");
        assert_eq!(names(&Auth::default()), "ANONYMOUS PLAIN AMQPLAIN");
        assert_eq!(names(&Auth { anonymous: None, ..Auth::default() }), "PLAIN AMQPLAIN");
        let mechanisms = vec![Mechanism::Amqplain, Mechanism::Anonymous];
        assert_eq!(names(&Auth { mechanisms, ..Auth::default() }), "ANONYMOUS AMQPLAIN");
        assert_eq!((Mechanism::named("PLAIN"), Mechanism::named("plain")), (Some(Mechanism::Plain), None));
    }
}
