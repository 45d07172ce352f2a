//! What becomes of each name, and that no field of the record is forgotten.

use std::fs;
use std::net::IpAddr;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::time::Duration;

use gatepost::facts::record::Record;
use gatepost::facts::recorded::{Recorded, Wanted};
use gatepost::facts::table::{self, FactSet, FactSource};
use gatepost::facts::{Attachment, BlockList, Dkim, Facts, HeaderField, Mime, Tls};
use gatepost::observe::journal::{Journal, Settings, Spellings, find, remove_older};
use gatepost::observe::pseudonym::{Key, is_pseudonym, network, spelled};
use serde_json::Value;
use tempfile::TempDir;

use crate::journal::record;

const DAY: Duration = Duration::from_secs(86_400);
const PATIENCE: Duration = Duration::from_secs(20);

fn key() -> Key {
    Key::new(&[7; 32])
}

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

#[test]
fn one_address_has_one_pseudonym_under_a_key_and_another_under_another() {
    let hidden = key().address("Alice@Example.com", ip("192.0.2.1"));
    let (local, domain) = hidden.split_once('@').unwrap();
    assert!(is_pseudonym(local), "{hidden}");
    assert_eq!(domain, "Example.com", "domains stay as they are");
    let again = key().address("alice@example.com", ip("198.51.100.9"));
    assert_eq!(again, format!("{local}@example.com"));
    assert_ne!(key().address("alice@example.net", ip("192.0.2.1")), format!("{local}@example.net"));
    assert_ne!(Key::new(&[8; 32]).address("alice@example.com", ip("192.0.2.1")), again);
    assert_eq!(key().address("\"alice\"@example.com", ip("192.0.2.1")), again, "quoted it is the same mailbox");
    // a detail has a word of its own behind that of the address without it
    let detailed = ["alice+news@example.com", "ALICE+news@example.com", "alice+shop@example.com"]
        .map(|one| key().local(one.split_once('@').unwrap().0, "example.com"));
    assert!(detailed.iter().all(|one| is_pseudonym(one) && one.starts_with(&format!("{local}+~k"))), "{detailed:?}");
    assert!(detailed[0] == detailed[1] && detailed[1] != detailed[2], "{detailed:?}");
    assert!(is_pseudonym(&key().local("+news", "example.com")));
    assert!(!is_pseudonym(&format!("{local}+news")) && !is_pseudonym(&format!("{local}+{local}+{local}")));
    // composed and decomposed, A-labels and U-labels
    let spellings = ["J\u{f6}rg@b\u{fc}cher.example", "jo\u{308}rg@xn--bcher-kva.example"];
    let locals = spellings.map(|one| key().address(one, ip("192.0.2.1")).split_once('@').unwrap().0.to_owned());
    assert_eq!(locals[0], locals[1]);
}

#[test]
fn addresses_of_hosts_are_cut() {
    for (whole, cut) in
        [("192.0.2.129", "192.0.2.0"), ("::ffff:192.0.2.129", "192.0.2.0"), ("2001:db8:1:2:3:4:5:6", "2001:db8:1::")]
    {
        assert_eq!(network(ip(whole)), ip(cut), "{whole}");
    }
}

#[test]
fn what_is_no_address_has_its_own_treatment() {
    let client = ip("192.0.2.17");
    let key = key();
    assert_eq!(key.address("", client), "", "the null reverse-path is nobody");
    assert_eq!(key.address("Postmaster", client), "Postmaster");
    assert!(is_pseudonym(&key.address("no-at-sign", client)));
    assert!(key.address("a@[192.0.2.17]", client).ends_with("@[192.0.2.0]"));
    assert!(key.address("a@[IPv6:2001:db8:1:2::5]", client).ends_with("@[IPv6:2001:db8:1::]"));
    let id = key.message_id("<abc.def@mail.example>", client);
    assert!(id.starts_with("<~k") && id.ends_with("@mail.example>"), "{id}");
    assert!(key.message_id("<abc@192.0.2.17>", client).starts_with("<~k"));
    assert!(!key.message_id("<abc@my laptop>", client).contains("laptop"));
    assert_eq!(key.message_id("", client), "");
}

