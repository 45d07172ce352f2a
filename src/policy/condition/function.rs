//! The functions that a condition can call, and what each wants.

use cel::common::ast::Expr;
use cel::parser::Expression;
use regex::RegexBuilder;

use crate::facts::table;
use crate::problem::nearest;

use super::check::{Checker, path, string_literal};
use super::kind::Kind;
use super::rate;

/// The functions that a condition can call.
const FUNCTIONS: &[&str] =
    &["size", "contains", "startsWith", "endsWith", "matches", "exists", "all", "exists_one", "filter", "rate"];
/// The most memory of one compiled pattern, in bytes.
const PATTERN_BYTES: usize = 1 << 20;
/// The most patterns of one policy.
const MAX_PATTERNS: usize = 200;

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
        if self.patterns.contains_key(pattern) {
            return;
        }
        if self.patterns.len() >= MAX_PATTERNS {
            let cause = format!("a policy has at most {MAX_PATTERNS} patterns");
            self.fault(expression, cause, "put names into lists");
            return;
        }
        match RegexBuilder::new(pattern).size_limit(PATTERN_BYTES).build() {
            Ok(regex) => {
                self.patterns.insert(pattern.to_owned(), regex);
            }
            Err(error) => {
                let said = error.to_string();
                let last = said.lines().last().unwrap_or_default().trim_start_matches("error: ");
                self.fault(expression, format!("this is not a pattern: {last}"), "see https://docs.rs/regex/#syntax");
            }
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
