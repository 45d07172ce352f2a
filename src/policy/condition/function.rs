//! The functions that a condition can call, and what each wants.

use cel::common::ast::Expr;
use cel::parser::Expression;

use crate::facts::table;
use crate::problem::nearest;

use super::check::{Checker, path, string_literal};
use super::forwarded;
use super::kind::Kind;
use super::rate;

/// The functions that a condition can call.
const FUNCTIONS: &[&str] = &[
    "size",
    "contains",
    "startsWith",
    "endsWith",
    "matches",
    "exists",
    "all",
    "exists_one",
    "filter",
    "ip_in",
    "domain_under",
    forwarded::NAME,
    "rate",
];

impl<'a> Checker<'a> {
    /// A call of a function, `f(x)` or `x.f(y)`.
    pub(super) fn function(
        &mut self,
        expression: &'a Expression,
        name: &str,
        target: Option<&'a Expression>,
        args: &'a [Expression],
    ) -> Kind {
        match (name, target, args) {
            ("size", Some(of), []) | ("size", None, [of]) => {
                let kind = self.kind(of);
                if !(kind.is_list() || kind.is_text()) {
                    self.fault(of, format!("{} has no size", kind.describe()), "size is of strings and lists");
                }
                Kind::Int
            }
            ("contains" | "startsWith" | "endsWith", Some(target), [part]) => {
                let kind = self.kind(target);
                if kind.is_list() && kind != Kind::Unknown {
                    self.fault(
                        expression,
                        format!("{name} looks into a string, not {}", kind.describe()),
                        "write 'x' in LIST",
                    );
                } else {
                    self.want_text(target, kind);
                }
                let kind = self.kind(part);
                self.want_text(part, kind);
                Kind::Bool
            }
            ("matches", Some(text), [pattern]) | ("matches", None, [text, pattern]) => {
                let kind = self.kind(text);
                self.want_text(text, kind);
                self.pattern(pattern);
                Kind::Bool
            }
            ("ip_in", None, [address, network]) => {
                self.ip_in(address, network);
                Kind::Bool
            }
            ("domain_under", None, [name, parent]) => {
                self.domain_under(name, parent);
                Kind::Bool
            }
            (forwarded::NAME, None, args) => self.forwarded_by(expression, args),
            ("exists" | "all" | "exists_one" | "filter", Some(list), [variable, body]) => {
                self.comprehension(expression, name, list, variable, body)
            }
            ("rate", None, [key, window]) => self.rate(expression, key, window),
            ("has", None, _) => self.fault(
                expression,
                "every fact always has a value",
                "compare it with '', 0, false or 'none' instead",
            ),
            ("map", _, _) => self.fault(expression, "map is of no use in a condition", "use exists, all or filter"),
            (name, _, _) if FUNCTIONS.contains(&name) => {
                let mend = match name {
                    "size" => "write size(x)",
                    "matches" => "write x.matches('pattern')",
                    "ip_in" => "write ip_in(client.ip, '192.0.2.0/24')",
                    "domain_under" => "write domain_under(client.name, 'example.net')",
                    forwarded::NAME => "write forwarded_by(lists.forwarders)",
                    "rate" => rate::EXAMPLE,
                    "exists" | "all" | "exists_one" | "filter" => "write dkim.exists(d, d.result == 'pass')",
                    _ => "write x.contains('text')",
                };
                self.fault(expression, format!("{name} is not called like this"), mend)
            }
            (name, _, _) => {
                let mend = match nearest(name, FUNCTIONS.iter().copied()) {
                    Some(known) => format!("did you mean {known}?"),
                    None => format!("there are {}", FUNCTIONS.join(", ")),
                };
                self.fault(expression, format!("there is no function {name}"), mend)
            }
        }
    }

    fn want_text(&mut self, expression: &Expression, kind: Kind) {
        if !kind.is_text() {
            self.fault(expression, format!("this is {}, not a string", kind.describe()), "use a fact that is a string");
        }
    }

    fn pattern(&mut self, expression: &Expression) {
        let Some(pattern) = string_literal(expression) else {
            let mend = "write the pattern out: x.matches('^mail[0-9]+')";
            self.fault(
                expression,
                "a pattern is compiled when the policy is loaded, so it can't come from a fact",
                mend,
            );
            return;
        };
        if let Err((cause, mend)) = self.literals.add_pattern(pattern) {
            self.fault(expression, cause, mend);
        }
    }

    fn ip_in(&mut self, address: &'a Expression, network: &'a Expression) {
        let kind = self.kind(address);
        if !matches!(kind, Kind::Address | Kind::Unknown) {
            let cause = format!("this is {}, not an address", kind.describe());
            self.fault(address, cause, "write ip_in(client.ip, '192.0.2.0/24')");
        }
        let Some(text) = string_literal(network) else {
            let mend = "write it out, as in '192.0.2.0/24'; for several write client.ip in lists.NAME";
            self.fault(network, "a network is read when the policy is loaded, so it can't come from a fact", mend);
            return;
        };
        if let Err((cause, mend)) = self.literals.add_network(text) {
            self.fault(network, cause, mend);
        }
    }

    fn domain_under(&mut self, name: &'a Expression, parent: &'a Expression) {
        let kind = self.kind(name);
        if matches!(kind, Kind::Text | Kind::Unknown) {
            if string_literal(name).is_some() {
                self.fault(name, "the name comes from a fact", "write domain_under(client.name, 'example.net')");
            }
        } else {
            let cause = format!("this is {}, not a name", kind.describe());
            self.fault(name, cause, "write domain_under(client.name, 'example.net')");
        }
        let Some(text) = string_literal(parent) else {
            let kind = self.kind(parent);
            if !matches!(kind, Kind::Text | Kind::Unknown) {
                let cause = format!("this is {}, not a domain", kind.describe());
                self.fault(parent, cause, "write a domain, or a fact that is one");
            }
            return;
        };
        if let Err((cause, mend)) = self.literals.add_domain(text) {
            self.fault(parent, cause, mend);
        }
    }

    fn comprehension(
        &mut self,
        expression: &'a Expression,
        name: &str,
        list: &'a Expression,
        variable: &'a Expression,
        body: &'a Expression,
    ) -> Kind {
        if self.bound.is_some() {
            return self.fault(expression, format!("{name} stands within another one"), "make two rules of it");
        }
        if path(list).is_none() {
            return self.fault(
                list,
                format!("{name} goes over a fact that is a list"),
                "write dkim.exists(d, d.result == 'pass')",
            );
        }
        let kind = self.kind(list);
        if !kind.is_list() {
            self.fault(
                list,
                format!("this is {}, not a list", kind.describe()),
                format!("{name} goes over dkim, from.addresses or from.defects"),
            );
        }
        let Expr::Ident(word) = &variable.expr else {
            return self.fault(
                variable,
                format!("{name} wants a name for the entry here"),
                format!("write {name}(d, ...)"),
            );
        };
        let hides =
            |known: &str| known == word || known.strip_prefix(word.as_str()).is_some_and(|rest| rest.starts_with('.'));
        if word == "lists" || word.starts_with('.') || table::names().any(hides) {
            return self.fault(variable, format!("the name {word} hides facts"), "take another one, such as x");
        }
        self.bound = Some((word, kind.element()));
        self.want_bool(body);
        self.bound = None;
        if name == "filter" { kind } else { Kind::Bool }
    }
}