#[test]
fn a_name_that_spells_its_address_loses_the_labels_that_do() {
    for (name, client, left) in [
        ("mail.example.net", "192.0.2.17", None),
        ("mx1.example.net", "192.0.2.1", None),
        ("host-192-0-2-17.isp.example", "192.0.2.17", Some("isp.example")),
        ("17.2.0.192.dyn.isp.example", "192.0.2.17", Some("dyn.isp.example")),
        ("p2-17.pool.isp.example", "192.0.2.17", Some("pool.isp.example")),
        ("dsl.002.017.isp.example", "192.0.2.17", Some("isp.example")),
        ("c0000211.isp.example", "192.0.2.17", Some("isp.example")),
        ("ip192000002017.isp.example", "192.0.2.17", Some("isp.example")),
        ("a.192-0-2-17.example", "192.0.2.17", Some("example")),
        ("192.0.2.17", "192.0.2.17", Some("")),
        ("host-192-0-2-17.isp.example", "198.51.100.44", None),
        ("2001-db8-1-2--99.isp.example", "2001:db8:1:2::99", Some("isp.example")),
        ("mail.example.net", "2001:db8:1:2::99", None),
    ] {
        assert_eq!(spelled(name, ip(client)), left, "{name} of {client}");
        let hidden = key().host(name, ip(client));
        match left {
            None => assert_eq!(hidden, name),
            Some("") => assert_eq!(hidden, "192.0.2.0"),
            Some(left) => assert!(hidden.starts_with("~k") && hidden.ends_with(&format!(".{left}")), "{hidden}"),
        }
    }
}

#[test]
fn free_text_loses_whatever_looks_like_a_name() {
    for (text, shown) in [
        ("550 5.7.1 no", "550 5.7.1 no"),
        ("from <alice@example.com>, refused", "from <~@example.com>, refused"),
        ("\"odd one\"@example.com is odd", "~@example.com is odd"),
        ("j\\x{F6}rg@example.com", "~@example.com"),
        ("mailto:alice@example.com.", "mailto:~@example.com."),
        ("a@b@example.com", "~@b@example.com"),
        ("client 192.0.2.17:2525 and [IPv6:2001:db8:1:2::3].", "client 192.0.2.0:2525 and [IPv6:2001:db8:1::]."),
        ("version 1.2.3, at 10:11:12", "version 1.2.3, at 10:11:12"),
        ("@ and @example.com", "@ and @example.com"),
    ] {
        let mut hidden = key().scrubbed(text, ip("203.0.113.1"));
        while let Some(at) = hidden.find("~k") {
            hidden.replace_range(at..at + 18, "~");
        }
        assert_eq!(hidden, shown);
    }
    let once = key().scrubbed("to alice@example.com", ip("203.0.113.1"));
    assert_eq!(key().scrubbed(&once, ip("203.0.113.1")), once, "a pseudonym is not hidden again");
}

/// A record with something in every place.
pub fn full() -> Record {
    let mut full = record("2026-11-24T10:00:00.000Z", 1);
    let facts = &mut full.facts;
    facts.client.name = "mail.example.net".into();
    facts.iprev.name = "mail.example.net".into();
    facts.tls = Some(Box::new(Tls {
        version: "TLSv1.3".into(),
        cipher: "TLS13_AES_256_GCM_SHA384".into(),
        group: "X25519MLKEM768".into(),
        sni: "mx.example.com".into(),
    }));
    facts.rcpt.address = "bob@example.com".into();
    facts.rcpt.domain = "example.com".into();
    facts.message.message_id = "<1@bank.example>".into();
    facts.from.addresses = vec!["ceo@bank.example".into(), "cfo@bank.example".into()];
    facts.from.domain = "bank.example".into();
    facts.from.defects = vec!["bad-syntax".into()];
    facts.reply_to.domain = "bank.example".into();
    facts.dkim = vec![Dkim {
        domain: "bank.example".into(),
        selector: "s1".into(),
        algorithm: "rsa-sha256".into(),
        reason: "no key".into(),
        ..Dkim::default()
    }];
    let list = BlockList { codes: vec!["sbl".into()], names: vec!["192.0.2.1".into()], ..BlockList::default() };
    facts.block_lists.insert("zen.example".into(), list);
    facts.mail_from.local = "ceo".into();
    facts.rcpt.local = "bob".into();
    for name in ["from", "list-id", "references"] {
        let field = HeaderField { present: true, count: 2, value: Some("first".into()), last: Some("last".into()) };
        facts.headers.insert(name.into(), field);
    }
    let attachment = Attachment {
        name: "cv.pdf".into(),
        extension: "pdf".into(),
        media_type: "application/pdf".into(),
        ..Attachment::default()
    };
    facts.mime = Some(Mime { attachments: vec![attachment], ..Mime::default() });
    full.recipients[0].domain = "example.com".into();
    full.delivery = vec![gatepost::facts::record::DeliveryRecord {
        mailbox: "alice@example.com".into(),
        folder: "INBOX".into(),
        file: "example.com/alice/new/1.M2.host,S=3".into(),
    }];
    full.trouble = "disk full".into();
    full.decision.why = "since".into();
    full.decision.read = vec!["dmarc.result".into()];
    full
}

