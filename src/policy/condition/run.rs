//! Running conditions. For what CEL runs of them there is one root scope a policy, and each time an inner scope that asks for facts as
//! they are named, so that nothing is built that is not read.

use std::any::Any;
use std::borrow::Cow;
use std::collections::HashMap;
use std::fmt;
use std::sync::Arc;

use cel::common::traits::Container;
use cel::common::types::{CelBool, CelDouble, CelInt, CelList, CelMap, CelMapKey, CelString, Type};
use cel::common::value::{CowVal, StaticVal, Val};
use cel::context::VariableResolver;
use cel::extractors::This;
use cel::parser::Expression;
use cel::{Context, Env, ExecutionError, FunctionContext};

use crate::facts::table::{self, FactSource, Type as FactType, Value};
use crate::facts::value::empty_record;

use super::super::lists::List;
use super::plan::{Ground, Stop};
use super::{Condition, Lists, Literals, rate};

/// What conditions run on: the functions, the patterns and the lists of a policy.
pub(in super::super) struct Runner {
    root: Context<'static, 'static>,
    named: Named,
    lists: Lists,
    literals: Arc<Literals>,
}

/// What conditions name of the facts that have records by name: each has a value, found or not.
#[derive(Debug, Clone, Default)]
pub(in super::super) struct Named {
    /// Block lists.
    pub zones: Vec<String>,
    /// Header fields.
    pub headers: Vec<String>,
}

impl Named {
    fn of(&self, fact: &str) -> &[String] {
        if fact == "headers" { &self.headers } else { &self.zones }
    }
}

impl fmt::Debug for Runner {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Runner").finish_non_exhaustive()
    }
}

impl Runner {
    /// The scope of a policy. `None` if the library declares functions of these names: its `matches` would compile the pattern on
    /// every call.
    pub fn new(lists: &Lists, named: Named, literals: Arc<Literals>) -> Option<Runner> {
        let mut root = Context::with_env(Arc::new(Env::stdlib().with_optional_support(false)));
        let known = Arc::clone(&literals);
        let matches =
            move |This(text): This<Arc<String>>, pattern: Arc<String>| -> Result<cel::Value, ExecutionError> {
                let holds = known.matches(&text, &pattern);
                holds.map(cel::Value::Bool).ok_or_else(|| not_ready("matches"))
            };
        root.add_function("matches", matches).ok()?;
        let known = Arc::clone(&literals);
        let ip_in = move |address: Arc<String>, network: Arc<String>| -> Result<cel::Value, ExecutionError> {
            let holds = known.ip_in(&address, &network);
            holds.map(cel::Value::Bool).ok_or_else(|| not_ready("ip_in"))
        };
        root.add_function("ip_in", ip_in).ok()?;
        let known = Arc::clone(&literals);
        let domain_under = move |name: Arc<String>, parent: Arc<String>| known.domain_under(&name, &parent);
        root.add_function("domain_under", domain_under).ok()?;
        let rate = |context: &FunctionContext<'_, '_>, key: Arc<String>, window: Arc<String>| {
            rate::run(context, &key, &window)
        };
        root.add_function("rate", rate).ok()?;
        for (name, list) in lists {
            root.add_variable_as_val(format!("lists.{name}"), Box::new(NamedList(Arc::clone(list))));
        }
        Some(Runner { root, named, lists: lists.clone(), literals })
    }

    /// The same, with these lists in place of those of their names.
    pub fn with_lists(&self, others: &Lists) -> Option<Runner> {
        let mut lists = self.lists.clone();
        lists.extend(others.iter().map(|(name, list)| (name.clone(), Arc::clone(list))));
        Runner::new(&lists, self.named.clone(), Arc::clone(&self.literals))
    }

    /// Whether a condition holds; `None` where that hangs on a fact that is not known.
    ///
    /// # Errors
    /// What a checked condition can still run into: a division by zero, an overflow.
    pub fn holds(
        &self,
        condition: &Condition,
        facts: &dyn FactSource,
        score: f64,
    ) -> Result<Option<bool>, ExecutionError> {
        let cel = |expression: &Expression| self.run(expression, facts, score);
        let ground = Ground { facts, score, lists: &self.lists, cel: &cel };
        match condition.plan.holds(&ground, None) {
            Ok(holds) => Ok(Some(holds)),
            Err(Stop::Unknown) if !facts.is_whole() => Ok(None),
            Err(Stop::Unknown) => Err(ExecutionError::function_error("condition", "it lacks a fact")),
            Err(Stop::Error(error)) => Err(error),
        }
    }

