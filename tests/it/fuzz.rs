//! Any input at all: each target of `targets/` briefly, the findings of longer runs again, and that what watches would see.

mod lab;
mod mutants;
mod targets;

use targets::{TARGETS, Target};

/// How many outcomes a brief run tells apart at least: fewer, and it explores nothing.
const OUTCOMES: usize = 10;

fn target(name: &str) -> &'static Target {
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| panic!("{name} is no target"))
}

#[track_caller]
fn check(name: &str) {
    let target = target(name);
    let run = lab::explore(target, &lab::read_seeds(target), 1, target.briefly);
    if let Some((input, panic)) = run.failure {
        panic!("{}", lab::report(target, &input, &panic));
    }
    assert!(run.outcomes >= OUTCOMES, "{name}: {} outcomes", run.outcomes);
}

macro_rules! briefly {
    ($($name:ident)*) => {
        $(#[test]
        fn $name() {
            check(stringify!($name));
        })*

        #[test]
        fn every_target_is_tried() {
            let tried = [$(stringify!($name)),*];
            assert_eq!(TARGETS.iter().map(|target| target.name).collect::<Vec<_>>(), tried);
        }
    };
}

briefly! { command address data chunk header results policy config mailbox proxy session }

#[test]
fn every_target_has_seeds_of_its_own() {
    for target in TARGETS {
        let own = format!("testdata/fuzz/{}", target.name);
        let own = lab::seeds(target).into_iter().filter(|file| file.starts_with(targets::project().join(&own))).count();
        assert!(own >= 3, "{}: {own} seeds", target.name);
    }
}

/// What longer runs found, and was mended: files of `testdata/fuzz/findings`, named for their target and for what they showed.
#[test]
fn findings_stay_mended() {
    let folder = targets::project().join("testdata/fuzz/findings");
    for entry in std::fs::read_dir(folder).unwrap() {
        let name = entry.as_ref().unwrap().file_name().into_string().unwrap();
        if name == "README.md" {
            continue;
        }
        let input = std::fs::read(entry.unwrap().path()).unwrap();
        let of = name.split('-').next().unwrap();
        lab::run(target(of), &input).unwrap_or_else(|panic| panic!("{name}: {panic}"));
    }
}

#[test]
fn a_failing_input_is_made_shorter_and_told() {
    const BROKEN: Target = Target {
        name: "broken",
        run: |input| {
            assert!(!input.windows(3).any(|window| window == b"<>\""), "three octets");
            input.len() as u64
        },
        seeds: &["testdata/fuzz/command"],
        words: &[b"<>", b"\""],
        longest: 200,
        briefly: 0,
    };
    let (input, panic) =
        lab::explore(&BROKEN, &lab::read_seeds(&BROKEN), 1, 20_000).failure.expect("what is broken is found");
    assert_eq!(input, b"<>\"");
    assert!(panic.contains("three octets"), "{panic}");
    let told = lab::report(&BROKEN, &input, &panic);
    let file = targets::project().join("target/fuzz/findings/broken-");
    assert!(told.contains("input: \"<>\\\"\"") && told.contains(file.to_str().unwrap()), "{told}");
    let written = told.rsplit(' ').next().unwrap();
    assert_eq!(std::fs::read(written).unwrap(), input);
    std::fs::remove_file(written).unwrap();
}
