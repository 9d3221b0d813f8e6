"""Uses trained nets: evaluate, predict, detect, heatmap."""

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
    examples.png, too, and that of a detector examples.png and measures.csv instead of confusion.png.
    """
    with report_errors():
        from ..training.evaluate import evaluate
        from ..training.folder import CONFUSION, EXAMPLES

        report = evaluate(run, data=data, data_dir=data_dir)
        rows = report.table
        table = Table(*rows[0], box=None)
        for row in rows:
            cells = (f"{cell:.4f}" if isinstance(cell, float) else str(cell) for cell in row.values())
            table.add_row(*map(printable, cells))
        console.print(table)
        if report.skipped:
            say(f"{len(report.skipped)} images were left out:", *(f"  {line}" for line in report.skipped))
        pictures = [path for path in (run / CONFUSION, run / EXAMPLES) if path.is_file()]
        say("; ".join([report.summary, *map(str, pictures[:1])]))


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
            help="A new folder for pictures: of a run of segmentation, colours over the photograph and masks; boxes."
        ),
    ] = None,
) -> None:
    """Classifies photographs, or segments them.

    The exit code is 1 if a photograph could not be read.
    """
    named = failed = foreign = 0
    with report_errors():
        from ..training.predict import Predictions, answers, save_pictures

        _check_out(out)
        if csv:
            _check_file("--csv", csv)
        kept = []
        for answer in answers(photo, run=run, model=model, top=top, pictures=out is not None):
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
                if not answer.names:  # a detector may find nothing
                    say("  nothing")
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
def detect(
    photo: Annotated[
        list[str], typer.Argument(help="Photographs, folders of them, or patterns such as 'photos/*.jpg'.")
    ],
    run: Annotated[Path | None, typer.Option(help="The folder of a run with the task detection.")] = None,
    model: Annotated[str | None, typer.Option(help="Instead of a run: the id of a detector, with --weights.")] = None,
    weights: Annotated[str | None, typer.Option(help="A file of weights, or the name of a published set.")] = None,
    classes: Annotated[
        Path | None, typer.Option(help="A text file with the names of the classes, one a line; default: as known.")
    ] = None,
    threshold: Annotated[float, typer.Option(help="The lowest score, from 0 to 1; 0 for measures.")] = 0.5,
    min_size: Annotated[
        int | None, typer.Option(min=1, help="The shorter side that photographs are resized to, in pixels.")
    ] = None,
    max_size: Annotated[int | None, typer.Option(min=1, help="The largest longer side, in pixels.")] = None,
    out: Annotated[Path | None, typer.Option(help="A new folder for the photographs with the boxes drawn.")] = None,
    json: Annotated[Path | None, typer.Option(help="A file for all boxes, in COCO's form of results.")] = None,
) -> None:
    """Finds the objects in photographs by box.

    The exit code is 1 if a photograph could not be read.
    """
    seen = failed = 0
    with report_errors():
        from contextlib import nullcontext

        from ..training.detect_photos import detect_photos, finder_for, read_names, results_file
        from ..training.predict import save_pictures

        _check_out(out)
        if json:
            _check_file("--json", json)
        names = read_names(classes) if classes else None
        sizes = {"min_size": min_size, "max_size": max_size}
        find = finder_for(run=run, model=model, weights=weights, class_names=names, **sizes)
        with results_file(json, find.names) if json else nullcontext() as add:
            for found in detect_photos(photo, find, threshold):
                if found.foreign:
                    tell_error(f"{found.photo} {found.reason}.", "note:", "yellow")
                    continue
                if found.detections is None:
                    failed += 1
                    tell_error(f"{found.photo} {found.reason}.")
                    continue
                seen += 1
                console.print(Text(printable(found.photo), style="bold"), soft_wrap=True)
                for (name, score), box in zip(found.names, found.detections.boxes, strict=True):
                    say(f"  {score:.4f}  {name}  {', '.join(f'{value:.0f}' for value in box)}")
                if not found.names:
                    say(f"  nothing with a score of at least {threshold:g}")
                if add:
                    add(found)
                if out:
                    out.mkdir(parents=True, exist_ok=True)
                    save_pictures(found, out)
        say(*(f"{path}" for path in (json, out) if path and seen))
        if failed and failed + seen > 1:
            tell_error(f"photographs that could not be read: {failed:,} of {failed + seen:,}")
    if failed:
        raise typer.Exit(1)


def _check_out(out: Path | None) -> None:
    """Raises an error if a folder for pictures holds something."""
    if out and (out.is_file() or (out.is_dir() and any(out.iterdir()))):
        raise FileExistsError(f"{out} is there already: --out names a new or an empty folder.")


def _check_file(option: str, path: Path) -> None:
    """Raises an error if a file cannot be written because of its folder or its name."""
    if not path.parent.is_dir():
        raise FileNotFoundError(f"There is no folder {path.parent} for {path.name}.")
    if path.is_dir():
        raise IsADirectoryError(f"{path} is a folder: {option} names the file to write.")


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
        _check_file("--out", out)
        found = heatmap(run if run is not None else model, photo, classes or None)
        found.save(out)
        say(*(f"  {score:.4f}  {name}" for name, score in zip(found.names, found.scores, strict=True)), f"{out}")
