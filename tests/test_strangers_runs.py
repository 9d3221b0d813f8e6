"""Runs as users handle them: started in one process, resumed, extended, broken or stopped in others."""

import hashlib
import json
import shutil
import signal
from pathlib import Path

import numpy as np
import outside
import pytest
from PIL import Image
from runs import difference

# commands in one new process: (exit code, what was printed) of each
COMMANDS = """
import json, os, signal, sys
from typer.testing import CliRunner
from inception_keras.cli import app

def run(*words):
    done = CliRunner().invoke(app, [str(word) for word in words])
    fault = done.exception if not isinstance(done.exception, SystemExit) else None
    return [done.exit_code, " ".join(done.output.split()) + (f" UNEXPECTED {fault!r}" if fault else "")]

LENET = ("lenet5_modern", "--batch-size", 512)
said = {}
"""


def photos(folder, count=12, shade=0):
    """A folder of images by class, 32 x 32 PNGs."""
    random = np.random.default_rng(0)
    for number, name in enumerate(("cat", "cow", "dog")):
        (folder / name).mkdir(parents=True)
        for i in range(count):
            pixels = random.integers(0, 100, (32, 32, 3), "uint8") + np.uint8(70 * number + shade)
            Image.fromarray(pixels).save(folder / name / f"{i}.png")
    return folder


def commands(code, cwd, **options):
    """Runs a piece of code in a new process and returns the result of each of its `said` commands."""
    text = f"{COMMANDS}\n{code}\nprint('SAID', json.dumps(said), flush=True)\n"
    return json.loads(outside.python(text, cwd, **options).rpartition("SAID ")[2].splitlines()[0])


def hashes(folder):
    return {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in folder.iterdir() if path.is_file()}


def test_what_is_mistyped_leaves_no_folder(tmp_path):
    photos(tmp_path / "photos")
    wrong = {
        "Unknown model 'googlnet'; did you mean googlenet": ("train", "googlnet"),
        "lenet5_modern has no option 'auks'": ("train", "lenet5_modern", "-o", "auks=1"),
        "'digit'": ("train", "--data", "digit"),
        "nowhere": ("train", "--data-dir", "nowhere"),
        "Unknown recipe 'lenet_mnist'": ("train", "--recipe", "lenet_mnist"),
        "There is no device 'gpu:7'; there are CPU:0": ("train", "--device", "gpu:7"),
        "device must be 'auto', 'cpu', 'gpu' or such as 'gpu:1', got 'nonsense'": ("train", "--device", "nonsense"),
        "of at least 31 x 31 pixels, got (8, 8, 1)": ("train", "googlenet", "--image-size", "8"),
        "squeezenet1_1 has no block 'fire_77'": ("finetune", "--data-dir", "photos", "--freeze", "up to fire_77"),
        "imagenot": ("finetune", "--data-dir", "photos", "--weights", "imagenot"),
        "got 'digits of'": ("ablate", "--data", "digits of"),
    }
    code = f"""
for sentence, words in {wrong!r}.items():
    said[sentence] = run(*words, "--out", "deep/new/run")
    said[sentence].append(os.path.exists("deep"))
"""
    for sentence, (status, text, is_there) in commands(code, tmp_path).items():
        assert status == 1 and sentence in text and text.count("error:") == 1, (sentence, text)
        assert not is_there, sentence


@pytest.fixture(scope="module")
def begun(tmp_path_factory):
    """Runs that another process started. The last one, a fine-tuning, was killed in its first stage."""
    home = tmp_path_factory.mktemp("home")
    photos(home / "photos")
    code = f"""{COMMANDS}
constant = (*LENET, "--schedule", "constant", "--ema", 0.9)
said["short"] = run("train", *constant, "--epochs", 1, "--keep", 1, "--out", "short")
said["long"] = run("train", *constant, "--epochs", 3, "--keep", 1, "--keep", "2,3", "--out", "long")
said["base"] = run("train", *LENET, "--data-dir", "photos", "--image-size", 32, "--epochs", 1, "--out", "base")
print("SAID", json.dumps(said), flush=True)

from inception_keras.training.distribute import Steps
Steps.train = lambda self, iterator: os.kill(os.getpid(), signal.SIGKILL)
run("finetune", "--model", "lenet5_modern", "--weights", "base", "--data-dir", "photos", "--image-size", 32,
    "--epochs", 1, "--freeze", "up to c3", "--optimizer", "sgd", "--augment", "none", "--no-flip",
    "--max-unreadable", 0.2, "--keep", 1, "--weight-decay", 0.01, "--label-smoothing", 0.1, "--precision", "float32",
    "--out", "tuned")
"""
    text = outside.python(code, home, status=-signal.SIGKILL)
    said = json.loads(text.rpartition("SAID ")[2].splitlines()[0])
    assert all(code == 0 for code, _ in said.values()), said
    return home


