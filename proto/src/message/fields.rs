//! Header and trailer fields: what was received, in order and as spelled, plus what was changed.
//!
//! Received fields are spans over the received bytes; added ones are spans over a small text of their own.
//! Removing marks. So forwarding an untouched run of fields is one copy, and a change costs what it changes.

use super::Name;
use crate::chunk::Chunk;
use crate::span::Span;

/// The fields of a head or a trailer section, in order.
#[derive(Clone, Debug, Default)]
pub struct Fields {
    /// The received bytes that [`Place::Received`] spans point into. For a head: all of it.
    pub(crate) received: Chunk,
    /// The text that [`Place::Added`] spans point into: whole HTTP/1 lines, so that added fields, too, are copied
    /// in one run.
    pub(crate) added: Vec<u8>,
    pub(crate) list: Vec<Entry>,
}

/// One field line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) id: Name,
    pub(crate) place: Place,
    pub(crate) name: Span,
    pub(crate) value: Span,
}

/// Room made for added text at the first addition: `X-Forwarded-*`, `Via`, `X-Request-Id` and the like.
const ADDED_BYTES: usize = 256;
/// Room made for added fields at the first addition.
pub(crate) const ADDED_FIELDS: usize = 6;

/// Where the spans of an entry point.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    Received,
    Added,
    Removed,
}

/// A field as seen through [`Fields::iter`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Field<'a> {
    /// Which known name it is, or [`Name::Other`].
    pub id: Name,
    /// The name as spelled.
    pub name: &'a [u8],
    /// The value, without surrounding white space.
    pub value: &'a [u8],
}

/// A name that is not a token, or a value with CR, LF, NUL or another control character
/// (RFC 9110 section 5.5): refused, since it would change the message when it is sent.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct InvalidField;

impl std::fmt::Display for InvalidField {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("not a valid field name or value")
    }
}

impl std::error::Error for InvalidField {}

