"""Weakly supervised classifiers: what is trained against what, in folds, and the scores that come out."""
