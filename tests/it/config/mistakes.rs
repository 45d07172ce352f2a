//! Tables of wrong configurations with exactly what is told of each.

use std::path::Path;

use gatepost::config::Config;
use gatepost::problem::{Problem, Problems};

use super::{DOMAIN, TOP, parse, parsed, testdata};

/// The headlines of a text's problems, in their order: `line:column: key: cause | mend`.
fn headlines(problems: &Problems) -> Vec<String> {
    let mut list: Vec<_> = problems.iter().collect();
    list.sort_by_key(|problem| problem.line_column());
    let line = |problem: &&Problem| {
        let place = problem.line_column().map_or("-".to_owned(), |(line, column)| format!("{line}:{column}"));
        let mend = if problem.mend.is_empty() { String::new() } else { format!(" | {}", problem.mend) };
        format!("{place} {}: {}{mend}", problem.key, problem.cause)
    };
    list.iter().map(line).collect()
}

#[track_caller]
fn check_whole(text: &str, expected: &[&str]) {
    let problems = parse(text, Path::new("/nowhere")).err().unwrap_or_default();
    assert_eq!(headlines(&problems), expected, "of:\n{text}");
}

/// A text in front of the domain (line 2 on): all its problems.
#[track_caller]
fn check(middle: &str, expected: &[&str]) {
    check_whole(&format!("{TOP}{middle}\n{DOMAIN}"), expected);
}

#[test]
fn mistakes_of_keys_and_types() {
    check("", &[]);
    check("smtp.lsten = []", &["2:6 smtp.lsten: unknown key | did you mean \"listen\"?"]);
    check("[smtpd]\n", &["2:2 smtpd: unknown key | did you mean \"smtp\"?"]);
    check("soft_reject = true", &["2:1 soft_reject: unknown key | it stands in [smtp]"]);
    check(
        "[smtp]\nhostname = 'x'",
        &["3:1 smtp.hostname: unknown key | it stands at the top of the file, before the first [table]"],
    );
    check("[maildir]\nzzzzzzz = 1", &["3:1 maildir.zzzzzzz: unknown key | known in [maildir]: root, quota"]);
    check("smtp = 5", &["2:8 smtp: must be a table, not an integer"]);
    check("[[smtp]]\n", &["2:1 smtp: must be a table, not an array"]);
    check("maildir.root = 5", &["2:16 maildir.root: must be a string, not an integer"]);
    check("maildir.root = ''", &["2:16 maildir.root: must not be empty"]);
    check(
        "smtp.soft_reject = 'true'",
        &["2:20 smtp.soft_reject: must be true or false, not a string | write true without quotes"],
    );
    check("smtp.soft_reject = 1", &["2:20 smtp.soft_reject: must be true or false, not an integer"]);
    check(
        "security.group = 'mail'",
        &[
            "2:18 security.group: a group without security.user is never taken on | name the user too, or leave the group out",
        ],
    );
}

