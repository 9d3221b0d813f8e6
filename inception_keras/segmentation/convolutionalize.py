"""A classifier as a fully convolutional net: the step from "what is on the picture" to "where"."""

from collections.abc import Sequence
from math import prod
from typing import Any

import keras
from keras import layers, tree

from .. import layers as own
from ..checks import check_model, check_shape
from ..graph import Graph, Node, data_format, functional, input_of, is_nested, read
from ..keras_private import SafeModeScope, in_stateless_scope
from ..scope import check_values

_POOLS = {  # what reduces a whole map to a vector, and the pool that does the same at each place of a larger map
    layers.GlobalAveragePooling2D: layers.AveragePooling2D,
    layers.GlobalMaxPooling2D: layers.MaxPooling2D,
    layers.AdaptiveAveragePooling2D: layers.AveragePooling2D,
    layers.AdaptiveMaxPooling2D: layers.MaxPooling2D,
    layers.AveragePooling2D: layers.AveragePooling2D,
    layers.MaxPooling2D: layers.MaxPooling2D,
}
_GLOBAL = (layers.GlobalAveragePooling2D, layers.GlobalMaxPooling2D)
_ADAPTIVE = (layers.AdaptiveAveragePooling2D, layers.AdaptiveMaxPooling2D)
_DENSE = (layers.Dense, layers.Conv2D, own.Conv2D)  # exactly these: a subclass may compute something else
_ELEMENTWISE = (
    *(layers.Dropout, layers.GaussianDropout, layers.AlphaDropout, layers.GaussianNoise, layers.Identity),
    *(layers.Activation, layers.ReLU, layers.LeakyReLU, layers.ELU, own.HardSwish),
)
_BY_CHANNEL = (
    *(layers.BatchNormalization, layers.LayerNormalization, layers.UnitNormalization),
    *(layers.Softmax, layers.Rescaling, own.RadialBasis),
)
_KEPT = (  # of the configuration of a dense layer
    *("name", "trainable", "dtype", "activation", "use_bias", "activity_regularizer", "bias_constraint"),
    *("kernel_initializer", "bias_initializer", "kernel_regularizer", "bias_regularizer"),
)


def convolutionalize(model: keras.Model, *, size: Sequence[int] | None = None) -> keras.Model:
    """Turns a classifier into a fully convolutional net, which gives a map of scores for a picture of any size.

    The new net has the same parameters and layer names. On a picture of the training size its map has 1x1 pixels, the
    scores of the classifier. On a larger picture, each pixel of the map has the scores of the classifier on one window
    of the training size. The windows overlap, and what they share is computed once.

    - A dense layer after the flattening of an (h, w, c) map becomes an h x w convolution without padding. Its kernel
      is the dense layer's, reshaped. Later dense layers become 1x1 convolutions. Biases stay.
    - A global pool becomes a pool over windows of (h, w) with stride 1, without padding. A global pool over the larger
      map would give the scores of the whole picture, and no map.
    - An adaptive pool in front of the flattening becomes a pool with fixed windows if it divides its map evenly.
    - Auxiliary heads are cut off. Everything before the classifier stays as it is. Padding in it means that the border
      of a window is seen differently where the window lies inside a larger picture; the map then equals the classifier
      at each place only for nets without padding, such as LeNet-5. The gates of squeeze-and-excitation also stay: they
      average over the whole picture, so for nets with gates the scores are exactly those of the classifier at the
      training size only.

    Args:
        model: A classifier with scores (n, classes), functional or Sequential. It is not changed.
        size: Height and width of the pictures that the net was trained on, in pixels; None for those of the model's
            input. A model whose input has no fixed size needs it, as it sets the windows of a global pool.

    Returns:
        A new Model with copies of the weights: (n, height, width, channels) -> (n, h, w, classes). Height and width
        are None.

    Raises:
        TypeError: If `model` is not a Keras model, or has layers that cannot be copied.
        ValueError: If the model is no such classifier; the message says which layer stands in the way.

    Reference:
        Long, Shelhamer, Darrell, Fully Convolutional Networks for Semantic Segmentation, arXiv:1411.4038, section 3.1.

    Examples:
        >>> net = convolutionalize(create_model("squeezenet1_1"))
        >>> net.count_params(), net.compute_output_shape((1, 224, 224, 3)), net.compute_output_shape((1, 448, 336, 3))
        (1235496, (1, 1, 1, 1000), (1, 15, 8, 1000))
    """
    check_model("model", model)
    image = model.inputs[0]
    if len(model.inputs) != 1 or len(image.shape) != 4:
        shapes = ", ".join(str(tuple(one.shape[1:])) for one in model.inputs)
        raise _error(model, f"its input must be one picture (height, width, channels), got {shapes}")
    if data_format(model) == "channels_first":
        raise _error(model, "its layers have channels_first, and only channels_last is known here")
    size = tuple(image.shape[1:3]) if size is None else check_shape("size", size)
    if len(size) != 2:
        raise ValueError(f"size must be (height, width), got {size}.")
    if None in size:
        raise _error(model, "its input has no fixed size: give the size of its training pictures, as size=(224, 224)")
    in_scope = in_stateless_scope()
    if not in_scope:
        check_values(model, "become fully convolutional")

    graph = read(model, (*size, image.shape[-1]))
    head = _head(model, graph)
    copies = _Copies(model, graph)
    trunk = copies.of(keras.Model(functional(model).input, input_of(model, head[0]), name=model.name))
    x, window = trunk.output, (1, 1)
    for node in head:
        x, window = copies.placed(node, x, window)
    if window != (1, 1):
        raise _error(model, "no dense layer follows its flattened map")
    if x.shape[1:3] != (None, None):
        raise _error(
            model, f"it brings every picture to the same size, and so its map always has {x.shape[1:3]} pixels"
        )
    if not in_scope:
        copies.assign()
    return keras.Model(trunk.input, x, name=model.name)


