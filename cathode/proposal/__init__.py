"""A first configuration from a table alone: what its columns are, where to look, and a commented file that hunts unchanged."""
