//! The functions in `Lambda` layers that are known. Such a layer holds compiled Python, which is never run: what it calls is
//! looked up by name.

use serde_json::Value as Json;

use super::emit::{Emitter, Value};
use super::network::Layer;
use crate::model::onnx::tensor::Tensor;

/// The function by which BPNet and ChromBPNet add counts that they have as logarithms.
const SUM_OF_LOGARITHMS: &str = "reduce_logsumexp";

pub(super) fn emit(emitter: &mut Emitter, layer: &Layer, value: &Value) -> Result<Value, String> {
    let code = code(layer);
    if !contains(&code, SUM_OF_LOGARITHMS) || !contains(&code, "keepdims") || value.shape.len() != 1 {
        return Err(format!(
            "runs Python that is not known; {SUM_OF_LOGARITHMS} over the last axis is: make a layer of it, and save the model \
             again"
        ));
    }
    sum_of_logarithms(emitter, value)
}

/// The logarithm of the sum of numbers that are given as logarithms.
pub(super) fn sum_of_logarithms(emitter: &mut Emitter, value: &Value) -> Result<Value, String> {
    // Products, sums and functions of each number: every planner can follow them.
    let count = value.channels()?;
    let exponentials = emitter.each("Exp", value, vec![]);
    let ones = emitter.constant("ones", &Tensor::floats([count, 1], vec![1.0; count]));
    let sum = emitter.node("MatMul", &[&exponentials.name, &ones], []);
    let sum = Value { name: sum, shape: vec![Some(1)], turned: false };
    Ok(emitter.each("Log", &sum, vec![]))
}

/// The compiled function, if the layer has one.
fn code(layer: &Layer) -> Vec<u8> {
    let text = match layer.config.get("function") {
        // Keras 2: the code, its defaults, and what it closes over.
        Some(Json::Array(parts)) => parts.first().and_then(Json::as_str),
        Some(Json::Object(object)) => object.get("config").and_then(|config| config["code"].as_str()),
        Some(Json::String(text)) => Some(&**text),
        _ => None,
    };
    text.map(from_base64).unwrap_or_default()
}

fn contains(bytes: &[u8], word: &str) -> bool {
    memchr::memmem::find(bytes, word.as_bytes()).is_some()
}

/// Bytes of base64 text; other characters than its letters are passed over.
fn from_base64(text: &str) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len() / 4 * 3);
    let (mut bits, mut held) = (0u32, 0);
    for letter in text.bytes() {
        let value = match letter {
            b'A'..=b'Z' => letter - b'A',
            b'a'..=b'z' => letter - b'a' + 26,
            b'0'..=b'9' => letter - b'0' + 52,
            b'+' => 62,
            b'/' => 63,
            _ => continue,
        };
        bits = bits << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push((bits >> held) as u8);
        }
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_read() {
        assert_eq!(from_base64("aGVsbG8="), b"hello");
        assert_eq!(from_base64("aGVs\nbG8h"), b"hello!");
        assert_eq!(from_base64(""), b"");
    }
}
