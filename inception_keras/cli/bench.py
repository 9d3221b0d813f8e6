"""Compares the speed with other libraries: bench."""

from pathlib import Path
from typing import Annotated

import typer

from .terminal import report_errors, say, whole_numbers

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
    size: Annotated[
        str | None, typer.Option(help="Side of the images in pixels, or height and width such as 800x1066.")
    ] = None,
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
        pixels = whole_numbers(size, "x") if size else []
        if data:
            from ..deploy.bench_data import bench_data

            if len(pixels) > 1:
                raise ValueError(f"bench --data needs one side of the images as size, got {size!r}.")
            made = bench_data(data, size=pixels[0] if pixels else 224, batch=batch, rounds=rounds)
            say(
                f"{made.folder}: {made.images:,} images, {made.ours:.1f} {made.theirs:.1f} images/s  x {made.ratio:.2f}"
                f"  torchvision with {made.workers} workers"
            )
            if csv:
                write_csv(csv, [asdict(made)])
        for speed in measure(
            ids or [],
            against=against,
            batch=batch,
            train_batch=train_batch,
            size=pixels[0] if len(pixels) == 1 else pixels or None,
            rounds=rounds,
        ):
            ours, theirs = (f"{figure:8.{1 if figure >= 10 else 3}f}" for figure in (speed.ours, speed.theirs))
            say(
                f"{speed.model:20} {speed.work:9} {ours} {theirs} images/s  x {speed.ratio:.2f}"
                f"  {speed.ours_mib:6,} {speed.theirs_mib:6,} MiB  {speed.reference}"
            )
            rows.append(asdict(speed))
            if csv:
                write_csv(csv, rows)