#[test]
fn mistakes_of_block_lists() {
    let list = |more: &str| format!("[[block_lists]]\nzone = 'zen.example'\nkind = 'address'\n{more}");
    check(&list(""), &[]);
    check(
        "[[block_lists]]\ncode = 1",
        &[
            "2:1 block_lists.zone: this key is missing | it must be a domain name",
            "2:1 block_lists.kind: this key is missing | it must be \"address\" or \"domain\"",
            "3:1 block_lists.code: unknown key | did you mean \"codes\"?",
        ],
    );
    check(
        &format!("{}{}", list(""), list("").replace("zen", "ZEN")),
        &["6:8 block_lists.zone: the zone zen.example is here already | leave one out"],
    );
    check(
        "[[block_lists]]\nzone = 'zen.example.'\nkind = 'adress'",
        &[
            "3:8 block_lists.zone: a domain name is written without a dot at its end | write \"zen.example\"",
            "4:8 block_lists.kind: \"adress\" is no kind of list | did you mean \"address\"?",
        ],
    );
    check("block_lists = { zone = 'x' }", &["2:15 block_lists: must be a list of tables, not a table"]);
    check(
        &list("codes = ['127.0.0.2']"),
        &[
            "5:9 block_lists.codes: must be a table of answers and what they are called, not an array | write { \"127.0.0.2\" = \"spam\" }",
        ],
    );
    check(
        &list("codes = {}"),
        &[
            "5:9 block_lists.codes: names no answer: nothing would ever be listed | leave the key out to take every answer",
        ],
    );
    for (pattern, cause) in [
        ("127.0.0.300", "is not an answer of a list | write it as \"127.0.0.2\", \"127.0.0.4/30\" or \"127.0.*.2\""),
        ("127.0.0", "is not an answer of a list | write it as \"127.0.0.2\", \"127.0.0.4/30\" or \"127.0.*.2\""),
        ("127.0.*", "is not an answer of a list | write it as \"127.0.0.2\", \"127.0.0.4/30\" or \"127.0.*.2\""),
        ("127.0.0.2/29", "has bits set beyond its prefix | write \"127.0.0.0/29\""),
        ("192.0.2.1", "never lists: lists answer within 127.0.0.0/8 | RFC 5782 §2.1"),
        ("*.0.0.2", "never lists: lists answer within 127.0.0.0/8 | RFC 5782 §2.1"),
        ("126.0.0.0/7", "never lists: lists answer within 127.0.0.0/8 | RFC 5782 §2.1"),
        ("127.255.255.254", "never lists: operators refuse to answer with 127.255.255.0/24 | leave it out"),
        ("127.255.255.*", "never lists: operators refuse to answer with 127.255.255.0/24 | leave it out"),
    ] {
        let expected = format!("5:11 block_lists.codes: {pattern:?} {cause}");
        check(&list(&format!("codes = {{ {pattern:?} = 'spam' }}")), &[&expected]);
    }
    check(
        &list("codes = { '127.0.0.2' = 'two words', '127.0.0.3' = 5, '127.0.0.4/32' = 'a', '127.0.0.4' = 'b' }"),
        &[
            "5:25 block_lists.codes: \"two words\" is not the name of a code | name it with letters, digits, . _ and -, at most 64 of them",
            "5:52 block_lists.codes: must be a string, not an integer",
            "5:55 block_lists.codes: this answer is here twice | leave one out",
        ],
    );
    check(
        &list("listed_probe = 'TEST'\nunlisted_probe = 5"),
        &[
            "5:16 block_lists.listed_probe: \"TEST\" is not an address | an address list is probed with one: \"127.0.0.2\"",
            "6:18 block_lists.unlisted_probe: must be a string, not an integer",
        ],
    );
    check(
        &list("listed_probe = '127.0.0.2'\nunlisted_probe = '127.0.0.2'"),
        &[
            "6:18 block_lists.unlisted_probe: is the same as listed_probe: the list would always be switched off | name something else",
        ],
    );
    check(
        "[[block_lists]]\nzone = 'dbl.example'\nkind = 'domain'\nlisted_probe = '192.0.2.1'",
        &[
            "5:16 block_lists.listed_probe: \"192.0.2.1\" is not a domain name | write it as \"mx1.example.com\": letters, digits and hyphens, with dots between",
        ],
    );
    let many: String = (0..33).map(|n| format!("[[block_lists]]\nzone = 'l{n}.example'\nkind = 'domain'\n")).collect();
    check(
        &many,
        &["98:1 block_lists: there are more than 32 lists | each is asked about every message: leave some out"],
    );
}

#[test]
fn keys_that_are_for_later_say_so() {
    check("[scan]\nx = 1", &["2:2 scan: this key is not there yet | leave it out for now"]);
    check("scan = {}", &["2:1 scan: this key is not there yet | leave it out for now"]);
    let quota = format!("{TOP}{DOMAIN}mailbox.bob.quota = '1 GB'\n");
    assert!(parse(&quota, std::path::Path::new("/base")).is_ok(), "it was for later once");
}

