"""Writes tests/golden/<id>.npz: the outputs of the reference libraries' nets, with the weights of synthetic.py.

    python tests/golden.py [ids]

Run it where torch, torchvision and timm are installed; the tests need none of them.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import references
import references_fcn
import synthetic
import timm
import torch
import torchvision

FOLDER = Path(__file__).parent / "golden"
SIZES = ((32, 32), (75, 107))
# id -> (the net; its sizes where SIZES are not right; gain below 1 where residual sums would grow too large)
REFERENCES: dict[str, tuple[Callable, tuple, float]] = {}


def torchvision_net(id: str, name: str = "", sizes: tuple = SIZES, gain: float = 1.0, **options: object) -> None:
    """Registers a net of torchvision; its name there defaults to our id."""
    build = torchvision.models.get_model_builder(name or id)
    REFERENCES[id] = (lambda: build(weights=None, **options), sizes, gain)


def timm_net(id: str, name: str = "", sizes: tuple = SIZES, gain: float = 1.0) -> None:
    """Registers a net of timm; its name there defaults to our id."""
    REFERENCES[id] = (lambda: timm.create_model(name or id, pretrained=False), sizes, gain)


torchvision_net("squeezenet1_0")
torchvision_net("squeezenet1_1")
torchvision_net("googlenet_slim", "googlenet", init_weights=False)
torchvision_net("alexnet", sizes=((64, 64), (75, 107)))
for _id in (f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "_bn")):
    torchvision_net(_id)
for _id in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"):
    torchvision_net(_id, gain=0.4)
for _id in ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"):
    torchvision_net(_id, gain=0.5)
for _id in ("densenet121", "densenet161", "densenet169", "densenet201"):
    torchvision_net(_id)
torchvision_net("mobilenet_v3_small")
torchvision_net("mobilenet_v3_large", gain=0.9)
for _id in ("mobilenet_v2", "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"):
    torchvision_net(_id, gain=0.7)
for _id in ("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"):
    torchvision_net(_id, gain=0.8)
torchvision_net("inception_v3", sizes=((75, 107), (299, 299)), init_weights=False)
for name in ("dpn68", "dpn92", "dpn98", "dpn107", "dpn131"):
    timm_net(name, gain=0.35)
timm_net("inception_resnet_v2", sizes=((75, 107), (96, 96)))
timm_net("inception_v4", sizes=((75, 107), (96, 96)), gain=1.3)  # its many means make small what passes through it
# where sums grow, the gates saturate, and then the smallest difference of rounding turns some of them
SE_GAINS = {"t18": 0.7, "t34": 0.6, "t50": 0.4, "t101": 0.35, "t152": 0.35, "xt50_32x4d": 0.4, "xt101_32x4d": 0.35}
for name, gain in SE_GAINS.items():
    timm_net(f"seresne{name}", f"legacy_seresne{name}", gain=gain)
timm_net("senet154", "legacy_senet154", gain=0.4)
# sizes at which each pool sees an odd map: at others torch's padding is not TensorFlow's
timm_net("xception", "legacy_xception", ((71, 71), (71, 103)), gain=0.6)

REFERENCES["alexnet_2012"] = (references.AlexNet2012, ((227, 227), (230, 251)), 1.0)
for _depth in (20, 32, 44, 56, 110):
    REFERENCES[f"resnet{_depth}_cifar"] = (partial(references.CifarNet, _depth), ((32, 32), (31, 45)), 0.3)
    REFERENCES[f"plain{_depth}_cifar"] = (partial(references.CifarNet, _depth, False), ((32, 32), (31, 45)), 1.05)

# sizes at which the heads' pools leave as many pixels, and so take the same weights; in the first two nets, the last
# windows reach beyond the maps of 6 and 7 pixels
REFERENCES["googlenet"] = (references.BvlcGoogLeNet, ((96, 97), (99, 113)), 1.0)
REFERENCES["googlenet_bn"] = (partial(references.GoogLeNet, batch_norm=True), ((96, 97), (99, 113)), 1.0)
REFERENCES["googlenet_cifar"] = (partial(references.GoogLeNet, "cifar"), ((32, 32), (31, 51)), 1.0)
REFERENCES["googlenet_small"] = (partial(references.GoogLeNet, "small"), ((31, 29), (32, 32)), 1.0)
REFERENCES["seinception"] = (partial(references.GoogLeNet, batch_norm=True, heads=False, gates=True), SIZES, 1.35)
REFERENCES["zfnet"] = (references.ZFNet, ((207, 238), (224, 224)), 1.0)
REFERENCES["extraction"] = (references.Extraction, SIZES, 1.0)
REFERENCES["nin_cifar"] = (references.NinCifar, ((32, 32), (31, 45)), 1.0)
REFERENCES["nin_imagenet"] = (references.NinImageNet, ((64, 64), (75, 107)), 1.0)
REFERENCES["inception_v2"] = (references.InceptionV2, SIZES, 1.0)
for _width in (1, 0.75, 0.5, 0.25):
    _id = "mobilenet_v1" if _width == 1 else f"mobilenet_v1_{100 * _width:03.0f}"
    REFERENCES[_id] = (partial(references.MobileNetV1, _width), SIZES, 1.0)
for _groups in (1, 2, 3, 4, 8):
    REFERENCES[f"shufflenet_v1_g{_groups}"] = (partial(references.ShuffleNetV1, _groups), SIZES, 0.3)
for _depth in (50, 101, 152):
    REFERENCES[f"resnet{_depth}_v1"] = (partial(references.resnet_v1, _depth), SIZES, 0.4)
    REFERENCES[f"resnet{_depth}_caffe"] = (partial(references.resnet_v1, _depth, caffe=True), SIZES, 0.4)
REFERENCES["lenet5"] = (references.LeNet5, ((32, 32), (35, 33)), 0.5)
REFERENCES["lenet5_modern"] = (references.LeNet5Modern, ((32, 32), (35, 33)), 1.0)

SMALL = ((17, 24), (33, 45))
for _stride in (32, 16, 8):
    REFERENCES[f"fcn{_stride}s"] = (partial(references_fcn.FcnVgg, _stride), SMALL, 1.15 if _stride == 32 else 1.0)
    REFERENCES[f"fcn_googlenet{_stride}s"] = (partial(references_fcn.FcnGoogLeNet, _stride), SIZES, 1.0)
    REFERENCES[f"fcn_small{_stride}s"] = (partial(references_fcn.FcnSmall, _stride), SIZES, 1.0)
REFERENCES["fcn8s_atonce"] = (partial(references_fcn.FcnVgg, 8, (0.01, 0.0001)), SMALL, 1.0)
REFERENCES["fcn_alexnet"] = (references_fcn.FcnAlexNet, SMALL, 1.0)
for _id in ("fcn_resnet50", "fcn_resnet101"):
    torchvision_net(_id, sizes=((64, 64), (97, 75)), gain=0.4, weights_backbone=None, aux_loss=True, num_classes=4)
CHANNELS = {"lenet5": 1, "lenet5_modern": 1}  # 3 of the others

# class of net -> the smallest image that its heads can take, {our head: (the module that feeds it, the head)}; by
# themselves these heads run in training only
AUXILIARY = {
    torchvision.models.GoogLeNet: (0, {"aux_1": ("inception4a", "aux1"), "aux_2": ("inception4d", "aux2")}),
    torchvision.models.Inception3: (299, {"aux_1": ("Mixed_6e", "AuxLogits")}),
}


def outputs(net: torch.nn.Module, image: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The logits of every head, by our name of the head."""
    seen, batch = {}, torch.from_numpy(image.transpose(0, 3, 1, 2).copy())
    least, heads = AUXILIARY.get(type(net), (0, {}))
    for name, (before, head) in heads.items() if min(image.shape[1:3]) >= least else ():
        listener = net.get_submodule(before).register_forward_hook(
            lambda module, inputs, output, name=name: seen.__setitem__(name, output)
        )
        net(batch)
        listener.remove()
        yield name, net.get_submodule(head)(seen[name]).numpy()
    given = net(batch)
    for name, values in given.items() if isinstance(given, dict) else [("predictions", given)]:
        if values.ndim == 4:  # every third row and column of the scores of pixels
            values = values.permute(0, 2, 3, 1)[:, ::3, ::3]
        yield "predictions" if name == "out" else name, values.numpy()


