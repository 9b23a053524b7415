//! tract: the engine that is always there, pure Rust.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tract_onnx::prelude::*;
use tract_onnx::tract_core::transform::get_transform;

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
    let model =
        model.with_input_fact(0, f32::fact(shape).into())?.into_typed()?.into_decluttered()?;
    let plain = model.clone().into_optimized()?.into_runnable()?;
    faster(plain, channels_last(model).ok().flatten(), shape)
}

/// The same graph, its convolutions with the channels last.
fn channels_last(mut model: TypedModel) -> TractResult<Option<Arc<TypedRunnableModel>>> {
    let Some(transform) = get_transform("conv_nhwc")? else { return Ok(None) };
    transform.transform(&mut model)?;
    Ok(Some(model.into_optimized()?.into_runnable()?))
}

/// Convolutions with the channels last are faster for some networks (mobilenets, by a tenth to a
/// third) and slower for others: both are timed. This costs one more compilation and a few runs.
fn faster(
    plain: Arc<TypedRunnableModel>,
    other: Option<Arc<TypedRunnableModel>>,
    shape: &[usize],
) -> TractResult<Arc<TypedRunnableModel>> {
    let plain_time = best_time(&plain, shape)?;
    let Some(other) = other else { return Ok(plain) };
    Ok(match best_time(&other, shape) {
        Ok(time) if time < plain_time => other,
        _ => plain,
    })
}

/// The shortest of some runs, fewer if they are long.
fn best_time(plan: &Arc<TypedRunnableModel>, shape: &[usize]) -> TractResult<Duration> {
    const RUNS: u32 = 5;
    const ENOUGH: Duration = Duration::from_millis(250);
    let begin = Instant::now();
    let mut best = Duration::MAX;
    for _ in 0..RUNS {
        let start = Instant::now();
        plan.run(tvec!(Tensor::zero::<f32>(shape)?.into()))?;
        best = best.min(start.elapsed());
        if begin.elapsed() > ENOUGH {
            break;
        }
    }
    Ok(best)
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
