//! Refusals: every answer that is no success, in RabbitMQ's two forms. Most have a JSON body with
//! `error` and `reason`; some are empty, because clients and browsers look at the status only.
//!
//! RabbitMQ spells `not_authorized` for a failed login and `not_authorised` for a lack of rights,
//! and answers 401 to both. Clients depend on it.

use hyper::StatusCode;

use crate::contract::{Code, Fault};
use crate::management::broker::Unanswered;

/// A refused request.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum Refusal {
    /// A status without a body.
    Bare(StatusCode),
    /// A login is wanted: 401 without a body, and browsers ask for a name and a password.
    Challenge,
    /// A status with a JSON body.
    Told {
        /// The status.
        status: StatusCode,
        /// The kind of the error.
        error: &'static str,
        /// The explanation.
        reason: String,
    },
}

impl Refusal {
    /// Makes a refusal with a body.
    pub fn told(status: StatusCode, error: &'static str, reason: impl Into<String>) -> Refusal {
        Refusal::Told { status, error, reason: reason.into() }
    }

    /// 400
    pub fn bad_request(reason: impl Into<String>) -> Refusal {
        Refusal::told(StatusCode::BAD_REQUEST, "bad_request", reason)
    }

    /// 401: the user has no right to do this.
    pub fn not_authorised(reason: impl Into<String>) -> Refusal {
        Refusal::told(StatusCode::UNAUTHORIZED, "not_authorised", reason)
    }

    /// 401: name or password is wrong.
    pub fn wrong_login() -> Refusal {
        Refusal::told(StatusCode::UNAUTHORIZED, "not_authorized", "Not_Authorized")
    }

    /// 404 for an object that does not exist.
    pub fn absent() -> Refusal {
        Refusal::told(StatusCode::NOT_FOUND, "Object Not Found", "Not Found")
    }

    /// 404 for something that a request needs, or that the user may not see.
    pub fn not_found(reason: impl Into<String>) -> Refusal {
        Refusal::told(StatusCode::NOT_FOUND, "not_found", reason)
    }

    /// 503
    pub fn unavailable(reason: impl Into<String>) -> Refusal {
        Refusal::told(StatusCode::SERVICE_UNAVAILABLE, "service_unavailable", reason)
    }
}

/// The broker's refusal of a request, as RabbitMQ's API puts it: without the code's name.
impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Refusal {
        match fault.code {
            Code::AccessRefused => Refusal::not_authorised("Access refused."),
            Code::NotFound => Refusal::not_found(fault.text),
            Code::InternalError => Refusal::unavailable(fault.text),
            _ => Refusal::bad_request(fault.text),
        }
    }
}

impl From<Unanswered> for Refusal {
    fn from(_: Unanswered) -> Refusal {
        Refusal::unavailable("the broker does not answer")
    }
}
