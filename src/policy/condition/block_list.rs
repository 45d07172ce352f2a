//! `block_lists['zen.example'].listed`: a fact whose entries have names of the administrator's own.

use cel::common::ast::{Expr, operators};
use cel::parser::Expression;

use crate::facts::table::{self, Type};

use super::check::{Checker, path, string_literal};
use super::kind::Kind;
use super::rate;

/// How an entry is named.
const EXAMPLE: &str = "write block_lists['zen.example'].listed";

impl<'a> Checker<'a> {
    /// `of[key]`: only `block_lists` and `headers` have entries with names.
    pub(super) fn index(&mut self, expression: &'a Expression, of: &'a Expression, key: &'a Expression) -> Kind {
        let fact = path(of).and_then(|path| table::find(&path.join(".")));
        if fact.is_some_and(|fact| fact.ty == Type::Counts) {
            return self.fault(expression, "rates are asked by a function", rate::EXAMPLE);
        }
        let Some((fact, Type::RecordMap(fields))) = fact.map(|fact| (fact, fact.ty)) else {
            let mend = "write dkim.exists(d, d.result == 'pass')";
            return self.fault(expression, "an entry of a list has no fixed place", mend);
        };
        if fact.name == "headers" {
            return self.header(expression, fact, key);
        }
        let Some(zone) = string_literal(key) else {
            return self.fault(key, "the name of a block list is written out", EXAMPLE);
        };
        match self.zones.find(zone) {
            Err((cause, mend)) => self.fault(key, cause, mend),
            Ok(list) if !list.known_at(self.stage) => {
                let cause = format!("{zone} lists domains, of which none is known at stage {}", self.stage);
                self.fault(expression, cause, "name it at stage mail, rcpt or data")
            }
            Ok(list) => {
                self.reads.facts.insert(fact);
                self.reads.facts.insert_lists(list.kind);
                Kind::Record(fields)
            }
        }
    }

    /// A field of an entry; `None` where the expression is something else.
    pub(super) fn entry_field(&mut self, expression: &'a Expression) -> Option<Kind> {
        let Expr::Select(select) = &expression.expr else { return None };
        let Expr::Call(call) = &select.operand.expr else { return None };
        if call.func_name != operators::INDEX || select.test {
            return None;
        }
        Some(match self.kind(&select.operand) {
            Kind::Unknown => Kind::Unknown,
            kind => self.field(expression, kind, &[select.field.as_str()]),
        })
    }

    /// Holds a literal that is sought in an entry's codes to the names that the configuration gives them.
    pub(super) fn code(&mut self, sought: &'a Expression, within: &'a Expression) {
        let Some(code) = string_literal(sought) else { return };
        let Expr::Select(select) = &within.expr else { return };
        let Expr::Call(call) = &select.operand.expr else { return };
        let zone = match call.args.as_slice() {
            [_, key] if call.func_name == operators::INDEX && select.field == "codes" => string_literal(key),
            _ => None,
        };
        let never = zone.and_then(|zone| self.zones.find(zone).ok()).and_then(|list| list.never(code));
        if let Some((cause, mend)) = never {
            self.fault(sought, cause, mend);
        }
    }
}
