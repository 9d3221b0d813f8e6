"""FCN: "Fully Convolutional Networks for Semantic Segmentation", Long et al. 2015, arXiv:1411.4038, as released.

The nets of `shelhamer/fcn.berkeleyvision.org`: VGG-16 and AlexNet, whose dense layers are convolutions, with an image
padded by 100 pixels so that the smallest image fits.
"""

from keras import KerasTensor, Model, layers

from ..arguments import InputShape, checked
from ..blocks import conv, image_input, max_pool
from ..checks import check_choice
from ..layers import BilinearConv2DTranspose, CropLike, LocalResponseNormalization
from ..models.alexnet import SECTION_3_5
from ..models.vgg import vgg_maps

CROPS = {  # stride: the first row and column that is kept of the scores of pool_4, of pool_3 and of the last map
    32: (19,),
    16: (5, 27),
    8: (5, 9, 31),
}
SCALES = {"pool_4": 0.01, "pool_3": 0.0001}  # of the skips in the net that is trained at once


@checked
def build_fcn_vgg(
    input_shape: InputShape = (500, 500, 3),
    *,
    stride: int = 32,
    at_once: bool = False,
    classes: int = 21,
    learn_upsampling: bool = False,
    name: str = "fcn32s",
) -> Model:
    """Builds FCN-32s, FCN-16s or FCN-8s (figure 3) of VGG-16.

    Args:
        input_shape: (height, width, channels); height and width may be None for any size.
        stride: 32, 16 or 8: the stride of the finest map that scores are taken from.
        at_once: Scales the skips, so that all of an FCN-8s can be trained in one stage.
        classes: Number of classes, the background included.
        learn_upsampling: Whether the kernels that enlarge maps are trained. As released, they stay bilinear.
        name: Name of the model.

    Returns:
        A Model whose output has the height and width of the image, and a score for each class; there is no softmax.

    Raises:
        ValueError: If the net cannot take the input shape, the stride or the number of classes.

    Examples:
        >>> [build_fcn_vgg(stride=stride).count_params() for stride in (32, 16, 8)]
        [136152917, 134815994, 134489759]
    """
    check_choice("stride", stride, (32, 16, 8))
    image = image_input(input_shape)
    maps = vgg_maps(layers.ZeroPadding2D(100, name="conv_1_1-padding")(image), _unpadded_first)
    x = dense_layers(maps["pool_5"], kernel_size=7)

    x = score(x, classes, name="score_fr")
    *skips, last = CROPS[stride]
    before = "2"
    for label, offset in zip(SCALES, skips, strict=False):
        x = upscore(x, 2, learned=learn_upsampling, name=f"upscore_{before}")
        y = maps[label]
        if at_once:
            y = layers.Rescaling(SCALES[label], name=f"scale_{label}")(y)
        y = score(y, classes, name=f"score_{label}")
        y = CropLike(offset, name=f"score_{label}-crop")([y, x])
        x = layers.Add(name=f"fuse_{label}")([x, y])
        before = label
    x = upscore(x, stride, learned=learn_upsampling, name=f"upscore_{stride}")
    return Model(image, cropped(x, image, last), name=name)


@checked
def build_fcn_alexnet(
    input_shape: InputShape = (500, 500, 3),
    *,
    classes: int = 21,
    learn_upsampling: bool = False,
    name: str = "fcn_alexnet",
) -> Model:
    """Builds the FCN of CaffeNet, an AlexNet that pools its maps before it normalises them.

    Args:
        input_shape: (height, width, channels); height and width may be None for any size.
        classes: Number of classes, the background included.
        learn_upsampling: Whether the kernel that enlarges the map is trained. As released, it stays bilinear.
        name: Name of the model.

    Returns:
        A Model whose output has the height and width of the image, and a score for each class; there is no softmax.

    Raises:
        ValueError: If the net cannot take the input shape or the number of classes.

    Examples:
        >>> build_fcn_alexnet().count_params()
        58704590
    """
    image = image_input(input_shape)
    x = layers.ZeroPadding2D(100, name="conv_1-padding")(image)
    for row, (filters, kernel, strides, groups, normalised) in SECTION_3_5.items():
        padding: dict = {"padding": "valid"} if row == "conv_1" else {}
        x = conv(x, filters, kernel, strides, groups=groups, name=row, **padding)
        if normalised:
            x = max_pool(x, 3, strides=2, name=f"{row}-pool")
            x = LocalResponseNormalization(name=f"{row}-norm")(x)
    x = max_pool(x, 3, strides=2, name="conv_5-pool")
    x = dense_layers(x, kernel_size=6)
    x = score(x, classes, name="score_fr")
    x = upscore(x, 32, kernel_size=63, learned=learn_upsampling, name="upscore_32")
    return Model(image, cropped(x, image, 18), name=name)


def _unpadded_first(x: KerasTensor, filters: int, kernel_size: int, *, name: str) -> KerasTensor:
    """A convolution, of which the first has its padding already: 100 pixels."""
    padding: dict = {"padding": "valid"} if name == "conv_1_1" else {}
    return conv(x, filters, kernel_size, name=name, **padding)


def dense_layers(x: KerasTensor, kernel_size: int) -> KerasTensor:
    """The classifier's two dense layers as convolutions: (h, w, c) -> (h - kernel_size + 1, w - ..., 4096)."""
    for row, side in (("fc_6", kernel_size), ("fc_7", 1)):
        x = conv(x, 4096, side, padding="valid", name=row)
        x = layers.Dropout(0.5, name=f"{row}-dropout")(x)
    return x


def score(x: KerasTensor, classes: int, *, name: str) -> KerasTensor:
    """A score for each class and pixel: (h, w, c) -> (h, w, classes). All scores start at zero."""
    return layers.Conv2D(classes, 1, kernel_initializer="zeros", name=name)(x)


def upscore(
    x: KerasTensor, factor: int, *, kernel_size: int | None = None, learned: bool, name: str, centred: bool = False
) -> KerasTensor:
    """Bilinear interpolation by a transposed convolution: (h, w, c) -> about (factor h, factor w, c)."""
    size = kernel_size or 2 * factor
    return BilinearConv2DTranspose(x.shape[-1], size, factor, learned=learned, centred=centred, name=name)(x)


def cropped(x: KerasTensor, image: KerasTensor, offset: int) -> KerasTensor:
    """The output: the part of the scores that lies over the image, in float32 even with mixed precision."""
    return CropLike(offset, dtype="float32", name="predictions")([x, image])
