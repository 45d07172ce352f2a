//! A body that goes to disk counts no longer as memory, and trouble with the disk is a 4yz.

use std::io;
use std::path::Path;
use std::sync::Arc;

use gatepost::deliver::{Limits as WriterLimits, Step, Witness, Writers};
use gatepost::receive::{Carrier, Inquiry, Limits, Memory, Receiver};
use gatepost::smtp::address::{ForwardPath, ReversePath};

use super::panics::receiver;
use crate::support::dns::{Zone, serve};
use crate::support::site::OPEN;

const BODY: usize = 20_000;
const PART: usize = 10_000;

/// The step fails with this error.
struct Failing(Step, i32);

impl Witness for Failing {
    fn before(&self, step: Step, _: &Path) -> io::Result<()> {
        if step == self.0 { Err(io::Error::from_raw_os_error(self.1)) } else { Ok(()) }
    }
}

fn check(witness: Option<Failing>, limits: Limits, session: impl AsyncFnOnce(&mut Inquiry, &Memory)) {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let root = tempfile::tempdir().unwrap();
    runtime.block_on(async {
        let dns = serve(Zone::new()).await;
        let mut receiver = Arc::into_inner(receiver(OPEN, dns.addr())).unwrap();
        let witness: Arc<dyn Witness> = match witness {
            Some(witness) => Arc::new(witness),
            None => Arc::new(gatepost::deliver::Unwatched),
        };
        let writers = Arc::new(Writers::with(root.path().to_owned(), WriterLimits::default(), witness));
        writers.start().unwrap();
        receiver.carrier = Carrier::Maildirs(writers);
        receiver.limits = limits;
        receiver.memory = Memory::new(150_000, 150_000);
        let memory = Arc::clone(&receiver.memory);
        let receiver: Arc<Receiver> = Arc::new(receiver);
        let mut inquiry = Inquiry::connect(receiver, ([127, 0, 0, 1], 4000).into());
        begin(&mut inquiry).await;
        session(&mut inquiry, &memory).await;
    });
}

async fn begin(inquiry: &mut Inquiry) {
    inquiry.helo("client.example", true);
    inquiry.mail(ReversePath::parse(b"<a@sender.example>", false).unwrap(), false);
    let reply = inquiry.recipient(ForwardPath::parse(b"<postmaster@localhost>", false).unwrap()).await;
    assert_eq!(reply.code(), 250, "{reply}");
    assert_eq!(inquiry.data().code(), 354);
}

fn small() -> Limits {
    Limits { memory_body: BODY, ..Limits::default() }
}

#[test]
fn what_is_on_disk_does_not_count_as_memory() {
    check(None, small(), async |inquiry, memory| {
        inquiry.content(b"From: <a@sender.example>\r\n\r\n");
        let mut most = 0;
        // three times what memory has room for
        for _ in 0..450_000 / PART {
            inquiry.content(&[b'x'; PART]);
            most = most.max(memory.used());
            inquiry.keep().await;
        }
        assert!(most < 150_000, "{most} octets were in memory");
        let reply = inquiry.message(None).await;
        assert_eq!(reply.code(), 250, "{reply}");
        assert_eq!(memory.used(), 0);
    });
}

#[test]
fn a_full_disk_is_452_and_other_trouble_451_and_the_rest_is_read_and_forgotten() {
    for (step, errno, codes) in [
        (Step::WriteSpool, 28, "452 4.3.1"),
        (Step::WriteSpool, 122, "452 4.3.1"),
        (Step::WriteSpool, 5, "451 4.3.0"),
        (Step::CreateSpool, 28, "452 4.3.1"),
    ] {
        check(Some(Failing(step, errno)), small(), async |inquiry, memory| {
            inquiry.content(b"From: <a@sender.example>\r\n\r\n");
            for _ in 0..20 {
                inquiry.content(&[b'x'; PART]);
                inquiry.keep().await;
            }
            assert_eq!(memory.used(), 0, "nothing more is kept");
            let reply = inquiry.message(None).await;
            assert!(reply.one_line().starts_with(codes), "{step:?} {errno}: {reply}");
            let record = inquiry.last_record().unwrap();
            assert!(record.trouble.contains(&format!("(os error {errno})")), "{}", record.trouble);
            assert_eq!(record.facts.message.bytes, 28 + 20 * PART as u64);
            // the session goes on
            begin(inquiry).await;
            inquiry.content(b"From: <a@sender.example>\r\n\r\nshort\r\n");
            assert_eq!(inquiry.message(None).await.code(), 250);
        });
    }
}

#[test]
fn a_header_over_the_bounds_of_the_configuration_is_refused() {
    let limits = Limits { header: 20_000, header_fields: 100, ..Limits::default() };
    let field = |octets: usize| format!("X: {}\r\n", "y".repeat(octets));
    for (header, code) in
        [(field(10).repeat(99), 250), (field(10).repeat(100), 552), (field(19_000), 250), (field(20_000), 552)]
    {
        check(None, limits, async |inquiry, _| {
            inquiry.content(format!("From: <a@sender.example>\r\n{header}\r\nbody\r\n").as_bytes());
            let reply = inquiry.message(None).await;
            assert_eq!(reply.code(), code, "{reply}");
        });
    }
}

#[test]
fn the_longest_line_is_a_fact() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let dns = serve(Zone::new()).await;
        let receiver = receiver(OPEN, dns.addr());
        for (message, longest) in [
            ("From: <a@sender.example>\r\n\r\nshort\r\n", 26),
            ("From: <a@sender.example>\r\n\r\n0123456789012345678901234567890\r\n", 33),
            ("From: <a@sender.example>\r\n\r\n0123456789012345678901234567890", 31),
        ] {
            for cut in 1..message.len() {
                let mut inquiry = Inquiry::connect(Arc::clone(&receiver), ([127, 0, 0, 1], 4000).into());
                begin(&mut inquiry).await;
                let (first, second) = message.as_bytes().split_at(cut);
                inquiry.content(first);
                inquiry.content(second);
                assert_eq!(inquiry.message(None).await.code(), 250);
                let record = inquiry.last_record().unwrap();
                assert_eq!(record.facts.message.longest_line, longest, "{message:?} cut at {cut}");
            }
        }
    });
}
