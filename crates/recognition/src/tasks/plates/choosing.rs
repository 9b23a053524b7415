//! From several looks at one plate to what it says.
//!
//! What any look reads is a candidate, and so is what fits a format by exchanging characters that
//! look alike. Each is judged by its probability in every look, so a look that is merely unsure
//! counts as such. Formats choose in two steps: mildly between different readings, firmly between
//! those that differ in look-alikes only. (One firm step makes plates of formats that are not in the
//! manifest much worse.)

use super::alphabet::Alphabet;
use super::formats::{Formats, Likeness, shape};
use crate::ctc::Probabilities;

/// Characters of a plate.
pub const LENGTHS: std::ops::RangeInclusive<usize> = 4..=9;
/// Of readings of at least that many characters the first may be a coat of arms or a blue band.
const LONG: usize = 6;
/// A text must have that probability in one look at least: no format makes up what was not seen.
const FLOOR: f64 = 0.1;
/// What a reading of no named format counts among those of one shape.
const UNNAMED: f64 = 0.03;
/// Look-alikes exchanged to fit a format.
pub const MOST_EXCHANGED: usize = 2;

/// The characters and the formats that readings are judged by.
pub struct Judge {
    pub alphabet: Alphabet,
    pub formats: Formats,
}

/// The best text of several looks.
#[derive(Debug)]
pub struct Choice {
    pub text: Vec<char>,
    /// Its mean probability over the looks.
    pub mean: f64,
    /// The same summed up over the candidates of its shape.
    pub evidence: f64,
    /// Looks whose own reading it is.
    pub votes: usize,
    /// The look in which it is the likeliest.
    pub clearest: usize,
}

/// A candidate.
struct Rated {
    text: Vec<char>,
    probabilities: Vec<f64>,
    mean: f64,
    likeness: Likeness,
}

impl Judge {
    /// What a reading counts before it is looked at.
    pub fn prior(&self, text: &[char]) -> f64 {
        match self.formats.likeness(text) {
            Likeness::Named => 1.0,
            Likeness::General => 0.5,
            Likeness::None => 0.1,
        }
    }

    pub fn choose(&self, looks: &[Probabilities]) -> Option<Choice> {
        let read: Vec<Vec<char>> = looks.iter().map(|look| self.alphabet.read(look)).collect();
        let pool = self.pool(&read);
        let rated: Vec<Rated> =
            pool.into_iter().filter_map(|text| self.rate(text, looks)).collect();
        let weight = |one: &&Rated| one.mean * self.prior(&one.text);
        let wanted = shape(&first_best(rated.iter(), weight)?.text);
        let of_shape = || rated.iter().filter(|one| shape(&one.text) == wanted);
        let weight = |one: &&Rated| match one.likeness {
            Likeness::Named => one.mean,
            Likeness::General | Likeness::None => one.mean * UNNAMED,
        };
        let best = first_best(of_shape(), weight)?;
        let looks = best.probabilities.iter().enumerate();
        Some(Choice {
            text: best.text.clone(),
            mean: best.mean,
            evidence: of_shape().map(|one| one.mean).sum(),
            votes: read.iter().filter(|text| **text == best.text).count(),
            clearest: first_best(looks, |(_, probability)| **probability)?.0,
        })
    }

    /// The candidates, each once: as read, without the first character, fitted to formats.
    fn pool(&self, read: &[Vec<char>]) -> Vec<Vec<char>> {
        let mut pool: Vec<Vec<char>> = Vec::new();
        let add = |pool: &mut Vec<Vec<char>>, text: Vec<char>| {
            if !pool.contains(&text) {
                pool.push(text);
            }
        };
        for text in read.iter().filter(|text| LENGTHS.contains(&text.len())) {
            add(&mut pool, text.clone());
        }
        for text in pool.clone().into_iter().filter(|text| text.len() >= LONG) {
            add(&mut pool, text[1..].to_vec());
        }
        for text in pool.clone() {
            for fitted in self.formats.fitted(&text, MOST_EXCHANGED) {
                add(&mut pool, fitted);
            }
        }
        pool
    }

    fn rate(&self, text: Vec<char>, looks: &[Probabilities]) -> Option<Rated> {
        let probabilities: Vec<f64> =
            looks.iter().map(|look| self.alphabet.probability(look, &text)).collect();
        if !probabilities.iter().any(|probability| *probability >= FLOOR) {
            return None;
        }
        let mean = probabilities.iter().sum::<f64>() / probabilities.len() as f64;
        let likeness = self.formats.likeness(&text);
        Some(Rated { text, probabilities, mean, likeness })
    }

    /// Whether a text is of a named format or nearly so.
    pub fn is_named_or_near(&self, text: &[char]) -> bool {
        self.formats.likeness(text) == Likeness::Named
            || !self.formats.fitted(text, MOST_EXCHANGED).is_empty()
    }

