//! Layers of Keras as nodes of an ONNX graph.

use super::emit::{Emitter, Value};
use super::file::{KerasFile, Place};
use super::network::{Config, LARGEST_SIZE, Layer};
use super::{lambda, recurrent};
use crate::model::onnx::build::{float, int, ints, string};
use crate::model::onnx::proto::AttributeProto;
use crate::model::onnx::tensor::{Tensor, permute, resolve};

/// Layers that do nothing once a network is trained.
const IDLE: [&str; 8] = [
    "ActivityRegularization",
    "AlphaDropout",
    "Dropout",
    "GaussianDropout",
    "GaussianNoise",
    "Identity",
    "SpatialDropout1D",
    "SpatialDropout2D",
];

/// Layers of Keras that are read, for a message.
pub(super) const KNOWN: &str = "Conv1D, SeparableConv1D, DepthwiseConv1D, Dense, BatchNormalization, LayerNormalization, \
     activations, pooling, Flatten, Reshape, Permute, Cropping1D, ZeroPadding1D, Add and the like, Concatenate, LSTM, GRU, \
     SimpleRNN, Bidirectional, TimeDistributed and dropout";

/// A layer in hand.
pub(super) struct Context<'a> {
    pub(super) file: &'a KerasFile,
    pub(super) layer: &'a Layer,
    pub(super) place: Place,
    /// Version of Keras that wrote the file.
    pub(super) keras: u32,
}

/// Geometry of a layer that slides along positions.
#[derive(Debug, Clone, Copy)]
struct Sliding {
    kernel: usize,
    stride: usize,
    dilation: usize,
    /// Positions put before and after; `None` where they depend on a length that is free.
    pads: Option<(usize, usize)>,
}

impl Sliding {
    fn of(
        context: &Context<'_>,
        kernel: usize,
        stride: usize,
        dilation: usize,
        positions: Option<usize>,
    ) -> Result<Sliding, String> {
        if kernel == 0 || stride == 0 || dilation == 0 {
            return Err("has a kernel, stride or dilation of 0".into());
        }
        let reach = (kernel - 1) * dilation;
        let pads = match (context.layer.config.text("padding", "valid"), positions) {
            ("valid", _) => Some((0, 0)),
            ("causal", _) => Some((reach, 0)),
            // More goes after than before, as TensorFlow has it.
            ("same", _) if stride == 1 => Some((reach / 2, reach - reach / 2)),
            ("same", Some(positions)) => {
                let all =
                    ((positions.div_ceil(stride).max(1) - 1) * stride + reach + 1).saturating_sub(positions);
                Some((all / 2, all - all / 2))
            }
            ("same", None) => None,
            (other, _) => return Err(format!("has the padding {other:?}")),
        };
        Ok(Sliding { kernel, stride, dilation, pads })
    }

    /// Positions that it leaves.
    fn results(self, positions: Option<usize>) -> Result<Option<usize>, String> {
        let Some(positions) = positions else { return Ok(None) };
        let Some((before, after)) = self.pads else { return Ok(Some(positions.div_ceil(self.stride))) };
        let reach = (self.kernel - 1) * self.dilation;
        let starts = (positions + before + after).checked_sub(reach).filter(|&starts| starts > 0);
        let starts =
            starts.ok_or_else(|| format!("spans {} positions where there are {positions}", reach + 1))?;
        Ok(Some(starts.div_ceil(self.stride)))
    }

    fn attributes(self) -> Vec<AttributeProto> {
        let mut attributes =
            vec![ints("kernel_shape", &[self.kernel as i64]), ints("strides", &[self.stride as i64])];
        if self.dilation > 1 {
            attributes.push(ints("dilations", &[self.dilation as i64]));
        }
        attributes.push(match self.pads {
            Some((before, after)) => ints("pads", &[before as i64, after as i64]),
            None => string("auto_pad", "SAME_UPPER"),
        });
        attributes
    }
}

