//! Activation functions of Keras.

use serde_json::Value as Json;

use super::emit::{Emitter, Value};
use super::network::Config;
use crate::model::onnx::build::{float, int};
use crate::model::onnx::tensor::Tensor;

/// The name of an activation: a word, or a function or layer with settings of its own.
pub(super) fn setting(config: &Config, key: &str) -> Result<(String, Config), String> {
    match config.get(key) {
        None => Ok(("linear".into(), Config::default())),
        Some(Json::String(name)) => Ok((name.clone(), Config::default())),
        Some(Json::Object(object)) => {
            let class = object.get("class_name").and_then(Json::as_str).unwrap_or("");
            match object.get("config") {
                // A function is named in the place of settings.
                Some(Json::String(name)) => Ok((name.clone(), Config::default())),
                Some(Json::Object(settings)) => Ok((class.to_owned(), Config(settings.clone()))),
                _ => Ok((class.to_owned(), Config::default())),
            }
        }
        Some(other) => Err(format!("has the {key} {other}")),
    }
}

impl Emitter {
    /// The activation that `key` of `config` names.
    pub(super) fn activated(
        &mut self,
        value: &Value,
        config: &Config,
        key: &str,
        keras: u32,
    ) -> Result<Value, String> {
        let (name, settings) = setting(config, key)?;
        self.activation(value, &name, &settings, keras)
    }

    /// The activation of this name, or the layer of this class that is one; `keras` is the version that wrote it.
    pub(super) fn activation(
        &mut self,
        value: &Value,
        name: &str,
        settings: &Config,
        keras: u32,
    ) -> Result<Value, String> {
        let slope = |default: f64| settings.number("negative_slope", settings.number("alpha", default));
        Ok(match name {
            "linear" => value.clone(),
            "relu" | "ReLU" => self.rectifier(value, settings),
            "relu6" => self.clipped(value, 0.0, 6.0),
            "leaky_relu" => self.each("LeakyRelu", value, vec![float("alpha", 0.2)]),
            "LeakyReLU" => self.each("LeakyRelu", value, vec![float("alpha", slope(0.3) as f32)]),
            "elu" | "ELU" => {
                self.each("Elu", value, vec![float("alpha", settings.number("alpha", 1.0) as f32)])
            }
            "selu" => self.each("Selu", value, vec![]),
            "sigmoid" => self.each("Sigmoid", value, vec![]),
            "hard_sigmoid" => self.hard_sigmoid(value, keras),
            "tanh" => self.each("Tanh", value, vec![]),
            "exponential" | "exp" => self.each("Exp", value, vec![]),
            "softplus" => self.each("Softplus", value, vec![]),
            "softsign" => self.each("Softsign", value, vec![]),
            "swish" | "silu" => {
                let gate = self.each("Sigmoid", value, vec![]);
                self.product(value, &gate)
            }
            "mish" => {
                let softplus = self.each("Softplus", value, vec![]);
                let gate = self.each("Tanh", &softplus, vec![]);
                self.product(value, &gate)
            }
            "gelu" => self.gelu(value),
            "softmax" | "log_softmax" | "Softmax" => {
                let operator = if name == "log_softmax" { "LogSoftmax" } else { "Softmax" };
                let axis = settings.number("axis", -1.0) as i64;
                let rank = value.shape.len() + 1;
                let axis = crate::model::onnx::tensor::resolve(axis, rank)?;
                self.each(operator, value, vec![int("axis", value.axis(axis) as i64)])
            }
            other => return Err(format!("has the activation {other:?}, which is not known")),
        })
    }

    fn product(&mut self, left: &Value, right: &Value) -> Value {
        Value { name: self.node("Mul", &[&left.name, &right.name], []), ..left.clone() }
    }

    fn clipped(&mut self, value: &Value, low: f64, high: f64) -> Value {
        let (low, high) = (self.number(low), self.number(high));
        Value { name: self.node("Clip", &[&value.name, &low, &high], []), ..value.clone() }
    }

    /// `max(0, x)`, with a slope below a threshold, a threshold and a highest value where they are set.
    fn rectifier(&mut self, value: &Value, settings: &Config) -> Value {
        let (threshold, slope) = (settings.number("threshold", 0.0), settings.number("negative_slope", 0.0));
        let highest = settings.get("max_value").and_then(Json::as_f64);
        let mut result = if threshold == 0.0 && slope == 0.0 {
            self.each("Relu", value, vec![])
        } else if threshold == 0.0 {
            self.each("LeakyRelu", value, vec![float("alpha", slope as f32)])
        } else {
            let above = self.with_number("GreaterOrEqual", value, threshold);
            let below = self.with_number("Sub", value, threshold);
            let below = self.with_number("Mul", &below, slope);
            Value { name: self.node("Where", &[&above.name, &value.name, &below.name], []), ..value.clone() }
        };
        if let Some(highest) = highest {
            result = self.with_number("Min", &result, highest);
        }
        result
    }

    fn hard_sigmoid(&mut self, value: &Value, keras: u32) -> Value {
        let slope = hard_sigmoid_slope(keras);
        self.each("HardSigmoid", value, vec![float("alpha", slope), float("beta", 0.5)])
    }

    /// `x · (1 + erf(x / √2)) / 2`.
    fn gelu(&mut self, value: &Value) -> Value {
        let scaled = self.with_number("Mul", value, std::f64::consts::FRAC_1_SQRT_2);
        let erf = self.each("Erf", &scaled, vec![]);
        let gate = self.with_number("Add", &erf, 1.0);
        let product = self.product(value, &gate);
        self.with_number("Mul", &product, 0.5)
    }

    /// A rectifier with slopes that were fitted.
    pub(super) fn parametric(&mut self, value: &Value, slopes: &Tensor) -> Result<Value, String> {
        let value = self.straight(value);
        let slopes = self.constant("slopes", slopes);
        Ok(Value { name: self.node("PRelu", &[&value.name, &slopes], []), ..value })
    }
}

/// Slope of the hard sigmoid function, which Keras 3 changed.
pub(super) fn hard_sigmoid_slope(keras: u32) -> f32 {
    if keras >= 3 { 1.0 / 6.0 } else { 0.2 }
}
