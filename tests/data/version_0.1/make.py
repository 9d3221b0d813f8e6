"""Makes the runs of this folder with version 0.1 of the package, see README.md; today's tests import `tiny`."""

import os
import signal
import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

RECIPE = {"model": "tiny", "options": {"aux": True}, "batch_size": 256, "learning_rate": 0.01, "seed": 3}
FINISHED = RECIPE | {"epochs": 2, "ema": 0.5, "keep": (1,)}
INTERRUPTED = RECIPE | {"epochs": 3, "schedule": "constant", "weight_decay": 0.01, "label_smoothing": 0.1}


def build_tiny(input_shape=(32, 32, 1), *, aux=False, classes=10, classifier_activation="softmax", name="tiny"):
    """A net of 2,000 weights, so that the files of its runs are small."""
    import keras

    from inception_keras.blocks import classifier, conv, conv_bn, max_pool
    from inception_keras.layers import LocalResponseNormalization

    image = keras.Input(input_shape, name="image")
    x = conv_bn(image, 8, 5, 2, name="conv_1")
    x = LocalResponseNormalization(5, name="norm_1")(x)
    x = max_pool(x, 3, 2, name="pool_1")
    side = keras.layers.GlobalAveragePooling2D(name="aux_1-pool")(x)
    x = conv(x, 16, 3, name="conv_2")
    x = keras.layers.GlobalAveragePooling2D(name="pool_2")(x)
    outputs = {"predictions": classifier(x, classes, classifier_activation)}
    if not aux:
        return keras.Model(image, outputs["predictions"], name=name)
    outputs["aux_1"] = classifier(side, classes, classifier_activation, name="aux_1")
    return keras.Model(image, outputs, name=name)


def tiny():
    """Makes "tiny" a model id."""
    from inception_keras import zoo

    module = ModuleType("inception_keras.models.tiny")
    module.build_tiny = build_tiny
    sys.modules[module.__name__] = module
    zoo.ZOO["tiny"] = replace(zoo.ZOO["lenet5_modern"], builder="tiny:build_tiny", options={})


def main(out):
    """Trains a run to its end and another to its eighth step, a copy of which is then trained to its end."""
    import shutil

    import inception_keras as ik

    tiny()
    ik.train(ik.Recipe(**FINISHED), out / "finished", verbose=0)
    steps, train = 0, ik.Steps.train

    def stopped(self, iterator):
        nonlocal steps
        steps += 1
        if steps == 8:
            os.kill(os.getpid(), signal.SIGTERM)
        return train(self, iterator)

    ik.Steps.train = stopped
    try:
        ik.train(ik.Recipe(**INTERRUPTED), out / "interrupted", verbose=0)
    except SystemExit as end:
        print(end)
    shutil.copytree(out / "interrupted", out / "resumed")
    ik.train(None, out / "resumed", resume=True, verbose=0)
    for name in ("model.png", "curves.png", ".lock", "checkpoints/state_before.safetensors"):
        for run in ("finished", "interrupted"):
            (out / run / name).unlink(missing_ok=True)
    for path in sorted((out / "resumed").rglob("*"), reverse=True):  # only its tables are compared
        if path.name not in ("metrics.csv", "test.csv"):
            path.rmdir() if path.is_dir() else path.unlink()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
