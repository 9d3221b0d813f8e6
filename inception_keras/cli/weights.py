"""Converts files of weights: convert."""

import warnings
from pathlib import Path
from typing import Annotated

import typer

from .options import Aux
from .terminal import named_options, report_errors, say

app = typer.Typer(no_args_is_help=True)


@app.command()
def convert(
    weights: Annotated[
        str, typer.Argument(help="A file of torchvision, timm, Keras, Caffe or this package, a URL, or `imagenet`.")
    ],
    model: Annotated[str, typer.Option("--model", "-m", help="The model id.")],
    out: Annotated[Path | None, typer.Option("--out", help="The .safetensors file to write.")] = None,
    option: Annotated[
        list[str] | None,
        typer.Option("--option", "-o", metavar="NAME=VALUE", help="An option of the model, such as -o classes=10."),
    ] = None,
    aux: Aux = False,
) -> None:
    """Converts weights of torchvision, timm, Keras or Caffe.

    The result is a safetensors file of this package.
    """
    with report_errors():
        from ..weights.pretrained import FreshWeightsWarning
        from ..weights.store import save_weights
        from ..zoo import create_model

        # earlier versions used -o FILE for --out
        files = [text for text in option or [] if "=" not in text and out is None]
        out = out or Path(files[0] if files else "")
        if out.suffix != ".safetensors":
            raise ValueError(f"--out must be a file that ends in .safetensors, got {out.name!r}.")
        options = named_options([text for text in option or [] if text not in files[:1]])
        if aux:
            options["aux"] = True
        with warnings.catch_warnings():
            warnings.simplefilter("error", FreshWeightsWarning)
            try:
                net = create_model(model, weights=weights, **options)
            except FreshWeightsWarning as fresh:
                raise ValueError(f"Nothing is written, because part of it would be fresh weights: {fresh}") from None
        out.parent.mkdir(parents=True, exist_ok=True)
        save_weights(net, out)
        say(f"{out}")
