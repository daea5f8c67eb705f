//! A graph that is run as it is, with all of its inputs and outputs.

use ort::memory::{AllocationDevice, Allocator, AllocatorType, MemoryInfo, MemoryType};
use ort::value::Tensor;

use super::session::{self, SharedSession};
use crate::engine::Device;
use crate::model::onnx::ModelProto;
use crate::{Error, Result};
use prost::Message;

/// A tensor that is fed, or comes out.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Named {
    /// Name of the graph's input or output.
    pub name: String,
    /// Length of each axis.
    pub dims: Vec<usize>,
    /// The numbers, the last axis running fastest.
    pub values: Vec<f32>,
}

/// A graph on a device.
#[derive(Debug)]
pub struct Graph {
    name: String,
    session: SharedSession,
    outputs: Vec<String>,
}

impl Graph {
    /// Opens a graph; `name` is for messages.
    ///
    /// # Errors
    /// As [`OnnxEngine::new`](super::OnnxEngine::new).
    pub fn open(name: &str, model: &ModelProto, device: Device) -> Result<Graph> {
        let session = session::open_bytes(name, &model.encode_to_vec(), device)?;
        let outputs = model.graph.iter().flat_map(|graph| &graph.output);
        let outputs = outputs.map(|output| output.name().to_owned()).collect();
        Ok(Graph { name: name.to_owned(), session, outputs })
    }

    /// Runs the graph; returns its outputs, in their order.
    ///
    /// # Errors
    /// Inputs that do not fit the graph.
    pub fn run(&self, inputs: &[Named]) -> Result<Vec<Named>> {
        let fail = |reason: &ort::Error| {
            Error::model(&self.name, format!("cannot be run: {}", super::one_line(reason)))
        };
        self.try_run(inputs).map_err(|reason| fail(&reason))
    }

    fn try_run(&self, inputs: &[Named]) -> ort::Result<Vec<Named>> {
        let mut session = session::lock(&self.session);
        let mut binding = session.create_binding()?;
        let mut tensors = Vec::with_capacity(inputs.len());
        for input in inputs {
            let dims: Vec<i64> = input.dims.iter().map(|&n| n as i64).collect();
            let mut tensor = Tensor::<f32>::new(&Allocator::default(), dims)?;
            tensor.extract_tensor_mut().1.copy_from_slice(&input.values);
            tensors.push(tensor);
        }
        for (input, tensor) in inputs.iter().zip(&tensors) {
            binding.bind_input(&*input.name, tensor)?;
        }
        let host = MemoryInfo::new(AllocationDevice::CPU, 0, AllocatorType::Device, MemoryType::CPUOutput)?;
        for name in &self.outputs {
            binding.bind_output_to_device(&**name, &host)?;
        }
        let results = session.run_binding(&binding)?;
        let mut outputs = Vec::with_capacity(self.outputs.len());
        for (rank, name) in self.outputs.iter().enumerate() {
            let (dims, values) = results[rank].try_extract_tensor::<f32>()?;
            let dims = dims.iter().map(|&n| usize::try_from(n).unwrap_or(0)).collect();
            outputs.push(Named { name: name.clone(), dims, values: values.to_vec() });
        }
        Ok(outputs)
    }
}
