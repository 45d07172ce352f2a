//! The table of facts: complete, true to the decision record, and strict about what tests give.

use std::collections::BTreeSet;
use std::net::{IpAddr, Ipv4Addr};

use gatepost::facts::table::{self, FactSet, FactSource, Given, Mistake, TABLE, Type, Value};
use gatepost::facts::word::{FROM_DEFECTS, Stage};
use gatepost::facts::{
    Attachment, BlockList, Clock, Dkim, Facts, Greylist, GreylistKey, GreylistResult, HeaderField, HeloCheck, HeloKind,
    HeloResult, ListKind, MethodResult, Mime, Tls, Weekday,
};
use serde_json::Value as Json;

fn to_json(value: &Value<'_>) -> Json {
    match value {
        Value::Bool(b) => Json::from(*b),
        Value::Int(n) => Json::from(*n),
        Value::Double(n) => Json::from(*n),
        Value::String(text) => Json::from(text.as_ref()),
        Value::List(items) => items.iter().map(to_json).collect(),
        Value::Map(fields) => Json::Object(fields.iter().map(|(k, v)| (k.to_string(), to_json(v))).collect()),
    }
}

fn pdf() -> Attachment {
    Attachment { media_type: "application/pdf".into(), ..Attachment::default() }
}

/// Facts in which nothing is empty but what has records by name.
fn full() -> Facts {
    let mut facts = Facts::new(IpAddr::V4(Ipv4Addr::new(192, 0, 2, 7)), 4711, true);
    facts.client.name = "mx.example.net".into();
    facts.clock = Some(Clock { hour: 3, minute: 14, weekday: Weekday::Friday, day: 15, month: 9 });
    facts.helo = "helo.example.net".into();
    facts.esmtp = true;
    facts.helo_check = HeloCheck { kind: HeloKind::Domain, result: HeloResult::Pass, matches_ptr: true };
    facts.tls = Some(Box::new(Tls {
        version: "TLSv1.3".into(),
        cipher: "TLS_AES_256_GCM_SHA384".into(),
        group: "X25519MLKEM768".into(),
        sni: "mx.example.com".into(),
    }));
    facts.mail_from.address = "a@example.net".into();
    facts.mail_from.local = "a".into();
    facts.mail_from.domain = "example.net".into();
    facts.mail_from.smtputf8 = true;
    facts.rcpt.address = "b@example.com".into();
    facts.rcpt.local = "b".into();
    facts.rcpt.domain = "example.com".into();
    facts.rcpt.count = 2;
    facts.message.bytes = 1234;
    facts.message.header_bytes = 567;
    facts.message.fields = 8;
    facts.message.received = 2;
    facts.message.longest_line = 998;
    let attachment = Attachment { name: "a.pdf".into(), extension: "pdf".into(), bytes: 9, depth: 1, ..pdf() };
    let defects = vec!["after-end".into()];
    facts.mime = Some(Mime { parts: 3, depth: 1, truncated: true, defects, attachments: vec![attachment] });
    facts.from.addresses = vec!["x@example.org".into(), "y@example.org".into()];
    facts.from.defects = vec!["group".into()];
    facts.dkim = vec![Dkim { result: MethodResult::Pass, domain: "example.org".into(), ..Dkim::default() }];
    facts.dmarc.aligned = true;
    facts.greylist = Greylist { result: GreylistResult::Early, key: GreylistKey::Spf, wait: 120 };
    facts.rates.insert("client/10m".into(), 3);
    facts.score = 2.5;
    facts
}

#[test]
fn each_fact_is_named_by_its_path_in_the_decision_record() {
    let facts = full();
    let record = serde_json::to_value(&facts).unwrap();
    for fact in TABLE {
        let pointer = format!("/{}", fact.name.replace('.', "/"));
        let there = record.pointer(&pointer).unwrap_or_else(|| panic!("{} is not in the record", fact.name));
        assert_eq!(to_json(&facts.value(fact)), *there, "{}", fact.name);
    }
}

