//! What is asked for: an endpoint, by the path and the query of a request.

use std::collections::BTreeSet;

use fancy_regex::RegexBuilder;

use crate::config::metrics::Metrics as Settings;
use crate::management::name_pattern::NamePattern;

/// An endpoint.
#[derive(Clone, Debug)]
pub enum Endpoint {
    /// `/metrics`: sums over all objects.
    Aggregated,
    /// `/metrics/per-object`: every object.
    PerObject,
    /// `/metrics/detailed`: some families of some objects.
    Detailed(Wanted),
    /// `/metrics/memory-breakdown`: the parts of the memory.
    MemoryBreakdown,
}

/// Which objects and families are asked for.
#[derive(Clone, Debug, Default)]
pub struct Wanted {
    /// Names of groups of families.
    pub families: BTreeSet<String>,
    /// Names of virtual hosts; none: all.
    vhosts: BTreeSet<String>,
    /// What a queue's name contains.
    queue: Option<NamePattern>,
}

/// Why a request gets no metrics.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum NoEndpoint {
    /// The path is not one of metrics.
    Elsewhere,
    /// There are no such metrics: status 404, with [`NoEndpoint::text`].
    UnknownRegistry,
    /// A pattern is wrong: status 400, with [`NoEndpoint::text`].
    WrongPattern(String),
}

impl NoEndpoint {
    /// The body of the answer.
    pub fn text(&self) -> String {
        match self {
            NoEndpoint::Elsewhere => "Not Found".to_owned(),
            NoEndpoint::UnknownRegistry => "Unknown Registry".to_owned(),
            NoEndpoint::WrongPattern(why) => format!("Invalid 'queue' regex: {why}"),
        }
    }
}

impl Endpoint {
    /// Finds the endpoint of a request.
    ///
    /// # Errors
    /// There is none.
    pub fn of(settings: &Settings, path: &str, query: &str) -> Result<Endpoint, NoEndpoint> {
        let below = path.strip_prefix(settings.path.trim_end_matches('/')).ok_or(NoEndpoint::Elsewhere)?;
        if !below.is_empty() && !below.starts_with('/') {
            return Err(NoEndpoint::Elsewhere);
        }
        match below.trim_matches('/') {
            "" if settings.per_object => Ok(Endpoint::PerObject),
            "" => Ok(Endpoint::Aggregated),
            "per-object" => Ok(Endpoint::PerObject),
            "detailed" => Wanted::read(query).map(Endpoint::Detailed),
            "memory-breakdown" => Ok(Endpoint::MemoryBreakdown),
            _ => Err(NoEndpoint::UnknownRegistry),
        }
    }

    /// The endpoint's name in its answers.
    pub fn name(&self) -> &'static str {
        match self {
            Endpoint::Aggregated => "aggregated",
            Endpoint::PerObject => "per-object",
            Endpoint::Detailed(_) => "detailed",
            Endpoint::MemoryBreakdown => "memory-breakdown",
        }
    }

    /// The endpoint's name in the telemetry.
    pub(super) fn registry(&self) -> &'static str {
        match self {
            Endpoint::Aggregated => "default",
            others => others.name(),
        }
    }
}

impl Wanted {
    fn read(query: &str) -> Result<Wanted, NoEndpoint> {
        let mut wanted = Wanted::default();
        for (name, value) in form_urlencoded::parse(query.as_bytes()) {
            match &*name {
                "family" => _ = wanted.families.insert(value.into_owned()),
                "vhost" => _ = wanted.vhosts.insert(value.into_owned()),
                "queue" => {
                    let pattern = NamePattern::new(&mut RegexBuilder::new(&value));
                    wanted.queue = Some(pattern.map_err(|why| NoEndpoint::WrongPattern(why.to_string()))?);
                }
                _ => {}
            }
        }
        Ok(wanted)
    }

    /// Whether objects of all virtual hosts are asked for.
    pub fn has_all_vhosts(&self) -> bool {
        self.vhosts.is_empty()
    }

    /// Whether objects of this virtual host are asked for.
    pub fn has_vhost(&self, name: &str) -> bool {
        self.has_all_vhosts() || self.vhosts.contains(name)
    }

    /// Whether a queue of this name is asked for. One for which the pattern takes too long is not.
    pub fn has_queue(&self, name: &str) -> bool {
        self.queue.as_ref().is_none_or(|pattern| pattern.matches(name))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn named(settings: &Settings, path: &str) -> Result<&'static str, NoEndpoint> {
        Endpoint::of(settings, path, "").map(|endpoint| endpoint.name())
    }

    #[test]
    fn endpoints_stand_below_the_path() {
        let usual = Settings::default();
        for (path, name) in [
            ("/metrics", "aggregated"),
            ("/metrics/", "aggregated"),
            ("/metrics/per-object", "per-object"),
            ("/metrics/detailed/", "detailed"),
            ("/metrics/memory-breakdown", "memory-breakdown"),
        ] {
            assert_eq!(named(&usual, path), Ok(name), "{path}");
        }
        assert_eq!(named(&usual, "/metrics/nonsense"), Err(NoEndpoint::UnknownRegistry));
        assert_eq!(NoEndpoint::UnknownRegistry.text(), "Unknown Registry");
        assert_eq!(["/", "/metricsx", "/api"].map(|path| named(&usual, path)), [const { Err(NoEndpoint::Elsewhere) }; 3]);
        let moved = Settings { path: "/m/n/".into(), per_object: true, ..Settings::default() };
        assert_eq!(
            ["/m/n", "/m/n/detailed", "/metrics"].map(|path| named(&moved, path).ok()),
            [Some("per-object"), Some("detailed"), None]
        );
    }

    #[test]
    fn a_query_chooses_families_and_objects() {
        let query = "family=a&family=b&vhost=%2F&vhost=a+b&queue=%5Ex%7Cy%24&foo";
        let Ok(Endpoint::Detailed(wanted)) = Endpoint::of(&Settings::default(), "/metrics/detailed", query) else { panic!("no endpoint") };
        assert_eq!(wanted.families.iter().collect::<Vec<_>>(), ["a", "b"]);
        assert_eq!(["/", "a b", "a"].map(|name| wanted.has_vhost(name)), [true, true, false]);
        assert_eq!(["xa", "ay", "ax", "ya"].map(|name| wanted.has_queue(name)), [true, true, false, false]);
        let all = Wanted::default();
        assert!(all.has_vhost("any") && all.has_queue("any"));
    }

    #[test]
    fn a_wrong_pattern_is_refused() {
        let refusal = Endpoint::of(&Settings::default(), "/metrics/detailed", "queue=%5B").expect_err("no pattern");
        assert!(refusal.text().starts_with("Invalid 'queue' regex: "), "{}", refusal.text());
    }
}
