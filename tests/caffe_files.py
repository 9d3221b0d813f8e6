"""Emulates Caffe: its published nets, layer by layer as in the prototxts, with seeded weights.

`write` and `write_hdf5` make the files that Caffe would make, and `run` computes what Caffe would compute. Nothing here
uses our models or our reader.
"""

from collections.abc import Iterator
from functools import cache
from math import ceil, prod, sqrt
from pathlib import Path
from zlib import crc32

import numpy as np
import onnx_files
import tensorflow as tf
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

# the parts of caffe.proto that a file of weights has: message -> fields; * is a repeated one
PROTO = {
    "BlobShape": "int64* dim 1",
    "BlobProto": "int32 num 1, int32 channels 2, int32 height 3, int32 width 4, float* data 5, float* diff 6, "
    "BlobShape shape 7, double* double_data 8, int32 raw_data_type 10, bytes raw_data 12",
    "LayerParameter": "string name 1, string type 2, string* bottom 3, string* top 4, float* loss_weight 5, "
    "BlobProto* blobs 7, int32 phase 10",
    "V0LayerParameter": "string name 1, string type 2, int32 num_output 3, BlobProto* blobs 50, float* blobs_lr 51",
    "V1LayerParameter": "V0LayerParameter layer 1, string* bottom 2, string* top 3, string name 4, int32 type 5, "
    "BlobProto* blobs 6, float* blobs_lr 7",
    "NetParameter": "string name 1, V1LayerParameter* layers 2, string* input 3, int32* input_dim 4, "
    "LayerParameter* layer 100",
    "SolverState": "int32 iter 1, string learned_net 2, BlobProto* history 3, int32 current_step 4",
}
V1_TYPES = {"Concat": 3, "Convolution": 4, "Dropout": 6, "InnerProduct": 14, "LRN": 15, "Pooling": 17, "ReLU": 18}


@cache
def messages(packed: bool = True) -> dict[str, type]:
    """The classes of caffe.proto's messages, with packed or unpacked numbers."""
    file = descriptor_pb2.FileDescriptorProto(name="caffe.proto", package="caffe", syntax="proto2")
    for message, fields in PROTO.items():
        described = file.message_type.add(name=message)
        for field in fields.split(", "):
            kind, name, number = field.split()
            repeated, kind = kind.endswith("*"), kind.removesuffix("*")
            added = described.field.add(name=name, number=int(number), label=3 if repeated else 1)
            if kind in PROTO:
                added.type, added.type_name = added.TYPE_MESSAGE, f".caffe.{kind}"
            else:
                added.type = getattr(added, f"TYPE_{kind.upper()}")
                added.options.packed = packed and repeated and kind in ("float", "double", "int64")
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    return {name: message_factory.GetMessageClass(pool.FindMessageTypeByName(f"caffe.{name}")) for name in PROTO}