/// Refuses a normalisation of another axis than the last.
fn check_last_axis(config: &Config, value: &Value) -> Result<(), String> {
    let axis = match config.get("axis") {
        Some(serde_json::Value::Array(axes)) if axes.len() == 1 => axes[0].as_i64(),
        Some(axis) => axis.as_i64(),
        None => Some(-1),
    };
    let axis = axis.map(|axis| resolve(axis, value.shape.len() + 1)).transpose()?;
    if axis == Some(value.shape.len()) { Ok(()) } else { Err("is not of the last axis".into()) }
}

impl Emitter {
    /// The nodes of a layer that is no network; returns its result.
    pub(super) fn layer(&mut self, context: &Context<'_>, inputs: &[Value]) -> Result<Value, String> {
        let Context { file, layer, place, keras } = context;
        let config = &layer.config;
        let class = &*layer.class;
        if config.text("data_format", "channels_last") != "channels_last" {
            return Err("has its channels first, which is not known".into());
        }
        let [value, ..] = inputs else { return Err("has no input".into()) };
        if IDLE.contains(&class) {
            return Ok(value.clone());
        }
        if recurrent::is_recurrent(class) {
            return self.recurrent(context, value);
        }
        Ok(match class {
            "Conv1D" | "Convolution1D" => self.convolution(context, value)?,
            "SeparableConv1D" => self.separable(context, value)?,
            "DepthwiseConv1D" => self.depthwise(context, value)?,
            "Dense" => self.dense(context, value, &[])?,
            "TimeDistributed" => self.time_distributed(context, value)?,
            "BatchNormalization" | "SyncBatchNormalization" => self.batch_normalization(context, value)?,
            "LayerNormalization" => self.layer_normalization(context, value)?,
            "Activation" => self.activated(value, config, "activation", *keras)?,
            "ReLU" | "LeakyReLU" | "ELU" | "Softmax" => self.activation(value, class, config, *keras)?,
            "PReLU" => {
                let slopes = file.weights(place, &["alpha"])?;
                self.parametric(value, &slopes[0])?
            }
            "MaxPooling1D" | "AveragePooling1D" | "MaxPool1D" | "AvgPool1D" => self.pool(context, value)?,
            "GlobalMaxPooling1D" | "GlobalMaxPool1D" => self.whole_pool(context, value, "ReduceMax")?,
            "GlobalAveragePooling1D" | "GlobalAvgPool1D" => self.whole_pool(context, value, "ReduceMean")?,
            "Flatten" => self.flatten(value)?,
            "Reshape" => self.reshape(context, value)?,
            "Permute" => self.permute(context, value)?,
            "Cropping1D" => {
                let (before, after) = config.pair("cropping")?;
                self.crop(value, before, after)?
            }
            "ZeroPadding1D" => self.pad(context, value)?,
            "Add" | "Subtract" | "Multiply" | "Average" | "Maximum" | "Minimum" => {
                self.merge(class, inputs)?
            }
            "Concatenate" => self.concatenate(context, inputs)?,
            "Bidirectional" => self.bidirectional(context, value)?,
            "Lambda" => lambda::emit(self, layer, value)?,
            "LogSumExp" => lambda::sum_of_logarithms(self, value)?,
            _ => return Err(format!("is not known; known are {KNOWN}")),
        })
    }

    fn bias(&mut self, weights: &[Tensor], rank: usize) -> Option<String> {
        weights.get(rank).map(|bias| self.constant("bias", bias))
    }

    fn convolution(&mut self, context: &Context<'_>, value: &Value) -> Result<Value, String> {
        let config = &context.layer.config;
        let (positions, channels) = value.sequence()?;
        let (kernel, filters) = (config.size("kernel_size")?, config.size("filters")?);
        let groups = config.size_or("groups", 1)?;
        let (stride, dilation) = (config.size_or("strides", 1)?, config.size_or("dilation_rate", 1)?);
        let sliding = Sliding::of(context, kernel, stride, dilation, positions)?;
        let weights = kernel_and_bias(context)?;
        let wanted = [kernel, channels / groups.max(1), filters];
        let numbers = numbers(&weights[0], &wanted)?;
        let turned = Tensor::floats([filters, wanted[1], kernel], permute(numbers, &wanted, &[2, 1, 0]));
        let result = self.convolve(value, &turned, weights.get(1), sliding, groups)?;
        self.activated(&result, config, "activation", context.keras)
    }

