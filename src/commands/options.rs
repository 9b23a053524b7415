//! The options behind a command's positional arguments: in any order, of either case, each at most
//! once. First they are read, then each is given its meaning.

use std::time::Duration;

use gallery::{MAX_DIMENSIONS, SampleId, Space};
use redis_module::RedisString;

use crate::digest::Digest;
use crate::error::{Error, ErrorCode, quoted};
use crate::settings::{MAX_TTL, MAX_WAIT};

/// The longest list that `TOP` may ask for.
const MAX_TOP: i64 = 100_000;

/// The most subjects of a page.
const MAX_COUNT: i64 = 10_000;

/// What a command can be told.
#[derive(Debug, Default, PartialEq)]
pub struct Options {
    pub model: Option<String>,
    pub top: Option<usize>,
    pub ttl: Option<Duration>,
    pub refresh: bool,
    /// Milliseconds.
    pub timeout: Option<i64>,
    pub nowait: bool,
    pub with_meta: bool,
    pub sha256: Option<Digest>,
    /// Milliseconds.
    pub wait: Option<i64>,
    pub largest: bool,
    pub force: bool,
    pub space: Option<Space>,
    pub sample: Option<SampleId>,
    pub threshold: Option<f64>,
    pub count: Option<usize>,
    pub dimensions: Option<usize>,
    pub next: Option<u64>,
    pub with_vectors: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    Model,
    Top,
    Ex,
    Px,
    Refresh,
    Timeout,
    NoWait,
    WithMeta,
    Sha256,
    Wait,
    Largest,
    Force,
    Space,
    Sample,
    Threshold,
    Count,
    Dimensions,
    Next,
    WithVectors,
}

impl Name {
    fn word(self) -> &'static str {
        match self {
            Name::Model => "MODEL",
            Name::Top => "TOP",
            Name::Ex => "EX",
            Name::Px => "PX",
            Name::Refresh => "REFRESH",
            Name::Timeout => "TIMEOUT",
            Name::NoWait => "NOWAIT",
            Name::WithMeta => "WITHMETA",
            Name::Sha256 => "SHA256",
            Name::Wait => "WAIT",
            Name::Largest => "LARGEST",
            Name::Force => "FORCE",
            Name::Space => "SPACE",
            Name::Sample => "SAMPLE",
            Name::Threshold => "THRESHOLD",
            Name::Count => "COUNT",
            Name::Dimensions => "DIMENSIONS",
            Name::Next => "NEXT",
            Name::WithVectors => "WITHVECTORS",
        }
    }
}

impl Options {
    /// Reads the options that the command knows.
    pub fn parse(arguments: &[RedisString], known: &[Name]) -> Result<Options, Error> {
        let arguments: Vec<&[u8]> = arguments.iter().map(RedisString::as_slice).collect();
        Options::parse_slices(&arguments, known)
    }

    fn parse_slices(arguments: &[&[u8]], known: &[Name]) -> Result<Options, Error> {
        let mut options = Options::default();
        let mut seen: Vec<Name> = Vec::new();
        let mut rest = arguments.iter().copied();
        while let Some(word) = rest.next() {
            let found = known.iter().find(|name| word.eq_ignore_ascii_case(name.word().as_bytes()));
            let Some(&name) = found else {
                return Err(syntax(format!("unknown option {}", quoted(word))));
            };
            let clash = |other: &&Name| match name {
                Name::Ex | Name::Px => matches!(other, Name::Ex | Name::Px),
                _ => **other == name,
            };
            if let Some(earlier) = seen.iter().find(clash) {
                let (earlier, later) = (earlier.word(), name.word());
                return Err(syntax(if earlier == later {
                    format!("option {later} is given twice")
                } else {
                    format!("options {earlier} and {later} exclude each other")
                }));
            }
            seen.push(name);
            options.take(name, &mut rest)?;
        }
        Ok(options)
    }

