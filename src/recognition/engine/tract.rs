//! tract: the engine that is always there, pure Rust.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;

use tract_onnx::prelude::*;

use super::{Output, Session};
use crate::recognition::error::LoadError;

pub const NAME: &str = "tract";

pub struct TractSession {
    plan: Arc<TypedRunnableModel>,
    shape: Vec<usize>,
}

impl TractSession {
    pub fn load(onnx: &[u8], shape: &[usize]) -> Result<TractSession, LoadError> {
        // Parsing and optimising a strange file may panic; that is this file's problem alone.
        let plan = catch_unwind(AssertUnwindSafe(|| compile(onnx, shape)))
            .unwrap_or_else(|panic| Err(TractError::msg(panic_text(&*panic).to_owned())))
            .map_err(|error| LoadError(format!("tract cannot load the graph: {error:#}")))?;
        Ok(TractSession { plan, shape: shape.to_vec() })
    }
}

fn compile(onnx: &[u8], shape: &[usize]) -> TractResult<Arc<TypedRunnableModel>> {
    // Exporters leave stale shapes beside the graph (a symbolic batch, another size); what counts
    // is the concrete input.
    let model = tract_onnx::onnx()
        .with_ignore_value_info(true)
        .with_ignore_output_shapes(true)
        .model_for_read(&mut &*onnx)?;
    if model.input_outlets()?.len() != 1 {
        let inputs = model.input_outlets()?.len();
        return Err(TractError::msg(format!("it has {inputs} inputs, one is expected")));
    }
    model.with_input_fact(0, f32::fact(shape).into())?.into_optimized()?.into_runnable()
}

impl Session for TractSession {
    fn run(&self, input: &[f32]) -> Result<Vec<Output>, String> {
        let run = || -> TractResult<Vec<Output>> {
            let input = Tensor::from_shape(&self.shape, input)?;
            let outputs = self.plan.run(tvec!(input.into()))?;
            outputs.iter().map(|output| to_output(output)).collect()
        };
        run().map_err(|error| format!("{error:#}"))
    }

    fn engine(&self) -> &'static str {
        NAME
    }
}

fn to_output(tensor: &Tensor) -> TractResult<Output> {
    let tensor = tensor.cast_to::<f32>()?;
    let values = tensor.to_plain_array_view::<f32>()?.iter().copied().collect();
    Ok(Output { shape: tensor.shape().to_vec(), values })
}

fn panic_text(panic: &(dyn Any + Send)) -> &str {
    panic
        .downcast_ref::<&str>()
        .copied()
        .or_else(|| panic.downcast_ref::<String>().map(String::as_str))
        .unwrap_or("the loader panicked")
}
