def model_files():
    """The files of all models, some of which have to be trained first; none of a bundled model."""
    trained = [f"results/models/{name}.onnx" for name, model in MODELS.items() if "peaks" in model]
    return trained + [model["file"] for model in MODELS.values() if "file" in model]


def model_options(wildcards, input):
    """What the scan is given: -m for every model."""
    bundled = [model["bundled"] for model in MODELS.values() if "bundled" in model]
    return [f"-m {model}" for model in [*input.models, *bundled]]


def score_options(wildcards, output):
    """A file of scores for each model, in a folder for each extension."""
    return [f"-o {output[f'scores_{scores}']}/'{{name}}'.{scores}" for scores in config["scores"]]
