//! Results made by hand, drawn on a plain ground.

use annotate::{Error, MAX_MARKS, MAX_RESULT, annotate};
use image::{Rgb, RgbImage};

const GROUND: Rgb<u8> = Rgb([120, 120, 120]);

fn plain(width: u32, height: u32) -> RgbImage {
    RgbImage::from_pixel(width, height, GROUND)
}

/// A result of a photo of this size; `found` is the part between the task and the size.
fn result_of((width, height): (u32, u32), task: &str, found: &str) -> String {
    format!(r#"{{"task":"{task}",{found},"width":{width},"height":{height}}}"#)
}

fn drawn(size: (u32, u32), task: &str, found: &str) -> RgbImage {
    annotate(&plain(size.0, size.1), &result_of(size, task, found)).unwrap()
}

fn object(label: &str, id: u32, frame: &str) -> String {
    format!(r#"{{"label":"{label}","id":{id},"score":0.9,"box":{frame}}}"#)
}

fn one_object(size: (u32, u32), label: &str, frame: &str) -> RgbImage {
    drawn(size, "objects", &format!(r#""objects":[{}]"#, object(label, 3, frame)))
}

fn one_line(size: (u32, u32), text: &str, quad: &str) -> RgbImage {
    drawn(size, "text", &format!(r#""lines":[{{"text":"{text}","score":0.9,"quad":{quad}}}]"#))
}

fn changed(picture: &RgbImage) -> usize {
    picture.pixels().filter(|pixel| **pixel != GROUND).count()
}

/// The pixel at these coordinates, and how often its colour stands in the picture.
fn colour_at(picture: &RgbImage, x: u32, y: u32) -> (Rgb<u8>, usize) {
    let colour = *picture.get_pixel(x, y);
    (colour, picture.pixels().filter(|pixel| **pixel == colour).count())
}

#[test]
fn the_frame_is_where_the_box_is() {
    let picture = one_object((400, 300), "cat", "[100,80,160,120]");
    let (colour, _) = colour_at(&picture, 100, 150);
    assert_ne!(colour, GROUND);
    for (x, y) in [(260, 150), (180, 80), (180, 200)] {
        assert_eq!(*picture.get_pixel(x, y), colour, "at {x}, {y}");
    }
    for (x, y) in [(180, 140), (110, 90), (250, 190), (90, 150), (270, 150), (180, 210)] {
        assert_eq!(*picture.get_pixel(x, y), GROUND, "at {x}, {y}");
    }
}

#[test]
fn a_box_beyond_the_edge_is_cut_to_the_picture() {
    let picture = one_object((200, 150), "cat", "[-50,40,120,300]");
    let (colour, _) = colour_at(&picture, 0, 90);
    assert_ne!(colour, GROUND);
    assert_eq!(*picture.get_pixel(70, 100), colour);
    assert_eq!(*picture.get_pixel(35, 149), colour);
    assert_eq!(*picture.get_pixel(35, 90), GROUND);
    assert_eq!(*picture.get_pixel(120, 90), GROUND);
}

#[test]
fn what_lies_outside_is_not_drawn() {
    for frame in ["[300,10,50,50]", "[-90,-90,50,50]", "[1e300,0,1e300,1e300]"] {
        assert_eq!(one_object((200, 150), "cat", frame), plain(200, 150), "{frame}");
    }
    let far = one_line((200, 150), "cat", "[[1e300,-1e300],[1e300,1e300],[2e300,0],[1e308,0]]");
    assert_eq!(far, plain(200, 150));
}

#[test]
fn a_line_that_comes_from_far_outside_is_drawn_within() {
    let picture = one_line((200, 150), "x", "[[-1e6,75],[1e6,75],[1e6,1e6],[-1e6,1e6]]");
    let (colour, _) = colour_at(&picture, 150, 75);
    assert_ne!(colour, GROUND);
    assert_eq!(*picture.get_pixel(199, 75), colour);
    assert_eq!(*picture.get_pixel(150, 140), GROUND);
}

#[test]
fn a_turned_quad_is_drawn_along_its_edges() {
    let picture = one_line((400, 300), "I", "[[200,50],[320,150],[200,250],[80,150]]");
    let (colour, _) = colour_at(&picture, 260, 100);
    assert_ne!(colour, GROUND);
    for (x, y) in [(260, 199), (140, 200), (140, 99)] {
        assert_eq!(*picture.get_pixel(x, y), colour, "at {x}, {y}");
    }
    for (x, y) in [(200, 150), (300, 230), (100, 230), (310, 70)] {
        assert_eq!(*picture.get_pixel(x, y), GROUND, "at {x}, {y}");
    }
    let is_dot = |x: u32, y: u32| *picture.get_pixel(x, y + 1) == colour;
    assert!(is_dot(200, 50), "the first corner has a dot");
    assert!(!is_dot(320, 150) && !is_dot(80, 150), "the others have none");
}

#[test]
fn faces_have_their_landmarks() {
    let face = r#""faces":[{"score":0.9,"box":[100,60,120,150],
        "landmarks":[[130,110],[190,110],[160,140],[140,170],[180,170]]}]"#;
    let picture = drawn((400, 300), "faces", face);
    let (colour, _) = colour_at(&picture, 130, 110);
    assert_ne!(colour, GROUND);
    for (x, y) in [(190, 110), (160, 140), (140, 170), (180, 170), (100, 130)] {
        assert_eq!(*picture.get_pixel(x, y), colour, "at {x}, {y}");
    }
}

#[test]
fn plates_and_barcodes_are_outlined() {
    let plate = r#""plates":[{"text":"AB12","score":0.9,"box":[98,98,104,54],"detection":0.8,"format":null,
        "corners":[[100,110],[190,100],[200,140],[110,150]],"characters":[{"char":"A","score":0.9}]}]"#;
    let picture = drawn((400, 300), "plates", plate);
    assert_ne!(*picture.get_pixel(145, 105), GROUND, "corners");
    assert_ne!(*picture.get_pixel(98, 145), GROUND, "box");
    assert_eq!(*picture.get_pixel(150, 125), GROUND);

    let barcode = r#""barcodes":[{"format":"EAN-13","text":"9780140013993","isbn":"9780140013993",
        "corners":[[100,110],[190,110],[190,150],[100,150]]}]"#;
    let picture = drawn((400, 300), "barcodes", barcode);
    assert_ne!(*picture.get_pixel(190, 130), GROUND);
    assert_eq!(*picture.get_pixel(150, 130), GROUND);
}

