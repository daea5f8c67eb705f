//! ONNX files.

/// placeholder
#[derive(Debug, Clone)]
pub struct ModelProto;
