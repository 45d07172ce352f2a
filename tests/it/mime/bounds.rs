//! What looking through a message costs, in octets that are looked at, and that every bound that is hit is told.

use std::cell::Cell;

use gatepost::message::content::Content;
use gatepost::message::mime::{MAX_PARTS, Mime, most_looks};
use proptest::prelude::*;

use super::{file, read, told};
use crate::support::site::crlf;

/// What is seen of a message, and the octets that are looked at for each of its own; never more than there is room for.
#[track_caller]
fn looked(message: &[u8]) -> (Mime, u64) {
    let content = Content::parse(message);
    let (mime, looks) = Mime::until(&|| false, &content.header, &content.body.memory());
    assert!(looks <= most_looks(message.len() as u64), "{looks} for {}", message.len());
    (mime, looks / (message.len() as u64).max(1))
}

/// A field of 4 kB whose parameters have no semicolons between them.
fn without_semicolons(separator: &str) -> String {
    let mut field = "attachment;".to_owned();
    let mut n = 0;
    while field.len() < 4_000 {
        field += &format!(" filename=\u{e9}{n}%41{separator}");
        n += 1;
    }
    field
}

/// Content-Type and Content-Disposition, some of each, that are read in twelve ways.
fn in_twelve_ways(fields: usize) -> String {
    let field = |name: &str, head: &str| {
        let mut value = format!("{head};");
        for n in 0.. {
            match value.len() {
                4_000.. => break,
                2_000..2_030 => value += "\r\n ",
                _ => {}
            }
            value += &format!(" filename={n}\u{e9}%41:");
            if n % 20 == 0 {
                value += "(\\x)";
            }
        }
        format!("{name}: {value} =?utf-8?q?x?=\r\n")
    };
    let of = |name: &str, head: &str| field(name, head).repeat(fields);
    of("Content-Disposition", "attachment") + &of("Content-Type", "text/plain")
}

/// Multiparts within multiparts, each with four boundaries whose delimiters all stand in front of the next.
fn by_four_boundaries(levels: usize, inner: &str) -> String {
    (0..levels).rev().fold(inner.to_owned(), |inner, level| {
        let each = |piece: &dyn Fn(char) -> String| "abcd".chars().map(piece).collect::<String>();
        let boundaries = each(&|letter| format!("; boundary={letter}{level}"));
        let delimiters = each(&|letter| format!("--{letter}{level}\r\n"));
        format!("Content-Type: multipart/mixed{boundaries}\r\n\r\n{delimiters}{inner}")
    })
}

#[test]
fn one_field_is_read_in_all_its_ways_for_a_bounded_number_of_looks() {
    for separator in ["", " ", "(c)", "\\", "\"", ",", ";", "\r\n "] {
        let field = without_semicolons(separator);
        let message = format!("From: a@x.example\r\nContent-Disposition: {field}\r\n\r\nhi\r\n");
        let (mime, _) = looked(message.as_bytes());
        assert!(!mime.attachments.is_empty(), "{separator:?}: {}", told(&mime));
    }
    // values end where the next begins: sixty of them are no more than the field, and have not each what follows it
    let chain: String = (0..60).map(|n| format!(" filename=x{n}{}.e", "y".repeat(40))).collect();
    let (mime, looks) = looked(format!("Content-Disposition: attachment{}\r\n\r\nhi\r\n", chain).as_bytes());
    assert!(looks < 200, "{looks}: {}", told(&mime));
}

#[test]
fn many_fields_and_many_boundaries_have_one_budget() {
    let header = in_twelve_ways(8);
    let parts = |n: usize| {
        let part = format!("--b\r\n{}\r\nhello\r\n", &header[..header.len().min(31_000)]);
        format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{}--b--\r\n", part.repeat(n))
    };
    for message in [parts(8), parts(400), by_four_boundaries(5, &in_twelve_ways(1))] {
        let (mime, _) = looked(message.as_bytes());
        assert!(mime.truncated, "{}", told(&mime));
    }
}

#[test]
fn a_section_between_several_boundaries_is_walked_once() {
    // each level has four parts, which begin at four delimiters and hold the same
    let (mime, looks) = looked(by_four_boundaries(5, "\r\nhello\r\n").as_bytes());
    assert_eq!((mime.parts, mime.depth, mime.truncated), (21, 5, false), "{looks}");
    let (mime, _) = looked(by_four_boundaries(20, "\r\nhello\r\n").as_bytes());
    assert_eq!((mime.parts, mime.depth, mime.truncated), (81, 20, false));
}