    /// Has CEL run an expression.
    fn run(&self, expression: &Expression, facts: &dyn FactSource, score: f64) -> Result<bool, Stop> {
        let known = Known { facts, score, named: &self.named };
        let root: &Context<'_, '_> = &self.root;
        let mut scope = root.new_inner_scope();
        scope.set_variable_resolver(&known);
        match cel::Value::resolve(expression, &scope) {
            Ok(cel::Value::Bool(holds)) => Ok(holds),
            // a checked condition names nothing else that could be missing
            Err(ExecutionError::UndeclaredReference(_) | ExecutionError::NoSuchKey(_)) if !facts.is_whole() => {
                Err(Stop::Unknown)
            }
            Err(error) => Err(Stop::Error(error)),
            Ok(_) => Err(Stop::Error(ExecutionError::function_error("condition", "it gives no bool"))),
        }
    }
}

/// What was checked is ready to run, so that this is a bug of ours; the rule is recorded as failed, and the message goes on.
fn not_ready(function: &str) -> ExecutionError {
    ExecutionError::function_error(function, "what it was given was not made ready when the policy was loaded")
}

/// The facts as CEL's variables.
struct Known<'f> {
    facts: &'f dyn FactSource,
    score: f64,
    named: &'f Named,
}

impl VariableResolver for Known<'_> {
    fn resolve<'b>(&'b self, variable: &str) -> Option<CowVal<'b, 'b>> {
        let Some(fact) = table::find(variable) else {
            return rate::variable(variable, self.facts).map(CowVal::owned);
        };
        if fact.name == "score" {
            return Some(CowVal::owned(CelDouble::from(self.score)));
        }
        let value = self.facts.find(fact)?;
        Some(CowVal::Owned(boxed(match fact.ty {
            FactType::RecordMap(fields) if self.facts.fills(fact) => complete(value, self.named.of(fact.name), fields),
            _ => value,
        })))
    }
}

/// An entry for every name: an empty one where there is none.
fn complete<'b>(value: Value<'b>, names: &'b [String], fields: &'static [(&'static str, FactType)]) -> Value<'b> {
    let Value::Map(mut entries) = value else { return value };
    for name in names {
        if !entries.iter().any(|(known, _)| known == name) {
            entries.push((Cow::Borrowed(name.as_str()), empty_record(fields)));
        }
    }
    Value::Map(entries)
}

fn boxed<'b>(value: Value<'b>) -> Box<dyn Val + 'b> {
    match value {
        Value::Bool(b) => Box::new(CelBool::from(b)),
        Value::Int(n) => Box::new(CelInt::from(n)),
        Value::Double(n) => Box::new(CelDouble::from(n)),
        Value::String(text) => Box::new(CelString::from(text)),
        Value::List(items) => Box::new(CelList::from(items.into_iter().map(boxed).collect::<Vec<_>>())),
        Value::Map(fields) => {
            let map: HashMap<CelMapKey<'b>, Box<dyn Val + 'b>> =
                fields.into_iter().map(|(name, value)| (CelMapKey::from(name.into_owned()), boxed(value))).collect();
            Box::new(CelMap::from(map))
        }
    }
}

static NAMED_LIST: Type = Type::new_unspecified_type("gatepost.list");

/// A list of the policy as a CEL value that can stand behind `in` and nowhere else.
#[derive(Debug, Clone)]
struct NamedList(Arc<List>);

impl Val for NamedList {
    fn get_type(&self) -> &Type {
        &NAMED_LIST
    }

    fn cel_type() -> &'static Type {
        &NAMED_LIST
    }

    fn as_container(&self) -> Option<&dyn Container> {
        Some(self)
    }

    fn equals(&self, other: &dyn Val) -> bool {
        other.downcast_ref::<NamedList>().is_some_and(|other| Arc::ptr_eq(&self.0, &other.0))
    }

    fn clone_as_boxed<'v>(&self) -> Box<dyn Val + 'v> {
        Box::new(self.clone())
    }

    fn as_any(&self) -> Option<&dyn Any> {
        Some(self)
    }
}

impl StaticVal for NamedList {}

impl Container for NamedList {
    fn contains(&self, value: &dyn Val) -> Result<bool, ExecutionError> {
        Ok(value.downcast_ref::<CelString>().is_some_and(|text| self.0.contains(text.inner())))
    }
}