/// The places of a record that stay as they are: words of closed sets, names of our own rules, lists and folders, digests.
const CLEAR: &[&str] = &[
    "ref",
    "time",
    "stage",
    "rules.name",
    "rules.at",
    "rules.outcome",
    "policy.file",
    "policy.sha256",
    "decision.action",
    "decision.rule",
    "decision.read",
    "delivery.folder",
    "tls.version",
    "tls.cipher",
    "tls.group",
    "from.defects",
];

pub fn leaves(value: &Value, pointer: &str, out: &mut Vec<String>) {
    match value {
        Value::String(_) => out.push(pointer.to_owned()),
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(at, item)| leaves(item, &format!("{pointer}/{at}"), out));
        }
        Value::Object(fields) => {
            for (name, item) in fields {
                leaves(item, &format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1")), out);
            }
        }
        _ => {}
    }
}

fn name_of(pointer: &str) -> String {
    pointer.split('/').filter(|part| !part.is_empty() && part.parse::<usize>().is_err()).collect::<Vec<_>>().join(".")
}

/// Puts a text into each field in turn; gives what the veiled record then says, by field.
fn with_each(text: &str) -> Vec<(String, String)> {
    let value = serde_json::to_value(full()).unwrap();
    let mut pointers = Vec::new();
    leaves(&value, "", &mut pointers);
    assert!(pointers.len() > 40, "{pointers:?}");
    let mut veiled = Vec::new();
    for pointer in pointers {
        let mut value = value.clone();
        *value.pointer_mut(&pointer).unwrap() = Value::String(text.to_owned());
        // fields of words and numbers take no other text
        let Ok(mut record) = serde_json::from_value::<Record>(value) else { continue };
        key().veil(&mut record);
        veiled.push((name_of(&pointer), serde_json::to_string(&record).unwrap()));
    }
    assert!(veiled.len() > 30, "{}", veiled.len());
    veiled
}

#[test]
fn no_field_keeps_an_address() {
    for text in ["wilhelmina.xq@sender.example", "said wilhelmina.xq@sender.example (192.0.2.77)"] {
        for (field, line) in with_each(text) {
            let kept = line.contains("wilhelmina.xq") || line.contains("192.0.2.77");
            assert_eq!(kept, CLEAR.contains(&field.as_str()), "{field}: {line}");
        }
    }
}

#[test]
fn no_field_keeps_the_clients_address() {
    for (field, line) in with_each("192.0.2.1") {
        assert_eq!(line.contains("192.0.2.1\""), CLEAR.contains(&field.as_str()), "{field}: {line}");
    }
}

#[test]
fn texts_lose_what_the_record_knows_from_elsewhere() {
    let mut quoting = full();
    quoting.facts.mail_from.address = "no@bank.example".into();
    let long: Vec<String> = (0..8).map(|n| format!("longlongauthor{n}@bank{n}.example")).collect();
    quoting.facts.from.addresses.clone_from(&long);
    let cut: String = long.join(", ").chars().take(100).collect();
    quoting.facts.client.name = "h-192-0-2-1.isp.example".into();
    quoting.decision.reply =
        format!("550 5.7.1 NO: {cut} via h-192-0-2-1.isp.example, no.bank.example, alice ref=01ABC");
    quoting.decision.why = format!("{} longlongauth", "x".repeat(790));
    key().veil(&mut quoting);
    let reply = &quoting.decision.reply;
    for gone in ["longlong", "192-0-2-1", "alice", "NO:"] {
        assert!(!reply.contains(gone), "{gone}: {reply}");
    }
    assert!(reply.contains("no.bank.example") && reply.ends_with("ref=01ABC"), "{reply}");
    assert!(!quoting.decision.why.contains("longlong"), "{}", quoting.decision.why);
}