@pytest.fixture(scope="module")
def resumed(begun):
    """The same folders in a second process."""
    home = begun
    for name in ("short", "base"):
        shutil.copytree(home / name, home / f"{name}_before")
    before = hashes(home / "tuned" / "head")
    code = """
said["fewer"] = run("train", "--resume", "--epochs", 2, "--out", "long")
said["another"] = run("train", "--resume", "--learning-rate", 1, "--out", "long")
said["unchanged"] = run("train", "--resume", "--save-minutes", 5, "--out", "long")
said["more"] = run("train", "--resume", "--epochs", 3, "--keep", "2", "--out", "short")
said["more cosine"] = run("train", "--resume", "--epochs", 2, "--save-minutes", 5, "--out", "base")
said["again"] = run("train", *LENET, "--out", "short")
said["train on tuned"] = run("train", "--resume", "--out", "tuned")
said["train on head"] = run("train", "--resume", "--out", "tuned/head")
said["ablate on short"] = run("ablate", "--out", "short")
said["linear on tuned"] = run("finetune", "--linear", "--resume", "--data-dir", "photos", "--out", "tuned")
said["evaluate tuned"] = run("evaluate", "tuned")
"""
    said = commands(code, home)
    assert hashes(home / "tuned" / "head") == before and not (home / "tuned" / "config.json").exists()
    code = """
said["finetune"] = run("finetune", "--resume", "--out", "tuned")
said["linear on finished"] = run("finetune", "--linear", "--resume", "--out", "tuned")
said["train on finished"] = run("train", "--resume", "--out", "tuned")
said["finished"] = run("finetune", "--resume", "--out", "tuned")
said["evaluate"] = run("evaluate", "tuned")
"""
    return home, said | commands(code, home)


@pytest.mark.slow
def test_more_epochs_end_as_if_they_had_been_planned(resumed):
    home, said = resumed
    code, text = said["more"]
    assert code == 0, text
    assert "goes on to epoch 3; 1 were planned. It ends as one that was planned for 3 from the beginning." in text
    assert difference(home / "short", home / "long") == 0  # metrics.csv, test.csv, every checkpoint, the state
    config = json.loads((home / "short" / "config.json").read_text())
    assert config["recipe"]["epochs"] == 3 and config["recipe"]["keep_epochs"] == [1, 2]
    assert config["changes"] == [{"after_epoch": 1, "epochs": [1, 3], "keep_epochs": [[1], [1, 2]]}]


@pytest.mark.slow
def test_more_epochs_of_a_schedule_that_depends_on_them(resumed):
    home, said = resumed
    code, text = said["more cosine"]
    assert code == 0, text
    assert "From now on the cosine schedule is that of 2 epochs, with the learning rate 0.001 in epoch 2." in text
    assert "does not end as one that was planned for 2 from the beginning" in text
    before, after = ((home / name / "metrics.csv").read_text() for name in ("base_before", "base"))
    assert after.startswith(before) and len(after.splitlines()) == 3


@pytest.mark.slow
def test_only_what_is_given_is_compared(resumed):
    _, said = resumed
    assert said["unchanged"][0] == 0 and "The run in long is finished." in said["unchanged"][1]
    code, text = said["another"]
    assert code == 1 and "has another recipe: learning_rate 0.002, not 1.0." in text
    code, text = said["fewer"]
    assert code == 1 and "is planned for 3 epochs, got 2: it can get more, not fewer." in text
    code, text = said["again"]
    assert code == 1 and "short holds a run already" in text and "inception-keras train --resume --out short" in text


