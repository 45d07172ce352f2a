//! The targets of `tests/it/fuzz/targets` under libFuzzer: which one, `GATEPOST_FUZZ_TARGET` says; its seeds are copied into the folder
//! `GATEPOST_FUZZ_CORPUS`. Run by `fuzz/run`.
#![no_main]
#![allow(dead_code)]

#[path = "../../tests/it/fuzz/targets/mod.rs"]
mod targets;

use std::cell::RefCell;
use std::path::Path;
use std::sync::LazyLock;

use libfuzzer_sys::{fuzz_mutator, fuzz_target, fuzzer_mutate};

use targets::mutator::{Random, mutate};
use targets::{TARGETS, Target, project};

static TARGET: LazyLock<&Target> = LazyLock::new(|| {
    let name = std::env::var("GATEPOST_FUZZ_TARGET").unwrap_or_default();
    TARGETS.iter().find(|target| target.name == name).unwrap_or_else(|| {
        TARGETS.iter().for_each(|target| println!("{}", target.name));
        std::process::exit(i32::from(!name.is_empty()));
    })
});

thread_local! {
    /// An input of a moment ago, of which the next may get a piece.
    static OTHER: RefCell<Vec<u8>> = const { RefCell::new(Vec::new()) };
}

fuzz_target!(init: copy_seeds(), |input: &[u8]| {
    (TARGET.run)(input);
});

// Half of the changes are ours, which know the target's words, half are libFuzzer's, which know what comparisons lacked.
fuzz_mutator!(|data: &mut [u8], size: usize, max_size: usize, seed: u32| {
    let mut random = Random::new(u64::from(seed));
    if random.below(2) == 0 {
        return fuzzer_mutate(data, size, max_size);
    }
    let mut input = data[..size].to_vec();
    OTHER.with_borrow_mut(|other| {
        mutate(&mut input, other, TARGET.words, TARGET.longest.min(max_size), &mut random);
        if random.below(8) == 0 {
            *other = input.clone();
        }
    });
    data[..input.len()].copy_from_slice(&input);
    input.len()
});

/// Puts the seeds where libFuzzer reads what it begins with.
fn copy_seeds() {
    let target = *TARGET;
    let Some(corpus) = std::env::var_os("GATEPOST_FUZZ_CORPUS") else { return };
    for seed in target.seeds {
        copy(&project().join(seed), &Path::new(&corpus).join(seed.replace('/', "-")));
    }
}

/// A file, or all below a folder.
fn copy(from: &Path, to: &Path) {
    if !from.is_dir() {
        std::fs::copy(from, to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        return;
    }
    for entry in std::fs::read_dir(from).unwrap_or_else(|error| panic!("{}: {error}", from.display())) {
        let path = entry.unwrap().path();
        let name = format!("{}-{}", to.file_name().unwrap().display(), path.file_name().unwrap().display());
        copy(&path, &to.with_file_name(name));
    }
}
