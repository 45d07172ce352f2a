//! The largest jobs that the bounds let anybody make for the thread that serves a session. None may hold it for more than 1 ms; what
//! would is done beside it.

use std::fmt::Write;
use std::net::IpAddr;
use std::sync::{Arc, LazyLock};

use divan::Bencher;
use gatepost::authenticate::body::{BodyHasher, Signed};
use gatepost::authenticate::header::{authentication_results, claims_our_authserv_id, without_ours};
use gatepost::authenticate::{Authenticator, Dns};
use gatepost::demo::dns::{DnsServer, Zone};
use gatepost::facts::{Dkim, Facts};
use gatepost::message::author::{read_author, read_reply_to};
use gatepost::message::content::Content;
use gatepost::message::header::{Header, HeaderSplitter};
use tokio::runtime::Runtime;

use super::{CLIENT, HELO, NOW};

/// Octets of a header, less than its bound.
const HEADER: usize = 255 * 1024;
const FIELDS: usize = 999;
/// The SHA-256 of an empty body in relaxed form.
const EMPTY_BODY: &str = "47DEQpj8HBSa+/TImW+5JCeuQeRkm5NMpJWZG3hSuFU=";

fn header(text: String) -> Arc<Header> {
    Content::parse(text.as_bytes()).header
}

/// As many fields as there may be, which fill as much room as there is.
fn fields(name: &str, value: impl Fn(usize) -> String, octets: usize) -> String {
    let mut text = String::new();
    for at in 0..FIELDS {
        let mut field = format!("{name}: {}", value(at));
        field.extend(std::iter::repeat_n('x', (octets / FIELDS).saturating_sub(field.len() + 2)));
        text.push_str(&field);
        text.push_str("\r\n");
    }
    text
}

/// Tags that are no others' duplicates.
fn tags(count: usize) -> String {
    let letter = |at: usize| char::from(b'a' + u8::try_from(at % 26).unwrap());
    (0..count).fold(String::new(), |mut text, at| {
        let _ = write!(text, "{}{}=;", letter(at / 26), letter(at));
        text
    })
}

#[divan::bench(args = ["a:b\r\n", " \r\n", "x\r\n", "name: a value of usual length, more or less, that nobody has folded\r\n"])]
fn header_of(bencher: Bencher<'_, '_>, line: &str) {
    let text = line.repeat(HEADER / line.len());
    bencher.bench(|| {
        let mut splitter = HeaderSplitter::new();
        splitter.push(text.as_bytes());
        splitter.finish()
    });
}

/// Fields that are read when the header is complete.
#[divan::bench(args = ["DKIM-Signature", "DKIM-Signature of tags", "ARC-Seal of tags", "one DKIM-Signature", "h= of one"])]
fn signature_fields(bencher: Bencher<'_, '_>, of: &str) {
    let text = match of {
        "DKIM-Signature" => fields(
            "DKIM-Signature",
            |_| {
                format!(
                    "v=1;a=rsa-sha256;d=a.example;s=s;c=relaxed/simple;h=from{};bh={EMPTY_BODY};b=",
                    ":a".repeat(50)
                )
            },
            HEADER,
        ),
        "DKIM-Signature of tags" => fields("DKIM-Signature", |_| tags(60), HEADER),
        "ARC-Seal of tags" => (1..=50).fold(String::new(), |mut text, at| {
            let filling = "x".repeat(1200);
            let _ = write!(
                text,
                "ARC-Seal: i={at};cv=none;a=rsa-sha256;b=eHh4;d=a.example;s=s;{}zz={filling}\r\n",
                tags(57)
            );
            let _ = write!(text, "ARC-Message-Signature: i={at};{}zz={filling}\r\n", tags(60));
            let _ = write!(text, "ARC-Authentication-Results: i={at}; {filling}\r\n");
            text
        }),
        "one DKIM-Signature" => format!(
            "DKIM-Signature: v=1;a=rsa-sha256;d=a.example;s=s;h=from;bh={EMPTY_BODY};b={}\r\n",
            "xxxx".repeat(HEADER / 4 - 50)
        ),
        _ => format!(
            "DKIM-Signature: v=1;a=rsa-sha256;d=a.example;s=s;bh={EMPTY_BODY};b=xxxx;h=from{}\r\n",
            ":a".repeat(HEADER / 2 - 100)
        ),
    };
    let header = header(text);
    bencher.bench(|| BodyHasher::for_header(&header));
}

