"""Runs, their data and their initial weights are moved, and processes in other folders resume them."""

import json
import shutil

import pytest
from runs import difference
from test_strangers_runs import commands, photos

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def moved(tmp_path_factory):
    """Runs that were stopped in one folder, and the results of resuming them in another."""
    home = tmp_path_factory.mktemp("home")
    photos(home / "first" / "project" / "photos")
    (home / "second").mkdir()
    (home / "work").mkdir()
    code = """
from inception_keras.training.distribute import Steps

step, left = Steps.train, 0

def train(self, iterator):
    global left
    left -= 1
    if left == 0:
        os.kill(os.getpid(), signal.SIGTERM)
    return step(self, iterator)

def stopped(number, *words):
    global left
    left = number
    return run(*words)

Steps.train = train
fields = ("--data-dir", "photos", "--image-size", 32, "--batch-size", 8, "--epochs", 2)
said["straight"] = stopped(0, "train", "lenet5_modern", *fields, "--out", "runs/straight")
said["open"] = stopped(2, "train", "lenet5_modern", *fields, "--out", "runs/open")
tune = ("finetune", "--model", "lenet5_modern", "--weights", "runs/straight", "--freeze", "up to c3", *fields)
said["first"] = stopped(2, *tune, "--out", "runs/first")  # in its first stage
said["second"] = stopped(9, *tune, "--out", "runs/second")  # in its second
"""
    before = commands(code, home / "first" / "project")
    for name, copy in (("open", "open_again"), ("open", "python"), ("second", "second_again")):
        shutil.copytree(home / "first/project/runs" / name, home / "first/project/runs" / copy)
    (home / "first" / "project").rename(home / "second" / "elsewhere")
    code = """
import shutil
from pathlib import Path

import inception_keras as ik

runs = Path("../second/elsewhere/runs")
said["open there"] = run("train", "--resume", "--out", runs / "open")
said["first there"] = run("finetune", "--resume", "--out", runs / "first")
said["second there"] = run("finetune", "--resume", "--out", (runs / "second").resolve())
shutil.copytree(runs / "straight", runs / "seen")
said["evaluate there"] = run("evaluate", runs / "seen")
recipe = ik.Recipe(model="lenet5_modern", data_dir="photos", image_size=32, batch_size=8, epochs=2)
said["python there"] = [ik.train(recipe, runs / "python", resume=True, verbose=0).rows[-1]["epoch"], ""]
said["predict there"] = run("predict", "../second/elsewhere/photos/dog/1.png", "--run", runs / "second")

Path("../second/elsewhere/photos").rename("pictures")
said["finished without data"] = run("train", "--resume", "--out", runs / "straight")
said["gone"] = run("train", "--resume", "--out", runs / "open_again")
said["gone for evaluate"] = run("evaluate", runs / "seen")
shutil.copytree("pictures", "more")
shutil.copy("more/cat/1.png", "more/cat/new.png")
shutil.copytree("pictures", "renamed")
Path("renamed/cat/1.png").rename("renamed/cat/11x.png")
for name in ("more", "renamed"):
    said[name] = run("train", "--resume", "--data-dir", name, "--out", runs / "open_again")
said["evaluate moved"] = run("evaluate", "--data-dir", "pictures", runs / "seen")
Path("pictures/README.md").write_text("Photographs of three animals.")
said["found"] = run("train", "--resume", "--data-dir", "pictures", "--out", runs / "open_again")
(runs / "straight").rename("began")
said["second found"] = run("finetune", "--resume", "--data-dir", "pictures", "--out", runs / "second_again")
"""
    return home, before, commands(code, home / "work")


def test_a_run_goes_on_wherever_its_folder_is(moved):
    home, before, said = moved
    for name in ("open", "first", "second"):
        code, text = before[name]
        assert code == 0 and "SIGTERM: the run is saved at" in text, (name, text)
    for name in ("open there", "first there", "second there", "evaluate there", "predict there"):
        assert said[name][0] == 0, (name, said[name])
    assert said["python there"][0] == 2
    runs = home / "second" / "elsewhere" / "runs"
    assert difference(runs / "open", home / "work" / "began") == 0
    assert difference(runs / "first", runs / "second") == 0
    config = json.loads((runs / "open" / "config.json").read_text())
    assert config["paths"]["data_dir"] == str((home / "second/elsewhere/photos").resolve())


def test_data_are_found_by_their_content(moved):
    home, _, said = moved
    assert said["finished without data"][0] == 0, said["finished without data"]
    code, text = said["gone"]
    assert code == 1 and "/photos: say where they are now with --data-dir" in text
    code, text = said["gone for evaluate"]
    assert code == 1 and "/photos: say where they are now with --data-dir" in text
    assert said["evaluate moved"][1].split("accuracy")[1:] == said["evaluate there"][1].split("accuracy")[1:]  # of 8
    for name, sentence in (("more", "counts"), ("renamed", "names or sizes of files differ")):
        code, text = said[name]
        assert code == 1 and f"had other data than {name}: " in text and sentence in text, text
    for name in ("found", "second found"):
        assert said[name][0] == 0, (name, said[name])
    runs = home / "second" / "elsewhere" / "runs"
    assert difference(runs / "open_again", home / "work" / "began") == 0
    assert difference(runs / "second_again", runs / "second") == 0
