"""What a trained net knows: evaluate, predict."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from .terminal import console, one_sentence

app = typer.Typer(no_args_is_help=True)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A folder that `train` left.")],
    data: Annotated[str | None, typer.Option(help="Another data set with the same classes.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="A folder of data with the same classes.")] = None,
) -> None:
    """A run's model on the test set: accuracy, a row for each class, confusion.png."""
    with one_sentence():
        from ..training.evaluate import evaluate

        report = evaluate(run, data=data, data_dir=str(data_dir) if data_dir else None)
        table = Table("class", "precision", "recall", "f1", "images", box=None)
        for row in report.classes:
            figures = [f"{row[name]:.4f}" for name in ("precision", "recall", "f1")]
            table.add_row(row["class"], *figures, str(row["images"]))
        console.print(table)
        console.print(f"accuracy {report.accuracy:.4f} on {report.images:,} images; {run / 'confusion.png'}")


@app.command()
def predict(
    photo: Annotated[list[Path], typer.Argument(help="Photographs.")],
    run: Annotated[
        Path | None, typer.Option(help="A folder that `train` left; without one, ImageNet's classes.")
    ] = None,
    model: Annotated[str, typer.Option(help="The net with ImageNet's classes; all but this one are fetched.")] = (
        "squeezenet1_1"
    ),
    top: Annotated[int, typer.Option(min=1, help="How many names for each photograph.")] = 5,
) -> None:
    """Names what is on photographs: the likeliest classes with their probabilities."""
    with one_sentence():
        from ..training.evaluate import predict

        for path, names in zip(photo, predict(photo, run=run, model=model, top=top), strict=True):
            console.print(f"[bold]{path}[/bold]")
            for name, score in names:
                console.print(f"  {score:.4f}  {name}", highlight=False)
