"""Background templates: made in a signal region by a density, mended and compared with the sidebands."""
