//! Tests of problem: places, the shown line, and words that were meant.

use std::ops::Range;
use std::sync::Arc;

use gatepost::problem::{Problem, Problems, Source, nearest};
use proptest::prelude::*;

fn source(name: &str, text: &str) -> Arc<Source> {
    Arc::new(Source { name: name.to_owned(), text: text.to_owned() })
}

/// One problem in `text`, rendered plain.
fn check(text: &str, span: Range<usize>, expected: &str) {
    let problem = Problem::at(&source("g.toml", text), span, "key", "cause", "");
    let rendered = Problems::from(problem).render(false);
    assert_eq!(rendered, format!("{expected}\n1 problem\n"), "rendered:\n{rendered}");
}

#[test]
fn a_problem_shows_its_place_its_line_and_how_to_mend_it() {
    let source = source("gatepost.toml", "[smtp]\nlistn = 1\n");
    let problem = Problem::at(&source, 7..12, "smtp.listn", "unknown key", "did you mean \"listen\"?");
    assert_eq!(
        Problems::from(problem).to_string(),
        "gatepost.toml:2:1: smtp.listn: unknown key\n  |\n2 | listn = 1\n  | ^^^^^\n  mend: did you mean \"listen\"?\n\n1 problem\n"
    );
}

#[test]
fn columns_count_characters_and_a_tab_is_one_of_them() {
    check("\tä = 'x'", 6..9, "g.toml:1:6: key: cause\n  |\n1 |     ä = 'x'\n  |         ^^^\n");
}

#[test]
fn lines_may_end_in_crlf() {
    check("a = 1\r\nb = 2\r\n", 11..12, "g.toml:2:5: key: cause\n  |\n2 | b = 2\n  |     ^\n");
}

#[test]
fn the_end_of_the_file_has_a_place() {
    check("a = ", 4..4, "g.toml:1:5: key: cause\n  |\n1 | a = \n  |     ^\n");
    check("", 0..0, "g.toml:1:1: key: cause\n  |\n1 |\n  | ^\n");
    check("a\n", 2..2, "g.toml:2:1: key: cause\n  |\n2 |\n  | ^\n");
}

#[test]
fn a_span_of_several_lines_is_marked_in_its_first() {
    check("a = [\n1,\n]", 4..10, "g.toml:1:5: key: cause\n  |\n1 | a = [\n  |     ^\n");
}

#[test]
fn controls_and_reordering_marks_are_escaped_in_all_that_is_shown() {
    let source = source("a\u{1b}[2Jb", "x = '\u{1b}[31m\u{202e}'");
    let problem = Problem::at(&source, 0..1, "k\u{7}", "c\u{9b}", "m\nn");
    let rendered = Problems::from(problem).render(false);
    assert_eq!(
        rendered,
        "a\\u{1b}[2Jb:1:1: k\\u{7}: c\\u{9b}\n  |\n1 | x = '\\u{1b}[31m\\u{202e}'\n  | ^\n  mend: m\\nn\n\n1 problem\n"
    );
}

#[test]
fn a_very_long_line_is_shown_around_the_mark() {
    let text = format!("{} HERE {}", "a".repeat(500_000), "b".repeat(500_000));
    let rendered = Problems::from(Problem::at(&source("g", &text), 500_001..500_005, "", "cause", "")).render(false);
    assert!(rendered.contains(":1:500002: cause"), "{rendered}");
    assert!(rendered.contains("HERE"), "{rendered}");
    assert!(rendered.len() < 1000, "{} bytes", rendered.len());
}

#[test]
fn problems_stand_by_file_and_place() {
    let (a, b) = (source("a", "1\n2\n3"), source("b", "1\n2\n3"));
    let mut problems = Problems::new();
    for (source, at) in [(&b, 0), (&a, 4), (&a, 0), (&b, 2)] {
        problems.push(Problem::at(source, at..at + 1, "", "x", ""));
    }
    problems.push(Problem::with_file("b", "", "no such file", ""));
    let rendered = problems.render(false);
    let places: Vec<&str> = rendered.lines().filter(|line| line.contains(": ")).collect();
    assert_eq!(places, ["a:1:1: x", "a:3:1: x", "b: no such file", "b:1:1: x", "b:2:1: x"]);
    assert!(rendered.ends_with("\n5 problems\n"), "{rendered}");
    assert_eq!(problems.len(), 5);
    assert_eq!(problems.clone().into_result(), Err(problems));
    assert_eq!(Problems::new().into_result(), Ok(()));
    assert_eq!(Problems::new().render(false), "");
}

#[test]
fn of_very_many_problems_a_hundred_are_shown_and_all_are_counted() {
    let source = source("a", "x\n");
    let mut problems = Problems::new();
    (0..250).for_each(|_| problems.push(Problem::at(&source, 0..1, "", "cause", "")));
    let rendered = problems.render(false);
    assert_eq!(rendered.matches("cause").count(), 100);
    assert!(rendered.ends_with("250 problems, the first 100 are shown\n"), "{rendered}");
}

#[test]
fn colour_adds_only_colour() {
    let mut problems = Problems::new();
    problems.push(Problem::at(&source("a", "x = 1"), 0..1, "x", "unknown key", "leave it out"));
    let coloured = problems.render(true);
    assert!(coloured.contains("\x1b["), "{coloured:?}");
    assert_eq!(anstream::adapter::strip_str(&coloured).to_string(), problems.render(false));
}

#[test]
fn the_nearest_word_is_the_one_that_was_meant() {
    let known = ["listen", "postmaster", "trusted", "soft_reject", "key", "ip"];
    for (word, meant) in [
        ("listn", Some("listen")),
        ("Listen", Some("listen")),
        ("lsiten", Some("listen")),
        ("soft-reject", Some("soft_reject")),
        ("softreject", Some("soft_reject")),
        ("trust", Some("trusted")),
        ("keys", Some("key")),
        ("certificate", None),
        ("", None),
        ("zz", None),
    ] {
        assert_eq!(nearest(word, known), meant, "{word}");
    }
    assert_eq!(nearest(&"l".repeat(1_000_000), known), None);
}

proptest! {
    #[test]
    fn no_span_and_no_text_panics(text in "(\\PC|[\u{0}-\u{1f}äß\u{301}\r\n]){0,60}", start in 0usize..100, end in 0usize..100) {
        let problems = Problems::from(Problem::at(&source("f", &text), start..end, "k", "c", "m"));
        let rendered = problems.render(false);
        prop_assert!(rendered.starts_with("f:"));
        prop_assert!(rendered.chars().all(|c| c == '\n' || !c.is_control()));
        problems.render(true);
    }
}

#[test]
fn a_log_gets_a_line_a_problem_and_a_count_of_the_rest() {
    let source = Arc::new(Source { name: "names.txt".into(), text: "a\n".repeat(40) });
    let mut problems = Problems::new();
    (0..40)
        .rev()
        .for_each(|n| problems.push(Problem::at(&source, n * 2..n * 2 + 1, "lists.a", "no\nentry", "mend it")));
    let lines = problems.headlines(3);
    let all = ["names.txt:1:1: lists.a: no\\nentry (mend it)", "names.txt:2:1: lists.a: no\\nentry (mend it)"];
    assert_eq!((&lines[..2], lines[3].as_str(), lines.len()), (&all.map(str::to_owned)[..], "and 37 more problems", 4));
    assert_eq!(problems.headlines(40).len(), 40);
}
