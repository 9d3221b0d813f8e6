"""The command `inception-keras`, with one file for each group of commands."""

from .app import app

__all__ = ["app"]
