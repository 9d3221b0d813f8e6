"""The names of our layers in the published Caffe prototxts, as rules in the form of `rules.py`.

Caffe splits a batch norm into two layers: BatchNorm holds the statistics, Scale holds gamma and beta. A rule joins the
names of the two as `BatchNorm|Scale`.
"""

from fnmatch import fnmatchcase

from .rules import Rules, with_bn
from .torch_names import ALEXNET_2012


def caffe_rules(id: str) -> list[Rules]:
    """The rules of a net in a list; the list is empty for a net that was not published for Caffe.

    Examples:
        >>> from inception_keras.weights.rules import module_of
        >>> module_of("stage_2-block_1-conv_3-bn", caffe_rules("resnet50_caffe")[0])
        'bn2a_branch2c|scale2a_branch2c'
    """
    return [rules for pattern, rules in CAFFE if fnmatchcase(id, pattern)]


_GOOGLENET: Rules = [  # BVLC/caffe, models/bvlc_googlenet
    (r"conv_1", "conv1/7x7_s2"),
    (r"conv_2-reduce", "conv2/3x3_reduce"),
    (r"conv_2", "conv2/3x3"),
    (r"inception_(\w+)-conv_(\dx\d)", "inception_{1}/{2}"),
    (r"inception_(\w+)-reduce_(\dx\d)", "inception_{1}/{2}_reduce"),
    (r"inception_(\w+)-pool_proj", "inception_{1}/pool_proj"),
    (r"aux_(\d)-conv_1x1", "loss{1}/conv"),
    (r"aux_(\d)-fc", "loss{1}/fc"),
    (r"aux_(\d)", "loss{1}/classifier"),
    (r"predictions", "loss3/classifier"),
]
_VGG: Rules = [(r"conv_(\d)_(\d)", "conv{1}_{2}"), (r"fc_(\d)", "fc{1}"), (r"predictions", "fc8")]
_SQUEEZENET: Rules = [  # forresti/SqueezeNet
    (r"conv_(\d+)", "conv{1}"),
    (r"fire_(\d)-squeeze_1x1", "fire{1}/squeeze1x1"),
    (r"fire_(\d)-expand_(\w+)", "fire{1}/expand{2}"),
]
_NIN: Rules = [  # gist.github.com/mavenlin/d802a5849de39225bcc6 and e56253735ef32c3c296d
    (r"mlpconv_4-conv", "conv4-1024"),
    (r"mlpconv_4-cccp_1", "cccp7-1024"),
    (r"mlpconv_4", "cccp8-1024"),
    (r"mlpconv_(\d)-conv", "conv{1}"),
    *((rf"mlpconv_{i}-cccp_1", f"cccp{2 * i - 1}") for i in (1, 2, 3)),
    *((rf"mlpconv_{i}", f"cccp{2 * i}") for i in (1, 2, 3)),
]


def _resnet(numbered: tuple[int, ...]) -> Rules:
    """Rules for KaimingHe/deep-residual-networks.

    Args:
        numbered: The stages whose blocks are called a, b1, b2 and so on. In other stages they are called a, b, c and so
            on.
    """
    triples = [("conv_1", "conv1", "bn_conv1|scale_conv1")]
    for stage in range(2, 6):
        for i in range(36):
            label = f"b{i}" if i and stage in numbered else chr(ord("a") + i)
            block = f"stage_{stage}-block_{i + 1}"
            branches = [("shortcut", "1"), ("conv_1", "2a"), ("conv_2", "2b"), ("conv_3", "2c")]
            for layer, branch in branches:
                name = f"{stage}{label}_branch{branch}"
                triples.append((f"{block}-{layer}", f"res{name}", f"bn{name}|scale{name}"))
    return [*with_bn(triples), ("predictions", "fc1000")]


def _in_two(name: str, conv: str) -> tuple[str, str, str]:
    """The names of a convolution `conv` and of its batch norm, the layers `conv/bn` and `conv/bn/scale`."""
    return name, conv, f"{conv}/bn|{conv}/bn/scale"


_BLOCK, _SE = r"stage_(\d)-block_(\d+)", "conv{1}_{2}_1x1"
_SENET: Rules = [  # hujie-frank/SENet
    *with_bn(
        [
            _in_two(r"conv_1", "conv1/7x7_s2"),
            _in_two(r"conv_1-conv_1", "conv1_1/3x3_s2"),
            _in_two(r"conv_1-conv_(\d)", "conv1_{1}/3x3"),
            _in_two(rf"{_BLOCK}-conv_1", f"{_SE}_reduce"),
            _in_two(rf"{_BLOCK}-conv_2", "conv{1}_{2}_3x3"),
            _in_two(rf"{_BLOCK}-conv_3", f"{_SE}_increase"),
            _in_two(rf"{_BLOCK}-shortcut", f"{_SE}_proj"),
        ]
    ),
    (rf"{_BLOCK}-se-reduce", f"{_SE}_down"),
    (rf"{_BLOCK}-se-expand", f"{_SE}_up"),
    (r"predictions", "classifier"),
]
_DENSENET: Rules = [  # shicai/DenseNet-Caffe
    *with_bn(
        (name, conv, f"{conv}/bn|{conv}/scale")
        for name, conv in (
            (r"conv_1", "conv1"),
            (r"dense_(\d)-layer_(\d+)-conv_(\d)", "conv{1:+1}_{2}/x{3}"),
            (r"transition_(\d)-conv", "conv{1:+1}_blk"),
            (r"norm_5", "conv5_blk"),
        )
    ),
    (r"predictions", "fc6"),
]

_FCN: Rules = [  # shelhamer/fcn.berkeleyvision.org
    *_VGG[:2],
    (r"score_fr", "score_fr"),
    (r"score_pool_(\d)", "score_pool{1}"),
    (r"upscore_pool_(\d)", "upscore_pool{1}"),
    (r"upscore_32", "upscore"),
    (r"upscore_(\d+)", "upscore{1}"),
]

CAFFE: list[tuple[str, Rules]] = [  # (pattern of ids, rules)
    ("googlenet", _GOOGLENET),
    ("alexnet_2012", ALEXNET_2012),
    ("vgg1[1369]", _VGG),
    ("resnet50_caffe", _resnet(numbered=())),
    ("resnet1??_caffe", _resnet(numbered=(3, 4))),
    ("squeezenet1_?", _SQUEEZENET),
    ("nin_*", _NIN),
    ("seresnet50", _SENET),
    ("seresnet1??", _SENET),
    ("seresnext*", _SENET),
    ("senet154", _SENET),
    ("densenet*", _DENSENET),
    *((id, _FCN) for id in ("fcn32s", "fcn16s", "fcn8s", "fcn8s_atonce")),
    ("fcn_alexnet", [*ALEXNET_2012[:2], *_FCN[2:]]),
]

CONSTANTS = {  # id: the entries that are numbers of the net here, and these numbers
    "fcn8s_atonce": {"scale_pool4.weight": 0.01, "scale_pool3.weight": 0.0001},
}

DIFFERENCES = {  # id: (the layer that differs from Caffe's, the difference)
    "squeezenet1_0": (
        "conv_10",
        "Caffe's SqueezeNet 1.0 pads its last convolution by one pixel, squeezenet1_0 does not, as torchvision's: its "
        "scores differ from Caffe's (docs/fidelity.md)",
    ),
}
