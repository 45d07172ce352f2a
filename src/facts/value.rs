//! The types and values of facts.

use std::borrow::Cow;

/// The type of a fact.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// `true` or `false`.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Double,
    /// Any text.
    String,
    /// An IP address as text; the only facts that can be in a list of networks.
    Address,
    /// One of these words.
    Word(&'static [&'static str]),
    /// A list of texts.
    StringList,
    /// A list of some of these words.
    WordList(&'static [&'static str]),
    /// A list of records with these fields.
    RecordList(&'static [(&'static str, Type)]),
    /// A record with these fields for each of some names that the administrator chose; one that is not there is empty.
    RecordMap(&'static [(&'static str, Type)]),
    /// Whole numbers by name; one that is not there is 0.
    Counts,
}

impl Type {
    /// What it is called in tables and problems.
    pub fn name(self) -> &'static str {
        match self {
            Type::Bool => "bool",
            Type::Int => "int",
            Type::Double => "double",
            Type::String => "string",
            Type::Address => "address",
            Type::Word(_) => "word",
            Type::StringList => "list of strings",
            Type::WordList(_) => "list of words",
            Type::RecordList(_) => "list of records",
            Type::RecordMap(_) => "records by name",
            Type::Counts => "whole numbers by name",
        }
    }

    /// Its closed set of words; empty where it has none.
    pub fn words(self) -> &'static [&'static str] {
        match self {
            Type::Word(words) | Type::WordList(words) => words,
            _ => &[],
        }
    }

    /// The value where there is nothing: `false`, `0`, `''`, the first word (`''` or `none`), `[]`.
    pub fn empty(self) -> Value<'static> {
        match self {
            Type::Bool => Value::Bool(false),
            Type::Int => Value::Int(0),
            Type::Double => Value::Double(0.0),
            Type::String | Type::Address => Value::text(""),
            Type::Word(words) => Value::text(words.first().copied().unwrap_or_default()),
            Type::StringList | Type::WordList(_) | Type::RecordList(_) => Value::List(Vec::new()),
            Type::RecordMap(_) | Type::Counts => Value::Map(Vec::new()),
        }
    }

    /// Takes a given value for this type: whole numbers become doubles where a double is wanted, and what a record leaves out is
    /// empty.
    ///
    /// # Errors
    /// Says what does not fit.
    pub fn take(self, value: Value<'static>) -> Result<Value<'static>, Mistake> {
        match (self, value) {
            (Type::Bool, v @ Value::Bool(_))
            | (Type::Int, v @ Value::Int(_))
            | (Type::Double, v @ Value::Double(_))
            | (Type::String, v @ Value::String(_)) => Ok(v),
            // Exact up to 2^53, far above any score.
            (Type::Double, Value::Int(n)) => Ok(Value::Double(n as f64)),
            (Type::Address, Value::String(text)) => {
                let fits = text.is_empty() || text.parse::<std::net::IpAddr>().is_ok();
                if fits { Ok(Value::String(text)) } else { Err(Mistake::NotAnAddress { got: text.into_owned() }) }
            }
            (Type::Word(words), Value::String(text)) => {
                let fits = words.contains(&text.as_ref());
                if fits { Ok(Value::String(text)) } else { Err(Mistake::NotAWord { got: text.into_owned(), words }) }
            }
            (Type::StringList, Value::List(items)) => take_each(Type::String, items),
            (Type::WordList(words), Value::List(items)) => take_each(Type::Word(words), items),
            (Type::RecordList(fields), Value::List(items)) => {
                let records: Result<_, _> = items.into_iter().map(|item| take_record(fields, item)).collect();
                Ok(Value::List(records?))
            }
            (Type::RecordMap(fields), Value::Map(entries)) => {
                let records: Result<_, _> =
                    entries.into_iter().map(|(name, item)| Ok((name, take_record(fields, item)?))).collect();
                Ok(Value::Map(records?))
            }
            (Type::Counts, Value::Map(entries)) => {
                let counts: Result<_, _> =
                    entries.into_iter().map(|(name, n)| Ok((name, Type::Int.take(n)?))).collect();
                Ok(Value::Map(counts?))
            }
            (wanted, value) => Err(Mistake::WrongType { wanted: wanted.name(), got: value.type_name() }),
        }
    }
}

