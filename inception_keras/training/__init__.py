"""Compiling, running and evaluating; devices."""
