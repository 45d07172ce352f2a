//! Whole stories: honest, forged, quarantined, refused.

use super::*;

#[test]
fn honest_mail_is_told_whole() {
    let expected = "\
Accepted and stored for alice@example.com: the author domain bank.example vouches for it by a DKIM signature of bank.example and SPF of bank.example.
ref 06H05F87B4000001, 2026-11-22T10:11:12.345Z, settled at stage data

Claimed
  client          192.0.2.1 port 4711, mail.bank.example
  session         TLSv1.3 with TLS13_AES_256_GCM_SHA384 and X25519MLKEM768
  HELO            mail.bank.example
  reverse-path    <ann@bank.example>
  author          <ann@bank.example>
  Reply-To        an address of bank.example
  message         1234 octets, Message-ID <1@bank.example>

Found
  reverse name    passed: mail.bank.example has the client's address
  SPF             HELO: mail.bank.example has no SPF record
                  MAIL FROM: passed for bank.example
  DKIM            bank.example, selector s1 (rsa-sha256): verified
  DMARC           passed for bank.example; bank.example publishes p=reject
  ARC             no chain
  reverse MX      reverse-path: the client is a mail exchanger of bank.example
                  reverse name: the client is mail.bank.example itself, which has no MX

Rules
  no-reverse-name  at mail: did not match
  dmarc-reject     at data: did not match
  score            0
  policy           default.toml (built in), sha256 0123456789ab

Recipients
  <alice@example.com>  for alice@example.com; answered 250 2.1.5 ok

Outcome
  answered        250 2.0.0 accepted, ref=06H05F87B4000001
  stored          alice@example.com (INBOX): example.com/alice/new/1.M2P3.mx,S=1500
  took            12.3 ms: 9.8 ms for evidence, 42 µs to decide, 1.2 s to write
";
    assert_eq!(story(&honest()), expected);
}

#[test]
fn a_forged_author_is_told_whole() {
    let expected = "\
Refused by rule dmarc-reject: the author domain bank.example publishes p=reject, SPF passed only for mailer.example, and no DKIM signature of bank.example verified.
ref 06H05F87B4000001, 2026-11-22T10:11:12.345Z, settled at stage data by rule dmarc-reject

Claimed
  client          192.0.2.1 port 4711, mail.mailer.example
  session         in clear
  HELO            mail.mailer.example
  reverse-path    <x@mailer.example>
  author          <ann@bank.example>
  message         1234 octets, Message-ID <1@bank.example>

Found
  reverse name    passed: mail.mailer.example has the client's address
  SPF             HELO: not checked
                  MAIL FROM: passed for mailer.example, which is not the author's domain bank.example
  DKIM            no signature of bank.example verified
                  bank.example, selector s1 (rsa-sha256): did not verify: body hash does not match
  DMARC           failed: nothing that passed belongs to bank.example; bank.example publishes p=reject
  ARC             no chain
  reverse MX      reverse-path: the client is no mail exchanger of mailer.example

Rules
  no-reverse-name  at mail: did not match
  dmarc-reject     at data: matched and decided: reject
  score            0
  policy           default.toml (built in), sha256 0123456789ab

Recipients
  <alice@example.com>  for alice@example.com; answered 250 2.1.5 ok

Outcome
  answered        550 5.7.1 bank.example asks receivers to refuse mail that fails DMARC ref=06H05F87B4000001
  stored          nothing
  took            12.3 ms: 9.8 ms for evidence, 42 µs to decide, 1.2 s to write
";
    assert_eq!(story(&forged()), expected);
}

