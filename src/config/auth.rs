//! How clients may log in: which SASL mechanisms are offered to them, and as whom clients without a name come in.

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

/// What is set of it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Auth {
    /// The mechanisms that are wanted.
    pub mechanisms: Vec<Mechanism>,
    /// The user that clients without a name come in as, and the password; none: they do not come in.
    pub anonymous: Option<(String, String)>,
}

impl Mechanism {
    /// All, in the order in which RabbitMQ offers them, whatever the order of its configuration.
    pub const ALL: [Mechanism; 3] = [Mechanism::Anonymous, Mechanism::Plain, Mechanism::Amqplain];

    /// Its name in the protocol.
    pub fn name(self) -> &'static str {
        match self {
            Mechanism::Anonymous => "ANONYMOUS",
            Mechanism::Plain => "PLAIN",
            Mechanism::Amqplain => "AMQPLAIN",
        }
    }

    /// The one of this name.
    pub fn named(name: &str) -> Option<Mechanism> {
        Mechanism::ALL.into_iter().find(|mechanism| mechanism.name() == name)
    }
}

impl Auth {
    /// The mechanisms that clients are offered.
    pub fn offered(&self) -> impl Iterator<Item = Mechanism> + '_ {
        Mechanism::ALL.into_iter().filter(|&mechanism| self.offers(mechanism))
    }

    /// Whether clients are offered this one.
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
