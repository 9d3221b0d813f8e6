"""Layers that Keras lacks. Each can be saved and loaded, and works with every Keras backend."""

import keras  # noqa: F401 (first, because importing Keras registers our classes and so imports the modules below)

from .channels import ChannelShuffle, ChannelSplit
from .convolution import Conv2D, DepthwiseConv2D
from .folding import HardSwish
from .lenet import RadialBasis, Subsampling2D, TableConv2D, scaled_tanh
from .normalization import BatchNormalization, LocalResponseNormalization
from .pooling import AdaptiveAveragePooling2D, CeilAveragePooling2D, CeilMaxPooling2D, MaxPooling2D

__all__ = [
    "AdaptiveAveragePooling2D",
    "BatchNormalization",
    "CeilAveragePooling2D",
    "CeilMaxPooling2D",
    "ChannelShuffle",
    "ChannelSplit",
    "Conv2D",
    "DepthwiseConv2D",
    "HardSwish",
    "LocalResponseNormalization",
    "MaxPooling2D",
    "RadialBasis",
    "Subsampling2D",
    "TableConv2D",
    "scaled_tanh",
]
