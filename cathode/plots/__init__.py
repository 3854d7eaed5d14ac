"""Figures from results. Functions return drawings; they read nothing and know no folder."""
