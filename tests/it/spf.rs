use crate::support::dns::*;
use gatepost::authenticate::resolver::{Answer, DnsName, Trouble};

#[tokio::test]
async fn the_dns_says_what_the_zone_says() {
    let zone = Zone::new()
        .a("host.example", [192, 0, 2, 1])
        .cname("alias.example", "host.example")
        .cname("loop1.example", "loop2.example")
        .cname("loop2.example", "loop1.example")
        .txt("*.wild.example", "w")
        .txt_strings("two.example", ["one ", "two"])
        .txt("long.example", &"x".repeat(3000))
        .failing("fail.example", RecordType::TXT, Fault::ServFail)
        .failing("no.example", RecordType::TXT, Fault::Refused)
        .failing("mute.example", RecordType::TXT, Fault::NoAnswer)
        .txt("tc.example", "over tcp")
        .failing("tc.example", RecordType::TXT, Fault::Truncated)
        .ptr([127, 0, 0, 9], "nine.example")
        .ptr([192, 0, 2, 1], "host.example");
    let (server, authenticator) = authenticator(zone).await;
    let resolver = authenticator.resolver();
    let name = |text: &str| DnsName::parse(text).unwrap();
    let found = |text: &str| Answer::Found(vec![text.as_bytes().to_vec()]);

    assert_eq!(resolver.a(&name("alias.example")).await, Answer::Found(vec![[192, 0, 2, 1].into()]));
    assert_eq!(resolver.txt(&name("host.example")).await, Answer::NoData);
    assert_eq!(resolver.txt(&name("example")).await, Answer::NoData, "an empty non-terminal exists");
    assert_eq!(resolver.txt(&name("absent.example")).await, Answer::NxDomain);
    assert_eq!(resolver.txt(&name("a.b.wild.example")).await, found("w"));
    assert_eq!(resolver.txt(&name("two.example.")).await, found("one two"));
    assert_eq!(resolver.txt(&name("long.example")).await, found(&"x".repeat(3000)));
    assert_eq!(resolver.txt(&name("tc.example")).await, found("over tcp"));
    assert_eq!(resolver.txt(&name("fail.example")).await, Answer::Trouble(Trouble::Refusal));
    assert_eq!(resolver.txt(&name("no.example")).await, Answer::Trouble(Trouble::Refusal));
    assert_eq!(resolver.txt(&name("mute.example")).await, Answer::Trouble(Trouble::Timeout));
    assert_eq!(resolver.a(&name("loop1.example")).await, Answer::NoData);
    assert_eq!(resolver.ptr([127, 0, 0, 9].into()).await, Answer::Found(vec![name("nine.example")]));
    assert_eq!(resolver.ptr([192, 0, 2, 1].into()).await, Answer::Found(vec![name("host.example")]));
    assert_eq!(resolver.ptr([127, 0, 0, 8].into()).await, Answer::NxDomain);
    assert_eq!(server.count("two.example", RecordType::TXT), 1);
    authenticator.reachable().await.unwrap();
}
