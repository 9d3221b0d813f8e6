"""Weights by name: the store, the readers of other libraries' files, published weights."""