#[test]
fn a_large_message_is_looked_through_a_few_times() {
    let text = "All work and no play makes Jack a dull boy.\r\n".repeat(250_000);
    let plain = format!("Subject: x\r\n\r\n{text}");
    let (mime, looks) = looked(plain.as_bytes());
    assert_eq!((mime.parts, mime.truncated, looks), (1, false, 3));

    // three multiparts around a file of eleven megabytes in base64
    let attached = "Content-Type: application/pdf; name=a.pdf\nContent-Transfer-Encoding: base64\n\n";
    let lines = format!("{}\r\n", "QUJD".repeat(19)).repeat(145_000);
    let nested = (0..3).fold(attached.to_owned(), |inner, n| {
        format!("Content-Type: multipart/mixed; boundary=b{n}\n\n--b{n}\n\nhello\n--b{n}\n{inner}")
    });
    let message = [crlf(nested.as_bytes()), lines.into_bytes()].concat();
    let (mime, looks) = looked(&message);
    assert_eq!((mime.parts, mime.truncated, looks), (7, false, 4), "{}", told(&mime));

    // uuencoded files that begin within each other are read until nothing is left
    let begins = "begin 644 a.exe\r\n".repeat(16) + &"M".repeat(61) + "\r\n";
    let (mime, looks) = looked(format!("\r\n{begins}{}", text.replace(' ', "_")).as_bytes());
    assert_eq!((mime.attachments.len(), mime.truncated, looks), (14, true, 16), "{}", told(&mime));

    // and so is a text that is shown by several boundaries with several ends
    let views = format!(
        "Content-Type: multipart/mixed; boundary=b; boundary=b1; boundary=b2; boundary=b3\r\n\r\n--b1\r\n--b2\r\n--b3\r\n--b\r\n\r\n{text}"
    );
    let (mime, looks) = looked(views.as_bytes());
    assert!(mime.parts >= 5 && looks <= 16, "{looks}: {}", told(&mime));
}

#[test]
fn sections_behind_tails_are_found_among_many() {
    let tails = "--bx\r\n\r\nhi\r\n".repeat(200_000);
    let parts = "--b\r\n\r\nhi\r\n".repeat(998);
    let message = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}{tails}");
    let (mime, looks) = looked(message.as_bytes());
    assert!(mime.parts == MAX_PARTS && mime.truncated && looks <= 16, "{looks}: {}", told(&mime));
}

#[test]
fn a_look_ends_when_it_is_stopped() {
    let parts = "--b\r\nContent-Disposition: attachment; filename=a.txt\r\n\r\nhi\r\n".repeat(90);
    let message = format!("Content-Type: multipart/mixed; boundary=b\r\n\r\n{parts}--b--\r\n");
    let content = Content::parse(message.as_bytes());
    let (whole, all) = Mime::until(&|| false, &content.header, &content.body.memory());
    assert!(!whole.truncated && whole.attachments.len() == 90, "{}", told(&whole));
    for steps in [0_usize, 1, 50, 500] {
        let left = Cell::new(steps);
        let stop = || left.replace(left.get().saturating_sub(1)) == 0;
        let (mime, looks) = Mime::until(&stop, &content.header, &content.body.memory());
        assert!(mime.truncated && looks < all && mime.attachments.len() < 90, "{steps}: {looks} of {all}");
        assert!(mime.attachments.len() <= steps, "{steps}: {}", told(&mime));
    }
}

#[test]
fn a_boundary_that_is_no_utf_8_hides_no_file() {
    let program = b"\r\nContent-Disposition: attachment; filename=a.exe\r\n\r\nMZ\r\n--".as_slice();
    let message = |field: &[u8], boundary: &[u8]| {
        let head = [b"Content-Type: multipart/mixed".as_slice(), field, b"\r\n\r\n--"].concat();
        [&head, boundary, program, boundary, b"--\r\n".as_slice()].concat()
    };
    for (field, boundary, defects) in [
        (b"; boundary=\"b\xe9x\"".as_slice(), b"b\xe9x".as_slice(), &[][..]),
        (b"; boundary=\"b\xc3\xa9x\"", b"b\xc3\xa9x", &[]),
        (b"; boundary=\"b\xffx\" ", b"b\xffx", &[]),
        (b"; boundary*0=\"b\xe9\"; boundary*1=\"\xe8x\"", b"b\xe9\xe8x", &[]),
        // the octets, and what their charset makes of them
        (b"; boundary*=iso-8859-1''b%E9x", b"b\xe9x", &[]),
        (b"; boundary*=iso-8859-1''b%E9x", b"b\xc3\xa9x", &[]),
        // guessed
        (b"", b"b\xe9x", &["no-boundary"]),
        (b"; boundary=c", b"b\xe9x", &["absent-boundary"]),
    ] {
        let mime = read(&message(field, boundary));
        let found: Vec<&str> = mime.attachments.iter().map(|a| a.extension.as_str()).collect();
        assert_eq!(
            (found, &mime.defects[..]),
            (vec!["exe"], &defects.iter().map(|d| (*d).to_owned()).collect::<Vec<_>>()[..])
        );
        assert!(!mime.truncated);
    }
}

