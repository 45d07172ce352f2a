//! Names of hosts that spell the host's address: `host-192-0-2-17.isp.example`.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

/// What is left of a name that spells the address once the labels that do are taken away, with those left of them; `None` for a name
/// that does not. A name spells an address if it has the last part of it and at least one more, in decimal or in hexadecimal.
pub fn spelled(name: &str, ip: IpAddr) -> Option<&str> {
    if !name.bytes().any(|octet| octet.is_ascii_hexdigit()) {
        return None;
    }
    let lower = name.to_ascii_lowercase();
    let parts: Box<dyn Fn(&str) -> bool> = match ip.to_canonical() {
        IpAddr::V4(ip) => v4(&lower, ip)?,
        IpAddr::V6(ip) => v6(&lower, ip)?,
    };
    let labels: Vec<&str> = lower.split('.').collect();
    // where the address is spread so that no label is a part of it, the host's domain has two labels
    let last = labels.iter().rposition(|label| parts(label)).unwrap_or(labels.len().saturating_sub(3));
    let gone = labels.iter().take(last + 1).map(|label| label.len() + 1).sum::<usize>();
    Some(name.get(gone..).unwrap_or_default())
}

type Part = Box<dyn Fn(&str) -> bool>;

/// The runs of decimal digits in a text as numbers.
fn runs(text: &str) -> Vec<u64> {
    let runs = text.split(|c: char| !c.is_ascii_digit()).filter(|run| !run.is_empty());
    runs.filter_map(|run| run.parse().ok()).collect()
}

fn squeezed(name: &str) -> String {
    name.chars().filter(|c| c.is_ascii_alphanumeric()).collect()
}

fn v4(name: &str, ip: Ipv4Addr) -> Option<Part> {
    let octets = ip.octets();
    let [a, b, c, d] = octets;
    let whole = [
        format!("{a:02x}{b:02x}{c:02x}{d:02x}"),
        format!("{d:02x}{c:02x}{b:02x}{a:02x}"),
        format!("{a:03}{b:03}{c:03}{d:03}"),
        format!("{d:03}{c:03}{b:03}{a:03}"),
        format!("{c:03}{d:03}"),
        format!("{d:03}{c:03}"),
        format!("{a}{b}{c}{d}"),
        u32::from(ip).to_string(),
    ];
    let numbers = runs(name);
    let last = numbers.iter().position(|number| *number == u64::from(d));
    let more = last.is_some_and(|last| {
        let others = numbers.iter().enumerate().filter(|(at, _)| *at != last);
        others.into_iter().any(|(_, number)| [a, b, c].iter().any(|octet| u64::from(*octet) == *number))
    });
    let squeezed_name = squeezed(name);
    if !more && !whole.iter().any(|form| squeezed_name.contains(form)) {
        return None;
    }
    Some(Box::new(move |label| {
        let label_squeezed = squeezed(label);
        runs(label).iter().any(|number| octets.iter().any(|octet| u64::from(*octet) == *number))
            || whole.iter().any(|form| label_squeezed.contains(form))
    }))
}

fn v6(name: &str, ip: Ipv6Addr) -> Option<Part> {
    let nibbles = format!("{:032x}", u128::from(ip));
    let reversed: String = nibbles.chars().rev().collect();
    let half = nibbles.get(16..).unwrap_or_default().to_owned();
    let half_reversed = reversed.get(..16).unwrap_or_default().to_owned();
    let groups: Vec<String> = ip.segments().iter().map(|group| format!("{group:x}")).collect();
    let group_of = |token: &str| token.trim_start_matches('0').to_owned();
    let tokens: Vec<String> =
        name.split(|c: char| !c.is_ascii_alphanumeric()).filter(|token| !token.is_empty()).map(group_of).collect();
    let (last, rest) = groups.split_last()?;
    let has = |group: &String| group != "0" && tokens.contains(group);
    let others = rest.iter().filter(|group| has(group)).count();
    let by_groups = (has(last) && others > 0) || others >= 3;
    let squeezed_name = squeezed(name);
    if !by_groups && !squeezed_name.contains(&half) && !squeezed_name.contains(&half_reversed) {
        return None;
    }
    Some(Box::new(move |label| {
        let label_squeezed = squeezed(label);
        let is_nibble = label.len() == 1 && label.bytes().all(|octet| octet.is_ascii_hexdigit());
        let mut tokens = label.split(|c: char| !c.is_ascii_alphanumeric()).filter(|token| !token.is_empty());
        is_nibble
            || label_squeezed.contains(&half)
            || label_squeezed.contains(&half_reversed)
            || tokens.any(|token| {
                let token = group_of(token);
                !token.is_empty() && groups.contains(&token)
            })
    }))
}
