"""The names of our layers in torchvision and timm, as rules in the form of `rules.py`."""

from collections.abc import Iterable
from fnmatch import fnmatchcase

from .rules import Rules, with_bn


def torch_rules(id: str) -> list[Rules]:
    """The rules of a net, one list for each layout in which its weights are published, the most common one first.

    Examples:
        >>> from inception_keras.weights.rules import module_of
        >>> module_of("inception_3a-conv_3x3-bn", torch_rules("googlenet_slim")[0])
        'inception3a.branch2.1.bn'
    """
    return [rules for pattern, rules in TORCH if fnmatchcase(id, pattern)]


_GOOGLENET_SLIM: Rules = [
    *with_bn(
        [
            (r"conv_1", "conv1.conv", "conv1.bn"),
            (r"conv_2-reduce", "conv2.conv", "conv2.bn"),
            (r"conv_2", "conv3.conv", "conv3.bn"),
            (r"inception_(\w+)-conv_1x1", "inception{1}.branch1.conv", "inception{1}.branch1.bn"),
            (r"inception_(\w+)-reduce_3x3", "inception{1}.branch2.0.conv", "inception{1}.branch2.0.bn"),
            (r"inception_(\w+)-conv_3x3", "inception{1}.branch2.1.conv", "inception{1}.branch2.1.bn"),
            (r"inception_(\w+)-reduce_5x5", "inception{1}.branch3.0.conv", "inception{1}.branch3.0.bn"),
            (r"inception_(\w+)-conv_5x5", "inception{1}.branch3.1.conv", "inception{1}.branch3.1.bn"),
            (r"inception_(\w+)-pool_proj", "inception{1}.branch4.1.conv", "inception{1}.branch4.1.bn"),
            (r"aux_(\d)-conv_1x1", "aux{1}.conv.conv", "aux{1}.conv.bn"),
        ]
    ),
    (r"aux_(\d)-fc", "aux{1}.fc1"),
    (r"aux_(\d)", "aux{1}.fc2"),
    (r"predictions", "fc"),
]

_SQUEEZENET_1_0: Rules = [
    (r"conv_1", "features.0"),
    (r"fire_([2-4])-squeeze_1x1", "features.{1:+1}.squeeze"),
    (r"fire_([2-4])-expand_(\w+)", "features.{1:+1}.expand{2}"),
    (r"fire_([5-8])-squeeze_1x1", "features.{1:+2}.squeeze"),
    (r"fire_([5-8])-expand_(\w+)", "features.{1:+2}.expand{2}"),
    (r"fire_9-squeeze_1x1", "features.12.squeeze"),
    (r"fire_9-expand_(\w+)", "features.12.expand{1}"),
    (r"conv_10", "classifier.1"),
]
_SQUEEZENET_1_1: Rules = [
    (r"conv_1", "features.0"),
    (r"fire_([23])-squeeze_1x1", "features.{1:+1}.squeeze"),
    (r"fire_([23])-expand_(\w+)", "features.{1:+1}.expand{2}"),
    (r"fire_([45])-squeeze_1x1", "features.{1:+2}.squeeze"),
    (r"fire_([45])-expand_(\w+)", "features.{1:+2}.expand{2}"),
    (r"fire_([6-9])-squeeze_1x1", "features.{1:+3}.squeeze"),
    (r"fire_([6-9])-expand_(\w+)", "features.{1:+3}.expand{2}"),
    (r"conv_10", "classifier.1"),
]


def _units(pairs: Iterable[tuple[str, str]]) -> Rules:
    """Rules for modules that name a convolution `conv` and its batch norm `bn`."""
    return with_bn((name, f"{module}.conv", f"{module}.bn") for name, module in pairs)


_SE_BLOCK, _SE_MODULE = r"stage_(\d)-block_(\d+)", "layer{1:-1}.{2:-1}"
_SENET: Rules = [
    *with_bn(
        [
            (r"conv_1", "layer0.conv1", "layer0.bn1"),
            (r"conv_1-conv_(\d)", "layer0.conv{1}", "layer0.bn{1}"),
            (rf"{_SE_BLOCK}-conv_(\d)", f"{_SE_MODULE}.conv{{3}}", f"{_SE_MODULE}.bn{{3}}"),
            (rf"{_SE_BLOCK}-shortcut", f"{_SE_MODULE}.downsample.0", f"{_SE_MODULE}.downsample.1"),
        ]
    ),
    (rf"{_SE_BLOCK}-se-reduce", f"{_SE_MODULE}.se_module.fc1"),
    (rf"{_SE_BLOCK}-se-expand", f"{_SE_MODULE}.se_module.fc2"),
    (r"predictions", "last_linear"),
]

