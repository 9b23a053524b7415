//! Columns for people.

/// Rows under a head, each column as wide as its widest cell; numbers are set to the right.
pub struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub fn new<const COLUMNS: usize>(head: [&str; COLUMNS]) -> Table {
        Table { rows: vec![head.map(str::to_owned).to_vec()] }
    }

    pub fn add<const COLUMNS: usize>(&mut self, row: [String; COLUMNS]) {
        self.rows.push(row.to_vec());
    }

    pub fn is_empty(&self) -> bool {
        self.rows.len() == 1
    }
}

impl std::fmt::Display for Table {
    fn fmt(&self, out: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let columns = self.rows[0].len();
        let mut widths = vec![0; columns];
        let mut is_number = vec![true; columns];
        for (place, row) in self.rows.iter().enumerate() {
            for (column, cell) in row.iter().enumerate() {
                widths[column] = widths[column].max(cell.chars().count());
                is_number[column] &= place == 0 || is_figure(cell);
            }
        }
        for row in &self.rows {
            let mut line = String::new();
            for (column, cell) in row.iter().enumerate() {
                let padding = " ".repeat(widths[column] - cell.chars().count());
                line += &match is_number[column] {
                    true => format!("{padding}{cell}  "),
                    false => format!("{cell}{padding}  "),
                };
            }
            writeln!(out, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

fn is_figure(cell: &str) -> bool {
    cell == "-" || cell.trim_end_matches('%').parse::<f64>().is_ok()
}

/// `-` where there is nothing to tell.
pub fn or_dash(text: &str) -> String {
    if text.is_empty() { "-".to_owned() } else { text.to_owned() }
}

pub fn percent(share: Option<f64>) -> String {
    share.map_or("-".to_owned(), |share| format!("{:.1}%", 100.0 * share))
}

/// `1.5 MB`; a thousand bytes are a kB.
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 4] = ["kB", "MB", "GB", "TB"];
    if count < 1000 {
        return format!("{count} B");
    }
    let mut amount = count as f64 / 1000.0;
    let mut unit = 0;
    while amount >= 999.95 && unit + 1 < UNITS.len() {
        amount /= 1000.0;
        unit += 1;
    }
    format!("{amount:.1} {}", UNITS[unit])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_stand_left_and_numbers_right() {
        let mut table = Table::new(["node", "hits"]);
        table.add(["a:1".to_owned(), "7".to_owned()]);
        table.add(["long:1".to_owned(), "1234".to_owned()]);
        table.add(["b:1".to_owned(), "-".to_owned()]);
        assert_eq!(table.to_string(), "node    hits\na:1        7\nlong:1  1234\nb:1        -\n");
    }

    #[test]
    fn bytes_are_short() {
        let texts = [0, 999, 1000, 3_660_092, 999_950_000, 5_000_000_000_000_000].map(bytes);
        assert_eq!(texts, ["0 B", "999 B", "1.0 kB", "3.7 MB", "1.0 GB", "5000.0 TB"]);
    }
}
