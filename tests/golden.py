"""Writes tests/golden/<id>.npz: what the reference libraries' nets say, with the weights of synthetic.py.

    python tests/golden.py [ids]

Run it where torch, torchvision and timm are installed; the tests need none of them.
"""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
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
    shapes = {key: value.shape for key, value in net.state_dict().items() if value.ndim}
    net.load_state_dict({key: torch.from_numpy(a) for key, a in synthetic.state_dict(shapes, gain).items()}, strict=False)
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
