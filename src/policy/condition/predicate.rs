//! The tests that rules are made of: a fact, an entry of one, or its size, held against what is written out, a list of the policy or
//! another fact.

use std::borrow::Cow;
use std::net::IpAddr;
use std::sync::Arc;

use cel::common::ast::{Expr, LiteralValue, operators};
use cel::parser::Expression;
use ipnet::IpNet;
use regex::Regex;

use crate::facts::table::{self, Fact, Type, Value};

use super::check::{path, string_literal};
use super::literals::{Literals, is_under};
use super::plan::{Ground, Plan, Stop, any_is};
use super::rate;

/// One test.
#[derive(Debug)]
pub(super) struct Predicate {
    of: Operand,
    is: Is,
}

/// What is tested.
#[derive(Debug)]
enum Operand {
    Fact(&'static Fact),
    /// `headers['list-id'].present`
    Named {
        fact: &'static Fact,
        key: String,
        field: &'static str,
        ty: Type,
    },
    /// The entry that `exists` and `all` go over, or a field of it.
    Entry(Option<&'static str>),
    /// `rate('client', '10m')`, by its name in the record.
    Rate(String),
}

/// What it is held against.
#[derive(Debug)]
enum Is {
    True,
    Number(Order, i64),
    /// `score > 5.0`
    Double(Order, f64),
    /// `size(dkim) > 1`
    Sized(Order, i64),
    Text(bool, Text),
    /// `'no-address' in from.defects`
    Holding(String),
    /// `exists` (true) or `all` (false).
    Each(bool, Plan),
}

#[derive(Debug)]
enum Text {
    Equal(String),
    Same(Operand),
    OneOf(Vec<String>),
    InList(String),
    Contains(String),
    StartsWith(String),
    EndsWith(String),
    Matches(Arc<Regex>),
    InNetwork(IpNet),
    Under(String),
    UnderFact(Operand),
}

#[derive(Debug, Clone, Copy)]
enum Order {
    Equal,
    Differs,
    Less,
    LessOrEqual,
    Greater,
    GreaterOrEqual,
}

impl Order {
    fn of(operator: &str) -> Option<Order> {
        Some(match operator {
            operators::EQUALS => Order::Equal,
            operators::NOT_EQUALS => Order::Differs,
            operators::LESS => Order::Less,
            operators::LESS_EQUALS => Order::LessOrEqual,
            operators::GREATER => Order::Greater,
            operators::GREATER_EQUALS => Order::GreaterOrEqual,
            _ => return None,
        })
    }

    /// The same with its sides changed over.
    fn flipped(self) -> Order {
        match self {
            Order::Less => Order::Greater,
            Order::LessOrEqual => Order::GreaterOrEqual,
            Order::Greater => Order::Less,
            Order::GreaterOrEqual => Order::LessOrEqual,
            same => same,
        }
    }

    fn holds<T: PartialOrd>(self, a: T, b: T) -> bool {
        match self {
            Order::Equal => a == b,
            Order::Differs => a != b,
            Order::Less => a < b,
            Order::LessOrEqual => a <= b,
            Order::Greater => a > b,
            Order::GreaterOrEqual => a >= b,
        }
    }
}

/// The entry that a comprehension goes over: its name, and its fields where it is a record.
#[derive(Clone, Copy)]
pub(super) struct Entry<'a> {
    name: &'a str,
    fields: &'static [(&'static str, Type)],
}

/// What reading a condition needs besides it.
#[derive(Clone, Copy)]
struct Reader<'a> {
    entry: Option<Entry<'a>>,
    literals: &'a Literals,
}

impl Predicate {
    /// Of an expression that was checked; `None` where it is none of these tests. `entry` is as in [`Plan::natively`].
    pub fn of(expression: &Expression, entry: Option<Entry<'_>>, literals: &Literals) -> Option<Predicate> {
        Reader { entry, literals }.predicate(expression)
    }

    /// Whether it holds.
    ///
    /// # Errors
    /// See [`Stop`].
    pub fn holds(&self, ground: &Ground<'_>, entry: Option<&Value<'_>>) -> Result<bool, Stop> {
        let value = self.of.value(ground, entry).ok_or(Stop::Unknown)?;
        Ok(match (&self.is, value.as_ref()) {
            (Is::True, Value::Bool(truth)) => *truth,
            (Is::Number(order, than), Value::Int(n)) => order.holds(n, than),
            (Is::Double(order, than), Value::Double(n)) => order.holds(n, than),
            (Is::Sized(order, than), Value::List(items)) => {
                order.holds(i64::try_from(items.len()).unwrap_or(i64::MAX), *than)
            }
            (Is::Text(wanted, test), Value::String(text)) => test.holds(text, ground, entry)? == *wanted,
            (Is::Holding(wanted), Value::List(items)) => items.iter().any(|item| is_text(item, wanted)),
            (Is::Each(by, body), Value::List(items)) => any_is(*by, body, items, ground)?,
            // each test is made for the type of what it tests
            _ => return Err(Stop::Unknown),
        })
    }
}

