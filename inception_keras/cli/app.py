"""The command line: what a user types becomes a call of the library, and its result a table or a line."""

import os

import typer

from . import bench, data, inference, models, training, weights

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")  # TensorFlow's notes on this machine are not ours
app = typer.Typer(help="GoogLeNet and the classic convolutional nets in Keras 3.", no_args_is_help=True)
for commands in (models, training, inference, weights, bench):
    app.add_typer(commands.app)
app.add_typer(data.app, name="data", help="Data sets.")