@pytest.mark.slow
def test_each_command_knows_the_kind_of_run(resumed):
    home, said = resumed
    for name in ("train on tuned", "train on head", "linear on tuned", "linear on finished", "train on finished"):
        code, text = said[name]
        assert code == 1 and "`inception-keras finetune --resume --out tuned`" in text, (name, text)
    code, text = said["ablate on short"]
    assert code == 1 and "short holds a run already, a training run, and not an ablation" in text
    code, text = said["evaluate tuned"]
    assert code == 1 and "tuned holds no finished run: it is in the first of two stages" in text
    for name in ("finetune", "finished", "evaluate"):
        assert said[name][0] == 0, said[name]
    first, second = (json.loads((home / "tuned" / part / "config.json").read_text()) for part in ("head", "."))
    assert (first["kind"], second["kind"]) == ("head", "finetune")
    assert second["recipe"]["weights"] == "head" and first["recipe"]["weights"] == "base"
    given = {
        "freeze": "up to c3",
        "optimizer": "sgd",
        "augment": "none",
        "flip": False,
        "max_unreadable": 0.2,
        "keep_epochs": [1],
    }
    given |= {"weight_decay": 0.01, "label_smoothing": 0.1, "precision": "float32", "epochs": 1}
    assert {name: second["recipe"][name] for name in given} == given
    assert second["recipe"]["learning_rate"] == pytest.approx(2e-4)


@pytest.mark.slow
def test_broken_folders_are_one_sentence(resumed):
    home, _ = resumed
    cases = {}

    def broken(name, change):
        shutil.copytree(home / "base", home / name)
        change(home / name)
        return cases.setdefault(name, {path.name for path in (home / name).iterdir()})

    def edit(change):
        def act(folder):
            config = json.loads((folder / "config.json").read_text())
            change(config)
            (folder / "config.json").write_text(json.dumps(config))

        return act

    def cut(name):
        return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-200])

    broken("config_cut", cut("config.json"))
    broken("no_classes", edit(lambda config: config.pop("class_names")))
    broken("few_classes", edit(lambda config: config["class_names"].pop()))
    broken("model_cut", cut("model.keras"))
    broken("model_gone", lambda folder: (folder / "model.keras").unlink())
    broken("config_gone", lambda folder: (folder / "config.json").unlink())
    broken("result_gone", edit(lambda config: config.pop("result")))
    broken("metrics_gone", lambda folder: (folder / "metrics.csv").unlink())
    broken("state_gone", lambda folder: (folder / "checkpoints" / "state.safetensors").unlink())
    broken("no_result_and_state", edit(lambda config: config.pop("result")))
    (home / "no_result_and_state" / "checkpoints" / "state.safetensors").unlink()
    broken("no_best", lambda folder: [path.unlink() for path in folder.glob("checkpoints/epoch*")])
    (home / "no_best" / "model.keras").unlink()
    code = f"""
for name in {list(cases)!r}:
    said["evaluate " + name] = run("evaluate", name)
    said["resume " + name] = run("train", "--resume", "--out", name)
said["more state_gone"] = run("train", "--resume", "--epochs", 9, "--out", "state_gone")
said["evaluate model_cut again"] = run("evaluate", "model_cut")
"""
    said = commands(code, home)
    for name in ("evaluate config_cut", "resume config_cut", "evaluate no_classes", "resume no_classes"):
        code, text = said[name]
        assert code == 1 and f"{name.split()[1]}/config.json is not a valid run configuration: it " in text, text
        assert "load_weights still reads" in text
    assert "few_classes/config.json has 2 class_names, but model.keras has 3 classes" in said["evaluate few_classes"][1]
    anew = "`inception-keras train --resume --out {}` writes it anew"
    code, text = said["evaluate model_cut"]
    assert code == 1 and "model_cut/model.keras is not a whole Keras file: " + anew.format("model_cut") in text
    code, text = said["evaluate model_gone"]
    assert code == 1 and "there is no model.keras in it; " + anew.format("model_gone") in text
    assert said["evaluate model_cut again"][0] == 0
    code, text = said["evaluate config_gone"]
    assert code == 1 and "there is no config.json, which has the classes: put back a copy of it" in text
    code, text = said["resume config_gone"]
    assert code == 1 and "config_gone holds a run whose config.json is missing: put back a copy of it" in text
    for name in ("model_cut", "model_gone", "result_gone", "metrics_gone", "state_gone"):
        assert said[f"resume {name}"][0] == 0, said[f"resume {name}"]
        assert {path.name for path in (home / name).iterdir()} >= {path.name for path in (home / "base").iterdir()}
        for table in ("metrics.csv", "test.csv"):
            assert (home / name / table).read_bytes() == (home / "base" / table).read_bytes()
    for name in ("more state_gone", "resume no_result_and_state"):
        code, text = said[name]
        assert code == 1 and "checkpoints/state.safetensors" in text and "is not there" in text, text
    code, text = said["resume no_best"]
    assert code == 1 and "no_best/model.keras is missing or broken, and so is no_best/checkpoints/epoch_00" in text
    assert all("UNEXPECTED" not in text for _, text in said.values()), said


