//! Connected regions of a map.

/// A map of numbers, row by row.
#[derive(Clone, Debug, PartialEq)]
pub struct Map {
    pub width: usize,
    pub height: usize,
    pub values: Vec<f32>,
}

impl Map {
    /// The pixels (column, row) of each group of values above the threshold that touch, also
    /// diagonally; the groups by their first pixel, row by row.
    pub fn regions_above(&self, threshold: f32) -> Vec<Vec<(u32, u32)>> {
        let mut left: Vec<bool> = self.values.iter().map(|value| *value > threshold).collect();
        let mut regions = Vec::new();
        for start in 0..left.len() {
            if !std::mem::take(&mut left[start]) {
                continue;
            }
            let mut region = Vec::new();
            let mut open = vec![start];
            while let Some(index) = open.pop() {
                let (x, y) = (index % self.width, index / self.width);
                region.push((x as u32, y as u32));
                for row in y.saturating_sub(1)..=(y + 1).min(self.height - 1) {
                    for column in x.saturating_sub(1)..=(x + 1).min(self.width - 1) {
                        let neighbour = row * self.width + column;
                        if std::mem::take(&mut left[neighbour]) {
                            open.push(neighbour);
                        }
                    }
                }
            }
            regions.push(region);
        }
        regions
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn touching_pixels_are_one_region() {
        let rows = ["#..#", ".#..", "...#", "##.#"];
        let values = rows.concat().bytes().map(|byte| f32::from(byte == b'#')).collect();
        let map = Map { width: 4, height: 4, values };
        let mut regions = map.regions_above(0.5);
        regions.iter_mut().for_each(|region| region.sort_unstable());
        let wanted: [&[(u32, u32)]; 4] =
            [&[(0, 0), (1, 1)], &[(3, 0)], &[(3, 2), (3, 3)], &[(0, 3), (1, 3)]];
        assert_eq!(regions, wanted);
        assert!(map.regions_above(1.0).is_empty());
    }
}
