"""Compares the speed with other libraries: bench."""

from pathlib import Path
from typing import Annotated

import typer

from .terminal import report_errors, say

app = typer.Typer(no_args_is_help=True)


@app.command()
def bench(
    ids: Annotated[list[str] | None, typer.Argument(help="Model ids.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="Measure decoding and augmenting this folder of images by class, not nets.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="torchvision or timm; by default, the one that has the net.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Also write the results to this file.")] = None,
    batch: Annotated[int, typer.Option(help="Batch size for inference; 0 skips inference.")] = 32,
    train_batch: Annotated[int, typer.Option(help="Batch size for training; 0 skips training.")] = 16,
    size: Annotated[int | None, typer.Option(help="Height and width of the images, in pixels.")] = None,
    rounds: Annotated[int, typer.Option(help="Number of measurements of each library.")] = 5,
) -> None:
    """Compares the speed with torchvision and timm.

    Nets are compared with either library, data loading with torchvision: images/s, their ratio and the peak memory.
    """
    with report_errors():
        from dataclasses import asdict

        from ..deploy.bench import bench as measure
        from ..files import write_csv

        if bool(ids) == bool(data):
            raise ValueError("bench needs model ids, or --data with a folder of images.")
        rows = []
        if data:
            from ..deploy.bench_data import bench_data

            made = bench_data(data, size=size or 224, batch=batch, rounds=rounds)
            say(
                f"{made.folder}: {made.images:,} images, {made.ours:.1f} {made.theirs:.1f} images/s  x {made.ratio:.2f}"
                f"  torchvision with {made.workers} workers"
            )
            if csv:
                write_csv(csv, [asdict(made)])
        for speed in measure(
            ids or [], against=against, batch=batch, train_batch=train_batch, size=size, rounds=rounds
        ):
            say(
                f"{speed.model:20} {speed.work:9} {speed.ours:8.1f} {speed.theirs:8.1f} images/s  x {speed.ratio:.2f}"
                f"  {speed.ours_mib:6,} {speed.theirs_mib:6,} MiB  {speed.reference}"
            )
            rows.append(asdict(speed))
            if csv:
                write_csv(csv, rows)