def _error(model: keras.Model, why: str) -> ValueError:
    return ValueError(f"{model.name} cannot become fully convolutional: {why}.")


def _head(model: keras.Model, graph: Graph) -> list[Node]:
    """The nodes from the one that makes a vector of the last map to the scores. Each reads the one before."""
    head = [graph[graph.main]]
    if len(head[0].output_shapes[0]) != 1:
        raise _error(model, f"its output must be scores (n, classes), got {(None, *head[0].output_shapes[0])}")
    while len(head[0].inputs) == 1 and len(head[0].input_shapes[0]) == 1:
        head.insert(0, graph[head[0].inputs[0]])
    if len(head[0].inputs) != 1:
        reads = " and ".join(head[0].inputs) or "nothing"
        raise _error(model, f"behind its last map, {head[0].name} reads {reads}, where one vector is wanted")
    longer = list(head)  # a global pool may leave maps of 1x1 pixels, with layers that read them
    while not _is_global(longer[0]) and longer[0].input_shapes[0][:-1] == (1, 1) and _is_pointwise(longer[0]):
        longer.insert(0, graph[longer[0].inputs[0]])
    return longer if _is_global(longer[0]) else head


def _is_global(node: Node) -> bool:
    """Whether a node reduces its whole map to one pixel or a vector in one step."""
    layer: Any = node.layer
    if type(layer) in (layers.AveragePooling2D, layers.MaxPooling2D):  # 2x2 halves a map, as at many places of a net
        return layer.padding == "valid" and (2, 2) != tuple(layer.pool_size) == node.input_shapes[0][:2]
    return isinstance(layer, (*_GLOBAL, *_ADAPTIVE)) and all(side == 1 for side in node.output_shapes[0][:-1])


def _is_pointwise(node: Node) -> bool:
    """Whether a node computes each pixel of its output from one pixel."""
    if type(node.layer) in _DENSE:
        return getattr(node.layer, "kernel_size", (1, 1)) == (1, 1)
    return isinstance(node.layer, (*_ELEMENTWISE, *_BY_CHANNEL, layers.Flatten, layers.Reshape))


