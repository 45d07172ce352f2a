//! A message in chunks of BDAT, against a reading of all of it at once.

use gatepost::smtp::chunk::Chunks;
use gatepost::smtp::data::DataDefect;

use super::data::first_defect;
use super::{Target, options, outcome, pieces};

pub const TARGET: Target = Target {
    name: "chunk",
    run,
    seeds: &["testdata/fuzz/chunk"],
    words: &[b"\r\n.\r\n", b"\r\n", b"\r\r\n", b"\n\r", b"text"],
    longest: 2000,
    briefly: 4000,
};

/// What comes of these chunks: the content, what is wrong, the size; and whether all of them found room.
fn take(chunks: &[&[u8]], limit: u64) -> (Vec<u8>, Option<DataDefect>, u64, bool) {
    let mut taking = Chunks::new(limit);
    let mut content = Vec::new();
    for chunk in chunks {
        if !taking.has_room_for(chunk.len() as u64) {
            return (content, taking.defect(), taking.size(), false);
        }
        content.extend_from_slice(taking.push(chunk));
    }
    content.extend_from_slice(taking.finish());
    (content, taking.defect(), taking.size(), true)
}

/// The same from the whole text.
fn read_whole(text: &[u8], limit: u64) -> (Vec<u8>, Option<DataDefect>) {
    let lacks_end = !text.is_empty() && !text.ends_with(b"\n");
    match first_defect(text, true) {
        Some(defect) => (Vec::new(), Some(defect)),
        None if lacks_end && text.len() as u64 + 2 > limit => (Vec::new(), Some(DataDefect::TooBig)),
        None if lacks_end => ([text, b"\r\n"].concat(), None),
        None => (text.to_vec(), None),
    }
}

fn run(input: &[u8]) -> u64 {
    let ([limit, seed], text) = options(input);
    let limit = if limit.is_ascii_lowercase() { u64::from(limit - b'a') * 6 } else { 1 << 20 };
    let whole = take(&[text], limit);
    let fits = text.len() as u64 <= limit;
    assert_eq!(whole.3, fits, "room for what is within the limit, and for no more");
    if !fits {
        assert!(take(&pieces(text, seed), limit).2 <= limit, "more was taken than there is room for");
        return outcome(&"no room");
    }
    assert_eq!(take(&pieces(text, seed), limit), whole, "in pieces");
    assert_eq!(take(&text.chunks(1).collect::<Vec<_>>(), limit), whole, "octet by octet");
    let (content, defect, size, _) = whole;
    let expected = read_whole(text, limit);
    assert_eq!(defect, expected.1);
    assert!(size <= limit && size >= text.len() as u64);
    assert!(defect.is_some() || content == expected.0, "the message is not what was sent");
    assert!(defect.is_none() || text.starts_with(&content));
    outcome(&(defect, content.len().min(8)))
}