#[test]
fn a_label_at_the_edge_is_all_there() {
    let in_the_middle = one_object((400, 300), "refrigerator", "[190,140,20,20]");
    for frame in ["[380,140,20,20]", "[0,0,20,20]", "[380,280,20,20]"] {
        let at_the_edge = one_object((400, 300), "refrigerator", frame);
        let lost = changed(&in_the_middle).abs_diff(changed(&at_the_edge));
        // The frame's rim may be lost beyond the edge.
        assert!(lost < 200, "{frame}: {lost} pixels of {}", changed(&in_the_middle));
    }
}

#[test]
fn labels_of_the_same_box_do_not_cover_each_other() {
    let frame = "[100,100,100,80]";
    let both = format!(r#""objects":[{},{}]"#, object("cat", 1, frame), object("dog", 2, frame));
    let picture = drawn((400, 300), "objects", &both);
    let grounds = [("cat", 1), ("dog", 2)].map(|(label, id)| {
        let alone =
            drawn((400, 300), "objects", &format!(r#""objects":[{}]"#, object(label, id, frame)));
        // A corner of the label, which stands on the box.
        let (colour, count) = colour_at(&alone, 101, 95);
        let beside = picture.pixels().filter(|pixel| **pixel == colour).count();
        (count, beside)
    });
    for (alone, beside) in grounds {
        // The frames do cover each other; each is at most 500 pixels.
        assert!(beside + 800 > alone && beside > 300, "{beside} of {alone} pixels are left");
    }
}

#[test]
fn a_character_that_the_font_lacks_is_the_same_box_for_all() {
    let quad = "[[50,100],[350,100],[350,200],[50,200]]";
    let chinese = one_line((400, 300), "粤中", quad);
    assert_eq!(chinese, one_line((400, 300), "国人", quad));
    assert_ne!(chinese, one_line((400, 300), "  ", quad));
    assert_ne!(chinese, one_line((400, 300), "éß", quad));
}

#[test]
fn a_colour_belongs_to_a_class() {
    let frames = ["[20,50,80,80]", "[200,80,60,90]"];
    let colours: Vec<_> = frames
        .iter()
        .zip([(20, 90), (200, 120)])
        .map(|(frame, (x, y))| *one_object((400, 300), "cat", frame).get_pixel(x, y))
        .collect();
    assert_eq!(colours[0], colours[1]);
    let two = format!(r#""objects":[{},{}]"#, object("a", 1, frames[0]), object("b", 2, frames[1]));
    let picture = drawn((400, 300), "objects", &two);
    assert_ne!(picture.get_pixel(20, 90), picture.get_pixel(200, 120));
}

#[test]
fn classes_are_a_caption_at_the_bottom_left() {
    let labels = r#""labels":[{"label":"Egyptian cat","id":285,"score":0.9},{"label":"lynx","id":287,"score":0.01}]"#;
    let picture = drawn((400, 300), "classify", labels);
    assert_ne!(*picture.get_pixel(2, 297), GROUND);
    assert!(picture.pixels().any(|pixel| pixel[0] > 180), "white letters");
    for (x, y) in [(2, 2), (397, 2), (397, 297), (200, 100)] {
        assert_eq!(*picture.get_pixel(x, y), GROUND);
    }
}

#[test]
fn an_embedding_is_told_in_a_caption() {
    let picture = drawn((400, 300), "embed", r#""embedding":"AAAA","dimensions":1280"#);
    assert_ne!(*picture.get_pixel(2, 297), GROUND);
    assert_eq!(*picture.get_pixel(200, 100), GROUND);
}

#[test]
fn a_picture_where_nothing_was_found_says_so() {
    let nothing = [("objects", "objects"), ("faces", "faces"), ("text", "lines")];
    for (task, list) in nothing.into_iter().chain([("plates", "plates"), ("barcodes", "barcodes")])
    {
        let picture = drawn((400, 300), task, &format!(r#""{list}":[]"#));
        assert_ne!(*picture.get_pixel(2, 297), GROUND, "{task}");
    }
}

#[test]
fn photos_of_every_shape_are_drawn_on() {
    for size in [(1, 1), (8, 8), (1, 3000), (3000, 1), (20, 20), (700, 30), (12_000, 4)] {
        for found in [object("cat", 0, "[0,0,5,5]"), object("dog", 9, "[-9e9,-9e9,2e10,2e10]")] {
            let picture = drawn(size, "objects", &format!(r#""objects":[{found}]"#));
            assert_eq!(picture.dimensions(), size);
        }
        let line = one_line(size, &"long ".repeat(5000), "[[0,0],[9,0],[9,3],[0,3]]");
        assert_eq!(line.dimensions(), size);
        one_line(size, "", "[]");
        one_line(size, "\\u0000\\u200e\\u0301", "[[3,3]]");
        drawn(size, "classify", r#""labels":[{"label":"cat","id":1,"score":0.5}]"#);
    }
}

#[test]
fn what_is_no_result_is_told_in_a_sentence() {
    let photo = plain(20, 10);
    let sentence = |text: &str| annotate(&photo, text).unwrap_err().to_string();
    for (text, part) in [
        ("NOMODEL no such model\n", "reply of Redis: NOMODEL no such model"),
        ("(error) BADIMAGE not an image", "reply of Redis: (error) BADIMAGE"),
        ("ACCEPTED", "reply of Redis: ACCEPTED"),
        ("(nil)", "reply of Redis: (nil)"),
        (" \n", "the result is empty"),
        ("{\"task\":", "not the JSON of a result"),
        ("[1,2]", "not the JSON of a result"),
        (r#"{"task":"juggle","width":20,"height":10}"#, r#"its task is "juggle""#),
        (r#"{"task":"objects","width":20,"height":10}"#, "missing field `objects`"),
        (r#"{"task":"classify","labels":[],"width":10,"height":20}"#, "another photo: of 10x20"),
        ("ERR \x1b[31mred", r"ERR \u{1b}[31mred"),
    ] {
        assert!(sentence(text).contains(part), "{text:?}: {}", sentence(text));
    }
}

#[test]
fn what_a_result_may_hold_is_bounded() {
    let photo = plain(20, 10);
    let too_long = " ".repeat(MAX_RESULT + 1);
    assert_eq!(annotate(&photo, &too_long), Err(Error::ResultTooLong));

    let objects = |count: usize| {
        let objects = vec![object("cat", 1, "[0,0,5,5]"); count].join(",");
        result_of((20, 10), "objects", &format!(r#""objects":[{objects}]"#))
    };
    assert!(annotate(&photo, &objects(MAX_MARKS)).is_ok());
    let too_many = annotate(&photo, &objects(MAX_MARKS + 1));
    assert_eq!(too_many, Err(Error::TooManyMarks(MAX_MARKS + 1)));
    assert_eq!(annotate(&plain(0, 9), &objects(1)), Err(Error::PhotoSize(0, 9)));
}
