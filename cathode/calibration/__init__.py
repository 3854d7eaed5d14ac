"""Calibration: pseudo-experiments, and what they say about p-values and measured signals."""