#[test]
fn a_client_can_not_change_what_was_answered_or_which_policy_judged() {
    for (local, reply) in [("250", "250 2.1.5 Recipient OK"), ("2.1.5", "250 2.1.5 OK"), ("550", "550 no 550 there")] {
        let mut one = full();
        one.facts.mail_from.address = format!("{local}@bank.example");
        one.decision.reply = reply.into();
        one.recipients[0].reply = reply.into();
        key().veil(&mut one);
        let codes: String = reply.chars().take_while(|c| !c.is_ascii_alphabetic()).collect();
        assert!(one.decision.reply.starts_with(&codes), "{}", one.decision.reply);
        assert!(one.recipients[0].reply.starts_with(&codes), "{}", one.recipients[0].reply);
        assert!(!one.decision.reply[codes.len()..].contains(local), "{}", one.decision.reply);
    }
    let mut one = full();
    one.facts.mail_from.address = "default@bank.example".into();
    one.policy.file = "policies/default.toml".into();
    key().veil(&mut one);
    assert_eq!(one.policy.file, "policies/default.toml");
}

#[test]
fn what_a_pseudonym_stands_for_is_not_known_to_a_replay() {
    let facts = ["client.ip", "mail_from.address", "mail_from.local", "mail_from.domain"];
    let mut set = FactSet::default();
    facts.iter().for_each(|name| set.insert(table::find(name).unwrap()));
    let wanted = Wanted::of(&set);
    let known = |record: &Record| {
        let line = serde_json::to_string(record).unwrap();
        let recorded = Recorded::read(line.as_bytes(), &wanted).unwrap();
        let known = |name: &&&str| recorded.find(table::find(name).unwrap()).is_some();
        let known: Vec<String> = facts.iter().filter(known).map(|name| (*name).to_owned()).collect();
        let rcpt = ["rcpt.address", "rcpt.local", "rcpt.domain"]
            .map(|name| recorded.recipients[0].find(table::find(name).unwrap()).is_some());
        (known, rcpt)
    };
    let mut clear = full();
    clear.facts.client.port = 0;
    assert_eq!(known(&clear), (facts.map(String::from).to_vec(), [true; 3]));
    let mut veiled = full();
    key().veil(&mut veiled);
    assert_eq!(known(&veiled), (vec!["mail_from.domain".into()], [false, false, true]));
    // a client that calls itself so hides no address of its own
    let mut forged = full();
    (forged.facts.client.port, forged.facts.mail_from.address) = (4_711, veiled.facts.mail_from.address.clone());
    assert_eq!(known(&forged).0, ["client.ip", "mail_from.domain"]);
}

#[test]
fn what_is_kept_is_still_a_record_with_its_domains() {
    let mut veiled = full();
    key().veil(&mut veiled);
    let Facts { mail_from, from, dkim, .. } = &veiled.facts;
    assert_eq!(
        (mail_from.domain.as_str(), from.domain.as_str(), dkim[0].domain.as_str()),
        ("bank.example", "bank.example", "bank.example")
    );
    assert_eq!(veiled.facts.client.name, "mail.example.net");
    assert_eq!(from.addresses[0], mail_from.address, "one person in two places");
    assert_eq!((veiled.facts.client.ip, veiled.facts.client.port), (ip("192.0.2.0"), 0));
    assert_eq!(serde_json::from_str::<Record>(&serde_json::to_string(&veiled).unwrap()).unwrap(), veiled);
}

