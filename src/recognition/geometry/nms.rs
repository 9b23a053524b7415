//! Non-maximum suppression: of boxes that overlap much the best stays.

use super::Rect;

/// The comparisons grow with the square: of more candidates than these only the best are looked at.
const MOST_CANDIDATES: usize = 2000;

/// Indices of the boxes that stay, best first. A box whose IoU with one that stays is above `limit`
/// goes. Of equal scores the first counts.
pub fn non_maximum_suppression(boxes: &[Rect], scores: &[f64], limit: f64) -> Vec<usize> {
    let mut order: Vec<usize> = (0..boxes.len()).collect();
    order.sort_by(|a, b| scores[*b].total_cmp(&scores[*a]));
    order.truncate(MOST_CANDIDATES);
    let mut kept: Vec<usize> = Vec::new();
    for candidate in order {
        if kept.iter().all(|other| boxes[candidate].iou(&boxes[*other]) <= limit) {
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
        assert_eq!(non_maximum_suppression(&boxes, &scores, 0.45), [1, 2]);
        assert_eq!(non_maximum_suppression(&boxes, &scores, 0.1), [1]);
        assert_eq!(non_maximum_suppression(&[], &[], 0.5), Vec::<usize>::new());
    }

    #[test]
    fn many_candidates_take_no_minutes() {
        let boxes: Vec<Rect> = (0..100_000).map(|i| square(f64::from(i) * 20.0, 10.0)).collect();
        let scores: Vec<f64> = (0..100_000).map(f64::from).collect();
        let kept = non_maximum_suppression(&boxes, &scores, 0.5);
        assert_eq!((kept.len(), kept[0]), (MOST_CANDIDATES, 99_999));
    }
}
