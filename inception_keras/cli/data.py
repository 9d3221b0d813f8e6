"""Commands for data sets: data check."""

from pathlib import Path
from typing import Annotated

import typer
from rich.table import Table

from ..text import printable
from .terminal import console, report_errors, say

app = typer.Typer(no_args_is_help=True)


@app.command("check")
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of data, as for `train --data-dir`.")],
    task: Annotated[
        str,
        typer.Option(help="classification, segmentation (images with masks) or detection (images with boxes)."),
    ] = "classification",
    label: Annotated[str | None, typer.Option(help="The column of a CSV file that holds the labels.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the problems to this file.")] = None,
) -> None:
    """Looks for faults in a folder of data.

    It lists broken, misnamed and duplicate images, masks or boxes, and shows a row for each class. The exit code is 1
    if there are faults.
    """
    with report_errors():
        from ..checks import counted
        from ..data.check import check_data

        found = check_data(folder, task=task, label=label)
        if csv:
            found.to_csv(csv)
        if found.problems:
            table = Table("problem", "image", "", box=None, header_style="bold", padding=(0, 1, 0, 0))
            for problem in found.problems:
                table.add_row(problem.kind, printable(problem.image), printable(problem.detail))
            console.print(table, "")
        table = Table("class", box=None, header_style="bold", padding=(0, 1, 0, 0))
        for name in list(found.classes[0])[1:]:
            table.add_column(name, justify="right")
        for row in found.classes:
            table.add_row(printable(row["class"]), *(_cell(value) for name, value in row.items() if name != "class"))
        console.print(table)
        say(
            "",
            f"{counted(found.used, 'image')} in {counted(len(found.classes) - (task == 'segmentation'), 'class')}, "
            f"{counted(found.left_out, 'file')} left out, {counted(len(found.problems), 'problem')}",
            *(f"note: {note}." for note in found.notes),
        )
        if found.refusal:
            say(f"These data are refused: {found.refusal}")
    if found.problems or found.refusal:
        raise typer.Exit(1)


def _cell(value: int | float | tuple[int, int] | None) -> str:
    """A number of images, a share of the pixels, or a size."""
    if isinstance(value, float):
        return f"{value:.2%}"
    return f"{value:,}" if isinstance(value, int) else "x".join(map(str, value or ()))