_DPN: Rules = [
    *_units(
        [
            (r"conv_1", "features.conv1_1"),
            (r"stage_2-block_1-project", "features.conv2_1.c1x1_w_s1"),
            (r"stage_(\d)-block_1-project", "features.conv{1}_1.c1x1_w_s2"),
            (r"stage_(\d)-block_(\d+)-conv_1", "features.conv{1}_{2}.c1x1_a"),
            (r"stage_(\d)-block_(\d+)-conv_2", "features.conv{1}_{2}.c3x3_b"),
            (r"stage_(\d)-block_(\d+)-conv_3", "features.conv{1}_{2}.c1x1_c"),
        ]
    ),
    (r"norm_5", "features.conv5_bn_ac.bn"),
    (r"predictions", "classifier"),
]

_XCEPTION: Rules = [
    *with_bn(
        [
            (r"conv_([12])", "conv{1}", "bn{1}"),
            (r"conv_([34])", "conv{1}.pointwise", "bn{1}"),
            (r"block_(\d+)-shortcut", "block{1}.skip", "block{1}.skipbn"),
            (r"block_1-conv_1", "block1.rep.0.pointwise", "block1.rep.1"),
            (r"block_1-conv_2", "block1.rep.3.pointwise", "block1.rep.4"),
            (r"block_(\d+)-conv_1", "block{1}.rep.1.pointwise", "block{1}.rep.2"),
            (r"block_(\d+)-conv_2", "block{1}.rep.4.pointwise", "block{1}.rep.5"),
            (r"block_(\d+)-conv_3", "block{1}.rep.7.pointwise", "block{1}.rep.8"),
        ]
    ),
    (r"conv_([34])-depthwise", "conv{1}.conv1"),
    (r"block_1-conv_1-depthwise", "block1.rep.0.conv1"),
    (r"block_1-conv_2-depthwise", "block1.rep.3.conv1"),
    (r"block_(\d+)-conv_1-depthwise", "block{1}.rep.1.conv1"),
    (r"block_(\d+)-conv_2-depthwise", "block{1}.rep.4.conv1"),
    (r"block_(\d+)-conv_3-depthwise", "block{1}.rep.7.conv1"),
    (r"predictions", "fc"),
]

_INCEPTION_V4: Rules = [
    *_units(
        [
            (r"conv_(\d)", "features.{1:-1}"),
            (r"stem_1-branch_2-conv_1", "features.3.conv"),
            (r"stem_2-branch_(\d)-conv_(\d)", "features.4.branch{1:-1}.{2:-1}"),
            (r"stem_3-branch_1-conv_1", "features.5.conv"),
            (r"inception_a_(\d)-branch_1-conv_1", "features.{1:+5}.branch0"),
            (r"inception_a_(\d)-branch_4-conv_1", "features.{1:+5}.branch3.1"),
            (r"inception_a_(\d)-branch_(\d)-conv_(\d)", "features.{1:+5}.branch{2:-1}.{3:-1}"),
            (r"reduction_a-branch_1-conv_1", "features.10.branch0"),
            (r"reduction_a-branch_2-conv_(\d)", "features.10.branch1.{1:-1}"),
            (r"inception_b_(\d)-branch_1-conv_1", "features.{1:+10}.branch0"),
            (r"inception_b_(\d)-branch_4-conv_1", "features.{1:+10}.branch3.1"),
            (r"inception_b_(\d)-branch_(\d)-conv_(\d)", "features.{1:+10}.branch{2:-1}.{3:-1}"),
            (r"reduction_b-branch_(\d)-conv_(\d)", "features.18.branch{1:-1}.{2:-1}"),
            (r"inception_c_(\d)-branch_1-conv_1", "features.{1:+18}.branch0"),
            (r"inception_c_(\d)-branch_4-conv_1", "features.{1:+18}.branch3.1"),
            (r"inception_c_(\d)-branch_(\d)-conv_(\d)([ab]?)", "features.{1:+18}.branch{2:-1}_{3:-1}{4}"),
        ]
    ),
    (r"predictions", "last_linear"),
]

