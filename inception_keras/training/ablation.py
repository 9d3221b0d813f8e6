"""Ablation of GoogLeNet: trains the net without each of its ideas, with the same data, epochs and seeds."""

import csv
import statistics
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import keras

from ..analysis.charts import plot_spread
from ..analysis.profile import profile
from ..checks import check_count, check_path, check_type, warn_of_old_name
from ..files import atomic_write, write_csv
from ..scope import without_weights
from ..zoo import create_model
from .folder import (
    ABLATION,
    ABLATION_CHART,
    ABLATION_TABLE,
    CHECKPOINTS,
    MODEL,
    NEWEST,
    TIMING,
    Result,
    check_kind,
    command,
)
from .progress import check_verbose
from .recipe import Recipe
from .run import run

VARIANTS: dict[str, dict[str, Any]] = {  # options of googlenet_cifar
    "with all three": {"aux": True, "naive": False, "batch_norm": True},
    "without auxiliary heads": {"aux": False, "naive": False, "batch_norm": True},
    "naive modules": {"aux": True, "naive": True, "batch_norm": True},
    "without batch norm": {"aux": True, "naive": False, "batch_norm": False},
}


@dataclass(frozen=True)
class Ablation:
    """The result of one variant. Parameters and MACs are those of the net for inference, without auxiliary heads."""

    variant: str
    runs: int  # number of runs, one for each seed
    mean: float  # mean test accuracy of the epochs that are best on validation
    std: float  # sample standard deviation of these accuracies
    least: float
    most: float
    against_first: float  # mean difference from the first variant with the same seed
    params: int
    training_params: int  # parameters with auxiliary heads
    macs: int  # for one image
    epoch_seconds: float  # median of the epochs' training time, without each run's first epoch if there are others

    @property
    def spread(self) -> float:
        """The old name of `std`."""
        warn_of_old_name("Ablation.spread", "Ablation.std")
        return self.std


def ablation(recipe: Recipe, out: str | Path, *, seeds: int = 3, verbose: int | str = "auto") -> list[Ablation]:
    """Trains GoogLeNet with and without auxiliary heads, reduced modules and batch norm.

    The folder gets a run for each variant and seed, ablation.csv, ablation.md and ablation.png. If it was interrupted,
    call it again: it continues where it stopped. Finished runs cannot be given more epochs, because their states, which
    are large, are removed.

    Args:
        recipe: The recipe that all runs share, for `googlenet_cifar`. Its seed is the first of the seeds. A seed
            determines the weights, the order of the images and the validation split.
        out: The folder for the runs and the results.
        seeds: Number of runs of each variant, at least 2.
        verbose: As for `train`.

    Returns:
        A row for each variant.

    Raises:
        ValueError: If the recipe is for another model, the folder holds another kind of run, or for the reasons that
            `train` raises it.
        TypeError: If `recipe` is not a Recipe or `out` is not a path.
        OSError: If a file cannot be written.

    Examples:
        >>> rows = ablation(Recipe.load("googlenet_digits"), "runs/ablation")  # doctest: +SKIP
    """
    check_type("recipe", recipe, Recipe, "a Recipe (Recipe.load reads a file)")
    check_count("seeds", seeds, 2, 1000)
    verbose = check_verbose(verbose)
    if recipe.task != "classification":
        raise ValueError(f"The ablation is of classifiers, got a recipe of the task {recipe.task}.")
    if recipe.model != "googlenet_cifar":
        raise ValueError(f"The ablation is of googlenet_cifar, got a recipe for {recipe.model}.")
    out = check_path("out", out)
    check_kind(out, "ablation", resume=True)
    runs: dict[str, list[Result]] = {name: [] for name in VARIANTS}
    for seed in range(recipe.seed, recipe.seed + seeds):  # variants alternate, in case the speed of the computer drifts
        for name, options in VARIANTS.items():
            folder = out / f"{name.replace(' ', '_')}_{seed}"
            if verbose:
                print(folder)
            wanted = recipe.with_changes(options=options, seed=seed)
            go_on = command(out, "ablation")
            runs[name].append(run(wanted, folder, "train", resume=True, verbose=verbose, go_on=go_on))
            (folder / CHECKPOINTS / NEWEST).unlink(missing_ok=True)  # large, and a finished run does not need it
    accuracy = {name: [one.test_score for one in results] for name, results in runs.items()}
    first = next(iter(accuracy.values()))
    rows = [_row(name, runs[name], accuracy[name], first) for name in VARIANTS]
    write_csv(out / ABLATION, [asdict(row) for row in rows])
    with atomic_write(out / ABLATION_TABLE) as part:
        part.write_text(_table(rows))
    with atomic_write(out / ABLATION_CHART) as part:
        plot_spread(
            accuracy, part, title=f"{recipe.model}, {recipe.epochs} epochs, {seeds} seeds", label="test accuracy"
        )
    return rows


def _row(name: str, runs: list[Result], accuracy: list[float], first: list[float]) -> Ablation:
    net = keras.saving.load_model(runs[0].folder / MODEL, compile=False)
    with without_weights():
        whole_net = create_model(
            "googlenet_cifar", input_shape=net.input_shape[1:], classes=net.output_shape[-1], **VARIANTS[name]
        )
    seconds = []
    for one in runs:
        with (one.folder / TIMING).open(newline="") as file:
            times = [float(row["seconds"]) for row in csv.DictReader(file)]
        seconds += times[1:] or times
    return Ablation(
        variant=name,
        runs=len(runs),
        mean=statistics.mean(accuracy),
        std=statistics.stdev(accuracy),
        least=min(accuracy),
        most=max(accuracy),
        against_first=statistics.mean(a - b for a, b in zip(accuracy, first, strict=True)),
        params=net.count_params(),
        training_params=whole_net.count_params(),
        macs=profile(net).macs,
        epoch_seconds=statistics.median(seconds),
    )


def _table(rows: list[Ablation]) -> str:
    """The rows as a Markdown table."""
    lines = [
        "| GoogLeNet | test accuracy, mean ± standard deviation | minimum to maximum | difference from the first row"
        " | parameters | parameters in training | MMACs | seconds per epoch |",
        "|---|---|---|---|---|---|---|---|",
    ]
    lines += [
        f"| {row.variant} | {row.mean:.4f} ± {row.std:.4f} (n = {row.runs}) | {row.least:.4f} to {row.most:.4f} |"
        f" {round(row.against_first, 4) + 0.0:+.4f} | {row.params:,} | {row.training_params:,} | {row.macs / 1e6:.1f} |"
        f" {row.epoch_seconds:.1f} |"
        for row in rows
    ]
    return "\n".join(lines) + "\n"
