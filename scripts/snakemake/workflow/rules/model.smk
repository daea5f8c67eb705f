def model_file(wildcards):
    """The model's file, which may have to be trained; none of a bundled model."""
    model = MODELS[wildcards.model]
    if "peaks" in model:
        return f"results/models/{wildcards.model}.onnx"
    return model.get("file", [])


def model_argument(wildcards, input):
    """What -m is given."""
    return MODELS[wildcards.model].get("bundled", input.model)
