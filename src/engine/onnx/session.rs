//! One graph on one device: an ONNX Runtime session and the buffers bound to it.

use std::sync::{Arc, Mutex, PoisonError};

use ort::ep;
use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::session::builder::{GraphOptimizationLevel, SessionBuilder};
use ort::session::{IoBinding, Session};
use ort::value::Tensor;

use super::library::{Library, library};
use super::one_line;
use crate::engine::Device;
use crate::model::Model;
use crate::{Error, Result};

/// A session that several workers may share; a run takes it for itself.
pub(super) type SharedSession = Arc<Mutex<Session>>;

/// Opens the graph of `model` on `device`. The session computes in the thread that calls it and starts none.
///
/// # Errors
/// No usable library, no such device (there is no falling back to another), or a graph the library refuses.
pub(super) fn open(model: &Model, device: Device) -> Result<SharedSession> {
    match model.graph_file() {
        // The library reads a file in less memory than the bytes of one take beside what it makes of them.
        Some(path) => open_with(&model.spec.name, device, |builder| builder.commit_from_file(path)),
        None => open_bytes(&model.spec.name, &model.to_bytes(), device),
    }
}

/// As [`open`], for the bytes of an ONNX file.
pub(super) fn open_bytes(name: &str, bytes: &[u8], device: Device) -> Result<SharedSession> {
    open_with(name, device, |builder| builder.commit_from_memory(bytes))
}

fn open_with(
    name: &str,
    device: Device,
    commit: impl FnOnce(&mut SessionBuilder) -> ort::Result<Session>,
) -> Result<SharedSession> {
    let library = library()?;
    let mut builder = on_device(configure(library)?, library, device)?;
    let session = commit(&mut builder)
        .map_err(|e| Error::model(name, format!("ONNX Runtime refuses the graph: {}", one_line(&e))))?;
    Ok(Arc::new(Mutex::new(session)))
}

fn configure(library: &Library) -> Result<SessionBuilder> {
    let builder = Session::builder(&library.environment).map_err(|e| failed(&e))?;
    let builder = builder.with_independent_thread_pool().map_err(|e| failed(&e))?;
    let builder = builder.with_intra_threads(1).map_err(|e| failed(&e))?;
    builder.with_optimization_level(GraphOptimizationLevel::All).map_err(|e| failed(&e))
}

/// Puts the session on a GPU if it is to run on one. Convolutions stay in full f32: the shorter TF32 mantissa is
/// good for three digits only.
fn on_device(builder: SessionBuilder, library: &Library, device: Device) -> Result<SessionBuilder> {
    let Device::Cuda(number) = device else { return Ok(builder) };
    let unusable = |reason: &str| {
        let path = library.path.display();
        let remedy = if library.path.with_file_name("libonnxruntime_providers_cuda.so").exists() {
            "check the driver, CUDA 13 and cuDNN 9 (LD_LIBRARY_PATH)"
        } else {
            "run scripts/install-onnxruntime --cuda"
        };
        // The library gives the path of its own failing part first, the loader's reason after it.
        let reason = reason.rsplit("with error: ").next().unwrap_or(reason);
        Error::Runtime(format!("{path} cannot use {device} ({reason}); {remedy}, or use --device cpu"))
    };
    let id = i32::try_from(number).map_err(|_| unusable("no such number"))?;
    let cuda = ep::CUDA::default()
        .with_device_id(id)
        .with_tf32(false)
        .with_conv_algorithm_search(ep::cuda::ConvAlgorithmSearch::Heuristic);
    let provider = cuda.build().error_on_failure();
    builder.with_execution_providers([provider]).map_err(|e| unusable(&one_line(&e)))
}

fn failed<R>(error: &ort::Error<R>) -> Error {
    Error::Runtime(one_line(error))
}

/// A worker's own input and output buffers, bound to a session.
#[derive(Debug)]
pub(super) struct Runner {
    session: SharedSession,
    binding: IoBinding,
    input_name: String,
    output_name: String,
    input: Option<(Vec<i64>, Tensor<f32>)>,
}

impl Runner {
    /// Buffers for the graph of `model`, which `session` has open.
    pub(super) fn new(session: SharedSession, model: &Model) -> Result<Runner> {
        let binding = lock(&session).create_binding().map_err(|e| failed(&e))?;
        let (input_name, output_name) = (model.input.name.clone(), model.output.clone());
        Ok(Runner { session, binding, input_name, output_name, input: None })
    }

    /// The input buffer, laid out for `shape`. Its contents are those of the last run with the same shape, or
    /// arbitrary.
    pub(super) fn input(&mut self, shape: &[i64]) -> Result<&mut [f32]> {
        if self.input.as_ref().is_none_or(|(laid_out, _)| laid_out != shape) {
            self.lay_out(shape).map_err(|e| failed(&e))?;
        }
        let (_, tensor) = self.input.as_mut().expect("just laid out");
        Ok(tensor.extract_tensor_mut().1)
    }

    fn lay_out(&mut self, shape: &[i64]) -> ort::Result<()> {
        self.input = Some((shape.to_vec(), Tensor::new(&Allocator::default(), shape)?));
        // The output of the first run is written again by the next ones, so another input shape needs another.
        let host = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::CPUOutput)?;
        self.binding.clear_outputs();
        self.binding.bind_output_to_device(&*self.output_name, &host)
    }

    /// Runs the graph on the input buffer and hands the output, its shape first, to `take`. The error is the
    /// library's reason on one line.
    pub(super) fn run<T>(&mut self, take: impl FnOnce(&[i64], &[f32]) -> T) -> Result<T, String> {
        let (_, tensor) = self.input.as_ref().ok_or("no input was given")?;
        let mut session = lock(&self.session);
        let run = || -> ort::Result<T> {
            self.binding.bind_input(&*self.input_name, tensor)?;
            let outputs = session.run_binding(&self.binding)?;
            let (shape, scores) = outputs[0].try_extract_tensor::<f32>()?;
            Ok(take(shape, scores))
        };
        run().map_err(|e| one_line(&e))
    }
}

/// A session that another worker panicked on is still whole: only its own calls change it.
pub(super) fn lock(session: &SharedSession) -> std::sync::MutexGuard<'_, Session> {
    session.lock().unwrap_or_else(PoisonError::into_inner)
}
