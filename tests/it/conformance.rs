//! The pages about authentication are held to the code: what differs from the suites, and which facts there are.

use std::collections::BTreeSet;
use std::path::Path;

use gatepost::facts::table;

use super::support::deviations;

fn page(name: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("docs").join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The cells of all rows of tables with this heading.
fn rows(page: &str, heading: &str) -> Vec<Vec<String>> {
    let mut rows = Vec::new();
    let mut inside = false;
    for line in page.lines() {
        inside = line.starts_with('|') && (inside || line.starts_with(heading));
        if inside && !line.starts_with(heading) && !line.starts_with("|---") {
            rows.push(line.trim_matches('|').split(" | ").map(|cell| cell.trim().to_owned()).collect());
        }
    }
    rows
}

#[test]
fn the_page_names_every_deviation_and_no_other() {
    let told = rows(&page("conformance.md"), "| Suite | Case |");
    let listed: Vec<Vec<String>> = deviations::ALL
        .iter()
        .map(|one| {
            [format!("`{}`", one.suite), one.case.to_owned(), one.ours.to_owned(), one.reason.to_owned()].to_vec()
        })
        .collect();
    let expected: String = listed.iter().map(|row| format!("| {} |\n", row.join(" | "))).collect();
    assert_eq!(told, listed, "the table should read\n{expected}");
}

/// Words in backquotes of the first cell.
fn named(cell: &str) -> impl Iterator<Item = &str> {
    cell.split('`').skip(1).step_by(2)
}

#[test]
fn every_fact_about_authentication_is_on_its_page_and_no_other() {
    let page = page("authentication.md");
    let told: BTreeSet<String> =
        rows(&page, "| Fact |").iter().flat_map(|row| named(&row[0]).map(str::to_owned).collect::<Vec<_>>()).collect();
    let groups = ["spf", "dkim", "dmarc", "arc", "iprev", "reverse_mx", "from"];
    let facts: BTreeSet<String> = table::names()
        .filter(|name| groups.contains(&name.split('.').next().unwrap()))
        .map(str::to_owned)
        .chain(["client.name".to_owned()])
        .collect();
    assert_eq!(told, facts);
    // Each word that such a fact can be has its meaning in the table of its heading.
    for (heading, fact) in [
        ("SPF", "spf.mail_from.result"),
        ("DMARC", "dmarc.result"),
        ("ARC", "arc.result"),
        ("iprev", "iprev.result"),
        ("Reverse MX", "reverse_mx.from.result"),
        ("Reverse MX", "reverse_mx.from.mx"),
        ("The author", "from.defects"),
    ] {
        let section = page.split("\n## ").find(|section| section.starts_with(heading)).expect(heading);
        let told: BTreeSet<&str> = section.lines().filter(|line| line.starts_with("| `")).flat_map(named).collect();
        let row = table::rows().into_iter().find(|row| row.name == fact).expect(fact);
        for word in row.values.iter().filter(|word| !word.is_empty()) {
            // SPF shares its type with DKIM; policy is not one of its words (RFC 8601 §2.7.2).
            assert!(told.contains(word) || (heading, *word) == ("SPF", "policy"), "{fact} {word} under {heading}");
        }
    }
}

#[test]
fn the_page_links_where_more_is_told() {
    let page = page("authentication.md");
    for other in ["helo.md", "block-lists.md", "conformance.md", "metrics.md"] {
        assert!(page.contains(&format!("]({other})")), "{other}");
    }
}
