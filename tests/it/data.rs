//! Tests of data: where a message ends, what of it is content, and that the pieces it comes in make no difference.

use gatepost::smtp::data::{DataDefect, Frame, Framer};
use proptest::prelude::*;

use crate::support::corpora;

/// What came of the data: content, the end's position (after its last octet) if there was one, the defect.
#[derive(Debug, PartialEq, Eq)]
struct Framed {
    content: Vec<u8>,
    end: Option<usize>,
    defect: Option<DataDefect>,
    size: u64,
}

fn frame<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: u64) -> Framed {
    let mut framer = Framer::new(limit);
    let mut framed = Framed { content: Vec::new(), end: None, defect: None, size: 0 };
    let mut consumed = 0;
    'pieces: for piece in pieces {
        let mut rest = piece;
        loop {
            let (taken, found) = framer.next(rest);
            consumed += taken;
            rest = &rest[taken..];
            match found {
                Frame::NeedInput => {
                    assert!(rest.is_empty(), "all input is consumed before more is asked for");
                    break;
                }
                Frame::Content(content) => {
                    assert!(!content.is_empty());
                    assert_eq!(framed.defect, None, "no content after a defect");
                    framed.content.extend_from_slice(content);
                }
                Frame::End => {
                    framed.end = Some(consumed);
                    break 'pieces;
                }
            }
            framed.defect = framer.defect();
        }
        framed.defect = framer.defect();
    }
    framed.defect = framer.defect();
    framed.size = framer.size();
    framed
}

/// Frames `data` whole, in every two pieces, and octet by octet; all must agree.
#[track_caller]
fn check(data: &[u8], limit: u64) -> Framed {
    let whole = frame([data], limit);
    for at in 0..=data.len() {
        assert_eq!(
            frame([&data[..at], &data[at..]], limit),
            whole,
            "split at {at} of {:?}",
            data.escape_ascii().to_string()
        );
    }
    assert_eq!(frame(data.chunks(1), limit), whole, "octet by octet: {:?}", data.escape_ascii().to_string());
    whole
}

#[track_caller]
fn sound(data: &[u8], content: &[u8]) {
    let framed = check(data, 10_000);
    let expected =
        Framed { content: content.to_vec(), end: Some(data.len()), defect: None, size: content.len() as u64 };
    assert_eq!(framed, expected, "{:?}", data.escape_ascii().to_string());
}

#[track_caller]
fn defective(data: &[u8], defect: DataDefect) {
    let framed = check(data, 10_000);
    assert_eq!((framed.end, framed.defect), (Some(data.len()), Some(defect)), "{:?}", data.escape_ascii().to_string());
}

#[test]
fn data_ends_at_crlf_dot_crlf() {
    sound(b"a\r\n.\r\n", b"a\r\n");
    sound(b"\r\n.\r\n", b"\r\n");
    sound(b"a: b\r\n\r\nc\r\n\r\n\r\n.\r\n", b"a: b\r\n\r\nc\r\n\r\n\r\n");
}

#[test]
fn a_dot_right_after_the_354_is_an_empty_message() {
    sound(b".\r\n", b"");
}

#[test]
fn a_leading_dot_is_removed_and_no_other() {
    sound(b"..\r\n.\r\n", b".\r\n");
    sound(b"a\r\n..\r\n.\r\n", b"a\r\n.\r\n");
    sound(b"...\r\n..a\r\n.b\r\n. \r\nc.\r\n.\r\n", b"..\r\n.a\r\nb\r\n \r\nc.\r\n");
}

#[test]
fn nothing_less_ends_data_and_each_line_break_of_another_kind_is_a_defect() {
    for (text, defect) in [
        (&b"a\n.\n"[..], DataDefect::BareLf),
        (b"a\n.\r\n", DataDefect::BareLf),
        (b"a\r\n.\n", DataDefect::BareLf),
        (b"a\r.\r", DataDefect::BareCr),
        (b"a\r.\r\n", DataDefect::BareCr),
        (b"a\r\n.\r", DataDefect::BareCr),
        (b"a\r\n.\r\r\n", DataDefect::BareCr),
        (b"a\r\n\0.\r\n", DataDefect::Nul),
        (b"a\r\n.\0\r\n", DataDefect::Nul),
        (b"a\r\n.\r\0\n", DataDefect::BareCr),
        (b"\n.\r\n", DataDefect::BareLf),
        (b"\0", DataDefect::Nul),
        (b".\n", DataDefect::BareLf),
        (b".\rb", DataDefect::BareCr),
    ] {
        let mut data = text.to_vec();
        data.extend_from_slice(b"still the message\r\n.\r\n");
        defective(&data, defect);
    }
}