#[test]
fn the_record_holds_no_fact_that_the_table_lacks() {
    fn leaves(path: &str, value: &Json, out: &mut BTreeSet<String>) {
        match value {
            // what stands below a fact is its value
            Json::Object(map) if !map.is_empty() && table::find(path).is_none() => {
                for (key, value) in map {
                    let path = if path.is_empty() { key.clone() } else { format!("{path}.{key}") };
                    leaves(&path, value, out);
                }
            }
            _ => {
                out.insert(path.to_owned());
            }
        }
    }
    let mut inside = BTreeSet::new();
    leaves("", &serde_json::to_value(full()).unwrap(), &mut inside);
    let declared: BTreeSet<String> = table::names().map(str::to_owned).collect();
    assert_eq!(inside, declared);
}

#[test]
fn every_value_is_of_its_type_when_empty_and_when_full() {
    for facts in [Facts::default(), full()] {
        for fact in TABLE {
            // A borrowed value can't be taken; its JSON tells as much.
            let owned = match facts.value(fact) {
                Value::String(text) => Value::String(text.into_owned().into()),
                Value::List(_) => continue,
                Value::Bool(b) => Value::Bool(b),
                Value::Int(n) => Value::Int(n),
                Value::Double(n) => Value::Double(n),
                Value::Map(_) if matches!(fact.ty, Type::RecordMap(_) | Type::Counts) => continue,
                Value::Map(_) => panic!("{} is a lone record", fact.name),
            };
            fact.ty.take(owned).unwrap_or_else(|mistake| panic!("{}: {mistake}", fact.name));
        }
    }
    for fact in TABLE {
        assert_eq!(fact.ty.take(fact.ty.empty()).as_ref(), Ok(&fact.ty.empty()), "{}", fact.name);
        assert_eq!(Given::new().value(fact), fact.ty.empty(), "{}", fact.name);
    }
}

#[test]
fn names_are_unique_and_every_fact_has_a_meaning() {
    let names: BTreeSet<&str> = table::names().collect();
    assert_eq!(names.len(), TABLE.len());
    for fact in TABLE {
        assert!(fact.meaning.len() > 10 && !fact.meaning.ends_with('.'), "{}", fact.name);
        assert!(fact.stage <= fact.until, "{}", fact.name);
        assert!(std::ptr::eq(table::find(fact.name).unwrap(), fact), "{}", fact.name);
    }
    assert!(table::find("dmarc").is_none());
}

#[test]
fn a_fact_is_known_from_its_stage_on() {
    let known = |name: &str| -> Vec<Stage> {
        let fact = table::find(name).unwrap();
        Stage::ALL.iter().copied().filter(|stage| fact.known_at(*stage)).collect()
    };
    use Stage::{Connect, Data, Mail, Rcpt};
    for (name, stages) in [
        ("client.ip", vec![Connect, Mail, Rcpt, Data]),
        ("iprev.result", vec![Connect, Mail, Rcpt, Data]),
        ("reverse_mx.ptr.result", vec![Connect, Mail, Rcpt, Data]),
        ("score", vec![Connect, Mail, Rcpt, Data]),
        ("helo", vec![Mail, Rcpt, Data]),
        ("tls.version", vec![Mail, Rcpt, Data]),
        ("tls.group", vec![Mail, Rcpt, Data]),
        ("tls.sni", vec![Mail, Rcpt, Data]),
        ("spf.mail_from.result", vec![Mail, Rcpt, Data]),
        ("reverse_mx.mail_from.mx", vec![Mail, Rcpt, Data]),
        ("rcpt.address", vec![Rcpt]),
        ("rcpt.domain", vec![Rcpt]),
        ("rcpt.role", vec![Rcpt, Data]),
        ("rcpt.local", vec![Rcpt]),
        ("rcpt.count", vec![Rcpt, Data]),
        ("clock.hour", vec![Connect, Mail, Rcpt, Data]),
        ("esmtp", vec![Mail, Rcpt, Data]),
        ("headers", vec![Data]),
        ("mime.attachments", vec![Data]),
        ("from.domain", vec![Data]),
        ("dkim", vec![Data]),
        ("dmarc.result", vec![Data]),
    ] {
        assert_eq!(known(name), stages, "{name}");
    }
}

