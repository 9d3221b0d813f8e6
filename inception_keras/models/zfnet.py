"""ZFNet: "Visualizing and Understanding Convolutional Networks", Zeiler, Fergus 2013, arXiv:1311.2901."""

from keras import Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv, fixed_input, max_pool
from ..layers import LocalResponseNormalization

FIGURE_3 = {
    #          filters, kernel, strides, pool and LRN    output at 224 x 224
    "conv_1": (96,      7,      2,       True),        # (55, 55, 96)
    "conv_2": (256,     5,      2,       True),        # (13, 13, 256)
    "conv_3": (384,     3,      1,       False),       # (13, 13, 384)
    "conv_4": (384,     3,      1,       False),       # (13, 13, 384)
    "conv_5": (256,     3,      1,       False),       # (13, 13, 256)
}


@checked
def build_zfnet(
    input_shape: InputShape = (224, 224, 3),
    *,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "zfnet",
) -> Model:
    """Builds figure 3. It is AlexNet with a smaller first kernel, smaller strides and no groups.

    The figure does not show how convolutions are padded and how pools are rounded. Its sizes at 224 x 224 come about
    when the first convolution is padded by one pixel, the second is not padded, and pools round up. Maps are
    normalised after they are pooled, with the numbers of Krizhevsky et al., to whom the paper refers.

    Args:
        input_shape: (height, width, channels), at least 47 pixels. The dense layers need a fixed size.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Examples:
        >>> build_zfnet().count_params()
        62357608
    """
    image = fixed_input(input_shape, min_size=47, net="ZFNet")
    x = layers.ZeroPadding2D(1, name="conv_1-padding")(image)                             # (226, 226, 3)
    for row, (filters, kernel, strides, pooled) in FIGURE_3.items():
        padding = {"padding": "valid"} if strides == 2 else {}
        x = conv(x, filters, kernel, strides, name=row, **padding)
        if pooled:
            x = max_pool(x, 3, strides=2, name=f"{row}-pool")
            # alpha is 1e-4 in Krizhevsky's formula, which does not divide it by the window's size
            x = LocalResponseNormalization(5, alpha=5e-4, beta=0.75, k=2.0, name=f"{row}-norm")(x)
    x = max_pool(x, 3, strides=2, name="conv_5-pool")                                     # (6, 6, 256)

    x = layers.Flatten(name="flatten")(x)                                                 # (9216,)
    for row in ("fc_6", "fc_7"):
        x = layers.Dense(4096, activation="relu", name=row)(x)                            # (4096,)
        x = layers.Dropout(0.5, name=f"{row}-dropout")(x)
    return Model(image, classifier(x, classes, classifier_activation), name=name)