@torch.inference_mode()
def write(id: str) -> None:
    """Writes the golden file of one net."""
    build, sizes, gain = REFERENCES[id]
    with torch.device("meta"):  # its own start values would take longer than all the rest
        net = build().to_empty(device="cpu").eval()
    for module in net.modules() if id == "xception" else ():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3  # Keras's, with which its weights were trained; the port has torch's 1e-5
    images = {(height, width): synthetic.image(height, width, CHANNELS.get(id, 3)) for height, width in sizes}
    list(outputs(net, images[sizes[0]]))  # nets of references.py make their modules now
    entries = {key: value for key, value in net.state_dict().items() if value.ndim}
    for key, array in synthetic.state_dict({key: value.shape for key, value in entries.items()}, gain).items():
        entries[key].copy_(torch.from_numpy(array))
    arrays = {"gain": np.float32(gain), "versions": np.array(_versions())}
    for (height, width), image in images.items():
        for name, values in outputs(net, image):
            arrays[f"{height}x{width}/{name}"] = values
            print(f"{id:20} {height}x{width} {name:12} mean {values.mean():10.4g}  deviation {values.std():10.4g}")
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(FOLDER / f"{id}.npz", **arrays)


def _versions() -> str:
    return ", ".join(f"{library.__name__} {library.__version__}" for library in (torch, torchvision, timm))


if __name__ == "__main__":
    for id in sys.argv[1:] or REFERENCES:
        write(id)
