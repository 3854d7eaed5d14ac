"""The script for a machine with a card, rehearsed on a CPU: a card is at hand for minutes only, and everything must be right before."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest
from conftest import ROOT

pytestmark = pytest.mark.demo  # minutes


@pytest.mark.skipif(sys.platform == "win32", reason="a shell script")
def test_the_gpu_script_runs_whole_and_small(tmp_path):
    out = tmp_path / "gpu.json"
    environment = os.environ | {"SIZE": "small", "OUT": str(out), "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
    environment |= {"SECONDS_MAX": "3600"}  # on a busy machine, too
    done = subprocess.run(
        [ROOT / "benchmarks" / "gpu.sh"], capture_output=True, text=True, env=environment, check=False, cwd=tmp_path
    )
    assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]
    found = json.loads(out.read_text())
    assert found["machine"]["device"] == "cpu"
    assert found["tests"]["exit_code"] == 0
    assert "passed" in found["tests"]["said"]
    trained = [entry for name, entry in found.items() if ", 1500 events" in name]
    assert len(trained) == 2 + 2 + 2 + 1  # densities with one and with four members, one network
    for entry in trained:
        assert 0.2 < entry["faster"] < 5  # one core beside one core: the scaling is right
    assert found["whole hunt, card"]["dry_run"]
    assert found["one window"]["wall_s"] > 0
    assert not list(tmp_path.glob("*.part"))


def test_the_full_script_wants_a_card(tmp_path):
    environment = os.environ | {"OUT": str(tmp_path / "gpu.json"), "PYTHON": sys.executable, "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(
        [ROOT / "benchmarks" / "gpu.sh"], capture_output=True, text=True, env=environment, check=False
    )
    assert done.returncode == 1
    assert "torch sees no card" in done.stderr
    assert not list(tmp_path.iterdir())
