"""Convolutions over time, perhaps with a ReLU; activations are (steps, channels), row by row."""
