"""What folding batch norm into convolutions saves: `python -m benchmarks.folding`.

Detects with the same weights in three ways: folded once (`fold_batch_norm`), folded again in every
call (as it is without), and with each batch normalisation after its convolution; and compares what
the networks answer.
"""

import os
import statistics
import tempfile

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

REPETITIONS = 31
COMPARED = ("rpn_class", "rpn_bbox")  # before anything is sorted or left out


def main():
    from mrcnn.modeling.conv_norm import NormalizedConvolution

    with tempfile.TemporaryDirectory() as folder:
        each_time = prepare(folder)
        once = prepare(folder, fold=True)
        kept, NormalizedConvolution.call = NormalizedConvolution.call, in_two_steps
        apart = prepare(folder)  # compiles, so that it stays as it is
        NormalizedConvolution.call = kept
        for name in COMPARED:
            scale = abs(apart[1][name]).max()
            change = max(abs(found[name] - apart[1][name]).max() for _, found in (once, each_time))
            print(f"{name:10} changes by {change:.1e} at most, of {scale:.3g}")
        measure({"once": once[0], "each time": each_time[0], "apart": apart[0]})


def in_two_steps(layer, inputs, training=None):
    """`NormalizedConvolution.call` with frozen statistics, without folding."""
    from keras import ops

    kernel = ops.convert_to_tensor(layer.convolution.kernel)
    outputs = ops.add(layer._convolve(inputs, kernel, training), layer.convolution.bias)
    return layer.norm(outputs, training=False)


def prepare(folder, fold=False):
    """A compiled function that detects, and the outputs of its network: {name: array}."""
    import numpy as np

    from benchmarks.cases import detecting_model

    model = detecting_model(folder)
    set_statistics(model.keras_model)
    if fold:
        model.fold_batch_norm()
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (480, 640, 3), dtype=np.uint8)
    reference = rng.integers(0, 256, (120, 90, 3), dtype=np.uint8)
    side = model.config.IMAGE_SHAPE[0]
    inputs = {
        "images": rng.integers(0, 256, (1, side, side, 3)).astype(np.float32),
        "windows": np.array([[0, 0, 1, 1]], np.float32),
        "references": rng.integers(0, 256, (1, *model.config.TARGET_SHAPE)).astype(np.float32),
    }
    outputs = model.keras_model.predict_on_batch(inputs)
    model.detect(reference, [image])
    return lambda: model.detect(reference, [image]), outputs


def set_statistics(model):
    """The same weights in every model, with statistics such as training leaves."""
    import numpy as np

    from mrcnn.weights.hdf5 import named_variables

    for number, (name, variable) in enumerate(named_variables(model).items()):
        rng, shape = np.random.default_rng(number), variable.shape
        kind = name.split("/")[-1]
        if kind == "kernel":
            variable.assign(rng.normal(0, np.sqrt(1 / np.prod(shape[:-1])), shape))
        elif kind in ("gamma", "moving_variance"):
            variable.assign(rng.uniform(0.4, 0.8, shape))
        elif name != "mrcnn_class_logits/bias":
            variable.assign(rng.normal(0, 0.05, shape))


def measure(ways):
    """Print seconds, and ratios to the last way, in turn so that all meet the same machine."""
    from benchmarks.measure import seconds

    rounds = []
    for _ in range(REPETITIONS):
        rounds.append({name: seconds(detect) for name, detect in ways.items()})
        print("   ".join(f"{name} {taken:6.3f} s" for name, taken in rounds[-1].items()))
    *compared, reference = ways
    for name in compared:
        ratio = statistics.median(each[name] / each[reference] for each in rounds)
        print(f"folded {name}: median ratio {ratio:.3f}")


if __name__ == "__main__":
    main()
