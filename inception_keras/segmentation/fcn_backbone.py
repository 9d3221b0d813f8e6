"""FCNs of other nets: the skips of "Fully Convolutional Networks" on any backbone."""

import keras
from keras import Model, layers

from ..arguments import InputShape, checked
from ..blocks import conv_bn, image_input
from ..checks import check_choice, check_model
from ..feature_maps import ends_of_strides
from ..graph import functional, outputs_of
from ..layers import CropLike
from ..models.googlenet import build_googlenet
from ..models.vgg import vgg_maps
from .alignment import Grid, enlargement, grids
from .fcn import cropped, score, upscore


@checked
def fcn(
    backbone: keras.Model,
    *,
    stride: int = 8,
    classes: int = 21,
    learn_upsampling: bool = False,
    name: str | None = None,
) -> keras.Model:
    """Makes a fully convolutional net for segmentation of a classifier or its trunk.

    The last map of the backbone gets a score for each class. The scores are enlarged by two and added to those of the
    last map of the next smaller stride, and so on down to `stride`. Then they are enlarged to the size of the image.
    All scores start at zero. So a net with a smaller stride, given the weights of one with a larger stride, starts
    with its outputs.

    Kernels and crops are such that a score lies where its map has seen the image. Where kernels do not reach, as at
    the edges of a net without padding, scores are zero.

    Args:
        backbone: A net of `create_model` or another functional model of images. Dense layers are left out; give it
            without its top for images of any size. Its layers and weights are shared.
        stride: The stride of the finest map that scores are taken from: 32, 16 or 8, or another that the net has.
        classes: Number of classes, the background included.
        learn_upsampling: Whether the kernels that enlarge maps are trained. By default they stay bilinear.
        name: Name of the model; by default that of the backbone with `fcn_` and the stride, as in `fcn_resnet18_8s`.

    Returns:
        A Model whose output `predictions` has the height and width of the image, and a score for each class; there is
        no softmax.

    Raises:
        TypeError: If the backbone is not a Keras model.
        ValueError: If the backbone has no maps of such a stride, or its strides are not powers of two.

    Examples:
        >>> trunk = create_model("resnet18", include_top=False, input_shape=(None, None, 3))
        >>> fcn(trunk, stride=8).output_shape
        (None, None, None, 21)
    """
    backbone = functional(check_model("backbone", backbone))
    graph, ends = ends_of_strides(backbone)
    places = grids(graph)
    # coarse maps first
    maps = {places[node.name].stride: (node.block, places[node.name], node) for node in reversed(ends)}
    check_choice("stride", stride, [s for s in maps if s > 1])
    used = [found for s, found in maps.items() if s >= stride]
    tensors = outputs_of(backbone, [node for _, _, node in used])

    x, (_, grid, _) = score(tensors[0], classes, name="score_fr"), used[0]
    label = "2"
    for (skip, finer, _), tensor in zip(used[1:], tensors[1:], strict=True):
        factor, centred, offset = enlargement(grid, finer)
        x = upscore(x, factor, learned=learn_upsampling, centred=centred, name=f"upscore_{label}")
        y = score(tensor, classes, name=f"score_{skip}")
        x = CropLike(offset, name=f"fuse_{skip}-crop")([x, y])
        x = layers.Add(name=f"fuse_{skip}")([x, y])
        label, grid = skip, finer
    factor, centred, offset = enlargement(grid, Grid(1, 0.0))
    last = f"upscore_{stride}" if stride > 2 else "upscore_image"  # upscore_2 is the first of all
    x = upscore(x, factor, learned=learn_upsampling, centred=centred, name=last)
    image = backbone.inputs[0]
    return Model(image, cropped(x, image, offset), name=name or f"fcn_{backbone.name}_{stride}s")


@checked
def build_fcn_googlenet(
    input_shape: InputShape = (500, 500, 3),
    *,
    stride: int = 32,
    batch_norm: bool = False,
    classes: int = 21,
    learn_upsampling: bool = False,
    name: str = "fcn_googlenet32s",
) -> Model:
    """Builds the FCN of GoogLeNet, which the paper has in its table 1. The authors did not publish it.

    Args:
        input_shape: (height, width, channels), at least 31 pixels; height and width may be None for any size.
        stride: 32, 16 or 8: the stride of the finest map that scores are taken from. The skips are of the last modules
            of their strides, 4e and 3b.
        batch_norm: As for `build_googlenet`.
        classes: Number of classes, the background included.
        learn_upsampling: Whether the kernels that enlarge maps are trained. By default they stay bilinear.
        name: Name of the model.

    Returns:
        A Model whose output has the height and width of the image, and a score for each class; there is no softmax.

    Raises:
        ValueError: If the net cannot take the input shape, the stride or the number of classes.

    Examples:
        >>> [build_fcn_googlenet(stride=stride).count_params() for stride in (32, 16, 8)]
        [7801413, 6471210, 6149679]
    """
    check_choice("stride", stride, (32, 16, 8))
    trunk = build_googlenet(input_shape, batch_norm=batch_norm)
    return fcn(trunk, stride=stride, classes=classes, learn_upsampling=learn_upsampling, name=name)


@checked
def build_fcn_small(
    input_shape: InputShape = (96, 96, 3),
    *,
    stride: int = 8,
    classes: int = 21,
    learn_upsampling: bool = False,
    name: str = "fcn_small8s",
) -> Model:
    """Builds the FCN of a small VGG-16, to be trained in minutes on a CPU and without pretrained weights.

    It has a quarter of VGG's filters, a batch norm after each convolution, and neither fc_6 nor fc_7.

    Args:
        input_shape: (height, width, channels), at least 32 pixels; height and width may be None for any size.
        stride: 32, 16 or 8: the stride of the finest map that scores are taken from. The skips are of the last
            convolutions of their strides.
        classes: Number of classes, the background included.
        learn_upsampling: Whether the kernels that enlarge maps are trained. By default they stay bilinear.
        name: Name of the model.

    Returns:
        A Model whose output has the height and width of the image, and a score for each class; there is no softmax.

    Raises:
        ValueError: If the net cannot take the input shape, the stride or the number of classes.

    Examples:
        >>> build_fcn_small().output_shape
        (None, 96, 96, 21)
    """
    check_choice("stride", stride, (32, 16, 8))
    image = image_input(input_shape, min_size=32)
    x = vgg_maps(image, conv_bn, width=1 / 4)["pool_5"]  # (3, 3, 128)
    return fcn(Model(image, x), stride=stride, classes=classes, learn_upsampling=learn_upsampling, name=name)
