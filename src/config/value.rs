//! Values of gatepost.toml from their text: sizes, times, addresses, networks. Each says what is wrong and how to mend it.

use std::net::{IpAddr, SocketAddr};

use ipnet::IpNet;
use toml::de::DeValue;

/// Why a value cannot be taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// What is wrong.
    pub cause: String,
    /// How to mend it; may be empty.
    pub mend: String,
}

impl Fault {
    /// A fault with a cause and a way to mend it.
    pub fn new(cause: impl Into<String>, mend: impl Into<String>) -> Self {
        Fault { cause: cause.into(), mend: mend.into() }
    }

    /// A value of the wrong type.
    pub(super) fn wrong_type(expected: &str, value: &DeValue<'_>) -> Self {
        let article = if matches!(value, DeValue::Array(_) | DeValue::Integer(_)) { "an" } else { "a" };
        Fault::new(format!("must be {expected}, not {article} {}", value.type_str()), "")
    }
}

/// A string.
pub(super) fn string(value: &DeValue<'_>) -> Result<String, Fault> {
    match value.as_str() {
        Some("") => Err(Fault::new("must not be empty", "")),
        Some(text) => Ok(text.to_owned()),
        None => Err(Fault::wrong_type("a string", value)),
    }
}

/// A boolean.
pub(super) fn boolean(value: &DeValue<'_>) -> Result<bool, Fault> {
    let word = value.as_str().filter(|word| matches!(*word, "true" | "false"));
    let quoted =
        word.map(|word| Fault::new("must be true or false, not a string", format!("write {word} without quotes")));
    value.as_bool().ok_or_else(|| quoted.unwrap_or_else(|| Fault::wrong_type("true or false", value)))
}

/// A whole number.
pub(super) fn count(value: &DeValue<'_>) -> Result<u64, Fault> {
    let integer = value.as_integer().ok_or_else(|| Fault::wrong_type("a whole number", value))?;
    whole(integer)
}

fn whole(integer: &toml::de::DeInteger<'_>) -> Result<u64, Fault> {
    u64::from_str_radix(integer.as_str(), integer.radix()).map_err(|_| match integer.as_str().starts_with('-') {
        true => Fault::new("must not be negative", ""),
        false => Fault::new("is too large a number", ""),
    })
}

/// Bytes: a whole number, or a string with a unit.
pub(super) fn size(value: &DeValue<'_>) -> Result<u64, Fault> {
    match value {
        DeValue::Integer(integer) => whole(integer),
        DeValue::String(text) => parse_size(text),
        _ => Err(Fault::wrong_type("a size such as \"50 MB\"", value)),
    }
}

/// Seconds: a string with a unit.
pub(super) fn duration(value: &DeValue<'_>) -> Result<u64, Fault> {
    match value {
        DeValue::String(text) => parse_duration(text),
        DeValue::Integer(integer) => {
            Err(Fault::new("a time needs its unit", format!("for seconds write \"{}s\"", integer.as_str())))
        }
        _ => Err(Fault::wrong_type("a time such as \"300s\" or \"14d\"", value)),
    }
}

/// Bytes as the configuration writes them: `50 MB`, `64 KiB`, `1 byte`.
pub fn written_size(bytes: u64) -> String {
    const UNITS: &[(&str, u64)] = &[
        ("TB", 1_000_000_000_000),
        ("GB", 1_000_000_000),
        ("MB", 1_000_000),
        ("kB", 1_000),
        ("TiB", 1 << 40),
        ("GiB", 1 << 30),
        ("MiB", 1 << 20),
        ("KiB", 1 << 10),
    ];
    match UNITS.iter().find(|(_, unit)| bytes > 0 && bytes.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{} {name}", bytes / unit),
        None if bytes == 1 => "1 byte".to_owned(),
        None => format!("{bytes} bytes"),
    }
}

/// Seconds as the configuration writes them: `300s`, `12h`, `14d`.
pub fn written_duration(seconds: u64) -> String {
    const UNITS: &[(&str, u64)] = &[("d", 86_400), ("h", 3_600), ("min", 60)];
    match UNITS.iter().find(|(_, unit)| seconds > 0 && seconds.is_multiple_of(*unit)) {
        Some((name, unit)) => format!("{}{name}", seconds / unit),
        None => format!("{seconds}s"),
    }
}

