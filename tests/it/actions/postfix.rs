//! A mixed transaction with a real Postfix as the client: each recipient ends with the answer of its own policy.

use gatepost::facts::word::Action;

use super::mixed::{QUARANTINE, site};
use crate::support::postfix::Postfix;
use crate::support::site::{Site, message, wait_for};

const TO: [&str; 2] = ["alice@local.example", "bob@local.example"];

/// Waits until so many files are stored, and gives their number.
fn stored(site: &Site, count: usize) -> usize {
    wait_for(&format!("{count} copies"), || Some(site.all_files().len()).filter(|files| *files >= count))
}

#[test]
fn postfix_sends_the_later_recipient_again_and_both_are_served() {
    let site = site("");
    let Some(postfix) = Postfix::sending_to(site.smtp) else { return };
    postfix.send("a@good.example", &TO, &message("a@good.example"));
    assert!(postfix.delivery(TO[1], "deferred").contains("said: 452 4.5.3"));
    postfix.delivery(TO[0], "sent");
    postfix.delivery(TO[1], "sent");
    assert_eq!(stored(&site, 2), 2, "one copy each: who was served is not served again");
    assert_eq!((site.delivered("local.example/alice").len(), site.delivered("local.example/bob").len()), (1, 1));
}

#[test]
fn postfix_hears_of_the_refusal_of_one_and_the_other_is_served() {
    let site = site("");
    let Some(postfix) = Postfix::sending_to(site.smtp) else { return };
    postfix.send("a@bad.example", &TO, &message("a@bad.example"));
    assert!(postfix.delivery(TO[0], "sent").contains("250 2.0.0 accepted"));
    let refused = postfix.delivery(TO[1], "bounced");
    assert!(refused.contains("said: 550 5.7.1 bob does not take bad.example ref="), "{refused}");
    assert_eq!((stored(&site, 1), site.delivered("local.example/alice").len()), (1, 1));
    let by_rule = |action| {
        site.journal()
            .into_iter()
            .find(|record| record.decision.action == action && record.decision.rule == "bob-refuses")
    };
    assert_eq!(wait_for("the refusal in the journal", || by_rule(Action::Reject)).recipients.len(), 1);
}

#[test]
fn with_quarantine_postfix_waits_for_nothing() {
    let site = site(QUARANTINE);
    let Some(postfix) = Postfix::sending_to(site.smtp) else { return };
    postfix.send("a@bad.example", &TO, &message("a@bad.example"));
    TO.iter().for_each(|to| drop(postfix.delivery(to, "sent")));
    assert!(postfix.deliveries().iter().all(|line| !line.contains("status=deferred")), "{:?}", postfix.deliveries());
    assert_eq!((site.delivered("local.example/alice").len(), site.delivered("local.example/bob/.Junk").len()), (1, 1));
}
