"""torchvision's FCN: a dilated ResNet, a head on its last map, and bilinear resizing instead of skips.

Dilation is that of "Rethinking Atrous Convolution for Semantic Image Segmentation", Chen et al., arXiv:1706.05587.
"""

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import conv_bn, image_input, max_pool
from ..checks import check_choice
from ..layers import ResizeLike
from ..models.resnet import TABLE_1, bottleneck

STAGES = (  # stage, filters, strides, dilation of its first block, of the others     output at 520 x 520
    ("stage_2", 64, 1, 1, 1),  # (130, 130, 256)
    ("stage_3", 128, 2, 1, 1),  # (65, 65, 512)
    ("stage_4", 256, 1, 1, 2),  # (65, 65, 1024)
    ("stage_5", 512, 1, 2, 4),  # (65, 65, 2048)
)


@checked
def build_fcn_resnet(
    input_shape: InputShape = (520, 520, 3),
    *,
    depth: int = 50,
    aux: bool = False,
    classes: int = 21,
    name: str = "fcn_resnet50",
) -> Model:
    """Builds torchvision's `fcn_resnet50` or `fcn_resnet101`.

    Args:
        input_shape: (height, width, channels), at least 1 pixel; height and width may be None for any size.
        depth: 50 or 101.
        aux: Adds a second head, on the maps of stage 4.
        classes: Number of classes, the background included.
        name: Name of the model.

    Returns:
        A Model with one output, or with the outputs `{"predictions", "aux"}`. Each has the height and width of the
        image, and a score for each class; there is no softmax.

    Raises:
        ValueError: If the net cannot take the input shape, the depth or the number of classes.

    Reference:
        `torchvision/models/segmentation/fcn.py`.

    Examples:
        >>> build_fcn_resnet().count_params(), build_fcn_resnet(aux=True).count_params()
        (33011157, 35376874)
    """
    check_choice("depth", depth, (50, 101))
    image = image_input(input_shape)
    x = conv_bn(image, 64, 7, strides=2, epsilon=1e-5, name="conv_1")  # (260, 260, 64)
    x = max_pool(x, 3, strides=2, ceil=False, name="pool_1")  # (130, 130, 64)
    outputs = {}
    for (stage, filters, strides, first, others), count in zip(STAGES, TABLE_1[depth], strict=True):
        for j in range(count):
            step, dilation = (1, others) if j else (strides, first)
            x = bottleneck(x, filters, step, dilation=dilation, name=f"{stage}-block_{j + 1}")
        if aux and stage == "stage_4":
            outputs["aux"] = head(x, image, classes, "aux")
    outputs = {"predictions": head(x, image, classes, "predictions")} | outputs
    return Model(image, outputs if aux else outputs["predictions"], name=name)


def head(x: KerasTensor, image: KerasTensor, classes: int, name: str) -> KerasTensor:
    """(65, 65, c) -> (520, 520, classes), in float32 even with mixed precision."""
    x = conv_bn(x, x.shape[-1] // 4, 3, epsilon=1e-5, name=f"{name}-conv")  # (65, 65, c / 4)
    x = layers.Dropout(0.1, name=f"{name}-dropout")(x)
    x = layers.Conv2D(classes, 1, name=f"{name}-score")(x)  # (65, 65, classes)
    return ResizeLike(dtype="float32", name=name)([x, image])
