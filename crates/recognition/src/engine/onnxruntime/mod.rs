//! onnxruntime: a shared library of C++, loaded if it is there and fits.

mod library;
mod one_session;

use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use ort::environment::Environment;
use ort::logging::LogLevel;
use ort::session::Session as OrtSession;
use ort::session::builder::{GraphOptimizationLevel, PrepackedWeights};
use ort::value::TensorRef;

use super::session::{Onnx, Output, Session};
use super::spare::Pool;
use crate::error::{LoadError, printable};
pub use library::Library;
use one_session::{Counted, OneSession};

pub const NAME: &str = "onnxruntime";

/// A graph for onnxruntime.
pub struct OnnxRuntimeSession {
    environment: Environment,
    onnx: Vec<u8>,
    /// The one output that is wanted.
    output: Option<String>,
    packed: PrepackedWeights,
    spare: Arc<Pool<OneSession>>,
    sessions: Arc<AtomicUsize>,
}

impl OnnxRuntimeSession {
    pub fn load(library: &Library, onnx: Onnx) -> Result<OnnxRuntimeSession, LoadError> {
        let mut graph = OnnxRuntimeSession {
            environment: library.environment.clone(),
            onnx: onnx.bytes.to_vec(),
            output: onnx.output.map(str::to_owned),
            packed: PrepackedWeights::new(),
            spare: library.pools.add(),
            sessions: library.sessions.clone(),
        };
        let refuse = |reason: String| {
            LoadError(format!("onnxruntime cannot load the graph: {}", printable(&reason)))
        };
        let mut session = graph.new_session().map_err(refuse)?;
        if let Some(name) = onnx.output
            && !session.session.outputs().iter().any(|output| output.name() == name)
        {
            // The library gives nothing that the file does not call an output.
            graph.onnx.extend(as_graph_output(name));
            session = graph.new_session().map_err(refuse)?;
        }
        let inputs = session.session.inputs().len();
        if inputs != 1 {
            return Err(refuse(format!("it has {inputs} inputs, one is expected")));
        }
        graph.spare.put_back(session);
        Ok(graph)
    }

    fn new_session(&self) -> Result<OneSession, String> {
        let build = || -> ort::Result<OrtSession> {
            OrtSession::builder(&self.environment)?
                .with_log_level(LogLevel::Error)?
                .with_optimization_level(GraphOptimizationLevel::All)?
                .with_intra_threads(1)?
                .with_inter_threads(1)?
                .with_prepacked_weights(&self.packed)?
                .commit_from_memory(&self.onnx)
        };
        let session = build().map_err(|error| error.to_string())?;
        Ok(OneSession { session, _counted: Counted::new(&self.sessions) })
    }
}

impl Session for OnnxRuntimeSession {
    fn run(&self, shape: &[usize], input: &[f32]) -> Result<Vec<Output>, String> {
        let mut session = self.spare.take().map_or_else(|| self.new_session(), Ok)?;
        let outputs = run(&mut session.session, self.output.as_deref(), shape, input)
            .map_err(|error| printable(&error.to_string()));
        self.spare.put_back(session);
        outputs
    }

    fn engine(&self) -> &'static str {
        NAME
    }
}

fn run(
    session: &mut OrtSession,
    wanted: Option<&str>,
    shape: &[usize],
    input: &[f32],
) -> ort::Result<Vec<Output>> {
    let shape: Vec<i64> = shape.iter().map(|side| *side as i64).collect();
    let input = TensorRef::from_array_view((shape, input))?;
    let outputs = session.run(ort::inputs![input])?;
    outputs
        .iter()
        .filter(|(name, _)| wanted.is_none_or(|wanted| wanted == *name))
        .map(|(_, output)| {
            let (shape, values) = output.try_extract_tensor::<f32>()?;
            let shape = shape.iter().map(|side| *side as usize).collect();
            Ok(Output { shape, values: values.to_vec() })
        })
        .collect()
}

/// The bytes which, put behind an ONNX file, add a value to its graph's outputs: a `ModelProto` of
/// nothing but `graph.output.name`. (Repeated fields of two protobuf messages add up.)
fn as_graph_output(name: &str) -> Vec<u8> {
    const NAME: u8 = 1;
    const OUTPUT: u8 = 12;
    const GRAPH: u8 = 7;
    let mut message = name.as_bytes().to_vec();
    for field in [NAME, OUTPUT, GRAPH] {
        let mut length = message.len();
        let mut outer = vec![field << 3 | 2];
        while length >= 128 {
            outer.push(length as u8 | 128);
            length >>= 7;
        }
        outer.push(length as u8);
        outer.append(&mut message);
        message = outer;
    }
    message
}
