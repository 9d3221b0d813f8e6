"""Nets that torchvision and timm lack, written in torch from their papers. Only golden.py uses them."""

import re
from collections.abc import Callable
from itertools import pairwise

import torch
import torchvision
from torch import nn
from torch.nn import functional


class AlexNet2012(nn.Module):
    """Caffe's bvlc_alexnet: two groups, local response normalization before the pools."""

    def __init__(self) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(3, 96, 11, 4)
        self.conv2 = nn.Conv2d(96, 256, 5, padding=2, groups=2)
        self.conv3 = nn.Conv2d(256, 384, 3, padding=1)
        self.conv4 = nn.Conv2d(384, 384, 3, padding=1, groups=2)
        self.conv5 = nn.Conv2d(384, 256, 3, padding=1, groups=2)
        self.fc6, self.fc7, self.fc8 = nn.Linear(9216, 4096), nn.Linear(4096, 4096), nn.Linear(4096, 1000)
        self.norm, self.pool = nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0), nn.MaxPool2d(3, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.pool(self.norm(self.conv1(x).relu()))
        x = self.pool(self.norm(self.conv2(x).relu()))
        x = self.conv4(self.conv3(x).relu()).relu()
        x = self.pool(self.conv5(x).relu()).flatten(1)
        return self.fc8(self.fc7(self.fc6(x).relu()).relu())


class CifarBlock(nn.Module):
    """He et al. 2015, section 4.2: two 3x3 convolutions, a shortcut of option A or none."""

    def __init__(self, channels: int, filters: int, stride: int, residual: bool) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(channels, filters, 3, stride, 1, bias=False), nn.BatchNorm2d(filters)
        self.conv2, self.bn2 = nn.Conv2d(filters, filters, 3, 1, 1, bias=False), nn.BatchNorm2d(filters)
        self.stride, self.more, self.residual = stride, filters - channels, residual

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        y = self.bn2(self.conv2(self.bn1(self.conv1(x)).relu()))
        if self.residual:
            y = y + functional.pad(x[:, :, :: self.stride, :: self.stride], (0, 0, 0, 0, 0, self.more))
        return y.relu()


class CifarNet(nn.Module):
    """He et al. 2015, section 4.2: 6n + 2 layers."""

    def __init__(self, depth: int, residual: bool = True) -> None:
        super().__init__()
        self.conv1, self.bn1 = nn.Conv2d(3, 16, 3, 1, 1, bias=False), nn.BatchNorm2d(16)
        n = (depth - 2) // 6
        for i, (channels, filters) in enumerate(((16, 16), (16, 32), (32, 64)), 1):
            first = CifarBlock(channels, filters, 2 if i > 1 else 1, residual)
            rest = [CifarBlock(filters, filters, 1, residual) for _ in range(n - 1)]
            setattr(self, f"layer{i}", nn.Sequential(first, *rest))
        self.fc = nn.Linear(64, 10)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.bn1(self.conv1(x)).relu()
        return self.fc(self.layer3(self.layer2(self.layer1(x))).mean((2, 3)))


def resnet_v1(depth: int, caffe: bool = False) -> nn.Module:
    """He et al. 2015, table 1: torchvision with the paper's strides; Keras's epsilon and biases, or Caffe's pool."""
    net = torchvision.models.get_model(f"resnet{depth}", weights=None)
    for module in net.modules():
        if isinstance(module, torchvision.models.resnet.Bottleneck):
            module.conv1.stride, module.conv2.stride = module.conv2.stride, module.conv1.stride
        if isinstance(module, nn.Conv2d) and (not caffe or (depth == 50 and module is net.conv1)):
            module.bias = nn.Parameter(torch.zeros(module.out_channels))
        if isinstance(module, nn.BatchNorm2d):
            module.eps = 1e-5 if caffe else 1.001e-5
    if caffe:
        net.maxpool = nn.MaxPool2d(3, 2, ceil_mode=True)
    return net


class Net(nn.Module):
    """Makes each module when `forward` first needs it, so that names and sizes are written only once.

    The modules have the names of our layers, because no library has published such a net.
    """

    def made(self, name: str, make: Callable[[], nn.Module]) -> nn.Module:
        if name not in self._modules:
            self.add_module(name, make().eval())
        return self._modules[name]

    def conv(self, x, name, filters, kernel, stride=1, padding=None, groups=1, bias=True):
        padding = kernel // 2 if padding is None else padding
        options = {"stride": stride, "padding": padding, "groups": groups, "bias": bias}
        return self.made(name, lambda: nn.Conv2d(x.shape[1], filters, kernel, **options))(x)

    def bn(self, x, name, eps=1e-3):
        return self.made(f"{name}-bn", lambda: nn.BatchNorm2d(x.shape[1], eps))(x)

    def conv_bn(self, x, name, *args, eps=1e-3, **options):
        return self.bn(self.conv(x, name, *args, bias=False, **options), name, eps)

    def dense(self, x, name, units):
        return self.made(name, lambda: nn.Linear(x.shape[1], units))(x)

    def squeeze_excite(self, x, name):
        gates = self.conv(x.mean((2, 3), True), f"{name}-reduce", x.shape[1] // 16, 1).relu()
        return x * self.conv(gates, f"{name}-expand", x.shape[1], 1).sigmoid()


class GoogLeNet(Net):
    """Szegedy et al. 2014, table 1, and its variants: batch norm instead of biases and LRN, nets for small images."""

    ROWS = (
        *(("3a", 64, 96, 128, 16, 32, 32), ("3b", 128, 128, 192, 32, 96, 64), ("pool_3",)),
        *(("4a", 192, 96, 208, 16, 48, 64), ("4b", 160, 112, 224, 24, 64, 64), ("4c", 128, 128, 256, 24, 64, 64)),
        *(("4d", 112, 144, 288, 32, 64, 64), ("4e", 256, 160, 320, 32, 128, 128), ("pool_4",)),
        *(("5a", 256, 160, 320, 32, 128, 128), ("5b", 384, 192, 384, 48, 128, 128)),
    )

    def __init__(self, stem: str = "paper", batch_norm: bool = False, heads: bool = True, gates: bool = False) -> None:
        super().__init__()
        self.stem, self.batch_norm, self.heads, self.gates = stem, batch_norm, heads, gates
        self.lrn = nn.LocalResponseNorm(5, 1e-4, 0.75, 1.0)

    def unit(self, x, name, filters, kernel, stride=1):
        return (self.conv_bn if self.batch_norm else self.conv)(x, name, filters, kernel, stride).relu()

    def pool(self, x, stride=2):  # Caffe rounds up
        return functional.max_pool2d(x, 3, stride, 1 if stride == 1 else 0, ceil_mode=True)

    def inception(self, x, name, conv_1x1, reduce_3x3, conv_3x3, reduce_5x5, conv_5x5, pool_proj):
        b = self.unit(self.unit(x, f"{name}-reduce_3x3", reduce_3x3, 1), f"{name}-conv_3x3", conv_3x3, 3)
        c = self.unit(self.unit(x, f"{name}-reduce_5x5", reduce_5x5, 1), f"{name}-conv_5x5", conv_5x5, 5)
        d = self.unit(self.pool(x, 1), f"{name}-pool_proj", pool_proj, 1)
        x = torch.cat([self.unit(x, f"{name}-conv_1x1", conv_1x1, 1), b, c, d], 1)
        return self.squeeze_excite(x, f"{name}-se") if self.gates else x

    def head(self, x, name, classes):
        window = [min(5, n) for n in x.shape[2:]]
        x = functional.avg_pool2d(x, window, 3, ceil_mode=self.stem == "paper")  # Caffe rounds up
        x = self.unit(x, f"{name}-conv_1x1", 128, 1).flatten(1)
        return self.dense(self.dense(x, f"{name}-fc", 1024).relu(), name, classes)

    def forward(self, x: torch.Tensor) -> dict[str, torch.Tensor]:
        paper, classes, outputs = self.stem == "paper", 1000 if self.stem == "paper" else 10, {}
        norm = self.lrn if paper and not self.batch_norm else nn.Identity()
        pool = nn.Identity() if self.stem == "small" else self.pool
        x = self.unit(x, "conv_1", 64, 3) if self.stem == "small" else self.unit(x, "conv_1", 64, 7, 2)
        x = self.unit(norm(pool(x)), "conv_2-reduce", 64, 1)
        x = pool(norm(self.unit(x, "conv_2", 192, 3)))
        for name, *filters in self.ROWS[: 8 if self.stem == "cifar" else None]:
            x = self.inception(x, f"inception_{name}", *filters) if filters else self.pool(x)
            if self.heads and name in ("4a", "4d"):
                head = "aux_1" if name == "4a" else "aux_2"
                outputs[head] = self.head(x, head, classes)
        return outputs | {"predictions": self.dense(x.mean((2, 3)), "predictions", classes)}


class BvlcGoogLeNet(GoogLeNet):
    """GoogLeNet with the names of Caffe's bvlc_googlenet."""

    CAFFE = (
        *((r"conv_1", "conv1/7x7_s2"), (r"conv_2-reduce", "conv2/3x3_reduce"), (r"conv_2", "conv2/3x3")),
        *((r"(inception_..)-conv_(.*)", r"\1/\2"), (r"(inception_..)-reduce_(.*)", r"\1/\2_reduce")),
        *((r"(inception_..)-pool_proj", r"\1/pool_proj"), (r"aux_(.)-conv_1x1", r"loss\1/conv")),
        *((r"aux_(.)-fc", r"loss\1/fc"), (r"aux_(.)", r"loss\1/classifier"), (r"predictions", "loss3/classifier")),
    )

    def made(self, name: str, make: Callable[[], nn.Module]) -> nn.Module:
        ours, theirs = next(pair for pair in self.CAFFE if re.fullmatch(pair[0], name))
        return super().made(re.sub(ours, theirs, name), make)


class ZFNet(Net):
    """Zeiler, Fergus 2013, figure 3."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pool, norm = nn.MaxPool2d(3, 2, ceil_mode=True), nn.LocalResponseNorm(5, 5e-4, 0.75, 2.0)
        x = norm(pool(self.conv(x, "conv_1", 96, 7, 2, padding=1).relu()))
        x = norm(pool(self.conv(x, "conv_2", 256, 5, 2, padding=0).relu()))
        x = self.conv(self.conv(x, "conv_3", 384, 3).relu(), "conv_4", 384, 3).relu()
        x = pool(self.conv(x, "conv_5", 256, 3).relu()).flatten(1)
        x = self.dense(self.dense(x, "fc_6", 4096).relu(), "fc_7", 4096).relu()
        return self.dense(x, "predictions", 1000)


class Extraction(Net):
    """cfg/extraction.cfg of darknet, 42ba5d45, but for the leaky scores."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for i, (filters, kernel) in enumerate(
            [(64, 7), (192, 3), (128, 1), (256, 3), (256, 1), (512, 3)]
            + 4 * [(256, 1), (512, 3)]
            + [(512, 1), (1024, 3)]
            + 2 * [(512, 1), (1024, 3)],
            1,
        ):
            x = functional.leaky_relu(self.conv(x, f"conv_{i}", filters, kernel, 2 if i == 1 else 1), 0.1)
            x = functional.max_pool2d(x, 2, 2, ceil_mode=True) if i in (1, 2, 6, 16) else x
        return self.dense(x.mean((2, 3)), "predictions", 1000)


class Nin(Net):
    """Lin et al. 2013, the authors' nets of Caffe's model zoo, with the names of their prototxts."""

    def mlpconv(self, x, names, *filters, kernel, **options):
        first, second, third = names.split()
        x = self.conv(x, first, filters[0], kernel, **options).relu()
        return self.conv(self.conv(x, second, filters[1], 1).relu(), third, filters[2], 1).relu()


class NinCifar(Nin):
    """gist.github.com/mavenlin/e56253735ef32c3c296d."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.mlpconv(x, "conv1 cccp1 cccp2", 192, 160, 96, kernel=5)
        x = functional.max_pool2d(x, 3, 2, ceil_mode=True)
        x = self.mlpconv(x, "conv2 cccp3 cccp4", 192, 192, 192, kernel=5)
        x = functional.avg_pool2d(x, 3, 2, ceil_mode=True)
        return self.mlpconv(x, "conv3 cccp5 cccp6", 192, 192, 10, kernel=3).mean((2, 3))


class NinImageNet(Nin):
    """gist.github.com/mavenlin/d802a5849de39225bcc6."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        pool = nn.MaxPool2d(3, 2, ceil_mode=True)
        x = pool(self.mlpconv(x, "conv1 cccp1 cccp2", 96, 96, 96, kernel=11, stride=4, padding=0))
        x = pool(self.mlpconv(x, "conv2 cccp3 cccp4", 256, 256, 256, kernel=5))
        x = pool(self.mlpconv(x, "conv3 cccp5 cccp6", 384, 384, 384, kernel=3))
        return self.mlpconv(x, "conv4-1024 cccp7-1024 cccp8-1024", 1024, 1024, 1000, kernel=3).mean((2, 3))


def same(x: torch.Tensor, kernel: int, stride: int, value: float = 0.0) -> torch.Tensor:
    """Pads like TensorFlow's "SAME": if the total is odd, more at the right and the bottom."""
    sums = [max((-(-n // stride) - 1) * stride + kernel - n, 0) for n in x.shape[:1:-1]]
    return functional.pad(x, [side for n in sums for side in (n // 2, n - n // 2)], value=value)


class Separable(nn.Module):
    """TensorFlow's separable convolution, with kernels in TensorFlow's layout."""

    def __init__(self, channels: int, multiplier: int, filters: int, kernel: int, stride: int) -> None:
        super().__init__()
        self.depthwise_kernel = nn.Parameter(torch.zeros(kernel, kernel, channels, multiplier))
        self.pointwise_kernel = nn.Parameter(torch.zeros(1, 1, channels * multiplier, filters))
        self.kernel, self.stride = kernel, stride

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        depthwise = self.depthwise_kernel.permute(2, 3, 0, 1).flatten(0, 1)[:, None]
        x = functional.conv2d(same(x, self.kernel, self.stride), depthwise, stride=self.stride, groups=x.shape[1])
        return functional.conv2d(x, self.pointwise_kernel.permute(3, 2, 0, 1))


class InceptionV2(Net):
    """Ioffe, Szegedy 2015, figure 5, as in TF-Slim's inception_v2."""

    ROWS = (
        *(("3a", 64, 64, 64, 64, 96, "avg", 32), ("3b", 64, 64, 96, 64, 96, "avg", 64), ("3c", 0, 128, 160, 64, 96)),
        *(("4a", 224, 64, 96, 96, 128, "avg", 128), ("4b", 192, 96, 128, 96, 128, "avg", 128)),
        *(("4c", 160, 128, 160, 128, 160, "avg", 96), ("4d", 96, 128, 192, 160, 192, "avg", 96)),
        *(("4e", 0, 128, 192, 192, 256), ("5a", 352, 192, 320, 160, 224, "avg", 128)),
        *(("5b", 352, 192, 320, 192, 224, "max", 128),),
    )

    def unit(self, x, name, filters, kernel, stride=1):
        return self.conv_bn(same(x, kernel, stride), name, filters, kernel, stride, 0).relu()

    def pool(self, x):
        return functional.max_pool2d(same(x, 3, 2, -torch.inf), 3, 2)

    def inception(self, x, name, conv_1x1, reduce_3x3, conv_3x3, reduce_double, double, kind="", proj=0):
        stride = 1 if proj else 2
        b = self.unit(self.unit(x, f"{name}-reduce_3x3", reduce_3x3, 1), f"{name}-conv_3x3", conv_3x3, 3, stride)
        c = self.unit(self.unit(x, f"{name}-reduce_double", reduce_double, 1), f"{name}-double_1", double, 3)
        c = self.unit(c, f"{name}-double_2", double, 3, stride)
        if not proj:
            return torch.cat([b, c, self.pool(x)], 1)
        d = functional.max_pool2d(x, 3, 1, 1) if kind == "max" else functional.avg_pool2d(x, 3, 1, 1, False, False)
        d = self.unit(d, f"{name}-pool_proj", proj, 1)
        return torch.cat([self.unit(x, f"{name}-conv_1x1", conv_1x1, 1), b, c, d], 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.made("conv_1", lambda: Separable(3, 8, 64, 7, 2))(x)
        x = self.unit(self.pool(self.bn(x, "conv_1").relu()), "conv_2-reduce", 64, 1)
        x = self.pool(self.unit(x, "conv_2", 192, 3))
        for name, *filters in self.ROWS:
            x = self.inception(x, f"inception_{name}", *filters)
        return self.dense(x.mean((2, 3)), "predictions", 1000)


class MobileNetV1(Net):
    """Howard et al. 2017, table 1, padded as in TensorFlow at even sizes."""

    ROWS = ((64, 1), (128, 2), (128, 1), (256, 2), (256, 1), (512, 2), *[(512, 1)] * 5, (1024, 2), (1024, 1))

    def __init__(self, width: float) -> None:
        super().__init__()
        self.width = width

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        relu6 = functional.relu6
        x = relu6(self.conv_bn(same(x, 3, 2), "conv_1", int(32 * self.width), 3, 2, 0))
        for i, (filters, stride) in enumerate(self.ROWS, 1):
            x = functional.pad(x, (0, 1, 0, 1) if stride == 2 else (1, 1, 1, 1))
            x = relu6(self.conv_bn(x, f"block_{i}-depthwise", x.shape[1], 3, stride, 0, groups=x.shape[1]))
            x = relu6(self.conv_bn(x, f"block_{i}-pointwise", int(filters * self.width), 1))
        return self.dense(x.mean((2, 3)), "predictions", 1000)


class ShuffleNetV1(Net):
    """Zhang et al. 2017, table 1."""

    def __init__(self, groups: int) -> None:
        super().__init__()
        self.groups, self.width = groups, {1: 144, 2: 200, 3: 240, 4: 272, 8: 384}[groups]

    def unit(self, x, name, filters, first_groups, stride):
        out = filters - x.shape[1] if stride == 2 else filters
        y = self.conv_bn(x, f"{name}-conv_1", filters // 4, 1, groups=first_groups, eps=1e-5).relu()
        y = functional.channel_shuffle(y, self.groups)
        y = self.conv_bn(y, f"{name}-depthwise", y.shape[1], 3, stride, groups=y.shape[1], eps=1e-5)
        y = self.conv_bn(y, f"{name}-conv_2", out, 1, groups=self.groups, eps=1e-5)
        return (torch.cat([functional.avg_pool2d(x, 3, 2, 1), y], 1) if stride == 2 else x + y).relu()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(self.conv_bn(x, "conv_1", 24, 3, 2, eps=1e-5).relu(), 3, 2, 1)
        for stage, units in ((2, 4), (3, 8), (4, 4)):
            for i in range(1, units + 1):
                first_groups = 1 if (stage, i) == (2, 1) else self.groups
                x = self.unit(x, f"stage_{stage}-unit_{i}", self.width << stage - 2, first_groups, 2 if i == 1 else 1)
        return self.dense(x.mean((2, 3)), "predictions", 1000)


class Subsampling(nn.Module):
    """Section II.B: the sum of four pixels, times a coefficient of the map, plus a bias of the map."""

    def __init__(self, maps: int) -> None:
        super().__init__()
        self.coefficient, self.bias = nn.Parameter(torch.ones(maps)), nn.Parameter(torch.zeros(maps))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        sums = 4 * functional.avg_pool2d(x, 2)
        return sums * self.coefficient[:, None, None] + self.bias[:, None, None]


class Table(nn.Module):
    """C3: the kernel (5, 5, 60) holds only the connections in the table, filter by filter."""

    MAPS = "012 123 234 345 045 015 0123 1234 2345 0345 0145 0125 0134 1245 0235 012345"  # table I

    def __init__(self) -> None:
        super().__init__()
        self.weight, self.bias = nn.Parameter(torch.zeros(5, 5, 60)), nn.Parameter(torch.zeros(16))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        rows = [[int(digit) for digit in row] for row in self.MAPS.split()]
        kernel, ends = torch.zeros(16, 6, 5, 5), [0, *torch.tensor([len(row) for row in rows]).cumsum(0).tolist()]
        for filter, (row, (start, end)) in enumerate(zip(rows, pairwise(ends), strict=True)):
            kernel[filter, row] = self.weight[:, :, start:end].permute(2, 0, 1)
        return functional.conv2d(x, kernel, self.bias)


class LeNet5(Net):
    """LeCun et al. 1998, section II.B; the codes are our drawings of the digits, each 7x12 pixels, as bits."""

    CODES = (
        *("711234383060c1838511c", "1061c081020408102043e", "7d040810410410410207f", "7d04081047010103060be"),
        *("0418512450bf820408102", "ff02040bd8408103060be", "3c82040817b0c1830511c", "ff0408204102081040810"),
        *("7d060c1447114183060be", "7d060c186f40810208238"),
    )

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        def squash(x):
            return 1.7159 * (2 / 3 * x).tanh()

        x = squash(self.conv(x, "c1", 6, 5, padding=0))
        x = squash(self.made("s2", lambda: Subsampling(6))(x))
        x = squash(self.made("c3", Table)(x))
        x = squash(self.made("s4", lambda: Subsampling(16))(x))
        x = squash(self.conv(x, "c5", 120, 5, padding=0)).flatten(1)
        x = squash(self.dense(x, "f6", 84))
        codes = torch.tensor([[2.0 * int(bit) - 1 for bit in f"{int(code, 16):084b}"] for code in self.CODES])
        return -((x[:, None] - codes) ** 2).sum(-1)


class LeNet5Modern(Net):
    """LeNet-5's widths with ReLU, max pools and a dense output."""

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = functional.max_pool2d(self.conv(x, "c1", 6, 5, padding=0).relu(), 2)
        x = functional.max_pool2d(self.conv(x, "c3", 16, 5, padding=0).relu(), 2)
        x = self.conv(x, "c5", 120, 5, padding=0).relu().flatten(1)
        return self.dense(self.dense(x, "f6", 84).relu(), "predictions", 10)
