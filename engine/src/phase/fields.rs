//! Configured changes to fields.

use crate::settings::FieldEdit;
use ringway_proto::message::{Fields, InvalidField};

/// Applies `edits` in order. They were checked when the configuration was; what still does not fit is left out.
pub fn apply(edits: &[FieldEdit], fields: &mut Fields) {
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