fn is_text(value: &Value<'_>, wanted: &str) -> bool {
    matches!(value, Value::String(text) if text == wanted)
}

impl Text {
    fn holds(&self, text: &str, ground: &Ground<'_>, entry: Option<&Value<'_>>) -> Result<bool, Stop> {
        let other = |operand: &Operand, holds: &dyn Fn(&str) -> bool| match operand.value(ground, entry).as_deref() {
            Some(Value::String(other)) => Ok(holds(other)),
            _ => Err(Stop::Unknown),
        };
        Ok(match self {
            Text::Equal(wanted) => text == wanted,
            Text::Same(operand) => other(operand, &|other| text == other)?,
            Text::OneOf(wanted) => wanted.iter().any(|wanted| text == wanted),
            Text::InList(name) => ground.lists.get(name).is_some_and(|list| list.contains(text)),
            Text::Contains(part) => text.contains(part.as_str()),
            Text::StartsWith(part) => text.starts_with(part.as_str()),
            Text::EndsWith(part) => text.ends_with(part.as_str()),
            Text::Matches(pattern) => pattern.is_match(text),
            Text::InNetwork(network) => text.parse::<IpAddr>().is_ok_and(|ip| network.contains(&ip.to_canonical())),
            Text::Under(parent) => is_under(text, parent),
            Text::UnderFact(operand) => other(operand, &|parent| is_under(text, parent))?,
        })
    }
}

impl Operand {
    /// Its value; `None` where it is not known.
    fn value<'r>(&'r self, ground: &'r Ground<'_>, entry: Option<&'r Value<'_>>) -> Option<Cow<'r, Value<'r>>> {
        let facts = ground.facts;
        match self {
            Operand::Fact(fact) if fact.name == "score" => Some(Cow::Owned(Value::Double(ground.score))),
            Operand::Fact(fact) => facts.find(fact).map(Cow::Owned),
            Operand::Named { fact, key, field, ty } => {
                let Value::Map(entries) = facts.find(fact)? else { return None };
                let found = entries.into_iter().find(|(name, _)| name == key).map(|(_, record)| record);
                match found {
                    Some(Value::Map(fields)) => {
                        fields.into_iter().find(|(name, _)| name == field).map(|(_, value)| value)
                    }
                    _ => facts.fills(fact).then(|| ty.empty()),
                }
                .map(Cow::Owned)
            }
            Operand::Entry(None) => entry.map(Cow::Borrowed),
            Operand::Entry(Some(field)) => {
                let Some(Value::Map(fields)) = entry else { return None };
                fields.iter().find(|(name, _)| name == field).map(|(_, value)| Cow::Borrowed(value))
            }
            Operand::Rate(name) => rate::count(name, facts).map(|n| Cow::Owned(Value::Int(n))),
        }
    }
}