#[test]
fn mistakes_of_quotas() {
    let least = "at least 64 KiB, or 0 for no bound";
    check("maildir.quota = '60 kB'", &[&format!("2:17 maildir.quota: is too small | {least}")]);
    check(
        "maildir.quota = '2 PB'",
        &["2:17 maildir.quota: \"2 PB\" is not a size | write it as \"64 kB\", \"50 MB\", \"1 GB\" (or KiB, MiB, GiB)"],
    );
    check("maildir.quota = '1001 TB'", &["2:17 maildir.quota: is too large | at most 1000 TB"]);
    check("maildir.quota = -1", &["2:17 maildir.quota: must not be negative"]);
    check("maildir.quota = true", &["2:17 maildir.quota: must be a size such as \"50 MB\", not a boolean"]);
    check("maildir.qouta = '1 GB'", &["2:9 maildir.qouta: unknown key | did you mean \"quota\"?"]);
    let of_domain = format!("{TOP}{DOMAIN}quota = 1\nmailbox.bob.quota = '1 bit'\n");
    check_whole(
        &of_domain,
        &[
            &format!("5:9 domains.\"example.com\".quota: is too small | {least}"),
            "6:21 domains.\"example.com\".mailbox.bob.quota: \"1 bit\" is not a size | write it as \"64 kB\", \"50 MB\", \"1 GB\" (or KiB, MiB, GiB)",
        ],
    );
    let nobody = format!("{TOP}{DOMAIN}mailbox.bbo.quota = '1 GB'\n");
    check_whole(
        &nobody,
        &["5:9 domains.\"example.com\".mailbox.bbo: example.com has no mailbox \"bbo\" | did you mean \"bob\"?"],
    );
}

#[test]
fn mistakes_of_the_hostname() {
    let with = |line: &str| format!("{line}\n{DOMAIN}");
    check_whole(&with(""), &["- hostname: this key is missing | it must be a domain name"]);
    check_whole(&with("hostnme = 'mx.example.com'"), &["1:1 hostnme: unknown key | did you mean \"hostname\"?"]);
    check_whole(
        &with("hostname = 'mx_1.example.com'"),
        &[
            "1:12 hostname: \"mx_1.example.com\" is not a domain name | write it as \"mx1.example.com\": letters, digits and hyphens, with dots between",
        ],
    );
    check_whole(
        &with("hostname = '192.0.2.1'"),
        &[
            "1:12 hostname: \"192.0.2.1\" is not a domain name | write it as \"mx1.example.com\": letters, digits and hyphens, with dots between",
        ],
    );
    check_whole(
        &with("hostname = 'mx.example.com.'"),
        &["1:12 hostname: a domain name is written without a dot at its end | write \"mx.example.com\""],
    );
    check(
        "authserv_id = 'a b'",
        &[
            "2:15 authserv_id: \"a b\" is not a domain name | write it as \"mx1.example.com\": letters, digits and hyphens, with dots between",
        ],
    );
}

