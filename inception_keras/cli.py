"""The command line: what a user types becomes a call of the library, and its result a table or a line."""

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.table import Table

from .terminal import built, console, named_options, one_sentence, printable, whole_numbers

if TYPE_CHECKING:
    from .training.run import Result

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on this machine are not ours
app = typer.Typer(help="GoogLeNet and the classic convolutional nets in Keras 3.", no_args_is_help=True)
data_app = typer.Typer(help="Data sets.", no_args_is_help=True)
app.add_typer(data_app, name="data")

Model = Annotated[str, typer.Argument(help="A model id; `inception-keras list` shows them.")]
Options = Annotated[
    list[str] | None,
    typer.Option("--option", "-o", metavar="NAME=VALUE", help="An option of the model: -o aux=true -o classes=10"),
]
Input = Annotated[str | None, typer.Option("--input", metavar="HxWxC", help="Input shape, such as 299x299x3.")]
Aux = Annotated[bool, typer.Option("--aux", help="With auxiliary heads; short for -o aux=true.")]


@app.command("list")
def list_(pattern: Annotated[str, typer.Argument(help="A shell pattern.")] = "*", year: int | None = None) -> None:
    """The models: paper, figures, smallest input."""
    from .zoo import ZOO, list_models

    table = Table(box=None, header_style="bold", padding=(0, 1, 0, 0))
    for title in ("model", "year", "parameters", "GMACs", "top-1", "top-5", "input", "least", "paper"):
        table.add_column(title, justify="left" if title in ("model", "paper") else "right", no_wrap=title != "paper")
    for id in list_models(pattern, year=year):
        entry = ZOO[id]
        accuracy = [f"{value:.2f}" if value else "" for value in (entry.top1, entry.top5)]
        figures = (
            str(entry.year),
            f"{entry.params:,}",
            f"{entry.gmacs:.3f}",
            *accuracy,
            str(entry.image),
            str(entry.least),
        )
        table.add_row(id, *figures, entry.paper.rpartition(", ")[2].removeprefix("arXiv:"))
    console.print(table if table.row_count else f"No model matches {pattern!r}.")


@app.command()
def show(model: Model, option: Options = None, input: Input = None, aux: Aux = False) -> None:
    """A model block by block: output shape, parameters, MACs, activations."""
    with one_sentence():
        from .analysis.profile import summary

        summary(built(model, option, input, aux), by="block")


@app.command()
def profile(
    model: Model,
    option: Options = None,
    input: Input = None,
    aux: Aux = False,
    csv: Annotated[Path | None, typer.Option(help="Write the rows to this file as well.")] = None,
) -> None:
    """A model layer by layer: output shape, parameters, MACs, activations."""
    with one_sentence():
        from .analysis.profile import profile, summary

        net = built(model, option, input, aux)
        summary(net)
        if csv:
            profile(net).to_csv(csv)


@app.command()
def plot(
    model: Model,
    out: Annotated[
        Path | None, typer.Option("--out", help="A .png, .svg or .pdf file; MODEL.png if not given.")
    ] = None,
    layers: Annotated[bool, typer.Option("--layers", help="Every layer, by Graphviz, instead of blocks.")] = False,
    option: Options = None,
    input: Input = None,
    aux: Aux = False,
) -> None:
    """A picture of a model."""
    with one_sentence():
        from .analysis.diagrams import plot_blocks, plot_model

        path = out or Path(f"{model}.png")
        path.parent.mkdir(parents=True, exist_ok=True)
        (plot_model if layers else plot_blocks)(built(model, option, input, aux), path)
        console.print(f"{path}")


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
        from .training.recipe import Recipe
        from .training.run import train as run

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
        from .training.finetune import finetune as run
        from .training.recipe import Recipe

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
        from .training.ablation import ablation
        from .training.recipe import Recipe

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


@app.command()
def evaluate(
    run: Annotated[Path, typer.Argument(help="A folder that `train` left.")],
    data: Annotated[str | None, typer.Option(help="Another data set with the same classes.")] = None,
    data_dir: Annotated[Path | None, typer.Option(help="A folder of data with the same classes.")] = None,
) -> None:
    """A run's model on the test set: accuracy, a row for each class, confusion.png."""
    with one_sentence():
        from .training.evaluate import evaluate

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
        from .training.evaluate import predict

        for path, names in zip(photo, predict(photo, run=run, model=model, top=top), strict=True):
            console.print(f"[bold]{path}[/bold]")
            for name, score in names:
                console.print(f"  {score:.4f}  {name}", highlight=False)


