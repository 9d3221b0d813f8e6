"""MnasNet: "Platform-Aware Neural Architecture Search for Mobile", Tan et al. 2018, arXiv:1807.11626."""

from keras import Model, layers

from ..arguments import InputShape, checked
from ..blocks import classifier, conv_bn, depthwise_bn, image_input, make_divisible
from .mobilenet_v2 import inverted_residual

FIGURE_7 = (  # B1, the net without squeeze-and-excitation: kernel, strides, expansion, channels, repeats
    (3, 2, 3, 24, 3),  # (56, 56, 24)
    (5, 2, 3, 40, 3),  # (28, 28, 40)
    (5, 2, 6, 80, 3),  # (14, 14, 80)
    (3, 1, 6, 96, 2),  # (14, 14, 96)
    (5, 2, 6, 192, 4),  # (7, 7, 192)
    (3, 1, 6, 320, 1),  # (7, 7, 320)
)


@checked
def build_mnasnet(
    input_shape: InputShape = (224, 224, 3),
    *,
    width: float = 1.0,
    classes: int = 1000,
    classifier_activation: str | None = "softmax",
    name: str = "mnasnet1_0",
) -> Model:
    """Builds MnasNet-B1, top to bottom, as in torchvision.

    Args:
        input_shape: (height, width, channels), at least 1 pixel; height and width may be None for any size.
        width: Factor of all numbers of channels but the last 1280, such as 0.5, 0.75, 1.0 or 1.3.
        classes: Number of classes.
        classifier_activation: `"softmax"`, or None for logits.
        name: Name of the model.

    Returns:
        A Model.

    Raises:
        ValueError: If the net cannot take the input shape, the width or the number of classes.

    Reference:
        `torchvision/models/mnasnet.py`, version 2, which scales the stem, too.

    Examples:
        >>> build_mnasnet().output_shape
        (None, 1000)
    """
    if not isinstance(width, int | float) or width <= 0:
        raise ValueError(f"width must be a number above 0, got {width!r}.")
    image = image_input(input_shape)
    x = conv_bn(image, make_divisible(32 * width), 3, strides=2, epsilon=1e-5, name="conv_1")  # (112, 112, 32)
    x = depthwise_bn(x, 3, epsilon=1e-5, name="separable-depthwise")
    x = conv_bn(
        x, make_divisible(16 * width), 1, epsilon=1e-5, activation=None, name="separable-project"
    )  # (112, 112, 16)
    for i, (kernel, strides, expansion, channels, repeats) in enumerate(FIGURE_7, 1):
        for j in range(repeats):
            x = inverted_residual(
                x,
                make_divisible(channels * width),
                expansion * x.shape[-1],
                1 if j else strides,
                kernel_size=kernel,
                activation="relu",
                name=f"stage_{i}-block_{j + 1}",
            )
    x = conv_bn(x, 1280, 1, epsilon=1e-5, name="conv_2")  # (7, 7, 1280)
    x = layers.GlobalAveragePooling2D(name="avg_pool")(x)  # (1280,)
    x = layers.Dropout(0.2, name="dropout")(x)
    return Model(image, classifier(x, classes, classifier_activation), name=name)
