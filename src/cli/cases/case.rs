//! One case as it stands in its folder.

use std::net::IpAddr;
use std::path::Path;
use std::sync::Arc;

use jiff::fmt::temporal::Pieces;
use jiff::tz::TimeZone;
use jiff::{Timestamp, Zoned};
use toml::Spanned;
use toml::de::DeTable;

use super::Bench;
use super::expect::Expect;
use super::remembered::Remembered;
use super::zone;
use crate::cli::try_;
use crate::config::policy_source;
use crate::demo::dns::Zone;
use crate::policy::keys::{Reader, Spot, Table};
use crate::problem::{Problem, Problems, Source};
use crate::smtp::address::{ForwardPath, Host, ReversePath};

/// The largest message of a case without a configuration, in octets.
const MESSAGE: u64 = 50 << 20;

/// A message with its envelope, its DNS, and what must come of it.
pub struct Case {
    pub(super) name: String,
    pub(super) description: String,
    pub(super) client: IpAddr,
    pub(super) helo: String,
    pub(super) reverse_path: ReversePath,
    pub(super) forward_paths: Vec<ForwardPath>,
    /// The version of TLS.
    pub(super) tls: Option<String>,
    pub(super) moment: Option<Zoned>,
    pub(super) remembered: Remembered,
    pub(super) message: Option<Vec<u8>>,
    pub(super) zone: Zone,
    pub(super) expect: Expect,
}

/// A file's text as TOML; that it is none is a problem at its place.
pub(super) fn parsed<'t>(source: &'t Arc<Source>, problems: &mut Problems) -> Option<Spanned<DeTable<'t>>> {
    let (table, errors) = DeTable::parse_recoverable(&source.text);
    let end = source.text.len();
    let first = errors.iter().min_by_key(|error| error.span().map_or(end, |span| span.start));
    if let Some(error) = first {
        let span = error.span().unwrap_or(end..end);
        let cause = format!("this is not TOML: {}", error.message());
        problems.push(Problem::at(source, span, "", cause, "see https://toml.io"));
        return None;
    }
    Some(table)
}

impl Case {
    /// Reads a case's folder.
    ///
    /// # Errors
    /// Everything that is wrong with its files.
    pub(super) fn read(folder: &Path, bench: &Bench) -> Result<Case, Problems> {
        let mut problems = Problems::new();
        let limit = bench.config.as_ref().map_or(MESSAGE, |config| config.limits.message);
        let path = folder.join("message.eml");
        let message = path.exists().then(|| try_::read(&path, limit)).transpose();
        let message = message.unwrap_or_else(|cause| {
            problems.push(Problem::with_file(&path.display().to_string(), "", cause, ""));
            None
        });
        let path = folder.join("zone.toml");
        let zone = if path.exists() { zone::read(&path, &mut problems) } else { Zone::new() };
        let source = policy_source(&folder.join("case.toml")).map_err(|mut problem| {
            "a case has a case.toml with its client, mail_from, rcpt and [expect]".clone_into(&mut problem.mend);
            Problems::from(problem)
        })?;
        let case = parsed(&source, &mut problems).and_then(|top| {
            let top = Table { entries: top.get_ref(), span: top.span(), key: String::new() };
            let mut reader = Reader { source: &source, problems: &mut problems };
            let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
            case(&mut reader, &top, bench, name)
        });
        problems.into_result()?;
        let case =
            case.ok_or_else(|| Problems::from(Problem::at(&source, 0..0, "", "the case cannot be understood", "")))?;
        Ok(Case { message, zone, ..case })
    }
}

const KEYS: &[&str] = &["description", "client", "helo", "mail_from", "rcpt", "tls", "time", "given", "expect"];

fn case(reader: &mut Reader<'_>, top: &Table<'_>, bench: &Bench, name: String) -> Option<Case> {
    reader.hold_to(top, KEYS);
    for (key, example) in [
        ("client", "client = \"192.0.2.1\""),
        ("mail_from", "mail_from = \"a@example.net\", or '' for the null reverse-path"),
        ("rcpt", "rcpt = [\"alice@example.com\"]"),
        ("expect", "[expect] with action = \"accept\""),
    ] {
        if top.entries.get(key).is_none() {
            reader.problem(0..0, "", format!("{key} is missing"), format!("add {example}"));
        }
    }
    let description = reader.string(top, "description").map(|text| text.value).unwrap_or_default();
    let client = reader.string(top, "client");
    let client = read_with(reader, "client", client, "this is not an IP address", |text| text.parse::<IpAddr>().ok());
    let helo = reader.string(top, "helo");
    let is_helo = |text: &str| {
        let fits = (1..=255).contains(&text.len()) && text.bytes().all(|octet| octet.is_ascii_graphic());
        fits.then(|| text.to_owned())
    };
    let helo = read_with(reader, "helo", helo, "EHLO takes a domain or an address literal, without spaces", is_helo);
    let mail_from = reader.string(top, "mail_from");
    let reverse_path = read_with(reader, "mail_from", mail_from, "this is not a reverse-path", |text| match text {
        "" | "<>" => Some(ReversePath::Null),
        text => ReversePath::parse(text, true).ok(),
    });
    let mut forward_paths = Vec::new();
    for rcpt in reader.strings(top, "rcpt").unwrap_or_default() {
        let parse = |text: &str| ForwardPath::parse(text, true).ok();
        forward_paths.extend(read_with(reader, "rcpt", Some(rcpt), "this is not a forward-path", parse));
    }
    if forward_paths.is_empty() && reader.problems.is_empty() {
        reader.problem(0..0, "rcpt", "there is no recipient", "add rcpt = [\"alice@example.com\"]");
    }
    let tls = reader.string(top, "tls");
    let is_version = |text: &str| ["TLSv1.2", "TLSv1.3"].contains(&text).then(|| text.to_owned());
    let tls = read_with(reader, "tls", tls, "this is neither TLSv1.2 nor TLSv1.3", is_version);
    let time = reader.string(top, "time");
    let moment = read_with(reader, "time", time, "this is not a time such as 2026-03-01T12:00:00Z", moment);
    let remembered = reader.table(top, "given").map(|table| Remembered::read(reader, &table)).unwrap_or_default();
    let expect = reader.table(top, "expect");
    let expect = expect.map(|table| Expect::read(reader, &table, &bench.policy)).unwrap_or_default();
    let client = client?;
    let helo = helo.unwrap_or_else(|| Host::Literal(client.to_canonical()).to_string());
    let reverse_path = reverse_path?;
    let (message, zone) = (None, Zone::new());
    Some(Case {
        name,
        description,
        client,
        helo,
        reverse_path,
        forward_paths,
        tls,
        moment,
        remembered,
        message,
        zone,
        expect,
    })
}

fn read_with<T>(
    reader: &mut Reader<'_>,
    key: &str,
    text: Option<Spot<String>>,
    cause: &str,
    parse: impl FnOnce(&str) -> Option<T>,
) -> Option<T> {
    let text = text?;
    let parsed = parse(&text.value);
    if parsed.is_none() {
        reader.problem(text.span, key, cause, "");
    }
    parsed
}

/// A moment, and what clocks show there (RFC 3339).
fn moment(text: &str) -> Option<Zoned> {
    let timestamp: Timestamp = text.parse().ok()?;
    let offset = Pieces::parse(text).ok()?.to_numeric_offset()?;
    Some(timestamp.to_zoned(TimeZone::fixed(offset)))
}