#[test]
fn header_fields_keep_mailboxes_and_no_names_of_people() {
    let value = |name: &str, value: &str| {
        let mut one = full();
        let field = HeaderField { present: true, count: 1, value: Some(value.into()), last: None };
        one.facts.headers.insert(name.into(), field);
        key().veil(&mut one);
        one.facts.headers[name].value.clone().unwrap()
    };
    let from = value("from", "\"Wilhelmina Quist\" <ceo@bank.example>, Bob <b@c.example>");
    assert!(!from.contains("Quist") && !from.contains("Bob"), "{from}");
    let mut veiled = full();
    key().veil(&mut veiled);
    assert!(from.starts_with(&veiled.facts.mail_from.address) && from.ends_with("@c.example"), "{from}");
    assert!(is_pseudonym(&value("to", "undisclosed Wilhelmina")));
    let references = value("references", "<1.quist@a.example> <2@b.example>");
    assert!(references.contains("@a.example> <~k") && !references.contains("quist"), "{references}");
    assert_eq!(value("list-id", "Friends <friends.example.org>"), "Friends <friends.example.org>");
    let attachment = &veiled.facts.mime.as_ref().unwrap().attachments[0];
    assert!(attachment.name.starts_with("~k") && attachment.name.ends_with(".pdf"), "{}", attachment.name);
    assert!(veiled.facts.mail_from.address.starts_with(&format!("{}@", veiled.facts.mail_from.local)));
}

fn without_names(directory: &Path) -> Journal {
    let settings = Settings { keep: 14 * DAY, keep_audit: 400 * DAY, pseudonymise: true };
    let journal = Journal::open_with(directory, settings).unwrap();
    journal.start().unwrap();
    journal
}

fn keys(directory: &Path) -> Vec<String> {
    let names = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let mut keys: Vec<String> = names.filter(|name| name.ends_with(".key")).collect();
    keys.sort();
    keys
}

#[test]
fn keys_change_every_week_and_searches_know_them_all() {
    let directory = TempDir::new().unwrap();
    let journal = without_names(directory.path());
    let records = ["2090-01-01T10:00:00.000Z", "2090-01-01T11:00:00.000Z", "2090-01-02T11:00:00.000Z"]
        .map(|time| record(time, 1));
    records.iter().for_each(|one| journal.record(one.clone()));
    assert_eq!(journal.close(PATIENCE), 0);
    let senders: Vec<String> = records
        .iter()
        .map(|one| find(directory.path(), &one.reference).unwrap().unwrap().facts.mail_from.address)
        .collect();
    assert_eq!(senders[0], senders[1]);
    // 2090-01-01 is a Sunday
    assert_ne!(senders[1], senders[2]);
    let spellings = Spellings::read(directory.path()).unwrap();
    let known = spellings.address("CEO@bank.example");
    assert!(senders.iter().all(|sender| known.contains(sender)), "{known:?} {senders:?}");
    let key = fs::metadata(directory.path().join("pseudonyms-2090-01-02.key")).unwrap();
    assert_eq!(key.permissions().mode() & 0o777, 0o600);
    // who starts again goes on under the same key
    let journal = without_names(directory.path());
    journal.record(record("2090-01-03T10:00:00.000Z", 2));
    assert_eq!(journal.close(PATIENCE), 0);
    let again = find(directory.path(), &crate::journal::reference("2090-01-03T10:00:00.000Z", 2)).unwrap().unwrap();
    assert_eq!(again.facts.mail_from.address, senders[2]);
}

#[test]
fn a_key_goes_with_the_last_line_that_it_made() {
    let directory = TempDir::new().unwrap();
    let journal = without_names(directory.path());
    for time in ["2090-01-01T10:00:00.000Z", "2090-01-02T10:00:00.000Z", "2090-01-16T00:00:00.000Z"] {
        journal.record(record(time, 1));
    }
    assert_eq!(journal.close(PATIENCE), 0);
    let now: jiff::Timestamp = "2090-01-16T00:00:00Z".parse().unwrap();
    assert_eq!(remove_older(directory.path(), now, 14 * DAY).unwrap().removed, 1);
    // on the 16th the 2nd is the oldest day that is kept: the week that ended on the 1st is gone
    assert!(!directory.path().join("2090-01-01.jsonl").exists());
    let keys = keys(directory.path());
    assert!(!keys.contains(&"pseudonyms-2089-12-26.key".to_owned()), "{keys:?}");
    assert!(keys.contains(&"pseudonyms-2090-01-02.key".to_owned()), "{keys:?}");
}

#[test]
fn a_key_that_can_not_be_kept_stops_no_line_and_shows_no_name() {
    let directory = TempDir::new().unwrap();
    fs::write(directory.path().join("pseudonyms-2090-01-02.key"), "no key\n").unwrap();
    let journal = without_names(directory.path());
    let one = record("2090-01-03T10:00:00.000Z", 1);
    journal.record(one.clone());
    assert_eq!(journal.close(PATIENCE), 0);
    let found = find(directory.path(), &one.reference).unwrap().unwrap();
    assert!(found.facts.mail_from.address.starts_with("~k"), "{}", found.facts.mail_from.address);
    assert_eq!(Spellings::read(directory.path()).unwrap().unread, 1);
}