#[divan::bench(args = ["a@b.example, ", "(", "(a) ", "\"\\a\" ", "=?utf-8?q?=40?= ", "<@a,@b:c@d>, ", "a:b@c.example; ", "a@\u{e4}\u{f6}\u{fc}.example, ", ", ", "<"])]
fn author_of(bencher: Bencher<'_, '_>, piece: &str) {
    let field = format!("From: {}\r\n", piece.repeat(16 * 1000 / piece.len()));
    let header = header(field.repeat(10));
    bencher.bench(|| (read_author(&header), read_reply_to(&header)));
}

#[divan::bench(args = ["a@b.example, ", "(a) ", "=?utf-8?q?=40?= ", "\"\\a\" "])]
fn large_author_of(bencher: Bencher<'_, '_>, piece: &str) {
    let header = header(format!("From: {}\r\nReply-To: a\r\n", piece.repeat(HEADER / piece.len())));
    bencher.bench(|| read_author(&header));
}

#[divan::bench(args = ["\t\ta\r\n", " \r\n", "a b\r\n", "\r\n", "a  "])]
fn body_chunk_of(bencher: Bencher<'_, '_>, piece: &str) {
    let signature = |body: &str| {
        format!(
            "DKIM-Signature: v=1; a=rsa-sha256; c=simple/{body}; d=a.example; s=s; h=from; bh={EMPTY_BODY}; b=xxxx\r\n"
        )
    };
    let header = header(format!("{}{}From: a@a.example\r\n", signature("simple"), signature("relaxed")));
    let chunk = piece.repeat(64 * 1024 / piece.len());
    bencher.with_inputs(|| BodyHasher::for_header(&header)).bench_values(|mut hasher| {
        hasher.write(chunk.as_bytes());
        hasher
    });
}

/// Fields of others that may claim to be ours.
#[divan::bench(args = ["", "(", "=?", "mx.receiver.example", "\u{e4}.example", "a.example; "])]
fn results_of_others(bencher: Bencher<'_, '_>, piece: &str) {
    let text = match piece {
        "" => fields("Authentication-Results", |_| String::new(), 0),
        piece => format!("Authentication-Results: {}\r\n", piece.repeat(200 / piece.len())).repeat(40),
    };
    let (scene, header) = (&*SCENE, header(text));
    bencher.bench(|| scene.runtime.block_on(without_ours(&header, "mx.receiver.example")));
}

/// One that is as long as is read in one go.
#[divan::bench(args = ["(", "a", "\u{e4}", "\"\\a", "; ="])]
fn large_results_of_others(bencher: Bencher<'_, '_>, piece: &str) {
    let value = piece.repeat(8 * 1024 / piece.len());
    bencher.bench(|| claims_our_authserv_id(value.as_bytes(), "mx.receiver.example"));
}

#[divan::bench]
fn our_results(bencher: Bencher<'_, '_>) {
    let mut facts = Facts::new(CLIENT, 4711, false);
    let text = "\"".repeat(255);
    let one =
        Dkim { domain: text.clone(), selector: text.clone(), algorithm: text.clone(), reason: text, ..Dkim::default() };
    facts.dkim = vec![one; 20];
    bencher.bench(|| authentication_results("mx.receiver.example", &facts));
}

/// What is asked for, and a resolver that knows it all.
struct Scene {
    runtime: Runtime,
    authenticator: Authenticator,
    _server: DnsServer,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = runtime.block_on(DnsServer::start(zone(), IpAddr::from([127, 0, 0, 1]))).unwrap();
    let authenticator = Authenticator::new(&Dns { servers: vec![server.addr().into()], ..Dns::default() }).unwrap();
    Scene { runtime, authenticator, _server: server }
});

const SPF_RECORD: usize = 60_000;

