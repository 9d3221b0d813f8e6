"""`python -m inception_keras` is `inception-keras`."""

from .cli import app

app()
