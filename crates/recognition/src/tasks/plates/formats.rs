//! What numbers of plates look like: named patterns, and characters that are mistaken for others.

use serde::{Deserialize, Serialize};

/// The name of a number that is of no named format, but looks like one of some country.
pub const GENERAL: &str = "general";
/// Letters and digits of such a number.
const GENERAL_LENGTH: std::ops::RangeInclusive<usize> = 5..=8;
/// Characters of one group look alike: on many plates O and 0 are the same.
const LOOK_ALIKES: [&str; 6] = ["0ODQ", "1I", "2Z", "5S", "6G", "8B"];

/// A named pattern, as the manifest gives it.
#[derive(Deserialize, Serialize, Clone)]
#[serde(deny_unknown_fields)]
pub struct NamedPattern {
    pub name: String,
    /// For each character: `L` a letter, `D` a digit, `A` either, `P` any other of the plates'
    /// characters (a province of China).
    pub pattern: String,
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum FormatKind {
    Letter,
    Digit,
    Either,
    Other,
}

impl FormatKind {
    fn parse(letter: char) -> Option<FormatKind> {
        match letter {
            'L' => Some(FormatKind::Letter),
            'D' => Some(FormatKind::Digit),
            'A' => Some(FormatKind::Either),
            'P' => Some(FormatKind::Other),
            _ => None,
        }
    }

    fn allows(self, character: char) -> bool {
        match self {
            FormatKind::Letter => character.is_ascii_uppercase(),
            FormatKind::Digit => character.is_ascii_digit(),
            FormatKind::Either => character.is_ascii_uppercase() || character.is_ascii_digit(),
            FormatKind::Other => !FormatKind::Either.allows(character),
        }
    }
}

/// How surely a text is a plate's number.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Likeness {
    Named,
    General,
    None,
}

/// The formats of a manifest, in its order.
pub struct Formats {
    named: Vec<(String, Vec<FormatKind>)>,
}

impl Formats {
    /// None if a pattern is empty or has another letter than the four.
    pub fn new(patterns: &[NamedPattern]) -> Option<Formats> {
        let kinds =
            |pattern: &str| pattern.chars().map(FormatKind::parse).collect::<Option<Vec<_>>>();
        let named = patterns.iter().map(|NamedPattern { name, pattern }| {
            let kinds = kinds(pattern).filter(|kinds| !kinds.is_empty())?;
            Some((name.clone(), kinds))
        });
        Some(Formats { named: named.collect::<Option<_>>()? })
    }

    /// The first format that a text is of.
    pub fn name_of(&self, text: &[char]) -> Option<&str> {
        let is_of = |kinds: &[FormatKind]| {
            kinds.len() == text.len() && kinds.iter().zip(text).all(|(kind, c)| kind.allows(*c))
        };
        if let Some((name, _)) = self.named.iter().find(|(_, kinds)| is_of(kinds)) {
            return Some(name);
        }
        let is_general = GENERAL_LENGTH.contains(&text.len())
            && text.iter().all(|c| FormatKind::Either.allows(*c))
            && text.iter().any(char::is_ascii_digit);
        is_general.then_some(GENERAL)
    }

    pub fn likeness(&self, text: &[char]) -> Likeness {
        match self.name_of(text) {
            Some(GENERAL) => Likeness::General,
            Some(_) => Likeness::Named,
            None => Likeness::None,
        }
    }

    /// The texts of a named format that differ from this one, which is not of that format, in at most
    /// `most` characters that look alike.
    pub fn fitted(&self, text: &[char], most: usize) -> Vec<Vec<char>> {
        let mut fitted: Vec<Vec<char>> = Vec::new();
        for (_, kinds) in &self.named {
            let misfits = kinds.iter().zip(text).filter(|(kind, c)| !kind.allows(**c)).count();
            if kinds.len() != text.len() || !(1..=most).contains(&misfits) {
                continue;
            }
            let mut variants = vec![Vec::new()];
            for (kind, character) in kinds.iter().zip(text) {
                let fitting: Vec<char> = match kind.allows(*character) {
                    true => vec![*character],
                    false => look_alikes(*character).filter(|c| kind.allows(*c)).collect(),
                };
                let longer = |variant: Vec<char>| {
                    fitting.iter().map(move |c| [variant.as_slice(), &[*c]].concat())
                };
                variants = variants.into_iter().flat_map(longer).collect();
            }
            for variant in variants {
                if !fitted.contains(&variant) {
                    fitted.push(variant);
                }
            }
        }
        fitted
    }
}

/// The characters of its group, itself among them.
fn look_alikes(character: char) -> impl Iterator<Item = char> {
    let group = LOOK_ALIKES.into_iter().find(move |group| group.contains(character));
    group.unwrap_or_default().chars()
}

/// Each character replaced by the first that looks like it: equal for texts that differ in nothing
/// else.
pub fn shape(text: &[char]) -> Vec<char> {
    text.iter().map(|c| look_alikes(*c).next().unwrap_or(*c)).collect()
}

#[cfg(test)]
pub mod tests {
    use super::*;

    pub fn chars(text: &str) -> Vec<char> {
        text.chars().collect()
    }

    pub fn formats() -> Formats {
        let patterns = [
            ("cn-blue", "PLAAAAA"),
            ("br", "LLLDDDD"),
            ("fr-it-sk", "LLDDDLL"),
            ("us-mo", "LLDLDL"),
            ("us-l3d3", "LLLDDD"),
        ];
        let named = patterns
            .map(|(name, pattern)| NamedPattern { name: name.into(), pattern: pattern.into() });
        Formats::new(&named).expect("patterns")
    }

    #[test]
    fn the_first_pattern_that_fits_names_the_format() {
        for (text, name) in [
            ("藏DT5022", Some("cn-blue")),
            ("ABC1234", Some("br")),
            ("RK828AG", Some("fr-it-sk")),
            ("12345", Some(GENERAL)),
            ("ABCDE", None),
            ("A123", None),
            ("123456789", None),
            ("藏12345", None),
            ("", None),
        ] {
            assert_eq!(formats().name_of(&chars(text)), name, "{text}");
        }
    }

    #[test]
    fn look_alikes_make_a_text_fit() {
        let fitted = |text, most| -> Vec<String> {
            let fitted = formats().fitted(&chars(text), most);
            fitted.into_iter().map(String::from_iter).collect()
        };
        assert_eq!(fitted("N0626AT", 1), ["NO626AT", "ND626AT", "NQ626AT"]);
        assert_eq!(fitted("A8C123", 1), ["ABC123"]);
        assert_eq!(fitted("A8C12B", 1), Vec::<String>::new());
        assert_eq!(fitted("A8C12B", 2), ["ABC128"]);
        // It fits already, and has no place that could be mended.
        assert_eq!(fitted("ABC123", 2), Vec::<String>::new());
        assert_eq!(fitted("AXC1234", 1), Vec::<String>::new());
        assert_eq!(fitted("A4C1234", 1), Vec::<String>::new());
    }

    #[test]
    fn texts_that_look_alike_have_one_shape() {
        assert_eq!(shape(&chars("OD1Z8")), shape(&chars("QOI2B")));
        assert_ne!(shape(&chars("A1")), shape(&chars("A7")));
    }

    #[test]
    fn patterns_of_other_letters_are_refused() {
        for pattern in ["", "LLX", "ll"] {
            let named = [NamedPattern { name: "x".into(), pattern: pattern.into() }];
            assert!(Formats::new(&named).is_none(), "{pattern}");
        }
    }
}
