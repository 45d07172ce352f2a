//! The framing of DATA, against a reading of the whole text: it ends at the first CRLF.CRLF, dots are removed line by line.

use gatepost::smtp::data::{DataDefect, Frame, Framer};

use super::{Target, options, outcome, pieces};

pub const TARGET: Target = Target {
    name: "data",
    run,
    seeds: &["testdata/fuzz/data"],
    words: &[b"\r\n.\r\n", b"\r\n..\r\n", b"\r\n.", b"\r\n.\r", b"\r\r\n", b".\r\n", b"\n\r", b"\r\n.\0\r\n", b"text"],
    longest: 2000,
    briefly: 4000,
};

/// What is to come of data that has its end.
#[derive(Debug, PartialEq, Eq)]
pub struct Framed {
    /// Octets up to the end, which is among them.
    pub consumed: usize,
    /// The message, whole.
    pub message: Vec<u8>,
    /// What is wrong with it.
    pub defect: Option<DataDefect>,
}

/// Reads the octets after the 354.
pub fn read_whole(octets: &[u8], limit: u64) -> Option<Framed> {
    let end = find(&[b"\r\n", octets].concat(), b"\r\n.\r\n")?;
    let stuffed = &octets[..end];
    let line_start = |at: usize| at == 0 || stuffed[..at].ends_with(b"\r\n");
    let kept = |(at, octet): (usize, &u8)| (*octet != b'.' || !line_start(at)).then_some(*octet);
    let message: Vec<u8> = stuffed.iter().enumerate().filter_map(kept).collect();
    let defect = if message.len() as u64 > limit { Some(DataDefect::TooBig) } else { first_defect(stuffed, true) };
    Some(Framed { consumed: end + 3, message, defect })
}

/// The first octet that no message may have (RFC 5321 §2.3.8, §4.5.2). A CR at the end is one only where nothing follows.
pub fn first_defect(text: &[u8], ended: bool) -> Option<DataDefect> {
    text.iter().enumerate().find_map(|(at, octet)| match octet {
        0 => Some(DataDefect::Nul),
        b'\n' if !text[..at].ends_with(b"\r") => Some(DataDefect::BareLf),
        b'\r' if text.get(at + 1).map_or(ended, |next| *next != b'\n') => Some(DataDefect::BareCr),
        _ => None,
    })
}

/// Where `what` begins first.
pub fn find(text: &[u8], what: &[u8]) -> Option<usize> {
    text.windows(what.len()).position(|window| window == what)
}

/// What the framer makes of it: how much it consumed, the content, whether it saw the end, what was wrong.
fn frame(pieces: &[&[u8]], limit: u64) -> (usize, Vec<u8>, bool, Option<DataDefect>, u64) {
    let mut framer = Framer::new(limit);
    let (mut consumed, mut content) = (0, Vec::new());
    for piece in pieces {
        let mut rest = *piece;
        loop {
            let (taken, found) = framer.next(rest);
            consumed += taken;
            rest = &rest[taken..];
            match found {
                Frame::NeedInput => {
                    assert!(rest.is_empty(), "more is asked for, and something is left");
                    break;
                }
                Frame::Content(octets) => {
                    assert!(!octets.is_empty());
                    content.extend_from_slice(octets);
                }
                Frame::End => return (consumed, content, true, framer.defect(), framer.size()),
            }
        }
    }
    (consumed, content, false, framer.defect(), framer.size())
}

fn run(input: &[u8]) -> u64 {
    let ([limit, seed], octets) = options(input);
    let limit = if limit.is_ascii_lowercase() { u64::from(limit - b'a') * 6 } else { 1 << 20 };
    let whole = frame(&[octets], limit);
    assert_eq!(frame(&pieces(octets, seed), limit), whole, "in pieces");
    assert_eq!(frame(&octets.chunks(1).collect::<Vec<_>>(), limit), whole, "octet by octet");
    let (consumed, content, ended, defect, size) = whole;
    match read_whole(octets, limit) {
        None => assert!(!ended && consumed == octets.len(), "an end where there is no CRLF.CRLF"),
        Some(framed) => {
            assert!(ended, "CRLF.CRLF was passed over");
            assert_eq!((consumed, defect, size), (framed.consumed, framed.defect, framed.message.len() as u64));
            assert!(framed.message.starts_with(&content));
            assert!(defect.is_some() || content == framed.message, "the message is not what was sent");
        }
    }
    outcome(&(ended, defect, content.len().min(8), size.min(8)))
}
