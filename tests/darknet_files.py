"""Darknet in plain NumPy: nets as in its .cfg files, its .weights files, and what it computes with them.

A net is a text of layers: `c64,7,2` a convolution with 64 filters of 7x7 and strides of 2, `m` a 2x2 pool, `f4096` a
dense layer, `l256,3` a locally connected one, `a` the mean of each channel. `+` after a layer means batch norm, and
`-` that it is not leaky. Maps are (channels, rows, columns).
"""

import re
import struct

import numpy as np

EXTRACTION = (
    "c64,7,2 m c192,3,1 m c128,1,1 c256,3,1 c256,1,1 c512,3,1 m "
    + 4 * "c256,1,1 c512,3,1 "
    + "c512,1,1 c1024,3,1 m "
    + 2 * "c512,1,1 c1024,3,1 "
)
TRUNK = EXTRACTION + "c1024,3,1 c1024,3,2 c1024,3,1 c1024,3,1 "
TINY = "c16,3,1 m c32,3,1 m c64,3,1 m c128,3,1 m c256,3,1 m c512,3,1 m c1024,3,1 "


def with_norm(text):
    return re.sub(r"(c\S+)", r"\1+", text)


CFGS = {
    "extraction": EXTRACTION + "a f1000-",
    "yolo_v1": TRUNK + "f4096 f1470-",
    "yolo_v1_small": TRUNK + "f512 f4096 f1470-",
    "yolo_v1_fast": TINY + "c1024,3,1 c1024,3,1 f256- f4096 f1470-",
    "yolo_v1_darknet": with_norm(TRUNK) + "l256,3 f1715-",
    "yolo_v1_darknet_tiny": with_norm(TINY + "c256,3,1 ") + "f1470-",
    "yolo_v1_mini": with_norm(  # darknet has no such net; it gives all cells of a channel after each other
        "c16,3,1 m c32,3,1 m c64,3,1 m c128,3,1 c64,1,1 c128,3,1 m c256,3,1 c128,1,1 c256,3,1 c128,3,1 "
    )
    + "c30,1,1-",
}


def layers_of(text, shape, seed=0):
    """The layers of a net with random weights, as dicts; `shape` is (channels, rows, columns) of the image."""
    rng = np.random.default_rng(seed)

    def normal(*sizes, scale=1.0, offset=0.0):
        return (offset + scale * rng.standard_normal(sizes, "float32")).astype("float32")

    made = []
    for word in text.split():
        kind, numbers, norm, linear = re.fullmatch(r"([cmfla])([\d,]*)(\+?)(-?)", word).groups()
        layer = {"kind": kind, "leaky": not linear}
        sizes = [int(number) for number in numbers.split(",")] if numbers else []
        if kind in "cl":
            filters, side, stride = (*sizes, 1)[:3]
            inputs = shape[0] * side * side
            places = shape[1] * shape[2] if kind == "l" else 1
            layer |= {"side": side, "stride": stride}
            layer["kernel"] = normal(places, filters, shape[0], side, side, scale=(2 / inputs) ** 0.5)
            shape = (filters, -(-shape[1] // stride), -(-shape[2] // stride))
            layer["bias"] = normal(int(np.prod(shape)) if kind == "l" else filters, scale=0.1)
        elif kind == "f":
            inputs = int(np.prod(shape))
            layer["kernel"], layer["bias"] = (
                normal(sizes[0], inputs, scale=(2 / inputs) ** 0.5),
                normal(*sizes, scale=0.1),
            )
            shape = (sizes[0],)
        elif kind == "m":
            shape = (shape[0], -(-shape[1] // 2), -(-shape[2] // 2))
        else:
            shape = shape[:1]
        if norm:
            layer["norm"] = [normal(filters, scale=0.1, offset=offset) for offset in (1.0, 0.0)]
            layer["norm"].append(np.abs(normal(filters, scale=0.1, offset=1.0)))
        made.append(layer)
    return made


def write(path, layers, header="0.2"):
    """A .weights file; the header is that of version 0.1 or 0.2, or "old": that of before, with transposed kernels."""
    heads = {"0.1": struct.pack("<4i", 0, 1, 0, 640), "0.2": struct.pack("<3iQ", 0, 2, 0, 2**40)}
    heads["old"] = struct.pack("<3fi", 0.0005, 0.9, 0.0005, 640)
    with path.open("wb") as file:
        file.write(heads[header])
        for layer in layers:
            if "kernel" not in layer:
                continue
            kernel = layer["kernel"].T if layer["kind"] == "f" and header == "old" else layer["kernel"]
            for array in (layer["bias"], *layer.get("norm", ()), kernel):
                file.write(np.ascontiguousarray(array, "<f4").tobytes())
    return path


def forward(layers, image):
    """What darknet computes for an image (rows, columns, channels)."""
    x = image.transpose(2, 0, 1)
    for layer in layers:
        if layer["kind"] in "cl":
            x = _convolve(x, layer)
        elif layer["kind"] == "m":
            x = np.pad(x, [(0, 0), (0, x.shape[1] % 2), (0, x.shape[2] % 2)], constant_values=-np.inf)
            x = x.reshape(x.shape[0], x.shape[1] // 2, 2, x.shape[2] // 2, 2).max((2, 4))
            continue
        elif layer["kind"] == "f":
            x = layer["kernel"] @ x.reshape(-1) + layer["bias"]
        else:
            x = x.mean((1, 2))
            continue
        if layer["leaky"]:
            x = np.where(x > 0, x, np.float32(0.1) * x)
    return x


def _convolve(x, layer):
    side, stride, kernel = layer["side"], layer["stride"], layer["kernel"]
    padded = np.pad(x, [(0, 0), (side // 2,) * 2, (side // 2,) * 2])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (side, side), (1, 2))[:, ::stride, ::stride]
    if layer["kind"] == "l":
        kernel = kernel.reshape(*x.shape[1:], *kernel.shape[1:])
        y = np.einsum("chwij,hwfcij->fhw", windows, kernel, optimize=True)
        return y + layer["bias"].reshape(y.shape)
    y = np.tensordot(kernel[0], windows, ([1, 2, 3], [0, 3, 4]))
    if "norm" in layer:
        scale, mean, variance = (values[:, None, None] for values in layer["norm"])
        y = (y - mean) / (np.sqrt(variance) + 1e-6) * scale
    return y + layer["bias"][:, None, None]
