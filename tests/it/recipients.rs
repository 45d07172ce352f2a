//! Whom we accept mail for: the order of matching, aliases, postmaster, folding, the names that are refused, the guard of reloads.

use gatepost::recipients::{
    Directory, DirectoryBuilder, DirectoryProblem, Place, Resolution, Role, fold, is_safe_component,
};
use gatepost::smtp::address::{Domain, ForwardPath, Host, Mailbox};
use proptest::prelude::*;

fn domain(text: &str) -> Domain {
    Domain::parse(text).unwrap()
}

fn path(local: &str, host: &str) -> ForwardPath {
    ForwardPath::Mailbox(Mailbox { local: local.to_owned(), host: Host::Name(domain(host)) })
}

/// Lines as an administrator would think of them: `mailbox a@x`, `alias a@x = b c@y`, `catch_all @x = a`, `postmaster = a@x`,
/// `unreadable @x`, `domain @x`.
fn build(lines: &str) -> Result<Directory, Vec<DirectoryProblem>> {
    let mut builder = DirectoryBuilder::new();
    for line in lines.lines().map(str::trim).filter(|line| !line.is_empty()) {
        let (word, rest) = line.split_once(' ').unwrap();
        let (left, right) = rest.split_once('=').map_or((rest.trim(), ""), |(l, r)| (l.trim(), r.trim()));
        let at = || left.rsplit_once('@').map(|(name, home)| (name.to_owned(), domain(home))).unwrap();
        match word {
            "domain" => _ = builder.add_domain(at().1),
            "mailbox" => _ = builder.add_mailbox(at().1, at().0),
            "alias" => _ = builder.add_alias(at().1, at().0, right.split_whitespace().map(str::to_owned).collect()),
            "catch_all" => _ = builder.catch_all(at().1, right),
            "unreadable" => _ = builder.unreadable(at().1),
            "postmaster" => _ = builder.postmaster(right),
            other => panic!("{other}"),
        }
    }
    builder.build()
}

/// What a forward-path leads to, as text: `a@x b@y`, with ` (role)` after it, or `relay`, `unknown`, `trouble`.
fn shown(resolution: Resolution) -> String {
    match resolution {
        Resolution::Relay => "relay".to_owned(),
        Resolution::Unknown => "unknown".to_owned(),
        Resolution::Trouble => "trouble".to_owned(),
        Resolution::Local(local) => {
            let names: Vec<String> = local.mailboxes.iter().map(ToString::to_string).collect();
            let role = if local.role == Role::Ordinary { String::new() } else { format!(" ({})", local.role.as_str()) };
            format!("{}{role}", names.join(" "))
        }
    }
}

fn check(lines: &str, cases: &[(&str, &str, &str)]) {
    let directory = build(lines).unwrap_or_else(|problems| panic!("{}", told(&problems)));
    for (local, host, expected) in cases {
        assert_eq!(shown(directory.resolve(&path(local, host))), *expected, "{local}@{host}");
    }
}

fn told(problems: &[DirectoryProblem]) -> String {
    problems.iter().map(|problem| format!("{problem}\n")).collect()
}

/// Each of `expected` must stand in the problem of its place in the list, and there is no other problem.
fn check_problems(lines: &str, expected: &[&str]) {
    let problems = build(lines).expect_err(lines);
    let told = told(&problems);
    assert_eq!(problems.len(), expected.len(), "{told}");
    for (line, expected) in told.lines().zip(expected) {
        assert!(line.contains(expected), "{line:?} lacks {expected:?}");
    }
}

const SMALL: &str = "
    mailbox alice@example.com
    mailbox bob@example.com
    mailbox carol@example.org
    mailbox c++@example.com
    alias sales@example.com = alice bob
    alias team@example.com = sales carol@example.org alice
    alias all@example.org = team@example.com carol
    alias alice+shop@example.com = bob
    postmaster = alice@example.com
