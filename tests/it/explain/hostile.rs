//! What clients sent, in words.

use super::*;

#[test]
fn nothing_that_a_client_sent_acts_on_a_terminal_or_makes_a_line() {
    let hostile = "x\n  DMARC           passed\r\u{1b}[2J\u{1b}]0;title\u{7}\u{9b}31m\u{202e}moc\u{2066}\u{200b}\u{feff}\u{7f}\u{301}\u{e0041}";
    let mut record = forged();
    record.trouble = "x".into();
    let lines = story(&record).lines().count();
    let facts = &mut record.facts;
    let (signature, recipient) = (&mut facts.dkim[0], &mut record.recipients[0]);
    for text in [
        &mut facts.client.name,
        &mut facts.helo,
        &mut facts.mail_from.address,
        &mut facts.mail_from.domain,
        &mut facts.message.message_id,
        &mut facts.from.addresses[0],
        &mut facts.from.domain,
        &mut facts.iprev.name,
        &mut facts.spf.mail_from.domain,
        &mut signature.domain,
        &mut signature.selector,
        &mut signature.algorithm,
        &mut signature.reason,
        &mut facts.dmarc.domain,
        &mut facts.reverse_mx.mail_from.domain,
        &mut record.reference,
        &mut record.time,
        &mut record.rules[0].name,
        &mut record.policy.file,
        &mut record.policy.sha256,
        &mut recipient.address,
        &mut recipient.mailboxes[0],
        &mut recipient.reply,
        &mut record.decision.rule,
        &mut record.decision.reply,
        &mut record.trouble,
    ] {
        *text = hostile.into();
    }
    let story = story(&record);
    assert_eq!(story.lines().count(), lines, "{story}");
    for character in story.chars().filter(|character| *character != '\n') {
        let bad = character.is_control() || "\u{202e}\u{2066}\u{200b}\u{feff}\u{301}\u{e0041}".contains(character);
        assert!(!bad, "{character:?} in {story:?}");
    }
    assert!(
        story.contains("\\n  DMARC           passed\\r\\u{1b}[2J\\u{1b}]0;title\\u{7}\\u{9b}31m\\u{202e}moc\\u{2066}"),
        "{story}"
    );
}

#[test]
fn long_texts_and_long_lists_are_cut() {
    let mut record = honest();
    record.facts.helo = "h".repeat(100_000);
    record.facts.from.addresses = (0..50).map(|n| format!("a{n}@bank.example")).collect();
    let story = story(&record);
    assert!(story.len() < 6_000, "{}", story.len());
    assert!(story.contains("<a9@bank.example> and 40 more\n"), "{story}");
}

#[test]
fn letters_of_all_languages_stay_readable() {
    let mut record = honest();
    record.facts.mail_from.address = "Jürgen.名前@bänk.example".into();
    check_says(&record, &["  reverse-path    <Jürgen.名前@bänk.example>"]);
}

proptest! {
    #[test]
    fn what_is_shown_is_printable_and_of_bounded_length(text in any::<String>(), limit in 0usize..50) {
        let said = shown(&text, limit);
        prop_assert!(!said.chars().any(char::is_control), "{said:?}");
        // An escape is ten characters at most, and a mark says that something is missing.
        prop_assert!(said.chars().count() <= 10 * limit + 1);
        prop_assert_eq!(said.ends_with('…'), text.chars().count() > limit || text.chars().nth(limit.wrapping_sub(1)) == Some('…') && limit > 0);
    }

    #[test]
    fn a_cut_text_is_the_start_of_the_whole(text in any::<String>(), limit in 1usize..50) {
        let mut short = text.clone();
        cut(&mut short, limit);
        prop_assert!(short.chars().count() <= limit);
        if text.chars().count() <= limit {
            prop_assert_eq!(short, text);
        } else {
            prop_assert!(short.ends_with('…') && text.starts_with(short.trim_end_matches('…')));
            prop_assert_eq!(short.chars().count(), limit);
        }
    }
}
