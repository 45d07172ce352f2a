//! The type checker: every name is a fact that the stage knows, every word one that the fact gives, every operator and function
//! one of those that can't fail for want of a type.

use std::ops::Range;

use cel::common::ast::{CallExpr, Expr, LiteralValue, SourceInfo, operators};
use cel::parser::Expression;

use crate::facts::table::{self, Type};
use crate::facts::word::Stage;
use crate::problem::nearest;

use super::super::place::Fault;
use super::super::template::{known_when, unknown_at};
use super::super::zones::Zones;
use super::kind::Kind;
use super::rate;
use super::{Known, Lists, Literals, Reads};

/// Checks a condition and says what it reads.
///
/// # Errors
/// Every fault in it.
pub(super) fn check(
    expression: &Expression,
    text: &str,
    info: &SourceInfo,
    stage: Stage,
    known: Known<'_>,
    literals: &mut Literals,
) -> Result<Reads, Vec<Fault>> {
    let Known { lists, zones } = known;
    let (reads, faults) = (Reads::default(), Vec::new());
    let mut checker = Checker { text, info, stage, lists, zones, literals, bound: None, reads, faults };
    let kind = checker.kind(expression);
    if !matches!(kind, Kind::Bool | Kind::Unknown) {
        let cause = format!("the condition gives {}, not a bool", kind.describe());
        checker.fault(expression, cause, "compare it with something");
    }
    if checker.faults.is_empty() { Ok(checker.reads) } else { Err(checker.faults) }
}

/// The walk over one condition.
pub(super) struct Checker<'a> {
    text: &'a str,
    info: &'a SourceInfo,
    pub(super) stage: Stage,
    pub(super) lists: &'a Lists,
    pub(super) zones: &'a Zones,
    pub(super) literals: &'a mut Literals,
    /// The variable of the comprehension that we are in.
    pub(super) bound: Option<(&'a str, Kind)>,
    pub(super) reads: Reads,
    faults: Vec<Fault>,
}

impl<'a> Checker<'a> {
    /// Notes a fault; the expression is of no kind then.
    pub(super) fn fault(&mut self, at: &Expression, cause: impl Into<String>, mend: impl Into<String>) -> Kind {
        let span = self.span(at);
        self.faults.push(Fault::new(span, cause, mend));
        Kind::Unknown
    }

    /// The bytes of the condition that an expression takes.
    fn span(&self, expression: &Expression) -> Range<usize> {
        let own = self.own_span(expression);
        let parts: Vec<&Expression> = match &expression.expr {
            Expr::Call(call) => call.target.as_deref().into_iter().chain(&call.args).collect(),
            Expr::Select(select) => vec![&select.operand],
            Expr::List(list) => list.elements.iter().collect(),
            _ => Vec::new(),
        };
        parts.into_iter().map(|part| self.span(part)).fold(own, |a, b| a.start.min(b.start)..a.end.max(b.end))
    }

    /// An expression as it is written, for a sentence about it.
    pub(super) fn written(&self, expression: &Expression) -> String {
        let mut text: String = self.text.get(self.span(expression)).unwrap_or("this").chars().take(80).collect();
        if text.matches('(').count() > text.matches(')').count() {
            // a call's span ends with its last argument
            text.push(')');
        }
        text
    }

    fn own_span(&self, expression: &Expression) -> Range<usize> {
        let Some((start, stop)) = self.info.offset_for(expression.id) else {
            return 0..self.text.len();
        };
        let (start, end) = (start as usize, stop as usize + 1);
        let select = match &expression.expr {
            Expr::Select(select) => select,
            // A call's place is its parenthesis; the function's name stands before it, an operator's name nowhere.
            Expr::Call(call) => {
                let before = self.text.get(..start).unwrap_or_default().trim_end();
                return before.strip_suffix(call.func_name.as_str()).map_or(start, str::len)..end;
            }
            _ => return start..end,
        };
        // A selection's place is its dot; the field follows, after white space at most.
        let after = self.text.get(end..).unwrap_or_default();
        let space = after.len() - after.trim_start().len();
        start..(end + space + select.field.len()).min(self.text.len())
    }