    /// What a text of no named format says if one of its characters was mistaken for another: the
    /// likeliest that is of one.
    pub fn corrected(&self, text: &[char], looks: &[Probabilities]) -> Option<Vec<char>> {
        if self.formats.likeness(text) == Likeness::Named {
            return None;
        }
        let fitted = self.formats.fitted(text, 1);
        let sum = |text: &Vec<char>| -> f64 {
            looks.iter().map(|look| self.alphabet.probability(look, text)).sum()
        };
        first_best(fitted.into_iter(), sum)
    }
}

/// The first of those of the greatest weight.
pub fn first_best<Item>(
    items: impl Iterator<Item = Item>,
    weight: impl Fn(&Item) -> f64,
) -> Option<Item> {
    let mut best: Option<(f64, Item)> = None;
    for item in items {
        let weight = weight(&item);
        if best.as_ref().is_none_or(|(greatest, _)| weight > *greatest) {
            best = Some((weight, item));
        }
    }
    best.map(|(_, item)| item)
}

#[cfg(test)]
pub mod tests {
    use super::super::formats::tests::{chars, formats};
    use super::*;

    const CHARACTERS: &str = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ藏";

    pub fn judge() -> Judge {
        let known: Vec<String> = CHARACTERS.chars().map(String::from).collect();
        let alphabet = Alphabet::new(CHARACTERS, "", &known).expect("known");
        Judge { alphabet, formats: formats() }
    }

    /// A character, its probability, and maybe its rival.
    type Step = (char, f64, Option<(char, f64)>);

    /// A look at a text.
    fn look(text: &[Step]) -> Probabilities {
        let classes = CHARACTERS.chars().count() + 1;
        let class = |character: char| 1 + CHARACTERS.chars().position(|c| c == character).unwrap();
        let mut values = Vec::new();
        for (character, probability, rival) in text {
            let mut step = vec![0.0; classes];
            step[class(*character)] = *probability;
            if let Some((rival, probability)) = rival {
                step[class(*rival)] = *probability;
            }
            values.extend(step);
            values.push(1.0);
            values.extend(vec![0.0; classes - 1]);
        }
        Probabilities::new(classes, values)
    }

    fn plain(text: &str, probability: f64) -> Probabilities {
        look(&text.chars().map(|c| (c, probability, None)).collect::<Vec<_>>())
    }

    fn chosen(looks: &[Probabilities]) -> Option<String> {
        judge().choose(looks).map(|choice| String::from_iter(choice.text))
    }

    #[test]
    fn the_text_that_all_looks_hold_likeliest_is_chosen() {
        let unsure = look(&[
            ('A', 1.0, None),
            ('B', 1.0, None),
            ('C', 1.0, None),
            ('1', 1.0, None),
            ('2', 1.0, None),
            ('3', 0.55, Some(('9', 0.45))),
        ]);
        assert_eq!(chosen(std::slice::from_ref(&unsure)).as_deref(), Some("ABC123"));
        assert_eq!(chosen(&[unsure, plain("ABC129", 0.99)]).as_deref(), Some("ABC129"));
        assert_eq!(chosen(&[plain("ABC", 1.0)]), None);
        assert_eq!(chosen(&[]), None);
    }

    #[test]
    fn a_format_decides_between_look_alikes_that_were_seen() {
        let with_rival = |rival: f64| {
            let mut text: Vec<_> = "N0626AT".chars().map(|c| (c, 1.0, None)).collect();
            text[1] = ('0', 1.0 - rival, Some(('O', rival)));
            look(&text)
        };
        assert_eq!(chosen(&[with_rival(0.2)]).as_deref(), Some("NO626AT"));
        // The network saw no O: the text stays, and what the format says is told beside it.
        let look = with_rival(0.05);
        assert_eq!(chosen(std::slice::from_ref(&look)).as_deref(), Some("N0626AT"));
        let corrected = judge().corrected(&chars("N0626AT"), &[look]);
        assert_eq!(corrected.map(String::from_iter).as_deref(), Some("NO626AT"));
        assert_eq!(judge().corrected(&chars("NO626AT"), &[]), None);
    }

    #[test]
    fn two_looks_that_agree_are_two_votes() {
        let choice = judge().choose(&[plain("ABC123", 0.97), plain("ABC123", 0.99)]).unwrap();
        assert_eq!((choice.votes, choice.clearest), (2, 1));
        assert!(choice.mean > 0.85 && choice.evidence >= choice.mean, "{choice:?}");
    }

    #[test]
    fn a_coat_of_arms_read_as_a_letter_is_left_out() {
        let mut text: Vec<_> = "XRK828AG".chars().map(|c| (c, 1.0, None)).collect();
        text[0].1 = 0.5;
        let arms = look(&text);
        assert_eq!(chosen(&[arms, plain("RK828AG", 0.9)]).as_deref(), Some("RK828AG"));
    }
}
