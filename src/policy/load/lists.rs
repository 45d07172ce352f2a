//! The lists of a policy: those that stand in it, and those of files.

use std::sync::Arc;

use super::super::condition::Lists;
use super::super::draft::{DraftEntries, DraftList};
use super::super::keys::{Reader, Spot};
use super::super::lists::{List, MAX_ENTRIES};
use crate::problem::{Problem, Source};

/// How an entry of a list is mended.
pub(in super::super) const ENTRIES: &str =
    "an entry is a domain, .domain with its subdomains, an address, an IP address or a network";
/// Lines of a list's file that are told one by one.
const MOST_OF_A_FILE: usize = 10;

/// Reads and checks the lists of a policy; `read` gives the text of a list's file.
pub(super) fn read(
    reader: &mut Reader<'_>,
    drafts: Vec<DraftList>,
    read: &mut dyn FnMut(&str) -> Result<String, String>,
) -> Lists {
    let mut lists = Lists::new();
    for draft in drafts {
        let name = draft.name.value;
        let key = format!("lists.{name}");
        let identifier = name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.bytes().all(|b| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'_')
            && name.len() <= 64;
        if !identifier {
            let mend = "name it with small letters, digits and _";
            reader.problem(draft.name.span, key.clone(), "conditions can't spell this list's name", mend);
        }
        let mut list = match draft.entries {
            DraftEntries::Inline(entries) => inline_list(reader, &key, entries),
            DraftEntries::File(file) => file_list(reader, &key, file, read),
            DraftEntries::Nowhere => List::default(),
        };
        list.shrink();
        lists.insert(name, Arc::new(list));
    }
    lists
}

fn inline_list(reader: &mut Reader<'_>, key: &str, entries: Vec<Spot<String>>) -> List {
    let mut list = List::default();
    for entry in entries {
        if let Err(cause) = list.add(&entry.value) {
            reader.problem(entry.span, key, cause, ENTRIES);
        }
    }
    list
}

/// A list's file: an entry a line, `#` starts a comment.
fn file_list(
    reader: &mut Reader<'_>,
    key: &str,
    file: Spot<String>,
    read: &mut dyn FnMut(&str) -> Result<String, String>,
) -> List {
    let mut list = List::of_a_file();
    let text = match read(&file.value) {
        Ok(text) => text,
        Err(cause) => {
            reader.problem(
                file.span,
                key,
                format!("\"{}\" cannot be read: {cause}", file.value),
                "its path is relative to the policy",
            );
            return list;
        }
    };
    let source = Arc::new(Source { name: file.value, text });
    let (mut start, mut wrong, mut last) = (0, 0, 0..0);
    for (index, line) in source.text.split_inclusive('\n').enumerate() {
        let entry = line.split('#').next().unwrap_or_default();
        let span = start..start + entry.trim_end().len();
        start += line.len();
        if entry.trim().is_empty() {
            continue;
        }
        if index >= MAX_ENTRIES {
            reader.problems.push(Problem::at(
                &source,
                span,
                key,
                format!("a list has at most {MAX_ENTRIES} lines"),
                "",
            ));
            break;
        }
        if let Err(cause) = list.add(entry) {
            wrong += 1;
            last = span.clone();
            if wrong <= MOST_OF_A_FILE {
                reader.problems.push(Problem::at(&source, span, key, cause, ENTRIES));
            }
        }
    }
    if wrong > MOST_OF_A_FILE {
        // a file that is no list at all has a problem a line
        let more = wrong - MOST_OF_A_FILE;
        let cause = format!("{more} more lines are no entries, this is the last of them");
        reader.problems.push(Problem::at(&source, last, key, cause, ENTRIES));
    }
    list
}
