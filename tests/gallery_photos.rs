//! Galleries of real photos: who is recognised, who is a stranger, what the gate refuses.

use crate::support::galleries::*;
use crate::support::*;
use image::{DynamicImage, ImageFormat, RgbImage, imageops};
use redis::{Value, cmd};
use std::collections::BTreeMap;
use std::io::Cursor;

const OBAMAS: [&str; 3] = ["obama.jpg", "obama2.jpg", "obama3.jpg"];

fn server() -> Server {
    Server::with().real_models().setting("timeout", 120_000).start()
}

fn decoded(name: &str) -> RgbImage {
    image::load_from_memory(&photos::photo(name)).expect("a photo").to_rgb8()
}

fn encoded(photo: RgbImage) -> Vec<u8> {
    let mut file = Cursor::new(Vec::new());
    DynamicImage::ImageRgb8(photo).write_to(&mut file, ImageFormat::Png).expect("encodes");
    file.into_inner()
}

fn inferences(server: &Server) -> i64 {
    server.model_count("faces", "computed")
}

#[test]
fn everybody_is_recognised_on_another_photo_and_strangers_are_not() {
    let server = server();
    let mut client = server.client();
    let people = OBAMAS.map(|name| (name, "obama")).into_iter().chain([("biden.jpg", "biden")]);
    for (name, person) in people {
        let gallery = format!("without {name}");
        for (other, subject) in
            OBAMAS.map(|name| (name, "obama")).into_iter().chain([("biden.jpg", "biden")])
        {
            if other != name {
                let reply =
                    enrol_photo(&gallery, subject, &photos::photo(other)).reply(&mut client);
                assert_eq!(map(&reply)["warning"], Value::Nil, "{other}");
                assert!(matches!(map(&reply)["quality"], Value::Array(_)), "{reply:?}");
            }
        }
        let found = who(&identify_photo(&gallery, &photos::photo(name)), &mut client);
        // Of Biden there is one photo only: without it he is a stranger.
        let expected = (person == "obama").then(|| "obama".to_owned());
        assert_eq!(found, expected, "{name}");
        let stranger =
            json(&identify_photo(&gallery, &photos::photo("astronaut.png")), &mut client);
        let face = &stranger["faces"][0];
        assert!(face["subject"].is_null(), "{stranger}");
        assert!(
            face["score"].as_f64() > Some(0.7) && face["box"].as_array().map(Vec::len) == Some(4)
        );
    }
    let answer = json(
        identify_photo("without biden.jpg", &photos::photo("obama.jpg")).arg(&["TOP", "1"]),
        &mut client,
    );
    assert_eq!((&answer["threshold"], &answer["model"]), (&0.363.into(), &"faces".into()));
    let verified = |subject: &str, photo: &str| {
        let mut command = cmd("IMAGE.VERIFY").arg("without obama.jpg").arg(subject).take();
        json(command.arg(photos::photo(photo)), &mut server.client())["verified"].clone()
    };
    assert_eq!(verified("obama", "obama.jpg"), true);
    assert_eq!(verified("biden", "obama.jpg"), false);
    assert_eq!(verified("biden", "astronaut.png"), false);
}

/// The photos that do not travel with the project.
#[test]
fn everybody_of_the_shared_photos_is_recognised_without_their_own_photo() {
    let shared = needs::shared();
    let server = server();
    let mut client = server.client();
    let mut people: BTreeMap<String, Vec<Vec<u8>>> = BTreeMap::new();
    for entry in std::fs::read_dir(shared.join("photos/faces")).expect("photos") {
        let path = entry.expect("a photo").path();
        let stem = path.file_stem().expect("a name").to_string_lossy().into_owned();
        if !stem.starts_with("group") {
            let person = stem.rsplit_once('_').expect("person_number").0.to_owned();
            people.entry(person).or_default().push(std::fs::read(&path).expect("a photo"));
        }
    }
    assert!(people.len() >= 6, "{:?}", people.keys());
    let enrolled = |gallery: &str, person: &str, photo: &[u8]| {
        enrol_photo(gallery, person, photo).arg("LARGEST").value(&mut server.client())
    };
    for (person, own) in &people {
        for (left_out, photo) in own.iter().enumerate() {
            cmd("DEL").arg("g").number(&mut client);
            for (subject, photos) in &people {
                for (index, photo) in photos.iter().enumerate() {
                    if subject != person || index != left_out {
                        enrolled("g", subject, photo);
                    }
                }
            }
            let answer = json(&identify_photo("g", photo), &mut client);
            let area =
                |face: &serde_json::Value| face["box"][2].as_f64().zip(face["box"][3].as_f64());
            let faces = answer["faces"].as_array().expect("faces");
            let largest = faces
                .iter()
                .max_by(|a, b| {
                    let area = |face| area(face).map_or(0.0, |(width, height)| width * height);
                    area(a).total_cmp(&area(b))
                })
                .expect("a face");
            let expected = if own.len() > 1 { Some(person.as_str()) } else { None };
            assert_eq!(largest["subject"].as_str(), expected, "{person}: {answer}");
        }
    }
}