#[test]
fn more_parameters_and_boundaries_than_are_read_are_told() {
    let many: String = (0..66).map(|n| format!("; a{n}=1")).collect();
    let disposed = |written: &str| read(&crlf(file(&format!("Content-Disposition: attachment{written}")).as_bytes()));
    for last in
        ["filename=a.exe", "filename(c)=a.exe", "filename=\"a.e\\xe\"", "filename*0*=utf-8''a%2Ee; filename*1=xe"]
    {
        for written in [format!("{many}; {last}"), format!("; filename=a.txt{many}; {last}")] {
            assert!(disposed(&written).truncated, "{written}");
        }
    }
    let few: String = (0..62).map(|n| format!("; a{n}=1")).collect();
    let mime = disposed(&format!("{few}; filename=a.exe;"));
    assert!(!mime.truncated && mime.attachments[0].extension == "exe", "{}", told(&mime));
    // without semicolons, and behind a quote that does not close
    assert!(disposed(&" filename=a.txt".repeat(66)).truncated);
    assert!(disposed(&format!("; x=\"{many}; filename=a.exe")).truncated);

    let boundaries = |list: &str| {
        let program = "--b\n\nContent-Disposition: attachment; filename=a.exe\n\nMZ\n--b--\n";
        read(&crlf(format!("Content-Type: multipart/mixed{list}\n\n--x\n\nhi\n--x--\n{program}").as_bytes()))
    };
    assert!(boundaries(&format!("; boundary=x{many}; boundary=b")).truncated);
    let five: String = (1..4).map(|n| format!("; boundary=x{n}")).collect();
    assert!(boundaries(&format!("; boundary=x{five}; boundary=b")).truncated);
    assert!(!boundaries(&format!("; boundary=x{}; boundary=b", &five[..26])).truncated);
    // fields, and a line of uuencode
    let fields = "A: b\n".repeat(1_001);
    assert!(
        read(&crlf(file(&format!("{fields}Content-Disposition: attachment; filename=a.exe")).as_bytes())).truncated
    );
    let line = format!("\nbegin 644 {}.exe\n#0V%T\n`\nend\n", "\u{1f600}".repeat(254));
    assert!(read(&crlf(line.as_bytes())).truncated);
}

/// Pieces of fields and structures that cost or hide something.
const PIECES: &[&str] = &[
    "Content-Type: multipart/mixed; boundary=b; boundary=c",
    "Content-Type: multipart/digest; boundary=c",
    "Content-Type: message/rfc822",
    "Content-Disposition: attachment",
    "; filename=",
    " filename=",
    " name*0*=",
    "; filename*1=",
    "utf-8''%41",
    "=?utf-8?q?a",
    "=?utf-8?b?\"",
    "?=",
    "\"",
    "\\",
    "(",
    ")",
    ";",
    "\r\n ",
    "\r\n",
    "\r\n\r\n",
    "\r\n--b\r\n",
    "\r\n--c\r\n",
    "\r\n--bx\r\n",
    "begin 644 a.exe\r\n",
    "Content-Transfer-Encoding: quoted-printable\r\n",
    "\u{e9}\u{fdfa}",
    "\u{300}",
    "a.exe",
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]
    #[test]
    fn any_pieces_cost_no_more_than_there_is_room_for(
        pieces in prop::collection::vec((0..PIECES.len(), 1_usize..40), 1..60),
    ) {
        let message: String = pieces.into_iter().map(|(at, times)| PIECES[at].repeat(times)).collect();
        let content = Content::parse(message.as_bytes());
        let (mime, looks) = Mime::until(&|| false, &content.header, &content.body.memory());
        prop_assert!(looks <= most_looks(message.len() as u64) && mime.parts <= MAX_PARTS, "{looks}: {message}");
    }
}