@data_app.command("check")
def check(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="A folder of data, as for `train --data-dir`.")],
    label: Annotated[str | None, typer.Option(help="The column of a CSV file that has the labels.")] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the problems to this file as well.")] = None,
) -> None:
    """Every image that is broken, misnamed or a duplicate, and a row for each class; ends with 1 if there is any."""
    with one_sentence():
        from .data.check import check_data

        found = check_data(folder, label=label)
        if csv:
            found.to_csv(csv)
        if found.problems:
            table = Table("problem", "image", "", box=None, header_style="bold", padding=(0, 1, 0, 0))
            for problem in found.problems:
                table.add_row(problem.kind, printable(problem.image), printable(problem.detail))
            console.print(table, "")
        counts = [name for name in found.classes[0] if name not in ("class", "smallest", "largest")]
        table = Table("class", box=None, header_style="bold", padding=(0, 1, 0, 0))
        for name in (*counts, "smallest", "largest"):
            table.add_column(name, justify="right")
        for row in found.classes:
            sizes = ("x".join(map(str, row[name] or ())) for name in ("smallest", "largest"))
            table.add_row(printable(row["class"]), *(f"{row[part]:,}" for part in counts), *sizes)
        images = sum(row[part] for row in found.classes for part in counts)
        console.print(table, f"\n{images:,} images in {len(found.classes)} classes, {len(found.problems):,} problems")
    if found.problems:
        raise typer.Exit(1)


@app.command()
def convert(
    weights: Annotated[str, typer.Argument(help="A .pth, .safetensors, .h5 or .onnx file, an address, or `imagenet`.")],
    model: Annotated[str, typer.Option("--model", "-m", help="The model id.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="The .safetensors file to write.")],
    aux: Aux = False,
) -> None:
    """Turns weights of torchvision, timm, Keras or Caffe into a file of ours."""
    with one_sentence():
        from .weights.store import save_weights
        from .zoo import create_model

        if out.suffix != ".safetensors":
            raise ValueError(f"--out must end in .safetensors, got {out.name}.")
        options: dict[str, Any] = {"aux": True} if aux else {}
        save_weights(create_model(model, weights=weights, **options), out)
        console.print(f"{out}")


@app.command()
def bench(
    ids: Annotated[list[str] | None, typer.Argument(help="Model ids.")] = None,
    data: Annotated[
        Path | None, typer.Option(help="In place of nets, decode and augment this folder of images by class.")
    ] = None,
    against: Annotated[
        str | None, typer.Option(help="torchvision or timm; whichever has the net if not given.")
    ] = None,
    csv: Annotated[Path | None, typer.Option(help="Write the figures to this file as well.")] = None,
    batch: Annotated[int, typer.Option(help="Images a batch in inference; 0 leaves it out.")] = 32,
    train_batch: Annotated[int, typer.Option(help="Images a batch in training; 0 leaves it out.")] = 16,
    size: Annotated[int | None, typer.Option(help="Height and width of the images, in pixels.")] = None,
    rounds: Annotated[int, typer.Option(help="Turns of each library.")] = 5,
) -> None:
    """Speed beside torchvision's and timm's nets, or torchvision's loader: images a second, ratio, peak memory."""
    with one_sentence():
        from dataclasses import asdict

        from .deploy.bench import bench as measure
        from .training.loop import write_csv

        if bool(ids) == bool(data):
            raise ValueError("bench needs model ids, or --data with a folder of images.")
        rows = []
        if data:
            from .deploy.bench_data import bench_data

            made = bench_data(data, size=size or 224, batch=batch, rounds=rounds)
            console.print(
                f"{made.folder}: {made.images:,} images, {made.ours:.1f} {made.theirs:.1f} images/s  x {made.ratio:.2f}"
                f"  torchvision with {made.workers} workers",
                highlight=False,
                soft_wrap=True,
            )
            if csv:
                write_csv(csv, [asdict(made)])
        for speed in measure(
            ids or [], against=against, batch=batch, train_batch=train_batch, size=size, rounds=rounds
        ):
            console.print(
                f"{speed.model:20} {speed.work:9} {speed.ours:8.1f} {speed.theirs:8.1f} images/s  x {speed.ratio:.2f}"
                f"  {speed.ours_mib:6,} {speed.theirs_mib:6,} MiB  {speed.reference}",
                highlight=False,
                soft_wrap=True,
            )
            rows.append(asdict(speed))
            if csv:
                write_csv(csv, rows)


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
