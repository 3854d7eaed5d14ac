"""A run that is killed again and again ends with the bytes of one that was left alone."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pytest
import yaml
from conftest import ROOT, toy_table
from test_workflow import CONFIG, digests, snakemake

KILLS = 20


@pytest.mark.slow
def test_a_run_killed_at_twenty_random_moments_resumes_to_the_same_bytes(tmp_path):
    calm, stormy = tmp_path / "calm", tmp_path / "stormy"
    for folder in (calm, stormy):
        folder.mkdir()
        toy_table(12000, 150, 1).to_parquet(folder / "events.parquet")
    start = time.monotonic()
    assert snakemake(calm, "--cores", "2").returncode == 0
    length = time.monotonic() - start

    (stormy / "my.yaml").write_text(yaml.safe_dump(CONFIG))
    command = [sys.executable, "-m", "snakemake", "--snakefile", str(ROOT / "Snakefile"), "--directory", str(stormy)]
    command += ["--configfile", str(stormy / "my.yaml"), "--cores", "2"]
    moments, killed = random.Random(1), 0
    while killed < KILLS:
        with subprocess.Popen(
            command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, start_new_session=True
        ) as run:
            # engine start-up is some seconds; a kill must be able to fall into the last job as well as into the first
            time.sleep(moments.uniform(3, 3 + length / 5))
            if run.poll() is not None:
                (stormy / "results" / "toy" / "summary.json").unlink()  # finished too early: something is left to do
                continue
            os.killpg(run.pid, signal.SIGKILL)
        killed += 1
        finals = [p for p in (stormy / "results").rglob("*") if p.is_file() and ".part" not in p.name]
        assert all(
            p.stat().st_size for p in finals if p.suffix in (".parquet", ".npz", ".json", ".html", ".png", ".pdf")
        )
        unlocked = snakemake(stormy, "--unlock")
        assert unlocked.returncode == 0, unlocked.stderr[-2000:]
    last = snakemake(stormy, "--cores", "2")
    assert last.returncode == 0, last.stderr[-3000:]
    assert digests(stormy) == digests(calm)
