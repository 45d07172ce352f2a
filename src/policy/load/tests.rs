//! The tests of a policy, as far as they can be checked before they are run.

use super::super::condition::Known;
use super::super::draft::{DraftExpect, DraftTest};
use super::super::given::given;
use super::super::keys::{Reader, Spot};
use super::super::{Expect, Test};
use super::{Rules, require};
use crate::facts::word::Stage;
use crate::problem::nearest;

/// Reads and checks a test.
pub(super) fn read(reader: &mut Reader<'_>, draft: DraftTest, rules: &Rules, known: Known<'_>) -> Option<Test> {
    let missing = [("name", "name = \"what it holds\""), ("expect", "expect = { action = \"accept\" }")];
    require(reader, &draft.key, &draft.span, &draft.has, &missing);
    let at = draft.at.map_or(Stage::Data, |at| at.value);
    let given = given(reader, &draft.key, at, draft.given, known);
    let expect = draft.expect.map(|expect| self::expect(reader, &draft.key, expect, rules));
    Some(Test { name: draft.name?.value, at, given, expect: expect?, span: draft.span })
}

fn expect(reader: &mut Reader<'_>, key: &str, draft: DraftExpect, rules: &Rules) -> Expect {
    let key = format!("{key}.expect");
    if draft.is_empty {
        reader.problem(
            draft.span,
            key.clone(),
            "the test expects nothing",
            "write { action = \"reject\", rule = \"NAME\" }",
        );
    }
    let named = draft
        .rule
        .iter()
        .filter(|rule| !rule.value.is_empty())
        .chain([&draft.observed, &draft.changed, &draft.excepted].into_iter().flatten().flatten());
    for name in named {
        if rules.iter().any(|(known, _)| *known == name.value) {
            continue;
        }
        let mend = match nearest(&name.value, rules.iter().map(|(known, _)| known.as_str())) {
            Some(near) => format!("did you mean \"{near}\"?"),
            None => "name one of this file's rules".to_owned(),
        };
        reader.problem(name.span.clone(), key.clone(), format!("there is no rule \"{}\"", name.value), mend);
    }
    Expect {
        action: draft.action.map(|action| action.value),
        rule: draft.rule.map(|rule| rule.value),
        score: draft.score.map(|score| score.value),
        observed: draft.observed.map(values),
        changed: draft.changed.map(values),
        excepted: draft.excepted.map(values),
        reply: draft.reply.map(|reply| reply.value),
    }
}

fn values(spots: Vec<Spot<String>>) -> Vec<String> {
    spots.into_iter().map(|spot| spot.value).collect()
}