    /// Checks an expression and says what it gives.
    pub(super) fn kind(&mut self, expression: &'a Expression) -> Kind {
        match &expression.expr {
            Expr::Literal(literal) => self.literal(expression, literal),
            Expr::Ident(_) | Expr::Select(_) => self.name(expression),
            Expr::Call(call) => self.call(expression, call),
            Expr::List(_) => self.fault(expression, "a list can only stand behind in", "write x in ['a', 'b']"),
            _ => self.fault(expression, "conditions have no maps or messages", "compare single facts"),
        }
    }

    fn literal(&mut self, expression: &Expression, literal: &LiteralValue) -> Kind {
        match literal {
            LiteralValue::Boolean(_) => Kind::Bool,
            LiteralValue::Int(_) => Kind::Int,
            LiteralValue::Double(_) => Kind::Double,
            LiteralValue::String(_) => Kind::Text,
            LiteralValue::Null => self.fault(
                expression,
                "no fact is ever null",
                "where there is nothing a fact is '', 0, false, [] or 'none'",
            ),
            LiteralValue::UInt(_) => self.fault(expression, "facts are never unsigned numbers", "leave the u out"),
            LiteralValue::Bytes(_) => self.fault(expression, "facts are never bytes", "leave the b out"),
        }
    }

    /// A fact, a field of the bound variable, or a list.
    fn name(&mut self, expression: &'a Expression) -> Kind {
        if let Some(kind) = self.entry_field(expression) {
            return kind;
        }
        let Some(path) = path(expression) else {
            if let Expr::Select(select) = &expression.expr {
                // What the operand has to say comes first.
                let before = self.faults.len();
                self.kind(&select.operand);
                if self.faults.len() > before {
                    return Kind::Unknown;
                }
            }
            return self.fault(expression, "only facts have fields", "name a fact, as in from.domain");
        };
        let root = path.first().copied().unwrap_or_default();
        if let Some((variable, kind)) = self.bound
            && root == variable
        {
            return self.field(expression, kind, path.get(1..).unwrap_or_default());
        }
        if root == "lists" {
            return self.fault(expression, "a list can only stand behind in", "write client.name in lists.NAME");
        }
        let name = path.join(".");
        let Some(fact) = table::find(&name) else {
            return self.unknown_fact(expression, &name);
        };
        if fact.ty == Type::Counts {
            return self.fault(expression, format!("{name} are asked by a function"), rate::EXAMPLE);
        }
        if !fact.known_at(self.stage) {
            return self.fault(expression, unknown_at(fact, self.stage), known_when(fact));
        }
        self.reads.facts.insert(fact);
        fact.ty.into()
    }

    fn unknown_fact(&mut self, expression: &Expression, name: &str) -> Kind {
        let below: Vec<&str> =
            table::names().filter(|known| known.strip_prefix(name).is_some_and(|rest| rest.starts_with('.'))).collect();
        if !below.is_empty() {
            return self.fault(
                expression,
                format!("{name} is not a fact by itself"),
                format!("name one of {}", below.join(", ")),
            );
        }
        let above =
            table::TABLE.iter().find(|fact| name.strip_prefix(fact.name).is_some_and(|rest| rest.starts_with('.')));
        if let Some(fact) = above {
            let kind = Kind::from(fact.ty);
            let mend = match kind {
                Kind::Records(_) => {
                    let field = name.get(fact.name.len() + 1..).unwrap_or_default();
                    format!("write {}.exists(x, x.{field} == ...)", fact.name)
                }
                Kind::ByName if fact.name == "headers" => {
                    let field = name.get(fact.name.len() + 1..).unwrap_or_default();
                    let field = field.split('.').next().unwrap_or_default().to_ascii_lowercase();
                    format!("write headers['{field}'].present")
                }
                Kind::ByName => format!("write {}['zen.example'].listed", fact.name),
                _ => format!("write {}", fact.name),
            };
            return self.fault(expression, format!("{} is {}, which has no fields", fact.name, kind.describe()), mend);
        }
        let mend = match nearest(name, table::names()) {
            Some(known) => format!("did you mean {known}?"),
            None => "`gatepost facts` lists them all".to_owned(),
        };
        self.fault(expression, format!("there is no fact {name}"), mend)
    }

