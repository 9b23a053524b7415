//! Connectionist temporal classification (Graves and others, 2006): a network gives for each step
//! along a line a probability for each class; a text is likely if many ways to spread it over the
//! steps are, with repeats and with blanks (class 0) between.

/// CTC's class for "nothing here".
pub const BLANK: usize = 0;

/// For each step a probability for each class.
#[derive(Clone, Debug, PartialEq)]
pub struct Probabilities {
    classes: usize,
    values: Vec<f64>,
}

impl Probabilities {
    /// `values` are those of the first step, then those of the second, …; a last step that is not
    /// complete is left out.
    pub fn new(classes: usize, mut values: Vec<f64>) -> Probabilities {
        values.truncate(values.len() / classes.max(1) * classes);
        Probabilities { classes, values }
    }

    fn steps(&self) -> impl DoubleEndedIterator<Item = &[f64]> + ExactSizeIterator {
        self.values.chunks_exact(self.classes.max(1))
    }

    /// This line, surely nothing, then the other one.
    pub fn followed_by(&self, other: &Probabilities) -> Probabilities {
        let nothing = (0..self.classes).map(|class| f64::from(class == BLANK));
        let values = self.values.iter().copied().chain(nothing).chain(other.values.iter().copied());
        Probabilities::new(self.classes, values.collect())
    }

    /// The best class of each step (of equal ones the first), without repeats and blanks.
    pub fn best_path(&self) -> Vec<usize> {
        let mut text = Vec::new();
        let mut last = BLANK;
        for step in self.steps() {
            let mut best = BLANK;
            for (class, probability) in step.iter().enumerate() {
                if *probability > step[best] {
                    best = class;
                }
            }
            if best != BLANK && best != last {
                text.push(best);
            }
            last = best;
        }
        text
    }

    /// How likely a text is: the sum over all its alignments. Classes must be smaller than the number
    /// of classes.
    pub fn of_text(&self, text: &[usize]) -> f64 {
        let states = states(text);
        let mut before: Vec<f64> = Vec::new();
        for step in self.steps() {
            let arriving = |state: usize| {
                if before.is_empty() {
                    return if state < 2 { 1.0 } else { 0.0 };
                }
                let mut sum = before[state];
                if state >= 1 {
                    sum += before[state - 1];
                }
                if may_skip(&states, state) {
                    sum += before[state - 2];
                }
                sum
            };
            before = (0..states.len()).map(|state| arriving(state) * step[states[state]]).collect();
        }
        before.iter().rev().take(2).sum()
    }

    /// For each character of a text the highest probability of its class over the steps that its
    /// best alignment gives it; 0 if the line has too few steps for the text.
    pub fn scores(&self, text: &[usize]) -> Vec<f64> {
        let states = states(text);
        let path = self.best_alignment(&states);
        let mut scores = vec![0.0_f64; text.len()];
        for (step, state) in self.steps().zip(path) {
            if state % 2 == 1 {
                let score = &mut scores[state / 2];
                *score = score.max(step[states[state]]);
            }
        }
        scores
    }

    /// The state of each step on the likeliest way through the states (Viterbi).
    fn best_alignment(&self, states: &[usize]) -> Vec<usize> {
        let logarithm = |probability: f64| (probability + 1e-12).ln();
        let mut before: Vec<f64> = Vec::new();
        let mut origins: Vec<Vec<usize>> = Vec::new();
        for step in self.steps() {
            let origin = |state: usize| {
                let mut best = state;
                if state >= 1 && before[state - 1] > before[best] {
                    best = state - 1;
                }
                if may_skip(states, state) && before[state - 2] > before[best] {
                    best = state - 2;
                }
                best
            };
            if before.is_empty() {
                origins.push((0..states.len()).collect());
                let first = states.iter().take(2).map(|class| logarithm(step[*class]));
                before = first.collect();
                before.resize(states.len(), f64::NEG_INFINITY);
                continue;
            }
            let from: Vec<usize> = (0..states.len()).map(origin).collect();
            let sums =
                from.iter().zip(states).map(|(o, class)| before[*o] + logarithm(step[*class]));
            before = sums.collect();
            origins.push(from);
        }
        let [.., last_character, last_blank] = before[..] else {
            return vec![0; origins.len()];
        };
        let mut state = states.len() - if last_blank >= last_character { 1 } else { 2 };
        let mut path = Vec::with_capacity(origins.len());
        for from in origins.iter().rev() {
            path.push(state);
            state = from[state];
        }
        path.reverse();
        path
    }
}

/// A text's characters with blanks between and around them.
fn states(text: &[usize]) -> Vec<usize> {
    let mut states = vec![BLANK];
    states.extend(text.iter().flat_map(|class| [*class, BLANK]));
    states
}

/// Whether a state may follow the one before the last: a blank between two characters may be left
/// out unless they are the same.
fn may_skip(states: &[usize], state: usize) -> bool {
    state % 2 == 1 && state >= 3 && states[state] != states[state - 2]
}

#[cfg(test)]
mod tests {
    use super::*;

    const A: usize = 1;
    const B: usize = 2;

    fn line() -> Probabilities {
        Probabilities::new(3, vec![0.6, 0.3, 0.1, 0.2, 0.5, 0.3, 0.5, 0.25, 0.25])
    }

    fn near(a: f64, b: f64) -> bool {
        (a - b).abs() < 1e-12
    }

    #[test]
    fn a_text_is_as_likely_as_all_its_alignments() {
        // Worked out by hand: of "a" there are six alignments, of "aa" one.
        assert!(near(line().of_text(&[A]), 0.3975));
        assert!(near(line().of_text(&[A, A]), 0.015));
        assert!(near(line().of_text(&[A, B]), 0.195));
        assert!(near(line().of_text(&[]), 0.06));
        assert_eq!(line().of_text(&[A, B, A, B]), 0.0);
    }

    #[test]
    fn texts_of_all_lengths_are_likely_by_one_in_all() {
        let texts = |length: u32| {
            (0..2_usize.pow(length)).map(move |number| {
                (0..length).map(|place| 1 + (number >> place) % 2).collect::<Vec<_>>()
            })
        };
        let sum: f64 = (0..=3).flat_map(texts).map(|text| line().of_text(&text)).sum();
        assert!(near(sum, 1.0), "{sum}");
    }

    #[test]
    fn repeats_and_blanks_are_no_characters() {
        assert_eq!(line().best_path(), [A]);
        let twice = line().followed_by(&line());
        assert_eq!(twice.best_path(), [A, A]);
        assert!(near(twice.of_text(&[]), 0.06 * 0.06));
    }

    #[test]
    fn a_character_scores_what_its_best_step_gives() {
        assert_eq!(line().scores(&[A]), [0.5]);
        assert_eq!(line().scores(&[A, B]), [0.5, 0.25]);
        assert_eq!(line().scores(&[]), Vec::<f64>::new());
        assert_eq!(line().scores(&[A, B, A, B]).len(), 4);
        assert_eq!(Probabilities::new(3, Vec::new()).scores(&[A]), [0.0]);
    }
}
