//! What operators take and give: comparisons, arithmetic, `in`.

use std::sync::Arc;

use cel::common::ast::{Expr, operators};
use cel::parser::Expression;

use super::super::lists::List;
use super::check::{Checker, path, string_literal};
use super::kind::Kind;
use super::range::always_fails;
use crate::problem::nearest;

impl<'a> Checker<'a> {
    pub(super) fn branches(&mut self, expression: &Expression, a: &'a Expression, b: &'a Expression) -> Kind {
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

    pub(super) fn equality(
        &mut self,
        expression: &Expression,
        operator: &str,
        a: &'a Expression,
        b: &'a Expression,
    ) -> Kind {
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

    pub(super) fn order(
        &mut self,
        expression: &Expression,
        operator: &str,
        a: &'a Expression,
        b: &'a Expression,
    ) -> Kind {
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

    pub(super) fn arithmetic(
        &mut self,
        expression: &Expression,
        operator: &str,
        a: &'a Expression,
        b: &'a Expression,
    ) -> Kind {
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

    pub(super) fn membership(&mut self, expression: &Expression, a: &'a Expression, b: &'a Expression) -> Kind {
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

fn quoted(words: &[&str]) -> String {
    words.iter().map(|word| format!("'{word}'")).collect::<Vec<_>>().join(", ")
}
