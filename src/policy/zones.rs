//! The DNS block and allow lists of the configuration, as far as rules can name them: `block_lists['zen.example'].listed`.

use std::collections::BTreeMap;
use std::collections::BTreeSet;

use crate::facts::table::FactSet;
use crate::facts::word::{ListKind, Stage};
use crate::problem::nearest;

/// The lists that a policy may name. A policy that is checked without a configuration knows of none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zones {
    known: Option<BTreeMap<String, Zone>>,
}

/// One list.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Zone {
    /// What it is asked about.
    pub kind: ListKind,
    /// The names of its return codes; `None` where each address is its own name.
    pub codes: Option<BTreeSet<String>>,
}

impl Zones {
    /// The lists of a configuration, by zone.
    pub fn of(zones: impl IntoIterator<Item = (String, Zone)>) -> Zones {
        Zones { known: Some(zones.into_iter().collect()) }
    }

    /// The list of this zone.
    ///
    /// # Errors
    /// Why there is none, and the mend.
    pub(super) fn find(&self, zone: &str) -> Result<&Zone, (String, String)> {
        let Some(known) = &self.known else {
            let cause = "which block lists there are stands in the configuration, and none was given";
            return Err((cause.to_owned(), "check the policy with --config gatepost.toml".to_owned()));
        };
        known.get(zone).ok_or_else(|| {
            let mend = match nearest(zone, known.keys().map(String::as_str)) {
                Some(known) => format!("did you mean '{known}'?"),
                None => format!("add it to the configuration: [[block_lists]] zone = {zone:?}"),
            };
            (format!("the configuration has no block list '{zone}'"), mend)
        })
    }

    /// The zones of the kinds that a set asks for, so that each has a value when a rule is judged.
    pub(super) fn asked(&self, reads: FactSet) -> Vec<String> {
        let known = self.known.iter().flatten();
        known.filter(|(_, zone)| reads.asks_lists(zone.kind)).map(|(name, _)| name.clone()).collect()
    }
}

impl Zone {
    /// Whether rules of a stage can name it: the client is known from connect on, domains from mail on.
    pub(super) fn known_at(&self, stage: Stage) -> bool {
        self.kind == ListKind::Address || stage >= Stage::Mail
    }

    /// Why a word is never among its codes, and the mend; `None` where it can be.
    pub(super) fn never(&self, code: &str) -> Option<(String, String)> {
        let codes = self.codes.as_ref()?;
        if codes.contains(code) {
            return None;
        }
        let mend = match nearest(code, codes.iter().map(String::as_str)) {
            Some(near) => format!("did you mean '{near}'?"),
            None => {
                let all: Vec<String> = codes.iter().map(|code| format!("'{code}'")).collect();
                format!("it is one of {}", all.join(", "))
            }
        };
        Some((format!("the configuration gives none of its codes the name '{code}'"), mend))
    }
}
