"""A hunt with a feature that counts something has the power of the same hunt with the feature smeared by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
from conftest import toy_table
from test_call import ASK, LIGHT

import cathode


def test_a_count_is_as_good_as_a_smeared_count(caplog):
    """Constituents of jets, more of them in the signal. As it is, the feature is named as one that no density can describe."""
    rng = np.random.default_rng(5)
    table = toy_table(15000, 260, 5)
    table["n"] = np.where(table.label == 1, rng.poisson(12, len(table)), rng.poisson(5, len(table)))
    keys = {**ASK, **LIGHT, "features": ["b", "c", "n"], "working_points": (0.05,), "cores": 2}
    hunted = cathode.hunt(table, **keys, discrete=["n"])
    assert not caplog.records
    by_hand = cathode.hunt(table.assign(n=table.n + rng.uniform(-0.5, 0.5, len(table))), **keys)
    assert by_hand.z > 3
    assert abs(hunted.z - by_hand.z) < 0.25 * by_hand.z
    assert pd.Series(np.round(hunted.events.features[:, 2])).isin(np.arange(40)).all()
    raw = cathode.hunt(table, **keys)
    assert "n: takes" in caplog.text
    assert any("n: takes" in doubt for doubt in raw.summary.intake.doubts)
