//! Operators, by what they do to the numbers of a tensor.

/// Operators by which a position depends on all those before it, or that run graphs of their own.
pub(super) const ENTANGLING: [&str; 8] =
    ["RNN", "GRU", "LSTM", "Attention", "MultiHeadAttention", "Scan", "Loop", "If"];

/// True if it is a function of each number of its first input; further inputs are parameters.
pub(super) fn is_of_each(operator: &str) -> bool {
    const OF_EACH: [&str; 23] = [
        "Relu",
        "LeakyRelu",
        "Elu",
        "Selu",
        "Celu",
        "Gelu",
        "Erf",
        "Exp",
        "Log",
        "Sqrt",
        "Reciprocal",
        "Sigmoid",
        "HardSigmoid",
        "HardSwish",
        "Mish",
        "Tanh",
        "Softplus",
        "Softsign",
        "ThresholdedRelu",
        "Neg",
        "Abs",
        "Clip",
        "Swish",
    ];
    OF_EACH.contains(&operator)
}

/// True if it is a function of several tensors, number by number.
pub(super) fn combines(operator: &str) -> bool {
    const COMBINING: [&str; 14] = [
        "Add",
        "Sub",
        "Mul",
        "Div",
        "Pow",
        "Max",
        "Min",
        "Sum",
        "PRelu",
        "Where",
        "Greater",
        "GreaterOrEqual",
        "Less",
        "LessOrEqual",
    ];
    COMBINING.contains(&operator)
}