def test_other_backends_of_keras_are_one_sentence(tmp_path):
    words = ["train", "lenet5_modern", "--out", "deep/run"]
    text = outside.command(*words, cwd=tmp_path, status=1, KERAS_BACKEND="jax")
    assert "error: This command needs Keras's TensorFlow backend, got 'jax' from the environment variable" in text
    assert "Traceback" not in text and not (tmp_path / "deep").exists()
    code = """
import inception_keras as ik
for name in ("train", "finetune", "load_data", "evaluate", "predict", "ablation", "device", "strategy"):
    try:
        getattr(ik, name)
    except ImportError as error:
        print(error)
"""
    text = outside.python(code, tmp_path, KERAS_BACKEND="torch")
    assert text.count("needs Keras's TensorFlow backend, got 'torch'") == 8


def test_ctrl_c_saves_and_says_how_to_go_on(tmp_path):
    code = """
import os, signal, threading, time
from inception_keras.cli import app

def press():
    while not os.path.exists("run/metrics.csv"):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGINT)

threading.Thread(target=press, daemon=True).start()
app(["train", "lenet5_modern", "--epochs", "500", "--batch-size", "512", "--out", os.path.abspath("run")])
"""
    text = " ".join(outside.python(code, tmp_path, status=130).split())
    assert "Ctrl-C: the run ends after this step, saved. Press it again to end at once." in text
    assert "Ctrl-C: the run is saved at " in text
    assert f"`inception-keras train --resume --out {tmp_path / 'run'}` goes on from there." in text
    assert "Traceback" not in text
    assert (tmp_path / "run" / "checkpoints" / "state.safetensors").is_file()


@pytest.mark.slow
def test_a_second_ctrl_c_ends_at_once(tmp_path):
    code = """
from inception_keras.training.distribute import Steps

step = Steps.train

def train(self, iterator):
    os.kill(os.getpid(), signal.SIGINT)
    os.kill(os.getpid(), signal.SIGINT)
    raise AssertionError("the step went on")

Steps.train = train
said["ended"] = run("train", *LENET, "--epochs", 1, "--out", "run")
Steps.train = step
said["resumed"] = run("train", "--resume", "--out", "run")
"""
    said = commands(code, tmp_path)
    status, text = said["ended"]
    assert status == 130 and "saved" not in text and "UNEXPECTED" not in text
    assert said["resumed"][0] == 0, said["resumed"]


