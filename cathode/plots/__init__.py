"""Figures from results. Functions return files by name; they read nothing and know no folder."""
