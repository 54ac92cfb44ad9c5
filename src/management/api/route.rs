//! Routes: which handler serves which path and method, and what it demands of its asker. The tables
//! stand in [`table`](super::table), and that of the command line tool in
//! [`ctl`](crate::management::ctl); the header `allow` and the answers 404 and 405 follow from them.

use std::future::Future;
use std::pin::Pin;

use hyper::Method;

use super::call::Call;
use crate::management::http::Outcome;
use crate::management::login::Needs;

/// A path, and what can be done with it.
pub struct Route {
    /// The path under `/api/`. A segment `{name}` is a variable. `{vhost}` is a virtual host that the
    /// asker may open, `{exchange}` may be empty.
    pub path: &'static str,
    /// What can be done.
    pub actions: &'static [Action],
}

/// A method of a route.
pub struct Action {
    /// The method.
    pub verb: Verb,
    /// What it demands of its asker.
    pub needs: Needs,
    /// The handler.
    pub run: Handler,
}

/// A handler of calls.
pub type Handler = for<'a> fn(&'a Call) -> Pin<Box<dyn Future<Output = Outcome> + 'a>>;

/// A method that routes have; HEAD goes with GET, and every route has OPTIONS.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Debug)]
pub enum Verb {
    /// GET and HEAD
    Get,
    /// PUT
    Put,
    /// POST
    Post,
    /// DELETE
    Delete,
}

/// The variables of a path, by name.
pub type Variables = Vec<(&'static str, String)>;

impl Route {
    /// Matches the segments of a path. None: it is another path.
    pub fn matches(&self, segments: &[String]) -> Option<Variables> {
        let mut variables = Variables::new();
        let mut pattern = self.path.split('/');
        for segment in segments {
            let wanted = pattern.next()?;
            match wanted.strip_prefix('{').and_then(|rest| rest.strip_suffix('}')) {
                Some(name) if !segment.is_empty() || name == "exchange" => variables.push((name, segment.clone())),
                None if wanted == segment => {}
                _ => return None,
            }
        }
        pattern.next().is_none().then_some(variables)
    }

    /// The action of a method.
    pub fn action(&self, method: &Method) -> Option<&Action> {
        self.actions.iter().find(|action| Some(action.verb) == Verb::of(method))
    }

    /// Whether a method of it changes what the broker is set up to do. Publishing, fetching and logging
    /// in do not.
    pub fn changes(&self, method: &Method) -> bool {
        let is_write = !matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS);
        is_write && self.path != "login" && !self.path.ends_with("/publish") && !self.path.ends_with("/get")
    }

    /// The value of the header `allow`.
    pub fn allow(&self) -> String {
        let mut verbs: Vec<Verb> = self.actions.iter().map(|action| action.verb).collect();
        verbs.sort_unstable();
        let names = verbs.into_iter().map(Verb::names).chain(["OPTIONS"]);
        names.collect::<Vec<_>>().join(", ")
    }
}

impl Verb {
    fn of(method: &Method) -> Option<Verb> {
        match *method {
            Method::GET | Method::HEAD => Some(Verb::Get),
            Method::PUT => Some(Verb::Put),
            Method::POST => Some(Verb::Post),
            Method::DELETE => Some(Verb::Delete),
            _ => None,
        }
    }

    /// Its names.
    pub fn names(self) -> &'static str {
        match self {
            Verb::Get => "HEAD, GET",
            Verb::Put => "PUT",
            Verb::Post => "POST",
            Verb::Delete => "DELETE",
        }
    }
}

/// Makes a table of routes: paths, each with its methods, what they demand, and their handlers.
macro_rules! routes {
    ($($path:literal { $($verb:ident $needs:ident $handler:path),* $(,)? })*) => {
        &[$($crate::management::api::Route {
            path: $path,
            actions: &[$($crate::management::api::Action {
                verb: $crate::management::api::Verb::$verb,
                needs: $crate::management::login::Needs::$needs,
                run: |call| Box::pin($handler(call)),
            }),*],
        }),*]
    };
}
pub(in crate::management) use routes;

/// Finds the route of a path and its variables.
pub fn find(tables: &[&'static [Route]], segments: &[String]) -> Option<(&'static Route, Variables)> {
    tables.iter().flat_map(|table| table.iter()).find_map(|route| route.matches(segments).map(|variables| (route, variables)))
}
