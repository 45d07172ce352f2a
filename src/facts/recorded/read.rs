//! Reading a line: the JSON is walked along the paths of the facts that are wanted, and everything else is passed over.

use std::borrow::Cow;
use std::fmt;
use std::net::IpAddr;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error, IgnoredAny, MapAccess, SeqAccess, Visitor};

use super::super::table::{LIST_BOUND, Type, Value};
use super::{Decided, Node, Recorded, Wanted};

/// Reads one line.
///
/// # Errors
/// It is torn, or no record of version 1.
pub(super) fn line<'a>(line: &'a [u8], wanted: &'a Wanted) -> Result<Recorded<'a>, serde_json::Error> {
    let mut from = serde_json::Deserializer::from_slice(line);
    let recorded = Whole { wanted }.deserialize(&mut from)?;
    from.end()?;
    Ok(recorded)
}

type Values<'de> = Vec<Option<Value<'de>>>;

#[derive(Deserialize)]
#[serde(transparent)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

#[derive(Deserialize)]
struct PolicyFile<'a> {
    #[serde(borrow)]
    file: Cow<'a, str>,
}

#[derive(Deserialize)]
struct AtData {
    #[serde(default)]
    count: u64,
}

/// The record.
struct Whole<'a> {
    wanted: &'a Wanted,
}

impl<'de> DeserializeSeed<'de> for Whole<'de> {
    type Value = Recorded<'de>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Whole<'de> {
    type Value = Recorded<'de>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a decision record")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let (mut version, mut stage) = (0_u32, None);
        let (mut reference, mut time, mut policy) = (Cow::default(), Cow::default(), Cow::default());
        let mut decision: Option<Decided<'de>> = None;
        let mut recipients = Vec::new();
        let mut greylist_of_message = false;
        let mut cut: Vec<Text<'de>> = Vec::new();
        let (mut recipients_more, mut recipients_taken) = (0, 0);
        let mut values = Values::new();
        values.resize_with(self.wanted.length, || None);
        while let Some(Text(key)) = map.next_key()? {
            match key.as_ref() {
                "v" => version = map.next_value()?,
                "ref" => Text(reference) = map.next_value()?,
                "time" => Text(time) = map.next_value()?,
                "stage" => stage = Some(map.next_value()?),
                "recipients" => recipients = map.next_value()?,
                "greylist_of_message" => greylist_of_message = map.next_value()?,
                "cut" => cut = map.next_value()?,
                "recipients_more" => recipients_more = map.next_value()?,
                "rcpt" => AtData { count: recipients_taken } = map.next_value()?,
                "policy" => PolicyFile { file: policy } = map.next_value()?,
                "decision" => decision = Some(map.next_value()?),
                name => below(&self.wanted.root, name, &mut map, &mut values)?,
            }
        }
        let (Some(stage), Some(decision)) = (stage, decision) else { return Err(A::Error::custom("no record")) };
        if version != 1 || reference.is_empty() {
            return Err(A::Error::custom("no record of version 1"));
        }
        Ok(Recorded {
            reference,
            time,
            stage,
            greylist_of_message,
            recipients,
            recipients_more,
            recipients_taken,
            policy,
            decision,
            cut: cut.into_iter().map(|Text(fact)| fact).collect(),
            wanted: self.wanted,
            values,
        })
    }
}

/// Takes the value of a key, where facts stand in it.
fn below<'de, A: MapAccess<'de>>(
    level: &[(&'static str, Node)],
    key: &str,
    map: &mut A,
    values: &mut Values<'de>,
) -> Result<(), A::Error> {
    match level.iter().find(|(name, _)| *name == key) {
        Some((_, node)) => map.next_value_seed(Place { node, values }),
        None => map.next_value::<IgnoredAny>().map(|_| ()),
    }
}

/// A place in the record at or below which facts stand.
struct Place<'n, 'v, 'de> {
    node: &'n Node,
    values: &'v mut Values<'de>,
}

impl<'de> DeserializeSeed<'de> for Place<'_, '_, 'de> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<(), D::Error> {
        match self.node {
            Node::Fact(fact, slot) => {
                let value = Want::A(fact.ty).deserialize(from)?;
                if let Some(place) = self.values.get_mut(*slot) {
                    *place = value;
                }
                Ok(())
            }
            Node::Below(_) => from.deserialize_any(self),
        }
    }
}

impl<'de> Visitor<'de> for Place<'_, '_, 'de> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a group of facts")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let Node::Below(level) = self.node else { return Ok(()) };
        while let Some(Text(key)) = map.next_key()? {
            below(level, &key, &mut map, self.values)?;
        }
        Ok(())
    }

    /// `null` says that there is nothing, as of a session without TLS: all facts there are empty.
    fn visit_unit<E: Error>(self) -> Result<(), E> {
        empty(self.node, self.values);
        Ok(())
    }
}

