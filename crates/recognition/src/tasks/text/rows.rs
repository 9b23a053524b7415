//! Rows of things that are beside each other.

/// Items from top to bottom, those beside each other in one row. `place` gives an item's position
/// downwards and its height. An item is in the last row if it begins less than half the height of the
/// row's first item after that.
pub fn rows<T>(mut items: Vec<T>, place: impl Fn(&T) -> (f64, f64)) -> Vec<Vec<T>> {
    items.sort_by(|a, b| place(a).0.total_cmp(&place(b).0));
    let mut rows: Vec<Vec<T>> = Vec::new();
    for item in items {
        let (position, _) = place(&item);
        let beside = |row: &&mut Vec<T>| {
            row.first().map(&place).is_some_and(|(first, height)| position - first < height / 2.0)
        };
        match rows.last_mut().filter(beside) {
            Some(row) => row.push(item),
            None => rows.push(vec![item]),
        }
    }
    rows
}
