//! The characters of plates among all that the reader knows.

use crate::ctc::{BLANK, Probabilities};
use crate::reading::Steps;

/// Which classes of the reader are kept: the others are dropped, so what it gave them lowers the
/// probability of every text.
pub struct Alphabet {
    characters: Vec<char>,
    /// The reader's class of each character.
    classes: Vec<usize>,
    /// The reader's classes of dots and dashes between groups of characters, which mean nothing.
    separators: Vec<usize>,
    separator_characters: Vec<char>,
}

impl Alphabet {
    /// `known` are the characters of the reader's classes 1, 2, …; the next class is the space.
    ///
    /// # Errors
    /// The character that the reader does not know.
    pub fn new(characters: &str, separators: &str, known: &[String]) -> Result<Alphabet, char> {
        let class = |character: char| {
            let mut buffer = [0; 4];
            let text: &str = character.encode_utf8(&mut buffer);
            match known.iter().position(|one| one == text) {
                Some(index) => Ok(index + 1),
                None if character == ' ' => Ok(known.len() + 1),
                None => Err(character),
            }
        };
        Ok(Alphabet {
            characters: characters.chars().collect(),
            classes: characters.chars().map(class).collect::<Result<_, _>>()?,
            separators: separators.chars().map(class).collect::<Result<_, _>>()?,
            separator_characters: separators.chars().collect(),
        })
    }

    /// The kept probabilities: blank and separators together, then those of the characters.
    pub fn kept(&self, steps: &Steps) -> Probabilities {
        let mut values = Vec::new();
        for step in steps.iter() {
            let of = |class: &usize| step.get(*class).copied().map_or(0.0, f64::from);
            let nothing: f64 = self.separators.iter().map(of).sum();
            values.push(of(&BLANK) + nothing);
            values.extend(self.classes.iter().map(of));
        }
        Probabilities::new(self.characters.len() + 1, values)
    }

    /// The likeliest characters, step by step.
    pub fn read(&self, look: &Probabilities) -> Vec<char> {
        look.best_path().into_iter().map(|class| self.characters[class - 1]).collect()
    }

    pub fn probability(&self, look: &Probabilities, text: &[char]) -> f64 {
        self.classes_of(text).map_or(0.0, |classes| look.of_text(&classes))
    }

    /// The score of each character.
    pub fn scores(&self, look: &Probabilities, text: &[char]) -> Vec<f64> {
        self.classes_of(text).map_or(vec![0.0; text.len()], |classes| look.scores(&classes))
    }

    /// A text without separators.
    pub fn without_separators(&self, text: &str) -> Vec<char> {
        text.chars().filter(|c| !self.separator_characters.contains(c)).collect()
    }

    /// None if a character is not of the alphabet.
    fn classes_of(&self, text: &[char]) -> Option<Vec<usize>> {
        let class = |c: &char| Some(1 + self.characters.iter().position(|one| one == c)?);
        text.iter().map(class).collect()
    }
}
