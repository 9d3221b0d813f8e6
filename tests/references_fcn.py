"""Fully convolutional nets for segmentation, written in torch from their releases. Only golden.py uses them."""

import torch
from references import GoogLeNet, Net
from torch import nn
from torch.nn import functional


class Fcn(Net):
    """What the nets below share. Scores are of four classes, so that the golden files stay small."""

    CLASSES = 4

    def scores(self, x, name):
        return self.conv(x, name, self.CLASSES, 1)

    def deconvolution(self, x, name, kernel, stride):
        return self.made(name, lambda: nn.ConvTranspose2d(x.shape[1], self.CLASSES, kernel, stride, bias=False))(x)

    @staticmethod
    def crop(x, like, offset):
        height, width = like.shape[2:]
        return x[:, :, offset : offset + height, offset : offset + width]


class FcnVgg(Fcn):
    """shelhamer/fcn.berkeleyvision.org, voc-fcn32s, voc-fcn16s, voc-fcn8s and voc-fcn8s-atonce, with Caffe's names."""

    def __init__(self, stride: int, scales: tuple[float, float] = (1, 1)) -> None:
        super().__init__()
        self.stride, self.scales = stride, scales

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x, pools = image, {}
        for block, (count, filters) in enumerate(((2, 64), (2, 128), (3, 256), (3, 512), (3, 512)), 1):
            for i in range(1, count + 1):
                x = self.conv(x, f"conv{block}_{i}", filters, 3, padding=100 if x is image else 1).relu()
            x = pools[block] = functional.max_pool2d(x, 2, 2, ceil_mode=True)
        x = self.conv(self.conv(x, "fc6", 4096, 7, padding=0).relu(), "fc7", 4096, 1).relu()
        x = self.scores(x, "score_fr")
        if self.stride == 32:
            return self.crop(self.deconvolution(x, "upscore", 64, 32), image, 19)
        x = self.deconvolution(x, "upscore2", 4, 2)
        x = x + self.crop(self.scores(self.scales[0] * pools[4], "score_pool4"), x, 5)
        if self.stride == 16:
            return self.crop(self.deconvolution(x, "upscore16", 32, 16), image, 27)
        x = self.deconvolution(x, "upscore_pool4", 4, 2)
        x = x + self.crop(self.scores(self.scales[1] * pools[3], "score_pool3"), x, 9)
        return self.crop(self.deconvolution(x, "upscore8", 16, 8), image, 31)


class FcnAlexNet(Fcn):
    """shelhamer/fcn.berkeleyvision.org, voc-fcn-alexnet, with Caffe's names."""

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        norm = nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)

        def pool(x):
            return functional.max_pool2d(x, 3, 2, ceil_mode=True)

        x = norm(pool(self.conv(image, "conv1", 96, 11, 4, padding=100).relu()))
        x = norm(pool(self.conv(x, "conv2", 256, 5, groups=2).relu()))
        x = self.conv(self.conv(x, "conv3", 384, 3).relu(), "conv4", 384, 3, groups=2).relu()
        x = pool(self.conv(x, "conv5", 256, 3, groups=2).relu())
        x = self.conv(self.conv(x, "fc6", 4096, 6, padding=0).relu(), "fc7", 4096, 1).relu()
        return self.crop(self.deconvolution(self.scores(x, "score_fr"), "upscore", 63, 32), image, 18)


class Skips(Fcn):
    """FCN on another net, with our names; `start` is the first row and column of the last map that is kept."""

    def enlarged(self, maps, image, stride, start):
        """`maps` are (name, map, first row and column to keep of what is added to it), coarse ones first."""
        (_, x, _), *skips = maps
        x, label = self.scores(x, "score_fr"), "2"
        for name, y, first in skips:
            y = self.scores(y, f"score_{name}")
            x = self.crop(self.deconvolution(x, f"upscore_{label}", 4, 2), y, first) + y
            label = name
        return self.crop(self.deconvolution(x, f"upscore_{stride}", 2 * stride, stride), image, start)


class FcnGoogLeNet(Skips, GoogLeNet):
    """Szegedy et al. 2014 with scores of 5b, 4e and 3b."""

    def __init__(self, stride: int) -> None:
        super().__init__(heads=False)
        self.stride = stride

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x = self.lrn(self.pool(self.unit(image, "conv_1", 64, 7, 2)))
        x = self.pool(self.lrn(self.unit(self.unit(x, "conv_2-reduce", 64, 1), "conv_2", 192, 3)))
        found = {}
        for name, *filters in self.ROWS:
            x = found[name] = self.inception(x, f"inception_{name}", *filters) if filters else self.pool(x)
        taken = {32: ("5b",), 16: ("5b", "4e"), 8: ("5b", "4e", "3b")}[self.stride]
        return self.enlarged([(f"inception_{name}", found[name], 0) for name in taken], image, self.stride, 1)


class FcnSmall(Skips):
    """VGG-16 with a quarter of its filters and batch norm, without dense layers."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, image: torch.Tensor) -> torch.Tensor:
        x, last = image, {}
        for block, (count, filters) in enumerate(((2, 16), (2, 32), (3, 64), (3, 128), (3, 128)), 1):
            for i in range(1, count + 1):
                x = self.conv(x, f"conv_{block}_{i}", filters, 3, bias=False)
                x = last[f"conv_{block}_{i}"] = self.bn(x, f"conv_{block}_{i}").relu()
            x = functional.max_pool2d(x, 2, 2, ceil_mode=True)
        maps = [("pool_5", x, 0), ("conv_5_3", last["conv_5_3"], 1), ("conv_4_3", last["conv_4_3"], 1)]
        count = {32: 1, 16: 2, 8: 3}[self.stride]
        return self.enlarged(maps[:count], image, self.stride, self.stride // 2)