#[test]
fn the_gate_says_what_is_wrong_with_a_photo() {
    let server = server();
    let mut client = server.client();
    let portrait = decoded("obama.jpg");
    let (width, height) = portrait.dimensions();
    let scaled = |photo: &RgbImage, factor: f64| {
        let side = |pixels: u32| (f64::from(pixels) * factor).round() as u32;
        let (width, height) = photo.dimensions();
        imageops::resize(photo, side(width), side(height), imageops::FilterType::Triangle)
    };
    let mut two = RgbImage::new(2 * width, height);
    imageops::replace(&mut two, &portrait, 0, 0);
    imageops::replace(&mut two, &portrait, i64::from(width), 0);
    let small = scaled(&portrait, 0.06);
    // About three pixels of the aligned face.
    let blurred = imageops::blur(&portrait, 9.0);
    for (photo, error_word, sentence) in [
        (photos::photo("coffee.png"), "NOFACE ", "no face"),
        (encoded(two.clone()), "MANYFACES ", "LARGEST"),
        (encoded(small), "LOWQUALITY ", "too small"),
        (encoded(blurred), "LOWQUALITY ", "too blurred"),
        (b"no image".to_vec(), "BADIMAGE ", ""),
    ] {
        let error = enrol_photo("g", "obama", &photo).error(&mut client);
        assert!(error.starts_with(error_word) && error.contains(sentence), "{error}");
    }
    assert_eq!(cmd("EXISTS").arg("g").number(&mut client), 0);
    enrol_photo("g", "obama", &encoded(two)).arg("LARGEST").value(&mut client);
    assert_eq!(total(&server, "g", "samples"), 1);
    for model in ["mobilenetv2", "text"] {
        let error = enrol_photo("n", "x", &photos::photo("obama.jpg"))
            .arg(&["MODEL", model])
            .error(&mut client);
        assert!(error.starts_with("ERR ") && error.contains("no embeddings"), "{error}");
    }
}

#[test]
fn a_face_that_is_like_another_subject_s_is_warned_of() {
    let server = server();
    let mut client = server.client();
    enrol_photo("g", "obama", &photos::photo("obama.jpg")).value(&mut client);
    let warning = |subject: &str, photo: &str, options: &[&str]| {
        let mut command = enrol_photo("g", subject, &photos::photo(photo));
        map(&command.arg(options).reply(&mut server.client()))["warning"].clone()
    };
    let text: String =
        redis::from_redis_value(warning("barack", "obama2.jpg", &[])).expect("a warning");
    assert!(text.contains("'obama'") && text.contains("'barack'"), "{text}");
    assert_eq!(warning("barack", "obama3.jpg", &["FORCE"]), Value::Nil);
    assert_eq!(warning("biden", "biden.jpg", &[]), Value::Nil);
    assert_eq!(total(&server, "g", "samples"), 4, "a warning is no refusal");
}

#[test]
fn a_picture_that_was_seen_costs_no_inference() {
    let server = server();
    let mut client = server.client();
    let (enrolled, shown) = (photos::photo("obama.jpg"), photos::photo("obama2.jpg"));
    enrol_photo("g", "obama", &enrolled).value(&mut client);
    let first = identify_photo("g", &shown).text(&mut client);
    let computed = inferences(&server);
    assert_eq!(computed, 2);
    for _ in 0..3 {
        assert_eq!(identify_photo("g", &shown).text(&mut client), first);
    }
    assert_eq!(inferences(&server), computed);
    assert_eq!(server.count("pictures_seen"), 2);
    // It is forgotten with anybody.
    enrol("other", "alice", &vector(1)).value(&mut client);
    forget("other", "alice").value(&mut client);
    assert_eq!(server.count("pictures_seen"), 0);
    assert_eq!(identify_photo("g", &shown).text(&mut client), first);
    assert_eq!(inferences(&server), computed + 1);
    // It can be turned off.
    cmd("CONFIG").arg(&["SET", "image.identify-cache", "0"]).text(&mut client);
    assert_eq!(identify_photo("g", &shown).text(&mut client), first);
    assert_eq!(inferences(&server), computed + 2);
}