";

#[test]
fn exact_names_win_over_detail_and_detail_over_nothing() {
    check(
        SMALL,
        &[
            ("alice", "example.com", "alice@example.com"),
            ("alice+news", "example.com", "alice@example.com"),
            ("alice+news+more", "example.com", "alice@example.com"),
            ("alice+shop", "example.com", "bob@example.com"),
            ("sales+x", "example.com", "alice@example.com bob@example.com"),
            ("c++", "example.com", "c++@example.com"),
            ("+alice", "example.com", "unknown"),
            ("nobody", "example.com", "unknown"),
            ("nobody+alice", "example.com", "unknown"),
            ("alice", "example.org", "unknown"),
        ],
    );
}

#[test]
fn aliases_nest_across_domains_and_each_mailbox_comes_once_sorted() {
    check(
        SMALL,
        &[
            ("team", "example.com", "alice@example.com bob@example.com carol@example.org"),
            ("all", "example.org", "alice@example.com bob@example.com carol@example.org"),
        ],
    );
}

#[test]
fn foreign_domains_subdomains_and_address_literals_are_relaying() {
    check(SMALL, &[("alice", "example.net", "relay"), ("alice", "sub.example.com", "relay")]);
    let directory = build(SMALL).unwrap();
    let literal = Mailbox { local: "alice".to_owned(), host: Host::Literal("127.0.0.1".parse().unwrap()) };
    assert_eq!(directory.resolve(&ForwardPath::Mailbox(literal)), Resolution::Relay);
}

#[test]
fn a_catch_all_takes_what_no_name_takes() {
    let lines = "
        mailbox alice@example.com
        mailbox rest@example.com
        alias sink@example.com = rest
        catch_all @example.com = sink
        mailbox alice@example.org
        catch_all @example.org = rest@example.com
    ";
    check(
        lines,
        &[
            ("alice", "example.com", "alice@example.com"),
            ("ALICE+x", "example.com", "alice@example.com"),
            ("anything", "example.com", "rest@example.com"),
            ("any+thing", "example.org", "rest@example.com"),
            ("postmaster", "example.com", "rest@example.com (postmaster)"),
            ("abuse", "example.com", "rest@example.com (abuse)"),
        ],
    );
}

#[test]
fn names_compare_without_case_and_in_nfc() {
    let lines = "
        mailbox Müller@example.com
        mailbox straße@example.com
        mailbox ΌΣΟΣ@example.com
        mailbox ALICE@example.com
        postmaster = alice@EXAMPLE.com
    ";
    check(
        lines,
        &[
            ("MÜLLER", "EXAMPLE.COM", "müller@example.com"),
            ("mu\u{308}ller", "example.com", "müller@example.com"),
            ("MU\u{308}LLER+x", "example.com", "müller@example.com"),
            ("STRASSE", "example.com", "strasse@example.com"),
            ("STRAẞE", "example.com", "strasse@example.com"),
            ("όσος", "example.com", "όσοσ@example.com"),
            ("alıce", "example.com", "unknown"),
            ("Alice", "example.com", "alice@example.com"),
        ],
    );
}

#[test]
fn a_domain_is_found_by_its_u_labels_too() {
    let lines = "
        mailbox anna@bücher.example
        postmaster = anna@xn--bcher-kva.example
    ";
    check(
        lines,
        &[
            ("anna", "xn--bcher-kva.example", "anna@xn--bcher-kva.example"),
            ("anna", "BÜCHER.example", "anna@xn--bcher-kva.example"),
        ],
    );
}

