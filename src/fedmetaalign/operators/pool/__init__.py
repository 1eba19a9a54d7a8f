"""The greatest or the mean of some steps of each channel."""