#[test]
fn stored_faces_are_identified_without_a_payload() {
    let server = server();
    let mut client = server.client();
    let (enrolled, shown) = (photos::photo("obama.jpg"), photos::photo("obama2.jpg"));
    enrol_photo("g", "obama", &enrolled).value(&mut client);
    let first = identify_photo("g", &shown).text(&mut client);

    let ask = |client: &mut redis::Connection| identify_stored("g", "door:1").reply(client);
    assert!(ask(&mut client).is_nil(), "there is no such key");
    recognize("door:1", &shown).arg(&["MODEL", "barcodes"]).text(&mut client);
    assert!(ask(&mut client).is_nil(), "no faces are stored there");
    recognize("door:1", &shown).arg(&["MODEL", "faces"]).text(&mut client);
    let computed = inferences(&server);
    assert_eq!(ask(&mut client).text(), first);
    let strict = identify_stored("g", "door:1").arg(&["TOP", "1", "THRESHOLD", "1"]).take();
    assert_eq!(who(&strict, &mut client), None, "nobody is as like as that");
    assert_eq!(inferences(&server), computed);
    let vectors = "a gallery of vectors in a space that no model has";
    enrol(vectors, "alice", &vector(1)).value(&mut client);
    assert!(identify_stored(vectors, "door:1").reply(&mut client).is_nil(), "not comparable");

    let error = identify_stored("nobody", "door:1").error(&mut client);
    assert!(error.starts_with("NOGALLERY "), "{error}");
    cmd("SET").arg("text").arg("x").text(&mut client);
    for (gallery, key) in [("text", "door:1"), ("g", "text")] {
        let error = identify_stored(gallery, key).error(&mut client);
        assert!(error.starts_with("WRONGTYPE "), "{error}");
    }
    // Anybody may write a hash: what no model gives is not believed.
    let field =
        cmd("HKEYS").arg("door:1").list(&mut client).into_iter().find(|f| f.contains("faces@"));
    let forged = r#"{"task":"faces","faces":[{"score":1,"box":[0,0,1,1],"landmarks":[[1,2],[3,4],[5,6],[7,8],[9,1]],"embedding":"AAAA"}]}"#;
    cmd("HSET").arg("door:1").arg(field).arg(forged).number(&mut client);
    assert!(ask(&mut client).is_nil());
}

#[test]
fn what_is_replicated_is_the_embedding() {
    let master = server();
    let replica =
        Server::with().real_models().setting("timeout", 120_000).replica_of(&master).start();
    replica.wait_for_sync(&master);
    let mut client = master.client();
    for name in OBAMAS {
        enrol_photo("g", "obama", &photos::photo(name)).value(&mut client);
    }
    replica.wait_for_sync(&master);
    assert_eq!(digest(&replica, "g"), digest(&master, "g"));
    assert_eq!(inferences(&replica), 0);
    // Matching alone needs no photo: any node may have made the embedding.
    let result =
        recognize_ro("k", &photos::photo("obama.jpg")).arg(&["MODEL", "faces"]).text(&mut client);
    let mut query = cmd("IMAGE.IDENTIFY").arg("g").arg("VECTOR").arg(embedding(&result)).take();
    assert_eq!(who(&query, &mut replica.client()).as_deref(), Some("obama"));
    assert_eq!(inferences(&replica), 0);
    let shown = photos::photo("biden.jpg");
    assert_eq!(who(&identify_photo("g", &shown), &mut replica.client()), None);
    assert_eq!(inferences(&replica), 1, "replicas add capacity");
    query.arg(&["TOP", "1"]).text(&mut replica.client());
}

#[test]
fn whole_pictures_are_told_apart_too() {
    let server = server();
    let mut client = server.client();
    let covers = ["coffee.png", "rocket.jpg", "china.jpg", "flower.jpg", "page.png"];
    for name in covers {
        let reply = enrol_photo("covers", name, &photos::photo(name))
            .arg(&["MODEL", "embed"])
            .reply(&mut client);
        assert_eq!(map(&reply)["quality"], Value::Nil);
    }
    for name in covers {
        let darker = encoded(RgbImage::from_fn(decoded(name).width(), decoded(name).height(), {
            let photo = decoded(name);
            move |x, y| photo.get_pixel(x, y).0.map(|value| (f32::from(value) * 0.7) as u8).into()
        }));
        let answer = json(&identify_photo("covers", &darker), &mut client);
        assert_eq!(answer["faces"][0]["subject"], name, "{answer}");
        assert_eq!(answer["faces"].as_array().map(Vec::len), Some(1));
    }
    let answer = json(&identify_photo("covers", &photos::photo("astronaut.png")), &mut client);
    assert!(answer["faces"][0]["subject"].is_null(), "{answer}");
}
