"""The command line. Each command calls the library, and prints the result as a table or a line."""

import typer

from . import bench, data, inference, models, training, weights

app = typer.Typer(
    help="GoogLeNet and the classic convolutional nets in Keras 3.",
    no_args_is_help=True,
    rich_markup_mode=None,  # in a box, the columns of names and types leave little room for the text
    context_settings={"max_content_width": 120},
)
for commands in (models, training, inference, weights, bench):
    app.add_typer(commands.app)
app.add_typer(data.app, name="data", help="Data sets.")
