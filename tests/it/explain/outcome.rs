//! What is said of what came of it: rules, several recipients, rehearsals, trouble.

use super::*;

#[test]
fn a_discarded_message() {
    let mut record = honest();
    record.decision.action = Action::Discard;
    record.decision.rule = "drop-robots".into();
    record.delivery = vec![];
    record.rules = vec![rule("drop-robots", Stage::Data, Outcome::Acted)];
    check_summary(&record, "Discarded by rule drop-robots.");
    check_says(
        &record,
        &["  drop-robots     at data: matched and decided: discard", "  stored          nothing, as the rule says"],
    );
}

#[test]
fn rules_that_only_observe_and_rules_that_fail() {
    let mut record = honest();
    record.rules = vec![
        rule("one", Stage::Data, Outcome::Observed),
        rule("two", Stage::Data, Outcome::Observed),
        rule("three", Stage::Data, Outcome::Error),
    ];
    assert!(
        summary(&record)
            .ends_with(". Rules one and two would have acted, but only observe. Rule three could not be run."),
        "{}",
        summary(&record)
    );
    check_says(
        &record,
        &[
            "  one             at data: matched and would have acted, but only observes",
            "  three           at data: could not be run",
        ],
    );
}

#[test]
fn a_rule_that_observes_is_told_with_what_it_would_have_done() {
    let mut record = honest();
    record.rules = [("one", Action::Reject), ("two", Action::Quarantine), ("three", Action::Reject)]
        .map(|(name, action)| RuleRecord { action: Some(action), ..rule(name, Stage::Data, Outcome::Observed) })
        .to_vec();
    assert!(
        summary(&record).ends_with(
            ". Rules one and three would have refused, but only observe. Rule two would have quarantined, but only observes."
        ),
        "{}",
        summary(&record)
    );
    check_says(&record, &["  two             at data: matched and would have quarantined, but only observes"]);
}

/// Two recipients that a rule refused, and one that there is not.
fn three_refused() -> Record {
    let mut record = refused_at(Stage::Rcpt, Action::Reject, "", "550 5.1.1 no such mailbox ref=06H05F87B4000001");
    record.recipients = vec![
        answered("alice@example.com", "450 4.7.1 later"),
        answered("nobody@example.com", "550 5.1.1 no such mailbox"),
        answered("bob@example.com", "450 4.7.1 later"),
    ];
    record
}

#[test]
fn the_last_of_several_recipients_does_not_stand_for_all() {
    let record = three_refused();
    check_summary(
        &record,
        "No recipient was taken: alice@example.com and bob@example.com were deferred with \"450 4.7.1 later\", and \
         nobody@example.com was refused with \"550 5.1.1 no such mailbox\".",
    );
    check_says(
        &record,
        &["Rules, as they judged the last recipient that was refused", "  answered        each recipient as above"],
    );
    let rehearsed = story_of_rehearsal(&record);
    assert!(
        rehearsed
            .starts_with("No recipient would be taken: alice@example.com and bob@example.com would be deferred with "),
        "{rehearsed}"
    );
}

#[test]
fn a_recipient_that_was_refused_beside_one_that_was_taken() {
    let mut record = refused_at(Stage::Rcpt, Action::Accept, "", "");
    record.recipients =
        vec![answered("alice@example.com", "250 2.1.5 ok"), answered("bob@example.com", "550 5.7.1 no")];
    check_summary(
        &record,
        "Ended by the client before a message came: bob@example.com was refused with \"550 5.7.1 no\".",
    );
    record.recipients.pop();
    check_summary(&record, "Ended by the client before a message came.");
}

#[test]
fn a_rehearsal_is_told_as_what_would_be() {
    let mut record = honest();
    record.delivery[0].file = String::new();
    let check = |record: &Record, expected: &str| {
        let told = story_of_rehearsal(record);
        assert_eq!(told.lines().next(), Some(expected));
        assert!(!told.contains("the client ended"), "{told}");
    };
    check(
        &record,
        "Would be accepted and stored for alice@example.com: the author domain bank.example vouches for it by a DKIM signature of \
         bank.example and SPF of bank.example.",
    );
    let told = story_of_rehearsal(&record);
    assert!(told.contains("\n  would store     alice@example.com (INBOX)\n"), "{told}");
    check(
        &forged(),
        "Would be refused by rule dmarc-reject: the author domain bank.example publishes p=reject, SPF passed only for \
         mailer.example, and no DKIM signature of bank.example verified.",
    );
    check(
        &refused_at(Stage::Mail, Action::Reject, "unreachable", "550 5.1.8 no ref=06H05F87B4000001"),
        "Would be refused by rule unreachable: the answer would be \"550 5.1.8 no\".",
    );
    let mut without_message = refused_at(Stage::Rcpt, Action::Accept, "", "");
    without_message.recipients =
        vec![answered("alice@example.com", "250 2.1.5 ok"), answered("bob@example.com", "550 5.7.1 no")];
    check(
        &without_message,
        "Would be accepted up to the recipients: bob@example.com would be refused with \"550 5.7.1 no\".",
    );
}

#[test]
fn what_could_not_be_stored_is_told_with_its_place() {
    let mut record = honest();
    record.delivery = vec![];
    record.decision = DecisionRecord {
        action: Action::Defer,
        rule: String::new(),
        reply: "451 4.3.0 later".into(),
        ..DecisionRecord::default()
    };
    record.trouble = "example.com/alice/tmp: Permission denied (os error 13)".into();
    check_summary(
        &record,
        "Deferred because it could not be stored: example.com/alice/tmp: Permission denied (os error 13).",
    );
    check_says(&record, &["  trouble         example.com/alice/tmp: Permission denied (os error 13)"]);
}

