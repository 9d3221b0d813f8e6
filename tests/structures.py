"""Writes tests/golden/structure/<id>.txt: every net as text, one line per layer.

    python tests/structures.py [ids]

A line has the layer's name, its class (`keras.` marks Keras's own), its output shape, its number of parameters and
every configuration value that differs from the default. Its inputs follow after `<-`, unless the only input is the
layer of the line above. Auxiliary heads are included.
"""

import inspect
import sys
from pathlib import Path
from zlib import crc32

import keras

import inception_keras as ik
from inception_keras.zoo import ZOO, builder_of

FOLDER = Path(__file__).parent / "golden" / "structure"
USUAL = dict(trainable=True, dtype="float32", data_format="channels_last", activation="linear", use_bias=False)
USUAL |= dict(strides=(1, 1), dilation_rate=(1, 1), padding="valid", groups=1, depth_multiplier=1, keepdims=False)
USUAL |= dict(axis=-1, momentum=0.9, center=True, scale=True, synchronized=False, renorm=False, renorm_momentum=0.99)
USUAL |= dict(sparse=False, ragged=False, optional=False, moving_mean_initializer="Zeros", beta_initializer="Zeros")
USUAL |= dict(moving_variance_initializer="Ones", gamma_initializer="Ones", bias_initializer="Zeros")
USUAL |= dict.fromkeys([f"{kind}_initializer" for kind in ("kernel", "depthwise", "pointwise")], "GlorotUniform")
IN_THE_SHAPE = {"name", "batch_shape", "filters", "units"}


def has_heads(id: str) -> bool:
    """Whether a net has an option for auxiliary heads."""
    return "aux" in inspect.signature(builder_of(ZOO[id])).parameters


def lines(model: keras.Model) -> list[str]:
    """The net as text, one line per layer."""
    text, above = [], None
    for layer in model.layers:
        ours = type(layer).__module__.startswith("inception_keras")
        kind = f"{'' if ours else 'keras.'}{type(layer).__name__}"
        words = [layer.name, kind, _shapes(layer.output), str(layer.count_params())]
        words += [f"{name}={value}" for name, value in _options(layer)]
        inputs = [] if isinstance(layer, keras.layers.InputLayer) else [_origin(x) for x in _listed(layer.input)]
        if inputs not in ([], [above]):
            words += ["<-", ", ".join(inputs)]
        text.append(" ".join(words))
        above = layer.name
    return [*text, f"outputs: {', '.join(_origin(x) for x in model.outputs)}"]


def _options(layer):
    for name, value in layer.get_config().items():
        value = _plain(value)
        if name not in IN_THE_SHAPE and value is not None and value != USUAL.get(name):
            text = str(value).replace(" ", "").removeprefix("inception_keras>")
            yield name, text if len(text) <= 80 else f"crc32:{crc32(text.encode()):08x}"


def _plain(value):
    """A configuration value. For a serialised object, its name and arguments."""
    if not isinstance(value, dict):
        return value
    name, config = value["class_name"], value["config"]
    if name in ("function", "DTypePolicy"):
        return config if isinstance(config, str) else config["name"]
    said = [f"{k}={v:.4g}" for k, v in config.items() if v is not None]
    return f"{name}({','.join(said)})" if said else name


def _shapes(outputs):
    return " ".join(str(tuple(x.shape[1:])) for x in _listed(outputs))


def _origin(x):
    """The layer that made a tensor, and the number of the output unless it is the first."""
    operation, _, index = x._keras_history
    return f"{operation.name}[{index}]" if index else operation.name


def _listed(x):
    return x if isinstance(x, list) else [x]


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for id in sys.argv[1:] or ik.list_models(task=None):
        with ik.without_weights():
            net = ik.create_model(id, **({"aux": True} if has_heads(id) else {}))
        (FOLDER / f"{id}.txt").write_text("\n".join(lines(net)) + "\n")
