//! Configured changes to the fields of heads.

use crate::error::Result;
use crate::phase::{Filter, Session};
use crate::settings::FieldEdit;
use ringway_proto::message::{Fields, InvalidField, RequestHead, ResponseHead};
use std::rc::Rc;

/// Changes fields of requests before they are forwarded: the last to do so, behind what the engine adds.
#[derive(Clone, Debug)]
pub struct RequestHeaders(Rc<[FieldEdit]>);

/// Changes fields of responses before they are sent, wherever they come from.
#[derive(Clone, Debug)]
pub struct ResponseHeaders(Rc<[FieldEdit]>);

impl RequestHeaders {
    /// These changes, in order. One whose name is no token, or whose value cannot be sent, is left out.
    pub fn new(edits: &[FieldEdit]) -> Self {
        Self(edits.into())
    }
}

impl ResponseHeaders {
    /// These changes, in order. One whose name is no token, or whose value cannot be sent, is left out.
    pub fn new(edits: &[FieldEdit]) -> Self {
        Self(edits.into())
    }
}

impl Filter for RequestHeaders {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn upstream_request_filter(
        &self,
        _: &mut Session,
        upstream_request: &mut RequestHead,
        (): &mut (),
    ) -> Result<()> {
        apply(&self.0, &mut upstream_request.fields);
        Ok(())
    }
}

impl Filter for ResponseHeaders {
    type Ctx = ();

    fn new_ctx(&self) {}

    async fn response_filter(&self, _: &mut Session, response: &mut ResponseHead, (): &mut ()) -> Result<()> {
        apply(&self.0, &mut response.fields);
        Ok(())
    }
}

/// Applies `edits` in order.
fn apply(edits: &[FieldEdit], fields: &mut Fields) {
    for edit in edits {
        let applied: Result<(), InvalidField> = match edit {
            FieldEdit::Set(name, value) => fields.set(name.as_bytes(), value.as_bytes()),
            FieldEdit::Add(name, value) => fields.append(name.as_bytes(), value.as_bytes()),
            FieldEdit::Remove(name) => {
                fields.remove_named(name.as_bytes());
                Ok(())
            }
        };
        debug_assert!(applied.is_ok(), "{edit:?}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edits_apply_in_order() {
        let mut fields = Fields::default();
        fields.append(b"X-A", b"1").unwrap();
        let edits = [
            FieldEdit::Add("x-a".into(), "2".into()),
            FieldEdit::Set("x-b".into(), "3".into()),
            FieldEdit::Remove("X-B".into()),
            FieldEdit::Set("X-A".into(), "4".into()),
        ];
        apply(&edits, &mut fields);
        let seen: Vec<_> = fields.iter().map(|field| (field.name, field.value)).collect();
        assert_eq!(seen, [(b"X-A".as_slice(), b"4".as_slice())]);
    }
}
