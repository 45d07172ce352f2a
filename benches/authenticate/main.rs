//! What authentication costs a message of 10 kB with one RSA-2048 signature when the DNS is in the cache, and what its parts do.
//! [`largest`] has the largest jobs that any message can make of it.
#![allow(missing_docs, clippy::unwrap_used, clippy::expect_used)]

mod largest;

use std::hint::black_box;
use std::net::{IpAddr, Ipv4Addr};
use std::sync::{Arc, LazyLock};

use divan::Bencher;
use futures_util::future::{FutureExt, join, join3, join4};
use gatepost::authenticate::body::{BodyHasher, Signed};
use gatepost::authenticate::header::authentication_results;
use gatepost::authenticate::sign::Signer;
use gatepost::authenticate::{Authenticator, Dns};
use gatepost::demo::dns::{DnsServer, Zone};
use gatepost::facts::{Facts, SpfBoth};
use gatepost::message::author::{read_author, read_reply_to};
use gatepost::message::content::Content;
use gatepost::message::header::Header;
use gatepost::smtp::address::{Domain, Host, Mailbox, ReversePath};
use tokio::runtime::Runtime;

/// As in the program.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

const NOW: u64 = 1_800_000_000;
const CLIENT: IpAddr = IpAddr::V4(Ipv4Addr::new(192, 0, 2, 1));
const HELO: &str = "mail.sender.example";

/// A sender with everything in place, its message, and an authenticator that has asked for all of it once.
struct Scene {
    runtime: Runtime,
    authenticator: Authenticator,
    message: Vec<u8>,
    header: Arc<Header>,
    body: Vec<u8>,
    signed: Signed,
    reverse_path: ReversePath,
    _server: DnsServer,
}

static SCENE: LazyLock<Scene> = LazyLock::new(|| {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let signer = Signer::new_rsa("sender.example", "s1").unwrap();
    let server = runtime.block_on(DnsServer::start(zone(&signer), IpAddr::V4(Ipv4Addr::LOCALHOST))).unwrap();
    let authenticator = Authenticator::new(&Dns { servers: vec![server.addr().into()], ..Dns::default() }).unwrap();
    let unsigned = unsigned();
    let message = (signer.sign(unsigned.as_bytes(), NOW).unwrap() + &unsigned).into_bytes();
    let Content { header, body, .. } = Content::parse(&message);
    let body = body.memory().to_vec();
    let signed = Signed::of(&header, &body);
    let host = Host::Name(Domain::parse("sender.example").unwrap());
    let reverse_path = ReversePath::Mailbox(Mailbox { local: "carol".into(), host });
    let scene = Scene { runtime, authenticator, message, header, body, signed, reverse_path, _server: server };
    let facts = scene.whole();
    assert_eq!(
        (facts.dkim.len(), facts.dkim.first().unwrap().result.as_str(), facts.dmarc.result.as_str()),
        (1, "pass", "pass")
    );
    assert_eq!((facts.spf.mail_from.result.as_str(), facts.iprev.result.as_str()), ("pass", "pass"));
    assert_eq!(facts.reverse_mx.mail_from.result.as_str(), "pass");
    scene
});

fn zone(signer: &Signer) -> Zone {
    Zone::new()
        .ttl(3600)
        .ptr(CLIENT, HELO)
        .a(HELO, [192, 0, 2, 1])
        .txt(HELO, "v=spf1 a -all")
        .mx(HELO, 10, HELO)
        .mx("sender.example", 10, HELO)
        .txt("sender.example", "v=spf1 include:_spf.sender.example ip4:198.51.100.0/24 mx -all")
        .txt("_spf.sender.example", "v=spf1 ip4:203.0.113.0/24 -all")
        .txt("_dmarc.sender.example", "v=DMARC1; p=reject; rua=mailto:dmarc@sender.example")
        .txt(&signer.key_name(), &signer.key_record())
}

/// A header as newsletters have it, and lines of text up to 10 kB.
fn unsigned() -> String {
    let mut message = String::from(
        "Received: from app7.sender.example (app7.sender.example [10.2.3.4])\r\n\tby mail.sender.example with ESMTPS id 4XyZ\r\n\
         \tfor <bob@receiver.example>; Mon, 23 Nov 2026 05:04:17 +0000\r\nDate: Mon, 23 Nov 2026 05:04:16 +0000\r\n\
         From: \"Carol at Sender\" <carol@sender.example>\r\nReply-To: Carol <carol@sender.example>\r\n\
         To: Bob <bob@receiver.example>\r\nMessage-ID: <20261123050416.4711@sender.example>\r\nSubject: The minutes of Monday\r\n\
         MIME-Version: 1.0\r\nContent-Type: text/plain; charset=utf-8\r\nContent-Transfer-Encoding: 8bit\r\n\
         List-Unsubscribe: <https://sender.example/unsubscribe/4711>\r\nX-Mailer: Sender 1.2\r\n\r\n",
    );
    while message.len() < 10_000 {
        message.push_str("Words that somebody wrote to somebody else, about as long as lines of text are.\r\n");
    }
    message
}

