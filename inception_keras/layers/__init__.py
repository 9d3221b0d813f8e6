"""Keras layers that Keras lacks; each can be saved, loaded and used with every Keras backend."""

from .channels import ChannelShuffle, ChannelSlice
from .convolution import Conv2D, DepthwiseConv2D
from .lenet import RadialBasis, Subsampling2D, TableConv2D, scaled_tanh
from .normalization import BatchNormalization, LocalResponseNormalization
from .pooling import CeilMaxPooling2D, MaxPooling2D

__all__ = [
    "BatchNormalization",
    "CeilMaxPooling2D",
    "ChannelShuffle",
    "ChannelSlice",
    "Conv2D",
    "DepthwiseConv2D",
    "LocalResponseNormalization",
    "MaxPooling2D",
    "RadialBasis",
    "Subsampling2D",
    "TableConv2D",
    "scaled_tanh",
]
