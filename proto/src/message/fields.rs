//! Header and trailer fields: what was received, in order and as spelled, plus what was changed.
//!
//! Received fields are spans over the received bytes; added ones are spans over a small text of their own.
//! Removing marks. So forwarding an untouched run of fields is one copy, and a change costs what it changes.

use super::{Line, Name};
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
    /// The noted names that may be there ([`Name::is_noted`]): whose bit is missing is not looked for.
    noted: u32,
}

/// One field line.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Entry {
    pub(crate) id: Name,
    pub(crate) place: Place,
    pub(crate) name: Span,
    pub(crate) value: Span,
}

impl Entry {
    /// Removes it. What was received can still be looked up; what was added leaves nothing behind, since its spans
    /// point elsewhere.
    #[inline]
    pub(crate) fn remove(&mut self) {
        if self.place == Place::Added {
            *self = Self {
                id: Name::Other,
                place: Place::Removed,
                name: Span::default(),
                value: Span::default(),
            };
        }
        self.place = Place::Removed;
    }
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
    /// Fields as they were parsed; `noted` has the bits of the noted names among them.
    #[inline]
    pub(crate) fn received(received: Chunk, list: Vec<Entry>, noted: u32) -> Self {
        Self { received, added: Vec::new(), list, noted }
    }

    /// Becomes a copy of `other`, in the memory that is there.
    #[inline]
    pub(crate) fn copy_from(&mut self, other: &Self) {
        self.received = other.received.clone();
        self.added.clear();
        self.added.extend_from_slice(&other.added);
        self.list.clear();
        self.list.extend_from_slice(&other.list);
        self.noted = other.noted;
    }

    /// No fields, in the memory that is there.
    pub(crate) fn release(&mut self) {
        self.received = Chunk::EMPTY;
        self.added.clear();
        self.list.clear();
        self.noted = 0;
    }

    /// Whether a field of this known name may be there. Only a no is certain.
    #[inline]
    fn may_have(&self, id: Name) -> bool {
        let bit = id.noted_bit();
        bit == 0 || self.noted & bit != 0
    }

    /// Whether a field that concerns one connection only may be there. Only a no is certain.
    #[inline]
    pub(crate) fn may_have_hop_by_hop(&self) -> bool {
        self.noted & Name::HOP_BY_HOP_BITS != 0
    }

    /// Removes what a peer that is not trusted has no say in ([`Name::is_hearsay`]).
    #[inline]
    pub(crate) fn remove_hearsay(&mut self) {
        if self.noted & Name::HEARSAY_BITS != 0 {
            self.remove_known(Name::is_hearsay);
        }
    }

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

    /// The first received field of a known name, whatever was changed since.
    pub fn get_received(&self, id: Name) -> Option<&[u8]> {
        debug_assert!(id != Name::Other);
        let is_meant = |entry: &&Entry| entry.id == id && entry.place != Place::Added;
        self.list.iter().find(is_meant).map(|entry| entry.value.of(&self.received))
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
        let list: &[Entry] = if self.may_have(id) { &self.list } else { &[] };
        list.iter().filter(is_meant).map(|entry| self.view(entry).value)
    }

    /// The first field of any name; case does not matter.
    pub fn find(&self, name: impl AsRef<[u8]>) -> Option<&[u8]> {
        let name = name.as_ref();
        self.iter().find(|field| field.name.eq_ignore_ascii_case(name)).map(|field| field.value)
    }

    /// Whether exactly one field of this known name is there, and is as it was received.
    #[inline]
    pub fn is_one_received(&self, id: Name) -> bool {
        let mut places = self.list.iter().filter(|entry| entry.id == id).map(|entry| entry.place);
        places.next() == Some(Place::Received) && places.next().is_none()
    }

    /// Whether a field of this known name is present.
    #[inline]
    pub fn has(&self, id: Name) -> bool {
        self.may_have(id) && self.list.iter().any(|entry| entry.id == id && entry.place != Place::Removed)
    }

    /// Removes all fields of a known name.
    #[inline]
    pub fn remove(&mut self, id: Name) {
        debug_assert!(id != Name::Other);
        if !self.may_have(id) {
            return;
        }
        for entry in &mut self.list {
            if entry.id == id {
                entry.remove();
            }
        }
        self.noted &= !id.noted_bit();
    }

    /// Removes all fields of any name; case does not matter.
    pub fn remove_named(&mut self, name: impl AsRef<[u8]>) {
        let name = name.as_ref();
        self.remove_if(|field| field.name.eq_ignore_ascii_case(name));
    }

    /// Removes the fields of known names that `which` chooses.
    #[inline]
    pub(crate) fn remove_known(&mut self, which: impl Fn(Name) -> bool) {
        for entry in &mut self.list {
            if entry.id != Name::Other && which(entry.id) {
                entry.remove();
            }
        }
    }

