//! Our own sources as the house rules see them: the code without comments and literals, and the paths that it names.

use std::path::{Path, PathBuf};

/// One file below src/.
pub struct SourceFile {
    /// Below src/, with `/`.
    pub name: String,
    pub text: String,
}

/// All .rs files below src/, in the order of their names.
pub fn files() -> Vec<SourceFile> {
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut found = Vec::new();
    collect(&src, &mut found);
    found.sort();
    let name = |path: &Path| path.strip_prefix(&src).unwrap().to_str().unwrap().to_owned();
    found.iter().map(|path| SourceFile { name: name(path), text: std::fs::read_to_string(path).unwrap() }).collect()
}

fn collect(directory: &Path, found: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            found.push(path);
        }
    }
}

/// The text with comments and the insides of literals blanked; every line keeps its number.
pub fn code_of(text: &str) -> String {
    let chars: Vec<char> = text.chars().collect();
    let at = |i: usize| chars.get(i).copied().unwrap_or('\0');
    let mut code = String::with_capacity(text.len());
    let mut i = 0;
    while i < chars.len() {
        let end = match at(i) {
            '/' if at(i + 1) == '/' => (i..chars.len()).find(|&j| at(j) == '\n').unwrap_or(chars.len()),
            '/' if at(i + 1) == '*' => end_of_block_comment(&chars, i),
            '"' => end_of_string(&chars, i),
            'r' if !is_word(at(i.wrapping_sub(1))) || at(i.wrapping_sub(1)) == 'b' => {
                end_of_raw_string(&chars, i).unwrap_or(i)
            }
            '\'' if at(i + 1) == '\\' => (i + 3..chars.len()).find(|&j| at(j) == '\'').map_or(chars.len(), |j| j + 1),
            '\'' if at(i + 2) == '\'' => i + 3,
            _ => i,
        };
        if end == i {
            code.push(at(i));
            i += 1;
            continue;
        }
        code.extend(chars[i..end].iter().map(|&c| if c == '\n' { '\n' } else { ' ' }));
        i = end;
    }
    code
}

fn end_of_block_comment(chars: &[char], start: usize) -> usize {
    let mut depth = 0;
    let mut i = start;
    while i + 1 < chars.len() {
        match (chars[i], chars[i + 1]) {
            ('/', '*') => depth += 1,
            ('*', '/') => depth -= 1,
            _ => {
                i += 1;
                continue;
            }
        }
        i += 2;
        if depth == 0 {
            return i;
        }
    }
    chars.len()
}

fn end_of_string(chars: &[char], start: usize) -> usize {
    let mut i = start + 1;
    while i < chars.len() {
        match chars[i] {
            '\\' => i += 2,
            '"' => return i + 1,
            _ => i += 1,
        }
    }
    chars.len()
}

fn end_of_raw_string(chars: &[char], start: usize) -> Option<usize> {
    let hashes = chars[start + 1..].iter().take_while(|&&c| c == '#').count();
    let open = start + 1 + hashes;
    if chars.get(open) != Some(&'"') {
        return None;
    }
    let closes =
        |i: usize| chars[i] == '"' && chars[i + 1..].iter().take(hashes).filter(|&&c| c == '#').count() == hashes;
    let end = (open + 1..chars.len()).find(|&i| closes(i)).map_or(chars.len(), |i| i + 1 + hashes);
    Some(end.min(chars.len()))
}

fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// A path that the code names, and its line (from 1). `use` trees are spelled out; `self` and `super` are resolved, so that a
/// path of our own starts with `crate::` however it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NamedPath {
    pub line: usize,
    pub path: String,
}

