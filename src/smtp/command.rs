//! Commands and their parameters as RFC 5321 §4.1 spells them: one line in, a typed command or the reason out.

use super::address::AddressError;
use super::reply::{self, Reply};
use super::session::Abuse;

/// A command. Paths are not read yet: that takes SMTPUTF8 of the transaction, and the order of commands goes first.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Command<'a> {
    /// EHLO (`extended`) or HELO.
    Helo {
        /// Its argument: printable ASCII, not empty, at most 255 octets; whether it is a name is for rules to judge.
        name: &'a str,
        /// Whether it was EHLO.
        extended: bool,
    },
    /// MAIL FROM.
    Mail {
        /// The reverse-path as written.
        path: &'a [u8],
        /// What follows it.
        parameters: MailParameters,
    },
    /// RCPT TO.
    Rcpt {
        /// The forward-path as written.
        path: &'a [u8],
    },
    /// DATA
    Data,
    /// BDAT (RFC 3030 §2).
    Bdat {
        /// How many octets follow the line.
        octets: u64,
        /// Whether the message ends with them.
        last: bool,
    },
    /// RSET
    Rset,
    /// NOOP
    Noop,
    /// VRFY
    Vrfy,
    /// HELP
    Help,
    /// QUIT
    Quit,
    /// STARTTLS
    StartTls,
    /// XCLIENT, its attributes not read yet.
    Xclient {
        /// What follows the verb.
        attributes: &'a [u8],
    },
}

/// The parameters of MAIL.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct MailParameters {
    /// SIZE in octets (RFC 1870 §6); a number beyond `u64` is its greatest.
    pub size: Option<u64>,
    /// BODY (RFC 6152 §3).
    pub body: Option<BodyType>,
    /// SMTPUTF8 (RFC 6531 §3.4).
    pub smtputf8: bool,
    /// REQUIRETLS (RFC 8689 §3).
    pub require_tls: bool,
}

/// BODY's value (RFC 6152 §3).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BodyType {
    /// `7BIT`
    SevenBit,
    /// `8BITMIME`
    EightBitMime,
}

/// Why a line is no command that can be carried out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CommandError {
    /// A CR or LF within the line (RFC 5321 §2.3.8).
    BareLineEnd,
    /// No such command.
    Unknown,
    /// A line of another protocol.
    Foreign(Abuse),
    /// A command that exists, but not here.
    NotImplemented,
    /// The argument is wrong.
    Argument(&'static str),
    /// BDAT in a line that can't be read: how many octets follow, and are no commands, is not known.
    Chunk,
    /// MAIL's path is missing or its brackets don't match.
    ReversePath(AddressError),
    /// RCPT's path is missing or its brackets don't match.
    ForwardPath(AddressError),
    /// A parameter that was not offered.
    UnknownParameter,
}

impl CommandError {
    /// What is wrong with a line that begins so and can't be obeyed, where none may be read after it: behind BDAT come octets that are no
    /// commands, behind a line of another protocol what somebody else was made to send. The verb ends at any octet that is no letter:
    /// what follows it may be malformed, or not there.
    pub fn that_ends_the_session(line: &[u8]) -> Option<CommandError> {
        let line = line.trim_ascii_start();
        let end = line.iter().position(|octet| !octet.is_ascii_alphabetic());
        let verb = line.get(..end.unwrap_or(line.len())).unwrap_or_default();
        let is = |word: &str| verb.eq_ignore_ascii_case(word.as_bytes());
        match verb {
            _ if is("BDAT") => Some(CommandError::Chunk),
            _ if HTTP.into_iter().any(is) => Some(CommandError::Foreign(Abuse::Http)),
            b"PROXY" => Some(CommandError::Foreign(Abuse::ProxyHeader)),
            _ => None,
        }
    }

    /// What the client is told.
    pub fn reply(self) -> Reply {
        match self {
            CommandError::BareLineEnd => reply::bare_line_end(),
            CommandError::Unknown => reply::unknown_command(),
            CommandError::Foreign(_) => reply::not_smtp(),
            CommandError::NotImplemented => reply::not_implemented(),
            CommandError::Argument(why) => reply::bad_argument(why),
            CommandError::Chunk => reply::bad_argument("BDAT needs a number of octets, and LAST after it or nothing"),
            CommandError::ReversePath(error) => reply::bad_reverse_path(error),
            CommandError::ForwardPath(error) => reply::bad_forward_path(error),
            CommandError::UnknownParameter => reply::unknown_parameter(),
        }
    }
}

/// Commands of SMTP and its extensions that an MX has no use for.
const NOT_IMPLEMENTED: [&str; 9] = ["EXPN", "AUTH", "ETRN", "ATRN", "TURN", "SEND", "SOML", "SAML", "BURL"];

/// Request methods of HTTP (RFC 9110 §9), and HTTP/2's preface: a browser that was led here must not go on.
const HTTP: [&str; 10] = ["GET", "HEAD", "POST", "PUT", "DELETE", "CONNECT", "OPTIONS", "TRACE", "PATCH", "PRI"];