    fn take<'a>(
        &mut self,
        name: Name,
        rest: &mut impl Iterator<Item = &'a [u8]>,
    ) -> Result<(), Error> {
        let mut value =
            || rest.next().ok_or_else(|| syntax(format!("option {} lacks its value", name.word())));
        match name {
            Name::Refresh => self.refresh = true,
            Name::NoWait => self.nowait = true,
            Name::WithMeta => self.with_meta = true,
            Name::WithVectors => self.with_vectors = true,
            Name::Model => self.model = Some(String::from_utf8_lossy(value()?).into_owned()),
            Name::Top => self.top = Some(number(name, value()?, MAX_TOP)? as usize),
            Name::Ex => {
                let seconds = number(name, value()?, MAX_TTL)?;
                self.ttl = Some(Duration::from_secs(seconds as u64));
            }
            Name::Px => {
                let milliseconds = number(name, value()?, MAX_TTL * 1000)?;
                self.ttl = Some(Duration::from_millis(milliseconds as u64));
            }
            Name::Timeout => self.timeout = Some(number(name, value()?, MAX_WAIT)?),
            Name::Wait => self.wait = Some(number(name, value()?, MAX_WAIT)?),
            Name::Largest => self.largest = true,
            Name::Force => self.force = true,
            Name::Space => {
                let text = value()?;
                let space = std::str::from_utf8(text).ok().and_then(|text| text.parse().ok());
                self.space = Some(space.ok_or_else(|| {
                    syntax(format!("SPACE must be 8 lower-case hex digits, not {}", quoted(text)))
                })?);
            }
            Name::Sample => self.sample = Some(sample_id(value()?)?),
            Name::Threshold => self.threshold = Some(similarity(name, value()?)?),
            Name::Count => self.count = Some(number(name, value()?, MAX_COUNT)? as usize),
            Name::Dimensions => {
                self.dimensions = Some(number(name, value()?, MAX_DIMENSIONS as i64)? as usize);
            }
            Name::Next => {
                self.next = Some(number(name, value()?, SampleId::MAX.0 as i64 + 1)? as u64);
            }
            Name::Sha256 => {
                let text = value()?;
                let digest = Digest::parse(text).ok_or_else(|| {
                    syntax(format!("SHA256 must be 64 hex digits, not {}", quoted(text)))
                })?;
                self.sha256 = Some(digest);
            }
        }
        Ok(())
    }
}

fn number(name: Name, text: &[u8], max: i64) -> Result<i64, Error> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|number| (1..=max).contains(number))
        .ok_or_else(|| {
            let name = name.word();
            syntax(format!("{name} must be a number from 1 to {max}, not {}", quoted(text)))
        })
}

/// A time that a client is ready to wait; 0 = not at all.
pub fn milliseconds(text: &[u8]) -> Result<i64, Error> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|number| (0..=MAX_WAIT).contains(number))
        .ok_or_else(|| {
            let text = quoted(text);
            syntax(format!("the timeout must be milliseconds from 0 to {MAX_WAIT}, not {text}"))
        })
}

/// The id of a sample, as a command is told.
pub fn sample_id(text: &[u8]) -> Result<SampleId, Error> {
    Ok(SampleId(number(Name::Sample, text, SampleId::MAX.0 as i64)? as u64))
}

/// Where a page begins, as the page before said.
pub fn cursor(text: &[u8]) -> Result<u64, Error> {
    std::str::from_utf8(text).ok().and_then(|text| text.parse().ok()).ok_or_else(|| {
        syntax(format!("the cursor must be 0 or what the last page gave, not {}", quoted(text)))
    })
}

fn similarity(name: Name, text: &[u8]) -> Result<f64, Error> {
    std::str::from_utf8(text)
        .ok()
        .and_then(|text| text.parse().ok())
        .filter(|number| (-1.0..=1.0).contains(number))
        .ok_or_else(|| {
            let name = name.word();
            syntax(format!("{name} must be a number from -1 to 1, not {}", quoted(text)))
        })
}

fn syntax(sentence: String) -> Error {
    Error::new(ErrorCode::Err, format!("syntax error: {sentence}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [Name; 5] = [Name::Model, Name::Top, Name::Ex, Name::Px, Name::NoWait];

    fn parse(text: &str) -> Result<Options, String> {
        let arguments: Vec<&[u8]> = text.split_whitespace().map(str::as_bytes).collect();
        Options::parse_slices(&arguments, &KNOWN).map_err(|error| error.to_string())
    }

    #[test]
    fn options_come_in_any_order_and_case() {
        let options = parse("nowait Top 3 MODEL open-nsfw ex 60").expect("good options");
        assert!(options.nowait);
        assert_eq!(options.top, Some(3));
        assert_eq!(options.model.as_deref(), Some("open-nsfw"));
        assert_eq!(options.ttl, Some(Duration::from_secs(60)));
        assert_eq!(parse(""), Ok(Options::default()));
    }

    #[test]
    fn a_syntax_error_names_the_option() {
        for (text, named) in [
            ("TPO 3", "'TPO'"),
            ("WAIT 3", "'WAIT'"),
            ("TOP", "TOP"),
            ("TOP 3 top 4", "TOP"),
            ("EX 3 PX 4", "EX and PX"),
            ("TOP 0", "TOP"),
            ("TOP -3", "'-3'"),
            ("TOP 3.5", "'3.5'"),
            ("EX 99999999999999999999", "EX"),
            ("PX 9223372036854775807", "PX"),
        ] {
            let error = parse(text).expect_err(text);
            assert!(error.starts_with("ERR ") && error.contains(named), "{text}: {error}");
        }
    }
}
