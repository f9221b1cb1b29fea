//! Text in columns.

use std::fmt;

/// A table with its first column aligned left and the others aligned right.
#[derive(Clone, Debug)]
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    /// A table with a heading for each column.
    pub fn new(headings: &[&str]) -> Self {
        let headings = headings.iter().map(|&heading| heading.to_owned());
        Self {
            rows: vec![headings.collect()],
        }
    }

    /// Adds a row. Missing cells stay empty.
    pub fn row(&mut self, cells: &[String]) {
        self.rows.push(cells.to_vec());
    }

    fn width(&self, column: usize) -> usize {
        let cells = self.rows.iter().filter_map(|row| row.get(column));
        cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
    }
}

impl fmt::Display for Table {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let width = self.width(column);
                line += &match column {
                    0 => format!("{cell:<width$}"),
                    _ => format!("   {cell:>width$}"),
                };
            }
            writeln!(formatter, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn columns_are_as_wide_as_their_widest_cell() {
        let mut table = Table::new(&["", "ns"]);
        table.row(&["increment".to_owned(), "2".to_owned()]);
        table.row(&["set".to_owned(), "1000".to_owned()]);
        assert_eq!(
            table.to_string(),
            "              ns\nincrement      2\nset         1000\n"
        );
    }
}