#[test]
fn mistakes_of_addresses_and_networks() {
    check(
        "smtp.listen = '[::]:25'",
        &["2:15 smtp.listen: must be a list of strings, not a string | write [\"[::]:25\"]"],
    );
    check("smtp.listen = []", &["2:15 smtp.listen: names no address: no mail could come in | write [\"[::]:25\"]"]);
    check(
        "smtp.listen = [25, ':25']",
        &[
            "2:16 smtp.listen: must be a string, not an integer",
            "2:20 smtp.listen: \":25\" has no address | for all addresses write \"[::]:25\"",
        ],
    );
    check(
        "smtp.listen = ['127.0.0.1:0', '127.0.0.1:0']",
        &["2:31 smtp.listen: \"127.0.0.1:0\" stands here twice | leave one out"],
    );
    check(
        "smtp.listen = ['[::]:25', '0.0.0.0:25']",
        &["2:27 smtp.listen: 0.0.0.0:25 is covered by [::]:25 already | leave one out"],
    );
    check(
        "smtp.listen = ['127.0.0.1:25', '[::]:25']",
        &["2:32 smtp.listen: [::]:25 covers 127.0.0.1:25, which stands here too | leave one out"],
    );
    check("smtp.listen = ['[::]:25', '0.0.0.0:2525']", &[]);
    check(
        "http.listen = 'localhost:9125'",
        &[
            "2:15 http.listen: \"localhost:9125\" is not an address with its port | write it as \"[::]:25\" or \"127.0.0.1:2525\"",
        ],
    );
    check("dns.servers = []", &["2:15 dns.servers: names no server | for the system's servers leave the key out"]);
    check(
        "dns.servers = ['one.one.one.one']",
        &[
            "2:16 dns.servers: \"one.one.one.one\" is not the address of a server | write it as \"127.0.0.1:53\", \"[::1]:53\" or \"tls://9.9.9.9#dns.quad9.net\"",
        ],
    );
    check(
        "dns.servers = ['quic://9.9.9.9#dns.quad9.net', 'tls://dns.quad9.net', 'https://9.9.9.9', 'tls://9.9.9.9/x#dns.quad9.net']",
        &[
            "2:16 dns.servers: \"quic://9.9.9.9#dns.quad9.net\": DNS is not asked over \"quic\" here | write \"tls://\" or \"https://\", or only the address",
            "2:48 dns.servers: \"tls://dns.quad9.net\" needs the server's address: its name can't be looked up yet | write \"tls://ADDRESS#dns.quad9.net\"",
            "2:71 dns.servers: \"https://9.9.9.9\" does not say which name the server's certificate must have | write \"https://9.9.9.9#dns.example.net\"",
            "2:90 dns.servers: \"/x\" in \"tls://9.9.9.9/x#dns.quad9.net\" is no path that can be asked | write \"tls://9.9.9.9#dns.quad9.net\"",
        ],
    );
    check(
        "dns.canary = '.'",
        &[
            "2:14 dns.canary: \".\" is not a domain name | write it as \"mx1.example.com\": letters, digits and hyphens, with dots between",
        ],
    );
    check(
        "dns.trust_anchors = 'gatepost.toml'",
        &[
            "2:21 dns.trust_anchors: \"/nowhere/gatepost.toml\" does not exist | name a file that is there",
            "2:21 dns.trust_anchors: is of no use without dns.validate | write validate = true, or leave the key out",
        ],
    );
    check("dns.cache = 1", &["2:13 dns.cache: is too small | at least 1024"]);
    check(
        "dns = { servers = ['127.0.0.1'], roots = 'none.pem' }",
        &[
            "2:42 dns.roots: \"/nowhere/none.pem\" does not exist | name a file that is there",
            "2:42 dns.roots: is of no use: no server of dns.servers shows a certificate | leave the key out",
        ],
    );
    check(
        "smtp.trusted = ['0.0.0.0/0']",
        &["2:17 smtp.trusted: \"0.0.0.0/0\" holds every address there is | name only networks of your own"],
    );
    check(
        "smtp.trusted = ['::ffff:10.0.0.0/104']",
        &["2:17 smtp.trusted: \"::ffff:10.0.0.0/104\" is IPv4 in IPv6's notation | write \"10.0.0.0/8\""],
    );
    check(
        "smtp.trusted = ['10.0.0.1/8', 'lan']",
        &[
            "2:17 smtp.trusted: \"10.0.0.1/8\" has bits set beyond its prefix | write \"10.0.0.0/8\"",
            "2:31 smtp.trusted: \"lan\" is not a network | write it as \"192.0.2.0/24\" or \"2001:db8::/32\"",
        ],
    );
}

#[test]
fn mistakes_of_limits() {
    check("limits.message = '64 kB'", &["2:18 limits.message: is too small | at least 64 KiB (RFC 5321 §4.5.3.1.7)"]);
    check("limits.message = '64 KiB'", &[]);
    check(
        "limits.command_line = 511",
        &["2:23 limits.command_line: is too small | at least 512 bytes (RFC 5321 §4.5.3.1.4)"],
    );
    check("limits.recipients = 99", &["2:21 limits.recipients: is too small | at least 100 (RFC 5321 §4.5.3.1.8)"]);
    check("limits.recipients = '200'", &["2:21 limits.recipients: must be a whole number, not a string"]);
    check("limits.recipients = 99999999999999999999", &["2:21 limits.recipients: is too large a number"]);
    check("limits.errors = -1", &["2:17 limits.errors: must not be negative"]);
    check("limits.errors = 1.5", &["2:17 limits.errors: must be a whole number, not a float"]);
    check("limits.idle = 300", &["2:15 limits.idle: a time needs its unit | for seconds write \"300s\""]);
    check("limits.idle = '2h'", &["2:15 limits.idle: is too large | at most 1h"]);
    check(
        "limits.session = '60s'",
        &["2:18 limits.idle: is longer than limits.session | make it shorter than the session"],
    );
    let put_off = "is smaller than limits.message: larger messages would be put off for ever | make it at least as large as limits.message, or lower that";
    check("limits.spool = '20 MB'", &[&format!("2:16 limits.spool: {put_off}")]);
    check("limits.message = '2 GB'\nlimits.spool = '1 GB'", &[&format!("3:16 limits.spool: {put_off}")]);
    check("limits.message = '20 MB'\nlimits.spool = '20 MB'", &[]);
    check("limits.spool = '1 MB'", &["2:16 limits.spool: is too small | at least 4 MB"]);
    check(
        "journal.keep = '2 fortnights'",
        &["2:16 journal.keep: \"2 fortnights\" is not a time | write it as \"300s\", \"30min\", \"12h\" or \"14d\""],
    );
}

