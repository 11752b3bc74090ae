//! Walks a parsed file against the tables of keys, and reads values out of nodes.
//!
//! [`apply_block`] is the whole walk: it finds what is unknown, given twice or given too often, and hands each
//! node to the directive that knows it. It goes on after every error.

use super::diagnose::{Problem, Report, Span, closest};
use super::spec::{Arguments, Directive, Spec};
use super::units::{Quantity, SIZE, TIME, parse_size, parse_time, unit_missing};
use kdl::{KdlDocument, KdlEntry, KdlIdentifier, KdlNode, KdlValue};
use std::fmt::Display;
use std::ops::RangeInclusive;
use std::time::Duration;

/// A node whose name, properties and number of arguments are those of its spec.
pub(crate) struct Node<'a> {
    kdl: &'a KdlNode,
    spec: &'static Spec,
}

/// One value of a node.
pub(crate) struct Value<'a> {
    kdl: &'a KdlValue,
    /// Where it stands, without the `name=`.
    pub(crate) span: Span,
}

/// Lets the `directives` put the nodes of one block into `parent`. `owner` is whose block it is.
pub(crate) fn apply_block<P>(
    nodes: &[KdlNode],
    directives: &'static [&'static Directive<P>],
    owner: &Spec,
    parent: &mut P,
    report: &mut Report,
) {
    for (index, kdl) in nodes.iter().enumerate() {
        let name = kdl.name().value();
        let Some(directive) = directives.iter().find(|directive| directive.spec.name == name) else {
            let names: Vec<&str> = directives.iter().map(|directive| directive.spec.name).collect();
            report_unknown_node(kdl, &names, owner, report);
            continue;
        };
        let node = Node { kdl, spec: &directive.spec };
        let earlier = nodes[..index].iter().find(|earlier| earlier.name().value() == name);
        if let (Some(earlier), false) = (earlier, directive.spec.repeats) {
            let message = format!("`{name}` is given twice{}", inside(owner));
            report.error(node.span(), message).earlier(name_span(earlier));
        }
        node.check_entries(report);
        node.check_block(report);
        (directive.apply)(&node, parent, report);
    }
}

impl<'a> Node<'a> {
    /// Where its name stands.
    pub(crate) fn span(&self) -> Span {
        name_span(self.kdl)
    }

