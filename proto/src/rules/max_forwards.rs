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

#[cfg(test)]
mod tests {
    use super::*;

    fn stepped(method: &str, fields: &str) -> Result<(Forward, Option<String>), Rule> {
        let mut head = super::super::request(&format!("{method} / HTTP/1.1\r\nHost: a\r\n{fields}\r\n"));
        let forward = step(&mut head)?;
        let left = head.fields.get(Name::MaxForwards).map(|left| String::from_utf8_lossy(left).into_owned());
        Ok((forward, left))
    }

    #[test]
    fn b17_max_forwards_is_decremented_until_it_ends() {
        assert_eq!(stepped("TRACE", "Max-Forwards: 10\r\n"), Ok((Forward::On, Some("9".into()))));
        assert_eq!(stepped("OPTIONS", "Max-Forwards: 1\r\n"), Ok((Forward::On, Some("0".into()))));
        assert_eq!(stepped("TRACE", "Max-Forwards: 0\r\n"), Ok((Forward::AnswerHere, Some("0".into()))));
        assert_eq!(stepped("GET", "Max-Forwards: 0\r\n"), Ok((Forward::On, Some("0".into()))));
    }

    #[test]
    fn b17_max_forwards_is_one_number() {
        for bad in ["", "-1", "x", "1, 2", "1\r\nMax-Forwards: 1", "99999999999999999999"] {
            assert_eq!(
                stepped("TRACE", &format!("Max-Forwards: {bad}\r\n")),
                Err(Rule::MaxForwards),
                "{bad:?}"
            );
        }
    }

    #[test]
    fn b29_max_forwards_is_never_invented() {
        assert_eq!(stepped("TRACE", ""), Ok((Forward::On, None)));
    }
}
