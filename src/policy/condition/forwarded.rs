//! `forwarded_by(lists.NAME)`: the message comes by way of a known forwarder. It is short for a condition over facts, and becomes
//! that condition before it is run, so that it reads, costs and replays as any other.

use cel::Env;
use cel::common::ast::Expr;
use cel::parser::Expression;

use crate::facts::table::{self, FactSet};
use crate::facts::word::Stage;

use super::check::{Checker, path};
use super::kind::Kind;

/// Its name.
pub(super) const NAME: &str = "forwarded_by";
/// How it is written.
const EXAMPLE: &str = "write forwarded_by(lists.forwarders)";

/// What it means: the client's confirmed name or its address is in the list, or, once they are known, the domain of a signature
/// that passes. A name that the client only claims (HELO, an unconfirmed PTR) counts for nothing.
fn meaning(list: &str, at: Stage) -> String {
    let client = format!("client.name in lists.{list} || client.ip in lists.{list}");
    match at {
        Stage::Data => format!("({client} || dkim.exists(d, d.result == 'pass' && d.domain in lists.{list}))"),
        _ => format!("({client})"),
    }
}

/// The facts that it reads.
fn reads(at: Stage) -> FactSet {
    let mut reads = FactSet::default();
    let dkim = (at == Stage::Data).then_some("dkim");
    ["client.name", "client.ip"].into_iter().chain(dkim).filter_map(table::find).for_each(|fact| reads.insert(fact));
    reads
}

/// The list that a call names.
fn list(args: &[Expression]) -> Option<String> {
    let [argument] = args else { return None };
    let path = path(argument)?;
    path.strip_prefix(&["lists"]).filter(|rest| !rest.is_empty()).map(|rest| rest.join("."))
}

impl<'a> Checker<'a> {
    /// A call of it.
    pub(super) fn forwarded_by(&mut self, expression: &'a Expression, args: &'a [Expression]) -> Kind {
        let (Some(name), [argument]) = (list(args), args) else {
            return self.fault(expression, "forwarded_by takes a list of this policy", EXAMPLE);
        };
        if self.bound.is_some() {
            return self.fault(expression, "forwarded_by stands within exists or all", "write it beside them, with &&");
        }
        if self.named_list(argument, &name).is_some() {
            self.reads.facts.extend(reads(self.stage));
        }
        Kind::Bool
    }
}

/// Puts what it means in place of each call, as this environment parses it. To be run on what was checked.
pub(super) fn expand(expression: &mut Expression, by: &Env, at: Stage) {
    match &mut expression.expr {
        Expr::Call(call) if call.func_name == NAME && call.target.is_none() => {
            let meant = list(&call.args).map(|list| meaning(&list, at));
            if let Some(meant) = meant.and_then(|text| by.parser().parse(&text).ok()) {
                *expression = meant;
            }
        }
        Expr::Call(call) => {
            call.target.iter_mut().for_each(|target| expand(target, by, at));
            call.args.iter_mut().for_each(|argument| expand(argument, by, at));
        }
        // It stands within no comprehension, list or selection: the check sees to that.
        _ => {}
    }
}