    /// Its positional values.
    pub(crate) fn arguments(&self) -> impl Iterator<Item = Value<'a>> {
        self.kdl.entries().iter().filter(|entry| entry.name().is_none()).map(Value::of)
    }

    /// Its first positional value.
    pub(crate) fn argument(&self) -> Option<Value<'a>> {
        self.arguments().next()
    }

    /// The value of a property. Of duplicates, which are reported before, the first.
    pub(crate) fn property(&self, name: &'static str) -> Option<Value<'a>> {
        debug_assert!(
            self.spec.properties.iter().any(|known| known.name == name),
            "{name} is not in the table"
        );
        self.kdl.entries().iter().find(|entry| property_name(entry) == Some(name)).map(Value::of)
    }

    /// Lets the `directives` put the nodes of its block into `parent`.
    pub(crate) fn block<P>(
        &self,
        directives: &'static [&'static Directive<P>],
        parent: &mut P,
        report: &mut Report,
    ) {
        let nodes = self.kdl.children().map(KdlDocument::nodes).unwrap_or_default();
        apply_block(nodes, directives, self.spec, parent, report);
    }

    /// Puts a text argument through `parse`.
    pub(crate) fn parse<T>(
        &self,
        report: &mut Report,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        self.argument()?.parse(report, parse)
    }

    /// Sets `target` to the time that is the argument.
    pub(crate) fn set_time(&self, at_least: Duration, target: &mut Duration, report: &mut Report) {
        if let Some(time) = self.argument().and_then(|value| value.time(at_least, report)) {
            *target = time;
        }
    }

    /// Unknown, duplicate, missing and surplus entries.
    fn check_entries(&self, report: &mut Report) {
        let entries = self.kdl.entries();
        for (index, entry) in entries.iter().enumerate() {
            if entry.ty().is_some() {
                report.error(entry_span(entry), "a type in parentheses has no meaning here");
            }
            let Some(name) = property_name(entry) else { continue };
            let is_known = self.spec.properties.iter().any(|property| property.name == name);
            let earlier = entries[..index].iter().find(|earlier| property_name(earlier) == Some(name));
            match earlier {
                _ if !is_known => report_unknown_property(entry, name, self.spec, report),
                // KDL itself would silently keep the last.
                Some(earlier) => {
                    let message = format!("`{name}=` is given twice");
                    report.error(entry_span(entry), message).earlier(entry_span(earlier));
                }
                None => {}
            }
        }
        if let Some(ty) = self.kdl.ty() {
            report.error(identifier_span(ty), "a type in parentheses has no meaning here");
        }
        self.check_arguments(report);
    }

    fn check_arguments(&self, report: &mut Report) {
        let name = self.spec.name;
        let (least, most, value) = match self.spec.arguments {
            Arguments::None => (0, 0, ""),
            Arguments::One(value) => (1, 1, value),
            Arguments::Optional(value) => (0, 1, value),
            Arguments::Many(value) => (1, usize::MAX, value),
        };
        let help = format!("write `{}`", self.spec.usage());
        if self.arguments().count() < least {
            report.error(self.span(), format!("`{name}` needs a value: {value}")).help(help.clone());
        }
        for surplus in self.arguments().skip(most) {
            report.error(surplus.span, format!("a value too many for `{name}`")).help(help.clone());
        }
    }

    /// A key without keys of its own takes no block; those with them walk it when they apply.
    fn check_block(&self, report: &mut Report) {
        let nodes = self.kdl.children().map(KdlDocument::nodes).unwrap_or_default();
        if self.spec.block().is_empty() {
            nodes.iter().for_each(|node| report_unknown_node(node, &[], self.spec, report));
        }
    }
}

impl<'a> Value<'a> {
    fn of(entry: &'a KdlEntry) -> Self {
        let whole = entry_span(entry);
        let length = entry.format().map_or(whole.len(), |format| format.value_repr.len());
        Self { kdl: entry.value(), span: whole.end - length.min(whole.len())..whole.end }
    }

    /// Whether it is just this string.
    pub(crate) fn is_text(&self, text: &str) -> bool {
        self.kdl.as_string() == Some(text)
    }

    /// A string.
    pub(crate) fn text(&self, report: &mut Report) -> Option<&'a str> {
        match self.kdl {
            KdlValue::String(text) => Some(text),
            other => {
                report.error(self.span.clone(), "a text is expected here").help(format!("write \"{other}\""));
                None
            }
        }
    }

    /// A string that `parse` accepts.
    pub(crate) fn parse<T>(
        &self,
        report: &mut Report,
        parse: impl FnOnce(&str) -> Result<T, Problem>,
    ) -> Option<T> {
        let text = self.text(report)?;
        report.ok(self.span.clone(), parse(text))
    }

    /// `#true` or `#false`.
    pub(crate) fn flag(&self, report: &mut Report) -> Option<bool> {
        if self.kdl.as_bool().is_none() {
            report.error(self.span.clone(), "`#true` or `#false` is expected here");
        }
        self.kdl.as_bool()
    }

    /// A whole number in `range`.
    pub(crate) fn number<T>(&self, range: RangeInclusive<T>, report: &mut Report) -> Option<T>
    where
        T: TryFrom<i128> + PartialOrd + Display,
    {
        let Some(number) = self.kdl.as_integer() else {
            let error = report.error(self.span.clone(), "a whole number is expected here");
            if self.kdl.as_string().is_some_and(|text| text.parse::<i128>().is_ok()) {
                error.help("write it without quotes");
            }
            return None;
        };
        let accepted = T::try_from(number).ok().filter(|number| range.contains(number));
        if accepted.is_none() {
            let message = format!("{number} is not between {} and {}", range.start(), range.end());
            report.error(self.span.clone(), message);
        }
        accepted
    }

    /// A time of `at_least` so much.
    pub(crate) fn time(&self, at_least: Duration, report: &mut Report) -> Option<Duration> {
        let time = self.quantity(&TIME, parse_time, report)?;
        if time < at_least {
            report.error(self.span.clone(), format!("a time of at least {at_least:?} is expected here"));
            return None;
        }
        Some(time)
    }

    /// A size in bytes within `range`.
    pub(crate) fn size(&self, range: RangeInclusive<u64>, report: &mut Report) -> Option<u64> {
        let size = self.quantity(&SIZE, parse_size, report)?;
        if !range.contains(&size) {
            let (least, most) = (range.start(), range.end());
            report.error(self.span.clone(), format!("{size} bytes are not between {least} and {most}"));
            return None;
        }
        Some(size)
    }

    fn quantity<T>(
        &self,
        quantity: &Quantity,
        parse: fn(&str) -> Result<T, Problem>,
        report: &mut Report,
    ) -> Option<T> {
        let parsed = match self.kdl {
            KdlValue::String(text) => parse(text),
            other => Err(unit_missing(&other.to_string(), quantity)),
        };
        report.ok(self.span.clone(), parsed)
    }
}

