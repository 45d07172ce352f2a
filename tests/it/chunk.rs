//! Tests of chunks: what of them is content, what is a defect, and that it makes no difference how a message is cut into them.

use gatepost::smtp::chunk::Chunks;
use gatepost::smtp::data::DataDefect;
use proptest::prelude::*;

/// What came of a message: content with its end, the defect, the size.
type Found = (Vec<u8>, Option<DataDefect>, u64);

fn push_all<'a>(pieces: impl IntoIterator<Item = &'a [u8]>, limit: u64) -> Found {
    let mut chunks = Chunks::new(limit);
    let mut content = Vec::new();
    for piece in pieces {
        let before = chunks.defect();
        let taken = chunks.push(piece);
        assert!(before.is_none() || taken.is_empty(), "no content after a defect");
        content.extend_from_slice(taken);
    }
    content.extend_from_slice(chunks.finish());
    (content, chunks.defect(), chunks.size())
}

/// As one piece, in every two pieces, and octet by octet; all must agree.
#[track_caller]
fn check(message: &[u8], limit: u64) -> Found {
    let whole = push_all([message], limit);
    for at in 0..=message.len() {
        let (head, tail) = message.split_at(at);
        assert_eq!(push_all([head, tail], limit), whole, "split at {at} of {:?}", message.escape_ascii().to_string());
    }
    assert_eq!(push_all(message.chunks(1), limit), whole, "octet by octet: {:?}", message.escape_ascii().to_string());
    whole
}

#[test]
fn content_is_what_was_sent_and_dots_are_content() {
    for message in [&b""[..], b"\r\n", b"a: b\r\n\r\n.\r\n..c\r\n.\r\n", b"x\r\n\r\n\r\n", b"\xff\x80\r\n"] {
        assert_eq!(check(message, 100), (message.to_vec(), None, message.len() as u64));
    }
}

#[test]
fn a_last_line_without_crlf_gets_one_and_it_counts() {
    assert_eq!(check(b"a: b", 6), (b"a: b\r\n".to_vec(), None, 6));
    assert_eq!(check(b"a\r\nb", 5).1, Some(DataDefect::TooBig), "there is no room for it");
    assert_eq!(check(b"a\r\nb\r", 100).1, Some(DataDefect::BareCr), "half a line end is none");
}

#[test]
fn stray_line_ends_and_nul_are_defects_and_the_first_is_told() {
    for (message, content, defect) in [
        (&b"a\nb\rc\0\r\n"[..], &b"a"[..], DataDefect::BareLf),
        (b"\n", b"", DataDefect::BareLf),
        (b"a\r\n\n", b"a\r\n", DataDefect::BareLf),
        (b"a\rb\n\r\n", b"a\r", DataDefect::BareCr),
        (b"a\r\r\n", b"a\r", DataDefect::BareCr),
        (b"a\r\0\r\n", b"a\r", DataDefect::BareCr),
        (b"\0", b"", DataDefect::Nul),
        (b"a\r\n\0", b"a\r\n", DataDefect::Nul),
    ] {
        let found = check(message, 100);
        assert_eq!((found.0.as_slice(), found.1), (content, Some(defect)), "{}", message.escape_ascii());
        assert_eq!(found.2, message.len() as u64, "what is refused is counted too");
    }
}

#[test]
fn room_is_told_before_a_chunk_comes_and_never_overflows() {
    let mut chunks = Chunks::new(10);
    assert!(chunks.has_room_for(10) && !chunks.has_room_for(11));
    chunks.push(b"12345\r\n");
    assert!(chunks.has_room_for(3) && !chunks.has_room_for(4));
    assert!(!chunks.has_room_for(u64::MAX));
    assert!(Chunks::new(u64::MAX).has_room_for(u64::MAX));
}

/// The rule once more, over the whole message at once.
fn oracle(message: &[u8]) -> (Vec<u8>, Option<DataDefect>) {
    for (at, &octet) in message.iter().enumerate() {
        let defect = match octet {
            b'\r' if message.get(at + 1) != Some(&b'\n') => DataDefect::BareCr,
            b'\n' if at == 0 || message[at - 1] != b'\r' => DataDefect::BareLf,
            0 => DataDefect::Nul,
            _ => continue,
        };
        return (message[..at + usize::from(octet == b'\r')].to_vec(), Some(defect));
    }
    let lacks_an_end = !message.is_empty() && !message.ends_with(b"\n");
    ([message, if lacks_an_end { b"\r\n" } else { b"" }].concat(), None)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn chunks_agree_with_the_oracle(pieces in proptest::collection::vec(
        proptest::sample::select(vec!["\r\n", ".", "\r", "\n", "\0", "ab"]),
        0..24,
    )) {
        let message = pieces.concat().into_bytes();
        let (content, defect, _) = check(&message, u64::MAX);
        prop_assert_eq!((content, defect), oracle(&message));
    }
}