#[test]
fn postmaster_is_reached_in_every_local_domain_in_any_case() {
    let lines = "
        mailbox alice@example.com
        mailbox bob@example.org
        alias postmaster@example.org = bob
        domain @example.net
        alias abuse@example.net = postmaster
        postmaster = alice@example.com
    ";
    check(
        lines,
        &[
            ("postmaster", "example.com", "alice@example.com (postmaster)"),
            ("PostMaster", "example.org", "bob@example.org (postmaster)"),
            ("postmaster", "example.net", "alice@example.com (postmaster)"),
            ("postmaster+x", "example.net", "alice@example.com (postmaster)"),
            ("postmasters", "example.net", "unknown"),
            ("abuse", "example.net", "alice@example.com (abuse)"),
            ("abuse", "example.com", "unknown"),
        ],
    );
    let directory = build(lines).unwrap();
    assert_eq!(shown(directory.resolve(&ForwardPath::Postmaster)), "alice@example.com (postmaster)");
}

#[test]
fn postmaster_without_a_domain_is_reached_without_smtp_postmaster_too() {
    let lines = "
        mailbox bob@example.org
        catch_all @example.org = bob
    ";
    let directory = build(lines).unwrap();
    assert_eq!(shown(directory.resolve(&ForwardPath::Postmaster)), "bob@example.org (postmaster)");
    assert_eq!(Directory::default().resolve(&ForwardPath::Postmaster), Resolution::Unknown);
}

#[test]
fn a_domain_whose_postmaster_reaches_nobody_is_a_problem() {
    check_problems("mailbox alice@example.com", &["RFC 5321 §4.5.1"]);
    // All problems at once, but not one for the consequence of another.
    let mailbox = "mailbox alice@example.com";
    check_problems(&format!("{mailbox}\n alias x@example.com = nobody"), &["nobody", "RFC 5321 §4.5.1"]);
    check_problems(&format!("{mailbox}\n catch_all @example.com = nobody"), &["catch_all"]);
    check_problems(&format!("{mailbox}\n alias postmaster@example.com = nobody"), &["nobody"]);
    check_problems(&format!("{mailbox}\n postmaster = nobody@example.com"), &["smtp.postmaster"]);
}

#[test]
fn an_unreadable_list_is_trouble_and_never_unknown() {
    let lines = "
        mailbox alice@example.com
        catch_all @example.com = alice
        unreadable @example.com
        mailbox bob@example.org
        alias both@example.org = bob lost@example.com
        alias fine@example.org = alice@example.com
        postmaster = bob@example.org
    ";
    check(
        lines,
        &[
            ("alice", "example.com", "alice@example.com"),
            ("nobody", "example.com", "trouble"),
            ("alice+x", "example.com", "trouble"),
            ("both", "example.org", "trouble"),
            ("fine", "example.org", "alice@example.com"),
            ("nobody", "example.org", "unknown"),
        ],
    );
}

#[test]
fn circles_are_told_with_their_whole_way() {
    check_problems(
        "
        mailbox p@example.com
        alias a@example.com = b
        alias b@example.com = c@example.org
        alias c@example.org = a@example.com p@example.com
        postmaster = p@example.com
        ",
        &["a@example.com -> b@example.com -> c@example.org -> a@example.com"],
    );
    check_problems(
        "mailbox p@example.com\n alias self@example.com = Self\n postmaster = p@example.com",
        &["self@example.com -> self@example.com"],
    );
}

#[test]
fn many_aliases_in_a_row_end_in_a_problem_and_not_in_the_stack() {
    let mut lines = String::from("mailbox p@example.com\npostmaster = p@example.com\n");
    for number in 0..5000 {
        lines.push_str(&format!("alias a{number}@example.com = a{}@example.com\n", number + 1));
    }
    lines.push_str("alias a5000@example.com = p\n");
    let problems = build(&lines).unwrap_err();
    assert!(told(&problems).contains("in a row"));
}

