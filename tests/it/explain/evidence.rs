//! What is said of each kind of evidence.

use super::*;

#[test]
fn trouble_with_dns() {
    let mut record = forged();
    let facts = &mut record.facts;
    facts.dmarc = Dmarc { result: DmarcResult::TempError, ..Dmarc::default() };
    facts.iprev.result = IprevResult::TempError;
    facts.spf.mail_from = spf(MethodResult::TempError, "mailer.example");
    facts.dkim = vec![dkim(MethodResult::TempError, "bank.example", "")];
    facts.arc.result = ArcResult::TempError;
    facts.reverse_mx.mail_from = ReverseMx {
        domain: "mailer.example".into(),
        result: ReverseMxResult::TempError,
        mx: Mx::Unknown,
        secure: false,
    };
    record.decision = DecisionRecord {
        action: Action::Defer,
        rule: "dmarc-trouble".into(),
        reply: "451 4.7.1 later".into(),
        ..DecisionRecord::default()
    };
    check_summary(
        &record,
        "Deferred by rule dmarc-trouble: DNS trouble kept the author domain bank.example from being checked.",
    );
    check_says(
        &record,
        &[
            "  reverse name    could not be looked up: DNS trouble",
            "                  MAIL FROM: could not be checked for mailer.example: DNS trouble",
            "                  bank.example, selector s1 (rsa-sha256): could not be checked, DNS trouble",
            "  DMARC           could not be checked for bank.example: DNS trouble",
            "  ARC             the chain could not be checked: DNS trouble",
            "  reverse MX      reverse-path: the exchangers of mailer.example could not be looked up: DNS trouble",
        ],
    );
}

#[test]
fn a_reverse_path_that_can_receive_nothing() {
    let mut record = refused_at(Stage::Mail, Action::Reject, "unreachable", "550 5.1.8 no");
    record.facts.iprev = Default::default();
    record.facts.iprev.result = IprevResult::PermError;
    record.facts.reverse_mx.mail_from =
        ReverseMx { domain: "mailer.example".into(), result: ReverseMxResult::None, mx: Mx::Missing, secure: false };
    check_summary(&record, "Refused by rule unreachable: the answer was \"550 5.1.8 no\".");
    record.facts.reverse_mx.mail_from.mx = Mx::Null;
    check_says(&record, &["  reverse MX      reverse-path: mailer.example says that it takes no mail (null MX)"]);
}

#[test]
fn a_client_on_a_block_list() {
    let mut record = refused_at(Stage::Connect, Action::Reject, "listed", "550 5.7.1 no");
    let codes = vec!["spam source".into(), "proxy".into()];
    record.facts.block_lists.insert("zen.example".into(), BlockList { listed: true, codes, ..BlockList::default() });
    record.facts.block_lists.insert("other.example".into(), BlockList::default());
    record.facts.reverse_mx = Default::default();
    record.facts.spf = Default::default();
    check_summary(&record, "Refused by rule listed: the answer was \"550 5.7.1 no\".");
    check_says(
        &record,
        &[
            "  block lists     other.example: not listed",
            "                  zen.example: listed as spam source and proxy",
        ],
    );
    assert!(!story(&record).contains("reverse-path"), "at connect there is no reverse-path yet");
}

#[test]
fn domains_on_lists_and_lists_in_trouble() {
    let mut record = refused_at(Stage::Mail, Action::Reject, "listed", "550 5.7.1 no");
    let listed = |names: &[&str], codes: &[&str]| BlockList {
        listed: true,
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        codes: codes.iter().map(|code| (*code).to_owned()).collect(),
        temperror: false,
    };
    for (zone, list) in [
        ("a.example", listed(&["x.example", "y.example"], &["phish"])),
        ("b.example", listed(&["x.example", "y.example"], &[])),
        ("c.example", BlockList { temperror: true, ..BlockList::default() }),
    ] {
        record.facts.block_lists.insert(zone.into(), list);
    }
    check_says(
        &record,
        &[
            "  block lists     a.example: lists x.example and y.example as phish",
            "                  b.example: lists x.example and y.example",
            "                  c.example: could not be asked: DNS trouble, or it refuses our resolver",
        ],
    );
}

#[test]
fn what_helo_is_worth() {
    use HeloKind::{Domain, Invalid, Literal};
    for (kind, result, matches_ptr, expected) in [
        (Domain, HeloResult::Pass, true, "h.example has the client's address, and is its reverse name"),
        (Domain, HeloResult::Fail, false, "h.example has other addresses than the client's"),
        (Domain, HeloResult::PermError, false, "h.example does not exist, or has no address"),
        (Domain, HeloResult::TempError, false, "h.example could not be looked up: DNS trouble"),
        (Literal, HeloResult::Pass, false, "h.example is the client's address"),
        (Literal, HeloResult::Fail, false, "h.example is not the client's address"),
        (Invalid, HeloResult::None, false, "h.example is neither a full domain name nor an address literal"),
    ] {
        let mut record = forged();
        record.facts.helo = "h.example".into();
        record.facts.helo_check = HeloCheck { kind, result, matches_ptr };
        check_says(&record, &[&format!("  HELO            {expected}")]);
    }
}

#[test]
fn a_malformed_author() {
    let mut record = forged();
    record.facts.from.domain = String::new();
    record.facts.from.addresses = vec!["a@one.example".into(), "b@two.example".into()];
    record.facts.from.defects = vec!["several-fields".into(), "several-domains".into()];
    record.facts.dmarc = Dmarc::default();
    record.facts.reverse_mx = Default::default();
    record.decision.rule = "malformed-author".into();
    record.decision.reply = "550 5.6.0 the From field is malformed: several-fields ref=06H05F87B4000001".into();
    check_summary(
        &record,
        "Refused by rule malformed-author: the answer was \"550 5.6.0 the From field is malformed: several-fields\".",
    );
    check_says(
        &record,
        &[
            "  author          <a@one.example> and <b@two.example>; the From field has defects: several-fields and several-domains",
            "  DMARC           not applicable: there is no single author domain",
        ],
    );
}
