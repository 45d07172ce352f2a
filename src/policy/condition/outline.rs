//! What of a condition can be told without facts: whether it implies another. Only what is written alike counts as alike, so that
//! what is said here is always true, and much that is true isn't said.

use std::collections::BTreeSet;
use std::fmt::Write;

use cel::common::ast::{Expr, LiteralValue, operators};
use cel::parser::Expression;

/// Parts that are joined with `&&`, each in a spelling that white space and order do not change.
type All = BTreeSet<String>;

/// The outline of a condition.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Outline {
    /// It holds where all of one of these hold: its `||`.
    any: Vec<All>,
    /// It holds only where all of these hold: its `&&`.
    all: All,
    reads_score: bool,
}

impl Outline {
    /// Of a condition that was checked, as it is written.
    pub fn of(expression: &Expression, reads_score: bool) -> Outline {
        let mut any = Vec::new();
        disjuncts(expression, &mut any);
        let mut all = All::new();
        conjuncts(expression, &mut all);
        Outline { any, all, reads_score }
    }

    /// Whether it holds for every message.
    pub fn is_always(&self) -> bool {
        self.any.iter().any(BTreeSet::is_empty)
    }

    /// Whether it holds for none.
    pub fn is_never(&self) -> bool {
        self.all.contains("false")
    }

    /// Whether this one holds wherever `other` does, both looked at with the same facts. The score is none of them: it grows from
    /// rule to rule.
    pub fn covers(&self, other: &Outline) -> bool {
        self.is_always() || (!self.reads_score && self.any.iter().any(|all| all.is_subset(&other.all)))
    }
}

fn disjuncts(expression: &Expression, any: &mut Vec<All>) {
    match &expression.expr {
        Expr::Call(call) if call.func_name == operators::LOGICAL_OR => {
            call.args.iter().for_each(|part| disjuncts(part, any));
        }
        _ => {
            let mut all = All::new();
            conjuncts(expression, &mut all);
            any.push(all);
        }
    }
}

fn conjuncts(expression: &Expression, all: &mut All) {
    match &expression.expr {
        Expr::Call(call) if call.func_name == operators::LOGICAL_AND => {
            call.args.iter().for_each(|part| conjuncts(part, all));
        }
        Expr::Literal(LiteralValue::Boolean(truth)) if *truth.inner() => {}
        _ => {
            let mut text = String::new();
            spell(expression, &mut text);
            all.insert(text);
        }
    }
}

/// One spelling of an expression. Its depth is bounded where the condition was measured.
fn spell(expression: &Expression, out: &mut String) {
    // Writing into a String cannot fail.
    let _ = match &expression.expr {
        Expr::Ident(name) => write!(out, "{name}"),
        Expr::Literal(LiteralValue::Boolean(truth)) => write!(out, "{}", truth.inner()),
        Expr::Literal(literal) => write!(out, "{literal:?}"),
        Expr::Select(select) => {
            spell(&select.operand, out);
            write!(out, ".{}", select.field)
        }
        Expr::Call(call) => {
            let _ = write!(out, "{}(", call.func_name);
            for part in call.target.as_deref().into_iter().chain(&call.args) {
                spell(part, out);
                out.push(',');
            }
            write!(out, "{})", call.target.is_some())
        }
        Expr::List(list) => {
            out.push('[');
            for element in &list.elements {
                spell(element, out);
                out.push(',');
            }
            write!(out, "]")
        }
        // The check takes none of them: each is unlike everything.
        other => write!(out, "{other:?} {}", expression.id),
    };
}