fn week_of_now() -> jiff::civil::Date {
    let today = jiff::Timestamp::now().to_zoned(jiff::tz::TimeZone::UTC).date();
    today - jiff::Span::new().days(i64::from(today.weekday().to_monday_zero_offset()))
}

#[test]
fn a_key_that_can_not_be_read_is_no_key_and_lets_no_journal_begin() {
    // this week's, and the next one's, which is made with it
    for weeks in [0, 1] {
        let directory = TempDir::new().unwrap();
        let name = format!("pseudonyms-{}.key", week_of_now() + jiff::Span::new().weeks(weeks));
        fs::write(directory.path().join(&name), "no key\n").unwrap();
        let settings = Settings { keep: 14 * DAY, keep_audit: 400 * DAY, pseudonymise: true };
        let Err(error) = Journal::open_with(directory.path(), settings) else { panic!("{name} was taken") };
        assert!(error.to_string().contains(&name), "{error}");
        assert_eq!(fs::read_to_string(directory.path().join(&name)).unwrap(), "no key\n", "it is the administrator's");
        assert!(Journal::open(directory.path(), 14 * DAY).is_ok(), "without pseudonyms none is needed");
    }
}

#[test]
fn what_a_crash_left_of_a_key_goes_with_the_next_start() {
    let directory = TempDir::new().unwrap();
    let left = directory.path().join(".pseudonyms-4711.tmp");
    fs::write(&left, "00").unwrap();
    assert_eq!(without_names(directory.path()).close(PATIENCE), 0);
    assert!(!left.exists());
}

proptest::proptest! {
    #![proptest_config(proptest::prelude::ProptestConfig { cases: 200, failure_persistence: None, ..Default::default() })]

    /// Whatever stands around it: an address that the record knows is in no text of it.
    #[test]
    fn no_known_address_is_left_in_a_text(
        local in "[a-zA-Z0-9.!#$%&'*+/=?^_`{|}~-]{1,20}qxl7u",
        before in "[ -~]{0,30}",
        behind in "([ ,;:<>()\"].{0,20})?",
    ) {
        let mut quoting = full();
        quoting.facts.mail_from.address = format!("{local}@bank.example");
        quoting.decision.reply = format!("550 5.7.1 {before} {local}@bank.example{behind} {local}");
        quoting.trouble = format!("bank.example/{local}/new: {before}");
        key().veil(&mut quoting);
        let line = serde_json::to_string(&quoting).unwrap();
        proptest::prop_assert!(!line.to_lowercase().contains("qxl7u"), "{}", line);
    }

    #[test]
    fn any_text_can_be_scrubbed(text in ".{0,200}", name in ".{0,60}", four in proptest::prelude::any::<u32>(), six in proptest::prelude::any::<u128>()) {
        for client in [IpAddr::V4(four.into()), IpAddr::V6(six.into())] {
            key().scrubbed(&text, client);
            key().host(&name, client);
            key().message_id(&text, client);
            let mut any = full();
            any.facts.client.ip = client;
            any.facts.helo = name.clone();
            any.decision.reply = text.clone();
            key().veil(&mut any);
        }
    }
}

#[test]
fn whom_a_rule_redirects_to_is_hidden_and_the_policy_s_own_texts_are_not() {
    let mut record = record("2026-11-20T10:00:00.000Z", 1);
    let changes = gatepost::facts::record::ChangesRecord {
        folder: "Spam".into(),
        add_headers: vec!["X-For: {rcpt.address}".into()],
        redirect: "carol@example.com".into(),
        ..Default::default()
    };
    record.decision.changes = Some(changes.clone());
    record.recipients[0].changes = Some(changes.clone());
    key().veil(&mut record);
    for veiled in [&record.decision.changes, &record.recipients[0].changes] {
        let veiled = veiled.as_ref().unwrap();
        let (local, domain) = veiled.redirect.split_once('@').unwrap();
        assert!(is_pseudonym(local) && domain == "example.com", "{veiled:?}");
        assert_eq!((&veiled.folder, &veiled.add_headers), (&changes.folder, &changes.add_headers));
    }
}
