//! Changing a message's own header: what is taken out, put in, replaced and tagged, octet for octet.

use gatepost::message::edit::{Edit, Put};
use gatepost::message::header::Header;
use gatepost::message::unstructured::field;
use proptest::prelude::*;

/// The text of a field, given whole, as a person reads it.
fn decoded(field: &[u8]) -> String {
    let header = Header::parse(field.to_vec());
    gatepost::message::decoded::decoded(header.fields().next().unwrap())
}

/// What `edit` makes of a header: the fields above it and itself.
fn edited(header: &str, edit: &Edit<'_>) -> (String, String) {
    let header = Header::parse(Header::parse(header.as_bytes().to_vec()).without(|field| field.is("x-ours")));
    let edited = edit.apply(&header);
    (String::from_utf8(edited.above).unwrap(), String::from_utf8(edited.header).unwrap())
}

#[track_caller]
fn check(header: &str, edit: Edit<'_>, above: &str, below: &str) {
    assert_eq!(edited(header, &edit), (above.to_owned(), below.to_owned()));
}

const HEADER: &str = "X-Ours: 1\r\nX-Spam-Status: yes,\r\n\tscore=5\r\nfrom: a@b.example\r\nX-Spam: 1\r\nX-SPAM-Level : ***\r\nSubject: hello\r\n  there\r\nno field\r\nReply-To: c@d.example\r\nReply-To: e@f.example\r\n";

#[test]
fn fields_are_removed_whole_by_name_or_by_its_beginning() {
    let rest = "from: a@b.example\r\nX-Spam: 1\r\nSubject: hello\r\n  there\r\nno field\r\nReply-To: c@d.example\r\nReply-To: e@f.example\r\n";
    check(HEADER, Edit { remove: vec!["x-spam-*"], ..Edit::default() }, "", rest);
    let one = Edit { remove: vec!["subject", "reply-to"], ..Edit::default() };
    let rest =
        "X-Spam-Status: yes,\r\n\tscore=5\r\nfrom: a@b.example\r\nX-Spam: 1\r\nX-SPAM-Level : ***\r\nno field\r\n";
    check(HEADER, one, "", rest);
}

#[test]
fn fields_are_put_above_or_where_the_first_of_their_name_stood() {
    let put = |name, text, replaces| Put { name, text, replaces };
    let edit = Edit {
        remove: vec!["reply-to", "x-none"],
        put: vec![
            put("X-New", "one", false),
            put("Reply-To", "g@h.example", true),
            put("X-None", "there was none", true),
            put("X-New", "two", false),
        ],
        ..Edit::default()
    };
    check(
        "Reply-To: c@d.example\r\nFrom: a@b.example\r\nReply-To: e@f.example\r\n",
        edit,
        "X-New: one\r\nX-None: there was none\r\nX-New: two\r\n",
        "Reply-To: g@h.example\r\nFrom: a@b.example\r\n",
    );
}