#[test]
fn wrong_targets_say_what_is_nearest_and_that_nothing_is_forwarded() {
    let lines = "
        mailbox alice@example.com
        alias one@example.com = alicce
        alias two@example.com = alice@gmail.example
        alias three@example.com = alice@exampel.com
        alias four@example.com = zebra
        catch_all @example.com = alise
        postmaster = alicia@example.com
    ";
    let expected = [
        "smtp.postmaster: example.com has no mailbox \"alicia\"",
        "did you mean \"alice\"?",
        "Gatepost never forwards",
        "Gatepost never forwards (did you mean \"example.com\"?)",
        "example.com has no mailbox or alias \"zebra\"",
        "domains.\"example.com\".catch_all: example.com has no mailbox or alias \"alise\" (did you mean \"alice\"?)",
    ];
    check_problems(lines, &expected);
    let problems = build(lines).unwrap_err();
    assert_eq!(problems[1].domain, Some(domain("example.com")));
    assert_eq!(problems[1].place, Place::Target { alias: "one".to_owned(), target: "alicce".to_owned() });
}

#[test]
fn names_that_would_leave_the_maildir_root_are_refused() {
    let long = "a".repeat(65);
    let cases = [
        ("../alice", "slash"),
        ("a/b", "slash"),
        ("/etc", "slash"),
        (".hidden", "dot"),
        ("..", "dot"),
        (".", "dot"),
        ("nul\0", "control"),
        ("new\nline", "control"),
        ("para\u{2029}graph", "control"),
        ("\u{85}", "control"),
        (long.as_str(), "64 octets"),
        ("", "needs a name"),
        ("alice@example.com", "without its domain"),
    ];
    for (name, why) in cases {
        let mut builder = DirectoryBuilder::new();
        builder
            .add_mailbox(domain("example.com"), "p")
            .postmaster("p@example.com")
            .add_mailbox(domain("example.com"), name);
        let problems = builder.build().expect_err(name);
        assert_eq!(problems.len(), 1, "{name:?}");
        assert!(problems[0].cause.contains(why), "{name:?}: {}", problems[0].cause);
        assert_eq!(problems[0].place, Place::Mailbox(name.to_owned()));
    }
}

#[test]
fn twice_the_same_name_is_a_problem() {
    let lines = "
        mailbox alice@example.com
        mailbox Alice@example.com
        mailbox bob@example.com
        alias bob@example.com = alice
        alias x@example.com = alice
        alias X@example.com = bob
        alias empty@example.com =
        postmaster = alice@example.com
    ";
    check_problems(lines, &["named twice", "before the alias", "named twice", "leads nowhere"]);
}

#[test]
fn the_guard_of_reloads_names_domains_that_lose_more_than_half() {
    let old = build(
        "mailbox a@x.example\n mailbox b@x.example\n mailbox c@x.example\n mailbox d@x.example\n mailbox only@y.example\n
         mailbox z@z.example\n postmaster = a@x.example",
    )
    .unwrap();
    let losses = |lines: &str| {
        let newer = build(lines).unwrap();
        old.losses(&newer)
            .into_iter()
            .map(|loss| format!("{} {}/{}", loss.domain, loss.gone, loss.had))
            .collect::<Vec<_>>()
    };
    let rest = "\n mailbox only@y.example\n mailbox z@z.example\n postmaster = a@x.example";
    assert_eq!(
        losses(&format!("mailbox a@x.example\n mailbox b@x.example{rest}")),
        Vec::<String>::new(),
        "half may go"
    );
    assert_eq!(losses(&format!("mailbox a@x.example{rest}")), ["x.example 3/4"]);
    // As many as before, but others: a list of the wrong domain.
    assert_eq!(
        losses(&format!("mailbox a@x.example\n mailbox n@x.example\n mailbox m@x.example\n mailbox o@x.example{rest}")),
        ["x.example 3/4"]
    );
    let kept = "mailbox a@x.example\n mailbox b@x.example\n mailbox c@x.example\n postmaster = a@x.example";
    assert_eq!(losses(&format!("{kept}\n domain @y.example")), ["y.example 1/1", "z.example 1/1"]);
    assert_eq!(
        losses(&format!("{kept}\n unreadable @y.example\n mailbox z@z.example")),
        Vec::<String>::new(),
        "trouble loses nothing"
    );
    assert!(old.losses(&old).is_empty());
}

