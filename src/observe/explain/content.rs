//! The header fields that rules read, and what the message is made of, a line each.

use super::reasons::{Clause, Read, Speaks};
use super::{Line, fit, line, listed};
use crate::facts::header::is_unwritten;
use crate::facts::{Attachment, Facts, HeaderField, Mime};

/// What is known of them; nothing where no rule asked.
pub fn lines(facts: &Facts) -> Vec<Line> {
    let mut lines: Vec<Line> = Vec::new();
    for (name, field) in &facts.headers {
        let key = if lines.is_empty() { "header" } else { "" };
        lines.push(line(key, header(name, field)));
    }
    lines.extend(facts.mime.iter().map(|mime| line("parts", parts(mime))));
    lines
}

/// Of what a rule read.
pub(super) fn clauses(facts: &Facts, read: &Read<'_>) -> Vec<Clause> {
    let named: Vec<&str> = read.keys("headers").collect();
    let fields = facts
        .headers
        .iter()
        .filter(|(name, _)| read.has("headers") && (named.is_empty() || named.contains(&name.as_str())));
    let mut clauses: Vec<Clause> = fields.map(|(name, field)| (Speaks::Plain, field_clause(name, field))).collect();
    if let Some(mime) = facts.mime.as_ref().filter(|_| read.has("mime")) {
        clauses.push((Speaks::Plain, mime_clause(mime, read)));
    }
    clauses
}

fn field_clause(name: &str, field: &HeaderField) -> String {
    let name = fit(name);
    match &field.value {
        _ if field.count == 0 => format!("it has no field {name}"),
        Some(value) if !is_unwritten(&name) && field.count == 1 => format!("its field {name} says \"{}\"", fit(value)),
        Some(value) if !is_unwritten(&name) => {
            format!("the first of its {} fields {name} says \"{}\"", field.count, fit(value))
        }
        _ if field.count == 1 => format!("it has a field {name}, the text of which is not kept"),
        _ => format!("it has {} fields {name}, the text of which is not kept", field.count),
    }
}

fn mime_clause(mime: &Mime, read: &Read<'_>) -> String {
    let files: Vec<String> = mime.attachments.iter().map(file).collect();
    let mut text = match (files.len(), mime.parts) {
        (0, 1) => "it is one part, without files".to_owned(),
        (0, parts) => format!("it has {parts} parts, and no files"),
        (1, _) => format!("it carries the file {}", listed(files)),
        _ => format!("it carries the files {}", listed(files)),
    };
    if mime.truncated {
        text.push_str(", and more than is looked at");
    }
    if read.has("mime.defects") && !mime.defects.is_empty() {
        text.push_str(&format!(", and mail programs may read it in different ways: {}", defects(mime)));
    }
    text
}

/// What they may disagree about.
fn defects(mime: &Mime) -> String {
    listed(mime.defects.iter().map(|defect| defect_in_words(defect).unwrap_or_else(|| fit(defect))).collect())
}

fn defect_in_words(defect: &str) -> Option<String> {
    let words = match defect {
        "doubled-field" => "a field stands twice in a part",
        "doubled-parameter" => "a parameter stands twice",
        "broken-parameter" => "parameters are written against the grammar",
        "broken-header" => "the header of a part has lines that are no field",
        "broken-type" => "a Content-Type is no type",
        "undecodable-name" => "a name can't be decoded",
        "unseen-character" => "a name has characters that are not seen",
        "path-in-name" => "a name has a path or a colon",
        "tail-in-name" => "a name ends in what programs take off",
        "long-name" => "a name is longer than programs keep",
        "extensions-differ" => "a file may be shown under names of different extensions",
        "no-boundary" => "a multipart has no boundary",
        "absent-boundary" => "the boundary of a multipart stands nowhere",
        "delimiter-tail" => "a delimiter line goes on behind the boundary",
        "after-end" => "a part stands behind the end of a multipart",
        "encoded-multipart" => "a multipart or a message is encoded",
        "broken-encoding" => "a part is not encoded as it says",
        "unknown-encoding" => "a transfer encoding is unknown",
        "partial" => "a part is a piece of a message, or lies elsewhere",
        "uuencoded" => "a file stands within a text",
        "tnef" => "a file is a TNEF container, which is not opened",
        _ => return None,
    };
    Some(format!("{words} ({defect})"))
}

fn header(name: &str, field: &HeaderField) -> String {
    let mut text = match field.count {
        0 => format!("{}: none", fit(name)),
        1 => format!("{}: ", fit(name)),
        more => format!("{}, the first of {more}: ", fit(name)),
    };
    match &field.value {
        _ if field.count == 0 => {}
        Some(value) if !is_unwritten(name) => text.push_str(&fit(value)),
        _ => text.push_str("there is one, but what it says is never kept"),
    }
    text
}

fn parts(mime: &Mime) -> String {
    let mut text = match mime.parts {
        1 => "one".to_owned(),
        more => format!("{more}, {} deep", mime.depth),
    };
    if !mime.attachments.is_empty() {
        text.push_str(&format!("; files: {}", listed(mime.attachments.iter().map(file).collect())));
    }
    if mime.truncated {
        text.push_str("; and more than is looked at");
    }
    if !mime.defects.is_empty() {
        text.push_str(&format!("; {}", defects(mime)));
    }
    text
}

fn file(attachment: &Attachment) -> String {
    let name = match attachment.name.as_str() {
        _ if attachment.is_unwritten() => "a message, the name of which is not kept".to_owned(),
        "" => "one without name".to_owned(),
        name => fit(name),
    };
    format!("{name} ({}, {} octets)", fit(&attachment.media_type), attachment.bytes)
}
