//! tract: the engine that is always there, pure Rust.

use std::any::Any;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use tract_onnx::prelude::*;
use tract_onnx::tract_core::transform::get_transform;

use super::session::{Onnx, Output, Session};
use crate::error::LoadError;

pub const NAME: &str = "tract";

/// Shapes of one graph that are kept compiled. Tasks round their sizes up to a few.
const MOST_PLANS: usize = 24;

/// A graph for tract. All workers share what is compiled; what a run needs besides is made for that
/// run and dropped with it, so nothing is kept for each worker.
pub struct TractSession {
    onnx: Vec<u8>,
    output: Option<String>,
    /// Which of the two ways to compile it is the faster.
    channels_last: bool,
    /// The compiled graph of each shape, the last used at the end.
    plans: Mutex<Vec<(Vec<usize>, Plan)>>,
}

type Plan = Arc<TypedRunnableModel>;

impl TractSession {
    pub fn load(onnx: Onnx, shape: &[usize]) -> Result<TractSession, LoadError> {
        let refuse = |reason: String| LoadError(format!("tract cannot load the graph: {reason}"));
        let (plan, channels_last) = contained(|| compile_faster(onnx, shape)).map_err(refuse)?;
        Ok(TractSession {
            onnx: onnx.bytes.to_vec(),
            output: onnx.output.map(str::to_owned),
            channels_last,
            plans: Mutex::new(vec![(shape.to_vec(), plan)]),
        })
    }

    /// The graph for that shape. (A shape left open is five times slower.)
    fn plan(&self, shape: &[usize]) -> Result<Plan, String> {
        if let Some(plan) = self.known_plan(shape) {
            return Ok(plan);
        }
        // Not under the lock: it takes a second, and other shapes go on meanwhile.
        let onnx = Onnx { bytes: &self.onnx, output: self.output.as_deref() };
        let plan = contained(|| {
            let model = parse(onnx, shape)?;
            if self.channels_last { channels_last(model) } else { plain(model) }
        })?;
        let mut plans = self.plans.lock();
        if plans.len() >= MOST_PLANS {
            plans.remove(0);
        }
        plans.push((shape.to_vec(), plan.clone()));
        Ok(plan)
    }

    fn known_plan(&self, shape: &[usize]) -> Option<Plan> {
        let mut plans = self.plans.lock();
        let position = plans.iter().position(|(known, _)| known == shape)?;
        let found = plans.remove(position);
        let plan = found.1.clone();
        plans.push(found);
        Some(plan)
    }
}

/// Parsing and optimising a strange file may panic; that is this file's problem alone.
fn contained<T>(compile: impl FnOnce() -> TractResult<T>) -> Result<T, String> {
    catch_unwind(AssertUnwindSafe(compile))
        .unwrap_or_else(|panic| Err(TractError::msg(panic_text(&*panic).to_owned())))
        .map_err(|error| format!("{error:#}"))
}

fn parse(onnx: Onnx, shape: &[usize]) -> TractResult<TypedModel> {
    // Exporters leave stale shapes beside the graph (a symbolic batch, another size); what counts
    // is the concrete input.
    let mut model = tract_onnx::onnx()
        .with_ignore_value_info(true)
        .with_ignore_output_shapes(true)
        .model_for_read(&mut &*onnx.bytes)?;
    if model.input_outlets()?.len() != 1 {
        let inputs = model.input_outlets()?.len();
        return Err(TractError::msg(format!("it has {inputs} inputs, one is expected")));
    }
    if let Some(name) = onnx.output {
        model.select_outputs_by_name([name])?;
    }
    model.with_input_fact(0, f32::fact(shape).into())?.into_typed()?.into_decluttered()
}

fn plain(model: TypedModel) -> TractResult<Plan> {
    model.into_optimized()?.into_runnable()
}

/// The same graph, its convolutions with the channels last.
fn channels_last(mut model: TypedModel) -> TractResult<Plan> {
    let transform = get_transform("conv_nhwc")?
        .ok_or_else(|| TractError::msg("the transformation conv_nhwc is not there"))?;
    transform.transform(&mut model)?;
    plain(model)
}

/// Convolutions with the channels last are faster for some networks (mobilenets, by a tenth to a
/// third) and slower for others: both are timed. This costs one more compilation and a few runs.
/// The faster one, and whether it has the channels last.
fn compile_faster(onnx: Onnx, shape: &[usize]) -> TractResult<(Plan, bool)> {
    let model = parse(onnx, shape)?;
    let other = contained(|| channels_last(model.clone()));
    let plain = plain(model)?;
    let plain_time = best_time(&plain, shape)?;
    if let Ok(other) = other
        && best_time(&other, shape).is_ok_and(|time| time < plain_time)
    {
        return Ok((other, true));
    }
    Ok((plain, false))
}

/// The shortest of some runs, fewer if they are long.
fn best_time(plan: &Plan, shape: &[usize]) -> TractResult<Duration> {
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
    fn run(&self, shape: &[usize], input: &[f32]) -> Result<Vec<Output>, String> {
        let plan = self.plan(shape)?;
        let run = || -> TractResult<Vec<Output>> {
            let input = Tensor::from_shape(shape, input)?;
            let outputs = plan.run(tvec!(input.into()))?;
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