/// All paths that a file names in its code.
pub fn paths(file: &str, text: &str) -> Vec<NamedPath> {
    let tokens = tokens(&code_of(text));
    let mut reader = Reader { tokens: &tokens, at: 0, module: module_of(file), found: Vec::new() };
    while reader.at < tokens.len() {
        let (line, word) = (tokens[reader.at].line, tokens[reader.at].text.as_str());
        if word == "use" && reader.word(1) != Some("<") {
            reader.at += 1;
            reader.tree(line, Vec::new());
        } else if word == "::" || word.starts_with(is_word) {
            let mut path = Vec::new();
            reader.simple_path(&mut path);
            reader.keep(line, path);
        } else {
            reader.at += 1;
        }
    }
    reader.found
}

/// `a/mod.rs` and `a.rs` are the module a, `a/b.rs` is a::b, lib.rs and main.rs are the crate.
fn module_of(file: &str) -> Vec<String> {
    let stem = file.trim_end_matches(".rs").trim_end_matches("/mod");
    if matches!(stem, "lib" | "main") {
        return Vec::new();
    }
    stem.split('/').map(str::to_owned).collect()
}

struct Token {
    line: usize,
    text: String,
}

fn tokens(code: &str) -> Vec<Token> {
    let mut found: Vec<Token> = Vec::new();
    for (number, line) in code.lines().enumerate() {
        let mut rest = line;
        while let Some(first) = rest.chars().next() {
            let length = if is_word(first) {
                rest.find(|c| !is_word(c)).unwrap_or(rest.len())
            } else if rest.starts_with("::") {
                2
            } else {
                first.len_utf8()
            };
            if !first.is_whitespace() {
                found.push(Token { line: number + 1, text: rest[..length].to_owned() });
            }
            rest = &rest[length..];
        }
    }
    found
}

struct Reader<'a> {
    tokens: &'a [Token],
    at: usize,
    module: Vec<String>,
    found: Vec<NamedPath>,
}

impl Reader<'_> {
    fn word(&self, ahead: usize) -> Option<&str> {
        self.tokens.get(self.at + ahead).map(|token| token.text.as_str())
    }

    /// `a::b::c`, as far as it goes; leaves `at` behind it (always moves on).
    fn simple_path(&mut self, path: &mut Vec<String>) {
        if self.word(0) == Some("::") {
            self.at += 1;
        }
        while let Some(word) = self.word(0).filter(|word| word.starts_with(is_word)) {
            path.push(word.to_owned());
            self.at += 1;
            let goes_on = self.word(0) == Some("::") && self.word(1).is_some_and(|next| next.starts_with(is_word));
            if !goes_on {
                return;
            }
            self.at += 1;
        }
    }

    /// What stands behind `use`, or behind `{` or `,` in it.
    fn tree(&mut self, line: usize, before: Vec<String>) {
        let mut path = before;
        self.simple_path(&mut path);
        if self.word(0) == Some("::") {
            self.at += 1;
        }
        if self.word(0) == Some("{") {
            while !matches!(self.word(0), None | Some("}")) {
                self.at += 1;
                let line = self.tokens.get(self.at).map_or(line, |token| token.line);
                if self.word(0) != Some("}") {
                    self.tree(line, path.clone());
                }
            }
            self.at += 1;
            return;
        }
        self.keep(line, path);
        while !matches!(self.word(0), None | Some("," | "}" | ";")) {
            self.at += 1;
        }
    }

    fn keep(&mut self, line: usize, path: Vec<String>) {
        let first = path.first().map(String::as_str);
        let path = if matches!(first, Some("self" | "super")) && path.len() > 1 {
            let ups = path.iter().take_while(|word| *word == "super").count();
            let skip = path.iter().take_while(|word| matches!(word.as_str(), "self" | "super")).count();
            let module = &self.module[..self.module.len().saturating_sub(ups)];
            let whole = std::iter::once("crate").chain(module.iter().map(String::as_str));
            whole.chain(path[skip..].iter().map(String::as_str)).collect::<Vec<_>>().join("::")
        } else {
            path.join("::")
        };
        self.found.push(NamedPath { line, path });
    }
}
