//! A call: a request that a route was found for, and whoever makes it.

use std::rc::Rc;

use bytes::Bytes;
use hyper::{HeaderMap, Method};
use log::Level;

use crate::base::ids::QueueId;
use crate::broker::catalog::{Catalog, QueueInfo, Verdict};
use crate::contract::{Administration, Command, Topology, VhostId};
use crate::management::broker::Broker;
use crate::management::http::{Body, Params, Refusal};
use crate::management::login::{Login, Origin};
use crate::management::site::Site;

/// A request on its way to its handler.
#[derive(Clone)]
pub struct Call {
    /// What requests share.
    pub site: Rc<Site>,
    /// The asker.
    pub login: Login,
    /// Where the asker is.
    pub origin: Origin,
    /// The method.
    pub method: Method,
    /// The variables of the path, by their names in the route.
    pub variables: Vec<(&'static str, String)>,
    /// The query parameters.
    pub params: Params,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
}

impl Call {
    /// The broker.
    pub fn broker(&self) -> &Broker {
        &self.site.broker
    }

    /// A variable of the path.
    pub fn variable(&self, name: &str) -> &str {
        self.find_variable(name).unwrap_or_default()
    }

    fn find_variable(&self, name: &str) -> Option<&str> {
        self.variables.iter().find(|(known, _)| *known == name).map(|(_, value)| &**value)
    }

    /// A variable that names an exchange: in paths, the default exchange is `amq.default`.
    pub fn exchange(&self, variable: &str) -> &str {
        match self.variable(variable) {
            "amq.default" => "",
            name => name,
        }
    }

    /// The body as a JSON object.
    pub fn object(&self) -> Result<Body, Refusal> {
        Body::parse(&self.body)
    }

    /// The virtual host that the path names, or the header `x-vhost`.
    pub fn vhost_name(&self) -> Option<&str> {
        self.find_variable("vhost").or_else(|| self.headers.get("x-vhost")?.to_str().ok())
    }

    /// The virtual host that the path names.
    ///
    /// # Errors
    /// It does not exist.
    pub fn vhost(&self, catalog: &Catalog) -> Result<VhostId, Refusal> {
        catalog.vhost_by_name(self.vhost_name().unwrap_or_default()).ok_or_else(Refusal::absent)
    }

    /// Whether objects of a virtual host are listed: it is the one of the path, or any that the asker
    /// may open.
    pub fn lists<'a>(&'a self, catalog: &'a Catalog) -> impl Fn(VhostId) -> bool + 'a {
        let named = self.vhost_name().map(|name| catalog.vhost_by_name(name));
        let all = self.login.is_administrator();
        move |vhost| named.is_none_or(|named| named == Some(vhost)) && (all || self.login.may_open(catalog, vhost))
    }

    /// The queue that the path names.
    ///
    /// # Errors
    /// It does not exist.
    pub fn queue<'a>(&self, catalog: &'a Catalog) -> Result<&'a QueueInfo, Refusal> {
        let vhost = self.vhost(catalog)?;
        catalog.queue_by_name(vhost, self.variable("queue")).filter(|queue| queue.delays.is_none()).ok_or_else(Refusal::absent)
    }

    /// The id of the queue that the path names.
    ///
    /// # Errors
    /// It does not exist.
    pub fn queue_id(&self) -> Result<QueueId, Refusal> {
        self.queue(&self.broker().catalog()).map(|queue| queue.addr.queue)
    }

    /// Changes the topology of the path's virtual host, if the asker's AMQP permissions allow it.
    /// Returns whether something changed.
    ///
    /// # Errors
    /// The broker's refusal.
    pub async fn change(&self, topology: Topology) -> Result<bool, Refusal> {
        let vhost = self.vhost_name().unwrap_or_default().to_owned();
        let verdict = {
            let catalog = self.broker().catalog();
            catalog.check(self.vhost(&catalog)?, self.login.asker(), &topology)?
        };
        match verdict {
            Verdict::Already => Ok(false),
            Verdict::Queue(_) if matches!(topology, Topology::DeclareQueue(_)) => Ok(false),
            Verdict::Queue(_) | Verdict::Change(_) => {
                self.broker().command(Command::topology(&vhost, topology)).await?;
                Ok(true)
            }
        }
    }

    /// Has an operation of administration carried out.
    ///
    /// # Errors
    /// The broker's refusal.
    pub async fn administer(&self, administration: Administration) -> Result<(), Refusal> {
        Ok(self.broker().command(administration).await?)
    }

    /// Notes in the log who changed what, and the result.
    pub fn audit(&self, path: &str, result: u16) {
        let level = if result < 400 { Level::Info } else { Level::Warn };
        let (name, method, path) = (self.login.name.escape_debug(), &self.method, path.escape_debug());
        match &self.origin {
            Origin::Remote(peer) => log::log!(target: "audit", level, "user '{name}' from {peer}: {method} {path}: {result}"),
            Origin::Local => log::log!(target: "audit", level, "{name}: {method} {path}: {result}"),
        }
    }
}
