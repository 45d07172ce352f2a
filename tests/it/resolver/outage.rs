//! Our own servers out of order: known by the canary, over at once, told apart from a stranger's broken zone.

use std::net::SocketAddr;
use std::time::Duration;

use gatepost::authenticate::resolver::{Answer, Trouble};
use gatepost::authenticate::{AuthenticateError, Authenticator, Dns};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

use super::{found, name};
use crate::support::dns::*;

/// Look-ups that would be waited for a minute: whatever ends sooner was ended.
fn patient(server: SocketAddr) -> Dns {
    let probe = Duration::from_millis(300);
    Dns { timeout: Duration::from_secs(60), probe, pause: Duration::from_millis(5), ..asking(server) }
}

/// Watches, in a task; what changes comes through the channel.
fn watch(authenticator: &Authenticator) -> UnboundedReceiver<Result<(), AuthenticateError>> {
    let (tell, changes) = unbounded_channel();
    let authenticator = authenticator.clone();
    tokio::spawn(async move { authenticator.watch(move |found| tell.send(found).unwrap()).await });
    changes
}

fn zone() -> Zone {
    Zone::new().txt("known.example", "known").txt("other.example", "other")
}

#[tokio::test]
async fn in_an_outage_look_ups_end_at_once_and_the_cache_still_answers() {
    let server = serve(zone()).await;
    let authenticator = Authenticator::new(&patient(server.addr())).unwrap();
    let mut changes = watch(&authenticator);
    assert_eq!(changes.recv().await, Some(Ok(())));
    let resolver = authenticator.resolver();
    assert_eq!(resolver.txt(&name("known.example")).await, found("known"));
    assert!(!authenticator.met_outage());

    server.replace(zone().failing_all(Fault::NoAnswer));
    let (session, calm) = (authenticator.for_session(), authenticator.for_session());
    let message = session.for_message();
    // under way when the outage is found: it raised the suspicion itself
    assert_eq!(message.resolver().txt(&name("other.example")).await, Answer::Trouble(Trouble::Outage));
    let unreachable = AuthenticateError::Unreachable(server.addr().to_string());
    assert_eq!(changes.recv().await, Some(Err(unreachable)));

    let before = server.count("third.example", RecordType::TXT);
    assert_eq!(resolver.txt(&name("third.example")).await, Answer::Trouble(Trouble::Outage));
    assert_eq!(server.count("third.example", RecordType::TXT), before, "nobody is asked");
    assert_eq!(resolver.txt(&name("known.example")).await, found("known"), "the cache needs no server");
    assert_eq!(resolver.ptr([127, 0, 0, 1].into()).await, Answer::Trouble(Trouble::Outage));

    server.replace(zone());
    assert_eq!(changes.recv().await, Some(Ok(())));
    assert_eq!(resolver.txt(&name("other.example")).await, found("other"));
    assert!(message.met_outage(), "what was hidden from a message stays hidden");
    assert!(!session.met_outage() && !calm.met_outage() && !authenticator.met_outage());
}

#[tokio::test]
async fn a_server_that_only_says_that_it_can_not_is_an_outage() {
    let server = serve(zone()).await;
    let authenticator = Authenticator::new(&patient(server.addr())).unwrap();
    let mut changes = watch(&authenticator);
    assert_eq!(changes.recv().await, Some(Ok(())));
    server.replace(zone().failing_all(Fault::ServFail));
    assert_eq!(authenticator.resolver().txt(&name("known.example")).await, Answer::Trouble(Trouble::Refusal));
    let refusing = AuthenticateError::Refusing(server.addr().to_string());
    assert_eq!(changes.recv().await, Some(Err(refusing)), "SERVFAIL raises the suspicion, the canary decides");
    assert!(authenticator.met_outage());
}

#[tokio::test]
async fn a_strangers_broken_zone_is_no_outage() {
    let zone = zone().failing("broken.example", RecordType::TXT, Fault::ServFail).failing(
        "mute.example",
        RecordType::TXT,
        Fault::NoAnswer,
    );
    let server = serve(zone).await;
    let timeout = Duration::from_millis(1500);
    let authenticator = Authenticator::new(&Dns { timeout, attempts: 1, ..patient(server.addr()) }).unwrap();
    let mut changes = watch(&authenticator);
    assert_eq!(changes.recv().await, Some(Ok(())));
    let canaries = || server.count(".", RecordType::NS);
    let resolver = authenticator.resolver();
    for (broken, trouble) in [("broken.example", Trouble::Refusal), ("mute.example", Trouble::Timeout)] {
        let before = canaries();
        assert_eq!(resolver.txt(&name(broken)).await, Answer::Trouble(trouble));
        while canaries() == before {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        assert_eq!(resolver.txt(&name("known.example")).await, found("known"));
    }
    assert!(changes.try_recv().is_err(), "the canary was asked and lives");
    assert!(!authenticator.met_outage());
}

#[tokio::test]
async fn a_port_where_nobody_listens_is_not_waited_for() {
    let gone = tokio::net::UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap();
    drop(gone);
    let authenticator = Authenticator::new(&patient(address)).unwrap();
    let answer = authenticator.resolver().txt(&name("known.example")).await;
    assert_eq!(answer, Answer::Trouble(Trouble::Network), "a timeout would be Trouble::Timeout");
    let mut changes = watch(&authenticator);
    assert_eq!(changes.recv().await, Some(Err(AuthenticateError::Unreachable(address.to_string()))));
}
