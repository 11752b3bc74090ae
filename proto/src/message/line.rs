//! A field line that goes into many messages.

use super::Name;
use super::fields::{InvalidField, is_valid_name, is_valid_value};
use std::borrow::Cow;

/// A field line that goes into many messages: checked and written once, added as one copy.
#[derive(Clone, Debug)]
pub struct Line {
    pub(super) id: Name,
    pub(super) name_len: usize,
    /// `name: value CRLF`.
    pub(super) text: Cow<'static, [u8]>,
}

impl Line {
    /// The line of `name` and `value`.
    ///
    /// # Errors
    /// When name or value could change the message's structure.
    pub fn new(name: &[u8], value: &[u8]) -> Result<Self, InvalidField> {
        if !is_valid_name(name) || !is_valid_value(value) {
            return Err(InvalidField);
        }
        let text = [name, b": ", value, b"\r\n"].concat();
        Ok(Self { id: Name::classify(name), name_len: name.len(), text: text.into() })
    }

    /// A line that stands in the program.
    pub(crate) const fn fixed(id: Name, text: &'static [u8]) -> Self {
        Self { id, name_len: id.text().len(), text: Cow::Borrowed(text) }
    }

    /// Which known name it has.
    pub fn id(&self) -> Name {
        self.id
    }

    /// Its value.
    pub fn value(&self) -> &[u8] {
        &self.text[self.name_len + 2..self.text.len() - 2]
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::message::Fields;

    #[test]
    fn a_line_adds_what_its_name_and_value_would() {
        let line = Line::new(b"Date", b"Thu, 01 Jan 1970 00:00:00 GMT").unwrap();
        assert_eq!((line.id(), line.value()), (Name::Date, b"Thu, 01 Jan 1970 00:00:00 GMT".as_slice()));
        let (mut by_line, mut by_value) = (Fields::default(), Fields::default());
        by_value.append(b"x-a", b"1").unwrap();
        by_line.append_line(&Line::new(b"x-a", b"1").unwrap());
        by_value.append(b"Date", line.value()).unwrap();
        by_line.append_line(&line);
        let seen = |fields: &Fields| {
            fields
                .iter()
                .map(|field| (field.id, field.name.to_vec(), field.value.to_vec()))
                .collect::<Vec<_>>()
        };
        assert_eq!(seen(&by_line), seen(&by_value));
        assert!(by_line.has(Name::Date));
    }

    #[test]
    fn b9_a_line_that_would_change_the_message_is_not_made() {
        for (name, value) in [("a b", "v"), ("", "v"), ("a", "v\r\nb: c"), ("a", "\0")] {
            assert!(Line::new(name.as_bytes(), value.as_bytes()).is_err(), "{name:?} {value:?}");
        }
    }
}
