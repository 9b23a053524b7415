//! Non-maximum suppression: of boxes that overlap much the best stays.

use super::Rect;

/// The comparisons grow with the square: of more candidates than these only the best are looked at.
const MOST_CANDIDATES: usize = 2000;

/// The candidates that stay, best first. One whose box has an IoU above `limit` with one that stays
/// goes. `place` gives a candidate's box and score; of equal scores the first counts.
pub fn non_maximum_suppression<T>(
    mut candidates: Vec<T>,
    place: impl Fn(&T) -> (Rect, f64),
    limit: f64,
) -> Vec<T> {
    candidates.sort_by(|a, b| place(b).1.total_cmp(&place(a).1));
    candidates.truncate(MOST_CANDIDATES);
    let mut kept: Vec<T> = Vec::new();
    for candidate in candidates {
        let (rect, _) = place(&candidate);
        if kept.iter().all(|other| rect.iou(&place(other).0) <= limit) {
            kept.push(candidate);
        }
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;

    fn square(left: f64, side: f64) -> Rect {
        Rect { left, top: 0.0, right: left + side, bottom: side }
    }

    #[test]
    fn the_best_of_overlapping_boxes_stays() {
        let boxes = [square(0.0, 10.0), square(1.0, 10.0), square(8.0, 10.0), square(1.0, 10.0)];
        let scores = [0.5, 0.9, 0.6, 0.9];
        let kept = |indices: Vec<usize>, limit: f64| {
            non_maximum_suppression(indices, |index| (boxes[*index], scores[*index]), limit)
        };
        assert_eq!(kept(vec![0, 1, 2, 3], 0.45), [1, 2]);
        assert_eq!(kept(vec![0, 1, 2, 3], 0.1), [1]);
        assert_eq!(kept(vec![], 0.5), Vec::<usize>::new());
    }

    #[test]
    fn many_candidates_take_no_minutes() {
        let place = |index: &u32| (square(f64::from(*index) * 20.0, 10.0), f64::from(*index));
        let kept = non_maximum_suppression((0..100_000).collect(), place, 0.5);
        assert_eq!((kept.len(), kept[0]), (MOST_CANDIDATES, 99_999));
    }
}
