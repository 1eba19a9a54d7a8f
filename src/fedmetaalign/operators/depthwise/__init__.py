"""Convolutions over time with one filter a channel, perhaps with a ReLU."""
