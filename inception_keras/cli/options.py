"""Arguments that several commands take."""

from typing import Annotated

import typer

Model = Annotated[str, typer.Argument(help="A model id; `inception-keras list` shows them.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", metavar="NAME=VALUE", help="An option of the model: -o aux=true -o classes=10"),
]
Input = Annotated[str | None, typer.Option("--input", metavar="HxWxC", help="Input shape, such as 299x299x3.")]
Aux = Annotated[bool, typer.Option("--aux", help="With auxiliary heads; short for -o aux=true.")]
