"""Compiling, training and evaluating models; devices."""
