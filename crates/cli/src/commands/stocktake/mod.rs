//! `redis-image stocktake DIR`: which books are on which shelf, from photos.
//!
//! Each photo is asked three things, until one of them says which book it is: its barcode, the text on it, the cover most
//! like it. All three answers are stored, so a second round costs look-ups only.

mod catalogue;

use crate::commands::table::Table;
use crate::connect::{self, Connection};
use crate::digest;
use crate::error::{Error, printable};
use crate::files::Files;
use crate::gallery::{Gallery, Wishes};
use crate::output::print;
use crate::recognizer::{self, Recognizer};
use crate::stop::{INTERRUPTED, Stop};
use catalogue::{Book, Catalogue};
use clap::{Args, ValueEnum};
use futures_util::StreamExt;
use serde::Serialize;
use serde_json::Value as Json;
use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Take stock of books from photos: ISBN, else title, else cover; missing and misplaced ones against a catalogue
#[derive(Args)]
#[command(after_long_help = "\
DIR holds a folder for each shelf, named like it, with a photo of each book (back with the barcode, spine or cover).
CATALOGUE.csv has a header line with any of the columns isbn, title, shelf, cover (the subject in the gallery of covers;
default: the ISBN, else the title). The covers are enrolled before with
`redis-image gallery enrol COVERS DIR --model embed --turned`.

Example:
  redis-image stocktake photos/ --catalogue books.csv --covers covers

The models are `barcodes`, `text` and that of the covers: --model counts for nothing here. An ACL user needs what
`recognize` needs, and +image.identify +image.gallery on the covers.

Exit status: 0 stock taken, 1 some photos could not be recognised, 2 could not work at all.")]
pub struct Arguments {
    /// The folder of shelves
    #[arg(value_name = "DIR")]
    folder: PathBuf,

    /// Which books there should be, and where
    #[arg(long, value_name = "CATALOGUE.csv")]
    catalogue: Option<PathBuf>,

    /// The gallery of covers
    #[arg(long, value_name = "GALLERY")]
    covers: Option<String>,

    #[arg(long, value_enum, default_value_t = StocktakeOutput::Table)]
    output: StocktakeOutput,

    #[command(flatten)]
    wishes: Wishes,

    #[command(flatten)]
    recognition: recognizer::RecognizeOptions,

    #[command(flatten)]
    connection: connect::Options,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
enum StocktakeOutput {
    Table,
    Json,
}

/// What told which book it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum By {
    Isbn,
    Title,
    Cover,
    Nothing,
}

#[derive(Debug, Serialize)]
struct BookLine {
    photo: String,
    shelf: String,
    by: By,
    /// The ISBN, the title, the cover's subject, or what was read.
    found: String,
    /// Its place in the catalogue.
    #[serde(skip)]
    book: Option<usize>,
    #[serde(skip_serializing_if = "Option::is_none")]
    error: Option<String>,
}

#[derive(Serialize)]
struct Stock {
    photos: Vec<BookLine>,
    missing: Vec<String>,
    misplaced: Vec<Misplaced>,
    /// Found, but not in the catalogue.
    unknown: Vec<String>,
}

#[derive(Serialize, PartialEq, Eq, Debug)]
struct Misplaced {
    book: String,
    found_on: String,
    belongs_on: String,
}

