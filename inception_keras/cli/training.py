"""Trains models: train, finetune, lr, ablate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from ..training.recipe import FINETUNE
from .options import Aux, Options
from .recipe_options import changes, recipe_of, recipe_options
from .terminal import console, report_errors, say

if TYPE_CHECKING:
    from ..training.run import Result

app = typer.Typer(no_args_is_help=True)

File = Annotated[
    str | None,
    typer.Option("--recipe", help="A shipped recipe or a TOML file; options on the command line take precedence."),
]
Resume = Annotated[
    bool,
    typer.Option("--resume", help="Continue the run in the folder with its own recipe; --epochs may add epochs."),
]
Verbose = Annotated[
    int | None,
    typer.Option(
        min=0, max=2, help="0 nothing, 1 a progress bar, 2 a line for each epoch; 1 by default on a terminal."
    ),
]
TensorBoard = Annotated[
    bool,
    typer.Option("--tensorboard", help="Also write the metrics of each epoch for TensorBoard, to OUT/tensorboard."),
]
Out = Annotated[Path, typer.Option(help="The folder for the run; without --resume, it must not hold one already.")]


@app.command()
@recipe_options({})
def train(
    model: Annotated[str | None, typer.Argument(help="A model id; googlenet_cifar if no recipe names another.")] = None,
    out: Out = Path("runs/run"),
    recipe: File = None,
    resume: Resume = False,
    tensorboard: TensorBoard = False,
    verbose: Verbose = None,
    option: Options = None,
    aux: Aux = False,
    **given: Any,
) -> None:
    """Trains a model.

    A folder gets the model, its metrics and its plots.
    """
    with report_errors():
        from ..training.run import train as run

        if model and model.isdecimal() and given["keep_epochs"]:
            raise ValueError(f"MODEL is {model!r}: --keep takes several epochs with commas, --keep 1,{model}.")
        changed = changes({"model": model, **given}, option, aux)
        wanted = recipe_of(recipe, {}, changed, out if resume else None)
        callbacks = _callbacks(tensorboard, out)
        _tell(run(wanted, out, resume=resume, callbacks=callbacks, verbose=_wanted(verbose)))


@app.command()
@recipe_options(FINETUNE)
def finetune(
    out: Out = Path("runs/run"),
    recipe: File = None,
    resume: Resume = False,
    linear: Annotated[
        bool, typer.Option("--linear", help="Train a linear classifier on fixed features, which is much faster.")
    ] = False,
    tensorboard: TensorBoard = False,
    verbose: Verbose = None,
    option: Options = None,
    aux: Aux = False,
    **given: Any,
) -> None:
    """Fine-tunes a net with ImageNet weights on your photographs.

    Use evaluate and predict with the folder of the run.

    The first of two stages trains a new classifier. The second trains all blocks except those of --freeze, at a tenth
    of --learning-rate. Each stage has --epochs epochs. Only the weights of squeezenet1_1 are in the package; those of
    other models are downloaded.
    """
    with report_errors():
        from ..training.finetune import finetune as run

        wanted = recipe_of(recipe, FINETUNE, changes(given, option, aux), out if resume else None)
        callbacks = _callbacks(tensorboard, out)
        _tell(run(wanted, out, linear=linear, resume=resume, callbacks=callbacks, verbose=_wanted(verbose)))


@app.command()
@recipe_options({})
def lr(
    recipe: Annotated[str | None, typer.Argument(help="A shipped recipe or a TOML file.")] = None,
    out: Annotated[Path, typer.Option(help="The plot; a table with the suffix .csv is written beside it.")] = (
        Path("lr.png")
    ),
    lowest: Annotated[float, typer.Option(help="The first learning rate.")] = 1e-6,
    highest: Annotated[float, typer.Option(help="The last learning rate.")] = 1.0,
    steps: Annotated[int, typer.Option(help="The largest number of steps.")] = 200,
    option: Options = None,
    aux: Aux = False,
    **given: Any,
) -> None:
    """Tries learning rates from small to large, and suggests one."""
    with report_errors():
        from ..checks import check_picture
        from ..training.learning_rate import find_learning_rate

        if check_picture("--out", out).is_dir():
            raise IsADirectoryError(f"{out} is a folder: --out names the picture to write.")
        wanted = recipe_of(recipe, {}, changes(given, option, aux))
        trial = find_learning_rate(wanted, lowest=lowest, highest=highest, steps=steps)
        say(f"--learning-rate {trial.suggestion:.2g} (the recipe has {wanted.learning_rate:.2g})")
        say(f"The loss falls fastest at {trial.steepest:.2g}; a tenth of where it is lowest is {trial.tenth:.2g}.")
        out.parent.mkdir(parents=True, exist_ok=True)
        trial.plot(out)
        trial.save_csv(out.with_suffix(".csv"))
        say(f"{out}, {out.with_suffix('.csv')}")


@app.command()
@recipe_options({})
def ablate(
    recipe: Annotated[str, typer.Option(help="A recipe for googlenet_cifar.")] = "googlenet_digits",
    seeds: Annotated[int, typer.Option(help="Number of runs of each variant.")] = 3,
    out: Annotated[Path, typer.Option(help="The folder for the runs and the results.")] = Path("runs/ablation"),
    verbose: Verbose = None,
    **given: Any,
) -> None:
    """Trains GoogLeNet with and without each of its ideas.

    These are the auxiliary heads, the modules with reduction and batch norm.

    Called again after an interruption, it continues.
    """
    with report_errors():
        from ..training.ablation import ablation
        from ..training.folder import ABLATION, ABLATION_CHART, ABLATION_TABLE

        wanted = recipe_of(recipe, {}, changes(given))
        table = Table("", "test accuracy", "std", "parameters", "MMACs", "s an epoch", box=None)
        table.columns[0].no_wrap = True
        for row in ablation(wanted, out, seeds=seeds, verbose=_wanted(verbose)):
            figures = (f"{row.mean:.4f}", f"{row.std:.4f}", f"{row.params:,}", f"{row.macs / 1e6:.1f}")
            table.add_row(row.variant, *figures, f"{row.epoch_seconds:.1f}")
        console.print(table)
        say(f"{out / ABLATION_CHART}, {ABLATION_TABLE}, {ABLATION}")


def _callbacks(tensorboard: bool, out: Path) -> list:
    from ..training.callbacks import tensorboard as for_tensorboard

    return [for_tensorboard(out)] if tensorboard else []


def _wanted(verbose: int | None) -> int | str:
    return "auto" if verbose is None else verbose


def _tell(result: "Result") -> None:
    """Prints the results of a run."""
    from ..training.folder import MODEL, kind_of

    score = result.score.replace("_", " ")
    unit = "fit" if kind_of(result.folder) == "linear" else "epoch"  # a linear classifier has a fit for each strength
    names = [name for name in result.rows[0] if name not in ("epoch", "best")]
    if len(names) > 6:  # a terminal has no room for all; they are in test.csv
        names = [f"{split}_{name}" for split in ("validation", "test") for name in ("loss", result.score)]
    titles = (name.replace("validation_", "val_").replace("_", " ") for name in names)
    table = Table(unit, *titles, "", box=None)
    for row in result.rows:
        figures = [f"{row[name]:.4f}" for name in names]
        table.add_row(str(row["epoch"]), *figures, "best on val" if row["best"] else "")
    console.print(table)
    if result.skipped:
        say(f"{len(result.skipped)} images were left out:", *(f"  {line}" for line in result.skipped))
    say(f"{result.folder}: {MODEL} of {unit} {result.best_epoch}, test {score} {result.test_score:.4f}")
