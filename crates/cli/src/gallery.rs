//! A gallery as its server holds it: what it is bound to, its subjects, their embeddings; and who of them is in a result.

use crate::connect::{Connection, map, text};
use crate::error::Error;
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use redis::{Cmd, Value, cmd};
use serde::{Deserialize, Serialize};
use serde_json::{Value as Json, json};
use std::collections::BTreeSet;

/// Subjects that are asked for at a time.
const PAGE: usize = 500;
/// Commands in one pipeline.
const BATCH: usize = 1000;

/// One gallery: a key.
#[derive(Clone)]
pub struct Gallery {
    connection: Connection,
    key: String,
}

/// What `IMAGE.GALLERY` says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct About {
    pub model: String,
    pub space: String,
    pub dimensions: u64,
    pub subjects: u64,
    pub samples: u64,
    pub next_sample: u64,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Sample {
    pub subject: String,
    pub id: u64,
    /// 32-bit little-endian floats.
    pub vector: Vec<u8>,
}

/// How two galleries differ. Ids are each gallery's own: what counts is whose embeddings they hold.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Difference {
    /// What only the first has.
    pub missing: Vec<Sample>,
    /// What only the second has.
    pub extra: Vec<Sample>,
}

impl Gallery {
    pub fn new(connection: &Connection, key: &str) -> Gallery {
        Gallery { connection: connection.clone(), key: key.to_owned() }
    }

    pub fn key(&self) -> &str {
        &self.key
    }

    pub async fn about(&self) -> Result<About, Error> {
        let reply = self.run(&cmd("IMAGE.GALLERY").arg(&self.key).take()).await?;
        let fields = map(&reply).unwrap_or_default();
        let field = |name: &str| fields.get(name).and_then(|value| text(value));
        let number = |name: &str| field(name)?.parse().ok();
        let about = || {
            Some(About {
                model: field("model")?,
                space: field("space")?,
                dimensions: number("dimensions")?,
                subjects: number("subjects")?,
                samples: number("samples")?,
                next_sample: number("next_sample")?,
            })
        };
        about().ok_or_else(|| misunderstood("IMAGE.GALLERY"))
    }

