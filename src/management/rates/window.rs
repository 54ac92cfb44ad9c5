//! Windows: the part of the history that a request wants to see, by the parameters `X_age` and
//! `X_incr`, in seconds.

use crate::management::http::{Params, Refusal};
use hyper::StatusCode;

/// A window that ends now.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Window {
    /// Its length, milliseconds.
    pub age_ms: u64,
    /// The time from one sample to the next, milliseconds.
    pub step_ms: u64,
}

/// The windows of a request, one for each kind of numbers.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Windows {
    /// Of numbers of messages in queues.
    pub lengths: Option<Window>,
    /// Of counts of messages.
    pub messages: Option<Window>,
    /// Of octets received and sent.
    pub data: Option<Window>,
    /// Of numbers of nodes.
    pub nodes: Option<Window>,
}

/// A sample.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Sample {
    /// Its time, milliseconds since 1970.
    pub at_ms: u64,
    /// The value then.
    pub value: u64,
}

impl Windows {
    /// Reads the parameters. Half a pair, and what is no number, is ignored.
    ///
    /// # Errors
    /// A window has too many samples.
    pub fn parse(params: &Params) -> Result<Windows, Refusal> {
        let [lengths, messages, data, nodes] =
            ["lengths", "msg_rates", "data_rates", "node_stats"].map(|prefix| Window::parse(params, prefix));
        Ok(Windows { lengths: lengths?, messages: messages?, data: data?, nodes: nodes? })
    }

    /// Reads the parameters of a request for a list. Only pages have samples: a whole list would be
    /// endless with them.
    ///
    /// # Errors
    /// A window has too many samples.
    pub fn of_list(params: &Params) -> Result<Windows, Refusal> {
        let windows = Windows::parse(params)?;
        Ok(if params.get("page").is_some() { windows } else { Windows::default() })
    }
}

impl Window {
    fn parse(params: &Params, prefix: &str) -> Result<Option<Window>, Refusal> {
        let number = |suffix: &str| params.get(&format!("{prefix}_{suffix}"))?.parse::<u64>().ok();
        let (Some(age), Some(incr)) = (number("age"), number("incr")) else { return Ok(None) };
        if incr == 0 || age > AGE_MAX || age / incr > SAMPLES_MAX {
            let reason = format!("Invalid range parameters: age {age}, incr {incr}");
            return Err(Refusal::told(StatusCode::BAD_REQUEST, "bad_request", reason));
        }
        Ok(Some(Window { age_ms: age * 1000, step_ms: incr * 1000 }))
    }
}

/// Picks the samples of a window out of all, the newest first. Its samples lie at multiples of its
/// step; each has the last value before.
pub(super) fn pick(all: &[(u64, u64)], now_ms: u64, window: Window) -> Vec<Sample> {
    let newest = now_ms / window.step_ms * window.step_ms;
    let times = (0..=window.age_ms / window.step_ms).map_while(|n| newest.checked_sub(n * window.step_ms));
    let at = |at_ms: u64| {
        let before = all.partition_point(|(at, _)| *at <= at_ms).checked_sub(1)?;
        Some(Sample { at_ms, value: all[before].1 })
    };
    times.map_while(at).collect()
}

const AGE_MAX: u64 = 86_400;
const SAMPLES_MAX: u64 = 300;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_window_needs_both_numbers() {
        let parse = |query: &str| Windows::parse(&Params::parse(query));
        let lengths = |query: &str| parse(query).expect("in order").lengths;
        assert_eq!(lengths("lengths_age=60&lengths_incr=5"), Some(Window { age_ms: 60_000, step_ms: 5_000 }));
        assert_eq!(["lengths_age=60", "lengths_age=x&lengths_incr=5", ""].map(lengths), [None; 3]);
        let Err(Refusal::Told { reason, .. }) = parse("lengths_age=86400&lengths_incr=1") else { panic!("too many samples") };
        assert_eq!(reason, "Invalid range parameters: age 86400, incr 1");
        assert!(parse("data_rates_age=60&data_rates_incr=0").is_err());
    }

    #[test]
    fn samples_lie_at_multiples_of_the_step() {
        let all = [(10_000, 1), (17_000, 2), (33_000, 3)];
        let picked = pick(&all, 42_000, Window { age_ms: 60_000, step_ms: 10_000 });
        let expected = [(40_000, 3), (30_000, 2), (20_000, 2), (10_000, 1)].map(|(at_ms, value)| Sample { at_ms, value });
        assert_eq!(picked, expected);
    }
}