    /// A convolution with weights `[filters, channels of a group, kernel]`.
    fn convolve(
        &mut self,
        value: &Value,
        weights: &Tensor,
        bias: Option<&Tensor>,
        sliding: Sliding,
        groups: usize,
    ) -> Result<Value, String> {
        let value = self.turned(value);
        let (positions, _) = value.sequence()?;
        let filters = weights.dims[0];
        let mut names = vec![value.name.clone(), self.constant("kernel", weights)];
        names.extend(bias.map(|bias| self.constant("bias", bias)));
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let mut attributes = sliding.attributes();
        if groups > 1 {
            attributes.push(int("group", groups as i64));
        }
        let name = self.node("Conv", &names, attributes);
        Ok(Value { name, shape: vec![sliding.results(positions)?, Some(filters)], turned: true })
    }

    /// A convolution of each channel for itself; `[kernel, channels, multiplier]` as `[channels · multiplier, 1, kernel]`.
    fn by_channel(
        &mut self,
        context: &Context<'_>,
        value: &Value,
        weights: &Tensor,
        bias: Option<&Tensor>,
    ) -> Result<Value, String> {
        let config = &context.layer.config;
        let (positions, channels) = value.sequence()?;
        let (kernel, multiplier) = (config.size("kernel_size")?, config.size_or("depth_multiplier", 1)?);
        let (stride, dilation) = (config.size_or("strides", 1)?, config.size_or("dilation_rate", 1)?);
        let sliding = Sliding::of(context, kernel, stride, dilation, positions)?;
        let wanted = [kernel, channels, multiplier];
        let turned = permute(numbers(weights, &wanted)?, &wanted, &[1, 2, 0]);
        let turned = Tensor::floats([channels * multiplier, 1, kernel], turned);
        self.convolve(value, &turned, bias, sliding, channels)
    }

    fn depthwise(&mut self, context: &Context<'_>, value: &Value) -> Result<Value, String> {
        let config = &context.layer.config;
        let name = if context.keras >= 3 { "kernel" } else { "depthwise_kernel" };
        let names: &[&str] = if config.flag("use_bias", true) { &[name, "bias"] } else { &[name] };
        let weights = context.file.weights(&context.place, names)?;
        let result = self.by_channel(context, value, &weights[0], weights.get(1))?;
        self.activated(&result, config, "activation", context.keras)
    }

    fn separable(&mut self, context: &Context<'_>, value: &Value) -> Result<Value, String> {
        let config = &context.layer.config;
        let names = ["depthwise_kernel", "pointwise_kernel", "bias"];
        let names = if config.flag("use_bias", true) { &names[..] } else { &names[..2] };
        let weights = context.file.weights(&context.place, names)?;
        let by_channel = self.by_channel(context, value, &weights[0], None)?;
        let (seen, filters) = (by_channel.channels()?, config.size("filters")?);
        let wanted = [1, seen, filters];
        let turned = permute(numbers(&weights[1], &wanted)?, &wanted, &[2, 1, 0]);
        let turned = Tensor::floats([filters, seen, 1], turned);
        let still = Sliding { kernel: 1, stride: 1, dilation: 1, pads: Some((0, 0)) };
        let result = self.convolve(&by_channel, &turned, weights.get(2), still, 1)?;
        self.activated(&result, config, "activation", context.keras)
    }

    /// A dense layer over the last axis; `inner` is the path of the layer's weights within.
    fn dense(&mut self, context: &Context<'_>, value: &Value, inner: &[&str]) -> Result<Value, String> {
        let config = &context.layer.config;
        let units = config.size("units")?;
        let inputs = value.channels()?;
        let mut place = context.place.clone();
        for part in inner {
            place = place.part(None, part);
        }
        let names: &[&str] = if config.flag("use_bias", true) { &["kernel", "bias"] } else { &["kernel"] };
        let weights = context.file.weights(&place, names)?;
        let kernel = numbers(&weights[0], &[inputs, units])?;
        let result = match value.shape.len() {
            1 => {
                let kernel = self.constant("kernel", &weights[0]);
                let mut names = vec![value.name.clone(), kernel];
                names.extend(self.bias(&weights, 1));
                let names: Vec<&str> = names.iter().map(String::as_str).collect();
                Value { name: self.node("Gemm", &names, []), shape: vec![Some(units)], turned: false }
            }
            2 => {
                let kernel = Tensor::floats([units, inputs, 1], permute(kernel, &[inputs, units], &[1, 0]));
                let still = Sliding { kernel: 1, stride: 1, dilation: 1, pads: Some((0, 0)) };
                self.convolve(value, &kernel, weights.get(1), still, 1)?
            }
            rank => return Err(format!("is over an input of {rank} axes, which is not known")),
        };
        self.activated(&result, config, "activation", context.keras)
    }