#[test]
fn mistakes_of_domains() {
    check_whole(
        TOP,
        &["- domains: no domain is named | name the domains that mail is accepted for: [domains.\"example.com\"]"],
    );
    let with = |rest: &str| format!("{TOP}{rest}");
    check_whole(
        &with("[domains]\n"),
        &["2:2 domains: no domain is named | name the domains that mail is accepted for: [domains.\"example.com\"]"],
    );
    check_whole(
        &with("[domains.example.co.uk]\nmailboxes = []"),
        &["2:18 domains.example.co: unknown key | a domain's name needs quotes: [domains.\"example.co.uk\"]"],
    );
    check(
        "[domains.'a b']\n",
        &[
            "2:10 domains.\"a b\": \"a b\" is not a domain name | write it as \"mx1.example.com\": letters, digits and hyphens, with dots between",
        ],
    );
    check(
        "[domains.'EXAMPLE.com']\ncatch_all = 'x'\nmailboxes = ['x']",
        &["5:10 domains.\"example.com\": the domain example.com is here already | leave one out"],
    );
    let domain = |rest: &str| format!("{TOP}[domains.'d.example']\n{rest}");
    check_whole(
        &domain("mailboxes = 'alice'"),
        &[
            "3:13 domains.\"d.example\".mailboxes: must be a list of names or { file = \"...\" }, not a string | write [\"alice\"]",
        ],
    );
    check_whole(
        &domain("mailboxes = { path = 'x' }"),
        &[
            "3:13 domains.\"d.example\".mailboxes: must be a list of names or { file = \"...\" } with nothing else in it",
        ],
    );
    check_whole(
        &domain("mailboxes = { file = 'x' }"),
        &[
            "3:22 domains.\"d.example\".mailboxes.file: \"/nowhere/x\" does not exist | make it, with a name a line, or name another file",
        ],
    );
    check_whole(
        &domain("mailboxes = { file = '/' }"),
        &["3:22 domains.\"d.example\".mailboxes.file: \"/\" is a directory | name a file"],
    );
    check_whole(
        &domain("mailboxes = ['a', 'a', 5]\ncatch_all = 'a'"),
        &[
            "3:19 domains.\"d.example\".mailboxes: \"a\" stands here twice | leave one out",
            "3:24 domains.\"d.example\".mailboxes: must be a string, not an integer",
        ],
    );
    check_whole(
        &domain("mailboxes = ['a']\ncatch_all = 'b'\n[domains.'d.example'.mailbox.A]\n[domains.'d.example'.mailbox.c]"),
        &[
            "4:13 domains.\"d.example\".catch_all: d.example has no mailbox or alias \"b\" | did you mean \"a\"?",
            "6:30 domains.\"d.example\".mailbox.c: d.example has no mailbox \"c\" | add it to domains.\"d.example\".mailboxes, or take this out",
        ],
    );
}

#[test]
fn a_domain_whose_name_is_wrong_is_one_problem() {
    let leads = "[domains.'example.com']\nmailboxes = ['alice']\naliases = { bob = 'bob@exam_ple.org' }\n";
    check_whole(
        &format!(
            "{TOP}smtp.postmaster = 'alice@exam_ple.org'\n[domains.'exam_ple.org']\nmailboxes = ['alice']\n{leads}"
        ),
        &[
            "3:10 domains.\"exam_ple.org\": \"exam_ple.org\" is not a domain name | write it as \"mx1.example.com\": letters, digits and hyphens, with dots between",
        ],
    );
}