/// The longest argument of EHLO in octets, as long as a domain may be.
const NAME_MAX: usize = 255;

impl<'a> Command<'a> {
    /// Reads a command line, given without its CRLF. White space at its end is dropped (RFC 5321 §4.1.1).
    ///
    /// # Errors
    /// Why it is no command, with the reply for it.
    pub fn parse(line: &'a [u8]) -> Result<Command<'a>, CommandError> {
        let ending = CommandError::that_ends_the_session(line);
        if let Some(foreign @ CommandError::Foreign(_)) = ending {
            return Err(foreign);
        }
        if line.contains(&b'\r') || line.contains(&b'\n') {
            return Err(ending.unwrap_or(CommandError::BareLineEnd));
        }
        let (verb, argument) = split_at_space(line.trim_ascii_end());
        let is = |word: &str| verb.eq_ignore_ascii_case(word.as_bytes());
        let alone = |command| if argument.is_empty() { Ok(command) } else { Err(NO_ARGUMENT) };
        match verb {
            _ if is("EHLO") => helo(argument, true),
            _ if is("HELO") => helo(argument, false),
            _ if is("MAIL") => mail(argument),
            _ if is("RCPT") => rcpt(argument),
            _ if is("DATA") => alone(Command::Data),
            _ if is("BDAT") => bdat(argument),
            _ if is("RSET") => alone(Command::Rset),
            _ if is("QUIT") => alone(Command::Quit),
            _ if is("STARTTLS") => alone(Command::StartTls),
            _ if is("XCLIENT") => Ok(Command::Xclient { attributes: argument }),
            _ if is("NOOP") => Ok(Command::Noop),
            _ if is("HELP") => Ok(Command::Help),
            _ if is("VRFY") && argument.is_empty() => Err(CommandError::Argument("VRFY needs a mailbox")),
            _ if is("VRFY") => Ok(Command::Vrfy),
            _ if NOT_IMPLEMENTED.into_iter().any(is) => Err(CommandError::NotImplemented),
            _ => Err(ending.unwrap_or(CommandError::Unknown)),
        }
    }
}

const NO_ARGUMENT: CommandError = CommandError::Argument("this command takes no argument");

/// What stands before the first space, and what after the spaces there.
fn split_at_space(text: &[u8]) -> (&[u8], &[u8]) {
    let (head, tail) = text.split_at(text.iter().position(|&b| b == b' ').unwrap_or(text.len()));
    (head, trim_spaces(tail))
}

fn trim_spaces(mut text: &[u8]) -> &[u8] {
    while let Some(rest) = text.strip_prefix(b" ") {
        text = rest;
    }
    text
}

/// Takes anything printable: what a client calls itself is evidence, and clients that call themselves wrongly abound.
// DEVIATES RFC 5321 §4.1.1.1: a name that is neither domain nor address literal is not refused here.
fn helo(argument: &[u8], extended: bool) -> Result<Command<'_>, CommandError> {
    const WHY: CommandError = CommandError::Argument("a domain or address literal is needed");
    if argument.is_empty() || argument.len() > NAME_MAX || !argument.iter().all(|b| matches!(b, b' '..=b'~')) {
        return Err(WHY);
    }
    let name = std::str::from_utf8(argument).map_err(|_| WHY)?;
    Ok(Command::Helo { name, extended })
}

fn mail(argument: &[u8]) -> Result<Command<'_>, CommandError> {
    let rest = after_keyword(argument, b"FROM:").ok_or(CommandError::Argument("MAIL FROM:<reverse-path>"))?;
    let (path, rest) = path(rest).map_err(CommandError::ReversePath)?;
    Ok(Command::Mail { path, parameters: MailParameters::parse(rest)? })
}

fn rcpt(argument: &[u8]) -> Result<Command<'_>, CommandError> {
    let rest = after_keyword(argument, b"TO:").ok_or(CommandError::Argument("RCPT TO:<forward-path>"))?;
    let (path, mut rest) = path(rest).map_err(CommandError::ForwardPath)?;
    let mut found = Ok(());
    while let Some(parameter) = Parameter::next(rest)? {
        found = Err(CommandError::UnknownParameter);
        rest = parameter.rest;
    }
    found.map(|()| Command::Rcpt { path })
}

/// `chunk-size [SP "LAST"]`. The number has to fit `u64`: leading zeros apart, twenty digits at most.
fn bdat(argument: &[u8]) -> Result<Command<'_>, CommandError> {
    let (digits, end) = split_at_space(argument);
    let digits = Some(digits).filter(|digits| !digits.is_empty() && digits.iter().all(u8::is_ascii_digit));
    let octets = digits.and_then(|digits| std::str::from_utf8(digits).ok()?.parse().ok()).ok_or(CommandError::Chunk)?;
    match end {
        b"" => Ok(Command::Bdat { octets, last: false }),
        _ if end.eq_ignore_ascii_case(b"LAST") => Ok(Command::Bdat { octets, last: true }),
        _ => Err(CommandError::Chunk),
    }
}

