"""Weights by name: the store, readers for files of other libraries, and published weights."""
