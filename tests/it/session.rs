//! Tests of session: what no dialog shows - wrong answers, endless lines, any octets at all - and the replies.

use std::sync::Arc;

use gatepost::smtp::address::AddressError;
use gatepost::smtp::data::DataDefect;
use gatepost::smtp::reply::{self, LINE_MAX, Reply, ReplyError};
use gatepost::smtp::session::{Capabilities, Limits, Notice, Question, Session, Step};
use proptest::prelude::*;

use crate::support::player::{Player, accept, capabilities};

fn codes(player: &Player<'_>) -> Vec<u16> {
    player.replies.iter().map(Reply::code).collect()
}

/// A player that has come as far as `DATA`, all accepted, and whose greeting is not among the replies.
fn player_in_data() -> Player<'static> {
    let mut player = Player::new(capabilities(), accept);
    player.feed(b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@example.com>\r\nDATA\r\n");
    assert_eq!(codes(&player), [250, 250, 250, 354]);
    player
}

#[test]
fn the_server_can_ask_where_the_session_is() {
    let mut player = Player::new(capabilities(), accept);
    let mut states = Vec::new();
    for line in ["HELO x\r\n", "MAIL FROM:<>\r\n", "RCPT TO:<a@b>\r\n", "DATA\r\n", "x\r\n", ".\r\n"] {
        player.feed(line.as_bytes());
        states.push((player.session.in_transaction(), player.session.in_data()));
    }
    let (out, open, data) = ((false, false), (true, false), (true, true));
    assert_eq!(states, [out, open, open, data, data, out]);
}

#[test]
fn an_answer_without_a_question_is_ignored() {
    let mut session = Session::new(Arc::new(capabilities()));
    session.answer(reply::mail_ok());
    assert_eq!(session.next(b""), (0, Step::NeedInput));
    assert_eq!(session.next(b"MAIL FROM:<>\r\n"), (14, Step::Reply(reply::bad_order("EHLO or HELO first"))));
}

