//! Comparisons whose outcome is known without a message: `clock.hour == 25`, `size(dkim) < 0`, `client.name == 'MX.Example'`.

use cel::common::ast::{Expr, LiteralValue, operators};
use cel::parser::Expression;

use crate::facts::table::{self, LIST_BOUND};

use super::check::{Checker, path, string_literal};
use super::kind::Kind;

/// The least and the greatest whole number that an expression can give.
type Range = (i64, i64);

/// What a comparison of two ranges comes to, where it always comes to the same.
fn outcome(operator: &str, (a_least, a_most): Range, (b_least, b_most): Range) -> Option<bool> {
    let apart = a_most < b_least || b_most < a_least;
    match operator {
        operators::EQUALS if apart => Some(false),
        operators::NOT_EQUALS if apart => Some(true),
        operators::LESS if a_most < b_least => Some(true),
        operators::LESS if a_least >= b_most => Some(false),
        operators::LESS_EQUALS if a_most <= b_least => Some(true),
        operators::LESS_EQUALS if a_least > b_most => Some(false),
        operators::GREATER => outcome(operators::LESS, (b_least, b_most), (a_least, a_most)),
        operators::GREATER_EQUALS => outcome(operators::LESS_EQUALS, (b_least, b_most), (a_least, a_most)),
        _ => None,
    }
}

/// Whether the texts of a fact, or of a record's field, are names in lower case.
fn is_domain(path: &[&str]) -> bool {
    path.last() == Some(&"domain") || matches!(path, ["client" | "iprev", "name"])
}

/// Arithmetic that fails whatever comes: a whole number divided by zero, and a result beyond 64 bits.
pub(super) fn always_fails(operator: &str, a: &Expression, b: &Expression) -> Option<(&'static str, &'static str)> {
    let divides = matches!(operator, operators::DIVIDE | operators::MODULO);
    if divides && constant(b) == Some(0) {
        return Some(("this divides by zero, so that the rule could never be judged", "divide by another number"));
    }
    let beyond = constant(a).is_some() && constant(b).is_some() && calculated(operator, a, b).is_none();
    beyond
        .then_some(("this is beyond what a number holds, so that the rule could never be judged", "write smaller ones"))
}

/// The whole number that an expression always gives.
fn constant(expression: &Expression) -> Option<i64> {
    match &expression.expr {
        Expr::Literal(LiteralValue::Int(n)) => Some(*n.inner()),
        Expr::Call(call) => match call.args.as_slice() {
            [of] if call.func_name == operators::NEGATE => constant(of)?.checked_neg(),
            [a, b] => calculated(&call.func_name, a, b),
            _ => None,
        },
        _ => None,
    }
}

fn calculated(operator: &str, a: &Expression, b: &Expression) -> Option<i64> {
    let (a, b) = (constant(a)?, constant(b)?);
    match operator {
        operators::ADD => a.checked_add(b),
        operators::SUBSTRACT => a.checked_sub(b),
        operators::MULTIPLY => a.checked_mul(b),
        operators::DIVIDE => a.checked_div(b),
        operators::MODULO => a.checked_rem(b),
        _ => None,
    }
}

impl<'a> Checker<'a> {
    /// Tells of a comparison of numbers that always comes to the same.
    pub(super) fn compare(&mut self, whole: &Expression, operator: &str, a: &'a Expression, b: &'a Expression) {
        let (Some((of_a, a_varies)), Some((of_b, b_varies))) = (self.range(a), self.range(b)) else { return };
        if !a_varies && !b_varies {
            return;
        }
        let Some(holds) = outcome(operator, of_a, of_b) else { return };
        let (varying, (least, most)) = if a_varies { (a, of_a) } else { (b, of_b) };
        let bounds = match most {
            i64::MAX => format!("is never below {least}"),
            most => format!("is from {least} to {most}"),
        };
        let cause = format!("{} {bounds}, so that this {}", self.written(varying), always(holds));
        self.fault(whole, cause, "compare it with a number that it can be on either side of");
    }

    /// Where its numbers lie, and whether it can be several of them.
    fn range(&self, expression: &'a Expression) -> Option<(Range, bool)> {
        match &expression.expr {
            Expr::Literal(LiteralValue::Int(n)) => Some(((*n.inner(), *n.inner()), false)),
            Expr::Call(call) if call.func_name == operators::NEGATE => {
                let [inner] = call.args.as_slice() else { return None };
                let ((least, most), varies) = self.range(inner)?;
                Some(((most.checked_neg()?, least.checked_neg()?), varies))
            }
            Expr::Call(call) if call.func_name == "size" => {
                let of = call.target.as_deref().or(call.args.first())?;
                let most = if self.is_bounded_list(of) { i64::try_from(LIST_BOUND).ok()? } else { i64::MAX };
                Some(((0, most), true))
            }
            _ => {
                let fact = table::find(&path(expression)?.join("."))?;
                Some((fact.range?, true))
            }
        }
    }

    fn is_bounded_list(&self, expression: &Expression) -> bool {
        let fact = path(expression).and_then(|path| table::find(&path.join(".")));
        fact.is_some_and(|fact| Kind::from(fact.ty).is_list())
    }

    /// Tells of a literal that no domain is ever equal to: they are compared as A-labels in lower case.
    pub(super) fn name_literal(&mut self, fact: &'a Expression, literal: &'a Expression) {
        let (Some(path), Some(text)) = (path(fact), string_literal(literal)) else { return };
        if !is_domain(&path) || (text.is_ascii() && !text.contains(|c: char| c.is_ascii_uppercase())) {
            return;
        }
        let folded = super::super::lists::fold_domain(text);
        let mend = folded.map_or("write it in lower case".to_owned(), |folded| format!("write '{folded}'"));
        self.fault(literal, format!("{} is in lower case, as A-labels, so never '{text}'", path.join(".")), mend);
    }
}

fn always(holds: bool) -> &'static str {
    if holds { "is always true" } else { "is never true" }
}