#[test]
fn the_first_defect_is_told() {
    defective(b"a\nb\rc\0d\r\n.\r\n", DataDefect::BareLf);
    defective(b"a\rb\nc\0d\r\n.\r\n", DataDefect::BareCr);
    defective(b"a\0b\nc\rd\r\n.\r\n", DataDefect::Nul);
}

#[test]
fn the_limit_counts_octets_of_the_message_and_too_big_goes_over_all() {
    let data = b"..345678\r\n.\r\n";
    assert_eq!(check(data, 9).defect, None);
    let framed = check(data, 8);
    assert_eq!((framed.defect, framed.end, framed.size), (Some(DataDefect::TooBig), Some(data.len()), 9));
    assert_eq!(framed.content, b".345678\r", "what is within the limit was passed on, and no more");
    assert_eq!(check(b"a\nb\rc\0d\r\n.\r\n", 3).defect, Some(DataDefect::TooBig));
    assert_eq!(check(b"a\r\n.\r\n", 0).content, b"");
}

#[test]
fn what_follows_the_end_is_left_for_the_session() {
    let framed = check(b"a\r\n.\r\nQUIT\r\n", 100);
    assert_eq!(framed.end, Some(6));
}

#[test]
fn without_defects_or_dots_a_chunk_is_one_slice() {
    let data = b"0123456789\r\n".repeat(5000);
    assert_eq!(Framer::new(u64::MAX).next(&data), (data.len(), Frame::Content(&data)));
}

/// The rule once more, over the whole data at once and without a thought for speed.
fn oracle(data: &[u8]) -> Framed {
    let end = if data.starts_with(b".\r\n") {
        Some(0)
    } else {
        data.windows(5).position(|window| window == b"\r\n.\r\n").map(|at| at + 2)
    };
    let raw = &data[..end.unwrap_or(data.len())];
    let mut content = Vec::new();
    let mut defect = None;
    for (at, &octet) in raw.iter().enumerate() {
        let line_start = at == 0 || raw[..at].ends_with(b"\r\n");
        let found = match octet {
            b'\r' if raw.get(at + 1).is_some_and(|&next| next != b'\n') => Some(DataDefect::BareCr),
            b'\n' if at == 0 || raw[at - 1] != b'\r' => Some(DataDefect::BareLf),
            0 => Some(DataDefect::Nul),
            _ => None,
        };
        defect = defect.or(found);
        if !(line_start && octet == b'.') {
            content.push(octet);
        }
    }
    Framed { size: content.len() as u64, content, end: end.map(|at| at + 3), defect }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn the_framer_agrees_with_the_oracle(data in proptest::collection::vec(
        proptest::sample::select(vec!["\r\n", ".", "\r\n.\r\n", "\r", "\n", "\0", "ab"]),
        0..24,
    ), ended: bool) {
        let mut data = data.concat().into_bytes();
        if ended {
            data.extend_from_slice(b"\r\n.\r\n");
        }
        let (ours, theirs) = (check(&data, u64::MAX), oracle(&data));
        prop_assert_eq!(ours.end, theirs.end);
        if ours.end.is_some() {
            prop_assert_eq!(ours.defect, theirs.defect);
            prop_assert_eq!(ours.size, theirs.size);
        }
        match ours.defect {
            None if ours.end.is_some() => prop_assert_eq!(ours.content, theirs.content),
            _ => prop_assert!(theirs.content.starts_with(&ours.content)),
        }
    }
}

/// Each sequence that some server took for the end of data is none here; with a stray CR, LF or NUL in it the message
/// is defective, else the sequence is content.
#[test]
fn corpus_smuggling() {
    let Some(cases) = corpora::json("smtp-smuggling", "cases.json") else { return };
    let cases = cases["eod"].as_array().unwrap();
    assert!(!cases.is_empty());
    for case in cases {
        let id = case["id"].as_str().unwrap();
        let sequence = corpora::decoded(case["sequence_b64"].as_str().unwrap());
        let mut data = corpora::decoded(case["after_354_b64"].as_str().unwrap());
        let natural_end = data.len();
        data.extend_from_slice(b"\r\n.\r\n");
        let framed = check(&data, 100_000);
        let at = data.windows(sequence.len()).position(|window| window == sequence).unwrap();
        if case["must"].as_str().unwrap().starts_with("NUL byte then a REAL end") {
            assert_eq!(framed.end, Some(at + sequence.len()), "{id}");
        } else {
            assert_eq!(framed.end, Some(natural_end), "{id}: the data ends where the client ended it");
        }
        let stray = sequence.contains(&0) || oracle(&data).defect.is_some();
        assert_eq!(framed.defect.is_some(), stray, "{id}: {framed:?}");
    }
}
