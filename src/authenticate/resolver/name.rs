//! Names as the DNS has them.

use std::fmt::{self, Write};
use std::net::IpAddr;
use std::str::FromStr;

use hickory_resolver::proto::rr::Name;

/// Octets of a name in text, without the trailing dot (RFC 1035 §2.3.4: 255 on the wire).
const NAME_OCTETS: usize = 253;
/// Octets of a label (RFC 1035 §2.3.4).
const LABEL_OCTETS: usize = 63;

/// An absolute name that can be asked for. Compares without regard to case; shown in lower case, without trailing dot,
/// with odd octets escaped (`\032`).
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct DnsName(pub(super) Name);

impl DnsName {
    /// The name of this text, whose dots always separate labels (there are no escapes). `None` where it can't be asked for:
    /// empty, an empty label, a label over 63 octets, over 253 octets in all.
    pub fn parse(text: impl AsRef<[u8]>) -> Option<DnsName> {
        let text = text.as_ref();
        let text = text.strip_suffix(b".").unwrap_or(text);
        if text.is_empty() || text.len() > NAME_OCTETS {
            return None;
        }
        let mut name = Name::root();
        for label in text.split(|octet| *octet == b'.') {
            if label.is_empty() || label.len() > LABEL_OCTETS {
                return None;
            }
            name = name.append_label(label).ok()?;
        }
        Some(DnsName(name))
    }

    /// The name in `in-addr.arpa` or `ip6.arpa` (RFC 1035 §3.5, RFC 3596 §2.5).
    pub fn reverse(ip: IpAddr) -> DnsName {
        DnsName(Name::from(ip.to_canonical()))
    }

    /// Whether it is `.`: the exchanger of a null MX (RFC 7505 §3).
    pub fn is_root(&self) -> bool {
        self.0.is_root()
    }

    /// Whether it is `other` or below it.
    pub fn is_within(&self, other: &DnsName) -> bool {
        other.0.zone_of(&self.0)
    }

    /// The address that stands where a name should, with or without the brackets of RFC 5321 §4.1.3.
    pub fn as_address(&self) -> Option<IpAddr> {
        // Nearly no name ends like one.
        let last = self.0.iter().next_back()?;
        if !last.iter().any(|octet| octet.is_ascii_digit() || *octet == b':') {
            return None;
        }
        let text = self.to_string();
        let text = text.strip_prefix('[').and_then(|text| text.strip_suffix(']')).unwrap_or(&text);
        IpAddr::from_str(text.strip_prefix("ipv6:").unwrap_or(text)).ok()
    }
}

/// A name's labels in lower case, each behind its length: what two names that are the same have in common, in one piece, which is
/// quicker to hash and to compare than labels are.
#[derive(Clone, Copy)]
pub(super) struct Octets {
    octets: [u8; NAME_OCTETS + 2],
    length: usize,
}

impl Octets {
    /// Of a name; no name is longer (RFC 1035 §2.3.4).
    pub fn of(name: &Name) -> Octets {
        let mut all = Octets { octets: [0; NAME_OCTETS + 2], length: 0 };
        for label in name.iter() {
            let Some(room) = all.octets.get_mut(all.length..=all.length + label.len()) else { break };
            if let Some((length, octets)) = room.split_first_mut() {
                *length = u8::try_from(label.len()).unwrap_or(u8::MAX);
                octets.copy_from_slice(label);
                octets.make_ascii_lowercase();
            }
            all.length += 1 + label.len();
        }
        all
    }

    /// The octets.
    pub fn as_slice(&self) -> &[u8] {
        self.octets.get(..self.length).unwrap_or_default()
    }
}

impl fmt::Display for DnsName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, label) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_char('.')?;
            }
            for octet in label {
                match octet {
                    b'.' | b'\\' => write!(f, "\\{}", char::from(*octet))?,
                    octet if octet.is_ascii_graphic() => f.write_char(char::from(octet.to_ascii_lowercase()))?,
                    // RFC 1035 §5.1: three decimal digits.
                    octet => write!(f, "\\{octet:03}")?,
                }
            }
        }
        Ok(())
    }
}
