"""The names of our layers in `keras.applications`, as rules in the form of `rules.py`.

Only nets that compute the same as in `keras.applications` have rules. Layers with automatic names, such as `conv2d_17`,
are numbered from 1 here, in the order in which Keras made them.
"""

from collections.abc import Iterator
from fnmatch import fnmatchcase

from .rules import Rules, with_bn


def keras_rules(id: str) -> list[Rules]:
    """The rules of a net in a list; the list is empty for a net that `keras.applications` lacks.

    Examples:
        >>> from inception_keras.weights.rules import module_of
        >>> module_of("conv_3_1", keras_rules("vgg16")[0])
        'block3_conv1'
    """
    return [rules for pattern, rules in KERAS if fnmatchcase(id, pattern)]


# convolutions in each branch of the modules of Inception-ResNet-v2, in the order of keras.applications
_STEM_6, _REDUCTION_A, _REDUCTION_B = (1, 2, 3, 1), (1, 3), (2, 2, 3)
_BLOCK_A, _BLOCK_B, _BLOCK_C = (1, 2, 3), (1, 3), (1, 3)


def _inception_resnet_v2() -> Iterator[tuple[str, str, str]]:
    modules: list[tuple[str, tuple[int, ...]]] = [("stem_6", _STEM_6)]
    modules += [(f"inception_a_{i}", _BLOCK_A) for i in range(1, 11)] + [("reduction_a", _REDUCTION_A)]
    modules += [(f"inception_b_{i}", _BLOCK_B) for i in range(1, 21)] + [("reduction_b", _REDUCTION_B)]
    modules += [(f"inception_c_{i}", _BLOCK_C) for i in range(1, 11)]
    names = [f"stem_{i}" for i in range(1, 6)]
    for module, branches in modules:
        names += [f"{module}-branch_{i}-conv_{j}" for i, n in enumerate(branches, 1) for j in range(1, n + 1)]
    for i, name in enumerate(names, 1):
        yield name, f"conv2d_{i}", f"batch_normalization_{i}"
    yield "conv_7", "conv_7b", "conv_7b_bn"


# fmt: off
KERAS: list[tuple[str, Rules]] = [
    ("vgg1[69]", [
        (r"conv_(\d)_(\d)", "block{1}_conv{2}"),
        (r"fc_(\d)", "fc{1:-5}"),
        (r"predictions", "predictions"),
    ]),
    ("resnet*_v1", [
        *with_bn([
            (r"conv_1", "conv1_conv", "conv1_bn"),
            (r"stage_(\d)-block_(\d+)-shortcut", "conv{1}_block{2}_0_conv", "conv{1}_block{2}_0_bn"),
            (r"stage_(\d)-block_(\d+)-conv_(\d)", "conv{1}_block{2}_{3}_conv", "conv{1}_block{2}_{3}_bn"),
        ]),
        (r"predictions", "predictions"),
    ]),
    ("densenet*", [
        *with_bn([
            (r"conv_1", "conv1_conv", "conv1_bn"),
            (r"dense_(\d)-layer_(\d+)-conv_(\d)", "conv{1:+1}_block{2}_{3}_conv", "conv{1:+1}_block{2}_{3:-1}_bn"),
            (r"transition_(\d)-conv", "pool{1:+1}_conv", "pool{1:+1}_bn"),
        ]),
        (r"norm_5-bn", "bn"),
        (r"predictions", "predictions"),
    ]),
    ("mobilenet_v1*", [
        *with_bn([
            (r"conv_1", "conv1", "conv1_bn"),
            (r"block_(\d+)-depthwise", "conv_dw_{1}", "conv_dw_{1}_bn"),
            (r"block_(\d+)-pointwise", "conv_pw_{1}", "conv_pw_{1}_bn"),
        ]),
        (r"predictions", "predictions"),
    ]),
    ("xception", [
        *with_bn([
            (r"conv_([12])", "block1_conv{1}", "block1_conv{1}_bn"),
            (r"conv_([34])", "block14_sepconv{1:-2}/pointwise_kernel", "block14_sepconv{1:-2}_bn"),
            (r"block_([123])-shortcut", "conv2d_{1}", "batch_normalization_{1}"),
            (r"block_12-shortcut", "conv2d_4", "batch_normalization_4"),
            (r"block_(\d+)-conv_(\d)", "block{1:+1}_sepconv{2}/pointwise_kernel", "block{1:+1}_sepconv{2}_bn"),
        ]),
        (r"conv_([34])-depthwise", "block14_sepconv{1:-2}/depthwise_kernel"),
        (r"block_(\d+)-conv_(\d)-depthwise", "block{1:+1}_sepconv{2}/depthwise_kernel"),
        (r"predictions", "predictions"),
    ]),
    ("inception_resnet_v2", [
        *with_bn(_inception_resnet_v2()),
        (r"inception_a_(\d+)-up", "block35_{1}_conv"),
        (r"inception_b_(\d+)-up", "block17_{1}_conv"),
        (r"inception_c_(\d+)-up", "block8_{1}_conv"),
        (r"predictions", "predictions"),
    ]),
]
# fmt: on
