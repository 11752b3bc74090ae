//! What a key is: one table entry that the parser obeys and the manual prints.
//!
//! Because both read the same entry, a key cannot be accepted without being documented, nor documented without
//! being accepted. The test at the bottom of `config/mod.rs` adds the third part: that it changes something.

use super::diagnose::Report;
use super::node::Node;

/// A key, as it is written and explained.
pub(crate) struct Spec {
    /// The word that starts the node.
    pub(crate) name: &'static str,
    /// What follows the name.
    pub(crate) arguments: Arguments,
    /// Whether the key may stand more than once in its block.
    pub(crate) repeats: bool,
    /// What it does, and its default; sentences.
    pub(crate) help: &'static str,
    /// What may follow as `name=value`.
    pub(crate) properties: &'static [Property],
    /// Shows every key of its block to the visitor.
    pub(crate) keys: fn(&mut dyn FnMut(&'static Self)),
    /// Keys and properties that belong here and that this version does not have.
    pub(crate) later: &'static [&'static str],
}

/// What follows a key's name.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Arguments {
    /// Nothing.
    None,
    /// Exactly one value, described by a word.
    One(&'static str),
    /// One value or none.
    Optional(&'static str),
    /// At least one value.
    Many(&'static str),
}

/// A `name=value` of a key.
pub(crate) struct Property {
    /// The name.
    pub(crate) name: &'static str,
    /// The kind of value in one word, for people.
    pub(crate) value: &'static str,
    /// What it does, and its default; sentences.
    pub(crate) help: &'static str,
}

/// A key together with what it does to the `P` that is being built.
pub(crate) struct Directive<P: 'static> {
    /// The table entry.
    pub(crate) spec: Spec,
    /// Puts the values of a node into the parent. What is wrong goes into the report; everything the spec says
    /// has been checked before.
    pub(crate) apply: fn(&Node<'_>, &mut P, &mut Report),
}

impl Spec {
    /// A key that takes nothing; the base for the others.
    pub(crate) const EMPTY: Self = Self {
        name: "",
        arguments: Arguments::None,
        repeats: false,
        help: "",
        properties: &[],
        keys: |_| {},
        later: &[],
    };

    /// The most common key: one value, once.
    pub(crate) const fn one(name: &'static str, value: &'static str, help: &'static str) -> Self {
        Self { name, arguments: Arguments::One(value), help, ..Self::EMPTY }
    }

    /// Every key of its block, in the order of the table.
    pub(crate) fn block(&self) -> Vec<&'static Self> {
        let mut keys = Vec::new();
        (self.keys)(&mut |key| keys.push(key));
        keys
    }

    /// How it is written, without the block: `listen ADDRESS [mode=MODE]`.
    pub(crate) fn usage(&self) -> String {
        let arguments = match self.arguments {
            Arguments::None => String::new(),
            Arguments::One(value) => format!(" {value}"),
            Arguments::Optional(value) => format!(" [{value}]"),
            Arguments::Many(value) => format!(" {value}..."),
        };
        let property = |property: &Property| format!(" [{}={}]", property.name, property.value);
        format!("{}{arguments}{}", self.name, self.properties.iter().map(property).collect::<String>())
    }
}

/// Shows the specs of `directives` to `visit`.
pub(crate) fn visit_all<P>(
    directives: &'static [&'static Directive<P>],
    visit: &mut dyn FnMut(&'static Spec),
) {
    for directive in directives {
        visit(&directive.spec);
    }
}