#[test]
fn a_tag_stands_in_front_of_the_subject_once() {
    let tag = |tags: &[&'static str]| Edit { tags: tags.to_vec(), ..Edit::default() };
    let one = tag(&["[EXTERNAL] "]);
    let same = [
        "Subject: [EXTERNAL] hi\r\n",
        "Subject: Re: [EXTERNAL] hi\r\n",
        "Subject: =?utf-8?B?UmU6IFtFWFRFUk5BTF0gZ3LDvMOfZQ==?=\r\n",
        "subject:[EXTERNAL]\r\n",
        "Subject: =?iso-8859-1?q?=5BEXTER?=\r\n =?iso-8859-1?q?NAL=5D_x?=\r\n",
    ];
    for header in same {
        check(header, one.clone(), "", header);
    }
    check("Subject: hi\r\n", one.clone(), "", "Subject: [EXTERNAL] hi\r\n");
    check("SUBJECT :   hi\r\n\tthere\r\nX: y\r\n", one.clone(), "", "Subject: [EXTERNAL] hi\r\n\tthere\r\nX: y\r\n");
    check("Subject:\r\n hi\r\n", one.clone(), "", "Subject: [EXTERNAL] hi\r\n");
    check("Subject:\r\n", one.clone(), "", "Subject: [EXTERNAL]\r\n");
    check(
        "Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n",
        one.clone(),
        "",
        "Subject: [EXTERNAL] =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n",
    );
    check("From: a@b.example\r\n", one.clone(), "Subject: [EXTERNAL]\r\n", "From: a@b.example\r\n");
    check(
        "Subject: one\r\nSubject: two\r\n",
        one.clone(),
        "",
        "Subject: [EXTERNAL] one\r\nSubject: [EXTERNAL] two\r\n",
    );
    check(
        "Subject: [EXTERNAL] one\r\nsubject: two\r\n",
        one.clone(),
        "",
        "Subject: [EXTERNAL] one\r\nSubject: [EXTERNAL] two\r\n",
    );
    let long = "x".repeat(80);
    check(&format!("Subject: {long}\r\n"), one, "", &format!("Subject: [EXTERNAL]\r\n {long}\r\n"));
    check("Subject: [A] hi\r\n", tag(&["[A] ", "[B] "]), "", "Subject: [B] [A] hi\r\n");
    check("Subject: hi\r\n", tag(&["[A] ", "[B] "]), "", "Subject: [A] [B] hi\r\n");
    check("Subject: hi\r\n", tag(&["SPAM:"]), "", "Subject: SPAM:hi\r\n");
}

/// A sender who writes the tag where nobody sees it has not tagged the message.
#[test]
fn a_tag_counts_only_where_it_is_seen() {
    let edit = Edit { tags: vec!["[EXTERNAL] ", "SPAM: "], ..Edit::default() };
    let tagged = |subject: &str| edited(&format!("Subject: {subject}\r\n"), &edit).1.replace("\r\n ", " ");
    for subject in [
        "SPAM: [EXTERNAL] hi",
        "[EXTERNAL] SPAM: hi",
        "RE: fwd: [EXTERNAL] AW:WG: SPAM: hi",
        "Sv: [some-list] Fw: [EXTERNAL]SPAM: hi",
    ] {
        assert_eq!(tagged(subject), format!("Subject: {subject}\r\n"));
    }
    let far = "x".repeat(200);
    for subject in [
        format!("Urgent {far} [EXTERNAL] SPAM:"),
        format!("[{far}] [EXTERNAL] SPAM: hi"),
        format!("{}[EXTERNAL] SPAM: hi", "Re: ".repeat(50)),
        "hi [EXTERNAL] SPAM:".to_owned(),
        "Regarding: [EXTERNAL] SPAM: hi".to_owned(),
        "[open [EXTERNAL] SPAM: hi".to_owned(),
        "\u{fc}: [EXTERNAL] SPAM: hi".to_owned(),
    ] {
        assert_eq!(tagged(&subject), format!("Subject: [EXTERNAL] SPAM: {subject}\r\n"));
    }
}

#[test]
fn a_tag_in_another_script_is_an_encoded_word() {
    let tag = Edit { tags: vec!["[\u{dc}bel] "], ..Edit::default() };
    let (_, plain) = edited("Subject: hi there\r\n", &tag);
    assert_eq!(plain, "Subject: =?UTF-8?Q?=5B=C3=9Cbel=5D?= hi there\r\n");
    assert_eq!(decoded(plain.as_bytes()), "[\u{dc}bel] hi there");
    let (_, encoded) = edited("Subject: =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n", &tag);
    assert_eq!(encoded, "Subject: =?UTF-8?Q?=5B=C3=9Cbel=5D_?= =?utf-8?q?gr=C3=BC=C3=9Fe?=\r\n");
    assert_eq!(decoded(encoded.as_bytes()), "[\u{dc}bel] gr\u{fc}\u{df}e");
    assert_eq!(edited(&encoded, &tag), (String::new(), encoded), "never twice");
}

#[test]
fn a_replaced_subject_has_its_tag_too() {
    let put = vec![Put { name: "Subject", text: "said by us", replaces: true }];
    let edit = Edit { remove: vec!["subject"], put, tags: vec!["[X] "] };
    check("Subject: hello\r\nA: b\r\n", edit.clone(), "", "Subject: [X] said by us\r\nA: b\r\n");
    check("A: b\r\n", edit, "Subject: [X] said by us\r\n", "A: b\r\n");
}

#[test]
fn a_text_becomes_one_folded_field() {
    let text = |text: &str| String::from_utf8(field("X-Why", text)).unwrap();
    assert_eq!(text("plain  text"), "X-Why: plain  text\r\n");
    assert_eq!(text("a\r\nX-Second: b"), "X-Why: a  X-Second: b\r\n");
    assert_eq!(text("gr\u{fc}\u{df}e"), "X-Why: =?UTF-8?Q?gr=C3=BC=C3=9Fe?=\r\n");
    assert_eq!(
        text("=?x?q?y?="),
        "X-Why: =?UTF-8?Q?=3D=3Fx=3Fq=3Fy=3F=3D?=\r\n",
        "what looks encoded is no encoded word of ours"
    );
    let words = vec!["word"; 40].join(" ");
    let folded = text(&words);
    assert!(folded.lines().all(|line| line.len() <= 78), "{folded}");
    assert_eq!(folded.replace("\r\n ", " "), format!("X-Why: {words}\r\n"));
}

proptest! {
    /// Whatever a message's header and an operator's tags are: every line ends, none is too long by us, and a second run changes nothing.
    #[test]
    fn an_edit_of_any_header_leaves_a_header(subject in "[ -~\t]{0,200}", tag in "[\\[\\]A-Z\u{c0}-\u{ff} ]{1,20}", other in any::<Vec<u8>>()) {
        prop_assume!(!tag.trim().is_empty() && !tag.contains("=?"));
        let mut raw = format!("A: b\r\nSubject: {subject}\r\n").into_bytes();
        raw.extend(other.iter().filter(|octet| !matches!(octet, b'\r' | b'\n')));
        raw.extend_from_slice(b"\r\n");
        let edit = Edit { tags: vec![&tag], ..Edit::default() };
        let header = Header::parse(raw);
        let once = edit.apply(&header);
        prop_assert!(once.header.ends_with(b"\r\n") && once.above.is_empty());
        let again = Header::parse(once.header.clone());
        prop_assert_eq!(again.named("subject").count(), header.named("subject").count());
        let shown = decoded(again.named("subject").next().unwrap().raw);
        let wanted = tag.split_whitespace().collect::<Vec<_>>().join(" ");
        if !subject.contains("=?") {
            let shown = shown.split_whitespace().collect::<Vec<_>>().join(" ");
            prop_assert!(shown.contains(&wanted), "{shown:?} lacks {wanted:?}");
            prop_assert_eq!(edit.apply(&again).header, once.header);
        }
    }

    #[test]
    fn any_text_is_one_field_that_says_it(text in "\\PC{0,300}") {
        let written = field("X-Why", &text);
        let header = Header::parse(written.clone());
        prop_assert_eq!(header.fields().count(), 1);
        prop_assert!(written.split(|octet| *octet == b'\n').all(|line| line.len() <= 998));
        let words = |text: &str| text.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
        prop_assert_eq!(words(&decoded(&written)), words(&text));
    }
}
