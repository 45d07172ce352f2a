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
        clauses.push((Speaks::Plain, mime_clause(mime)));
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

fn mime_clause(mime: &Mime) -> String {
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
    text
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
    text
}

fn file(attachment: &Attachment) -> String {
    let name = if attachment.name.is_empty() { "one without name".to_owned() } else { fit(&attachment.name) };
    format!("{name} ({}, {} octets)", fit(&attachment.media_type), attachment.bytes)
}