#[test]
fn a_list_is_cut_before_a_rule_sees_it() {
    let mut facts = full();
    facts.from.addresses = (0..5000).map(|n| format!("a{n}@example.org")).collect();
    facts.dkim = vec![Dkim::default(); 5000];
    facts.mime = Some(Mime { attachments: vec![pdf(); 5000], ..Mime::default() });
    for name in ["from.addresses", "dkim", "mime.attachments"] {
        let Value::List(items) = facts.value(table::find(name).unwrap()) else { panic!("{name} is a list") };
        assert_eq!(items.len(), table::LIST_BOUND, "{name}");
    }
}

#[test]
fn what_a_test_gives_must_fit_the_fact() {
    let text = |text: &'static str| Value::text(text);
    let record = |field: &'static str, value: &'static str| {
        Value::List(vec![Value::Map(vec![(field.into(), Value::text(value))])])
    };
    for (name, value, mistake) in [
        ("dmarc.reslut", text("fail"), "there is no fact \"dmarc.reslut\""),
        ("dmarc.result", text("failed"), "it is never \"failed\""),
        ("dmarc.result", Value::Bool(true), "it is of type word, not bool"),
        ("dmarc.aligned", text("yes"), "it is of type bool, not string"),
        ("message.bytes", Value::Double(1.5), "it is of type int, not double"),
        ("client.ip", text("192.0.2.300"), "\"192.0.2.300\" is not an IP address"),
        ("from.defects", Value::List(vec![text("grop")]), "it is never \"grop\""),
        ("from.defects", text("group"), "it is of type list of words, not string"),
        ("dkim", record("reslut", "pass"), "its records have no field \"reslut\""),
        ("dkim", record("result", "passed"), "it is never \"passed\""),
        ("dkim", Value::List(vec![text("pass")]), "it is of type record, not string"),
    ] {
        let mut given = Given::new();
        let got = given.set(name, value);
        assert_eq!(got.unwrap_err().to_string(), mistake, "{name}");
        assert_eq!(given, Given::new(), "{name}: a mistake changes nothing");
    }
}

#[test]
fn what_a_test_gives_overlays_the_empty_values() {
    let mut given = Given::new();
    given.set("score", Value::Int(4)).unwrap();
    given.set("dkim", Value::List(vec![Value::Map(vec![("result".into(), Value::text("pass"))])])).unwrap();
    assert_eq!(given.value(table::find("score").unwrap()), Value::Double(4.0));
    let Value::List(records) = given.value(table::find("dkim").unwrap()) else { panic!("dkim is a list") };
    let Value::Map(fields) = &records[0] else { panic!("of records") };
    let fields: Vec<(&str, String)> = fields.iter().map(|(k, v)| (k.as_ref(), v.to_string())).collect();
    let empty = [("domain", ""), ("selector", ""), ("algorithm", ""), ("reason", ""), ("secure", "false")];
    let expected = [("result", "pass")].into_iter().chain(empty);
    assert_eq!(fields, expected.map(|(k, v)| (k, v.to_owned())).collect::<Vec<_>>());
    assert!(matches!(given.set("nothing", Value::Bool(true)), Err(Mistake::UnknownFact(_))));
}

#[test]
fn a_set_of_facts_answers_by_name_and_by_group() {
    let mut set = FactSet::default();
    assert!(set.is_empty());
    set.insert(table::find("spf.helo.result").unwrap());
    set.insert(table::find("score").unwrap());
    assert!(set.contains("spf.helo.result") && !set.contains("spf.helo.domain") && !set.contains("spf"));
    assert!(set.touches("spf") && set.touches("spf.helo") && set.touches("score"));
    assert!(!set.touches("sp") && !set.touches("spf.mail_from") && !set.touches("dkim"));
    assert_eq!(set.iter().map(|fact| fact.name).collect::<Vec<_>>(), ["spf.helo.result", "score"]);
    assert!(!set.asks_lists(ListKind::Address) && !set.touches("block_lists"));
    set.insert_lists(ListKind::Domain);
    assert!(set.asks_lists(ListKind::Domain) && !set.asks_lists(ListKind::Address) && set.contains("block_lists"));
    // The last fact of the table has its bit too.
    let last = TABLE.last().unwrap();
    let mut other = FactSet::default();
    other.insert(last);
    set.extend(other);
    assert!(set.contains(last.name));
}

