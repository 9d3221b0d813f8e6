"""Tools that inspect any `keras.Model`: profiles, diagrams, curves and feature maps."""
