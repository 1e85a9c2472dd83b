//! Tables: columns as wide as their widest cell, numbers to the right.
//!
//! Invariants: no line ends in blanks; a table without rows prints nothing.

/// A table under construction.
#[derive(Debug, Default)]
pub struct Table {
    head: Vec<String>,
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with these column heads; a head that begins with `>` is of numbers.
    pub fn new(head: &[&str]) -> Table {
        Table {
            head: head.iter().map(|&h| h.to_owned()).collect(),
            rows: Vec::new(),
        }
    }

    /// Adds a row.
    pub fn row(&mut self, cells: impl IntoIterator<Item = String>) -> &mut Table {
        self.rows.push(cells.into_iter().collect());
        self
    }

    /// The table as text, each line after `indent`.
    pub fn render(&self, indent: &str) -> String {
        if self.rows.is_empty() {
            return String::new();
        }
        let right: Vec<bool> = self.head.iter().map(|h| h.starts_with('>')).collect();
        let head: Vec<String> = self
            .head
            .iter()
            .map(|h| h.trim_start_matches('>').to_owned())
            .collect();
        let lines: Vec<&Vec<String>> = std::iter::once(&head).chain(&self.rows).collect();
        let width = |column: usize| {
            lines
                .iter()
                .filter_map(|l| l.get(column))
                .map(|c| c.chars().count())
                .max()
        };
        let widths: Vec<usize> = (0..head.len())
            .map(|column| width(column).unwrap_or(0))
            .collect();
        let mut out = String::new();
        for line in lines {
            let mut text = indent.to_owned();
            for (column, cell) in line.iter().enumerate() {
                let width = widths.get(column).copied().unwrap_or(0);
                if column != 0 {
                    text.push_str("  ");
                }
                if right.get(column).copied().unwrap_or(false) {
                    text.push_str(&format!("{cell:>width$}"));
                } else {
                    text.push_str(&format!("{cell:<width$}"));
                }
            }
            out.push_str(text.trim_end());
            out.push('\n');
        }
        out
    }
}

#[cfg(test)]
mod tests {
    use super::Table;

    #[test]
    fn columns_are_aligned() {
        let mut table = Table::new(&["name", ">size"]);
        table
            .row(["a".into(), "10".into()])
            .row(["longer".into(), "7".into()]);
        assert_eq!(
            table.render("  "),
            "  name    size\n  a         10\n  longer     7\n"
        );
        assert_eq!(Table::new(&["x"]).render(""), "");
    }
}
