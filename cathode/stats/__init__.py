"""Statistics: significances, variance components, workspaces. Functions of numbers; no events, no files."""
