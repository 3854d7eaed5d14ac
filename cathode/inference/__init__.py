"""From scores to significances: counts, closure, background, and what a hunt says."""
