"""A task outside the package, as docs/task.md shows it, and what is said about tasks that are none."""

import json
import re
import shutil
import signal
import sys
from pathlib import Path

import keras
import pytest
from outside import ROOT, command, fork, here, python
from runs import death_at_step, difference

import inception_keras as ik
from inception_keras.cli.recipe_options import changes
from inception_keras.training.task import load_task, task_of

PAGE = (ROOT / "docs" / "task.md").read_text()
MODULE, SCRIPT, OPTIONS = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
[RECIPE] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
[COMMANDS] = re.findall(r"```sh\n(.*?)```", PAGE, re.DOTALL)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """A working directory with the page's two files."""
    (tmp_path / "brightness.py").write_text(MODULE)
    (tmp_path / "brightness.toml").write_text(RECIPE)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [*sys.path])
    yield tmp_path
    sys.modules.pop("brightness", None)


def test_the_page_in_this_process(folder, capsys):
    exec(compile(SCRIPT, "docs/task.md", "exec"), {})
    assert " mae 0." in capsys.readouterr().out
    whole = folder / "runs" / "again"
    header, *rows = (whole / "metrics.csv").read_text().splitlines()
    assert header == "epoch,loss,mae,val_loss,val_mae,learning_rate" and len(rows) == 3
    assert (whole / "test.csv").read_text().startswith("epoch,best,validation_loss,validation_mae,test_loss,test_mae\n")
    result = ik.train(None, whole, resume=True, verbose=0)
    errors = [float(row.split(",")[4]) for row in rows]
    assert result.best_epoch == 1 + errors.index(min(errors)) and result.score == "mae"
    [row] = [row for row in result.rows if row["best"]]
    assert result.test_score == row["test_mae"]
    assert errors[-1] < 0.06  # a constant has 0.08

    said = here("evaluate", "runs/again", cwd=folder)
    assert f"mae {result.test_score:.4f} on 360 images of digits" in said
    said = here("predict", "runs/again/curves.png", "--run", "runs/again", cwd=folder, status=1)
    assert "predict cannot be used with runs/again: its task, brightness:TASK, has no predict." in said
    Path("brightness.py").rename("elsewhere.py")
    del sys.modules["brightness"]
    sentence = (
        f"The task brightness:TASK cannot be loaded: there is no module brightness in {folder} or on Python's path."
    )
    assert sentence in here("evaluate", "runs/again", cwd=folder, status=1)


@pytest.mark.slow
def test_a_killed_run_in_this_process(folder, capsys):
    recipe = ik.Recipe.load("brightness.toml")
    whole = ik.train(recipe, "runs/again", verbose=0).folder
    with death_at_step(15):  # the fourth of the second epoch
        ik.train(recipe.with_changes(save_minutes=1e-9), "runs/killed", verbose=0)
    capsys.readouterr()
    ik.train(None, "runs/killed", resume=True, verbose=2)
    assert re.search(r"Epoch 2/3 .* loss: \S+ - mae: \S+ - val_loss: \S+ - val_mae: \S+\n", capsys.readouterr().out)
    assert difference(folder / "runs" / "killed", folder / whole) == 0
    model = whole / "model.keras"
    kept = keras.models.load_model(model).get_weights()
    model.unlink()
    ik.train(None, whole, resume=True, verbose=0)
    for a, b in zip(kept, keras.models.load_model(model).get_weights(), strict=True):
        assert (a == b).all()


@pytest.mark.slow
def test_the_page_from_the_command_line(folder):
    train, resume, evaluate = (line.split()[1:] for line in COMMANDS.splitlines())
    python(SCRIPT, folder)
    code = f"""
import sys
sys.path.append({str(ROOT / "tests")!r})
from runs import die_at
from inception_keras.cli import app
die_at(60, kill=True)
app({[*train, "--save-minutes", "1e-9"]!r})
"""
    assert fork(code, folder)[0] == -signal.SIGKILL
    run = folder / "runs" / "brightness"
    assert list(run.glob("checkpoints/state*.safetensors")) and not (run / "test.csv").exists()
    assert "test mae 0." in command(*resume, cwd=folder)
    assert difference(run, folder / "runs" / "again") == 0
    assert re.search(r"mae 0\.\d{4} on 360 images of digits", command(*evaluate, cwd=folder))


def fine(**changes):
    """A recipe of a task in the module `tasks`, which a test writes."""
    return ik.Recipe(task="tasks:TASK", model="lenet5_modern", epochs=1, batch_size=512, **changes)


