//! The oracle's own reading of command lines.

/// What a command line is, as far as it matters here.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verb {
    Helo,
    Mail,
    Rcpt,
    Data,
    Bdat {
        octets: u64,
        last: bool,
    },
    Rset,
    StartTls,
    Quit,
    Xclient,
    /// What must be refused: too long, or with a CR within.
    Bad,
    /// What must end the session: a bare LF, TLS, HTTP, a PROXY header, BDAT that can't be read.
    Fatal,
    /// What changes nothing.
    Other,
    /// The end of data, which is answered like a command.
    Message,
}

/// Whether no line after one that begins so may be read as a command.
pub fn is_fatal(line: &[u8]) -> bool {
    const HTTP: [&[u8]; 10] =
        [b"GET", b"HEAD", b"POST", b"PUT", b"DELETE", b"CONNECT", b"OPTIONS", b"TRACE", b"PATCH", b"PRI"];
    let line = line.trim_ascii_start();
    let word = line.split(|octet| !octet.is_ascii_alphabetic()).next().unwrap_or_default();
    word == b"PROXY"
        || word.eq_ignore_ascii_case(b"BDAT")
        || HTTP.iter().any(|method| word.eq_ignore_ascii_case(method))
}

/// Reads a line without its CRLF.
pub fn read_verb(line: &[u8]) -> Verb {
    if let Some(chunk) = read_bdat(line) {
        return chunk;
    }
    if is_fatal(line) {
        return Verb::Fatal;
    }
    if line.contains(&b'\r') {
        return Verb::Bad;
    }
    let line = line.trim_ascii_end();
    let verb = line.split(|octet| *octet == b' ').next().unwrap_or_default().to_ascii_uppercase();
    match verb.as_slice() {
        b"EHLO" | b"HELO" => Verb::Helo,
        b"MAIL" => Verb::Mail,
        b"RCPT" => Verb::Rcpt,
        b"DATA" => Verb::Data,
        b"RSET" => Verb::Rset,
        b"STARTTLS" => Verb::StartTls,
        b"QUIT" => Verb::Quit,
        b"XCLIENT" => Verb::Xclient,
        _ => Verb::Other,
    }
}

/// `BDAT SP digits [SP LAST]` (RFC 3030 §2), with more spaces than one and some at the end.
fn read_bdat(line: &[u8]) -> Option<Verb> {
    let text = std::str::from_utf8(line).ok()?;
    let mut words = text.trim_end_matches([' ', '\t', '\x0c']).split(' ');
    if !words.next()?.eq_ignore_ascii_case("BDAT") {
        return None;
    }
    let words: Vec<&str> = words.filter(|word| !word.is_empty()).collect();
    let (digits, last) = match words.as_slice() {
        [digits] => (digits, false),
        [digits, last] if last.eq_ignore_ascii_case("LAST") => (digits, true),
        _ => return None,
    };
    let octets = digits.bytes().all(|octet| octet.is_ascii_digit()).then(|| digits.parse().ok())??;
    Some(Verb::Bdat { octets, last })
}