_INCEPTION_RESNET_V2: Rules = [
    *_units(
        [
            *((f"stem_{i}", f"conv2d_{part}") for i, part in enumerate(("1a", "2a", "2b", "3b", "4a"), 1)),
            (r"stem_6-branch_1-conv_1", "mixed_5b.branch0"),
            (r"stem_6-branch_4-conv_1", "mixed_5b.branch3.1"),
            (r"stem_6-branch_(\d)-conv_(\d)", "mixed_5b.branch{1:-1}.{2:-1}"),
            (r"inception_a_(\d+)-branch_1-conv_1", "repeat.{1:-1}.branch0"),
            (r"inception_a_(\d+)-branch_(\d)-conv_(\d)", "repeat.{1:-1}.branch{2:-1}.{3:-1}"),
            (r"reduction_a-branch_1-conv_1", "mixed_6a.branch0"),
            (r"reduction_a-branch_2-conv_(\d)", "mixed_6a.branch1.{1:-1}"),
            (r"inception_b_(\d+)-branch_1-conv_1", "repeat_1.{1:-1}.branch0"),
            (r"inception_b_(\d+)-branch_2-conv_(\d)", "repeat_1.{1:-1}.branch1.{2:-1}"),
            (r"reduction_b-branch_(\d)-conv_(\d)", "mixed_7a.branch{1:-1}.{2:-1}"),
            (r"inception_c_10-branch_1-conv_1", "block8.branch0"),
            (r"inception_c_10-branch_2-conv_(\d)", "block8.branch1.{1:-1}"),
            (r"inception_c_(\d)-branch_1-conv_1", "repeat_2.{1:-1}.branch0"),
            (r"inception_c_(\d)-branch_2-conv_(\d)", "repeat_2.{1:-1}.branch1.{2:-1}"),
            (r"conv_7", "conv2d_7b"),
        ]
    ),
    (r"inception_a_(\d+)-up", "repeat.{1:-1}.conv2d"),
    (r"inception_b_(\d+)-up", "repeat_1.{1:-1}.conv2d"),
    (r"inception_c_10-up", "block8.conv2d"),
    (r"inception_c_(\d)-up", "repeat_2.{1:-1}.conv2d"),
    (r"predictions", "classif"),
]

_BLOCK, _LAYER = r"stage_(\d)-block_(\d+)", "layer{1:-1}.{2:-1}"
_RESNET: Rules = [
    *with_bn(
        [
            (r"conv_1", "conv1", "bn1"),
            (rf"{_BLOCK}-conv_(\d)", f"{_LAYER}.conv{{3}}", f"{_LAYER}.bn{{3}}"),
            (rf"{_BLOCK}-shortcut", f"{_LAYER}.downsample.0", f"{_LAYER}.downsample.1"),
        ]
    ),
    (r"predictions", "fc"),
]
_FCN_RESNET: Rules = [
    *with_bn(
        [
            (r"conv_1", "backbone.conv1", "backbone.bn1"),
            (rf"{_BLOCK}-conv_(\d)", f"backbone.{_LAYER}.conv{{3}}", f"backbone.{_LAYER}.bn{{3}}"),
            (rf"{_BLOCK}-shortcut", f"backbone.{_LAYER}.downsample.0", f"backbone.{_LAYER}.downsample.1"),
            (r"predictions-conv", "classifier.0", "classifier.1"),
            (r"aux-conv", "aux_classifier.0", "aux_classifier.1"),
        ]
    ),
    (r"predictions-score", "classifier.4"),
    (r"aux-score", "aux_classifier.4"),
]


def _faster_rcnn(dot: str, conv: str) -> Rules:
    """Rules for torchvision's Faster R-CNN. Published files are older than the names of today: `dot` and `conv` are "".

    In today's nets, `inner_blocks.0` is `inner_blocks.0.0`, and `conv` is `conv.0.0`.
    """
    return [
        *((name, f"backbone.body.{module}") for name, module in _RESNET if name != "predictions"),
        (r"fpn-inner_(\d)", f"backbone.fpn.inner_blocks.{{1:-2}}{dot}"),
        (r"fpn-layer_(\d)", f"backbone.fpn.layer_blocks.{{1:-2}}{dot}"),
        (r"rpn-conv", f"rpn.head.conv{conv}"),
        (r"rpn-scores", "rpn.head.cls_logits"),
        (r"rpn-offsets", "rpn.head.bbox_pred"),
        (r"fc_([67])", "roi_heads.box_head.fc{1}"),
        (r"scores", "roi_heads.box_predictor.cls_score"),
        (r"offsets", "roi_heads.box_predictor.bbox_pred"),
    ]


def _vgg(counts: tuple[int, ...], step: int) -> Rules:
    """Rules for a VGG with these counts of convolutions per block; a convolution takes up `step` modules."""
    rules, place = [], 0
    for block, count in enumerate(counts, 1):
        for i in range(1, count + 1):
            rules += with_bn([(f"conv_{block}_{i}", f"features.{place}", f"features.{place + 1}")])
            place += step
        place += 1  # the pool
    return [*rules, ("fc_6", "classifier.0"), ("fc_7", "classifier.3"), ("predictions", "classifier.6")]