/// What follows `FROM:` or `TO:`.
// DEVIATES RFC 5321 §3.3: spaces after the colon are let pass, because many clients send one.
fn after_keyword<'a>(argument: &'a [u8], keyword: &[u8]) -> Option<&'a [u8]> {
    let (head, rest) = argument.split_at_checked(keyword.len())?;
    head.eq_ignore_ascii_case(keyword).then(|| trim_spaces(rest))
}

/// Splits a path from the parameters after it. Within quotes neither `>` nor a space ends it.
fn path(text: &[u8]) -> Result<(&[u8], &[u8]), AddressError> {
    let bracketed = match text.first() {
        None => return Err(AddressError::Missing),
        Some(first) => *first == b'<',
    };
    let mut quoted = false;
    let mut escaped = false;
    for (index, &octet) in text.iter().enumerate() {
        match octet {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'>' if bracketed && !quoted => {
                let (path, rest) = text.split_at(index + 1);
                // Parameters are set off by a space.
                return if matches!(rest.first(), None | Some(b' ')) {
                    Ok((path, rest))
                } else {
                    Err(AddressError::Brackets)
                };
            }
            b' ' if !bracketed && !quoted => return Ok(text.split_at(index)),
            _ => {}
        }
    }
    if bracketed { Err(AddressError::Brackets) } else { Ok((text, &[])) }
}

/// One `keyword ["=" value]` (RFC 5321 §4.1.2 `esmtp-param`), and what follows it.
struct Parameter<'a> {
    keyword: &'a [u8],
    value: Option<&'a [u8]>,
    rest: &'a [u8],
}

impl Parameter<'_> {
    /// The first parameter of `text`, if there is one.
    fn next(text: &[u8]) -> Result<Option<Parameter<'_>>, CommandError> {
        let text = trim_spaces(text);
        if text.is_empty() {
            return Ok(None);
        }
        let (word, rest) = split_at_space(text);
        let mut halves = word.splitn(2, |&b| b == b'=');
        let keyword = halves.next().unwrap_or_default();
        let value = halves.next();
        let keyword_fits = keyword.first().is_some_and(u8::is_ascii_alphanumeric)
            && keyword.iter().all(|&b| b.is_ascii_alphanumeric() || b == b'-');
        let value_fits =
            value.is_none_or(|v| !v.is_empty() && v.iter().all(|b| matches!(b, b'!'..=b'<' | b'>'..=b'~')));
        if !keyword_fits || !value_fits {
            return Err(CommandError::Argument("malformed parameter"));
        }
        Ok(Some(Parameter { keyword, value, rest }))
    }
}

impl MailParameters {
    fn parse(mut text: &[u8]) -> Result<MailParameters, CommandError> {
        let mut parameters = MailParameters::default();
        let mut unknown = false;
        while let Some(Parameter { keyword, value, rest }) = Parameter::next(text)? {
            let is = |word: &str| keyword.eq_ignore_ascii_case(word.as_bytes());
            match keyword {
                _ if is("SIZE") => once(&mut parameters.size, size(value)?)?,
                // a Maildir's lines can't hold it (RFC 3030 §3), so it is not offered
                _ if is("BODY") && value.is_some_and(|value| value.eq_ignore_ascii_case(b"BINARYMIME")) => {
                    unknown = true
                }
                _ if is("BODY") => once(&mut parameters.body, body(value)?)?,
                _ if is("SMTPUTF8") => flag(&mut parameters.smtputf8, value)?,
                _ if is("REQUIRETLS") => flag(&mut parameters.require_tls, value)?,
                _ => unknown = true,
            }
            text = rest;
        }
        if unknown { Err(CommandError::UnknownParameter) } else { Ok(parameters) }
    }
}

const TWICE: CommandError = CommandError::Argument("a parameter stands twice");

/// A parameter without a value.
fn flag(place: &mut bool, value: Option<&[u8]>) -> Result<(), CommandError> {
    match (value, std::mem::replace(place, true)) {
        (Some(_), _) => Err(CommandError::Argument("a parameter has a value that has none")),
        (None, true) => Err(TWICE),
        (None, false) => Ok(()),
    }
}

fn once<T>(place: &mut Option<T>, value: T) -> Result<(), CommandError> {
    if place.replace(value).is_some() { Err(TWICE) } else { Ok(()) }
}

/// One to twenty digits (RFC 1870 §4). What does not fit is too big whatever the limit.
fn size(value: Option<&[u8]>) -> Result<u64, CommandError> {
    let digits = value.filter(|v| v.len() <= 20 && v.iter().all(u8::is_ascii_digit));
    let digits = digits.ok_or(CommandError::Argument("SIZE is a number of octets"))?;
    let number = |sum: u64, digit: &u8| sum.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
    Ok(digits.iter().fold(0, number))
}

fn body(value: Option<&[u8]>) -> Result<BodyType, CommandError> {
    match value {
        Some(v) if v.eq_ignore_ascii_case(b"7BIT") => Ok(BodyType::SevenBit),
        Some(v) if v.eq_ignore_ascii_case(b"8BITMIME") => Ok(BodyType::EightBitMime),
        _ => Err(CommandError::Argument("BODY is 7BIT or 8BITMIME")),
    }
}