pub async fn run(arguments: Arguments) -> Result<ExitCode, Error> {
    let stop = Stop::listen();
    let catalogue = match &arguments.catalogue {
        Some(path) => Catalogue::read(path)?,
        None => Catalogue::default(),
    };
    let files = Files::find(std::slice::from_ref(&arguments.folder), None);
    if files.paths.is_empty() {
        return Err(Error::file(&arguments.folder, "no photos there"));
    }
    let connection = Connection::open(&arguments.connection).await?;
    let concurrency = usize::from(arguments.recognition.concurrency);
    let covers = match &arguments.covers {
        Some(key) => {
            let gallery = Gallery::new(&connection, key);
            Some((gallery.about().await?.model, gallery))
        }
        None => None,
    };
    let recognizer = Recognizer::new(connection, arguments.recognition, false);
    recognizer.check().await?;
    let asking = &Asking { recognizer, covers, wishes: arguments.wishes, catalogue: &catalogue };
    let mut lines = futures_util::stream::iter(&files.paths)
        .take_until(Box::pin(stop.wait()))
        .map(|photo| async move { asking.line(photo).await })
        .buffered(concurrency)
        .collect::<Vec<BookLine>>()
        .await;
    lines.extend(files.failures.into_iter().map(|(photo, error)| failed(photo, &error)));
    let some_failed = lines.iter().any(|line| line.error.is_some());
    let stock = compare(lines, &catalogue);
    match arguments.output {
        StocktakeOutput::Json => {
            let text = serde_json::to_string(&stock);
            print(&text.map_err(|why| Error::usage(why.to_string()))?)?;
        }
        StocktakeOutput::Table => show(&stock, arguments.catalogue.is_some())?,
    }
    Ok(ExitCode::from(match () {
        () if stop.is_requested() => INTERRUPTED,
        () if some_failed => 1,
        () => 0,
    }))
}

/// What it takes to ask for one photo.
struct Asking<'a> {
    recognizer: Recognizer,
    /// The gallery and its model.
    covers: Option<(String, Gallery)>,
    wishes: Wishes,
    catalogue: &'a Catalogue,
}

impl Asking<'_> {
    async fn line(&self, photo: &Path) -> BookLine {
        match self.ask(photo).await {
            Ok((by, found, book)) => {
                let (photo, shelf) = (photo.display().to_string(), shelf_of(photo));
                BookLine { photo, shelf, by, found, book, error: None }
            }
            Err(error) => failed(photo.display().to_string(), &error),
        }
    }

    async fn ask(&self, photo: &Path) -> Result<(By, String, Option<usize>), Error> {
        let payload = digest::read(photo)?;
        let recognize = |model: &'static str| self.result(&payload, model);
        let codes = recognize("barcodes").await?;
        if let Some(isbn) = isbn_of(&codes) {
            let book = self.catalogue.by_isbn(&isbn);
            return Ok((By::Isbn, isbn, book));
        }
        let text = text_of(&recognize("text").await?);
        if let Some((place, _)) = self.catalogue.by_title(&text) {
            let title = self.catalogue.books[place].title.clone();
            return Ok((By::Title, title, Some(place)));
        }
        if let Some((model, gallery)) = &self.covers {
            let result = self.recognizer.recognize(&payload, None, Some(model)).await?.result;
            let answer = gallery.identify(&result, &self.wishes).await?;
            if let Some(subject) = answer["faces"][0]["subject"].as_str() {
                let book = self.catalogue.by_cover(subject);
                return Ok((By::Cover, subject.to_owned(), book));
            }
        }
        let by = if text.is_empty() { By::Nothing } else { By::Title };
        Ok((by, text, None))
    }

    async fn result(&self, payload: &[u8], model: &str) -> Result<Json, Error> {
        let recognized = self.recognizer.recognize(payload, None, Some(model)).await?;
        serde_json::from_str(&recognized.result).map_err(|why| Error::usage(why.to_string()))
    }
}

fn failed(photo: String, error: &Error) -> BookLine {
    let shelf = shelf_of(Path::new(&photo));
    let error = Some(error.to_string());
    BookLine { photo, shelf, by: By::Nothing, found: String::new(), book: None, error }
}

/// The folder that the photo lies in.
fn shelf_of(photo: &Path) -> String {
    let folder = photo.parent().and_then(Path::file_name).unwrap_or_default();
    folder.to_string_lossy().into_owned()
}

fn isbn_of(result: &Json) -> Option<String> {
    let codes = result["barcodes"].as_array()?;
    codes.iter().find_map(|code| code["isbn"].as_str()).map(str::to_owned)
}

/// All lines, as the title may be over several.
fn text_of(result: &Json) -> String {
    let lines = result["lines"].as_array().map(Vec::as_slice).unwrap_or_default();
    let texts: Vec<&str> = lines.iter().filter_map(|line| line["text"].as_str()).collect();
    texts.join(" ")
}

