//! `Max-Forwards` (RFC 9110 section 7.6.2): how many more intermediaries TRACE and OPTIONS may pass.

use super::{Rule, list};
use crate::message::{Method, Name, RequestHead};

/// What is to be done with a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Forward {
    /// Forward it: nothing limits it, or the field is one less now.
    On,
    /// It ends here: answer as the final recipient.
    AnswerHere,
}

/// Decrements `Max-Forwards` of TRACE and OPTIONS, or says that the request ends here. Other methods are not
/// looked at, and the field is never invented (section 9.3.7).
///
/// # Errors
/// [`Rule::MaxForwards`] when it is not one number.
pub fn step(head: &mut RequestHead) -> Result<Forward, Rule> {
    if !matches!(head.method, Method::Trace | Method::Options) || !head.fields.has(Name::MaxForwards) {
        return Ok(Forward::On);
    }
    let mut values = head.fields.get_all(Name::MaxForwards);
    let left = values.next().and_then(list::decimal).ok_or(Rule::MaxForwards)?;
    if values.next().is_some() {
        return Err(Rule::MaxForwards);
    }
    drop(values);
    let Some(left) = left.checked_sub(1) else {
        return Ok(Forward::AnswerHere);
    };
    head.fields.set(b"max-forwards", left.to_string().as_bytes()).expect("digits are a valid value");
    Ok(Forward::On)
}