fn empty(node: &Node, values: &mut Values<'_>) {
    match node {
        Node::Fact(fact, slot) => {
            if let Some(place) = values.get_mut(*slot) {
                *place = Some(fact.ty.empty());
            }
        }
        Node::Below(level) => level.iter().for_each(|(_, node)| empty(node, values)),
    }
}

/// What a value has to be; one of another type is not known.
#[derive(Clone, Copy)]
enum Want {
    A(Type),
    Record(&'static [(&'static str, Type)]),
}

impl Want {
    /// Whether it has entries by name.
    fn is_map(self) -> bool {
        matches!(self, Want::A(Type::RecordMap(_) | Type::Counts))
    }

    /// What an entry of the list or the map is.
    fn entry(self) -> Option<Want> {
        match self {
            Want::A(Type::StringList) => Some(Want::A(Type::String)),
            Want::A(Type::WordList(words)) => Some(Want::A(Type::Word(words))),
            Want::A(Type::RecordList(fields) | Type::RecordMap(fields)) => Some(Want::Record(fields)),
            Want::A(Type::Counts) => Some(Want::A(Type::Int)),
            _ => None,
        }
    }

    /// A text: a pseudonym in place of an address is none that rules could look at.
    fn text<'de>(self, text: Cow<'de, str>) -> Option<Value<'de>> {
        let fits = match self {
            Want::A(Type::String | Type::Word(_)) => true,
            Want::A(Type::Address) => text.is_empty() || text.parse::<IpAddr>().is_ok(),
            _ => false,
        };
        fits.then_some(Value::String(text))
    }
}

impl<'de> DeserializeSeed<'de> for Want {
    type Value = Option<Value<'de>>;

    fn deserialize<D: Deserializer<'de>>(self, from: D) -> Result<Self::Value, D::Error> {
        from.deserialize_any(self)
    }
}

impl<'de> Visitor<'de> for Want {
    type Value = Option<Value<'de>>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a fact")
    }

    fn visit_bool<E: Error>(self, b: bool) -> Result<Self::Value, E> {
        Ok(matches!(self, Want::A(Type::Bool)).then_some(Value::Bool(b)))
    }

    fn visit_i64<E: Error>(self, n: i64) -> Result<Self::Value, E> {
        Ok(match self {
            Want::A(Type::Int) => Some(Value::Int(n)),
            // exact up to 2^53, far above any score
            Want::A(Type::Double) => Some(Value::Double(n as f64)),
            _ => None,
        })
    }

    fn visit_u64<E: Error>(self, n: u64) -> Result<Self::Value, E> {
        self.visit_i64(i64::try_from(n).unwrap_or(i64::MAX))
    }

    fn visit_f64<E: Error>(self, n: f64) -> Result<Self::Value, E> {
        Ok(matches!(self, Want::A(Type::Double)).then_some(Value::Double(n)))
    }

    fn visit_borrowed_str<E: Error>(self, text: &'de str) -> Result<Self::Value, E> {
        Ok(self.text(Cow::Borrowed(text)))
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<Self::Value, E> {
        Ok(self.text(Cow::Owned(text.to_owned())))
    }

    fn visit_unit<E: Error>(self) -> Result<Self::Value, E> {
        Ok(None)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let entry = self.entry().filter(|_| !self.is_map());
        let mut items = entry.map(|_| Vec::new());
        while let (Some(entry), Some(kept)) = (entry, &mut items) {
            if kept.len() >= LIST_BOUND {
                break;
            }
            match list.next_element_seed(entry)? {
                Some(Some(value)) => kept.push(value),
                Some(None) => items = None,
                None => return Ok(items.map(Value::List)),
            }
        }
        while list.next_element::<IgnoredAny>()?.is_some() {}
        Ok(items.map(Value::List))
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
        let mut entries = Vec::new();
        while let Some(Text(key)) = map.next_key()? {
            let want = match self {
                Want::Record(fields) => fields.iter().find(|(name, _)| *name == key).map(|(_, ty)| Want::A(*ty)),
                Want::A(_) if self.is_map() => self.entry(),
                Want::A(_) => None,
            };
            let value = match want {
                Some(want) => map.next_value_seed(want)?,
                None => map.next_value::<IgnoredAny>().map(|_| None)?,
            };
            entries.extend(value.map(|value| (key, value)));
        }
        let whole = matches!(self, Want::Record(_)) || self.is_map();
        Ok(whole.then_some(Value::Map(entries)))
    }
}
