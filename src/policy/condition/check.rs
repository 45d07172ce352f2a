//! The type checker: every name is a fact that the stage knows, every word one that the fact gives, every operator and function
//! one of those that can't fail for want of a type.

use std::ops::Range;
use std::sync::Arc;

use cel::common::ast::{CallExpr, Expr, LiteralValue, SourceInfo, operators};
use cel::parser::Expression;

use crate::facts::table::{self, Type};
use crate::facts::word::Stage;
use crate::problem::nearest;

use super::super::lists::List;
use super::super::place::Fault;
use super::super::template::{known_when, unknown_at};
use super::super::zones::Zones;
use super::kind::Kind;
use super::range::always_fails;
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
    lists: &'a Lists,
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

    fn branches(&mut self, expression: &Expression, a: &'a Expression, b: &'a Expression) -> Kind {
        let (ka, kb) = (self.kind(a), self.kind(b));
        match (ka, kb) {
            (Kind::Unknown, other) | (other, Kind::Unknown) => other,
            (a, b) if a == b => a,
            (a, b) if a.is_text() && b.is_text() => Kind::Text,
            (a, b) => {
                let cause = format!("one branch gives {}, the other {}", a.describe(), b.describe());
                self.fault(expression, cause, "let both give the same")
            }
        }
    }

    fn equality(&mut self, expression: &Expression, operator: &str, a: &'a Expression, b: &'a Expression) -> Kind {
        for (list, other) in [(a, b), (b, a)] {
            if matches!(&other.expr, Expr::List(_)) {
                let kind = self.kind(list);
                let name = self.written(list);
                if kind.is_list() && kind != Kind::Unknown {
                    self.fault(
                        expression,
                        "lists are not compared",
                        format!("write size({name}) == 0, or 'x' in {name}"),
                    );
                } else if kind != Kind::Unknown {
                    self.fault(expression, "lists are not compared", format!("write {name} in [...]"));
                }
                return Kind::Bool;
            }
        }
        let (ka, kb) = (self.kind(a), self.kind(b));
        if !ka.can_equal(kb) {
            let cause = match (ka, kb) {
                (Kind::Word(_), Kind::Word(_)) => "these two facts have no word in common".to_owned(),
                _ => format!("{} is never equal to {}", ka.describe(), kb.describe()),
            };
            let mend = if ka.is_list() || kb.is_list() {
                "write 'x' in LIST, or LIST.exists(x, ...)"
            } else {
                "compare like with like"
            };
            self.fault(expression, cause, mend);
        }
        self.word(ka, b);
        self.word(kb, a);
        self.name_literal(a, b);
        self.name_literal(b, a);
        self.compare(expression, operator, a, b);
        Kind::Bool
    }

    /// Holds a literal that is compared with a word to the words there are.
    fn word(&mut self, kind: Kind, literal: &Expression) {
        let (Kind::Word(words), Some(got)) = (kind, string_literal(literal)) else {
            return;
        };
        if words.contains(&got) {
            return;
        }
        let mend = match nearest(got, words.iter().copied()) {
            Some(word) => format!("did you mean '{word}'?"),
            None => format!("it is one of {}", quoted(words)),
        };
        self.fault(literal, format!("this fact is never '{got}'"), mend);
    }

    fn order(&mut self, expression: &Expression, operator: &str, a: &'a Expression, b: &'a Expression) -> Kind {
        let (ka, kb) = (self.kind(a), self.kind(b));
        let text = |kind| matches!(kind, Kind::Text | Kind::Unknown);
        if !(ka.is_number() && kb.is_number() || text(ka) && text(kb)) {
            let cause = format!("{} and {} have no order", ka.describe(), kb.describe());
            let mend = match (ka, kb) {
                (Kind::Address, _) | (_, Kind::Address) => "put networks into a list: client.ip in lists.NAME",
                _ => "compare numbers, or use == and !=",
            };
            self.fault(expression, cause, mend);
        }
        self.compare(expression, operator, a, b);
        Kind::Bool
    }

    fn arithmetic(&mut self, expression: &Expression, operator: &str, a: &'a Expression, b: &'a Expression) -> Kind {
        let (ka, kb) = (self.kind(a), self.kind(b));
        if let Some((cause, mend)) = always_fails(operator, a, b) {
            return self.fault(expression, cause, mend);
        }
        match (ka, kb) {
            (Kind::Unknown, _) | (_, Kind::Unknown) => Kind::Unknown,
            (Kind::Int, Kind::Int) => Kind::Int,
            (Kind::Double, Kind::Double) if operator != operators::MODULO => Kind::Double,
            (Kind::Int, Kind::Double) | (Kind::Double, Kind::Int) if operator != operators::MODULO => self.fault(
                expression,
                "an int and a double do not add up",
                "write whole numbers beside a double as 1.0",
            ),
            (a, b) if operator == operators::ADD && a.is_text() && b.is_text() => Kind::Text,
            (a, b) => {
                let cause = format!("there is no such arithmetic of {} and {}", a.describe(), b.describe());
                self.fault(expression, cause, "use numbers")
            }
        }
    }

    fn membership(&mut self, expression: &Expression, a: &'a Expression, b: &'a Expression) -> Kind {
        let ka = self.kind(a);
        if let Expr::List(list) = &b.expr {
            if list.elements.is_empty() {
                self.fault(b, "nothing is ever in an empty list", "write what it may be, as in ['a', 'b']");
            }
            for element in &list.elements {
                let kind = if matches!(element.expr, Expr::Literal(_)) {
                    self.kind(element)
                } else {
                    self.fault(element, "a list holds only what is written out", "put 'text' or a number here")
                };
                if !ka.can_equal(kind) {
                    let cause = format!("{} is never equal to {}", ka.describe(), kind.describe());
                    self.fault(element, cause, "compare like with like");
                }
                self.word(ka, element);
                self.name_literal(a, element);
            }
            return Kind::Bool;
        }
        if let Some(name) = path(b).filter(|path| path.first() == Some(&"lists")) {
            self.in_named_list(expression, ka, a, b, name.get(1..).unwrap_or_default());
            return Kind::Bool;
        }
        let kb = self.kind(b);
        match kb {
            Kind::Texts | Kind::Words(_) if ka.is_text() => {
                self.word(kb.element(), a);
                self.code(a, b);
            }
            Kind::Unknown => {}
            _ => {
                let cause = format!("{} is never in {}", ka.describe(), kb.describe());
                self.fault(expression, cause, "behind in stands ['a', 'b'], lists.NAME or a fact that is a list");
            }
        }
        Kind::Bool
    }

    /// The list of this name, where the policy has it.
    pub(super) fn named_list(&mut self, at: &Expression, name: &str) -> Option<Arc<List>> {
        if let Some(list) = self.lists.get(name) {
            return Some(Arc::clone(list));
        }
        let mend = match nearest(name, self.lists.keys().map(String::as_str)) {
            Some(known) => format!("did you mean lists.{known}?"),
            None => format!("declare it: [lists] {name} = [...]"),
        };
        self.fault(at, format!("there is no list \"{name}\""), mend);
        None
    }

    fn in_named_list(&mut self, whole: &Expression, ka: Kind, a: &Expression, b: &Expression, name: &[&str]) {
        let name = name.join(".");
        let Some(list) = self.named_list(b, &name) else { return };
        if !matches!(ka, Kind::Text | Kind::Address | Kind::Unknown) {
            self.fault(a, format!("{} is never in a list of names", ka.describe()), "look up a name or an address");
        } else if list.is_from_file || list.is_empty() {
            // nothing can be told from what it holds today
        } else if ka == Kind::Address && !list.has_networks() {
            self.fault(whole, format!("the list \"{name}\" holds no networks"), "look up a name in it, as client.name");
        } else if ka == Kind::Text && !list.has_names() {
            self.fault(whole, format!("the list \"{name}\" holds only networks"), "look up client.ip in it");
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

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ")
}