#[test]
fn mistakes_of_aliases_stand_at_the_target_that_is_wrong() {
    let aliases = |text: &str| format!("{TOP}{DOMAIN}aliases = {text}\n");
    let prefix = "domains.\"example.com\".aliases";
    check_whole(
        &aliases("5"),
        &[&format!(
            "5:11 {prefix}: must be a table of names and where they lead, not an integer | write {{ sales = [\"alice\", \"bob\"] }}"
        )],
    );
    check_whole(
        &aliases("{ sales = 5 }"),
        &[&format!("5:21 {prefix}.sales: must be a mailbox or alias, or a list of them, not an integer")],
    );
    check_whole(
        &aliases("{ sales = ['alice', 'bbo'] }"),
        &[&format!("5:31 {prefix}.sales: example.com has no mailbox or alias \"bbo\" | did you mean \"bob\"?")],
    );
    let abroad = parse(&aliases("{ out = ['alice', 'x@gmail.com'] }"), Path::new("")).unwrap_err().to_string();
    assert!(abroad.starts_with(&format!("g.toml:5:29: {prefix}.out: ")), "{abroad}");
    assert!(abroad.contains("Gatepost never forwards"), "{abroad}");
    let circle = parse(&aliases("{ a = 'b', b = 'a' }"), Path::new("")).unwrap_err();
    assert_eq!(circle.len(), 1, "{circle}");
    assert!(circle.to_string().contains("circle"), "{circle}");
}

#[test]
fn mistakes_of_a_list_file_stand_at_its_lines() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("names.txt");
    std::fs::write(&file, "# people\r\nalice\r\n.hidden\r\nbob@example.com\r\n\r\nalice\r\n").unwrap();
    let text = format!("{TOP}[domains.'d.example']\nmailboxes = {{ file = 'names.txt' }}\ncatch_all = 'alice'\n");
    let problems = parse(&text, directory.path()).unwrap_err();
    let places: Vec<_> =
        problems.iter().map(|problem| (problem.source.as_ref().unwrap().name.clone(), problem.line_column())).collect();
    let name = file.display().to_string();
    let mut sorted = places.clone();
    sorted.sort();
    assert_eq!(
        sorted,
        [(name.clone(), Some((3, 1))), (name.clone(), Some((4, 1))), (name, Some((6, 1)))],
        "{problems}"
    );
    std::fs::write(&file, b"alice\nb\xffb\n").unwrap();
    let problems = parse(&text, directory.path()).unwrap_err();
    assert!(problems.to_string().contains("is not UTF-8 text (line 2)"), "{problems}");
    assert_eq!(problems.len(), 1, "an unread list makes no second problem of the catch-all: {problems}");
}

#[test]
fn a_list_file_has_a_name_a_line_and_comments() {
    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("mailboxes.txt");
    let text = format!("{TOP}[domains.'d.example']\nmailboxes = {{ file = 'mailboxes.txt' }}\ncatch_all = 'alice'\n");
    std::fs::write(&file, "\u{feff}# people\nalice # the boss\n\tbob\t#1\r\n  # nobody\ncarol #a # b").unwrap();
    let config = parse(&text, directory.path()).unwrap();
    let names: Vec<_> = config.directory.mailboxes().map(ToString::to_string).collect();
    assert_eq!(names, ["alice@d.example", "bob@d.example", "carol@d.example"]);
    std::fs::write(&file, "alice\nbob\ncarol dave # both\n  eve#x\n").unwrap();
    let problems = parse(&text, directory.path()).unwrap_err();
    assert_eq!(problems.len(), 2, "{problems}");
    let told: Vec<_> = problems.iter().map(|problem| (problem.line_column(), problem.cause.clone())).collect();
    let cause =
        |name: &str, what: &str| format!("{name:?} has {what} in it, which no mailbox's name in a list file has");
    assert_eq!(
        told,
        [(Some((3, 1)), cause("carol dave", "white space")), (Some((4, 3)), cause("eve#x", "a #"))],
        "{problems}"
    );
    assert!(problems.to_string().starts_with(&format!("{}:3:1: ", file.display())), "{problems}");
    assert!(problems.iter().all(|problem| !problem.mend.is_empty()), "{problems}");
}

#[test]
fn mistakes_of_the_postmaster() {
    check(
        "smtp.postmaster = 'alic@example.com'",
        &["2:19 smtp.postmaster: example.com has no mailbox \"alic\" | did you mean \"alice\"?"],
    );
    let problems = parse(&format!("{TOP}smtp.postmaster = 'x@abroad.example'\n{DOMAIN}"), Path::new("")).unwrap_err();
    assert!(problems.to_string().starts_with("g.toml:2:19: smtp.postmaster: "), "{problems}");
}

