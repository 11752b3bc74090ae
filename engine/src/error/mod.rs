//! What went wrong: whose fault it is, what the client is told, and what a person who looks for the cause reads.
//!
//! [`Outcome`] is the one table of how an exchange can end. [`Error`] is an outcome with what belongs to one case:
//! a cause, context, a status of its own, and whether another attempt may follow. Hooks fail with it, and learn with
//! it what failed elsewhere.
//!
//! Read [`outcome`], then this file.

pub mod outcome;

pub use outcome::{Fault, Outcome};

use std::borrow::Cow;
use std::error::Error as StdError;
use std::fmt;

/// A result of a hook, a client or an app.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why an exchange, or something done for it, cannot go on.
///
/// Eight bytes; what it says stands on the heap, since most exchanges never fail.
///
/// ```
/// use ringway_engine::error::{Context, Error, Fault};
///
/// fn age(text: &str) -> Result<u32, Error> {
///     text.parse().or_fail("the age is no number")
/// }
///
/// let error = age("old").unwrap_err();
/// assert_eq!(error.fault(), Fault::Local);
/// assert_eq!(error.to_string(), "hook_failed: the age is no number: invalid digit found in string");
/// assert_eq!(Error::refused(401).status(), 401);
/// ```
pub struct Error(Box<Told>);

struct Told {
    outcome: Outcome,
    /// Instead of the outcome's.
    status: Option<u16>,
    fault: Option<Fault>,
    retry: Retry,
    /// The innermost first.
    context: Vec<Cow<'static, str>>,
    cause: Option<Box<dyn StdError + 'static>>,
}

/// Whether another attempt may follow.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Retry {
    /// As the engine finds.
    Unsaid,
    Said(bool),
}

impl Error {
    /// What the table calls `outcome`. One that is nobody's fault is no failure, and taken for that of a hook.
    pub fn new(outcome: Outcome) -> Self {
        let outcome = if outcome.fault() == Fault::None { Outcome::HookFailed } else { outcome };
        let (context, cause) = (Vec::new(), None);
        Self(Box::new(Told { outcome, status: None, fault: None, retry: Retry::Unsaid, context, cause }))
    }

    /// A hook failed, as `what` says. The client is answered 500, where it still can be answered.
    pub fn failed(what: impl Into<Cow<'static, str>>) -> Self {
        Self::new(Outcome::HookFailed).context(what)
    }

    /// The request is refused with this status: 400 to 599. Any other number is taken for 500.
    pub fn refused(status: u16) -> Self {
        match status {
            400..=499 => Self::new(Outcome::Refused).with_status(status),
            500..=599 => Self::new(Outcome::HookFailed).with_status(status),
            _ => Self::new(Outcome::HookFailed),
        }
    }

    /// Something that a hook used failed with `cause`. The client is answered 500.
    pub fn because(cause: impl Into<Box<dyn StdError + 'static>>) -> Self {
        let mut error = Self::new(Outcome::HookFailed);
        error.0.cause = Some(cause.into());
        error
    }

    /// Says in words what was being done. What is added last is shown first.
    #[must_use]
    pub fn context(mut self, what: impl Into<Cow<'static, str>>) -> Self {
        self.0.context.push(what.into());
        self
    }

    /// Answers with this status, 400 to 599, instead of the outcome's.
    #[must_use]
    pub fn with_status(mut self, status: u16) -> Self {
        self.0.status = (400..600).contains(&status).then_some(status);
        self
    }

    /// Blames the client.
    #[must_use]
    pub fn into_downstream(mut self) -> Self {
        self.0.fault = Some(Fault::Downstream);
        self
    }

    /// Blames the origin: what is not answered otherwise is answered 502.
    #[must_use]
    pub fn into_upstream(mut self) -> Self {
        self.0.fault = Some(Fault::Upstream);
        if self.0.outcome == Outcome::HookFailed && self.0.status.is_none() {
            self.0.status = Some(502);
        }
        self
    }

    /// Allows or forbids another attempt. Allowed is not done: no attempt follows once an answer has begun, or where
    /// content that was sent is not kept, or after [`crate::limits::ATTEMPTS_MAX`] attempts.
    pub fn set_retry(&mut self, may_retry: bool) {
        self.0.retry = Retry::Said(may_retry);
    }

    /// As [`Error::set_retry`] makes it, for what a hook fails with: of those, `upstream_response_filter` alone is heard.
    #[must_use]
    pub fn with_retry(mut self, may_retry: bool) -> Self {
        self.set_retry(may_retry);
        self
    }