class _Copies:
    """Copies of a model's layers for maps of any size."""

    def __init__(self, model: keras.Model, graph: Graph):
        self._model = model
        self._nodes = {id(node.call.operation): node for node in graph.nodes}
        self._made: dict[int, tuple[Any, Any]] = {}  # the layer and its copy, by the id of the layer
        self._kernels: list[tuple[layers.Layer, layers.Layer]] = []  # the convolutions made of dense layers

    def of(self, model: keras.Model) -> keras.Model:
        """A copy of a functional model, and of the models nested in it, whose inputs have any height and width."""
        graph = functional(model)
        with SafeModeScope(safe_mode=False):  # lambdas are safe here: they do not come from a file
            inputs = tree.map_structure(_of_any_size, graph.input)
            copy = keras.models.clone_model(graph, inputs, clone_function=self._copy, call_function=self._call)
        # the graph in a Sequential model does not have its name
        return copy if copy.name == model.name else keras.Model(copy.input, copy.output, name=model.name)

    def _copy(self, layer: keras.Operation) -> keras.Operation:
        if id(layer) not in self._made:
            node = self._nodes.get(id(layer))
            if is_nested(layer):
                copy = self.of(layer)
            elif isinstance(layer, _ADAPTIVE) and node is not None:
                copy = self._fixed_windows(node)
            else:
                copy = self._from_config(layer, layer.get_config)
            self._made[id(layer)] = layer, copy
        return self._made[id(layer)][1]

    def _from_config(self, layer: keras.Operation, config: Any) -> keras.Operation:
        try:
            return type(layer).from_config(config())
        except (TypeError, ValueError, NotImplementedError) as error:
            reason = str(error).partition("\n")[0]
            raise TypeError(
                f"{layer.name} of {self._model.name} cannot be copied; its get_config must give what its class takes: "
                f"{reason}"
            ) from None

    def _call(self, layer: keras.Operation, *args: Any, **kwargs: Any) -> Any:
        try:
            return layer(*args, **kwargs)
        except Exception as error:  # each layer raises its own kind
            if isinstance(error, ValueError) and str(error).startswith(f"{self._model.name} cannot"):
                raise  # of a nested model
            raise _error(self._model, f"{layer.name} needs a map of a fixed size") from None

    def _fixed_windows(self, node: Node) -> layers.Layer:
        """An adaptive pool as a pool with the windows that it has at the training size."""
        before, after = node.input_shapes[0][:2], node.output_shapes[0][:2]
        if any(n % m for n, m in zip(before, after, strict=True)):
            sizes = " to ".join("x".join(map(str, sides)) for sides in (before, after))
            raise _error(
                self._model,
                f"{node.name} resizes its map from {sizes} with windows of several sizes; "
                "build the net for pictures of its published size, or of a multiple of it",
            )
        window = tuple(n // m for n, m in zip(before, after, strict=True))
        layer: Any = node.layer
        pool: Any = _pool_like(layer)
        return pool(window, name=layer.name, dtype=layer.dtype_policy)

    def placed(self, node: Node, x: keras.KerasTensor, window: Any) -> tuple[keras.KerasTensor, Any]:
        """Puts a layer of the classifier at each place of a map.

        Args:
            node: The layer.
            x: The map.
            window: Height and width of the part of the map that the vector at one place was flattened from.

        Returns:
            The map of the layer's outputs, and the window of the next layer.
        """
        layer: Any = node.layer
        before, after = node.input_shapes[0], node.output_shapes[0]
        if _is_global(node):
            pool: Any = _pool_like(layer)
            return pool(before[:2], 1, name=layer.name, dtype=layer.dtype_policy)(x), (1, 1)
        if isinstance(layer, (layers.Flatten, layers.Reshape)) and after[-1] == prod(before):
            return x, before[:2] if len(before) == 3 and before[:2] != (1, 1) else window
        if type(layer) in _DENSE and _is_pointwise(node):
            if layer is not node.call.operation:  # Graph had to build it anew
                own_size = tuple(self._model.inputs[0].shape[1:3])
                raise _error(self._model, f"its dense layer {layer.name} is for pictures of {own_size} only")
            config = {name: value for name, value in layer.get_config().items() if name in _KEPT}
            copy = layers.Conv2D.from_config(config | {"filters": layer.kernel.shape[-1], "kernel_size": window})
            x = copy(x)
            self._kernels.append((layer, copy))
            return x, (1, 1)
        if isinstance(layer, _ELEMENTWISE) or (isinstance(layer, _BY_CHANNEL) and window == (1, 1)):
            config = layer.get_config()
            if "axis" not in config:
                return self._copy(layer)(x), window
            if config["axis"] in (-1, len(before), [-1], [len(before)]):
                copy = self._from_config(layer, lambda: config | {"axis": -1})
                x = copy(x)
                self._made[id(layer)] = layer, copy
                return x, window
        raise _error(self._model, f"{node.name}, a {node.kind} behind its last map, has no convolutional form")

    def assign(self) -> None:
        """Gives the copies the values of the weights."""
        for layer, copy in self._made.values():
            if not is_nested(layer):
                for ours, theirs in zip(getattr(copy, "weights", ()), getattr(layer, "weights", ()), strict=True):
                    ours.assign(theirs)
        for layer, copy in self._kernels:
            copy.kernel.assign(keras.ops.reshape(layer.kernel, copy.kernel.shape))
            if layer.use_bias:
                copy.bias.assign(layer.bias)


def _pool_like(layer: Any) -> Any:
    return next((pool for kind, pool in _POOLS.items() if isinstance(layer, kind)), None)


def _of_any_size(image: keras.KerasTensor) -> keras.KerasTensor:
    """An Input like a given one; the height and width of pictures are None."""
    shape = (None, None, image.shape[-1]) if len(image.shape) == 4 else image.shape[1:]
    return keras.Input(shape, dtype=image.dtype, name=image.name)
