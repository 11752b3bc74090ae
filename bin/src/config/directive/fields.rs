//! `request-header`, `response-header`: changes to the fields of a message.

use super::super::diagnose::Report;
use super::super::node::Node;
use super::super::spec::{Directive, Property, Spec};
use super::super::syntax::{parse_field_name, parse_field_value};
use super::route::RouteDraft;
use ringway_engine::settings::FieldEdit;

pub(super) static REQUEST_HEADER: Directive<RouteDraft> = Directive {
    spec: Spec {
        name: "request-header",
        repeats: true,
        help: "Changes one field of the request before it is forwarded: exactly one of set=, add= and remove=. \
               Changes happen in their order.",
        properties: PROPERTIES,
        ..Spec::EMPTY
    },
    apply: |node, draft, report| apply(node, &mut draft.request_fields, report),
};

pub(super) static RESPONSE_HEADER: Directive<RouteDraft> = Directive {
    spec: Spec {
        name: "response-header",
        repeats: true,
        help: "Changes one field of the response before it is sent: exactly one of set=, add= and remove=. \
               Changes happen in their order.",
        properties: PROPERTIES,
        ..Spec::EMPTY
    },
    apply: |node, draft, report| apply(node, &mut draft.response_fields, report),
};

const PROPERTIES: &[Property] = &[
    Property { name: "set", value: "NAME", help: "Replaces every field of this name by one with `value=`." },
    Property { name: "add", value: "NAME", help: "Adds one more field with `value=`." },
    Property { name: "remove", value: "NAME", help: "Removes every field of this name." },
    Property { name: "value", value: "TEXT", help: "The value that `set=` and `add=` give." },
];

fn apply(node: &Node<'_>, edits: &mut Vec<FieldEdit>, report: &mut Report) {
    let given: Vec<_> =
        ["set", "add", "remove"].into_iter().filter_map(|verb| Some((verb, node.property(verb)?))).collect();
    let value = node.property("value");
    let [(verb, name)] = &given[..] else {
        report.error(node.span(), "exactly one of `set=`, `add=` and `remove=` is needed here");
        return;
    };
    let parsed_name = name.parse(report, parse_field_name);
    let parsed_value = value.as_ref().and_then(|value| value.parse(report, parse_field_value));
    if let ("remove", Some(value)) = (*verb, &value) {
        report.error(value.span.clone(), "`remove=` takes no value");
    } else if let ("set" | "add", None) = (*verb, &value) {
        report.error(node.span(), format!("`{verb}=` needs `value=`"));
    }
    let edit = match (*verb, parsed_name, parsed_value) {
        ("set", Some(name), Some(value)) => FieldEdit::Set(name, value),
        ("add", Some(name), Some(value)) => FieldEdit::Add(name, value),
        ("remove", Some(name), None) => FieldEdit::Remove(name),
        _ => return,
    };
    if edits.iter().any(|earlier| makes_useless(&edit, earlier)) {
        report.error(name.span.clone(), format!("`{verb}=` is given twice for this field"));
    }
    edits.push(edit);
}

/// Whether `later` does what `earlier` was there for.
fn makes_useless(later: &FieldEdit, earlier: &FieldEdit) -> bool {
    match (later, earlier) {
        (FieldEdit::Set(later, _), FieldEdit::Set(earlier, _))
        | (FieldEdit::Remove(later), FieldEdit::Remove(earlier)) => later.eq_ignore_ascii_case(earlier),
        _ => false,
    }
}