    pub(super) fn field(&mut self, expression: &Expression, kind: Kind, fields: &[&str]) -> Kind {
        match (kind, fields) {
            (kind, []) => kind,
            (Kind::Record(known), [field]) => match known.iter().find(|(name, _)| name == field) {
                Some((_, ty)) => (*ty).into(),
                None => {
                    let names: Vec<&str> = known.iter().map(|(name, _)| *name).collect();
                    let mend = match nearest(field, names.iter().copied()) {
                        Some(known) => format!("did you mean {known}?"),
                        None => format!("it has {}", names.join(", ")),
                    };
                    self.fault(expression, format!("the record has no field {field}"), mend)
                }
            },
            (_, [.., field]) => {
                let cause = format!("there is no field {field} here: only the records of a list have fields");
                self.fault(expression, cause, "leave the dot and what follows out")
            }
        }
    }

    fn call(&mut self, expression: &'a Expression, call: &'a CallExpr) -> Kind {
        match (call.func_name.as_str(), call.target.as_deref(), call.args.as_slice()) {
            (operators::LOGICAL_AND | operators::LOGICAL_OR, None, [a, b]) => {
                self.want_bool(a);
                self.want_bool(b);
                Kind::Bool
            }
            (operators::LOGICAL_NOT, None, [a]) => {
                self.want_bool(a);
                Kind::Bool
            }
            (operators::CONDITIONAL, None, [condition, a, b]) => {
                self.want_bool(condition);
                self.branches(expression, a, b)
            }
            (operators::EQUALS | operators::NOT_EQUALS, None, [a, b]) => {
                self.equality(expression, &call.func_name, a, b)
            }
            (
                operators::LESS | operators::LESS_EQUALS | operators::GREATER | operators::GREATER_EQUALS,
                None,
                [a, b],
            ) => self.order(expression, &call.func_name, a, b),
            (
                operators::ADD | operators::SUBSTRACT | operators::MULTIPLY | operators::DIVIDE | operators::MODULO,
                None,
                [a, b],
            ) => self.arithmetic(expression, &call.func_name, a, b),
            (operators::NEGATE, None, [a]) => {
                let kind = self.kind(a);
                if kind.is_number() {
                    kind
                } else {
                    self.fault(expression, format!("{} has no minus", kind.describe()), "leave the minus out")
                }
            }
            (operators::IN, None, [a, b]) => self.membership(expression, a, b),
            (operators::INDEX, None, [of, key]) => self.index(expression, of, key),
            (name, target, args) => self.function(expression, name, target, args),
        }
    }

    /// Checks an expression that must give a bool.
    pub(super) fn want_bool(&mut self, expression: &'a Expression) {
        let kind = self.kind(expression);
        if !matches!(kind, Kind::Bool | Kind::Unknown) {
            self.fault(expression, format!("this is {}, not a bool", kind.describe()), "compare it with something");
        }
    }
}

/// The segments of a name such as `spf.helo.result`; `None` for anything else.
pub(super) fn path(expression: &Expression) -> Option<Vec<&str>> {
    let mut segments = Vec::new();
    let mut expression = expression;
    loop {
        match &expression.expr {
            Expr::Ident(name) => {
                segments.push(name.as_str());
                segments.reverse();
                return Some(segments);
            }
            Expr::Select(select) if !select.test => {
                segments.push(select.field.as_str());
                expression = &select.operand;
            }
            _ => return None,
        }
    }
}

/// The text of a literal.
pub(super) fn string_literal(expression: &Expression) -> Option<&str> {
    match &expression.expr {
        Expr::Literal(LiteralValue::String(text)) => Some(text.inner()),
        _ => None,
    }
}