#[test]
fn mistakes_of_certificates() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("c.pem"), "c").unwrap();
    let lines =
        |text: &str| headlines(&parse(&format!("{TOP}{text}\n{DOMAIN}"), directory.path()).err().unwrap_or_default());
    let missing = |this: &str, other: &str| {
        format!(
            "2:6 smtp.tls.{this}: this key is missing | a {other} without its {this} is of no use; for no TLS leave out [smtp.tls]"
        )
    };
    assert_eq!(lines("smtp.tls.certificate = 'c.pem'"), [missing("key", "certificate")]);
    let name = |file: &str| directory.path().join(file).display().to_string();
    assert_eq!(
        lines("smtp.tls = { certificate = 'c.pem', key = 'k.pem' }"),
        [format!(
            "2:43 smtp.tls.key: {:?} does not exist | get one (deploy/certbot-hook), or take out [smtp.tls]: then STARTTLS is not offered",
            name("k.pem")
        )]
    );
    assert_eq!(
        lines("smtp.tls = { certificate = 'c.pem', key = '.' }"),
        [format!("2:43 smtp.tls.key: {:?} is a directory | name a file", name("."))]
    );
    assert_eq!(
        lines("smtp.tls = { certificate = 'c.pem', key = 'c.pem', more = [{ certificate = 'c.pem' }] }"),
        ["2:60 smtp.tls.more.key: this key is missing | it must be a path"]
    );
    assert_eq!(
        lines("smtp.tls = { certificate = 'c.pem', key = 'c.pem', more = ['c.pem'] }"),
        ["2:60 smtp.tls.more: must be a table, not a string"]
    );
    let config =
        parse(&format!("{TOP}smtp.tls = {{ certificate = 'c.pem', key = 'c.pem' }}\n{DOMAIN}"), directory.path())
            .unwrap();
    std::fs::remove_file(directory.path().join("c.pem")).unwrap();
    assert_eq!(
        config.tls.as_ref().unwrap().read(&config).err().unwrap().len(),
        2,
        "both files are told when they are gone"
    );
}

#[test]
fn mistakes_of_policies_are_told_with_those_of_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    std::fs::write(directory.path().join("p.toml"), "description = 'x'\n[[rule]]\nname = 'a'\nat = 'datta'\n").unwrap();
    let text = format!("{TOP}smtp.lsten = 1\n[policy]\nfile = 'p.toml'\n{DOMAIN}policy = 'gone.toml'\n");
    let rendered = parse(&text, directory.path()).unwrap_err().to_string();
    for expected in
        ["g.toml:2:6: smtp.lsten: unknown key", "g.toml:8:10: domains.\"example.com\".policy: ", "p.toml:4:6: "]
    {
        assert!(rendered.contains(expected), "{expected} in:\n{rendered}");
    }
}

#[test]
fn of_broken_toml_the_first_error_is_told() {
    let problems = parse("hostname = \n[smtp\nx = = 5", Path::new("")).unwrap_err();
    assert_eq!(problems.len(), 1, "{problems}");
    assert!(problems.to_string().starts_with("g.toml:1:"), "{problems}");
    assert!(problems.to_string().contains("this is not TOML"), "{problems}");
}

#[test]
fn keys_that_stand_twice_are_told_with_the_rest() {
    check(
        "smtp.soft_reject = true\nsmtp.soft_reject = false\nsmtp.lsten = 5",
        &["3:6 : this key is here twice | leave one out", "4:6 smtp.lsten: unknown key | did you mean \"listen\"?"],
    );
}

#[test]
fn a_file_with_five_mistakes_reports_five() {
    let problems = Config::load(&testdata("five-mistakes/gatepost.toml")).unwrap_err();
    assert_eq!(problems.len(), 5);
    assert_eq!(problems.to_string(), std::fs::read_to_string(testdata("five-mistakes/expected.txt")).unwrap());
}

