"""Writes tests/golden/<id>.npz: what the reference libraries' nets say, with the weights of synthetic.py.

    python tests/golden.py [ids]

Run it where torch, torchvision and timm are installed; the tests need none of them.
"""

import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path

import numpy as np
import references
import synthetic
import timm
import torch
import torchvision

FOLDER = Path(__file__).parent / "golden"
SIZES = ((96, 96), (75, 107))
# id -> (the net; its sizes where SIZES are not right; gain below 1 where residual sums would grow too large)
REFERENCES: dict[str, tuple[Callable, tuple, float]] = {}


def torchvision_net(id: str, name: str = "", sizes: tuple = SIZES, gain: float = 1.0, **options: object) -> None:
    """Notes that torchvision has a net, by the same name where no other is given."""
    build = torchvision.models.get_model_builder(name or id)
    REFERENCES[id] = (lambda: build(weights=None, **options), sizes, gain)


def timm_net(id: str, name: str = "", sizes: tuple = SIZES, gain: float = 1.0) -> None:
    """Notes that timm has a net, by the same name where no other is given."""
    REFERENCES[id] = (lambda: timm.create_model(name or id, pretrained=False), sizes, gain)


torchvision_net("squeezenet1_0")
torchvision_net("squeezenet1_1")
torchvision_net("googlenet_slim", "googlenet", init_weights=False)
for _id in ("alexnet", *(f"vgg{depth}{suffix}" for depth in (11, 13, 16, 19) for suffix in ("", "_bn"))):
    torchvision_net(_id)
for _id in ("resnet18", "resnet34", "resnet50", "resnet101", "resnet152", "wide_resnet50_2", "wide_resnet101_2"):
    torchvision_net(_id, gain=0.5)
for _id in ("resnext50_32x4d", "resnext101_32x8d", "resnext101_64x4d"):
    torchvision_net(_id, gain=0.5)
for _id in ("densenet121", "densenet161", "densenet169", "densenet201"):
    torchvision_net(_id)
for _id in ("mobilenet_v3_small", "mobilenet_v3_large"):
    torchvision_net(_id)
for _id in ("mobilenet_v2", "mnasnet0_5", "mnasnet0_75", "mnasnet1_0", "mnasnet1_3"):
    torchvision_net(_id, gain=0.7)
for _id in ("shufflenet_v2_x0_5", "shufflenet_v2_x1_0", "shufflenet_v2_x1_5", "shufflenet_v2_x2_0"):
    torchvision_net(_id)
torchvision_net("inception_v3", sizes=((299, 299), (303, 331)), init_weights=False)
for name in ("dpn68", "dpn92", "dpn98", "dpn107", "dpn131", "inception_resnet_v2"):
    timm_net(name)
timm_net("inception_v4", gain=1.3)  # its many means make small what passes through it
# where sums grow, the gates saturate, and then the smallest difference of rounding turns some of them
SE_GAINS = {"t18": 1.0, "t34": 1.0, "t50": 0.4, "t101": 0.3, "t152": 0.2, "xt50_32x4d": 0.4, "xt101_32x4d": 0.3}
for name, gain in SE_GAINS.items():
    timm_net(f"seresne{name}", f"legacy_seresne{name}", gain=gain)
timm_net("senet154", "legacy_senet154", gain=0.2)
# sizes at which each pool sees an odd map: at others torch's padding is not TensorFlow's
timm_net("xception", "legacy_xception", ((71, 71), (71, 103)), gain=0.6)

REFERENCES["alexnet_2012"] = (references.AlexNet2012, ((227, 227), (230, 251)), 1.0)
for _depth in (20, 32, 44, 56, 110):
    REFERENCES[f"resnet{_depth}_cifar"] = (partial(references.CifarNet, _depth), ((32, 32), (31, 45)), 0.3)
    REFERENCES[f"plain{_depth}_cifar"] = (partial(references.CifarNet, _depth, False), ((32, 32), (31, 45)), 1.1)

# class of net -> {our head: (the module that feeds it, the head)}: they run in training only
AUXILIARY = {
    "GoogLeNet": {"aux_1": ("inception4a", "aux1"), "aux_2": ("inception4d", "aux2")},
    "Inception3": {"aux_1": ("Mixed_6e", "AuxLogits")},
}


def outputs(net: torch.nn.Module, image: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """The logits of every head, by our names."""
    seen, batch = {}, torch.from_numpy(image.transpose(0, 3, 1, 2).copy())
    for name, (before, head) in AUXILIARY.get(type(net).__name__, {}).items():
        listener = net.get_submodule(before).register_forward_hook(
            lambda module, inputs, output, name=name: seen.__setitem__(name, output)
        )
        net(batch)
        listener.remove()
        yield name, net.get_submodule(head)(seen[name]).numpy()
    yield "predictions", net(batch).numpy()


@torch.inference_mode()
def write(id: str) -> None:
    """Writes the golden file of one net."""
    build, sizes, gain = REFERENCES[id]
    net = build().eval()
    for module in net.modules() if id == "xception" else ():
        if isinstance(module, torch.nn.BatchNorm2d):
            module.eps = 1e-3  # Keras's, with which its weights were trained; the port has torch's 1e-5
    entries = {key: value for key, value in net.state_dict().items() if value.ndim}
    for key, array in synthetic.state_dict({key: value.shape for key, value in entries.items()}, gain).items():
        entries[key].copy_(torch.from_numpy(array))
    arrays = {"gain": np.float32(gain), "versions": np.array(_versions())}
    for height, width in sizes:
        for name, values in outputs(net, synthetic.image(height, width)):
            arrays[f"{height}x{width}/{name}"] = values
            print(f"{id:20} {height}x{width} {name:12} mean {values.mean():10.4g}  deviation {values.std():10.4g}")
    FOLDER.mkdir(exist_ok=True)
    np.savez_compressed(FOLDER / f"{id}.npz", **arrays)


def _versions() -> str:
    return ", ".join(f"{library.__name__} {library.__version__}" for library in (torch, torchvision, timm))


if __name__ == "__main__":
    for id in sys.argv[1:] or REFERENCES:
        write(id)