#[test]
fn a_hundred_thousand_mailboxes_are_found() {
    let mut builder = DirectoryBuilder::new();
    let names: Vec<String> = (0..100_000).map(|number| format!("user{number}")).collect();
    for name in &names {
        builder.add_mailbox(domain("example.com"), name.as_str());
    }
    builder.postmaster("user0@example.com");
    builder.add_alias(domain("example.com"), "everybody", names.clone());
    let directory = builder.build().unwrap();
    assert_eq!(directory.mailboxes().count(), 100_000);
    for name in &names {
        let Resolution::Local(local) = directory.resolve(&path(name, "example.com")) else { panic!("{name}") };
        assert_eq!(local.mailboxes.len(), 1);
        assert_eq!(local.mailboxes[0].name, *name);
    }
    let Resolution::Local(all) = directory.resolve(&path("everybody", "example.com")) else { panic!() };
    assert_eq!(all.mailboxes.len(), 100_000);
    assert!(all.mailboxes.is_sorted());
}

#[test]
fn a_hundred_thousand_wrong_targets_are_told_without_comparing_each_with_all() {
    let mut builder = DirectoryBuilder::new();
    for number in 0..20_000 {
        builder.add_mailbox(domain("example.com"), format!("user{number}"));
    }
    let wrong = (0..100_000).map(|number| format!("misspelt{number}")).collect();
    builder.postmaster("user0@example.com").add_alias(domain("example.com"), "all", wrong);
    assert_eq!(builder.build().unwrap_err().len(), 100_000);
}

#[test]
fn folding_any_character_twice_changes_nothing() {
    // No character beyond these has a case.
    for c in '\0'..='\u{1FFFF}' {
        let folded = fold(&c.to_string());
        assert_eq!(fold(&folded), folded, "{c:?}");
        assert_eq!(fold(&c.to_lowercase().to_string()), folded, "{c:?} in lower case");
        if c != 'ı' {
            assert_eq!(fold(&c.to_uppercase().to_string()), folded, "{c:?} in upper case");
        }
    }
}

proptest! {
    #[test]
    fn folding_twice_changes_nothing_and_forgets_case(text in "\\PC{0,20}") {
        let folded = fold(&text);
        prop_assert_eq!(&fold(&folded), &folded);
        let decomposed: String = unicode_normalization::UnicodeNormalization::nfd(text.as_str()).collect();
        prop_assert_eq!(&fold(&decomposed), &folded);
    }

    #[test]
    fn every_mailbox_that_is_built_is_a_safe_directory(name in "(\\.|/|\\PC|[\\x00-\\x20]){0,12}") {
        let mut builder = DirectoryBuilder::new();
        builder.add_mailbox(domain("example.com"), "p").postmaster("p@example.com").add_mailbox(domain("example.com"), name);
        if let Ok(directory) = builder.build() {
            for mailbox in directory.mailboxes() {
                prop_assert!(is_safe_component(&mailbox.name, 64));
                let components = std::path::Path::new(&mailbox.name).components().collect::<Vec<_>>();
                prop_assert!(matches!(components.as_slice(), [std::path::Component::Normal(only)] if *only == mailbox.name.as_str()));
            }
        }
    }

    #[test]
    fn whatever_the_local_part_only_local_mailboxes_come_out(local in "\\PC{0,30}") {
        let directory = build(SMALL).unwrap();
        if let Resolution::Local(found) = directory.resolve(&path(&local, "example.com")) {
            prop_assert!(!found.mailboxes.is_empty());
            prop_assert!(found.mailboxes.is_sorted());
            prop_assert!(found.mailboxes.iter().all(|mailbox| directory.mailboxes().any(|known| known == mailbox)));
        }
    }
}
