//! The header fields that rules read, and what the message is made of, a line each.

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
