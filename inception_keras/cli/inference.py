"""Uses trained nets: evaluate, predict, heatmap."""

from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table
from rich.text import Text

from ..text import printable
from .terminal import console, report_errors, say, tell_error

app = typer.Typer(no_args_is_help=True)


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="The folder of a run.")],
    data: Annotated[str | None, typer.Option(help="A named data set other than the run's own.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="Another folder of data: its test set, or all images if it has no splits.")
    ] = None,
) -> None:
    """Measures a run's model on a test set.

    It shows a row for each class. The run's folder gets classes.csv and confusion.png; that of a segmentation gets
    examples.png, too.
    """
    with report_errors():
        from ..training.evaluate import evaluate
        from ..training.folder import CONFUSION

        report = evaluate(run, data=data, data_dir=data_dir)
        rows = report.table
        table = Table(*rows[0], box=None)
        for row in rows:
            cells = (f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row.values())
            table.add_row(*map(printable, cells))
        console.print(table)
        if report.skipped:
            say(f"{len(report.skipped)} images were left out:", *(f"  {line}" for line in report.skipped))
        picture = run / CONFUSION
        say(report.summary + (f"; {picture}" if picture.is_file() else ""))


@app.command()
def predict(
    photo: Annotated[
        list[str], typer.Argument(help="Photographs, folders of them, or patterns such as 'photos/*.jpg'.")
    ],
    run: Annotated[Path | None, typer.Option(help="The folder of a run; without one, ImageNet's classes.")] = None,
    model: Annotated[str, typer.Option(help="The net with ImageNet's classes; all but the default are downloaded.")] = (
        "squeezenet1_1"
    ),
    top: Annotated[int, typer.Option(min=1, help="Number of classes shown for each photograph.")] = 5,
    csv: Annotated[Path | None, typer.Option(help="Also write a row for each photograph to this file.")] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            help="A new folder for pictures: of a run of segmentation, colours over the photograph and masks."
        ),
    ] = None,
) -> None:
    """Classifies photographs, or segments them.

    The exit code is 1 if a photograph could not be read.
    """
    named = failed = foreign = 0
    with report_errors():
        from ..training.predict import Predictions, answers, save_pictures

        if out and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
            raise FileExistsError(f"{out} is there already: --out names a new or an empty folder.")
        if csv and not csv.parent.is_dir():
            raise FileNotFoundError(f"There is no folder {csv.parent} for {csv.name}.")
        if csv and csv.is_dir():
            raise IsADirectoryError(f"{csv} is a folder: --csv names the file to write.")
        kept = []
        for answer in answers(photo, run=run, model=model, top=top):
            if csv:
                kept.append(replace(answer, pictures={}))
            if answer.foreign:
                foreign += 1
                tell_error(f"{answer.photo} {answer.reason}.", "note:", "yellow")
            elif answer.reason:
                failed += 1
                tell_error(f"{answer.photo} {answer.reason}.")
            else:
                named += 1
                console.print(Text(printable(answer.photo), style="bold"), soft_wrap=True)
                say(*(f"  {score:.4f}  {name}" for name, score in answer.names))
                if out and not answer.pictures:
                    raise ValueError("--out needs a run whose task makes pictures, such as segmentation.")
                if out:
                    out.mkdir(parents=True, exist_ok=True)
                    save_pictures(answer, out)
        if csv:
            Predictions(kept).to_csv(csv)
            say(f"{csv}")
        if out and named:
            say(f"{out}")
        if foreign:
            tell_error(f"files that are no images: {foreign:,}", "note:", "yellow")
        if failed and failed + named > 1:
            tell_error(f"photographs that could not be read: {failed:,} of {failed + named:,}")
    if failed:
        raise typer.Exit(1)


@app.command()
def heatmap(
    photo: Annotated[Path, typer.Argument(help="A photograph of any size.")],
    run: Annotated[Path | None, typer.Option(help="The folder of a run; without one, ImageNet's classes.")] = None,
    model: Annotated[str, typer.Option(help="The net with ImageNet's classes; all but the default are downloaded.")] = (
        "squeezenet1_1"
    ),
    classes: Annotated[
        list[str] | None,
        typer.Option(
            metavar="CLASS", help="A class, by name or index; may be given several times. Default: the best 3."
        ),
    ] = None,
    out: Annotated[Path, typer.Option(help="The picture to write: .png, .svg, .pdf or .jpg.")] = Path("heatmap.png"),
) -> None:
    """Shows where on a photograph a net sees a class.

    A map of the score of the class is laid over the photograph.
    """
    with report_errors():
        from ..checks import check_picture
        from ..training.heatmap import heatmap

        check_picture("--out", out)  # before the net runs
        found = heatmap(run if run is not None else model, photo, classes or None)
        found.save(out)
        say(*(f"  {score:.4f}  {name}" for name, score in zip(found.names, found.scores, strict=True)), f"{out}")
