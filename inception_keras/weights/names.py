"""What other libraries call our layers: for each family, pairs of (our layer, their module).

Our side is a regular expression for the whole name, theirs a format string: `{1}` is the first group, `{1:-1}` the
number in it less one, because they count from 0. `X-bn` is the batch norm of `X`.
"""

import re
from collections.abc import Iterable
from fnmatch import fnmatchcase

Rules = list[tuple[str, str]]


def layouts(id: str) -> list[Rules]:
    """The layouts in which the weights of a net are found, the most usual first."""
    return [rules for pattern, rules in LAYOUTS if fnmatchcase(id, pattern)]


def module_of(layer: str, rules: Rules) -> str | None:
    """The other library's name of a layer; None where no rule speaks of it.

    Example:
        >>> module_of("inception_3a-conv_3x3-bn", layouts("googlenet_slim")[0])
        'inception3a.branch2.1.bn'
    """
    for pattern, module in rules:
        if match := re.fullmatch(pattern, layer):
            return module.format(match[0], *map(_Group, match.groups()))
    return None


class _Group(str):
    """A group of a match whose format specification is an offset."""

    def __format__(self, offset: str) -> str:
        return str(int(self) + int(offset)) if offset else str(self)


def _with_bn(pairs: Iterable[tuple[str, str, str]]) -> Rules:
    """Rules for convolutions and, by a second suffix, for their batch norms."""
    return [
        rule for name, conv, bn in pairs for rule in ((name, conv), (f"{name}-bn", bn))
    ]


_GOOGLENET_SLIM: Rules = [
    *_with_bn(
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

# fmt: off
LAYOUTS: list[tuple[str, Rules]] = [  # (pattern of ids, rules)
    ("googlenet_slim", _GOOGLENET_SLIM),
    ("squeezenet1_0", _SQUEEZENET_1_0),
    ("squeezenet1_1", _SQUEEZENET_1_1),
]
# fmt: on