fn report_unknown_node(node: &KdlNode, known: &[&str], owner: &Spec, report: &mut Report) {
    leave_unread(node, report);
    let name = node.name().value();
    let mut places = Vec::new();
    places_of(name, &super::directive::ROOT, &mut places);
    let error = report.error(name_span(node), format!("unknown key `{name}`{}", inside(owner)));
    if owner.later.contains(&name) {
        error.help("not available in this version");
    } else if let Some(meant) = closest(name, known.iter().copied()) {
        error.help(format!("did you mean `{meant}`?"));
    } else if owner.properties.iter().any(|property| property.name == name) {
        error.help(format!("write `{name}=` on the line of `{}`", owner.name));
    } else if !places.is_empty() {
        error.help(format!("`{name}` goes {}", places.join(" or ")));
    }
}

fn report_unknown_property(entry: &KdlEntry, name: &str, spec: &Spec, report: &mut Report) {
    let span = entry.name().map_or_else(|| entry_span(entry), identifier_span);
    let error = report.error(span, format!("unknown property `{name}`{}", inside(spec)));
    if spec.later.contains(&name) {
        error.help("not available in this version");
    } else if let Some(meant) = closest(name, spec.properties.iter().map(|known| known.name)) {
        error.help(format!("did you mean `{meant}=`?"));
    } else if spec.block().iter().any(|key| key.name == name) {
        error.help(format!("write `{name}` as a line of its own inside `{}`", spec.name));
    }
}

/// Where the key `name` would be right.
fn places_of(name: &str, spec: &Spec, places: &mut Vec<String>) {
    for key in spec.block() {
        if key.name == name {
            places.push(if spec.name.is_empty() {
                "at the top".into()
            } else {
                format!("inside `{}`", spec.name)
            });
        }
        places_of(name, key, places);
    }
}

/// Remembers every string of a node that is not understood.
fn leave_unread(node: &KdlNode, report: &mut Report) {
    node.entries()
        .iter()
        .filter_map(|entry| entry.value().as_string())
        .for_each(|text| report.leave_unread(text));
    let nodes = node.children().map(KdlDocument::nodes).unwrap_or_default();
    nodes.iter().for_each(|node| leave_unread(node, report));
}

fn inside(owner: &Spec) -> String {
    if owner.name.is_empty() { String::new() } else { format!(" in `{}`", owner.name) }
}

fn property_name(entry: &KdlEntry) -> Option<&str> {
    entry.name().map(KdlIdentifier::value)
}

fn name_span(node: &KdlNode) -> Span {
    identifier_span(node.name())
}

fn identifier_span(identifier: &KdlIdentifier) -> Span {
    let span = identifier.span();
    span.offset()..span.offset() + span.len()
}

fn entry_span(entry: &KdlEntry) -> Span {
    let span = entry.span();
    span.offset()..span.offset() + span.len()
}
