//! What people are told about their files: which file, where in it, what is wrong and how to mend it.
//!
//! Everything that reads a file of the administrator's returns [`Problems`], all of them at once; they are rendered in one place.

use std::fmt;
use std::fmt::Write as _;
use std::ops::Range;
use std::sync::Arc;

use annotate_snippets::{AnnotationKind, Group, Level, Renderer, Snippet};
use anstyle::{AnsiColor, Style};

/// A text that was read from a file (or compiled in), kept so that a problem can show its line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Source {
    /// The path as the administrator gave it, or a name such as `default.toml (built in)`.
    pub name: String,
    /// The whole text.
    pub text: String,
}

/// One thing that is wrong with a file of the administrator's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Problem {
    /// The file, where there is one.
    pub source: Option<Arc<Source>>,
    /// Bytes of the source's text that the problem is about.
    pub span: Option<Range<usize>>,
    /// The key (`smtp.listen`, `rule "dmarc-reject".when`); may be empty.
    pub key: String,
    /// What is wrong, in a sentence without a full stop.
    pub cause: String,
    /// How to mend it (`did you mean "listen"?`); may be empty.
    pub mend: String,
}

impl Problem {
    /// A problem with the bytes `span` of `source`. A span that lies beyond the text or within a character is taken to the nearest
    /// place that exists.
    pub fn at(
        source: &Arc<Source>,
        span: Range<usize>,
        key: impl Into<String>,
        cause: impl Into<String>,
        mend: impl Into<String>,
    ) -> Self {
        let (source, span) = (Some(Arc::clone(source)), Some(span));
        Problem { source, span, key: key.into(), cause: cause.into(), mend: mend.into() }
    }

    /// A problem with a file that has no text to show: it could not be read, or it lacks something as a whole.
    pub fn with_file(name: &str, key: impl Into<String>, cause: impl Into<String>, mend: impl Into<String>) -> Self {
        let source = Some(Arc::new(Source { name: name.to_owned(), text: String::new() }));
        Problem { source, span: None, key: key.into(), cause: cause.into(), mend: mend.into() }
    }

    /// Its place: line and column, both from 1; the column counts characters (a tab is one). `None` where it has no place.
    pub fn line_column(&self) -> Option<(usize, usize)> {
        let text = &self.source.as_ref()?.text;
        let start = floor(text, self.span.as_ref()?.start);
        let before = text.get(..start)?;
        let line_start = before.rfind('\n').map_or(0, |at| at + 1);
        let line = before.bytes().filter(|&byte| byte == b'\n').count() + 1;
        Some((line, before.get(line_start..)?.chars().count() + 1))
    }

    /// `file:line:column: key: cause`, as far as there are such.
    fn headline(&self) -> String {
        let mut out = String::new();
        if let Some(source) = &self.source {
            let _ = write!(out, "{}:", printable(&source.name));
            if let Some((line, column)) = self.line_column() {
                let _ = write!(out, "{line}:{column}:");
            }
            out.push(' ');
        }
        if !self.key.is_empty() {
            let _ = write!(out, "{}: ", printable(&self.key));
        }
        out.push_str(&printable(&self.cause));
        out
    }

    fn render(&self, colour: bool, out: &mut String) {
        let bold = if colour { Style::new().bold() } else { Style::new() };
        let _ = writeln!(out, "{bold}{}{bold:#}", self.headline());
        if let Some(excerpt) = self.excerpt() {
            let renderer = if colour { Renderer::styled() } else { Renderer::plain() };
            let annotation = AnnotationKind::Primary.span(excerpt.marked);
            let snippet = Snippet::source(excerpt.line).line_start(excerpt.number).annotation(annotation);
            let group = Group::with_level(Level::ERROR).element(snippet);
            let _ = writeln!(out, "{}", renderer.render(&[group]));
        }
        if !self.mend.is_empty() {
            let help = if colour { AnsiColor::BrightCyan.on_default().bold() } else { Style::new() };
            let _ = writeln!(out, "  {help}mend:{help:#} {}", printable(&self.mend));
        }
    }

    /// The line of the problem, safe to print, and what of it is to be marked.
    fn excerpt(&self) -> Option<Excerpt> {
        let text = &self.source.as_ref()?.text;
        let span = self.span.as_ref()?;
        let (number, _) = self.line_column()?;
        let start = floor(text, span.start);
        let line_start = text.get(..start)?.rfind('\n').map_or(0, |at| at + 1);
        let rest = text.get(line_start..)?;
        let line = rest.split('\n').next()?;
        let line = line.strip_suffix('\r').unwrap_or(line);
        let (from, to) = (start - line_start, span.end.saturating_sub(line_start));
        let mut excerpt = Excerpt { number, line: String::new(), marked: 0..0 };
        // a line may be megabytes long: only what is near the mark is looked at
        let first = floor(line, from.saturating_sub(Excerpt::BEFORE));
        if first > 0 {
            excerpt.line.push_str("...");
        }
        let mut marked = None;
        for (at, c) in line.get(first..)?.char_indices().map(|(at, c)| (first + at, c)) {
            if at > from.saturating_add(Excerpt::AFTER) {
                excerpt.line.push_str("...");
                break;
            }
            if at >= from && marked.is_none() {
                marked = Some(excerpt.line.len());
            }
            push_printable(&mut excerpt.line, c);
            if at < to {
                excerpt.marked.end = excerpt.line.len();
            }
        }
        excerpt.marked.start = marked.unwrap_or(excerpt.line.len());
        excerpt.marked.end = excerpt.marked.end.max(excerpt.marked.start);
        Some(excerpt)
    }
}

