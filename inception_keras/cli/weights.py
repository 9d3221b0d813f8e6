"""Files of weights: convert."""

from pathlib import Path
from typing import Annotated, Any

import typer

from .options import Aux
from .terminal import one_sentence, say

app = typer.Typer(no_args_is_help=True)


@app.command()
def convert(
    weights: Annotated[
        str, typer.Argument(help="A .pth, .safetensors, .h5, .onnx or .caffemodel file, an address, or `imagenet`.")
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="The model id.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    aux: Aux = False,
) -> None:
    """Turns weights of torchvision, timm, Keras or Caffe into a file of ours."""
    with one_sentence():
        from ..weights.store import save_weights
        from ..zoo import create_model

        if out.suffix != ".safetensors":
            raise ValueError(f"--out must end in .safetensors, got {out.name}.")
        options: dict[str, Any] = {"aux": True} if aux else {}
        save_weights(create_model(model, weights=weights, **options), out)
        say(f"{out}")