#[test]
fn root_serves_only_loopback_unless_it_becomes_someone_else() {
    let with = |listen: &str, more: &str| parsed(&format!("{TOP}smtp.listen = [{listen}]\n{more}\n{DOMAIN}"));
    for (listen, more, fine) in [
        ("'127.0.0.1:2525', '[::1]:2525', '127.9.9.9:25'", "", true),
        ("'[::]:25'", "", false),
        ("'127.0.0.1:25', '192.0.2.1:25'", "", false),
        ("'[::]:25'", "security.user = 'vmail'", true),
        ("'[::]:25'", "security.user = 'root'", false),
    ] {
        let config = with(listen, more);
        assert_eq!(config.privilege_problem(true).is_none(), fine, "{listen} {more}");
        assert_eq!(config.privilege_problem(false), None);
    }
    let problem = with("'[::]:25'", "security.user = 'root'").privilege_problem(true).unwrap();
    assert_eq!(problem.line_column(), Some((3, 17)));
}

#[test]
fn the_account_is_looked_up_on_this_machine() {
    let account = |text: &str| parsed(&format!("{TOP}{text}\n{DOMAIN}")).account();
    assert_eq!(account(""), Ok(None));
    let root = account("security.user = 'root'").unwrap().unwrap();
    assert_eq!((root.uid.as_raw(), root.gid.as_raw()), (0, 0));
    let problems = account("security.user = 'nobody-has-this-name'\nsecurity.group = 'nor-this'").unwrap_err();
    let places: Vec<_> = problems.iter().map(|problem| (problem.key.as_str(), problem.line_column())).collect();
    assert_eq!(places, [("security.user", Some((2, 17))), ("security.group", Some((3, 18)))]);
}

#[test]
fn mistakes_of_what_is_remembered() {
    check(
        "[state]\ngreylist_delay = '2h'\ngreylist_window = '1h'",
        &[
            "3:18 state.greylist_delay: is not shorter than state.greylist_window | nobody could come again in time: make it shorter",
        ],
    );
    check("[state]\ngreylist_delay = '0s'", &["3:18 state.greylist_delay: is too small | at least 1s (RFC 6647 §2.4)"]);
    check("[state]\nentries = 10", &["3:11 state.entries: is too small | at least 1000"]);
}

#[test]
fn metrics_and_mail_can_not_have_one_socket() {
    let taken =
        |at: &str, all: &str| format!("3:15 http.listen: {at} is taken by smtp.listen ({all}) | choose another port");
    let both = |mail: &str, http: &str| format!("smtp.listen = ['{mail}']\nhttp.listen = '{http}'");
    for (mail, http) in [
        ("127.0.0.1:2525", "127.0.0.1:2525"),
        ("0.0.0.0:2525", "127.0.0.1:2525"),
        ("[::]:2525", "127.0.0.1:2525"),
        ("127.0.0.1:2525", "[::]:2525"),
    ] {
        check(&both(mail, http), &[&taken(http, mail)]);
    }
    for (mail, http) in
        [("127.0.0.1:2525", "127.0.0.2:2525"), ("0.0.0.0:2525", "[::1]:2525"), ("127.0.0.1:0", "127.0.0.1:0")]
    {
        check(&both(mail, http), &[]);
    }
}

#[test]
fn each_says_how_to_mend_it() {
    check(
        "policy.file = 'gone.toml'",
        &[
            "2:15 policy.file: \"/nowhere/gone.toml\" does not exist | name a policy that is there, or leave the key out",
        ],
    );
    check(
        "smtp.postmaster = 'somebody@example.com'",
        &[
            "2:19 smtp.postmaster: example.com has no mailbox \"somebody\" | name a mailbox of example.com, or add it there",
        ],
    );
    check(
        "smtp.postmaster = 'alice@elsewhere.org'",
        &[
            "2:19 smtp.postmaster: \"elsewhere.org\" is no local domain, and Gatepost never forwards | name a mailbox of a domain that stands in [domains]",
        ],
    );
    let named = "| name a mailbox or alias of d.example, or add it there";
    check_whole(
        &format!(
            "{TOP}[domains.'d.example']\nmailboxes = ['postmaster']\ncatch_all = 'zebra'\naliases = {{ sales = 'giraffe' }}\n"
        ),
        &[
            &format!("4:13 domains.\"d.example\".catch_all: d.example has no mailbox or alias \"zebra\" {named}"),
            &format!("5:21 domains.\"d.example\".aliases.sales: d.example has no mailbox or alias \"giraffe\" {named}"),
        ],
    );
    let problems = parse("hostname = 'a", Path::new("/nowhere")).unwrap_err();
    assert!(headlines(&problems)[0].ends_with(" | see https://toml.io"), "{problems}");
}