    /// The same; nothing where there is no such gallery.
    pub async fn about_if_any(&self) -> Result<Option<About>, Error> {
        match self.about().await {
            Ok(about) => Ok(Some(about)),
            Err(error) if error.word() == "NOGALLERY" => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Names and numbers of samples, without the embeddings.
    pub async fn subjects(&self) -> Result<Vec<(String, u64)>, Error> {
        let mut all = Vec::new();
        self.each_subject(false, |name, count, _| {
            all.push((name, count));
            Ok(())
        })
        .await?;
        all.sort();
        Ok(all)
    }

    /// All that is enrolled, by subject and id.
    pub async fn samples(&self) -> Result<Vec<Sample>, Error> {
        let mut all = Vec::new();
        self.each_subject(true, |subject, count, fields| {
            let list = |name: &str| match fields.get(name) {
                Some(Value::Array(items)) => items.as_slice(),
                _ => &[],
            };
            let (ids, vectors) = (list("samples"), list("vectors"));
            if ids.len() != vectors.len() || ids.len() as u64 != count {
                return Err(Error::usage(format!(
                    "{subject} has {count} samples, more than one page holds: they can't be read"
                )));
            }
            for (id, vector) in ids.iter().zip(vectors) {
                let (Value::Int(id), Value::BulkString(vector)) = (id, vector) else {
                    return Err(misunderstood("IMAGE.SUBJECTS"));
                };
                let (subject, vector) = (subject.clone(), vector.clone());
                all.push(Sample { subject, id: id.unsigned_abs(), vector });
            }
            Ok(())
        })
        .await?;
        all.sort();
        Ok(all)
    }

    async fn each_subject(
        &self,
        with_vectors: bool,
        mut take: impl FnMut(
            String,
            u64,
            &std::collections::BTreeMap<String, &Value>,
        ) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let mut cursor = "0".to_owned();
        loop {
            let mut command = cmd("IMAGE.SUBJECTS");
            command.arg(&self.key).arg(&cursor).arg("COUNT").arg(PAGE);
            if with_vectors {
                command.arg("WITHVECTORS");
            }
            let reply = self.run(&command).await?;
            let Value::Array(parts) = &reply else { return Err(misunderstood("IMAGE.SUBJECTS")) };
            let [next, Value::Array(page)] = parts.as_slice() else {
                return Err(misunderstood("IMAGE.SUBJECTS"));
            };
            for subject in page {
                let fields = map(subject).unwrap_or_default();
                let field = |name: &str| fields.get(name).and_then(|value| text(value));
                let (Some(name), Some(count)) =
                    (field("subject"), field("count").and_then(|count| count.parse().ok()))
                else {
                    return Err(misunderstood("IMAGE.SUBJECTS"));
                };
                take(name, count, &fields)?;
            }
            cursor = text(next).unwrap_or_else(|| "0".to_owned());
            if cursor == "0" {
                return Ok(());
            }
        }
    }

    /// Makes the gallery if there is none; an error where it is bound to something else.
    pub async fn bind(&self, to: &About) -> Result<(), Error> {
        let mut command = cmd("IMAGE.BIND");
        command.arg(&self.key).arg("MODEL").arg(&to.model).arg("SPACE").arg(&to.space);
        command.arg("DIMENSIONS").arg(to.dimensions).arg("NEXT").arg(to.next_sample.max(1));
        self.run(&command).await.map(drop)
    }

    /// Enrols embeddings under their ids. How many are there now, and the first error.
    pub async fn restore(&self, about: &About, samples: &[Sample]) -> (usize, Option<Error>) {
        let enrol = |sample: &Sample| {
            let mut command = cmd("IMAGE.ENROLL");
            command.arg(&self.key).arg(&sample.subject).arg("VECTOR").arg(&sample.vector);
            command.arg("MODEL").arg(&about.model).arg("SPACE").arg(&about.space);
            command.arg("SAMPLE").arg(sample.id).take()
        };
        self.run_all(samples.iter().map(enrol)).await
    }

    /// Removes single samples.
    pub async fn forget_samples(&self, samples: &[Sample]) -> (usize, Option<Error>) {
        let forget = |sample: &Sample| {
            cmd("IMAGE.FORGET").arg(&self.key).arg(&sample.subject).arg(sample.id).take()
        };
        self.run_all(samples.iter().map(forget)).await
    }

    async fn run_all(&self, commands: impl Iterator<Item = Cmd>) -> (usize, Option<Error>) {
        let commands: Vec<(Vec<u8>, Cmd)> =
            commands.map(|command| (self.key.clone().into_bytes(), command)).collect();
        let (mut done, mut first) = (0, None);
        for batch in commands.chunks(BATCH) {
            for reply in self.connection.run_many(batch).await {
                match reply {
                    Ok(_) => done += 1,
                    Err(error) => first = first.or(Some(error)),
                }
            }
        }
        (done, first)
    }

    /// Who of the gallery is in a result of its model: for each face what `IMAGE.IDENTIFY` says, with its box and score.
    pub async fn identify(&self, result: &str, options: &Wishes) -> Result<Json, Error> {
        let found = embedded(result)?;
        let asks: Vec<(Vec<u8>, Cmd)> = found
            .iter()
            .map(|face| {
                let mut command = cmd("IMAGE.IDENTIFY");
                command.arg(&self.key).arg("VECTOR").arg(&face.vector);
                if let Some(top) = options.top {
                    command.arg("TOP").arg(top);
                }
                if let Some(threshold) = options.threshold {
                    command.arg("THRESHOLD").arg(threshold);
                }
                (self.key.clone().into_bytes(), command)
            })
            .collect();
        let mut faces = Vec::new();
        for (face, reply) in found.iter().zip(self.connection.run_many(&asks).await) {
            let answer: Json = text(&reply?)
                .and_then(|text| serde_json::from_str(&text).ok())
                .ok_or_else(|| misunderstood("IMAGE.IDENTIFY"))?;
            let mut said = face.place.clone();
            if let (Some(said), Some(one)) = (said.as_object_mut(), answer["faces"][0].as_object())
            {
                said.extend(one.clone());
            }
            faces.push(said);
        }
        Ok(json!({ "faces": faces }))
    }

    pub async fn run(&self, command: &Cmd) -> Result<Value, Error> {
        self.connection.run(self.key.as_bytes(), command).await
    }
}

/// How an identification is wanted.
#[derive(clap::Args, Debug, Clone, Default)]
pub struct Wishes {
    /// Candidates for each face
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u16).range(1..=100))]
    pub top: Option<u16>,

    /// Below this similarity it is a stranger; default: what the model's manifest says
    #[arg(long, value_name = "COSINE", allow_negative_numbers = true)]
    pub threshold: Option<f64>,
}