    /// A dense layer at every position.
    fn time_distributed(&mut self, context: &Context<'_>, value: &Value) -> Result<Value, String> {
        let inner = context.layer.config.get("layer").ok_or("has no layer within")?;
        let class = inner["class_name"].as_str().unwrap_or("").to_owned();
        if class != "Dense" {
            return Err(format!("has a layer of the class {class:?} within; Dense is known"));
        }
        let config = super::network::Config(inner["config"].as_object().cloned().unwrap_or_default());
        let layer = Layer { config, class, ..context.layer.clone() };
        let context = Context { layer: &layer, place: context.place.clone(), ..*context };
        self.dense(&context, value, &["layer"])
    }

    fn batch_normalization(&mut self, context: &Context<'_>, value: &Value) -> Result<Value, String> {
        let config = &context.layer.config;
        check_last_axis(config, value)?;
        let channels = value.channels()?;
        let (scale, center) = (config.flag("scale", true), config.flag("center", true));
        let mut names = Vec::new();
        names.extend(scale.then_some("gamma"));
        names.extend(center.then_some("beta"));
        names.extend(["moving_mean", "moving_variance"]);
        let mut weights = context.file.weights(&context.place, &names)?.into_iter();
        let mut next = |there: bool, default: f32| match there {
            true => weights.next().ok_or("has too few weights"),
            false => Ok(Tensor::floats([channels], vec![default; channels])),
        };
        let parameters = [next(scale, 1.0)?, next(center, 0.0)?, next(true, 0.0)?, next(true, 1.0)?];
        let value = self.turned(value);
        if !matches!(value.shape.len(), 1 | 2) {
            return Err(format!("is of an input of {} axes, which is not known", value.shape.len()));
        }
        let mut names = vec![value.name.clone()];
        for (tensor, what) in parameters.iter().zip(["gamma", "beta", "moving_mean", "moving_variance"]) {
            numbers(tensor, &[channels])?;
            names.push(self.constant(what, tensor));
        }
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let epsilon = float("epsilon", config.number("epsilon", 1e-3) as f32);
        Ok(Value { name: self.node("BatchNormalization", &names, [epsilon]), ..value })
    }

    fn layer_normalization(&mut self, context: &Context<'_>, value: &Value) -> Result<Value, String> {
        let config = &context.layer.config;
        check_last_axis(config, value)?;
        if config.flag("rms_scaling", false) {
            return Err("has rms_scaling, which is not known".into());
        }
        let channels = value.channels()?;
        let (scale, center) = (config.flag("scale", true), config.flag("center", true));
        let mut names = Vec::new();
        names.extend(scale.then_some("gamma"));
        names.extend(center.then_some("beta"));
        let mut weights = context.file.weights(&context.place, &names)?.into_iter();
        let gamma = if scale { weights.next() } else { None };
        let gamma = gamma.unwrap_or_else(|| Tensor::floats([channels], vec![1.0; channels]));
        let beta = if center { weights.next() } else { None };
        let beta = beta.unwrap_or_else(|| Tensor::floats([channels], vec![0.0; channels]));
        let value = self.straight(value);
        let (gamma, beta) = (self.constant("gamma", &gamma), self.constant("beta", &beta));
        let attributes = [int("axis", -1), float("epsilon", config.number("epsilon", 1e-3) as f32)];
        let name = self.node("LayerNormalization", &[&value.name, &gamma, &beta], attributes);
        Ok(Value { name, ..value })
    }