impl Scene {
    /// All that is found out about a message, and the field that says it, as a session of one message does it.
    fn whole(&self) -> Facts {
        let content = Content::parse(&self.message);
        let signed = Signed::of(&content.header, &content.body.memory());
        let author = read_author(&content.header);
        let reply_to = read_reply_to(&content.header);
        let mut facts = Facts::new(CLIENT, 4711, false);
        let found = self.runtime.block_on(async {
            let session = self.authenticator.for_session();
            let ask = session.for_message();
            // Each look-up stands in its own place, as it does in a session; one future of all of them would be moved about.
            let client = async {
                let iprev = session.iprev(CLIENT).await;
                let ptr = session.reverse_mx(&iprev.name, CLIENT).await;
                (iprev, ptr)
            };
            let spf_mail_from = ask.spf_mail_from(CLIENT, HELO, &self.reverse_path);
            let spf = join(session.spf_helo(CLIENT, HELO).boxed(), spf_mail_from.boxed());
            let name = author.domain().map_or("", |domain| domain.as_str());
            let reply_to = reply_to.as_ref().map_or("", |domain| domain.as_str());
            let reverse_mx = join3(
                ask.reverse_mx("sender.example", CLIENT).boxed(),
                ask.reverse_mx(name, CLIENT).boxed(),
                ask.reverse_mx(reply_to, CLIENT).boxed(),
            );
            let signatures = join(ask.dkim(&signed, NOW).boxed(), ask.arc(&signed, NOW).boxed());
            let found = join4(client.boxed(), spf, reverse_mx, signatures).await;
            let (client, (helo, mail_from), mx, (dkim, arc)) = found;
            let spf = SpfBoth { helo, mail_from };
            let dmarc = ask.dmarc(&author, &spf, &self.reverse_path, &dkim).boxed().await;
            (client, spf, mx, dkim, arc, dmarc)
        });
        let (client, spf, mx, dkim, arc, dmarc) = found;
        (facts.iprev, facts.reverse_mx.ptr) = client;
        (facts.reverse_mx.mail_from, facts.reverse_mx.from, facts.reverse_mx.reply_to) = mx;
        (facts.spf, facts.dkim, facts.arc, facts.dmarc) = (spf, dkim, arc, dmarc);
        black_box(authentication_results("mx.receiver.example", &facts));
        facts
    }
}

fn main() {
    divan::main();
}

/// The goal: 75 µs of CPU.
#[divan::bench]
fn whole(bencher: Bencher<'_, '_>) {
    let scene = &*SCENE;
    bencher.bench(|| scene.whole());
}

#[divan::bench]
fn header_parse(bencher: Bencher<'_, '_>) {
    let scene = &*SCENE;
    bencher.bench(|| Header::parse(scene.header.raw().to_vec()));
}

#[divan::bench]
fn author(bencher: Bencher<'_, '_>) {
    let scene = &*SCENE;
    bencher.bench(|| read_author(&scene.header));
}

/// Reading the signatures, and hashing the body.
#[divan::bench]
fn body_hash(bencher: Bencher<'_, '_>) {
    let scene = &*SCENE;
    bencher.bench(|| {
        let mut hasher = BodyHasher::for_header(&scene.header);
        hasher.write(&scene.body);
        hasher.finish()
    });
}

#[divan::bench]
fn dkim(bencher: Bencher<'_, '_>) {
    let scene = &*SCENE;
    bencher.bench(|| scene.runtime.block_on(scene.authenticator.dkim(&scene.signed, NOW)));
}

#[divan::bench]
fn dmarc(bencher: Bencher<'_, '_>) {
    let scene = &*SCENE;
    let author = read_author(&scene.header);
    let dkim = scene.runtime.block_on(scene.authenticator.dkim(&scene.signed, NOW));
    let spf = SpfBoth::default();
    bencher.bench(|| scene.runtime.block_on(scene.authenticator.dmarc(&author, &spf, &scene.reverse_path, &dkim)));
}

#[divan::bench]
fn spf_cached(bencher: Bencher<'_, '_>) {
    let scene = &*SCENE;
    bencher.bench(|| scene.runtime.block_on(scene.authenticator.spf_mail_from(CLIENT, HELO, &scene.reverse_path)));
}

#[divan::bench]
fn iprev_cached(bencher: Bencher<'_, '_>) {
    let scene = &*SCENE;
    bencher.bench(|| scene.runtime.block_on(scene.authenticator.iprev(CLIENT)));
}

#[divan::bench]
fn reverse_mx_cached(bencher: Bencher<'_, '_>) {
    let scene = &*SCENE;
    bencher.bench(|| scene.runtime.block_on(scene.authenticator.reverse_mx("sender.example", CLIENT)));
}

/// An empty future: what the runtime's own `block_on` costs in the figures above.
#[divan::bench]
fn runtime_alone(bencher: Bencher<'_, '_>) {
    let scene = &*SCENE;
    bencher.bench(|| scene.runtime.block_on(async { black_box(1) }));
}