#[test]
fn block_lists_are_records_by_zone_in_the_record_and_for_rules() {
    let mut facts = full();
    let list = BlockList { listed: true, codes: vec!["sbl".into()], names: vec!["192.0.2.7".into()], temperror: false };
    facts.block_lists.insert("zen.example".into(), list);
    let fact = table::find("block_lists").unwrap();
    let record = serde_json::to_value(&facts).unwrap();
    assert_eq!(to_json(&facts.value(fact)), record["block_lists"]);
    let expected = serde_json::json!({ "listed": true, "codes": ["sbl"], "names": ["192.0.2.7"], "temperror": false });
    assert_eq!(record["block_lists"]["zen.example"], expected);
    // a record of a version that wrote less is read
    let old: BlockList = serde_json::from_str(r#"{"listed":true,"codes":[]}"#).unwrap();
    assert_eq!(old, BlockList { listed: true, ..BlockList::default() });
}

#[test]
fn header_fields_are_records_by_name_and_what_they_are_about_is_never_written() {
    let mut facts = full();
    let field = |text: &str| HeaderField {
        present: true,
        count: 2,
        value: Some(text.to_owned()),
        last: Some(format!("last {text}")),
    };
    for name in ["list-id", "subject", "comments", "keywords", "thread-topic"] {
        facts.headers.insert(name.into(), field("dear secret"));
    }
    let Value::Map(read) = facts.value(table::find("headers").unwrap()) else { panic!("headers are records by name") };
    assert_eq!(read.len(), 5, "rules read them all");
    assert!(read.iter().all(|(_, field)| to_json(field)["value"] == "dear secret"));
    let record = serde_json::to_value(&facts).unwrap();
    let whole = serde_json::json!({ "present": true, "count": 2, "value": "dear secret", "last": "last dear secret" });
    assert_eq!(record["headers"]["list-id"], whole);
    for name in ["subject", "comments", "keywords", "thread-topic"] {
        assert_eq!(record["headers"][name], serde_json::json!({ "present": true, "count": 2 }), "{name}");
    }
    // what a record withholds is told apart from what was empty
    let read: Facts = serde_json::from_value(record).unwrap();
    assert_eq!(read.headers["subject"], HeaderField { value: None, last: None, ..field("") });
    assert_eq!(read.headers["list-id"], facts.headers["list-id"]);
}

#[test]
fn the_name_of_a_message_within_the_message_is_in_no_record() {
    let file = |name: &str, media_type: &str| {
        let (name, extension) = (name.to_owned(), name.rsplit_once('.').map_or("", |(_, end)| end).to_owned());
        Attachment { name, extension, media_type: media_type.into(), bytes: 9, depth: 1 }
    };
    let attachments = vec![
        file("Re: a secret.eml", "message/rfc822"),
        file("a secret", "message/global"),
        file("a secret.eml", "application/octet-stream"),
        file("a secret.msg", "application/vnd.ms-outlook"),
        file("report.pdf", "application/pdf"),
        file("", "image/png"),
    ];
    let facts = Facts { mime: Some(Mime { attachments, ..Mime::default() }), ..full() };
    let record = serde_json::to_value(&facts).unwrap();
    assert!(!record.to_string().contains("secret"), "{record}");
    let told = &record["mime"]["attachments"];
    let message = serde_json::json!({ "extension": "eml", "type": "message/rfc822", "bytes": 9, "depth": 1 });
    assert_eq!(told[0], message);
    // what has no name is told apart from what is not told
    assert_eq!((told[4]["name"].as_str(), told[5]["name"].as_str()), (Some("report.pdf"), Some("")));
    let read: Facts = serde_json::from_value(record.clone()).unwrap();
    assert_eq!(serde_json::to_value(&read).unwrap(), record);
}

#[test]
fn a_record_of_a_version_that_knew_less_is_read() {
    let mut record = serde_json::to_value(full()).unwrap();
    for group in ["clock", "esmtp", "headers", "mime"] {
        record.as_object_mut().unwrap().remove(group).unwrap_or_else(|| panic!("{group} is in the record"));
    }
    for (group, field) in [
        ("mail_from", "local"),
        ("mail_from", "smtputf8"),
        ("rcpt", "local"),
        ("rcpt", "count"),
        ("message", "header_bytes"),
        ("message", "fields"),
        ("message", "received"),
        ("message", "longest_line"),
    ] {
        record[group].as_object_mut().unwrap().remove(field).unwrap_or_else(|| panic!("{group}.{field} is there"));
    }
    let read: Facts = serde_json::from_value(record).unwrap();
    let full = full();
    assert_eq!((read.clock, read.mime, read.headers.len()), (None, None, 0));
    assert_eq!((read.mail_from.address, read.dkim, read.score), (full.mail_from.address, full.dkim, full.score));
}

#[test]
fn the_clock_shows_the_time_of_a_zone() {
    let moment: jiff::Timestamp = "2026-12-31T22:59:30Z".parse().unwrap();
    for (hours, expected) in [
        (0, Clock { hour: 22, minute: 59, weekday: Weekday::Thursday, day: 31, month: 12 }),
        (2, Clock { hour: 0, minute: 59, weekday: Weekday::Friday, day: 1, month: 1 }),
        (-23, Clock { hour: 23, minute: 59, weekday: Weekday::Wednesday, day: 30, month: 12 }),
    ] {
        let zone = jiff::tz::TimeZone::fixed(jiff::tz::Offset::constant(hours));
        assert_eq!(Clock::at(moment, &zone), expected, "UTC{hours:+}");
    }
    // a week has all its days
    let day = |n: i64| Clock::at(moment + jiff::SignedDuration::from_hours(24 * n), &jiff::tz::TimeZone::UTC).weekday;
    let week: BTreeSet<Weekday> = (0..7).map(day).collect();
    assert!(week.len() == 7 && !week.contains(&Weekday::Unknown));
}

#[test]
fn a_list_gathers_what_it_says_of_several_names() {
    let said = |codes: &[&str], names: &[&str], temperror| BlockList {
        listed: !names.is_empty(),
        codes: codes.iter().map(|code| (*code).to_owned()).collect(),
        names: names.iter().map(|name| (*name).to_owned()).collect(),
        temperror,
    };
    let mut all = said(&["phish"], &["b.example"], false);
    all.add(&said(&[], &[], true));
    all.add(&said(&["malware", "phish"], &["a.example"], false));
    all.add(&said(&["phish"], &["b.example"], false));
    assert_eq!(all, said(&["malware", "phish"], &["a.example", "b.example"], true));
}

#[test]
fn the_rows_list_types_words_stages_and_fields() {
    let rows = table::rows();
    assert_eq!(rows.len(), TABLE.len());
    let row = |name: &str| rows.iter().find(|row| row.name == name).unwrap();
    assert_eq!(row("dmarc.policy").values, ["none", "quarantine", "reject"]);
    assert_eq!(row("from.defects").values, FROM_DEFECTS);
    assert_eq!(row("rcpt.role").stages, [Stage::Rcpt, Stage::Data]);
    let json = serde_json::to_value(row("dkim")).unwrap();
    assert_eq!(json["type"], "list of records");
    assert_eq!(json["fields"][0]["name"], "result");
    assert_eq!(json["stages"], serde_json::json!(["data"]));
    for fact in TABLE {
        assert_eq!(
            row(fact.name).values.is_empty(),
            !matches!(fact.ty, Type::Word(_) | Type::WordList(_)),
            "{}",
            fact.name
        );
    }
}