    fn pool(&mut self, context: &Context<'_>, value: &Value) -> Result<Value, String> {
        let config = &context.layer.config;
        let (positions, channels) = value.sequence()?;
        let kernel = config.size("pool_size")?;
        let stride = config.size_or("strides", kernel)?;
        let sliding = Sliding::of(context, kernel, stride, 1, positions)?;
        let value = self.turned(value);
        // Padding before and after counts for neither.
        let operator = if context.layer.class.starts_with("Max") { "MaxPool" } else { "AveragePool" };
        let name = self.node(operator, &[&value.name], sliding.attributes());
        Ok(Value { name, shape: vec![sliding.results(positions)?, Some(channels)], turned: true })
    }

    fn whole_pool(&mut self, context: &Context<'_>, value: &Value, operator: &str) -> Result<Value, String> {
        let (_, channels) = value.sequence()?;
        let keep = context.layer.config.flag("keepdims", false);
        let attributes = [ints("axes", &[value.axis(1) as i64]), int("keepdims", i64::from(keep))];
        let name = self.node(operator, &[&value.name], attributes);
        if keep {
            return Ok(Value { name, shape: vec![Some(1), Some(channels)], turned: value.turned });
        }
        Ok(Value { name, shape: vec![Some(channels)], turned: false })
    }

    fn flatten(&mut self, value: &Value) -> Result<Value, String> {
        if value.shape.len() == 1 {
            return Ok(value.clone());
        }
        let value = self.straight(value);
        let length = value.elements()?;
        let name = self.node("Flatten", &[&value.name], [int("axis", 1)]);
        Ok(Value { name, shape: vec![length], turned: false })
    }

    fn reshape(&mut self, context: &Context<'_>, value: &Value) -> Result<Value, String> {
        let target = context.layer.config.list("target_shape")?;
        let value = self.straight(value);
        let known =
            target.iter().filter(|&&n| n > 0).try_fold(1usize, |known, &n| known.checked_mul(n as usize));
        let known = known.ok_or_else(|| format!("has the target shape {target:?}, which is too large"))?;
        let all = value.elements()?;
        let length = |&n: &i64| match n {
            -1 => all.map(|all| all / known),
            n => usize::try_from(n).ok(),
        };
        let shape = target.iter().map(length).collect();
        let list = self.list([0].into_iter().chain(target.iter().copied()).collect());
        Ok(Value { name: self.node("Reshape", &[&value.name, &list], []), shape, turned: false })
    }

    fn permute(&mut self, context: &Context<'_>, value: &Value) -> Result<Value, String> {
        let order = context.layer.config.list("dims")?;
        let value = self.straight(value);
        let axis = |&n: &i64| value.shape.get(usize::try_from(n - 1).ok()?).copied();
        let shape: Option<Vec<_>> = order.iter().map(axis).collect();
        let shape = shape.filter(|shape| shape.len() == value.shape.len());
        let shape = shape.ok_or_else(|| format!("has the order {order:?}"))?;
        let perm: Vec<i64> = [0].into_iter().chain(order).collect();
        Ok(Value {
            name: self.node("Transpose", &[&value.name], [ints("perm", &perm)]),
            shape,
            turned: false,
        })
    }

    pub(super) fn crop(&mut self, value: &Value, before: usize, after: usize) -> Result<Value, String> {
        let (positions, channels) = value.sequence()?;
        if before + after == 0 {
            return Ok(value.clone());
        }
        let left = positions.map(|n| n.checked_sub(before + after).filter(|&n| n > 0));
        if left == Some(None) {
            return Err(format!("cuts {before} + {after} of {} positions", positions.unwrap_or(0)));
        }
        let end = if after == 0 { i64::MAX } else { -(after as i64) };
        let (start, end) = (self.list(vec![before as i64]), self.list(vec![end]));
        let axes = self.list(vec![value.axis(1) as i64]);
        let name = self.node("Slice", &[&value.name, &start, &end, &axes], []);
        Ok(Value { name, shape: vec![left.flatten(), Some(channels)], turned: value.turned })
    }

