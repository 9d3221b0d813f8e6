"""Rules for the names of our layers in other libraries: pairs of (our layer, the library's module).

Our side of a pair is a regular expression for the whole name. The library's side is a format string: `{1}` is the first
group, and `{1:-1}` is the number in that group minus one, for libraries that count from 0. `X-bn` is the batch norm of
`X`.
"""

import re
from collections.abc import Iterable
from functools import cache

Rules = list[tuple[str, str]]

_compiled = cache(re.compile)  # `re` itself keeps 512 patterns, fewer than there are of Caffe's ResNets


def module_of(layer: str, rules: Rules) -> str | None:
    r"""The other library's name for a layer; None if no rule matches.

    Examples:
        >>> from inception_keras.weights.rules import module_of
        >>> module_of("inception_3a-conv_3x3", [(r"inception_(\w+)-conv_(\d)x\d", "branch{1}.{2:-1}")])
        'branch3a.2'
    """
    for pattern, module in rules:
        if match := _compiled(pattern).fullmatch(layer):
            return module.format(match[0], *map(_Group, match.groups()))
    return None


class _Group(str):
    """A group of a regular-expression match. Its format specification is an offset, as in `{1:-1}`."""

    def __format__(self, offset: str) -> str:
        return str(int(self) + int(offset)) if offset else str(self)


def with_bn(pairs: Iterable[tuple[str, str, str]]) -> Rules:
    """Rules for convolutions and for their batch norms, from triples of (our layer, convolution, batch norm)."""
    return [rule for name, conv, bn in pairs for rule in ((name, conv), (f"{name}-bn", bn))]
