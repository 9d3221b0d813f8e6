"""Commands that describe models: list, show, profile, plot."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from .options import Aux, Input, Model, Options
from .terminal import built, console, report_errors, say

app = typer.Typer(no_args_is_help=True)


@app.command("list")
def list_(
    pattern: Annotated[str, typer.Argument(help="A shell pattern.")] = "*",
    year: Annotated[int | None, typer.Option(help="Only the models of this year.")] = None,
    task: Annotated[str, typer.Option(help="classification, segmentation or detection.")] = "classification",
) -> None:
    """Lists the models with paper, size, accuracy and smallest input."""
    from ..zoo import ZOO, list_models

    with report_errors():
        ids = list_models(pattern, year=year, task=task)
    scores = {
        "classification": {"top-1": "top1", "top-5": "top5"},
        "segmentation": {"mean IoU": "miou"},
        "detection": {"mAP, VOC 2007": "map_50"},
    }[task]
    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    for title in ("model", "year", "parameters", "GMACs", *scores, "input", "min size", "paper"):
        table.add_column(title, justify="left" if title in ("model", "paper") else "right", no_wrap=title != "paper")
    for id in ids:
        entry = ZOO[id]
        accuracy = [f"{value:.2f}" if (value := getattr(entry, field)) else "" for field in scores.values()]
        figures = (
            str(entry.year),
            f"{entry.params:,}",
            f"{entry.gmacs:.3f}",
            *accuracy,
            str(entry.image),
            str(entry.min_size),
        )
        table.add_row(id, *figures, entry.paper.rpartition(", ")[2].removeprefix("arXiv:"))
    if table.row_count:
        console.print(table)
    else:
        say(f"No model matches {pattern!r}.")


@app.command()
def show(model: Model, option: Options = None, input: Input = None, aux: Aux = False) -> None:
    """Shows a model block by block.

    Each row has the output shape, the parameters, the MACs and the activations of a block.
    """
    with report_errors():
        from ..analysis.profile import summary

        summary(built(model, option, input, aux), by="block")


@app.command()
def profile(
    model: Model,
    option: Options = None,
    input: Input = None,
    aux: Aux = False,
    csv: Annotated[Path | None, typer.Option(help="Also write the rows to this file.")] = None,
) -> None:
    """Shows a model layer by layer.

    Each row has the output shape, the parameters, the MACs and the activations of a layer.
    """
    with report_errors():
        from ..analysis.profile import profile, summary

        net = built(model, option, input, aux)
        summary(net)
        if csv:
            profile(net).to_csv(csv)


@app.command()
def plot(
    model: Model,
    out: Annotated[Path | None, typer.Option("--out", help="A .png, .svg or .pdf file; by default MODEL.png.")] = None,
    layers: Annotated[
        bool, typer.Option("--layers", help="Draw every layer with Graphviz, instead of blocks.")
    ] = False,
    option: Options = None,
    input: Input = None,
    aux: Aux = False,
) -> None:
    """Draws a model."""
    with report_errors():
        from ..analysis.diagrams import plot_blocks, plot_model

        path = out or Path(f"{model}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        (plot_model if layers else plot_blocks)(built(model, option, input, aux), path)
        say(f"{path}")