    /// What was said with [`Error::set_retry`]; `None` leaves it to the engine: a failure to connect is retried as
    /// often as the peer allows, and a request as RFC 9110 section 9.2.2 allows.
    pub fn retry(&self) -> Option<bool> {
        match self.0.retry {
            Retry::Unsaid => None,
            Retry::Said(may_retry) => Some(may_retry),
        }
    }

    /// How an exchange ends that fails with this.
    pub fn outcome(&self) -> Outcome {
        self.0.outcome
    }

    /// Whose fault it is.
    pub fn fault(&self) -> Fault {
        self.0.fault.unwrap_or(self.0.outcome.fault())
    }

    /// The status of the answer, where one can still be given.
    pub fn status(&self) -> u16 {
        self.0.status.unwrap_or(self.0.outcome.status())
    }

    /// What was caught first, where it was an error of somebody else's.
    pub fn cause(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.cause.as_deref()
    }
}

impl From<Outcome> for Error {
    fn from(outcome: Outcome) -> Self {
        Self::new(outcome)
    }
}

impl From<ringway_proto::message::InvalidField> for Error {
    fn from(error: ringway_proto::message::InvalidField) -> Self {
        Self::because(error)
    }
}

impl From<std::io::Error> for Error {
    fn from(error: std::io::Error) -> Self {
        Self::because(error)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0.outcome.label())?;
        for what in self.0.context.iter().rev() {
            write!(f, ": {what}")?;
        }
        match &self.0.cause {
            Some(cause) => write!(f, ": {cause}"),
            None => Ok(()),
        }
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Error({self}, {:?}, {})", self.fault(), self.status())
    }
}

impl StdError for Error {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.cause()
    }
}

/// Turns other errors, and what is missing, into an [`Error`] that says what was being done.
pub trait Context<T> {
    /// Fails with `what`; the client is answered 500 unless the error is given another status.
    ///
    /// # Errors
    /// When there is no value.
    fn or_fail(self, what: impl Into<Cow<'static, str>>) -> Result<T>;

    /// Refuses the request with this status, 400 to 599.
    ///
    /// # Errors
    /// When there is no value.
    fn or_refuse(self, status: u16) -> Result<T>;
}

impl<T, E: Into<Box<dyn StdError + 'static>>> Context<T> for Result<T, E> {
    fn or_fail(self, what: impl Into<Cow<'static, str>>) -> Result<T> {
        self.map_err(|error| Error::because(error).context(what))
    }

    fn or_refuse(self, status: u16) -> Result<T> {
        self.map_err(|error| {
            let mut refused = Error::refused(status);
            refused.0.cause = Some(error.into());
            refused
        })
    }
}

impl<T> Context<T> for Option<T> {
    fn or_fail(self, what: impl Into<Cow<'static, str>>) -> Result<T> {
        self.ok_or_else(|| Error::failed(what))
    }

    fn or_refuse(self, status: u16) -> Result<T> {
        self.ok_or_else(|| Error::refused(status))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_error_is_one_word_and_says_what_was_done_from_outside_in() {
        assert_eq!(size_of::<Result<()>>(), 8);
        let io = std::io::Error::other("no such user");
        let error = Error::because(io).context("looking up the user").context("authentication");
        assert_eq!(error.to_string(), "hook_failed: authentication: looking up the user: no such user");
        assert!(error.source().is_some());
    }

    #[test]
    fn a_refusal_is_the_clients_fault_and_a_failure_ours() {
        let told = |error: Error| (error.outcome(), error.fault(), error.status());
        assert_eq!(told(Error::refused(429)), (Outcome::Refused, Fault::Downstream, 429));
        assert_eq!(told(Error::refused(503)), (Outcome::HookFailed, Fault::Local, 503));
        assert_eq!(told(Error::refused(200)), (Outcome::HookFailed, Fault::Local, 500));
        assert_eq!(told(Error::failed("x").into_upstream()), (Outcome::HookFailed, Fault::Upstream, 502));
        assert_eq!(told(Error::new(Outcome::Complete)), (Outcome::HookFailed, Fault::Local, 500));
        assert_eq!(told(Error::failed("x").with_status(99)), (Outcome::HookFailed, Fault::Local, 500));
        assert_eq!(told(None::<()>.or_refuse(404).unwrap_err()).2, 404);
    }

    #[test]
    fn another_attempt_is_left_to_the_engine_until_somebody_says() {
        let mut error = Error::new(Outcome::ConnectFailed);
        assert_eq!(error.retry(), None);
        error.set_retry(false);
        assert_eq!(error.retry(), Some(false));
    }
}