_VGG = {11: (1, 1, 2, 2, 2), 13: (2, 2, 2, 2, 2), 16: (2, 2, 3, 3, 3), 19: (2, 2, 4, 4, 4)}

_ALEXNET: Rules = [
    *((f"conv_{i}", f"features.{place}") for i, place in enumerate((0, 3, 6, 8, 10), 1)),
    *(("fc_6", "classifier.1"), ("fc_7", "classifier.4"), ("predictions", "classifier.6")),
]
ALEXNET_2012: Rules = [(r"conv_(\d)", "conv{1}"), (r"fc_(\d)", "fc{1}"), (r"predictions", "fc8")]


def _densenet(dot: str) -> Rules:
    """Rules for a DenseNet. With `dot` as ".", `conv1` is written `conv.1`, as in the published files."""
    layer, module = r"dense_(\d)-layer_(\d+)-conv_(\d)", "features.denseblock{1}.denselayer{2}"
    return [
        *with_bn(
            [
                (r"conv_1", "features.conv0", "features.norm0"),
                (layer, f"{module}.conv{dot}{{3}}", f"{module}.norm{dot}{{3}}"),
                (r"transition_(\d)-conv", "features.transition{1}.conv", "features.transition{1}.norm"),
            ]
        ),
        (r"norm_5-bn", "features.norm5"),
        (r"predictions", "classifier"),
    ]


_MOBILENET_V2: Rules = [
    *with_bn(
        [
            (r"conv_1", "features.0.0", "features.0.1"),
            (r"block_1-depthwise", "features.1.conv.0.0", "features.1.conv.0.1"),
            (r"block_1-project", "features.1.conv.1", "features.1.conv.2"),
            (r"block_(\d+)-expand", "features.{1}.conv.0.0", "features.{1}.conv.0.1"),
            (r"block_(\d+)-depthwise", "features.{1}.conv.1.0", "features.{1}.conv.1.1"),
            (r"block_(\d+)-project", "features.{1}.conv.2", "features.{1}.conv.3"),
            (r"conv_2", "features.18.0", "features.18.1"),
        ]
    ),
    (r"predictions", "classifier.1"),
]


def _mobilenet_v3(excited: str, last: int) -> Rules:
    """Rules for a MobileNetV3.

    The first block has no expansion, so the numbers of its modules are smaller by one.

    Args:
        excited: The blocks with squeeze-and-excitation, joined by "|".
        last: The module number of the last convolution.
    """
    return [
        *with_bn(
            (name, f"features.{module}.0", f"features.{module}.1")
            for name, module in (
                (r"conv_1", "0"),
                (r"block_1-depthwise", "1.block.0"),
                (r"block_1-project", "1.block.2" if excited.startswith("1|") else "1.block.1"),
                (r"block_(\d+)-expand", "{1}.block.0"),
                (r"block_(\d+)-depthwise", "{1}.block.1"),
                (rf"block_({excited})-project", "{1}.block.3"),
                (r"block_(\d+)-project", "{1}.block.2"),
                (r"conv_2", str(last)),
            )
        ),
        (r"block_1-se-reduce", "features.1.block.1.fc1"),
        (r"block_1-se-expand", "features.1.block.1.fc2"),
        (r"block_(\d+)-se-reduce", "features.{1}.block.2.fc1"),
        (r"block_(\d+)-se-expand", "features.{1}.block.2.fc2"),
        (r"fc", "classifier.0"),
        (r"predictions", "classifier.3"),
    ]


_MNASNET: Rules = [
    *with_bn(
        [
            (r"conv_1", "layers.0", "layers.1"),
            (r"separable-depthwise", "layers.3", "layers.4"),
            (r"separable-project", "layers.6", "layers.7"),
            (rf"{_BLOCK}-expand", "layers.{1:+7}.{2:-1}.layers.0", "layers.{1:+7}.{2:-1}.layers.1"),
            (rf"{_BLOCK}-depthwise", "layers.{1:+7}.{2:-1}.layers.3", "layers.{1:+7}.{2:-1}.layers.4"),
            (rf"{_BLOCK}-project", "layers.{1:+7}.{2:-1}.layers.6", "layers.{1:+7}.{2:-1}.layers.7"),
            (r"conv_2", "layers.14", "layers.15"),
        ]
    ),
    (r"predictions", "classifier.1"),
]