#[test]
fn a_client_that_went_away() {
    let mut record = refused_at(Stage::Rcpt, Action::Accept, "", "");
    record.recipients = vec![Recipient { address: "alice@example.com".into(), ..Recipient::default() }];
    check_summary(&record, "Ended by the client before a message came.");
    check_says(&record, &["  answered        nothing: the client ended the transaction"]);
}

#[test]
fn our_own_trouble_is_said_as_it_was_answered() {
    let mut record = honest();
    record.delivery = vec![];
    record.decision = DecisionRecord {
        action: Action::Defer,
        rule: String::new(),
        reply: "452 4.3.1 disk full ref=06H".into(),
        ..DecisionRecord::default()
    };
    check_summary(&record, "Deferred at stage data, by no rule: the answer was \"452 4.3.1 disk full\".");
}

#[test]
fn a_trusted_client_is_not_checked() {
    let mut record = honest();
    record.facts.client.trusted = true;
    record.facts.client.name = String::new();
    record.facts.iprev = Default::default();
    record.facts.spf = Default::default();
    check_says(
        &record,
        &[
            "  client          192.0.2.1 port 4711, in smtp.trusted",
            "  reverse name    not looked up, the client is trusted",
            "  SPF             HELO: not checked, the client is trusted",
        ],
    );
}

#[test]
fn recipients_whose_copies_fared_otherwise_are_told_apart() {
    let mut record = honest();
    let own = |action, rule: &str, instead_of| Some(RecipientDecision { action, rule: rule.into(), instead_of });
    record.recipients[0].decision = own(Action::Accept, "", None);
    for name in ["bob", "carol"] {
        record.recipients.push(Recipient {
            decision: own(Action::Quarantine, "dmarc-reject", Some(Action::Reject)),
            ..answered(&format!("{name}@example.com"), "250 2.1.5 ok")
        });
    }
    assert!(
        summary(&record).ends_with(
            " For bob@example.com and carol@example.com it was quarantined by rule dmarc-reject, which would have refused it, because \
             others take the message."
        ),
        "{}",
        summary(&record)
    );
    assert!(summary(&record).starts_with("Accepted and stored for alice@example.com: "), "{}", summary(&record));
    check_says(
        &record,
        &[
            "Rules, as they judged alice@example.com",
            "  dmarc-reject     at data: did not match; for bob@example.com and carol@example.com it matched and decided: reject",
        ],
    );
}

#[test]
fn a_refusal_beside_others_at_rcpt_says_for_whom_it_is() {
    let mut record = forged();
    record.recipients.push(answered("nobody@example.com", "550 5.1.1 no such mailbox"));
    check_summary(
        &record,
        "Refused for alice@example.com by rule dmarc-reject: the author domain bank.example publishes p=reject, SPF passed only for \
         mailer.example, and no DKIM signature of bank.example verified. nobody@example.com was refused with \"550 5.1.1 no such \
         mailbox\".",
    );
}

#[test]
fn a_refusal_that_soft_reject_made_a_deferral_is_told_as_both() {
    let mut record = forged();
    record.decision.reply = "451 4.7.1 bank.example asks receivers to refuse mail that fails DMARC".into();
    let why = ": the author domain bank.example publishes p=reject, SPF passed only for mailer.example, and no DKIM signature of \
               bank.example verified.";
    let soft = "by rule dmarc-reject, but was only deferred because smtp.soft_reject is on";
    check_summary(&record, &format!("Would have been refused {soft}{why}"));
    assert!(
        story_of_rehearsal(&record).starts_with(
            "Would be refused by rule dmarc-reject, but only deferred because smtp.soft_reject is on: the author"
        ),
        "{}",
        story_of_rehearsal(&record)
    );
    record.decision.rule = String::new();
    assert!(
        summary(&record).starts_with(
            "Would have been refused at stage data, by no rule, but was only deferred because smtp.soft_reject is on: the answer was \
             \"451 4.7.1 "
        ),
        "{}",
        summary(&record)
    );
    // what is deferred by itself is no less than that
    record.decision.action = Action::Defer;
    assert!(!story(&record).contains("soft_reject"), "{}", story(&record));
}

#[test]
fn recipients_whom_soft_reject_deferred() {
    let refused = |address: &str| Recipient {
        decision: Some(RecipientDecision {
            action: Action::Reject,
            rule: "no-reverse-name".into(),
            ..RecipientDecision::default()
        }),
        ..answered(address, "451 4.7.25 no")
    };
    let mut record = refused_at(Stage::Rcpt, Action::Reject, "no-reverse-name", "451 4.7.25 no ref=06H05F87B4000001");
    record.recipients = vec![refused("alice@example.com"), refused("bob@example.com")];
    record.facts.iprev.result = IprevResult::PermError;
    record.decision.read = vec!["iprev.result".into()];
    check_summary(
        &record,
        "No recipient was taken, all were only deferred instead of refused because smtp.soft_reject is on: the client 192.0.2.1 has no reverse \
         name.",
    );
    record.recipients.push(answered("nobody@example.com", "451 4.1.1 no such mailbox"));
    record.decision = DecisionRecord {
        action: Action::Reject,
        reply: "451 4.1.1 no such mailbox ref=06H05F87B4000001".into(),
        ..DecisionRecord::default()
    };
    check_summary(
        &record,
        "No recipient was taken: alice@example.com and bob@example.com were deferred with \"451 4.7.25 no\" by rule no-reverse-name \
         instead of refused because smtp.soft_reject is on, and nobody@example.com was deferred with \"451 4.1.1 no such mailbox\" \
         instead of refused because smtp.soft_reject is on.",
    );
}