/// A line as it is shown.
struct Excerpt {
    number: usize,
    line: String,
    marked: Range<usize>,
}

impl Excerpt {
    /// Bytes of a line that are shown before the mark, and from its start on.
    const BEFORE: usize = 60;
    const AFTER: usize = 120;
}

/// A list of problems, never shown one by one.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Problems {
    list: Vec<Problem>,
}

impl Problems {
    /// As many problems are shown; the rest is counted.
    const SHOWN: usize = 100;

    /// No problems.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds one.
    pub fn push(&mut self, problem: Problem) {
        self.list.push(problem);
    }

    /// Adds those of another list.
    pub fn extend(&mut self, more: Problems) {
        self.list.extend(more.list);
    }

    /// Adds those of another list that are not among these.
    pub fn merge(&mut self, more: Problems) {
        let new: Vec<Problem> = more.list.into_iter().filter(|problem| !self.list.contains(problem)).collect();
        self.list.extend(new);
    }

    /// `file:line:column: key: cause; mend` of the first of them, and how many there are more: for a log.
    pub fn headlines(&self, most: usize) -> Vec<String> {
        let line = |problem: &Problem| match problem.mend.as_str() {
            "" => problem.headline(),
            mend => format!("{} ({})", problem.headline(), printable(mend)),
        };
        let mut lines: Vec<String> = self.sorted().into_iter().take(most).map(line).collect();
        if self.len() > most {
            lines.push(format!("and {} more problems", self.len() - most));
        }
        lines
    }

    /// Whether there is none.
    pub fn is_empty(&self) -> bool {
        self.list.is_empty()
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.list.len()
    }

    /// All of them, in the order in which they were found.
    pub fn iter(&self) -> impl Iterator<Item = &Problem> {
        self.list.iter()
    }

    /// `Ok` if there is none.
    ///
    /// # Errors
    /// The list itself, if it holds any.
    pub fn into_result(self) -> Result<(), Problems> {
        if self.is_empty() { Ok(()) } else { Err(self) }
    }

    fn sorted(&self) -> Vec<&Problem> {
        let mut sorted: Vec<&Problem> = self.list.iter().collect();
        sorted.sort_by_key(|problem| {
            let name = problem.source.as_ref().map(|source| source.name.as_str());
            (name, problem.span.as_ref().map(|span| (span.start, span.end)))
        });
        sorted
    }

    /// Every problem by file and place: `file:line:column: key: cause`, the line with a caret, how to mend it; then how many there are.
    /// Ends with a line feed unless there is none.
    pub fn render(&self, colour: bool) -> String {
        let mut out = String::new();
        for problem in self.sorted().into_iter().take(Self::SHOWN) {
            problem.render(colour, &mut out);
            out.push('\n');
        }
        match self.len() {
            0 => {}
            1 => out.push_str("1 problem\n"),
            n if n > Self::SHOWN => {
                let _ = writeln!(out, "{n} problems, the first {} are shown", Self::SHOWN);
            }
            n => {
                let _ = writeln!(out, "{n} problems");
            }
        }
        out
    }
}

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.render(false))
    }
}

impl std::error::Error for Problems {}

impl From<Problem> for Problems {
    fn from(problem: Problem) -> Self {
        Problems { list: vec![problem] }
    }
}

/// The known word that is nearest to a misspelt one, `None` if none is near enough to be meant. Of equally near ones the first.
pub fn nearest<'a>(word: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    // the distance costs the product of both lengths; nothing that long is a slip of the finger
    const LONGEST: usize = 64;
    if word.len() > LONGEST {
        return None;
    }
    let fold = |word: &str| word.to_lowercase().replace('-', "_");
    let word = fold(word);
    known
        .into_iter()
        .filter(|known| known.len() <= LONGEST)
        .filter_map(|known| {
            let longer = word.chars().count().max(known.chars().count());
            let distance = strsim::damerau_levenshtein(&word, &fold(known));
            // a third of it may be wrong, but never all of a short word
            (distance <= (longer / 3).clamp(1, 3) && distance < known.chars().count()).then_some((distance, known))
        })
        .min_by_key(|&(distance, _)| distance)
        .map(|(_, known)| known)
}

/// The greatest boundary of a character that is not after `at`.
fn floor(text: &str, at: usize) -> usize {
    let at = at.min(text.len());
    (0..=at).rev().find(|&at| text.is_char_boundary(at)).unwrap_or(0)
}

fn printable(text: &str) -> String {
    let mut out = String::with_capacity(text.len());
    text.chars().for_each(|c| push_printable(&mut out, c));
    out
}

/// Appends a character as it may be shown on a terminal: controls, and marks that reorder or hide text, are escaped.
fn push_printable(out: &mut String, c: char) {
    let hides = matches!(c, '\u{ad}' | '\u{61c}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}' | '\u{feff}');
    match c {
        '\t' => out.push_str("    "),
        c if c.is_control() || hides => out.extend(c.escape_default()),
        c => out.push(c),
    }
}
