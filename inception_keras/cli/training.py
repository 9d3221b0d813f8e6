"""Runs: train, finetune, ablate."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from .options import Aux, Options
from .terminal import console, named_options, one_sentence, whole_numbers

if TYPE_CHECKING:
    from ..training.run import Result

app = typer.Typer(no_args_is_help=True)


@app.command()
def train(
    model: Annotated[str | None, typer.Argument(help="A model id; googlenet_cifar if no recipe has one.")] = None,
    out: Annotated[Path, typer.Option(help="The folder for the run; it must not hold one already.")] = Path("runs/run"),
    recipe: Annotated[
        str | None, typer.Option(help="A shipped recipe or a TOML file; what is given beside it overrides it.")
    ] = None,
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    data: Annotated[str | None, typer.Option(help="digits, mnist, fashion_mnist, cifar10 or cifar100.")] = None,
    data_dir: Annotated[
        Path | None, typer.Option(help="IDX files, CIFAR archives, a folder of images by class, and others.")
    ] = None,
    label: Annotated[str | None, typer.Option(help="The column of a CSV file that has the labels.")] = None,
    image_size: Annotated[
        int | None, typer.Option(help="Resize the images to this height and width, in pixels.")
    ] = None,
    weights: Annotated[
        str | None, typer.Option(help="What to start from: imagenet, another published set, or the folder of a run.")
    ] = None,
    freeze: Annotated[str | None, typer.Option(help="Blocks that stay as they are, as for finetune.")] = None,
    epochs: int | None = None,
    batch_size: Annotated[int | None, typer.Option(help="Images a step, on all devices together.")] = None,
    optimizer: Annotated[str | None, typer.Option(help="adam, adamw, rmsprop or sgd.")] = None,
    learning_rate: Annotated[float | None, typer.Option(help="The highest.")] = None,
    schedule: Annotated[str | None, typer.Option(help="constant, cosine, plateau, poly or step.")] = None,
    warmup_epochs: Annotated[float | None, typer.Option(help="Epochs in which the learning rate rises.")] = None,
    weight_decay: Annotated[float | None, typer.Option(help="A step takes this, times the rate, off weights.")] = None,
    label_smoothing: Annotated[float | None, typer.Option(help="Share of a label spread over all classes.")] = None,
    mixup: Annotated[float | None, typer.Option(help="Alpha of mixup; 0 for none.")] = None,
    cutmix: Annotated[float | None, typer.Option(help="Alpha of CutMix; 0 for none.")] = None,
    augment: Annotated[str | None, typer.Option(help="none, shift or crop.")] = None,
    flip: Annotated[bool | None, typer.Option("--flip/--no-flip", help="Mirror half of the images.")] = None,
    ema: Annotated[float | None, typer.Option(help="Momentum of the average of the weights; 0 for none.")] = None,
    aux_weight: Annotated[float | None, typer.Option(help="Weight of each auxiliary loss.")] = None,
    patience: Annotated[int | None, typer.Option(help="Stop after so many epochs without a better one.")] = None,
    precision: Annotated[str | None, typer.Option(help="float32, mixed_float16 or mixed_bfloat16.")] = None,
    devices: Annotated[int | None, typer.Option(help="Devices of this machine that share the work.")] = None,
    sync_batch_norm: Annotated[
        bool | None, typer.Option("--sync-batch-norm/--no-sync-batch-norm", help="Batch norm over all devices.")
    ] = None,
    max_bad: Annotated[float | None, typer.Option(help="Share of unreadable images that stops the run.")] = None,
    seed: int | None = None,
    deterministic: Annotated[
        bool | None, typer.Option("--deterministic/--no-deterministic", help="TensorFlow's op determinism.")
    ] = None,
    save_minutes: Annotated[float | None, typer.Option(help="Minutes between saves within an epoch.")] = None,
    device: Annotated[str | None, typer.Option(help="auto, cpu, gpu or /GPU:0.")] = None,
    keep: Annotated[str | None, typer.Option(help="Epochs whose weights are kept, such as 5,10,15.")] = None,
    option: Options = None,
    aux: Aux = False,
) -> None:
    """Trains a model; the folder gets the model, its figures and its pictures."""
    given = {name: value for name, value in locals().items() if value is not None}
    with one_sentence():
        from ..training.recipe import Recipe
        from ..training.run import train as run

        others = ("out", "recipe", "resume", "option", "aux")  # the rest are fields of a recipe, by their names
        changes: dict[str, Any] = {name: value for name, value in given.items() if name not in others}
        if option or aux:
            changes["options"] = named_options(option) | ({"aux": True} if aux else {})
        if data_dir:
            changes["data_dir"] = str(data_dir)
        if keep is not None:
            changes["keep"] = tuple(whole_numbers(keep, ","))
        base = Recipe.load(recipe) if recipe else Recipe()
        wanted = base.with_changes(**changes) if recipe or changes else None
        _tell(run(wanted, out, resume=resume, verbose=1))


@app.command()
def finetune(
    data_dir: Annotated[Path, typer.Option(help="A folder of images by class, or other data that `train` takes.")],
    model: Annotated[str, typer.Option(help="A model id; only the weights of squeezenet1_1 need no network.")] = (
        "squeezenet1_1"
    ),
    out: Annotated[Path, typer.Option(help="The folder for the run; it must not hold one already.")] = Path("runs/run"),
    weights: Annotated[str, typer.Option(help="Published weights, or the folder of a run.")] = "imagenet",
    freeze: Annotated[
        str,
        typer.Option(
            help="What the second stage leaves as it is: early (all but the last resolution), all, none, "
            "'up to BLOCK', or a shell pattern of blocks."
        ),
    ] = "early",
    linear: Annotated[bool, typer.Option("--linear", help="A linear classifier on fixed features: much faster.")] = (
        False
    ),
    resume: Annotated[bool, typer.Option("--resume", help="Go on with the run in the folder.")] = False,
    image_size: Annotated[int | None, typer.Option(help="Height and width; the weights' own if not given.")] = None,
    epochs: Annotated[int, typer.Option(help="Of each of the two stages.")] = 10,
    batch_size: int = 16,
    learning_rate: Annotated[float, typer.Option(help="Of the first stage; the second has a tenth.")] = 2e-3,
    seed: int = 0,
    device: Annotated[str, typer.Option(help="auto, cpu, gpu or /GPU:0.")] = "auto",
) -> None:
    """Trains a net with ImageNet weights on your photographs; evaluate and predict take the folder."""
    with one_sentence():
        from ..training.finetune import finetune as run
        from ..training.recipe import Recipe

        recipe = Recipe(
            model=model,
            weights=weights,
            freeze=None if freeze == "none" else freeze,
            data=None,
            data_dir=str(data_dir),
            image_size=image_size,
            epochs=epochs,
            batch_size=batch_size,
            learning_rate=learning_rate,
            seed=seed,
            device=device,
        )
        _tell(run(recipe, out, linear=linear, resume=resume, verbose=1))


@app.command()
def ablate(
    recipe: Annotated[str, typer.Option(help="A recipe for googlenet_cifar.")] = "googlenet_digits",
    data_dir: Annotated[Path | None, typer.Option(help="A folder of the recipe's data.")] = None,
    epochs: int | None = None,
    learning_rate: Annotated[float | None, typer.Option(help="In place of the recipe's.")] = None,
    seeds: Annotated[int, typer.Option(help="Runs of each variant.")] = 3,
    out: Annotated[Path, typer.Option(help="The folder for the runs and what they came to.")] = Path("runs/ablation"),
) -> None:
    """GoogLeNet with and without auxiliary heads, reduced modules, batch norm; called again it goes on."""
    with one_sentence():
        from ..training.ablation import ablation
        from ..training.recipe import Recipe

        changes = {
            "epochs": epochs,
            "learning_rate": learning_rate,
            "data_dir": str(data_dir) if data_dir else None,
        }
        base = Recipe.load(recipe).with_changes(**{name: value for name, value in changes.items() if value is not None})
        table = Table("", "test accuracy", "spread", "parameters", "MMACs", "s an epoch", box=None)
        table.columns[0].no_wrap = True
        for row in ablation(base, out, seeds=seeds, verbose=2):
            figures = (f"{row.mean:.4f}", f"{row.spread:.4f}", f"{row.params:,}", f"{row.macs / 1e6:.1f}")
            table.add_row(row.variant, *figures, f"{row.epoch_seconds:.1f}")
        console.print(table, f"{out / 'ablation.png'}, ablation.md, ablation.csv")


def _tell(result: "Result") -> None:
    """The figures of a run."""
    table = Table("epoch", "val loss", "val accuracy", "test loss", "test accuracy", "", box=None)
    for row in result.rows:
        figures = [f"{value:.4f}" for name, value in row.items() if name not in ("epoch", "best")]
        table.add_row(str(row["epoch"]), *figures, "best on val" if row["best"] else "")
    console.print(table)
    if result.skipped:
        console.print(f"{len(result.skipped)} images were left out:", *result.skipped, sep="\n  ", soft_wrap=True)
    console.print(
        f"{result.folder}: model.keras of epoch {result.best_epoch}, test accuracy {result.test_accuracy:.4f}"
    )
