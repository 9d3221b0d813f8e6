"""Layers that Keras lacks. Each can be saved and loaded.

All but RoIPooling and RoIAlign, which need TensorFlow, work with every Keras backend.
"""

import keras  # noqa: F401 (first, because importing Keras registers our classes and so imports the modules below)

from .channels import ChannelShuffle, ChannelSplit
from .convolution import Conv2D, DepthwiseConv2D
from .folding import HardSwish
from .lenet import RadialBasis, Subsampling2D, TableConv2D, scaled_tanh
from .local import LocallyConnected2D
from .low_rank import LowRankDense
from .normalization import BatchNormalization, LocalResponseNormalization, WithinChannelNormalization
from .pooling import AdaptiveAveragePooling2D, CeilAveragePooling2D, CeilMaxPooling2D, MaxPooling2D
from .pyramid import SpatialPyramidPooling2D
from .regions import FlattenRegions, RoIAlign, RoIPooling
from .upsampling import Bilinear, BilinearConv2DTranspose, CropLike, ResizeLike

__all__ = [
    "AdaptiveAveragePooling2D",
    "BatchNormalization",
    "Bilinear",
    "BilinearConv2DTranspose",
    "CeilAveragePooling2D",
    "CeilMaxPooling2D",
    "ChannelShuffle",
    "ChannelSplit",
    "Conv2D",
    "CropLike",
    "DepthwiseConv2D",
    "FlattenRegions",
    "HardSwish",
    "LocalResponseNormalization",
    "LocallyConnected2D",
    "LowRankDense",
    "MaxPooling2D",
    "RadialBasis",
    "ResizeLike",
    "RoIAlign",
    "RoIPooling",
    "SpatialPyramidPooling2D",
    "Subsampling2D",
    "TableConv2D",
    "WithinChannelNormalization",
    "scaled_tanh",
]