impl Fields {
    /// The fields in order, without the removed ones.
    #[inline]
    pub fn iter(&self) -> impl Iterator<Item = Field<'_>> {
        self.list.iter().filter(|entry| entry.place != Place::Removed).map(|entry| self.view(entry))
    }

    /// The first field of a known name.
    #[inline]
    pub fn get(&self, id: Name) -> Option<&[u8]> {
        self.get_all(id).next()
    }

    /// The first field of a known name, as bytes that outlive a change of these fields.
    pub fn get_chunk(&self, id: Name) -> Option<Chunk> {
        let entry = self.list.iter().find(|entry| entry.id == id && entry.place != Place::Removed)?;
        Some(match entry.place {
            Place::Received => self.received.slice(entry.value.range()),
            Place::Added | Place::Removed => entry.value.of(&self.added).to_vec().into(),
        })
    }

    /// All fields of a known name, in order.
    #[inline]
    pub fn get_all(&self, id: Name) -> impl Iterator<Item = &[u8]> {
        debug_assert!(id != Name::Other);
        let is_meant = move |entry: &&Entry| entry.id == id && entry.place != Place::Removed;
        self.list.iter().filter(is_meant).map(|entry| self.view(entry).value)
    }

    /// The first field of any name; case does not matter.
    pub fn find(&self, name: &[u8]) -> Option<&[u8]> {
        self.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// Whether a field of this known name is present.
    #[inline]
    pub fn has(&self, id: Name) -> bool {
        self.list.iter().any(|entry| entry.id == id && entry.place != Place::Removed)
    }

    /// Removes all fields of a known name.
    #[inline]
    pub fn remove(&mut self, id: Name) {
        debug_assert!(id != Name::Other);
        for entry in &mut self.list {
            if entry.id == id {
                entry.place = Place::Removed;
            }
        }
    }

    /// Removes all fields of any name; case does not matter.
    pub fn remove_named(&mut self, name: &[u8]) {
        self.remove_if(|field| field.name.eq_ignore_ascii_case(name));
    }

    /// Removes the fields of known names that `which` chooses.
    #[inline]
    pub(crate) fn remove_known(&mut self, which: impl Fn(Name) -> bool) {
        for entry in &mut self.list {
            if entry.id != Name::Other && which(entry.id) {
                entry.place = Place::Removed;
            }
        }
    }

    /// Removes the fields that `which` chooses.
    pub fn remove_if(&mut self, mut which: impl FnMut(Field<'_>) -> bool) {
        for index in 0..self.list.len() {
            let entry = self.list[index];
            if entry.place != Place::Removed && which(self.view(&entry)) {
                self.list[index].place = Place::Removed;
            }
        }
    }

    /// Adds a field behind all others.
    ///
    /// # Errors
    /// When name or value could change the message's structure.
    pub fn append(&mut self, name: &[u8], value: &[u8]) -> Result<(), InvalidField> {
        if !is_valid_name(name) || !is_valid_value(value) {
            return Err(InvalidField);
        }
        self.push(Name::classify(name), name, &[value]);
        Ok(())
    }

    /// Replaces all fields of this name by one, in the place of the first.
    ///
    /// # Errors
    /// As [`Fields::append`].
    pub fn set(&mut self, name: &[u8], value: &[u8]) -> Result<(), InvalidField> {
        if !is_valid_name(name) || !is_valid_value(value) {
            return Err(InvalidField);
        }
        let first = self.list.iter().position(|entry| {
            entry.place != Place::Removed && self.view(entry).name.eq_ignore_ascii_case(name)
        });
        self.remove_named(name);
        self.push(Name::classify(name), name, &[value]);
        if let Some(first) = first {
            let entry = self.list.pop().expect("just pushed");
            self.list[first] = entry;
        }
        Ok(())
    }

    /// Replaces all fields of a known name by one, behind all others.
    ///
    /// # Errors
    /// When the value could change the message's structure.
    pub fn replace(&mut self, id: Name, value: &[u8]) -> Result<(), InvalidField> {
        debug_assert!(id != Name::Other);
        if !is_valid_value(value) {
            return Err(InvalidField);
        }
        self.remove(id);
        self.push(id, id.text().as_bytes(), &[value]);
        Ok(())
    }

    /// Adds a field whose name and value are known to be valid. The value comes in pieces.
    pub(crate) fn push(&mut self, id: Name, name: &[u8], value: &[&[u8]]) {
        if self.added.capacity() == 0 {
            // What a proxy adds to a message, at once rather than by doubling.
            self.added.reserve(ADDED_BYTES);
            self.list.reserve(ADDED_FIELDS);
        }
        let start = self.added.len();
        self.added.extend_from_slice(name);
        let name = Span::new(start, self.added.len());
        self.added.extend_from_slice(b": ");
        let start = self.added.len();
        value.iter().for_each(|piece| self.added.extend_from_slice(piece));
        let value = Span::new(start, self.added.len());
        self.added.extend_from_slice(b"\r\n");
        self.list.push(Entry { id, place: Place::Added, name, value });
    }

    /// Number of fields that are present.
    pub fn len(&self) -> usize {
        self.list.iter().filter(|entry| entry.place != Place::Removed).count()
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    #[inline]
    fn view<'a>(&'a self, entry: &Entry) -> Field<'a> {
        let text: &[u8] = if entry.place == Place::Added { &self.added } else { &self.received };
        Field { id: entry.id, name: entry.name.of(text), value: entry.value.of(text) }
    }
}

/// Whether `name` is a token (RFC 9110 section 5.6.2).
pub fn is_valid_name(name: &[u8]) -> bool {
    !name.is_empty() && name.iter().all(|&byte| crate::scan::is_token_byte(byte))
}

/// Whether `value` holds no control character but HTAB (RFC 9110 section 5.5).
pub fn is_valid_value(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f))
}
