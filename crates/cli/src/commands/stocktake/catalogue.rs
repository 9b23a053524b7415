//! A library's catalogue: which books there are, and on which shelf each belongs.

use crate::error::Error;
use serde::Deserialize;
use std::collections::BTreeSet;
use std::path::Path;

/// A line of the CSV. Empty columns are unknown.
#[derive(Debug, Clone, Default, PartialEq, Eq, Deserialize)]
#[serde(default)]
pub struct Book {
    pub isbn: String,
    pub title: String,
    pub shelf: String,
    /// The subject in the gallery of covers; default: the ISBN, else the title.
    pub cover: String,
}

#[derive(Debug, Default)]
pub struct Catalogue {
    pub books: Vec<Book>,
}

/// Of a title's words so many must be read.
const ENOUGH_WORDS: f64 = 0.6;
/// Shorter words are in every title.
const LETTERS_OF_A_WORD: usize = 3;

impl Catalogue {
    pub fn read(path: &Path) -> Result<Catalogue, Error> {
        let failed = |why: csv::Error| Error::file(path, why);
        let mut reader =
            csv::ReaderBuilder::new().trim(csv::Trim::All).from_path(path).map_err(failed)?;
        let mut books = Vec::new();
        for row in reader.deserialize() {
            let book: Book = row.map_err(failed)?;
            if book.isbn.is_empty() && book.title.is_empty() {
                let line = books.len() + 2;
                return Err(Error::file(path, format!("line {line} has neither isbn nor title")));
            }
            books.push(Book { isbn: digits(&book.isbn), ..book });
        }
        Ok(Catalogue { books })
    }

    pub fn by_isbn(&self, isbn: &str) -> Option<usize> {
        self.books.iter().position(|book| !book.isbn.is_empty() && book.isbn == isbn)
    }

    pub fn by_cover(&self, subject: &str) -> Option<usize> {
        let is_it = |book: &Book| match book.cover.as_str() {
            "" => [&book.isbn, &book.title].contains(&&subject.to_owned()),
            cover => cover == subject,
        };
        self.books.iter().position(is_it)
    }

    /// The book most of whose title's words are in the text, and their share; none if two fit as well.
    pub fn by_title(&self, text: &str) -> Option<(usize, f64)> {
        let read = words(text);
        let share = |book: &Book| {
            let title = words(&book.title);
            let found = title.iter().filter(|word| read.contains(*word)).count();
            if title.is_empty() { 0.0 } else { found as f64 / title.len() as f64 }
        };
        let shares: Vec<f64> = self.books.iter().map(share).collect();
        let best = (0..shares.len()).max_by(|a, b| {
            // Of two whose words are all there the longer title says more.
            let weight = |place: usize| (shares[place], words(&self.books[place].title).len());
            weight(*a).partial_cmp(&weight(*b)).unwrap_or(std::cmp::Ordering::Equal)
        })?;
        let rivals = shares.iter().enumerate().filter(|(place, share)| {
            let length = |place: usize| words(&self.books[place].title).len();
            **share == shares[best] && length(*place) == length(best)
        });
        (shares[best] >= ENOUGH_WORDS && rivals.count() == 1).then_some((best, shares[best]))
    }
}

/// An ISBN as a barcode has it: 13 digits; one of 10 is written anew.
fn digits(isbn: &str) -> String {
    let plain: String = isbn.chars().filter(char::is_ascii_alphanumeric).collect();
    if plain.len() != 10 {
        return plain;
    }
    let body = format!("978{}", &plain[..9]);
    let sum: u32 = body
        .bytes()
        .zip([1, 3].into_iter().cycle())
        .map(|(digit, weight)| u32::from(digit.wrapping_sub(b'0')) * weight)
        .sum();
    format!("{body}{}", (10 - sum % 10) % 10)
}

/// In lower case, each once.
fn words(text: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_alphanumeric())
        .filter(|word| word.chars().count() >= LETTERS_OF_A_WORD)
        .map(str::to_lowercase)
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn catalogue(titles: &[&str]) -> Catalogue {
        let book = |title: &&str| Book { title: (*title).to_owned(), ..Book::default() };
        Catalogue { books: titles.iter().map(book).collect() }
    }

    #[test]
    fn an_old_isbn_is_that_of_the_barcode() {
        assert_eq!(digits("0-14-001399-0"), "9780140013993");
        assert_eq!(digits("978-0-14-001399-3"), "9780140013993");
    }

    #[test]
    fn a_title_is_found_by_most_of_its_words_and_only_if_it_is_the_only_one() {
        let books = catalogue(&["The Rust Programming Language", "Programming Pearls", "Rust"]);
        let found = |text: &str| books.by_title(text).map(|(place, _)| place);
        assert_eq!(found("THE RUST\nPROGRAMMING LANGUAGE Klabnik"), Some(0));
        assert_eq!(found("Rust by example"), Some(2));
        assert_eq!(found("Pearls of Programming"), Some(1));
        assert_eq!(found("cooking"), None);
        assert_eq!(catalogue(&["Emma", "Emma"]).by_title("Emma"), None);
        assert_eq!(catalogue(&[]).by_title("Emma"), None);
    }
}