_UNIT, _STAGE = r"stage_(\d)-unit_(\d)", "stage{1}.{2:-1}"
_SHUFFLENET_V2: Rules = [
    *with_bn(
        [
            (r"conv_([15])", "conv{1}.0", "conv{1}.1"),
            (rf"{_UNIT}-left_depthwise", f"{_STAGE}.branch1.0", f"{_STAGE}.branch1.1"),
            (rf"{_UNIT}-left_conv", f"{_STAGE}.branch1.2", f"{_STAGE}.branch1.3"),
            (rf"{_UNIT}-conv_1", f"{_STAGE}.branch2.0", f"{_STAGE}.branch2.1"),
            (rf"{_UNIT}-depthwise", f"{_STAGE}.branch2.3", f"{_STAGE}.branch2.4"),
            (rf"{_UNIT}-conv_2", f"{_STAGE}.branch2.5", f"{_STAGE}.branch2.6"),
        ]
    ),
    (r"predictions", "fc"),
]

_INCEPTION_V3: Rules = [
    *with_bn(
        (name, f"{module}.conv", f"{module}.bn")
        for name, module in (
            (r"conv_(1a|2a|2b|4a)", "Conv2d_{1}_3x3"),
            (r"conv_3b", "Conv2d_3b_1x1"),
            (r"inception_(\w+)-branch_1-conv_1", "Mixed_{1}.branch1x1"),
            (r"inception_(\w+)-branch_4-conv_1", "Mixed_{1}.branch_pool"),
            (r"inception_(5\w)-branch_2-conv_(\d)", "Mixed_{1}.branch5x5_{2}"),
            (r"inception_(5\w)-branch_3-conv_(\d)", "Mixed_{1}.branch3x3dbl_{2}"),
            (r"reduction_6a-branch_1-conv_1", "Mixed_6a.branch3x3"),
            (r"reduction_6a-branch_2-conv_(\d)", "Mixed_6a.branch3x3dbl_{1}"),
            (r"inception_(6\w)-branch_2-conv_(\d)", "Mixed_{1}.branch7x7_{2}"),
            (r"inception_(6\w)-branch_3-conv_(\d)", "Mixed_{1}.branch7x7dbl_{2}"),
            (r"reduction_7a-branch_1-conv_(\d)", "Mixed_7a.branch3x3_{1}"),
            (r"reduction_7a-branch_2-conv_(\d)", "Mixed_7a.branch7x7x3_{1}"),
            (r"inception_(7\w)-branch_2-conv_(\w+)", "Mixed_{1}.branch3x3_{2}"),
            (r"inception_(7\w)-branch_3-conv_(\w+)", "Mixed_{1}.branch3x3dbl_{2}"),
            (r"aux_1-conv_(\d)", "AuxLogits.conv{1:-1}"),
        )
    ),
    (r"aux_1", "AuxLogits.fc"),
    (r"predictions", "fc"),
]

# fmt: off
TORCH: list[tuple[str, Rules]] = [  # (pattern of ids, rules)
    ("googlenet_slim", _GOOGLENET_SLIM),
    ("squeezenet1_0", _SQUEEZENET_1_0),
    ("squeezenet1_1", _SQUEEZENET_1_1),
    ("alexnet", _ALEXNET),
    ("alexnet_2012", ALEXNET_2012),
    *((f"vgg{depth}", _vgg(counts, 2)) for depth, counts in _VGG.items()),
    *((f"vgg{depth}_bn", _vgg(counts, 3)) for depth, counts in _VGG.items()),
    *((f"resnet{rest}", _RESNET) for rest in ("??", "???", "*_cifar")),
    ("plain*_cifar", _RESNET),
    ("resnext*", _RESNET),
    ("wide_resnet*", _RESNET),
    ("fcn_resnet*", _FCN_RESNET),
    ("fasterrcnn_resnet50_fpn", _faster_rcnn("", "")),
    ("fasterrcnn_resnet50_fpn", _faster_rcnn(".0", ".0.0")),
    ("densenet*", _densenet("")),
    ("densenet*", _densenet(".")),
    ("mobilenet_v2", _MOBILENET_V2),
    ("mobilenet_v3_large", _mobilenet_v3("4|5|6|11|12|13|14|15", 16)),
    ("mobilenet_v3_small", _mobilenet_v3("1|4|5|6|7|8|9|10|11", 12)),
    ("mnasnet*", _MNASNET),
    ("shufflenet_v2*", _SHUFFLENET_V2),
    ("inception_v3", _INCEPTION_V3),
    ("dpn*", _DPN),
    ("seres*", _SENET),
    ("senet154", _SENET),
    ("xception", _XCEPTION),
    ("inception_v4", _INCEPTION_V4),
    ("inception_resnet_v2", _INCEPTION_RESNET_V2),
]
# fmt: on
