//! Both settings on the shared photos.

use std::io::Cursor;
use std::path::PathBuf;
use std::sync::Arc;

use harness::{need, shared_folder};
use image::{DynamicImage, GenericImageView, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};
use serde_json::Value;

use crate::decode::DecodeLimits;
use crate::engine::{EngineChoice, Engines};
use crate::{Recognizer, Scratch};

fn project() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../..")
}

/// The project's model with another setting, in a folder of the test's own. Skips the test without the weights.
fn model(setting: &str, test: &str) -> Recognizer {
    let folder = project().join("models/text");
    let target = std::env::temp_dir().join(format!("redis-image-{test}-{}", std::process::id()));
    std::fs::create_dir_all(&target).unwrap();
    for file in ["ppocr-det.onnx", "ppocr-cls.onnx", "ppocr-rec.onnx", "characters.txt"] {
        let copied = std::fs::copy(folder.join(file), target.join(file));
        need(copied.ok(), &format!("models/text/{file}"));
    }
    let manifest = std::fs::read_to_string(folder.join("model.toml")).unwrap();
    let manifest = manifest.replace("setting = \"thorough\"", &format!("setting = \"{setting}\""));
    std::fs::write(target.join("model.toml"), manifest).unwrap();
    let engines = Engines::find(EngineChoice::Auto, &[project().join("onnxruntime")]);
    let model = Recognizer::open(&target, Arc::new(engines)).unwrap();
    model.load().unwrap();
    std::fs::remove_dir_all(&target).unwrap();
    model
}

fn recognize(model: &Recognizer, payload: &[u8]) -> Value {
    let mut scratch = Scratch::default();
    let result = model.recognize(payload, &DecodeLimits::default(), &mut scratch).unwrap();
    serde_json::from_str(&result.json).unwrap()
}

/// The upright box around a quad: left, top, right, bottom.
fn bounds(quad: &Value) -> [f64; 4] {
    let coordinate = |corner: usize, axis: usize| quad[corner][axis].as_f64().unwrap();
    let all = |axis: usize| [0, 1, 2, 3].map(|corner| coordinate(corner, axis));
    let least = |axis: usize| all(axis).into_iter().fold(f64::INFINITY, f64::min);
    let most = |axis: usize| all(axis).into_iter().fold(0.0, f64::max);
    [least(0), least(1), most(0), most(1)]
}

/// Intersection over union.
fn iou(a: [f64; 4], b: [f64; 4]) -> f64 {
    let common =
        (a[2].min(b[2]) - a[0].max(b[0])).max(0.0) * (a[3].min(b[3]) - a[1].max(b[1])).max(0.0);
    let area = |bounds: [f64; 4]| (bounds[2] - bounds[0]) * (bounds[3] - bounds[1]);
    common / (area(a) + area(b) - common)
}

#[test]
fn quick_is_the_reference() {
    let (shared, model) = (shared_folder(), model("quick", "quick"));
    let expected = std::fs::read_to_string(shared.join("reference/expected.json")).unwrap();
    let expected: Value = serde_json::from_str(&expected).unwrap();
    let mut wrong = Vec::new();
    for (name, entry) in expected["photos"].as_object().unwrap() {
        let Some(wanted) = entry.get("text") else { continue };
        let fragile: Vec<&str> = match entry["fragile"].as_array() {
            Some(fragile) => fragile.iter().filter_map(Value::as_str).collect(),
            None => Vec::new(),
        };
        let result = recognize(&model, &std::fs::read(shared.join("photos").join(name)).unwrap());
        let size = (&result["width"], &result["height"]);
        assert_eq!(size, (&wanted["width"], &wanted["height"]), "{name}");
        // A line whose score is near the threshold may be missing or extra.
        let counts = |line: &&Value| {
            let text = format!("text/{}", line["text"].as_str().unwrap());
            line["score"].as_f64().unwrap() >= 0.53 && !fragile.contains(&&text[..])
        };
        let lines = |value: &Value| -> Vec<Value> {
            value["lines"].as_array().unwrap().iter().filter(counts).cloned().collect()
        };
        let (found, wanted) = (lines(&result), lines(wanted));
        let texts = |lines: &[Value]| -> Vec<String> {
            lines.iter().map(|line| line["text"].to_string()).collect()
        };
        if texts(&found) != texts(&wanted) {
            wrong.push(format!("{name}: {:?} is not {:?}", texts(&found), texts(&wanted)));
            continue;
        }
        for (found, wanted) in found.iter().zip(&wanted) {
            let score = found["score"].as_f64().unwrap() - wanted["score"].as_f64().unwrap();
            let iou = iou(bounds(&found["quad"]), bounds(&wanted["quad"]));
            if score.abs() > 0.03 || iou < 0.8 {
                wrong.push(format!("{name}: {found} is not {wanted}"));
            }
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

/// The texts of the lines, in their order, without spaces.
fn texts(result: &Value) -> Vec<String> {
    let lines = result["lines"].as_array().unwrap();
    lines.iter().map(|line| line["text"].as_str().unwrap().replace(' ', "")).collect()
}

fn png(picture: impl Into<DynamicImage>) -> Vec<u8> {
    let mut payload = Cursor::new(Vec::new());
    picture.into().write_to(&mut payload, ImageFormat::Png).unwrap();
    payload.into_inner()
}

/// A curved page, of which `quick` misses two lines: every letter, in order, whichever way it is
/// turned (but for a prompt at its edge), and also as ink on a transparent ground.
#[test]
fn thorough_reads_a_page_in_every_direction() {
    let (shared, model) = (shared_folder(), model("thorough", "page"));
    let page = image::open(shared.join("photos/text/page.png")).unwrap();
    let truth = [
        "Region-basedsegmentation",
        "Letusfirstdeterminemarkersofthecoinsandthe",
        "background.Thesemarkersarepixelsthatwecanlabel",
        "unambiguouslyaseitherobjectorbackground.Here,",
        "themarkersarefoundatthetwoextremepartsofthe",
        "histogramofgreyvalues:",
        "markers=np.zeros_like(coins)",
    ];
    let turned = [page.clone(), page.rotate90(), page.rotate180(), page.rotate270()];
    for (quarter, page) in turned.into_iter().enumerate() {
        let mut lines = texts(&recognize(&model, &png(page)));
        if let Some(last) = lines.last_mut() {
            *last = last.trim_start_matches('>').to_owned();
        }
        assert_eq!(lines, truth, "turned by {quarter} quarters");
    }
    // Its ink alone, white on nothing.
    let ink = RgbaImage::from_fn(page.width(), page.height(), |x, y| {
        let dark = 255 - page.get_pixel(x, y).0[0];
        Rgba([255, 255, 255, if dark > 130 { 255 } else { 0 }])
    });
    let lines = texts(&recognize(&model, &png(ink)));
    assert_eq!(lines.first().map(String::as_str), Some(truth[0]), "{lines:?}");
}

#[test]
fn pictures_without_text_have_no_lines() {
    for setting in ["quick", "thorough"] {
        let model = model(setting, &format!("none-{setting}"));
        for (width, height) in [(1, 1), (8, 8), (1, 20_000), (20_000, 9), (640, 480)] {
            let white = RgbImage::from_pixel(width, height, Rgb([255; 3]));
            let result = recognize(&model, &png(white));
            assert_eq!(texts(&result), Vec::<String>::new(), "{setting} {width}x{height}");
            assert_eq!(result["width"], width);
        }
    }
}