#[test]
fn an_answer_that_does_not_fit_its_question_becomes_an_internal_error() {
    for (question, wrong) in [
        ("mail", reply::start_data()),
        ("recipient", reply::start_data()),
        ("data", reply::mail_ok()),
        ("message", reply::start_data()),
    ] {
        let mut player = Player::new(capabilities(), |asked| {
            let kind = match asked {
                Question::Mail { .. } => "mail",
                Question::Recipient { .. } => "recipient",
                Question::TooBig { .. } => "too big",
                Question::TooManyRecipients { .. } => "too many",
                Question::Data | Question::Chunks => "data",
                Question::Message { .. } => "message",
            };
            if kind == question { wrong.clone() } else { accept(asked) }
        });
        player.feed(b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n");
        let in_data = question == "message";
        assert_eq!(player.session.in_data(), in_data, "{question}");
        player.feed(if in_data { b".\r\n" } else { b"NOOP\r\n" });
        assert!(player.replies.contains(&reply::internal_error()), "{question}");
        assert_eq!(codes(&player).contains(&354), in_data, "{question}: no 354 but for the message that came");
    }
}

#[test]
fn a_421_in_answer_closes_whatever_was_asked() {
    let mut player = Player::new(capabilities(), |_| reply::shutting_down());
    player.feed(b"HELO x\r\nMAIL FROM:<>\r\nNOOP\r\n");
    assert!(player.closed);
    assert_eq!(codes(&player), [250, 421]);
}

#[test]
fn a_line_without_end_is_given_up() {
    let mut player = Player::new(capabilities(), accept);
    for _ in 0..3000 {
        player.feed(&[b'x'; 500]);
    }
    assert!(player.closed);
    assert_eq!(codes(&player), [500, 421]);
}

#[test]
fn a_line_that_leads_to_what_is_no_command_ends_the_session_whatever_is_wrong_with_it() {
    let long = "0".repeat(700);
    let bdat = [
        "BDAT 6\r",
        "BDAT\t6",
        "bdat\r",
        "BDAT6",
        " BDAT 6",
        "BDAT 6 LAST\rx",
        "BDAT 6 LAST \0",
        "BDAT,6",
        &format!("BDAT {long}6"),
    ];
    let foreign = [
        "POST / HTTP/1.1\r",
        "get\t/",
        "PUT",
        " POST /",
        "PROXY\tTCP4",
        &format!("POST /{long}"),
        &format!("PROXY {long}"),
    ];
    let lines = bdat.iter().map(|line| (line, 501)).chain(foreign.iter().map(|line| (line, 421)));
    for (line, code) in lines {
        let mut player = Player::new(capabilities(), accept);
        player.feed(b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\n");
        player.feed(line.as_bytes());
        player.feed(b"\r\nRSET\r\n");
        assert_eq!(codes(&player), [250, 250, 250, code], "{line:?}");
        assert!(player.closed, "{line:?}");
    }
    for line in ["BDATA 6\r", "POSTS /\r", "proxy\r", "NOOP\r", &format!("BDATA {long}")] {
        let mut player = Player::new(capabilities(), accept);
        player.feed(format!("{line}\r\nNOOP\r\n").as_bytes());
        assert_eq!(codes(&player), [500, 250], "{line:?}: a mistake like others");
    }
}

#[test]
fn the_rest_of_a_long_line_ends_at_crlf_even_between_two_reads() {
    for limit in [600, 700, 5000] {
        let mut limits = capabilities().limits;
        limits.line = limit;
        let mut player = Player::new(Capabilities { limits, ..capabilities() }, accept);
        player.feed(&vec![b'x'; limit - 1]);
        assert!(player.replies.is_empty());
        player.feed(b"\r");
        player.feed(b"\nNOOP\r\n");
        assert_eq!(codes(&player), [500, 250], "the CR at the limit and the LF after it end the line");
    }
}

#[test]
fn the_default_limits_are_what_the_rfc_asks_for_at_least() {
    let limits = Limits::default();
    assert!(limits.line >= 512 && limits.message >= 65_536 && limits.recipients >= 100);
}

#[test]
fn a_session_is_small() {
    assert!(size_of::<Session>() <= 512, "{}", size_of::<Session>());
}

#[test]
fn after_tls_nothing_is_left_of_what_was_said_before() {
    let mut session = Session::new(Arc::new(capabilities()));
    for line in ["EHLO plain\r\n", "STARTTLS\r\n"] {
        let mut input = line.as_bytes();
        loop {
            let (taken, step) = session.next(input);
            input = &input[taken..];
            if matches!(step, Step::NeedInput | Step::StartTls(_)) {
                break;
            }
        }
    }
    session.secured();
    assert_eq!(session.next(b"MAIL FROM:<>\r\n").1, Step::Reply(reply::bad_order("EHLO or HELO first")));
    let (_, step) = session.next(b"EHLO secure\r\n");
    assert!(matches!(step, Step::Notice(Notice::Helo { name, extended: true, .. }) if name == "secure"));
}

#[test]
fn content_comes_in_slices_of_the_input() {
    let mut player = player_in_data();
    let input = b"line one\r\nline two\r\n";
    assert_eq!(player.session.next(input), (input.len(), Step::Content(input)));
}

// Replies.

fn wire(reply: &Reply) -> String {
    let mut out = Vec::new();
    reply.write_to(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn a_reply_is_written_with_its_codes_and_crlf() {
    assert_eq!(wire(&Reply::new(550, (5, 7, 1), "no")), "550 5.7.1 no\r\n");
    assert_eq!(wire(&reply::greeting("mx.example.com")), "220 mx.example.com ESMTP Gatepost\r\n");
    assert_eq!(wire(&reply::start_data()).split(' ').next(), Some("354"));
    let ehlo = wire(&reply::ehlo(&capabilities(), "c", false, false));
    assert!(ehlo.starts_with("250-mx.example.com greets c\r\n250-PIPELINING\r\n"), "{ehlo}");
    assert!(ehlo.ends_with("\r\n250 LIMITS RCPTMAX=3\r\n"), "{ehlo}");
}

#[test]
fn what_a_reply_quotes_cannot_end_its_line() {
    let reply = Reply::new(550, (5, 1, 1), "no <a\r\n250 ok\0\u{e9}\u{1f}\u{7f}>".to_owned());
    assert_eq!(wire(&reply), "550 5.1.1 no <a\\x{D}\\x{A}250 ok\\x{0}\\x{E9}\\x{1F}\\x{7F}>\r\n");
    assert_eq!(reply.one_line(), wire(&reply).trim_end());
}

#[test]
fn a_long_reply_goes_on_in_the_next_line() {
    let words = "twelve words and a little more of it ".repeat(40);
    let written = wire(&Reply::new(550, (5, 7, 1), words.clone()));
    let lines: Vec<_> = written.split_terminator("\r\n").collect();
    assert!(lines.len() > 1);
    for (index, line) in lines.iter().enumerate() {
        assert!(line.len() + 2 <= LINE_MAX);
        let last = index + 1 == lines.len();
        assert!(line.starts_with(if last { "550 5.7.1 " } else { "550-5.7.1 " }), "{line}");
    }
    let joined = lines.iter().map(|line| line[10..].trim_end()).collect::<Vec<_>>().join(" ");
    assert_eq!(joined, words.trim_end());
    for line in wire(&Reply::new(550, (5, 7, 1), "x".repeat(2000))).split_inclusive("\r\n") {
        assert!(line.len() <= LINE_MAX);
    }
}

#[test]
fn a_reply_is_read_from_a_policys_words() {
    for (text, expected) in [
        ("550 5.7.1 go away", Ok(Reply::new(550, (5, 7, 1), "go away"))),
        ("451 4.7.1", Ok(Reply::new(451, (4, 7, 1), ""))),
        ("550 go away", Ok(Reply::new(550, (5, 0, 0), "go away"))),
        ("550 5.7 go", Ok(Reply::new(550, (5, 0, 0), "5.7 go"))),
        ("550 4.7.1 go", Err(ReplyError::Class)),
        ("354 go", Err(ReplyError::Code)),
        ("55 5.7.1 go", Err(ReplyError::Code)),
        ("600 6.7.1 go", Err(ReplyError::Code)),
        ("550-5.7.1 go", Err(ReplyError::Code)),
        ("go", Err(ReplyError::Code)),
        ("", Err(ReplyError::Code)),
        ("550 5.7.1 a\r\n250 b", Err(ReplyError::Lines)),
    ] {
        assert_eq!(Reply::parse(text), expected, "{text:?}");
    }
}

#[test]
fn a_softened_refusal_is_temporary_in_both_codes() {
    assert_eq!(Reply::new(550, (5, 7, 1), "no").soften(), Reply::new(451, (4, 7, 1), "no"));
    assert_eq!(reply::too_big().soften().one_line(), "452 4.3.4 message too big");
    assert_eq!(reply::io_error().soften(), reply::io_error());
    assert_eq!(reply::mail_ok().soften(), reply::mail_ok());
}

#[test]
fn a_refusal_ends_with_its_ref() {
    assert_eq!(wire(&reply::relaying().with_ref("0ABC")).trim_end().rsplit(' ').next(), Some("ref=0ABC"));
    assert_eq!(reply::mail_ok().with_ref("0ABC"), reply::mail_ok());
    let long = Reply::new(550, (5, 7, 1), "x ".repeat(600)).with_ref("0ABC");
    assert!(wire(&long).ends_with(" ref=0ABC\r\n"));
}

/// The table of DESIGN's replies: reason, code, enhanced status code.
#[test]
fn the_catalogue_says_the_agreed_codes() {
    for (reply, expected) in [
        (reply::busy(), "421 4.3.2"),
        (reply::too_many_from_address(), "421 4.7.0"),
        (reply::shutting_down(), "421 4.3.2"),
        (reply::idle(), "421 4.4.2"),
        (reply::session_over(), "421 4.4.2"),
        (reply::too_many_errors(), "421 4.7.0"),
        (reply::too_many_commands(), "421 4.7.0"),
        (reply::too_many_transactions(), "421 4.7.0"),
        (reply::not_smtp(), "421 4.7.0"),
        (reply::sent_ahead(), "554 5.5.0"),
        (reply::too_many_unknown(), "421 4.7.0"),
        (reply::chunk_ok(5), "250 2.0.0"),
        (reply::start_tls(), "220 2.0.0"),
        (reply::tls_unavailable(), "454 4.7.0"),
        (reply::mail_ok(), "250 2.1.0"),
        (reply::rcpt_ok(), "250 2.1.5"),
        (reply::accepted("R"), "250 2.0.0"),
        (reply::reset(), "250 2.0.0"),
        (reply::noop(), "250 2.0.0"),
        (reply::not_verified(), "252 2.5.0"),
        (reply::help(), "214 2.0.0"),
        (reply::quit(), "221 2.0.0"),
        (reply::line_too_long(), "500 5.5.2"),
        (reply::bare_line_end(), "500 5.5.2"),
        (reply::unknown_command(), "500 5.5.1"),
        (reply::bad_argument("x"), "501 5.5.4"),
        (reply::not_implemented(), "502 5.5.1"),
        (reply::bad_order("x"), "503 5.5.1"),
        (reply::no_recipients(), "554 5.5.1"),
        (reply::unknown_parameter(), "555 5.5.4"),
        (reply::bad_reverse_path(AddressError::Domain), "501 5.1.7"),
        (reply::bad_forward_path(AddressError::Domain), "501 5.1.3"),
        (reply::bad_reverse_path(AddressError::NonAscii), "553 5.6.7"),
        (reply::bad_forward_path(AddressError::NonAscii), "553 5.6.7"),
        (reply::relaying(), "550 5.7.1"),
        (reply::no_such_mailbox(), "550 5.1.1"),
        (reply::lookup_trouble(), "451 4.3.0"),
        (reply::dns_outage(), "451 4.4.3"),
        (reply::too_many_recipients(), "452 4.5.3"),
        (reply::differs_send_again(), "452 4.5.3"),
        (reply::too_big(), "552 5.3.4"),
        (reply::malformed("x"), "550 5.6.0"),
        (reply::data_defect(DataDefect::TooBig), "552 5.3.4"),
        (reply::data_defect(DataDefect::BareCr), "550 5.6.0"),
        (reply::data_defect(DataDefect::BareLf), "550 5.6.0"),
        (reply::data_defect(DataDefect::Nul), "550 5.6.0"),
        (reply::loop_detected(), "554 5.4.6"),
        (reply::mailbox_full(), "452 4.2.2"),
        (reply::scarce_send_again(), "452 4.5.3"),
        (reply::disk_full(), "452 4.3.1"),
        (reply::io_error(), "451 4.3.0"),
        (reply::internal_error(), "451 4.3.0"),
        (reply::refused_by_policy(), "550 5.7.1"),
        (reply::deferred_by_policy(), "451 4.7.1"),
    ] {
        let line = reply.one_line();
        assert!(line.strip_prefix(expected).is_some_and(|text| text.starts_with(' ')), "{line}: not {expected}");
        assert_eq!(reply.closes(), matches!(reply.code(), 221 | 421), "{line}");
        assert_eq!(Reply::parse(&line), Ok(reply.clone()), "{line}");
    }
    for reply in [reply::greeting("h"), reply::helo("h", "c"), reply::start_data()] {
        assert_eq!(reply.enhanced(), None, "{reply}");
    }
}

// Any input.

/// Pieces of dialogs, and of what is none; with BDAT among them or not.
fn fragments(chunks: bool) -> impl Strategy<Value = Vec<u8>> {
    let mut words = vec![
        "EHLO x\r\n",
        "HELO y\r\n",
        "MAIL FROM:<a@b.example>\r\n",
        "MAIL FROM:<> SMTPUTF8\r\n",
        "RCPT TO:<c@d.example>\r\n",
        "DATA\r\n",
        "RSET\r\n",
        "NOOP\r\n",
        "VRFY x\r\n",
        "STARTTLS\r\n",
        "QUIT\r\n",
        "WHAT\r\n",
        ".\r\n",
        "\r\n.\r\n",
        "\r\n",
        ".",
        "\r",
        "\n",
        "\0",
        "text",
        " ",
        "GET / HTTP/1.1\r\n",
        "\u{16}",
    ];
    if chunks {
        words.extend(["BDAT 4\r\n", "BDAT 7 LAST\r\n", "BDAT 0 LAST\r\n", "BDAT 2000\r\n", "BDAT\r\n"]);
    }
    let words = proptest::sample::select(words);
    let any = proptest::collection::vec(any::<u8>(), 1..6);
    let piece =
        prop_oneof![12 => words.prop_map(|word| word.as_bytes().to_vec()), 1 => any, 1 => Just(vec![b'x'; 650])];
    proptest::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(600))]

    #[test]
    fn any_input_comes_to_the_same_however_it_is_cut(input in fragments(true), seed: u64, opening: bool) {
        let opening = if opening { "EHLO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n" } else { "" };
        let input = [opening.as_bytes(), &input].concat();
        let mut whole = Player::new(capabilities(), accept);
        whole.feed(&input);
        let mut pieces = Player::new(capabilities(), accept);
        let (mut rest, mut state) = (&input[..], seed | 1);
        while !rest.is_empty() {
            state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let (piece, after) = rest.split_at(((state >> 60) as usize).clamp(1, rest.len()));
            pieces.feed(piece);
            rest = after;
        }
        prop_assert_eq!(whole.transcript(), pieces.transcript());
    }

    #[test]
    fn a_message_is_asked_about_only_after_crlf_dot_crlf(input in fragments(false)) {
        let input = [b"HELO x\r\nMAIL FROM:<>\r\nRCPT TO:<a@b>\r\nDATA\r\n", &input[..]].concat();
        let mut player = Player::new(capabilities(), accept);
        for octet in &input {
            let before = player.messages.len();
            player.feed(&[*octet]);
            if player.messages.len() > before {
                prop_assert!(player.consumed.ends_with(b"\r\n.\r\n"));
                let (content, defect) = &player.messages[before];
                prop_assert!(content.len() <= 1000);
                prop_assert!(defect.is_some() || content.is_empty() || content.ends_with(b"\r\n"));
            }
        }
    }

    #[test]
    fn a_command_line_has_one_reply(lines in proptest::collection::vec("[ -~]{0,30}|EHLO [a-z]{1,5}|MAIL FROM:<[a-z]{0,3}>|RCPT TO:<[a-z]@[a-z]>|DATA|RSET|BDAT 0( LAST)?", 0..40)) {
        let limits = Limits { errors: u32::MAX, ..capabilities().limits };
        // DATA is refused, so that all lines are commands.
        let mut player = Player::new(Capabilities { limits, ..capabilities() }, |question| match question {
            Question::Data | Question::Chunks => reply::internal_error(),
            other => accept(other),
        });
        for (index, line) in lines.iter().enumerate() {
            if player.closed {
                break;
            }
            player.feed(line.as_bytes());
            player.feed(b"\r\n");
            prop_assert_eq!(player.replies.len(), index + 1, "{:?}", line);
        }
    }
}
