from __future__ import annotations

import subprocess
import sys

import numpy as np
import pytest
from scipy import stats

from cathode.stats.tails import (
    chi2_sf,
    normal_isf,
    normal_logsf,
    normal_pdf,
    normal_sf,
    student_isf,
    student_pdf,
)

Z = np.array([-40.0, -8.0, -1.0, 0.0, 0.3, 5.0, 12.0, 37.0])
P = np.array([1e-300, 2.9e-7, 0.05, 0.5, 0.999])


@pytest.mark.parametrize(
    ("ours", "theirs"),
    [
        (normal_sf(Z), stats.norm.sf(Z)),
        (normal_logsf(Z), stats.norm.logsf(Z)),
        (normal_isf(P), stats.norm.isf(P)),
        (normal_pdf(Z, 1.7), stats.norm.pdf(Z, scale=1.7)),
        (chi2_sf(np.abs(Z) * 9, 4), stats.chi2.sf(np.abs(Z) * 9, 4)),
        (student_isf(P, 11.3), stats.t.isf(P, 11.3)),
        (student_pdf(Z, 2.5, 0.3), stats.t.pdf(Z, 2.5, scale=0.3)),
    ],
    ids=["sf", "logsf", "isf", "pdf", "chi2", "student isf", "student pdf"],
)
def test_they_are_scipy_s(ours, theirs):
    np.testing.assert_allclose(ours, theirs, rtol=1e-12)


def test_light_steps_do_not_pay_for_scipy_stats():
    light = "cathode.inference.closure, cathode.spectrum.scan, cathode.template.make, cathode.steps.summarise, cathode.intake.prepare"
    run = subprocess.run(
        [sys.executable, "-c", f"import sys, {light}; print('scipy.stats' in sys.modules)"],
        capture_output=True,
        text=True,
        check=True,
    )
    assert run.stdout.strip() == "False"
