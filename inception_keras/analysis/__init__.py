"""Tools that look at any keras.Model: profile, diagrams, curves."""