/// A face of a result, or the whole picture.
pub struct Embedded {
    /// Its box and score, an empty object for a whole picture.
    pub place: Json,
    pub area: f64,
    pub vector: Vec<u8>,
}

/// The embeddings in a result.
pub fn embedded(result: &str) -> Result<Vec<Embedded>, Error> {
    let result: Json = serde_json::from_str(result)
        .map_err(|why| Error::usage(format!("a stored result is no JSON: {why}")))?;
    let vector = |holder: &Json| -> Result<Vec<u8>, Error> {
        let text = holder["embedding"].as_str().ok_or_else(|| {
            Error::usage(
                "the model gives no embeddings: take one of the task `faces` or `embed`, without `embedding = false` in \
                 its manifest",
            )
        })?;
        STANDARD.decode(text).map_err(|why| Error::usage(format!("an embedding: {why}")))
    };
    let Some(faces) = result["faces"].as_array() else {
        return Ok(vec![Embedded { place: json!({}), area: 0.0, vector: vector(&result)? }]);
    };
    let embedded = |face: &Json| {
        let side = |index: usize| face["box"][index].as_f64().unwrap_or_default();
        Ok(Embedded {
            place: json!({ "box": face["box"], "score": face["score"] }),
            area: side(2) * side(3),
            vector: vector(face)?,
        })
    };
    faces.iter().map(embedded).collect()
}

/// Numbers of an embedding.
pub fn numbers(vector: &[u8]) -> impl Iterator<Item = f32> + '_ {
    vector.chunks_exact(4).map(|bytes| f32::from_le_bytes([bytes[0], bytes[1], bytes[2], bytes[3]]))
}

/// What is in one and not in the other.
pub fn difference(first: &[Sample], second: &[Sample]) -> Difference {
    let content = |samples: &[Sample]| -> BTreeSet<(String, Vec<u8>)> {
        samples.iter().map(|sample| (sample.subject.clone(), sample.vector.clone())).collect()
    };
    let only_in = |samples: &[Sample], other: &BTreeSet<(String, Vec<u8>)>| {
        let known =
            |sample: &&Sample| !other.contains(&(sample.subject.clone(), sample.vector.clone()));
        samples.iter().filter(known).cloned().collect()
    };
    Difference {
        missing: only_in(first, &content(second)),
        extra: only_in(second, &content(first)),
    }
}

impl Difference {
    pub fn is_none(&self) -> bool {
        self.missing.is_empty() && self.extra.is_empty()
    }
}

impl std::fmt::Display for Difference {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} samples are missing, {} are too many", self.missing.len(), self.extra.len())
    }
}

fn misunderstood(command: &str) -> Error {
    Error::usage(format!(
        "the reply to {command} is not understood: is the module of another version?"
    ))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sample(subject: &str, id: u64, vector: &[u8]) -> Sample {
        Sample { subject: subject.to_owned(), id, vector: vector.to_vec() }
    }

    #[test]
    fn galleries_differ_by_what_they_hold_not_by_its_ids() {
        let one = [sample("a", 1, b"x"), sample("b", 2, b"y")];
        let same = [sample("b", 7, b"y"), sample("a", 9, b"x")];
        assert!(difference(&one, &same).is_none());
        let other = [sample("a", 1, b"x"), sample("c", 2, b"y")];
        let found = difference(&one, &other);
        assert_eq!(found.missing, [sample("b", 2, b"y")]);
        assert_eq!(found.extra, [sample("c", 2, b"y")]);
    }

    #[test]
    fn embeddings_come_out_of_faces_and_of_whole_pictures() {
        let faces = r#"{"task":"faces","faces":[{"score":0.9,"box":[1,2,3,4],"embedding":"AACAPw=="}],"width":1}"#;
        let found = embedded(faces).unwrap();
        assert_eq!(numbers(&found[0].vector).collect::<Vec<_>>(), [1.0]);
        assert_eq!((found[0].area, &found[0].place["score"]), (12.0, &json!(0.9)));
        let whole = embedded(r#"{"task":"embed","embedding":"AACAPw==","dimensions":1}"#).unwrap();
        assert_eq!(whole[0].place, json!({}));
        let without = r#"{"task":"faces","faces":[{"score":0.9,"box":[1,2,3,4]}]}"#;
        assert!(embedded(without).is_err_and(|error| error.to_string().contains("no embeddings")));
        assert!(embedded(r#"{"task":"faces","faces":[]}"#).unwrap().is_empty());
    }
}
