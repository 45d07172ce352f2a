//! Tables that people read: columns aligned, the head in bold on a terminal, lines of details below a row.

use anstyle::Style;

/// A table of `N` columns.
pub struct Table<const N: usize> {
    head: [&'static str; N],
    right: [bool; N],
    rows: Vec<([String; N], Vec<String>)>,
}

impl<const N: usize> Table<N> {
    /// An empty table.
    pub fn new(head: [&'static str; N]) -> Self {
        Table { head, right: [false; N], rows: Vec::new() }
    }

    /// A column of numbers, which end at the same place.
    pub fn right(&mut self, column: usize) {
        if let Some(right) = self.right.get_mut(column) {
            *right = true;
        }
    }

    /// Adds a row, with lines that stand below it.
    pub fn row(&mut self, cells: [String; N], details: Vec<String>) {
        self.rows.push((cells, details));
    }

    /// The table, each line indented by two and without spaces at its end.
    pub fn render(&self, coloured: bool) -> String {
        let (bold, dim) = if coloured { (Style::new().bold(), Style::new().dimmed()) } else { Default::default() };
        let head = self.head.map(str::to_owned);
        let mut widths = head.each_ref().map(|cell| cell.chars().count());
        for (cells, _) in &self.rows {
            widths.iter_mut().zip(cells).for_each(|(width, cell)| *width = (*width).max(cell.chars().count()));
        }
        let margin = if self.right.first() == Some(&true) { widths.first().copied().unwrap_or(0) + 4 } else { 4 };
        let mut out = format!("{bold}{}{bold:#}\n", self.line(&head, &widths));
        for (cells, details) in &self.rows {
            out.push_str(&self.line(cells, &widths));
            out.push('\n');
            for detail in details {
                out.push_str(&format!("{:margin$}{dim}{detail}{dim:#}\n", ""));
            }
        }
        out
    }

    fn line(&self, cells: &[String; N], widths: &[usize; N]) -> String {
        let mut line = String::new();
        for ((cell, width), right) in cells.iter().zip(widths).zip(self.right) {
            let gap = " ".repeat(width.saturating_sub(cell.chars().count()));
            let (before, after) = if right { (gap.as_str(), "") } else { ("", gap.as_str()) };
            line.push_str("  ");
            line.push_str(before);
            line.push_str(cell);
            line.push_str(after);
        }
        line.trim_end().to_owned()
    }
}

/// A number with its thousands apart: 120,412.
pub fn number(n: u64) -> String {
    let digits = n.to_string();
    let mut out = String::with_capacity(digits.len() + digits.len() / 3);
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}
