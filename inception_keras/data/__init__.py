"""Data sets, tf.data pipelines and the preprocessing of published weights."""
