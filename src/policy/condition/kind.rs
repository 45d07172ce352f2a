//! The types of expressions within a condition.

use crate::facts::table::Type;

/// What an expression gives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    Bool,
    Int,
    Double,
    Text,
    Address,
    Word(&'static [&'static str]),
    Texts,
    Words(&'static [&'static str]),
    Records(&'static [(&'static str, Type)]),
    Record(&'static [(&'static str, Type)]),
    /// Records by name, of which one must be named.
    ByName,
    /// A fault was already found within it: nothing more is said about it.
    Unknown,
}

impl Kind {
    /// What it is called, with its article.
    pub fn describe(self) -> &'static str {
        match self {
            Kind::Bool => "a bool",
            Kind::Int => "an int",
            Kind::Double => "a double",
            Kind::Text => "a string",
            Kind::Address => "an address",
            Kind::Word(_) => "a word",
            Kind::Texts => "a list of strings",
            Kind::Words(_) => "a list of words",
            Kind::Records(_) => "a list of records",
            Kind::Record(_) => "a record",
            Kind::ByName => "a record for each name",
            Kind::Unknown => "unknown",
        }
    }

    /// Whether it is text of some kind (or unknown).
    pub fn is_text(self) -> bool {
        matches!(self, Kind::Text | Kind::Address | Kind::Word(_) | Kind::Unknown)
    }

    /// Whether it is a number of some kind (or unknown).
    pub fn is_number(self) -> bool {
        matches!(self, Kind::Int | Kind::Double | Kind::Unknown)
    }

    /// Whether it is a list of some kind (or unknown).
    pub fn is_list(self) -> bool {
        matches!(self, Kind::Texts | Kind::Words(_) | Kind::Records(_) | Kind::Unknown)
    }

    /// What an entry of the list is.
    pub fn element(self) -> Kind {
        match self {
            Kind::Texts => Kind::Text,
            Kind::Words(words) => Kind::Word(words),
            Kind::Records(fields) => Kind::Record(fields),
            _ => Kind::Unknown,
        }
    }

    /// Whether values of the two can be equal.
    pub fn can_equal(self, other: Kind) -> bool {
        match (self, other) {
            (Kind::Unknown, _) | (_, Kind::Unknown) => true,
            (Kind::Word(a), Kind::Word(b)) => a.iter().any(|word| b.contains(word)),
            (a, b) => {
                a == b && !a.is_list() && !matches!(a, Kind::Record(_) | Kind::ByName)
                    || a.is_text() && b.is_text()
                    || a.is_number() && b.is_number()
            }
        }
    }
}

impl From<Type> for Kind {
    fn from(ty: Type) -> Self {
        match ty {
            Type::Bool => Kind::Bool,
            Type::Int => Kind::Int,
            Type::Double => Kind::Double,
            Type::String => Kind::Text,
            Type::Address => Kind::Address,
            Type::Word(words) => Kind::Word(words),
            Type::StringList => Kind::Texts,
            Type::WordList(words) => Kind::Words(words),
            Type::RecordList(fields) => Kind::Records(fields),
            Type::RecordMap(_) | Type::Counts => Kind::ByName,
        }
    }
}