fn compare(photos: Vec<BookLine>, catalogue: &Catalogue) -> Stock {
    let mut seen: BTreeMap<usize, Vec<&str>> = BTreeMap::new();
    for line in &photos {
        if let Some(book) = line.book {
            seen.entry(book).or_default().push(&line.shelf);
        }
    }
    let mut stock = Stock {
        missing: Vec::new(),
        misplaced: Vec::new(),
        unknown: photos
            .iter()
            .filter(|line| line.book.is_none() && line.by != By::Nothing)
            .map(|line| line.found.clone())
            .collect(),
        photos: Vec::new(),
    };
    for (place, book) in catalogue.books.iter().enumerate() {
        match seen.get(&place) {
            None => stock.missing.push(name_of(book)),
            Some(shelves) if !book.shelf.is_empty() && !shelves.contains(&book.shelf.as_str()) => {
                stock.misplaced.push(Misplaced {
                    book: name_of(book),
                    found_on: shelves.join(", "),
                    belongs_on: book.shelf.clone(),
                });
            }
            Some(_) => (),
        }
    }
    stock.photos = photos;
    stock
}

fn name_of(book: &Book) -> String {
    match (book.isbn.as_str(), book.title.as_str()) {
        ("", title) => title.to_owned(),
        (isbn, "") => isbn.to_owned(),
        (isbn, title) => format!("{title} ({isbn})"),
    }
}

fn show(stock: &Stock, has_catalogue: bool) -> Result<(), Error> {
    const LONGEST: usize = 60;
    let mut table = Table::new(["PHOTO", "SHELF", "BY", "FOUND"]);
    for line in &stock.photos {
        let by = match line.by {
            By::Isbn => "isbn",
            By::Title => "title",
            By::Cover => "cover",
            By::Nothing => "-",
        };
        let found = match &line.error {
            Some(error) => format!("failed: {error}"),
            None => line.found.chars().take(LONGEST).collect(),
        };
        let [photo, shelf, found] = [&line.photo, &line.shelf, &found].map(|text| printable(text));
        table.add([photo, shelf, by.to_owned(), found]);
    }
    print(table.to_string().trim_end())?;
    if !has_catalogue {
        return Ok(());
    }
    let failed = stock.photos.iter().filter(|line| line.error.is_some()).count();
    if failed > 0 {
        print(&format!("{failed} photos could not be recognised: what is missing is not certain"))?;
    }
    let misplaced: Vec<String> = stock
        .misplaced
        .iter()
        .map(|one| format!("{}: on {}, belongs on {}", one.book, one.found_on, one.belongs_on))
        .collect();
    for (head, books) in [
        ("missing", &stock.missing),
        ("misplaced", &misplaced),
        ("not in the catalogue", &stock.unknown),
    ] {
        print(&format!("{head}: {}", books.len()))?;
        for book in books {
            print(&format!("  {}", printable(book)))?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(shelf: &str, book: Option<usize>) -> BookLine {
        let (photo, found) = (format!("{shelf}/x.jpg"), "read".to_owned());
        BookLine { photo, shelf: shelf.to_owned(), by: By::Isbn, found, book, error: None }
    }

    #[test]
    fn a_book_is_there_missing_or_on_the_wrong_shelf() {
        let book = |isbn: &str, shelf: &str| Book {
            isbn: isbn.to_owned(),
            shelf: shelf.to_owned(),
            ..Book::default()
        };
        let catalogue = Catalogue {
            books: vec![book("1", "a"), book("2", "a"), book("3", "b"), book("4", "")],
        };
        let photos =
            vec![line("a", Some(0)), line("b", Some(1)), line("a", Some(3)), line("a", None)];
        let stock = compare(photos, &catalogue);
        assert_eq!(stock.missing, ["3"]);
        let wrong = |book: &str| Misplaced {
            book: book.to_owned(),
            found_on: "b".to_owned(),
            belongs_on: "a".to_owned(),
        };
        assert_eq!(stock.misplaced, [wrong("2")]);
        assert_eq!(stock.unknown, ["read"]);
    }
}
