//! What is remembered between messages: recalled into facts before a stage decides, noted after. Only what policies ask for.

use std::collections::BTreeMap;

use crate::facts::rate::{Counted, Rate};
use crate::facts::table::{self, FactSet};
use crate::facts::{Facts, Greylist, Rcpt, Role, Stage};
use crate::policy::Policy;
use crate::state::{State, now};

use super::Inquiry;
use super::account::End;
use super::transaction::{Standing, Transaction};

/// Greylisting's facts.
const GREYLIST: &str = "greylist";

/// What else must be known before what these facts remember can be recalled.
pub(super) fn with_what_recalling_needs(mut needs: FactSet) -> FactSet {
    if needs.touches(GREYLIST)
        && let Some(spf) = table::find("spf.mail_from.result")
    {
        needs.insert(spf);
    }
    needs
}

impl Inquiry {
    /// A rehearsal, which looks nothing up that is remembered, finds this.
    pub fn remembering(&mut self, greylist: Greylist, rates: BTreeMap<String, u64>) {
        (self.session.greylist, self.session.rates) = (greylist, rates);
    }

    /// The first recipient is named: its transaction is counted once, whatever is answered. Rates say what was before it.
    pub(super) async fn count_transaction(&mut self) {
        let (Some(state), Some(transaction)) = (&self.receiver.state, &mut self.transaction) else { return };
        if std::mem::replace(&mut transaction.counted, true) {
            return;
        }
        let rates = transaction.policies.rates(Counted::Transactions);
        if !rates.is_empty() {
            let facts = &mut transaction.facts;
            Box::pin(async {
                recall_rates(state, facts, &rates).await;
                state.count(facts, &rates, now()).await;
            })
            .await;
        }
    }

    /// What is remembered of the recipient that is being judged.
    pub(super) async fn recall_recipient(&mut self, policy: &Policy) {
        let (Some(state), Some(transaction)) = (&self.receiver.state, &mut self.transaction) else { return };
        let facts = &mut transaction.facts;
        facts.greylist = Greylist::default();
        let rates = transaction.policies.rates(Counted::Recipients);
        let greylists = policy.needs(Stage::Rcpt).touches(GREYLIST);
        if greylists || !rates.is_empty() {
            Box::pin(async {
                if greylists {
                    facts.greylist = state.greylist(facts, &[&facts.rcpt.address], now()).await;
                }
                recall_rates(state, facts, &rates).await;
            })
            .await;
        }
    }

    /// The recipient was judged.
    pub(super) async fn note_recipient_seen(&mut self) {
        let (Some(state), Some(transaction)) = (&self.receiver.state, &self.transaction) else { return };
        let facts = &transaction.facts;
        let rates = transaction.policies.rates(Counted::Recipients);
        if !facts.greylist.is_empty() || !rates.is_empty() {
            Box::pin(async {
                state.note_stranger(facts, &[&facts.rcpt.address], now()).await;
                state.count(facts, &rates, now()).await;
            })
            .await;
        }
    }

    /// What is remembered of the message that is being judged.
    pub(super) async fn recall_message(&mut self) {
        let (Some(state), Some(transaction)) = (&self.receiver.state, &mut self.transaction) else { return };
        let rates = transaction.policies.rates(Counted::Messages);
        let greylists = transaction.greylists_at_data();
        if !greylists && rates.is_empty() {
            return;
        }
        let mut facts = of_message(transaction);
        let paths: Vec<&str> = transaction.accepted.iter().map(|accepted| accepted.path.as_str()).collect();
        Box::pin(async {
            if greylists {
                facts.greylist = state.greylist(&facts, &paths, now()).await;
            }
            recall_rates(state, &mut facts, &rates).await;
        })
        .await;
        (transaction.facts.greylist, transaction.facts.rates) = (facts.greylist, facts.rates);
        transaction.greylist_of_message = greylists;
    }

    /// The message was judged, and what was decided is done.
    pub(super) async fn note_message_seen(&self, transaction: &Transaction, end: &End) {
        let Some(state) = &self.receiver.state else { return };
        let rates = transaction.policies.rates(Counted::Messages);
        let was_accepted = end.is_welcome();
        let greylists = transaction.greylists_at_data();
        let learns = was_accepted && vouches(transaction);
        if !(greylists || learns || !rates.is_empty()) {
            return;
        }
        let facts = of_message(transaction);
        let paths: Vec<&str> = transaction.accepted.iter().map(|accepted| accepted.path.as_str()).collect();
        Box::pin(async {
            if greylists {
                state.note_stranger(&facts, &paths, now()).await;
            }
            if learns {
                state.note_accepted(&facts, now()).await;
            }
            state.count(&facts, &rates, now()).await;
        })
        .await;
    }
}

/// Whether an accepted message says that its sender waits when it is asked to: a recipient whose policy greylists took it, and
/// nobody of the transaction was put off. What postmaster and abuse take says nothing: they take it from everybody.
fn vouches(transaction: &Transaction) -> bool {
    let ordinary = |standing: &Standing| standing.role == Role::Ordinary && standing.policy.greylists();
    !transaction.put_off && transaction.accepted.iter().any(|accepted| ordinary(&accepted.standing))
}

/// The facts of the message as a whole. Its role is that of any recipient who has one: a report to postmaster must not wait because
/// somebody else gets it, too.
fn of_message(transaction: &Transaction) -> Facts {
    let mut roles = transaction.accepted.iter().map(|accepted| accepted.standing.role);
    let role = roles.find(|role| *role != Role::Ordinary).unwrap_or_default();
    Facts { rcpt: Rcpt { role, ..Rcpt::default() }, ..transaction.facts.clone() }
}

async fn recall_rates(state: &State, facts: &mut Facts, rates: &[Rate]) {
    let counts = state.rates(facts, rates, now()).await;
    facts.rates.extend(counts);
}
