//! Query parameters. Of two with one name the first counts; unknown ones are ignored.

/// The parameters of a request.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Params(Vec<(String, String)>);

impl Params {
    /// Reads what stands behind `?`, or a form.
    pub fn parse(query: &str) -> Params {
        Params(form_urlencoded::parse(query.as_bytes()).into_owned().collect())
    }

    /// The value of a parameter.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(known, _)| known == name).map(|(_, value)| &**value)
    }

    /// Whether a parameter is `true`.
    pub fn is_true(&self, name: &str) -> bool {
        self.get(name) == Some("true")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_of_a_name_counts() {
        let params = Params::parse("columns=name&columns=vhost&name=a+b%2Fc&flag=true&empty=&&bare");
        assert_eq!(
            [params.get("columns"), params.get("name"), params.get("empty"), params.get("bare")].map(Option::unwrap),
            ["name", "a b/c", "", ""]
        );
        assert!(params.is_true("flag") && !params.is_true("bare") && params.get("other").is_none());
    }
}
