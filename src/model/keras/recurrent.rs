//! Recurrent layers of Keras.

use super::activation::{hard_sigmoid_slope, setting};
use super::emit::{Emitter, Value};
use super::file::{KerasFile, Place};
use super::layer::Context;
use super::network::Config;
use crate::model::onnx::build::{floats, int, ints, string, strings};
use crate::model::onnx::tensor::{Tensor, permute};

/// A kind of cell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Cell {
    Lstm,
    Gru,
    Simple,
}

impl Cell {
    fn of(class: &str) -> Option<Cell> {
        match class {
            "LSTM" | "CuDNNLSTM" => Some(Cell::Lstm),
            "GRU" => Some(Cell::Gru),
            "SimpleRNN" => Some(Cell::Simple),
            _ => None,
        }
    }

    fn operator(self) -> &'static str {
        match self {
            Cell::Lstm => "LSTM",
            Cell::Gru => "GRU",
            Cell::Simple => "RNN",
        }
    }

    fn gates(self) -> usize {
        match self {
            Cell::Lstm => 4,
            Cell::Gru => 3,
            Cell::Simple => 1,
        }
    }

    /// The gates in the order of ONNX, each by its rank in that of Keras.
    fn order(self) -> &'static [usize] {
        match self {
            // Input, forget, cell, output; ONNX has input, output, forget, cell.
            Cell::Lstm => &[0, 3, 1, 2],
            // Update, reset, new: both alike.
            Cell::Gru => &[0, 1, 2],
            Cell::Simple => &[0],
        }
    }
}

/// True if a layer of this class is recurrent.
pub(super) fn is_recurrent(class: &str) -> bool {
    Cell::of(class).is_some()
}

/// The weights of one direction, as ONNX has them.
struct Weights {
    kernel: Vec<f32>,
    recurrent: Vec<f32>,
    bias: Vec<f32>,
}

/// Combination of the directions of a layer.
enum Reading<'a> {
    Forward,
    Both(&'a str),
}

impl Emitter {
    /// A recurrent layer that reads forward.
    pub(super) fn recurrent(&mut self, context: &Context<'_>, value: &Value) -> Result<Value, String> {
        let Context { layer, place, .. } = context;
        let places = [place.part(None, "cell")];
        self.read(context, (&layer.class, &layer.config), &places, value, &Reading::Forward)
    }

    /// A recurrent layer that reads both ways.
    pub(super) fn bidirectional(&mut self, context: &Context<'_>, value: &Value) -> Result<Value, String> {
        let Context { layer, place, .. } = context;
        let inner = layer.config.get("layer").ok_or("has no layer within")?;
        let class = inner["class_name"].as_str().unwrap_or("");
        let config = Config(inner["config"].as_object().cloned().unwrap_or_default());
        if layer
            .config
            .get("backward_layer")
            .is_some_and(|backward| backward["class_name"] != inner["class_name"])
        {
            return Err("has layers of two classes for the two ways".into());
        }
        let places = [
            place.part(Some("forward_"), "forward_layer").part(None, "cell"),
            place.part(Some("backward_"), "backward_layer").part(None, "cell"),
        ];
        let merge = layer.config.text("merge_mode", "");
        self.read(context, (class, &config), &places, value, &Reading::Both(merge))
    }

    /// A recurrent layer of a class and with a configuration, whose directions have their weights in `places`.
    fn read(
        &mut self,
        context: &Context<'_>,
        (class, config): (&str, &Config),
        places: &[Place],
        value: &Value,
        reading: &Reading<'_>,
    ) -> Result<Value, String> {
        let cell = Cell::of(class)
            .ok_or_else(|| format!("has a layer of the class {class:?} within, which is not known"))?;
        let (positions, channels) = value.sequence()?;
        let units = config.size("units")?;
        for (key, what) in
            [("stateful", "keeps its state between batches"), ("go_backwards", "goes backwards")]
        {
            if config.flag(key, false) {
                return Err(format!("{what}, which is not known"));
            }
        }
        // Keras 2 has the reset gate before the product by default, older ones behind it.
        let reset_after = cell == Cell::Gru && config.flag("reset_after", false);
        let directions = places.len();
        let (mut kernel, mut recurrent, mut bias) = (Vec::new(), Vec::new(), Vec::new());
        for place in places {
            let weights = weights(cell, config, place, context.file, channels, units)?;
            kernel.extend(weights.kernel);
            recurrent.extend(weights.recurrent);
            bias.extend(weights.bias);
        }
        let rows = cell.gates() * units;
        let kernel = self.constant("kernel", &Tensor::floats([directions, rows, channels], kernel));
        let recurrent =
            self.constant("recurrent_kernel", &Tensor::floats([directions, rows, units], recurrent));
        let bias = self.constant("bias", &Tensor::floats([directions, 2 * rows], bias));
        let perm: &[i64] = if value.turned { &[2, 0, 1] } else { &[1, 0, 2] };
        let steps = self.node("Transpose", &[&value.name], [ints("perm", perm)]);
        let mut attributes = vec![int("hidden_size", units as i64)];
        attributes.extend(functions(cell, config, directions, context.keras)?);
        if directions == 2 {
            attributes.push(string("direction", "bidirectional"));
        }
        if cell == Cell::Gru {
            attributes.push(int("linear_before_reset", i64::from(reset_after)));
        }
        let all = config.flag("return_sequences", false);
        let inputs = [&*steps, &kernel, &recurrent, &bias];
        let result = self.node_result(cell.operator(), &inputs, usize::from(!all), attributes);
        self.joined(&result, all, units, positions, reading)
    }

