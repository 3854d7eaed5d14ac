"""The default hunt at full size: by the workflow and by the call, and what it finds."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

import cathode
from cathode import io
from cathode.config import load_config
from cathode.summary import Summary


@pytest.mark.demo
def test_workflow_and_call_say_the_same_of_the_demo(tmp_path: Path):
    run = subprocess.run(
        [sys.executable, "-P", "-m", "cathode", "demo"], capture_output=True, text=True, cwd=tmp_path, check=False
    )
    assert run.returncode == 0, run.stderr[-3000:]
    summary: Summary = io.read(tmp_path / "results" / "demo" / "summary.json", Summary)
    config = load_config({})
    found = cathode.hunt(  # one method, and the fast one: all of them are compared on a toy in tests/workflow
        cathode.load_demo(),
        mass="mjj",
        features=list(config.data.features),
        window=config.windows.signal_regions[0],
        range=config.windows.range,
        label="label",
        n_signal=360,
        methods=["cwola"],
        progress=False,
    )
    of_run = {(h.method, h.eps_bkg): h for h in summary.hunts}
    assert found.results == tuple(h for h in summary.hunts if h.method == "cwola")
    # 360 events, 2 standard deviations before any cut; another model of CPU moves z by less than 0.1
    assert 5.5 < (of_run["cathode", 0.01].z or 0) < 6.5
    assert summary.z_global is not None
    assert summary.z_global > 5.2
    assert (of_run["cwola", 0.1].z or 0) < 2