fn take_each(ty: Type, items: Vec<Value<'static>>) -> Result<Value<'static>, Mistake> {
    let items: Result<_, _> = items.into_iter().map(|item| ty.take(item)).collect();
    Ok(Value::List(items?))
}

/// The record in which everything is empty.
pub fn empty_record(fields: &'static [(&'static str, Type)]) -> Value<'static> {
    Value::Map(fields.iter().map(|(name, ty)| (Cow::Borrowed(*name), ty.empty())).collect())
}

fn take_record(fields: &'static [(&'static str, Type)], item: Value<'static>) -> Result<Value<'static>, Mistake> {
    let Value::Map(given) = item else {
        return Err(Mistake::WrongType { wanted: "record", got: item.type_name() });
    };
    let mut record: Vec<(Cow<'static, str>, Value<'static>)> =
        fields.iter().map(|(name, ty)| (Cow::Borrowed(*name), ty.empty())).collect();
    for (name, value) in given {
        let place = record.iter_mut().zip(fields).find(|((known, _), _)| *known == name);
        let Some(((_, slot), (_, ty))) = place else {
            return Err(Mistake::UnknownField {
                got: name.into_owned(),
                fields: fields.iter().map(|(name, _)| *name).collect(),
            });
        };
        *slot = ty.take(value)?;
    }
    Ok(Value::Map(record))
}

/// The value of a fact. Text borrows from the facts where it can, so that reading one builds nothing.
#[derive(Debug, Clone, PartialEq)]
pub enum Value<'a> {
    /// Of [`Type::Bool`].
    Bool(bool),
    /// Of [`Type::Int`].
    Int(i64),
    /// Of [`Type::Double`].
    Double(f64),
    /// Of [`Type::String`], [`Type::Address`] and [`Type::Word`].
    String(Cow<'a, str>),
    /// Of the list types.
    List(Vec<Value<'a>>),
    /// An entry of a [`Type::RecordList`], its fields in the order of declaration; or a [`Type::RecordMap`]'s records by name.
    Map(Vec<(Cow<'a, str>, Value<'a>)>),
}

impl<'a> Value<'a> {
    /// A text without copying it.
    pub fn text(text: &'a str) -> Value<'a> {
        Value::String(Cow::Borrowed(text))
    }

    /// What kind of value it is, in words.
    pub fn type_name(&self) -> &'static str {
        match self {
            Value::Bool(_) => "bool",
            Value::Int(_) => "int",
            Value::Double(_) => "double",
            Value::String(_) => "string",
            Value::List(_) => "list",
            Value::Map(_) => "record",
        }
    }
}

impl std::fmt::Display for Value<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Value::Bool(b) => write!(f, "{b}"),
            Value::Int(n) => write!(f, "{n}"),
            Value::Double(n) => write!(f, "{n}"),
            Value::String(text) => f.write_str(text),
            Value::List(items) => {
                for (i, item) in items.iter().enumerate() {
                    if i > 0 {
                        f.write_str(", ")?;
                    }
                    write!(f, "{item}")?;
                }
                Ok(())
            }
            Value::Map(fields) => {
                for (i, (name, value)) in fields.iter().enumerate() {
                    if i > 0 {
                        f.write_str(" ")?;
                    }
                    write!(f, "{name}={value}")?;
                }
                Ok(())
            }
        }
    }
}

/// What is wrong with a value that was given for a fact.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Mistake {
    /// No fact has this name.
    #[error("there is no fact \"{0}\"")]
    UnknownFact(String),
    /// It has another type.
    #[error("it is of type {wanted}, not {got}")]
    WrongType {
        /// The fact's type.
        wanted: &'static str,
        /// The given value's.
        got: &'static str,
    },
    /// It is a word that the fact never gives.
    #[error("it is never \"{got}\"")]
    NotAWord {
        /// The given word.
        got: String,
        /// The fact's words.
        words: &'static [&'static str],
    },
    /// It isn't an IP address.
    #[error("\"{got}\" is not an IP address")]
    NotAnAddress {
        /// The given text.
        got: String,
    },
    /// The records of this list have no such field.
    #[error("its records have no field \"{got}\"")]
    UnknownField {
        /// The given field.
        got: String,
        /// The fields there are.
        fields: Vec<&'static str>,
    },
}