@pytest.mark.slow
def test_ctrl_c_in_python_is_a_keyboard_interrupt(tmp_path):
    """As in a notebook: the old signal handler is restored, and the run can be resumed in the same process."""
    code = """
import os, signal, threading
import inception_keras as ik
from inception_keras.training.distribute import Steps

before, step, done = signal.getsignal(signal.SIGINT), Steps.train, []

def train(self, iterator):
    done.append(1)
    if len(done) == 2:
        os.kill(os.getpid(), signal.SIGINT)
    return step(self, iterator)

Steps.train = train
recipe = ik.Recipe(model="lenet5_modern", epochs=2, batch_size=512)
try:
    ik.train(recipe, "run", verbose=0)
except KeyboardInterrupt as error:
    print(error)
print(signal.getsignal(signal.SIGINT) is before)
print(ik.train(recipe, "run", resume=True, verbose=0).rows[-1]["epoch"])
thread = threading.Thread(target=lambda: print(ik.train(recipe, "other", verbose=0).rows[-1]["epoch"]))
thread.start()
thread.join()
"""
    text = outside.python(code, tmp_path).splitlines()
    assert text[0].startswith("Ctrl-C: the run is saved at step 2 of epoch 1 in run;")
    assert text[1:4] == ["True", "2", "2"]  # what TensorFlow says follows


@pytest.mark.slow
def test_an_old_folder_still_works(tmp_path):
    """Version 0.1 wrote no kind, paths or fingerprint, and removed the state at the end."""
    outside.command("train", "lenet5_modern", "--epochs", 1, "--batch-size", 512, "--out", "run", cwd=tmp_path)
    path = tmp_path / "run" / "config.json"
    config = json.loads(path.read_text())
    path.write_text(json.dumps({name: config[name] for name in config if name not in ("kind", "paths", "data")}))
    (tmp_path / "run" / "checkpoints" / "state.safetensors").unlink()
    code = """
said["evaluate"] = run("evaluate", "run")
said["resume"] = run("train", "--resume", "--out", "run")
said["finetune"] = run("finetune", "--resume", "--out", "run")
said["more"] = run("train", "--resume", "--epochs", 2, "--out", "run")
"""
    said = commands(code, tmp_path)
    assert said["evaluate"][0] == said["resume"][0] == 0, said
    assert said["finetune"][0] == 1 and "run holds a run already, a training run" in said["finetune"][1]
    assert said["more"][0] == 1 and "version 0.1 and ablations remove it" in said["more"][1]


def test_wrong_objects_and_numbers_are_one_sentence(tmp_path):
    import inception_keras as ik

    for fields in (
        {"device": "nonsense"},
        {"epochs": 10**12},
        {"batch_size": 2**40},
        {"seed": 2**40},
        {"learning_rate": 1e300},
        {"weight_decay": 1e300},
        {"image_size": 10**9},
        {"devices": 10**9},
        {"keep_epochs": [10**30]},
        {"mixup": 1e300},
        {"optimizer": ["adam"]},
        {"data_dir": 3},
    ):
        with pytest.raises(ValueError, match=next(iter(fields)).replace("keep_epochs", "kept epoch")) as error:
            ik.Recipe(**fields)
        assert len(str(error.value)) < 200
    recipe, model = ik.Recipe(), ik.create_model("lenet5_modern")
    data = ik.load_data("digits").validation
    calls = {
        "recipe must be a Recipe": [
            lambda: ik.train("googlenet_digits", tmp_path / "run"),
            lambda: ik.finetune({"model": "lenet5"}, tmp_path / "run"),
            lambda: ik.ablation(None, tmp_path / "run"),
        ],
        "out must be a path": [lambda: ik.train(recipe, None), lambda: ik.finetune(recipe, 3)],
        "model must be a Keras model": [
            lambda: ik.extract_features("squeezenet1_1", data),
            lambda: ik.Steps(None, ik.strategy(), ()),
        ],
        "dataset must be a tf.data.Dataset": [lambda: ik.extract_features(model, [1, 2])],
        "must be compiled": [lambda: ik.Steps(model, ik.strategy(), ())],
        "strategy must be a strategy": [lambda: ik.Steps(model, "mirrored", ())],
        "devices must be an int": [lambda: ik.strategy("2"), lambda: ik.strategy(True)],
        "at most 64 logical devices": [lambda: ik.strategy(10**6)],
    }
    for sentence, wrong in calls.items():
        for call in wrong:
            with pytest.raises((TypeError, ValueError), match=sentence):
                call()
    assert not list(Path(tmp_path).iterdir())