class Net:
    """A net as a list of layers. Each layer is a dict of name, type, bottoms, tops, blobs and options."""

    def __init__(self, name: str, gain: float = 1.0):
        self.name, self.gain, self.layers, self.channels = name, gain, [], {"data": 3}

    def add(self, type: str, name: str, *bottoms: str, blobs: tuple = (), top: str = "", **options: object) -> str:
        """Adds a layer and returns the name of its output."""
        layer = {"name": name, "type": type, "bottoms": bottoms, "top": top or name, "blobs": list(blobs)}
        self.layers.append(layer | {"options": options})
        self.channels.setdefault(top or name, self.channels[bottoms[0]])
        return top or name

    def conv(self, name: str, x: str, filters: int, kernel: int, *, relu: bool = True, bias: bool = True, **options):
        """Adds a Convolution and an in-place ReLU."""
        blobs = self._blobs(name, (filters, self.channels[x] // options.get("group", 1), kernel, kernel), bias)
        x = self.add("Convolution", name, x, blobs=blobs, kernel=kernel, **options)
        self.channels[x] = filters
        return self.add("ReLU", f"{name}/relu", x, top=x) if relu else x

    def fc(self, name: str, x: str, inputs: int, outputs: int, *, relu: bool = False) -> str:
        """Adds an InnerProduct and an in-place ReLU."""
        x = self.add("InnerProduct", name, x, blobs=self._blobs(name, (outputs, inputs)))
        return self.add("ReLU", f"{name}/relu", x, top=x) if relu else x

    def bn(self, x: str, name: str, scale: str, *, top: str = "", relu: bool = True) -> str:
        """Adds a BatchNorm, a Scale and a ReLU."""
        rng, count = np.random.default_rng(crc32(name.encode())), self.channels[x]
        factor = rng.uniform(0.5, 999)  # Caffe adds up what others average
        mean, variance = 0.1 * rng.standard_normal(count), rng.uniform(0.8, 1.2, count)
        statistics = [np.float32(factor * mean), np.float32(factor * variance), np.float32([factor])]
        x = self.add("BatchNorm", name, x, blobs=statistics, top=top or x)
        affine = [np.float32(rng.uniform(0.8, 1.2, count)), np.float32(0.1 * rng.standard_normal(count))]
        x = self.add("Scale", scale, x, blobs=affine, top=x)
        return self.add("ReLU", f"{name}/relu", x, top=x) if relu else x

    def pool(self, name: str, x: str, kernel: int, stride: int, **options: object) -> str:
        """Adds a Pooling: average if `kind` is AVE, else maximum."""
        return self.add("Pooling", name, x, kernel=kernel, stride=stride, **options)

    def concat(self, name: str, *bottoms: str) -> str:
        """Adds a Concat of channels."""
        x = self.add("Concat", name, *bottoms)
        self.channels[x] = sum(self.channels[bottom] for bottom in bottoms)
        return x

    def _blobs(self, name: str, shape: tuple[int, ...], bias: bool = True) -> list[np.ndarray]:
        rng = np.random.default_rng(crc32(name.encode()))
        weight = np.float32(sqrt(2 * self.gain / prod(shape[1:]))) * rng.standard_normal(shape, "float32")
        return [weight, np.float32(0.1) * rng.standard_normal(shape[0], "float32")][: 1 + bias]


def write(net: Net, path: Path, *, generation: str = "new", data: str = "bytes") -> None:
    """Writes a `.caffemodel`.

    Args:
        net: The net.
        path: The file to write.
        generation: "new" has the field `layer`, and blobs with shapes. "v1" has the field `layers`, and blobs with four
            sizes. "v0" is like "v1" with an older layer message inside each layer.
        data: "packed", "unpacked", "double", "half" (as OpenCV's shrinkCaffeModel writes it), or "bytes". "bytes" gives
            the same file as "packed" in less time.
    """
    made = messages(packed=data != "unpacked")
    with path.open("wb") as file:
        file.write(made["NetParameter"](name=net.name, input=["data"], input_dim=[1, 3, 224, 224]).SerializeToString())
        for layer in net.layers:  # one at a time, as a large net fills the memory: messages may be written in parts
            part = made["NetParameter"]()
            if generation == "new":
                target = part.layer.add(name=layer["name"], type=layer["type"], phase=1)
                target.bottom.extend(layer["bottoms"])
                target.top.append(layer["top"])
            else:
                outer = part.layers.add(bottom=layer["bottoms"], top=[layer["top"]])
                target = outer if generation == "v1" else outer.layer
                target.name = layer["name"]
                target.type = V1_TYPES[layer["type"]] if generation == "v1" else layer["type"].lower()
            for array in layer["blobs"]:
                _fill(target.blobs.add(), array, old=generation != "new", data=data)
            file.write(part.SerializeToString())


def _fill(blob: object, array: np.ndarray, old: bool, data: str) -> None:
    if old:
        blob.num, blob.channels, blob.height, blob.width = (1,) * (4 - array.ndim) + array.shape
    else:
        blob.shape.dim.extend(array.shape)
    if data == "bytes":
        blob.MergeFromString(_packed(array))
    elif data == "half":
        blob.raw_data_type, blob.raw_data = 2, array.astype("<f2").tobytes()
    else:
        (blob.double_data if data == "double" else blob.data).extend(array.ravel().tolist())


def _packed(array: np.ndarray) -> bytes:
    """Field 5 of a BlobProto. The bytes are those of `data.extend`, but no Python number is made for each float."""
    return onnx_files.field(5, array.tobytes())


def write_hdf5(net: Net, path: Path) -> None:
    """Writes a `.caffemodel.h5`: data/LAYER/0, data/LAYER/1 ..."""
    import h5py

    with h5py.File(path, "w") as file:
        for layer in net.layers:
            group = file.create_group(f"data/{layer['name']}")
            for i, array in enumerate(layer["blobs"]):
                group[str(i)] = array


def run(net: Net, image: np.ndarray) -> dict[str, np.ndarray]:
    """Computes a net for an image (1, h, w, 3) like Caffe. Returns every top by name, maps as (1, h, w, channels)."""
    tops = {"data": image}
    for layer in net.layers:
        inputs = [tops[bottom] for bottom in layer["bottoms"]]
        tops[layer["top"]] = OPERATIONS[layer["type"]](*inputs, blobs=layer["blobs"], **layer["options"])
    return tops


def _convolution(x, *, blobs, kernel, stride=1, pad=0, group=1):
    x = np.pad(x, ((0, 0), (pad, pad), (pad, pad), (0, 0)))
    parts = zip(np.split(x, group, -1), np.split(blobs[0].transpose(2, 3, 1, 0), group, -1), strict=True)
    y = np.concatenate([tf.nn.conv2d(part, weight, stride, "VALID").numpy() for part, weight in parts], -1)
    return y + (blobs[1] if len(blobs) > 1 else 0)


def _inner_product(x, *, blobs):
    return np.moveaxis(x, -1, 1).reshape(1, -1) @ blobs[0].T + blobs[1]  # channels first, as Caffe has them


def _lrn(x, *, blobs, size=5, alpha=1e-4, beta=0.75):
    squares = np.pad(x * x, ((0, 0), (0, 0), (0, 0), (size // 2, size // 2)))
    sums = sum(squares[..., i : i + x.shape[-1]] for i in range(size))
    return x / (1 + np.float32(alpha / size) * sums) ** np.float32(beta)


def _pooling(x, *, blobs, kernel=0, stride=1, pad=0, kind="MAX", round_mode=ceil):
    if not kernel:
        return x.mean((1, 2), keepdims=True)
    sides = [(round_mode((side + 2 * pad - kernel) / stride) * stride + kernel - side - pad) for side in x.shape[1:3]]
    pads = ((0, 0), *((pad, max(0, behind)) for behind in sides), (0, 0))
    if kind == "MAX":
        return tf.nn.max_pool2d(np.pad(x, pads, constant_values=-np.inf), kernel, stride, "VALID").numpy()
    assert not pad
    means = [tf.nn.avg_pool2d(np.pad(each, pads), kernel, stride, "VALID").numpy() for each in (x, np.ones_like(x))]
    return means[0] / means[1]


OPERATIONS = {
    "Axpy": lambda scale, x, y, blobs: scale * x + y,
    "BatchNorm": lambda x, blobs: (x - blobs[0] / blobs[2]) / np.sqrt(blobs[1] / blobs[2] + np.float32(1e-5)),
    "Concat": lambda *inputs, blobs: np.concatenate(inputs, -1),
    "Convolution": _convolution,
    "Dropout": lambda x, blobs: x,
    "Eltwise": lambda x, y, blobs: x + y,
    "InnerProduct": _inner_product,
    "LRN": _lrn,
    "Pooling": _pooling,
    "ReLU": lambda x, blobs: np.maximum(x, 0),
    "Scale": lambda x, blobs: x * blobs[0] + blobs[1],
    "Sigmoid": lambda x, blobs: 1 / (1 + np.exp(-x)),
}


def googlenet(classes: int = 1000) -> Net:
    """BVLC/caffe, models/bvlc_googlenet/train_val.prototxt."""
    modules = {
        "3a": (64, 96, 128, 16, 32, 32), "3b": (128, 128, 192, 32, 96, 64),
        "4a": (192, 96, 208, 16, 48, 64), "4b": (160, 112, 224, 24, 64, 64), "4c": (128, 128, 256, 24, 64, 64),
        "4d": (112, 144, 288, 32, 64, 64), "4e": (256, 160, 320, 32, 128, 128),
        "5a": (256, 160, 320, 32, 128, 128), "5b": (384, 192, 384, 48, 128, 128),
    }  # fmt: skip
    net = Net("GoogleNet")
    x = net.conv("conv1/7x7_s2", "data", 64, 7, stride=2, pad=3)
    x = net.add("LRN", "pool1/norm1", net.pool("pool1/3x3_s2", x, 3, 2))
    x = net.conv("conv2/3x3", net.conv("conv2/3x3_reduce", x, 64, 1), 192, 3, pad=1)
    x = net.pool("pool2/3x3_s2", net.add("LRN", "conv2/norm2", x), 3, 2)
    for module, (one, reduce_3, three, reduce_5, five, project) in modules.items():
        p = f"inception_{module}"
        branches = [
            net.conv(f"{p}/1x1", x, one, 1),
            net.conv(f"{p}/3x3", net.conv(f"{p}/3x3_reduce", x, reduce_3, 1), three, 3, pad=1),
            net.conv(f"{p}/5x5", net.conv(f"{p}/5x5_reduce", x, reduce_5, 1), five, 5, pad=2),
            net.conv(f"{p}/pool_proj", net.pool(f"{p}/pool", x, 3, 1, pad=1), project, 1),
        ]
        x = net.concat(f"{p}/output", *branches)
        if module in ("4a", "4d"):
            head = "loss1" if module == "4a" else "loss2"
            y = net.conv(f"{head}/conv", net.pool(f"{head}/ave_pool", x, 5, 3, kind="AVE"), 128, 1)
            y = net.add("Dropout", f"{head}/drop_fc", net.fc(f"{head}/fc", y, 2048, 1024, relu=True))
            net.fc(f"{head}/classifier", y, 1024, classes)
        if module in ("3b", "4e"):
            x = net.pool(f"pool{module[0]}/3x3_s2", x, 3, 2)
    x = net.add("Dropout", "pool5/drop_7x7_s1", net.pool("pool5/7x7_s1", x, 7, 1, kind="AVE"))
    net.fc("loss3/classifier", x, 1024, classes)
    return net


def alexnet(classes: int = 1000) -> Net:
    """BVLC/caffe, models/bvlc_alexnet/train_val.prototxt."""
    net, x = Net("AlexNet"), "data"
    widths = ((96, 11, 4, 0, 1), (256, 5, 1, 2, 2), (384, 3, 1, 1, 1), (384, 3, 1, 1, 2), (256, 3, 1, 1, 2))
    for i, (filters, kernel, stride, pad, group) in enumerate(widths, 1):
        x = net.conv(f"conv{i}", x, filters, kernel, stride=stride, pad=pad, group=group)
        if i < 3:
            x = net.pool(f"pool{i}", net.add("LRN", f"norm{i}", x), 3, 2)
    x = net.fc("fc6", net.pool("pool5", x, 3, 2), 9216, 4096, relu=True)
    x = net.fc("fc7", net.add("Dropout", "drop6", x), 4096, 4096, relu=True)
    net.fc("fc8", net.add("Dropout", "drop7", x), 4096, classes)
    return net


def vgg(depth: int, classes: int = 1000) -> Net:
    """VGG_ILSVRC_16_layers and VGG_ILSVRC_19_layers."""
    net, x = Net(f"VGG_ILSVRC_{depth}_layers"), "data"
    more = {16: 3, 19: 4}[depth]
    for block, (count, filters) in enumerate(((2, 64), (2, 128), (more, 256), (more, 512), (more, 512)), 1):
        for i in range(1, count + 1):
            x = net.conv(f"conv{block}_{i}", x, filters, 3, pad=1)
        x = net.pool(f"pool{block}", x, 2, 2)
    x = net.fc("fc7", net.fc("fc6", x, 25088, 4096, relu=True), 4096, 4096, relu=True)
    net.fc("fc8", x, 4096, classes)
    return net


def squeezenet(version: str, classes: int = 1000) -> Net:
    """forresti/SqueezeNet, SqueezeNet_v1.0 and SqueezeNet_v1.1."""
    old = version == "1.0"
    net = Net("SqueezeNet")
    x = net.pool("pool1", net.conv("conv1", "data", *((96, 7) if old else (64, 3)), stride=2), 3, 2)
    for i, squeeze in zip(range(2, 10), (16, 16, 32, 32, 48, 48, 64, 64), strict=True):
        x = net.conv(f"fire{i}/squeeze1x1", x, squeeze, 1)
        a = net.conv(f"fire{i}/expand1x1", x, 4 * squeeze, 1)
        b = net.conv(f"fire{i}/expand3x3", x, 4 * squeeze, 3, pad=1)
        x = net.concat(f"fire{i}/concat", a, b)
        if i in ((4, 8) if old else (3, 5)):
            x = net.pool(f"pool{i}", x, 3, 2)
    x = net.conv("conv10", net.add("Dropout", "drop9", x), classes, 1, pad=int(old))  # as released: v1.0 pads its 1x1
    net.add("Pooling", "pool10", x, kind="AVE")
    return net


def nin_imagenet(classes: int = 1000) -> Net:
    """Network in Network, gist.github.com/mavenlin/d802a5849de39225bcc6, train_val.prototxt."""
    net = Net("nin_imagenet")
    x = net.conv("cccp2", net.conv("cccp1", net.conv("conv1", "data", 96, 11, stride=4), 96, 1), 96, 1)
    x = net.conv("conv2", net.pool("pool0", x, 3, 2), 256, 5, pad=2)
    x = net.conv("cccp4", net.conv("cccp3", x, 256, 1), 256, 1)
    x = net.conv("conv3", net.pool("pool2", x, 3, 2), 384, 3, pad=1)
    x = net.conv("cccp6", net.conv("cccp5", x, 384, 1), 384, 1)
    x = net.conv("conv4-1024", net.add("Dropout", "drop", net.pool("pool3", x, 3, 2)), 1024, 3, pad=1)
    x = net.conv("cccp8-1024", net.conv("cccp7-1024", x, 1024, 1), classes, 1)
    net.pool("pool4", x, 6, 1, kind="AVE")
    return net


def nin_cifar(classes: int = 10) -> Net:
    """Network in Network, gist.github.com/mavenlin/e56253735ef32c3c296d, train_test.prototxt."""
    net = Net("CIFAR10_full")
    x = net.conv("cccp2", net.conv("cccp1", net.conv("conv1", "data", 192, 5, pad=2), 160, 1), 96, 1)
    x = net.conv("conv2", net.add("Dropout", "drop3", net.pool("pool1", x, 3, 2)), 192, 5, pad=2)
    x = net.pool("pool2", net.conv("cccp4", net.conv("cccp3", x, 192, 1), 192, 1), 3, 2, kind="AVE")
    x = net.conv("conv3", net.add("Dropout", "drop6", x), 192, 3, pad=1)
    net.pool("pool3", net.conv("cccp6", net.conv("cccp5", x, 192, 1), classes, 1), 8, 1, kind="AVE")
    return net


def resnet(depth: int, classes: int = 1000) -> Net:
    """KaimingHe/deep-residual-networks: strides in the first 1x1, a pool without padding; conv1 of 50 has a bias."""
    net = Net(f"ResNet-{depth}", gain=0.5)
    x = net.conv("conv1", "data", 64, 7, stride=2, pad=3, relu=False, bias=depth == 50)
    x = net.pool("pool1", net.bn(x, "bn_conv1", "scale_conv1"), 3, 2)
    counts = {50: (3, 4, 6, 3), 101: (3, 4, 23, 3), 152: (3, 8, 36, 3)}[depth]
    for stage, (count, filters) in enumerate(zip(counts, (64, 128, 256, 512), strict=True), 2):
        numbered = depth > 50 and stage in (3, 4)  # res3b1, res3b2 ... for res3b, res3c ...
        for i, letter in enumerate(["a", *(f"b{i}" for i in range(1, 40))] if numbered else "abcdef"):
            if i == count:
                break
            block, stride, shortcut = f"{stage}{letter}", 2 if stage > 2 and not i else 1, x

            def unit(branch, x, *shape, relu=True, block=block, **options):
                x = net.conv(f"res{block}_{branch}", x, *shape, relu=False, bias=False, **options)
                return net.bn(x, f"bn{block}_{branch}", f"scale{block}_{branch}", relu=relu)

            if not i:
                shortcut = unit("branch1", x, 4 * filters, 1, relu=False, stride=stride)
            y = unit("branch2a", x, filters, 1, stride=stride)
            y = unit("branch2c", unit("branch2b", y, filters, 3, pad=1), 4 * filters, 1, relu=False)
            x = net.add("Eltwise", f"res{block}", shortcut, y)
            x = net.add("ReLU", f"res{block}_relu", x, top=x)
    net.fc("fc1000", net.add("Pooling", "pool5", x, kind="AVE"), 2048, classes)
    return net


def senet(name: str, counts: tuple[int, ...], classes: int = 1000) -> Net:
    """hujie-frank/SENet, models/SE-ResNet-50.prototxt, SE-ResNeXt-50.prototxt and SENet-154.prototxt."""
    wide, groups = name == "SENet", {"SENet": 64, "SE-ResNeXt-50": 32}.get(name, 1)
    net = Net(name, gain=0.4)

    def unit(name, x, *shape, relu=True, **options):
        x = net.conv(name, x, *shape, relu=False, bias=False, **options)
        return net.bn(x, f"{name}/bn", f"{name}/bn/scale", relu=relu)

    if wide:
        x = unit("conv1_1/3x3_s2", "data", 64, 3, stride=2, pad=1)
        x = unit("conv1_3/3x3", unit("conv1_2/3x3", x, 64, 3, pad=1), 128, 3, pad=1)
    else:
        x = unit("conv1/7x7_s2", "data", 64, 7, stride=2, pad=3)
    x = net.pool("pool1/3x3_s2", x, 3, 2)
    for stage, (count, filters) in enumerate(zip(counts, (64, 128, 256, 512), strict=True), 2):
        inner = filters if groups == 1 else 2 * filters
        for i in range(1, count + 1):
            p, stride, shortcut = f"conv{stage}_{i}", 2 if stage > 2 and i == 1 else 1, x
            first, second = (stride, 1) if groups == 1 else (1, stride)
            y = unit(f"{p}_1x1_reduce", x, inner, 1, stride=first)
            y = unit(f"{p}_3x3", y, 2 * inner if wide else inner, 3, stride=second, pad=1, group=groups)
            y = unit(f"{p}_1x1_increase", y, 4 * filters, 1, relu=False)
            gate = net.add("Pooling", f"{p}_global_pool", y, kind="AVE")
            gate = net.conv(f"{p}_1x1_up", net.conv(f"{p}_1x1_down", gate, filters // 4, 1), 4 * filters, 1, relu=False)
            gate = net.add("Sigmoid", f"{p}_prob", gate, top=gate)
            if i == 1:
                kernel = 3 if wide and stage > 2 else 1
                shortcut = unit(f"{p}_1x1_proj", x, 4 * filters, kernel, relu=False, stride=stride, pad=kernel // 2)
            x = net.add("Axpy", p, gate, y, shortcut)
            x = net.add("ReLU", f"{p}/relu", x, top=x)
    net.fc("classifier", net.add("Pooling", "pool5/7x7_s1", x, kind="AVE"), 2048, classes)
    return net


def densenet121(classes: int = 1000) -> Net:
    """shicai/DenseNet-Caffe, DenseNet_121.prototxt: batch norm before each convolution but the first."""
    net = Net("DENSENET_121")

    def bn(x, name):
        return net.bn(x, f"{name}/bn", f"{name}/scale", top=f"{name}/bn")

    def conv(name, x, *shape, **options):
        return net.conv(name, bn(x, name), *shape, relu=False, bias=False, **options)

    x = bn(net.conv("conv1", "data", 64, 7, stride=2, pad=3, relu=False, bias=False), "conv1")
    x = net.pool("pool1", x, 3, 2, pad=1, round_mode=int)
    for block, count in enumerate((6, 12, 24, 16), 2):
        for i in range(1, count + 1):
            y = conv(f"conv{block}_{i}/x2", conv(f"conv{block}_{i}/x1", x, 128, 1), 32, 3, pad=1)
            x = net.concat(f"concat_{block}_{i}", x, y)
        if block < 5:
            x = conv(f"conv{block}_blk", x, net.channels[x] // 2, 1)
            x = net.pool(f"pool{block}", x, 2, 2, kind="AVE")
    x = net.add("Pooling", "pool5", bn(x, "conv5_blk"), kind="AVE")
    net.conv("fc6", x, classes, 1, relu=False)
    return net


def solver_state(step: int, history: Iterator[np.ndarray] = ()) -> bytes:
    """A `.solverstate`."""
    state = messages()["SolverState"](iter=step, learned_net=f"snapshot_iter_{step}.caffemodel", current_step=0)
    for array in history:
        _fill(state.history.add(), array, old=False, data="packed")
    return state.SerializeToString()


def mean_image(array: np.ndarray) -> bytes:
    """A `.binaryproto`: one blob, (1, channels, height, width)."""
    blob = messages()["BlobProto"]()
    _fill(blob, array, old=True, data="packed")
    return blob.SerializeToString()