fn zone() -> Zone {
    let record = |piece: &str, octets: usize| format!("v=spf1 {}", piece.repeat(octets / piece.len()));
    let long = |piece: &str| record(piece, SPF_RECORD);
    let mut zone = Zone::new().ttl(3600);
    for at in 0..10 {
        zone = zone.txt(&format!("n{at}.spf.example"), &record("ip4:198.51.100.0/24 ", 6000));
    }
    for (bits, exponent) in [(2048, 3), (4096, 3), (4096, 5), (8192, 5)] {
        for selector in ["s1", "s2"] {
            zone = zone.txt(&format!("{selector}._domainkey.rsa{bits}e{exponent}.example"), &rsa_key(bits, exponent));
        }
    }
    for at in 0..4 {
        for selector in ["s1", "s2"] {
            let key = rsa_key(4096, 5).replace("k=rsa", &format!("n={at}; k=rsa"));
            zone = zone.txt(&format!("{selector}._domainkey.four.example"), &key);
        }
    }
    let includes: String = (0..10).map(|at| format!("include:n{at}.spf.example ")).collect();
    zone.txt("ip4.example", &long("ip4:198.51.100.0/24 "))
        .txt("ip6.example", &long("ip6:2001:db8::1/64 "))
        .txt("modifier.example", &long("a=%{d} "))
        .txt("all.example", &long("?all "))
        .txt("includes.example", &format!("v=spf1 {includes}-all"))
        .txt(
            "macros.example",
            &format!("v=spf1 {}", format!("exists:{}.macros.example ", "%{S32r.-+}".repeat(60)).repeat(10)),
        )
}

#[divan::bench(args = ["ip4.example", "ip6.example", "modifier.example", "all.example", "includes.example", "macros.example"])]
fn spf_of(bencher: Bencher<'_, '_>, domain: &str) {
    let scene = &*SCENE;
    let local = "a.".repeat(31) + "a";
    bencher.bench(|| scene.runtime.block_on(scene.authenticator.check_host(CLIENT, domain, &local, HELO)));
}

/// Two signatures, each over all of a large header of many fields, with the keys that are slowest.
#[divan::bench(args = ["rsa2048e3.example", "rsa4096e3.example", "rsa4096e5.example", "rsa8192e5.example", "four.example"])]
fn two_signatures_of(bencher: Bencher<'_, '_>, domain: &str) {
    let scene = &*SCENE;
    let bits = if domain == "four.example" { 4096 } else { domain.get(3..7).unwrap().parse().unwrap() };
    let octets = encode(&[&[1][..], &vec![0x5a; bits / 8 - 1]].concat());
    let names = format!("from{}", ":x".repeat(99));
    let mut text = String::from("From: a@a.example\r\n");
    for selector in ["s1", "s2"] {
        let _ = write!(
            text,
            "DKIM-Signature: v=1; a=rsa-sha256; c=relaxed/relaxed; d={domain}; s={selector}; h={names}; bh={EMPTY_BODY}; b={octets}\r\n"
        );
    }
    let room = 32 * 1024 - text.len();
    text.extend(std::iter::repeat_n("x: a  b  c  d  e  f\r\n", (room / 21).min(FIELDS - 3)));
    let signed = Signed::of(&header(text), b"");
    let asked = scene.runtime.block_on(scene.authenticator.dkim(&signed, NOW));
    assert!(asked.iter().all(|dkim| dkim.reason.contains("signature")), "{asked:?}");
    bencher.bench(|| scene.runtime.block_on(scene.authenticator.dkim(&signed, NOW)));
}

/// A key record whose modulus nobody has factors of, and whose public exponent has this many octets.
fn rsa_key(bits: usize, exponent: usize) -> String {
    let length = |octets: usize| [&[0x82], &u16::try_from(octets).unwrap().to_be_bytes()[..]].concat();
    let modulus = [&[0x02][..], &length(bits / 8 + 1), &[0], &vec![0xc5; bits / 8]].concat();
    let exponent: &[u8] = if exponent == 3 { &[2, 3, 1, 0, 1] } else { &[2, 5, 1, 0xff, 0xff, 0xff, 0xff] };
    let inside = [&modulus[..], exponent].concat();
    format!("v=DKIM1; k=rsa; p={}", encode(&[&[0x30][..], &length(inside.len()), &inside].concat()))
}

/// RFC 4648 §4.
fn encode(octets: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let group = |group: &[u8]| {
        let bits = (0..3).fold(0_usize, |bits, at| bits << 8 | group.get(at).copied().map_or(0, usize::from));
        let digit = |at: usize| {
            if at <= group.len() { char::from(*DIGITS.get(bits >> (18 - 6 * at) & 63).unwrap()) } else { '=' }
        };
        (0..4).map(digit).collect::<String>()
    };
    octets.chunks(3).map(group).collect()
}