    /// Output of the layer, from `[positions, directions, N, units]` or the last state, `[directions, N, units]`.
    fn joined(
        &mut self,
        result: &str,
        all: bool,
        units: usize,
        positions: Option<usize>,
        reading: &Reading<'_>,
    ) -> Result<Value, String> {
        let by_window: &[i64] = if all { &[2, 0, 1, 3] } else { &[1, 0, 2] };
        let result = self.node("Transpose", &[result], [ints("perm", by_window)]);
        let axis: i64 = if all { 2 } else { 1 };
        let joined = match reading {
            Reading::Forward => {
                let axes = self.list(vec![axis]);
                self.node("Squeeze", &[&result, &axes], [])
            }
            Reading::Both("concat") => {
                let shape = if all { vec![0, 0, 2 * units as i64] } else { vec![0, 2 * units as i64] };
                let shape = self.list(shape);
                self.node("Reshape", &[&result, &shape], [])
            }
            Reading::Both(merge @ ("sum" | "ave" | "mul")) => {
                let keep = int("keepdims", 0);
                match *merge {
                    "sum" => {
                        let axes = self.list(vec![axis]);
                        self.node("ReduceSum", &[&result, &axes], [keep])
                    }
                    "ave" => self.node("ReduceMean", &[&result], [ints("axes", &[axis]), keep]),
                    _ => self.node("ReduceProd", &[&result], [ints("axes", &[axis]), keep]),
                }
            }
            Reading::Both(merge) => return Err(format!("has the merge_mode {merge:?}, which is not known")),
        };
        let width = if matches!(reading, Reading::Both("concat")) { 2 * units } else { units };
        let shape = if all { vec![positions, Some(width)] } else { vec![Some(width)] };
        Ok(Value { name: joined, shape, turned: false })
    }
}

/// The functions of a cell, for each direction.
fn functions(
    cell: Cell,
    config: &Config,
    directions: usize,
    keras: u32,
) -> Result<Vec<crate::model::onnx::proto::AttributeProto>, String> {
    let named = |key: &str, default: &str| -> Result<&'static str, String> {
        let given = if config.get(key).is_some() { setting(config, key)?.0 } else { default.to_owned() };
        match &*given {
            "tanh" => Ok("Tanh"),
            "sigmoid" => Ok("Sigmoid"),
            "hard_sigmoid" => Ok("HardSigmoid"),
            "relu" => Ok("Relu"),
            "softsign" => Ok("Softsign"),
            other => Err(format!("has the {key} {other:?}, which is not known")),
        }
    };
    let activation = named("activation", "tanh")?;
    let gate = named("recurrent_activation", "sigmoid")?;
    let of_cell: Vec<&str> = match cell {
        Cell::Lstm => vec![gate, activation, activation],
        Cell::Gru => vec![gate, activation],
        Cell::Simple => vec![activation],
    };
    let all: Vec<&str> = (0..directions).flat_map(|_| of_cell.iter().copied()).collect();
    // Numbers are given for those functions alone that have some.
    let hard = all.iter().filter(|name| **name == "HardSigmoid").count();
    let mut attributes = vec![strings("activations", &all)];
    if hard > 0 {
        attributes.push(floats("activation_alpha", &vec![hard_sigmoid_slope(keras); hard]));
        attributes.push(floats("activation_beta", &vec![0.5; hard]));
    }
    Ok(attributes)
}

fn weights(
    cell: Cell,
    config: &Config,
    place: &Place,
    file: &KerasFile,
    channels: usize,
    units: usize,
) -> Result<Weights, String> {
    let (gates, rows) = (cell.gates(), cell.gates() * units);
    let has_bias = config.flag("use_bias", true);
    let names: &[&str] =
        if has_bias { &["kernel", "recurrent_kernel", "bias"] } else { &["kernel", "recurrent_kernel"] };
    let tensors = file.weights(place, names)?;
    // `[inputs, gates · units]` as `[gates · units, inputs]`, in the order of ONNX.
    let matrix = |tensor: &Tensor, inputs: usize| -> Result<Vec<f32>, String> {
        let values = tensor.as_floats().filter(|_| tensor.dims == [inputs, rows]);
        let values = values.ok_or_else(|| {
            format!("has weights of shape {:?} where [{inputs}, {rows}] are needed", tensor.dims)
        })?;
        let by_gate = permute(values, &[inputs, gates, units], &[1, 2, 0]);
        Ok(cell
            .order()
            .iter()
            .flat_map(|&gate| by_gate[gate * units * inputs..][..units * inputs].to_vec())
            .collect())
    };
    let by_gate = |bias: &[f32]| -> Vec<f32> {
        cell.order().iter().flat_map(|&gate| bias[gate * units..][..units].to_vec()).collect()
    };
    // Their shapes are checked first: without biases, nothing else says that there are so many units.
    let (kernel, recurrent) = (matrix(&tensors[0], channels)?, matrix(&tensors[1], units)?);
    let bias = match tensors.get(2) {
        None => vec![0.0; 2 * rows],
        Some(tensor) => {
            let values = tensor.as_floats().unwrap_or_default();
            match values.len() {
                // One for the inputs and one for the state (CuDNN layers, and GRU with reset_after).
                n if n == 2 * rows => [by_gate(&values[..rows]), by_gate(&values[rows..])].concat(),
                n if n == rows => [by_gate(values), vec![0.0; rows]].concat(),
                n => return Err(format!("has {n} biases where {rows} are needed")),
            }
        }
    };
    Ok(Weights { kernel, recurrent, bias })
}