    /// Removes the fields that `which` chooses.
    pub fn remove_if(&mut self, mut which: impl FnMut(Field<'_>) -> bool) {
        for index in 0..self.list.len() {
            let entry = self.list[index];
            if entry.place != Place::Removed && which(self.view(&entry)) {
                self.list[index].remove();
            }
        }
    }

    /// Adds a field behind all others.
    ///
    /// # Errors
    /// When name or value could change the message's structure.
    pub fn append(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), InvalidField> {
        let (name, value) = (name.as_ref(), value.as_ref());
        if !is_valid_name(name) || !is_valid_value(value) {
            return Err(InvalidField);
        }
        self.push(Name::classify(name), name, value);
        Ok(())
    }

    /// Replaces all fields of this name by one, in the place of the first.
    ///
    /// # Errors
    /// As [`Fields::append`].
    pub fn set(&mut self, name: impl AsRef<[u8]>, value: impl AsRef<[u8]>) -> Result<(), InvalidField> {
        let (name, value) = (name.as_ref(), value.as_ref());
        if !is_valid_name(name) || !is_valid_value(value) {
            return Err(InvalidField);
        }
        let first = self.list.iter().position(|entry| {
            entry.place != Place::Removed && self.view(entry).name.eq_ignore_ascii_case(name)
        });
        self.remove_named(name);
        self.push(Name::classify(name), name, value);
        if let Some(first) = first {
            let entry = self.list.pop().expect("just pushed");
            // Before the removed one, which stays: what was received can be looked up.
            self.list.insert(first, entry);
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
        self.push(id, id.text().as_bytes(), value);
        Ok(())
    }

    /// Adds a line behind all others.
    #[inline]
    pub fn append_line(&mut self, line: &Line) {
        let start = self.begin_line(line.id);
        self.added.extend_from_slice(&line.text);
        let name = Span::new(start, start + line.name_len);
        let value = Span::new(start + line.name_len + 2, self.added.len() - 2);
        self.list.push(Entry { id: line.id, place: Place::Added, name, value });
    }

    /// Adds a field whose name and value are known to be valid.
    pub(crate) fn push(&mut self, id: Name, name: &[u8], value: &[u8]) {
        let start = self.begin_line(id);
        self.added.extend_from_slice(name);
        let name = Span::new(start, self.added.len());
        self.added.extend_from_slice(b": ");
        let start = self.added.len();
        self.added.extend_from_slice(value);
        let value = Span::new(start, self.added.len());
        self.added.extend_from_slice(b"\r\n");
        self.list.push(Entry { id, place: Place::Added, name, value });
    }

    /// Where the next added line begins.
    #[inline]
    fn begin_line(&mut self, id: Name) -> usize {
        if self.added.capacity() == 0 {
            // What a proxy adds to a message, at once rather than by doubling.
            self.added.reserve(ADDED_BYTES);
            self.list.reserve(ADDED_FIELDS);
        }
        self.noted |= id.noted_bit();
        self.added.len()
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
#[inline]
pub fn is_valid_value(value: &[u8]) -> bool {
    let (words, rest) = value.as_chunks();
    words.iter().all(|word| is_plain(u64::from_le_bytes(*word)) || is_valid_bytewise(word))
        && is_valid_bytewise(rest)
}

fn is_valid_bytewise(value: &[u8]) -> bool {
    value.iter().all(|&byte| byte == b'\t' || (byte >= 0x20 && byte != 0x7f))
}

/// Whether eight bytes hold neither a control character nor a byte from 0x80 on. Only a yes is certain.
#[inline]
fn is_plain(word: u64) -> bool {
    const ONES: u64 = u64::MAX / 0xff;
    const HIGH: u64 = ONES << 7;
    // A byte below 0x20 borrows, and 0x7f carries, into its own highest bit; or into its neighbour's.
    (word | word.wrapping_sub(ONES * 0x20) | word.wrapping_add(ONES)) & HIGH == 0
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::h1::head::{HeadLimits, HeadParser};

    fn received(section: &str) -> Fields {
        let mut parser = HeadParser::new();
        let len = parser.on_trailer_bytes(section.as_bytes(), &HeadLimits::default()).unwrap().unwrap();
        parser.take_trailers(Chunk::from(section.as_bytes()[..len].to_vec()))
    }

    fn text(fields: &Fields) -> String {
        let line = |field: Field<'_>| {
            format!("{}={} ", String::from_utf8_lossy(field.name), String::from_utf8_lossy(field.value))
        };
        fields.iter().map(line).collect::<String>().trim_end().to_owned()
    }

    #[test]
    fn b5_b6_received_fields_keep_order_and_spelling() {
        let fields = received("VIA: 1\r\nx-Unknown: 2\r\nvia: 3\r\nX-unknown: 4\r\n\r\n");
        assert_eq!(text(&fields), "VIA=1 x-Unknown=2 via=3 X-unknown=4");
        assert_eq!(fields.get(Name::Via), Some(b"1".as_slice()));
        assert_eq!(fields.get_all(Name::Via).collect::<Vec<_>>(), [b"1", b"3"]);
        assert_eq!(fields.find(b"x-UNKNOWN"), Some(b"2".as_slice()));
        assert_eq!((fields.len(), fields.has(Name::Via), fields.has(Name::Te)), (4, true, false));
    }

    #[test]
    fn a_field_that_is_set_takes_the_place_of_the_first_of_its_name() {
        let mut fields = received("A: 1\r\nVia: 2\r\nB: 3\r\nvia: 4\r\n\r\n");
        fields.set(b"VIA", b"5").unwrap();
        assert_eq!(text(&fields), "A=1 VIA=5 B=3");
        fields.set(b"b", b"6").unwrap();
        assert_eq!(text(&fields), "A=1 VIA=5 b=6");
        fields.set(b"New", b"7").unwrap();
        assert_eq!(text(&fields), "A=1 VIA=5 b=6 New=7");
        assert_eq!(fields.get(Name::Via), Some(b"5".as_slice()));
    }

    #[test]
    fn a_field_that_is_appended_comes_last() {
        let mut fields = received("Via: 1\r\nA: 2\r\n\r\n");
        fields.append(b"via", b"3").unwrap();
        assert_eq!(text(&fields), "Via=1 A=2 via=3");
        assert_eq!(fields.get_all(Name::Via).collect::<Vec<_>>(), [b"1", b"3"]);
    }

    #[test]
    fn fields_that_are_removed_are_gone_and_can_come_again() {
        let mut fields = received("Via: 1\r\nA: 2\r\nvia: 3\r\na: 4\r\nB: 5\r\n\r\n");
        fields.remove(Name::Via);
        assert_eq!((text(&fields).as_str(), fields.has(Name::Via)), ("A=2 a=4 B=5", false));
        fields.remove_named(b"A");
        assert_eq!(text(&fields), "B=5");
        fields.remove_if(|field| field.value == b"5");
        assert!(fields.is_empty() && fields.find(b"b").is_none());
        fields.append(b"A", b"6").unwrap();
        fields.set(b"Via", b"7").unwrap();
        assert_eq!((text(&fields).as_str(), fields.len()), ("A=6 Via=7", 2));
    }

    #[test]
    fn b9_every_byte_of_a_value_is_judged_wherever_it_stands() {
        for byte in 0..=u8::MAX {
            for at in 0..20 {
                let mut value = *b"abcdefghijklmnopqrst";
                value[at] = byte;
                let is_valid = byte == b'\t' || (byte >= 0x20 && byte != 0x7f);
                assert_eq!(is_valid_value(&value), is_valid, "{byte} at {at}");
            }
        }
    }

    #[test]
    fn what_was_received_can_be_looked_up_whatever_was_changed() {
        let via = |fields: &Fields| fields.get_received(Name::Via).map(<[u8]>::to_vec);
        for change in [
            (|fields: &mut Fields| fields.remove(Name::Via)) as fn(&mut Fields),
            |fields| fields.remove_named(b"via"),
            |fields| fields.remove_known(|id| id == Name::Via),
            |fields| fields.set(b"via", b"9").unwrap(),
            |fields| fields.replace(Name::Via, b"9").unwrap(),
            |fields| fields.append(b"Via", b"9").unwrap(),
        ] {
            let mut fields = received("A: 1\r\nVia: 2\r\nvia: 3\r\n\r\n");
            change(&mut fields);
            // What was added and removed again was never received.
            fields.set(b"Via", b"10").unwrap();
            fields.remove(Name::Via);
            assert_eq!((via(&fields), fields.has(Name::Via)), (Some(b"2".to_vec()), false));
            let mut fields = received("A: 1\r\n\r\n");
            change(&mut fields);
            assert_eq!(via(&fields), None);
            fields.remove_named(b"via");
            assert_eq!((via(&fields), text(&fields).as_str()), (None, "A=1"));
        }
    }

    #[test]
    fn b9_what_would_change_the_message_is_not_added() {
        let mut fields = Fields::default();
        for (name, value) in [
            ("", "v"),
            ("a b", "v"),
            ("a:", "v"),
            ("a\r\n", "v"),
            ("é", "v"),
            ("a", "\r\nb: c"),
            ("a", "\0"),
            ("a", "\n"),
            ("a", "\x7f"),
        ] {
            assert_eq!(
                fields.append(name.as_bytes(), value.as_bytes()),
                Err(InvalidField),
                "{name:?} {value:?}"
            );
            assert_eq!(
                fields.set(name.as_bytes(), value.as_bytes()),
                Err(InvalidField),
                "{name:?} {value:?}"
            );
        }
        assert!(fields.is_empty());
        fields.append(b"a", "\tx é".as_bytes()).unwrap();
    }
}