impl Reader<'_> {
    fn predicate(self, expression: &Expression) -> Option<Predicate> {
        let call = match &expression.expr {
            Expr::Call(call) => call,
            _ => return self.operand(expression).map(|(of, _)| Predicate { of, is: Is::True }),
        };
        let name = call.func_name.as_str();
        match (name, call.target.as_deref(), call.args.as_slice()) {
            (operators::IN, None, [a, b]) => self.within(a, b),
            ("size", ..) => None,
            (_, None, [a, b]) if Order::of(name).is_some() => {
                let order = Order::of(name)?;
                self.comparison(a, order, b).or_else(|| self.comparison(b, order.flipped(), a))
            }
            ("contains" | "startsWith" | "endsWith", Some(text), [part]) => {
                let part = string_literal(part)?.to_owned();
                self.text(
                    text,
                    match name {
                        "contains" => Text::Contains(part),
                        "startsWith" => Text::StartsWith(part),
                        _ => Text::EndsWith(part),
                    },
                )
            }
            ("matches", Some(text), [pattern]) | ("matches", None, [text, pattern]) => {
                self.text(text, Text::Matches(self.literals.pattern(string_literal(pattern)?)?))
            }
            ("ip_in", None, [address, network]) => {
                self.text(address, Text::InNetwork(self.literals.network(string_literal(network)?)?))
            }
            ("domain_under", None, [name, parent]) => match string_literal(parent) {
                Some(parent) => self.text(name, Text::Under(self.literals.domain(parent)?.to_owned())),
                None => self.text(name, Text::UnderFact(self.operand(parent)?.0)),
            },
            ("exists" | "all", Some(list), [variable, body]) if self.entry.is_none() => {
                let Expr::Ident(variable) = &variable.expr else { return None };
                let (of, ty) = self.operand(list)?;
                let fields = if let Type::RecordList(fields) = ty { fields } else { &[] };
                let body = Plan::natively(body, Some(Entry { name: variable, fields }), self.literals)?;
                Some(Predicate { of, is: Is::Each(name == "exists", body) })
            }
            _ => None,
        }
    }

    fn text(self, of: &Expression, test: Text) -> Option<Predicate> {
        Some(Predicate { of: self.operand(of)?.0, is: Is::Text(true, test) })
    }

    /// `a ORDER b`, where `b` is written out or texts are compared.
    fn comparison(self, a: &Expression, order: Order, b: &Expression) -> Option<Predicate> {
        if let Some(list) = size_of(a) {
            let Expr::Literal(LiteralValue::Int(n)) = &b.expr else { return None };
            let (of, ty) = self.operand(list)?;
            let is_list = matches!(ty, Type::StringList | Type::WordList(_) | Type::RecordList(_));
            return is_list.then_some(Predicate { of, is: Is::Sized(order, *n.inner()) });
        }
        let (of, ty) = self.operand(a)?;
        let is = match (ty, &b.expr) {
            (Type::Int, Expr::Literal(LiteralValue::Int(n))) => Is::Number(order, *n.inner()),
            (Type::Double, Expr::Literal(LiteralValue::Double(n))) => Is::Double(order, *n.inner()),
            (Type::String | Type::Address | Type::Word(_), other) => {
                let wanted = match order {
                    Order::Equal => true,
                    Order::Differs => false,
                    _ => return None,
                };
                let test = match other {
                    Expr::Literal(LiteralValue::String(text)) => Text::Equal(text.inner().to_owned()),
                    _ => Text::Same(self.operand(b)?.0),
                };
                Is::Text(wanted, test)
            }
            _ => return None,
        };
        Some(Predicate { of, is })
    }

    /// `a in b`
    fn within(self, a: &Expression, b: &Expression) -> Option<Predicate> {
        if let Expr::List(list) = &b.expr {
            let wanted: Option<Vec<String>> =
                list.elements.iter().map(|element| string_literal(element).map(str::to_owned)).collect();
            return self.text(a, Text::OneOf(wanted?));
        }
        if let Some(["lists", name @ ..]) = path(b).as_deref() {
            return self.text(a, Text::InList(name.join(".")));
        }
        let wanted = string_literal(a)?.to_owned();
        Some(Predicate { of: self.operand(b)?.0, is: Is::Holding(wanted) })
    }

    /// What a name, an entry by its name or a rate stands for, and its type.
    fn operand(self, expression: &Expression) -> Option<(Operand, Type)> {
        if let Expr::Call(call) = &expression.expr {
            let ("rate", None, [key, window]) = (call.func_name.as_str(), &call.target, call.args.as_slice()) else {
                return None;
            };
            let name = rate::name(string_literal(key)?, string_literal(window)?)?;
            return Some((Operand::Rate(name), Type::Int));
        }
        let Some(path) = path(expression) else { return self.named(expression) };
        match (path.as_slice(), self.entry) {
            ([first], Some(entry)) if *first == entry.name => Some((Operand::Entry(None), Type::String)),
            ([first, field], Some(entry)) if *first == entry.name => {
                let (field, ty) = *entry.fields.iter().find(|(name, _)| name == field)?;
                Some((Operand::Entry(Some(field)), ty))
            }
            _ => {
                let fact = table::find(&path.join("."))?;
                Some((Operand::Fact(fact), fact.ty))
            }
        }
    }

    /// `headers['list-id'].present`
    fn named(self, expression: &Expression) -> Option<(Operand, Type)> {
        let Expr::Select(select) = &expression.expr else { return None };
        let Expr::Call(call) = &select.operand.expr else { return None };
        let (operators::INDEX, [of, key]) = (call.func_name.as_str(), call.args.as_slice()) else { return None };
        let fact = table::find(&path(of)?.join("."))?;
        let Type::RecordMap(fields) = fact.ty else { return None };
        let (field, ty) = *fields.iter().find(|(name, _)| *name == select.field)?;
        Some((Operand::Named { fact, key: string_literal(key)?.to_owned(), field, ty }, ty))
    }
}

/// What `size(x)` or `x.size()` is of.
fn size_of(expression: &Expression) -> Option<&Expression> {
    match &expression.expr {
        Expr::Call(call) if call.func_name == "size" => call.target.as_deref().or(call.args.first()),
        _ => None,
    }
}