    fn pad(&mut self, context: &Context<'_>, value: &Value) -> Result<Value, String> {
        let (before, after) = context.layer.config.pair("padding")?;
        let (positions, channels) = value.sequence()?;
        let mut pads = vec![0; 6];
        pads[value.axis(1)] = before as i64;
        pads[3 + value.axis(1)] = after as i64;
        let pads = self.list(pads);
        let name = self.node("Pad", &[&value.name, &pads], []);
        let shape = vec![positions.map(|n| n + before + after), Some(channels)];
        Ok(Value { name, shape, turned: value.turned })
    }

    /// The inputs with the same order of axes.
    fn alike(&mut self, inputs: &[Value]) -> Vec<Value> {
        let turned = inputs.iter().any(|input| input.turned) && inputs.iter().all(Value::is_sequence);
        inputs.iter().map(|input| if turned { self.turned(input) } else { self.straight(input) }).collect()
    }

    fn merge(&mut self, class: &str, inputs: &[Value]) -> Result<Value, String> {
        let most = inputs.iter().map(|input| input.shape.len()).max().unwrap_or(0);
        let mut values = self.alike(inputs);
        for value in &mut values {
            // Keras puts the missing axes behind that of windows.
            while value.shape.len() < most {
                let axes = self.list(vec![1]);
                value.name = self.node("Unsqueeze", &[&value.name, &axes], []);
                value.shape.insert(0, Some(1));
            }
        }
        let mut shape = values[0].shape.clone();
        for value in &values[1..] {
            for (own, other) in shape.iter_mut().zip(&value.shape) {
                match (*own, *other) {
                    (own, other) if own == other => {}
                    (Some(1), _) => *own = *other,
                    (_, Some(1)) => {}
                    (Some(a), Some(b)) => return Err(format!("joins axes of {a} and {b}")),
                    (None, _) | (_, None) => *own = own.or(*other),
                }
            }
        }
        let operator = match class {
            "Subtract" => "Sub",
            "Multiply" => "Mul",
            "Maximum" => "Max",
            "Minimum" => "Min",
            _ => "Add",
        };
        let mut result = values[0].clone();
        for value in &values[1..] {
            result.name = self.node(operator, &[&result.name, &value.name], []);
        }
        result.shape = shape;
        if class == "Average" {
            result = self.with_number("Mul", &result, 1.0 / values.len() as f64);
        }
        Ok(result)
    }

    fn concatenate(&mut self, context: &Context<'_>, inputs: &[Value]) -> Result<Value, String> {
        let axis = context.layer.config.number("axis", -1.0) as i64;
        let rank = inputs[0].shape.len();
        if inputs.iter().any(|input| input.shape.len() != rank) {
            return Err("joins tensors with different numbers of axes".into());
        }
        let axis = resolve(axis, rank + 1)?;
        if axis == 0 {
            return Err("joins windows".into());
        }
        let values = self.alike(inputs);
        let mut shape = values[0].shape.clone();
        let all = values.iter().map(|value| value.shape[axis - 1]).sum::<Option<usize>>();
        if all.is_some_and(|all| all as u64 > LARGEST_SIZE) {
            return Err(format!("joins more than {LARGEST_SIZE} numbers along an axis"));
        }
        shape[axis - 1] = all;
        let names: Vec<&str> = values.iter().map(|value| value.name.as_str()).collect();
        let name = self.node("Concat", &names, [int("axis", values[0].axis(axis) as i64)]);
        Ok(Value { name, shape, turned: values[0].turned })
    }
}

fn kernel_and_bias(context: &Context<'_>) -> Result<Vec<Tensor>, String> {
    let has_bias = context.layer.config.flag("use_bias", true);
    let names: &[&str] = if has_bias { &["kernel", "bias"] } else { &["kernel"] };
    context.file.weights(&context.place, names)
}

/// The numbers of a tensor that must have this shape.
fn numbers<'a>(tensor: &'a Tensor, shape: &[usize]) -> Result<&'a [f32], String> {
    let values = tensor.as_floats().filter(|_| tensor.dims == shape);
    values.ok_or_else(|| format!("has weights of shape {:?} where {shape:?} are needed", tensor.dims))
}
