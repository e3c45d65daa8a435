//! Columns for people.

use clap::builder::styling::Style;
use unicode_width::UnicodeWidthStr;

use plugsmith::text;

/// Between two columns.
const GAP: usize = 2;

/// Rows of cells under headers, aligned by what a terminal shows of them.
#[derive(Debug, Clone)]
pub struct Table {
    headers: Vec<&'static str>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these headers and no rows.
    pub fn new(headers: impl IntoIterator<Item = &'static str>) -> Self {
        Self { headers: headers.into_iter().collect(), rows: Vec::new() }
    }

    /// Adds a row; its cells may come from anywhere.
    pub fn row<S: AsRef<str>>(&mut self, cells: impl IntoIterator<Item = S>) {
        self.rows.push(cells.into_iter().map(|cell| text::sanitized(cell.as_ref()).into_owned()).collect());
    }

    /// The table as lines that end where their last cell does.
    pub fn render(&self, colored: bool) -> String {
        let columns = self.rows.iter().map(Vec::len).chain([self.headers.len()]).max().unwrap_or(0);
        let mut widths = vec![0; columns];
        for (at, header) in self.headers.iter().enumerate() {
            widths[at] = header.width();
        }
        for row in &self.rows {
            for (at, cell) in row.iter().enumerate() {
                widths[at] = widths[at].max(cell.width());
            }
        }
        let mut out = String::new();
        let bold = Style::new().bold();
        if colored && !self.headers.is_empty() {
            out.push_str(&bold.render().to_string());
        }
        line(&mut out, self.headers.iter().copied(), &widths);
        if colored && !self.headers.is_empty() {
            out.insert_str(out.len() - 1, &bold.render_reset().to_string());
        }
        for row in &self.rows {
            line(&mut out, row.iter().map(String::as_str), &widths);
        }
        out
    }
}

fn line<'a>(out: &mut String, cells: impl Iterator<Item = &'a str>, widths: &[usize]) {
    let mut owed = 0;
    for (cell, width) in cells.zip(widths) {
        if !cell.is_empty() {
            out.extend(std::iter::repeat_n(' ', owed));
            out.push_str(cell);
            owed = 0;
        }
        owed += width - cell.width() + GAP;
    }
    out.push('\n');
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn aligns_by_width_and_leaves_no_space_at_the_end() {
        let mut table = Table::new(["NAME", "VERSION", "TYPE"]);
        table.row(["diff", "3.0.0", "cli/v1"]);
        table.row(["日本", "", "getter/v1"]);
        table.row(["a", "b", ""]);
        let expected = "NAME  VERSION  TYPE\ndiff  3.0.0    cli/v1\n日本           getter/v1\na     b\n";
        assert_eq!(table.render(false), expected);
        assert_eq!(table.render(true), expected.replacen("NAME  VERSION  TYPE", "\x1b[1mNAME  VERSION  TYPE\x1b[0m", 1));
    }

    #[test]
    fn m8_cells_cannot_act_on_the_terminal() {
        let mut table = Table::new(["A"]);
        table.row(["x\x1b[2J\ny"]);
        assert_eq!(table.render(false), "A\nx\\u{1b}[2J y\n");
    }
}