def test_tasks_that_are_none(folder):
    with pytest.raises(ValueError, match="Unknown task 'clasification'; did you mean classification"):
        ik.Recipe(task="clasification")
    for name in ("brightness:", "a b:TASK", ":TASK", "x.py:TASK()"):
        with pytest.raises(ValueError, match="A task outside the package is named 'module:OBJECT', got"):
            ik.Recipe(task=name)
    for text, sentence in {
        "": "The task tasks:TASK cannot be loaded: module 'tasks' has no attribute 'TASK'",
        "TASK = 3": "The task tasks:TASK must be an object of inception_keras.Task, got 3",
        "import no_such_module": "cannot be loaded: tasks needs the module no_such_module",
        "1 / 0": "cannot be loaded: ZeroDivisionError: division by zero",
        "def": "cannot be loaded: SyntaxError: invalid syntax",
    }.items():
        Path("tasks.py").write_text(text)
        shutil.rmtree("__pycache__", ignore_errors=True)
        sys.modules.pop("tasks", None)
        with pytest.raises(ValueError, match=re.escape(sentence)):
            ik.train(fine(), "runs/none", verbose=0)
        assert not Path("runs").exists()
    sys.modules.pop("tasks", None)


def test_what_a_recipe_of_a_task_may_have(folder):
    Path("tasks.py").write_text(
        MODULE + OPTIONS + '\nTASK = Task(score="mape", build=build, compile=compile, options=Options)'
    )
    sys.modules.pop("tasks", None)
    for fields, sentence in (
        ({"class_weight": "balanced"}, "The task tasks:TASK does not use class_weight, got 'balanced'."),
        ({"weights": "imagenet"}, "The task tasks:TASK does not use weights, got 'imagenet'."),
        ({"task_options": {"gama": 2}}, "The task tasks:TASK has no option 'gama'; did you mean gamma?"),
        ({"task_options": {"gamma": 0}}, "The options of the task tasks:TASK are not valid: gamma must be above 0"),
        ({}, "The task tasks:TASK must measure mape, but its metrics are loss, mae."),
    ):
        with pytest.raises(ValueError, match=re.escape(sentence)):
            ik.train(fine(**fields), "runs/none", verbose=0)
        assert not Path("runs").exists()
    assert changes({"task_options": ["gamma=2.2", "name=x,y"]})["task_options"] == {"gamma": 2.2, "name": "x,y"}
    recipe = fine(task_options={"gamma": 2.2})
    assert task_of(recipe).options_of(recipe).gamma == 2.2
    assert recipe.with_changes(epochs=2).task_options == {"gamma": 2.2}
    assert ik.Recipe.from_dict(json.loads(json.dumps(recipe.to_dict())), "here") == recipe
    for kind, sentence in ((ik.finetune, "finetune trains classifiers only"), (ik.ablation, "The ablation is of")):
        with pytest.raises(ValueError, match=f"{sentence}.* the task brightness:TASK"):
            kind(ik.Recipe(task="brightness:TASK", weights="imagenet"), "runs/none")
    with pytest.raises(ValueError, match="The task classification has no option 'gamma'; it has none"):
        task_of(ik.Recipe(task_options={"gamma": 1}))
    with pytest.raises(TypeError, match="score must be a text, got 3"):
        ik.Task(score=3, build=max, compile=max)
    with pytest.raises(TypeError, match="build must be a function, got None"):
        ik.Task(score="mae", build=None, compile=max)
    sys.modules.pop("tasks", None)


@pytest.mark.parametrize("name", ["build", "compile"])
def test_functions_that_return_no_model(name, folder):
    Path("tasks.py").write_text(
        f"{MODULE}\nTASK = Task(score='mae', **dict(build=build, compile=compile) | dict({name}=print))"
    )
    sys.modules.pop("tasks", None)
    with pytest.raises(TypeError, match=f"What {name} of the task tasks:TASK returns must be a Keras model, got None"):
        ik.train(fine(), "runs/none", verbose=0)
    assert not Path("runs").exists()


def test_the_old_names_of_scores_warn():
    from inception_keras.training.folder import Result

    result = Result(Path("run"), 1, 0.5, 0.25, (), ())
    with pytest.warns(DeprecationWarning, match="validation_accuracy is now called validation_score"):
        assert result.validation_accuracy == 0.5
    with pytest.warns(DeprecationWarning, match="test_accuracy is now called test_score"):
        assert result.test_accuracy == 0.25


def test_classification_is_a_task_like_others():
    assert load_task("classification") is load_task("inception_keras.training.tasks.classification:TASK")
