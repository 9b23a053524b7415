//! Entries of streams: what a frame says, what is written of it.

use super::retry_forever::FrameFields;
use crate::connect::text;
use crate::error::Error;
use crate::recognizer::Recognized;
use redis::{Cmd, Value, cmd};
use serde_json::Value as Json;

#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Frame {
    pub id: String,
    /// None if the entry was trimmed away before it was recognised, or has no such field.
    pub image: Option<Vec<u8>>,
    pub camera: Option<Vec<u8>>,
    pub wishes: FrameFields,
}

/// What was found in a frame.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    pub recognized: Recognized,
    /// Who of the gallery is in it, if a gallery was asked.
    pub people: Option<Json>,
}

/// Of a reply to `XREADGROUP` on one stream: `[[stream, [entry…]]]`, a map in RESP3, nil if nothing came.
pub fn frames_read(reply: &Value) -> Vec<Frame> {
    match reply {
        Value::Array(streams) => match streams.first() {
            Some(Value::Array(stream)) => stream.get(1).map(frames).unwrap_or_default(),
            _ => Vec::new(),
        },
        Value::Map(streams) => streams.first().map(|(_, list)| frames(list)).unwrap_or_default(),
        _ => Vec::new(),
    }
}

/// Of a reply to `XAUTOCLAIM`: where to go on, and the entries.
pub fn frames_claimed(reply: &Value) -> (String, Vec<Frame>) {
    let Value::Array(parts) = reply else { return ("0-0".to_owned(), Vec::new()) };
    let next = parts.first().and_then(text).unwrap_or_else(|| "0-0".to_owned());
    (next, parts.get(1).map(frames).unwrap_or_default())
}

fn frames(list: &Value) -> Vec<Frame> {
    let Value::Array(entries) = list else { return Vec::new() };
    entries.iter().filter_map(Frame::of).collect()
}

impl Frame {
    fn of(entry: &Value) -> Option<Frame> {
        let Value::Array(parts) = entry else { return None };
        let mut frame = Frame {
            id: parts.first().and_then(text)?,
            image: None,
            camera: None,
            wishes: FrameFields::default(),
        };
        // Nil where the entry was deleted.
        if let Some(Value::Array(fields)) = parts.get(1) {
            for pair in fields.chunks_exact(2) {
                let (Value::BulkString(name), Value::BulkString(value)) = (&pair[0], &pair[1])
                else {
                    continue;
                };
                match name.as_slice() {
                    b"image" => frame.image = Some(value.clone()),
                    b"camera" => frame.camera = Some(value.clone()),
                    b"key" => frame.wishes.key = Some(value.clone()),
                    b"model" => {
                        frame.wishes.model = Some(String::from_utf8_lossy(value).into_owned());
                    }
                    _ => {}
                }
            }
        }
        Some(frame)
    }

    /// The `XADD` that tells what became of it.
    pub fn told(
        &self,
        results: &str,
        maxlen: u64,
        digest: Option<&str>,
        key: Option<&[u8]>,
        outcome: &Result<Answer, Error>,
    ) -> Cmd {
        let mut command = cmd("XADD").arg(results).take();
        if maxlen > 0 {
            command.arg("MAXLEN").arg("~").arg(maxlen);
        }
        command.arg("*").arg("id").arg(&self.id);
        if let Some(camera) = &self.camera {
            command.arg("camera").arg(camera);
        }
        if let Some(digest) = digest {
            command.arg("sha256").arg(digest);
        }
        if let Some(key) = key {
            command.arg("key").arg(key);
        }
        if let Some(model) = &self.wishes.model {
            command.arg("model").arg(model);
        }
        match outcome {
            Ok(Answer { recognized, people }) => {
                command.arg("source").arg(recognized.source.name());
                command.arg("result").arg(&recognized.result);
                if let Some(people) = people {
                    command.arg("people").arg(people.to_string());
                }
            }
            Err(error) => {
                command.arg("error").arg(error.to_string());
            }
        }
        command
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bulk(text: &str) -> Value {
        Value::BulkString(text.as_bytes().to_vec())
    }

    fn entry(id: &str, fields: &[&str]) -> Value {
        let fields = fields.iter().map(|field| bulk(field)).collect();
        Value::Array(vec![bulk(id), Value::Array(fields)])
    }

    #[test]
    fn frames_come_out_of_both_kinds_of_reply() {
        let entries = Value::Array(vec![
            entry("1-0", &["image", "x", "camera", "door", "model", "faces", "other", "y"]),
            Value::Array(vec![bulk("2-0"), Value::Nil]),
        ]);
        let read = Value::Array(vec![Value::Array(vec![bulk("frames"), entries.clone()])]);
        let frames = frames_read(&read);
        assert_eq!(frames.len(), 2);
        assert_eq!(frames[0].image.as_deref(), Some(&b"x"[..]));
        assert_eq!(frames[0].wishes.model.as_deref(), Some("faces"));
        assert_eq!((frames[1].id.as_str(), &frames[1].image), ("2-0", &None));
        assert!(frames_read(&Value::Nil).is_empty());

        let claimed = Value::Array(vec![bulk("3-0"), entries, Value::Array(Vec::new())]);
        assert_eq!(frames_claimed(&claimed), ("3-0".to_owned(), frames));
    }
}
