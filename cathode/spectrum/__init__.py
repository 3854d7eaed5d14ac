"""Smooth mass spectra: Poisson fits, the spectrum interpolated into a signal region, the mass fit behind a cut, the classical scan."""