/// Bytes of a text such as `50 MB` (50,000,000) or `64KiB` (65,536).
///
/// # Errors
/// No number, an unknown unit, or more than 2^64.
pub fn parse_size(text: &str) -> Result<u64, Fault> {
    const UNITS: &[(&str, u64)] = &[
        ("", 1),
        ("b", 1),
        ("kb", 1_000),
        ("mb", 1_000_000),
        ("gb", 1_000_000_000),
        ("tb", 1_000_000_000_000),
        ("kib", 1 << 10),
        ("mib", 1 << 20),
        ("gib", 1 << 30),
        ("tib", 1 << 40),
    ];
    with_unit(text, UNITS, "write it as \"64 kB\", \"50 MB\", \"1 GB\" (or KiB, MiB, GiB)", "size")
}

/// Seconds of a text such as `300s`, `30 min`, `12h` or `14d`.
///
/// # Errors
/// No number, no unit or an unknown one, or more than 2^64.
pub fn parse_duration(text: &str) -> Result<u64, Fault> {
    const UNITS: &[(&str, u64)] = &[("s", 1), ("m", 60), ("min", 60), ("h", 3_600), ("d", 86_400), ("w", 604_800)];
    with_unit(text, UNITS, "write it as \"300s\", \"30min\", \"12h\" or \"14d\"", "time")
}

fn with_unit(text: &str, units: &[(&str, u64)], mend: &str, what: &str) -> Result<u64, Fault> {
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).unwrap_or((text, ""));
    let unit = unit.trim().to_ascii_lowercase();
    let factor = units.iter().find(|(name, _)| *name == unit).map(|(_, factor)| *factor);
    let (Some(factor), false) = (factor, number.is_empty()) else {
        return Err(Fault::new(format!("{text:?} is not a {what}"), mend));
    };
    let number = number.parse::<u64>().ok().and_then(|number| number.checked_mul(factor));
    number.ok_or_else(|| Fault::new(format!("{text:?} is too large"), ""))
}

/// An address with its port, `[::]:25` or `127.0.0.1:2525`. Names are not looked up.
///
/// # Errors
/// Anything else; a missing address or port is named.
pub fn parse_listener(text: &str) -> Result<SocketAddr, Fault> {
    if let Ok(address) = text.parse() {
        return Ok(address);
    }
    if let Some(port) = text.strip_prefix(':').or(text.strip_prefix("*:")).and_then(|port| port.parse::<u16>().ok()) {
        let mend = format!("for all addresses write \"[::]:{port}\"");
        return Err(Fault::new(format!("{text:?} has no address"), mend));
    }
    if let Ok(ip) = text.trim_matches(['[', ']']).parse::<IpAddr>() {
        let mend = format!("write \"{}\"", SocketAddr::new(ip, 25));
        return Err(Fault::new(format!("{text:?} has no port"), mend));
    }
    if let Ok(port) = text.parse::<u16>() {
        return Err(Fault::new(format!("{text:?} has no address"), format!("for all addresses write \"[::]:{port}\"")));
    }
    let mend = "write it as \"[::]:25\" or \"127.0.0.1:2525\"";
    Err(Fault::new(format!("{text:?} is not an address with its port"), mend))
}

/// A network, `192.0.2.0/24`, or a single address.
///
/// # Errors
/// Anything else; host bits that are set; a network that holds every address; an IPv4 network in IPv6's notation.
pub fn parse_network(text: &str) -> Result<IpNet, Fault> {
    let wrong =
        || Fault::new(format!("{text:?} is not a network"), "write it as \"192.0.2.0/24\" or \"2001:db8::/32\"");
    let network = match text.parse::<IpNet>() {
        Ok(network) => network,
        Err(_) => text.parse::<IpAddr>().map(IpNet::from).map_err(|_| wrong())?,
    };
    if network.trunc() != network {
        let cause = format!("{text:?} has bits set beyond its prefix");
        return Err(Fault::new(cause, format!("write \"{}\"", network.trunc())));
    }
    if network.prefix_len() == 0 {
        return Err(Fault::new(format!("{text:?} holds every address there is"), "name only networks of your own"));
    }
    if let (IpAddr::V6(v6), Some(prefix)) = (network.addr(), network.prefix_len().checked_sub(96))
        && let Some(v4) = v6.to_ipv4_mapped()
    {
        return Err(Fault::new(format!("{text:?} is IPv4 in IPv6's notation"), format!("write \"{v4}/{prefix}\"")));
    }
    Ok(network)
}