#[test]
fn a_message_that_was_put_into_junk() {
    let mut record = forged();
    record.facts.dmarc.published = DmarcPolicy::None;
    record.facts.dmarc.policy = DmarcPolicy::None;
    record.facts.spf.mail_from = spf(MethodResult::SoftFail, "mailer.example");
    record.facts.dkim = vec![];
    record.facts.score = 5.5;
    record.rules = vec![
        rule("no-reverse-name", Stage::Mail, Outcome::Scored),
        rule("unvouched", Stage::Data, Outcome::Scored),
        rule("score", Stage::Data, Outcome::Acted),
    ];
    record.decision = DecisionRecord {
        action: Action::Quarantine,
        rule: "score".into(),
        reply: "250 2.0.0 accepted".into(),
        ..DecisionRecord::default()
    };
    record.delivery = vec![
        DeliveryRecord {
            mailbox: "alice@example.com".into(),
            folder: "Junk".into(),
            file: "example.com/alice/.Junk/new/1".into(),
        },
        DeliveryRecord {
            mailbox: "bob@example.com".into(),
            folder: "Junk".into(),
            file: "example.com/bob/.Junk/new/2".into(),
        },
    ];
    check_summary(
        &record,
        "Quarantined by rule score and stored for alice@example.com and bob@example.com: the score is 5.5 by no-reverse-name and \
         unvouched.",
    );
    check_says(
        &record,
        &[
            "                  MAIL FROM: softfail: mailer.example says that 192.0.2.1 should probably not send its mail",
            "  DKIM            the message has no signature",
            "  unvouched        at data: matched, its score was added",
            "  score            5.5",
            "  stored          alice@example.com (Junk): example.com/alice/.Junk/new/1",
            "                  bob@example.com (Junk): example.com/bob/.Junk/new/2",
        ],
    );
}

#[test]
fn a_subdomain_under_its_organization_s_policy() {
    let mut record = forged();
    record.facts.from.domain = "news.bank.example".into();
    record.facts.dmarc.policy = DmarcPolicy::Quarantine;
    record.facts.dkim = vec![];
    check_summary(
        &record,
        "Refused by rule dmarc-reject: the author domain news.bank.example is under p=reject of bank.example (quarantine applies), \
         SPF passed only for mailer.example, and there is no DKIM signature.",
    );
    check_says(
        &record,
        &[
            "  DMARC           failed: nothing that passed belongs to news.bank.example; bank.example publishes p=reject, of which quarantine applies here",
        ],
    );
}

#[test]
fn a_report_with_the_null_reverse_path() {
    let mut record = honest();
    record.facts.mail_from = Address::default();
    record.facts.spf.helo = spf(MethodResult::Pass, "mail.bank.example");
    record.facts.spf.mail_from = Spf::default();
    record.facts.dkim = vec![];
    record.facts.reverse_mx.mail_from = ReverseMx::default();
    check_summary(
        &record,
        "Accepted and stored for alice@example.com: the author domain bank.example vouches for it by SPF of mail.bank.example.",
    );
    check_says(
        &record,
        &[
            "  reverse-path    <> (the null reverse-path: a report, not to be answered)",
            "  SPF             HELO: passed for mail.bank.example",
            "                  MAIL FROM: nothing to check, the reverse-path is null",
        ],
    );
}

#[test]
fn an_attempt_to_relay() {
    let mut record = refused_at(Stage::Rcpt, Action::Reject, "", "550 5.7.1 relaying denied ref=06H05F87B4000001");
    record.recipients = vec![Recipient {
        address: "bob@elsewhere.example".into(),
        mailboxes: vec![],
        reply: "550 5.7.1 relaying denied".into(),
        ..Recipient::default()
    }];
    check_summary(&record, "Refused at stage rcpt, by no rule: the answer was \"550 5.7.1 relaying denied\".");
    check_says(
        &record,
        &["  <bob@elsewhere.example>  answered 550 5.7.1 relaying denied", "  none            no rule was looked at"],
    );
    assert!(!story(&record).contains("DKIM"), "nothing is said of a message that never came");
}

#[test]
fn an_unknown_recipient_beside_a_known_one() {
    let mut record = honest();
    record.recipients.push(Recipient {
        address: "nobody@example.com".into(),
        mailboxes: vec![],
        reply: "550 5.1.1 no such mailbox".into(),
        ..Recipient::default()
    });
    record.recipients_more = 3;
    check_says(
        &record,
        &[
            "  <alice@example.com>   for alice@example.com; answered 250 2.1.5 ok",
            "  <nobody@example.com>  answered 550 5.1.1 no such mailbox",
            "                        and 3 more",
        ],
    );
}
