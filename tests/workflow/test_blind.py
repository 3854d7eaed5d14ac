"""Blind means: nothing that a blind run writes or says depends on an event of a signal region."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import yaml
from conftest import ROOT, toy_table
from test_workflow import CONFIG

from cathode.intake.prepare import prepare_events
from cathode.intake.settings import DataSettings, InjectionSettings

SIGNAL_REGIONS = [[2800, 3200], [3600, 3900]]
HUNT = CONFIG | {
    "blind": True, "methods": ["cathode", "cwola"], "working_points": [0.1], "injection": {},
    "data": CONFIG["data"] | {"label": None, "select": "a > -4", "define": {"s": "a + b"}, "features": ["s", "b", "c"]},
    "windows": {"range": [2000, 5000], "signal_regions": SIGNAL_REGIONS},
    "closure": CONFIG["closure"] | {"per_job": 4},
    "classifier": CONFIG["classifier"] | {"splits": 1},
}  # fmt: skip
COMMAND = [sys.executable, "-P", "-m"]


def hidden(m: pd.Series) -> np.ndarray:
    return np.any([(m >= low) & (m < high) for low, high in SIGNAL_REGIONS], axis=0)


def table(way: int) -> pd.DataFrame:
    """The same visible events, in the same order; between them other numbers of hidden ones with other features, some of which repeat or are odd."""
    visible = toy_table(16000, 0, 1)
    visible = visible[~hidden(visible.m)].drop(columns="label")
    inside = toy_table((7000, 16000)[way], 900 * way, 2 + way)
    inside = inside[hidden(inside.m)].drop(columns="label")
    if way:
        inside.loc[inside.index[:200], ["b", "c"]] = [999.0, np.nan]
        inside = pd.concat([inside, inside.head(300)])
    out = pd.concat(
        [visible.assign(at=np.arange(len(visible))), inside.assign(at=np.linspace(-0.5, len(visible), len(inside)))]
    )
    return out.sort_values("at", kind="stable").drop(columns="at").reset_index(drop=True)


def plain(text: str, folder: Path) -> str:
    """A log without what differs from run to run whatever the data: clock times, durations, folders, numbers of processes."""
    text = text.replace(str(folder), "HERE")
    text = re.sub(r"\d\d:\d\d:\d\d", "TIME", text)
    text = re.sub(r'"(cpu_s|max_rss_mb)": [\d.]+', "SOME", text)
    return re.sub(r"\d+(\.\d+)? ?(s|ms|min|it/s|s/it|MB)\b", "SOME", text)


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    folders = []
    for way in (0, 1):
        folder = tmp_path_factory.mktemp(f"blind{way}")
        table(way).to_parquet(folder / "events.parquet")
        (folder / "my.yaml").write_text(yaml.safe_dump(HUNT))
        command = [
            *COMMAND,
            "snakemake",
            "--snakefile",
            str(ROOT / "Snakefile"),
            "--configfile",
            "my.yaml",
            "--cores",
            "2",
        ]
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr[-3000:]
        folders.append(folder)
    return folders


def test_two_inputs_that_differ_in_signal_regions_alone_give_the_same_files(runs):
    first, second = ({p.relative_to(f / "results"): p for p in (f / "results").rglob("*") if p.is_file()} for f in runs)
    assert first.keys() == second.keys()
    seen = 0
    for name in first:
        if name.parts[1] in ("logs", "benchmarks") or name.suffix == ".lock":
            continue
        a, b = first[name].read_bytes(), second[name].read_bytes()
        if name.name == "summary.json":
            a, b = (re.sub(rb'"timing": \{.*\n \}', b"", content, flags=re.S) for content in (a, b))
        assert a == b, name
        seen += 1
    assert seen > 40
    assert not any("selected" in name.parts or "workspaces" in name.parts for name in first)


def test_and_the_same_logs_and_output_of_every_command(runs):
    logs = [sorted(p for p in (f / "results" / "toy" / "logs").rglob("*.log")) for f in runs]
    assert len(logs[0]) == len(logs[1]) > 10
    for a, b in zip(*logs, strict=True):
        assert plain(a.read_text(), runs[0]) == plain(b.read_text(), runs[1]), a
    for command in (
        ["check", "my.yaml"],
        ["verify", "results/toy"],
        ["show", "results/toy/intake.json"],
        ["show", "results/toy/events.parquet"],
    ):
        said = []
        for folder in runs:
            done = subprocess.run(
                [*COMMAND, "cathode", *command], cwd=folder, capture_output=True, text=True, check=False
            )
            assert done.returncode == 0, done.stderr
            said.append(plain(done.stdout + done.stderr, folder))
        assert said[0] == said[1], command


@pytest.mark.parametrize(
    ("spoil", "changes"),
    [
        (lambda t: t.assign(b=np.where(np.arange(len(t)) == int(np.flatnonzero(~hidden(t.m))[100]), np.nan, t.b)), {}),
        (lambda t: t.assign(m=np.where(np.arange(len(t)) == int(np.flatnonzero(~hidden(t.m))[100]), np.nan, t.m)), {}),
        (lambda t: t.assign(label=np.where(hidden(t.m), 0, 2)), {"label": "label"}),
        (lambda t: t, {"select": "a > 1e9"}),
        (lambda t: t.assign(b=np.where(hidden(t.m), t.b, 1.0)), {"features": ["b", "c"], "define": {}}),
        (lambda t: t[hidden(t.m) | (np.cumsum(~hidden(t.m)) <= 800)], {}),
        (lambda t: t.assign(m=t.m * np.where(hidden(t.m), 1, 1000)), {}),
    ],
)
def test_and_the_same_refusals(spoil, changes, tmp_path):
    """Defects of visible events, told in words that count no hidden ones."""
    said = []
    for way in (0, 1):
        folder = tmp_path / str(way)
        folder.mkdir()
        spoil(table(way)).to_parquet(folder / "events.parquet")
        (folder / "my.yaml").write_text(yaml.safe_dump(HUNT | {"data": HUNT["data"] | changes}))
        done = subprocess.run(
            [*COMMAND, "cathode", "check", "my.yaml"], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2, done.stdout + done.stderr
        said.append(done.stderr)
    assert said[0] == said[1]


def test_with_labels_too(tmp_path):
    """Events, labels and intake; nothing is left of hidden signal, either."""
    found = []
    for way in (0, 1):
        frame = table(way)
        frame["label"] = np.where(hidden(frame.m), frame.index % (2 + way) == 0, (frame.a > 1).astype(int)).astype(int)
        frame.to_parquet(tmp_path / f"{way}.parquet")
        data = DataSettings(
            source="files", files=(str(tmp_path / f"{way}.parquet"),), mass="m", features=("a", "b"), label="label"
        )
        blinded = tuple((float(a), float(b)) for a, b in SIGNAL_REGIONS)
        found.append(prepare_events(data, InjectionSettings(), (2000.0, 5000.0), seed=1, blinded=blinded))
    first, second = found
    for name in ("row", "mass", "features"):
        np.testing.assert_array_equal(getattr(first.events, name), getattr(second.events, name))
    np.testing.assert_array_equal(first.labels.label, second.labels.label)
    assert first.labels.label.sum() > 100
    assert (len(first.spare), first.intake) == (0, second.intake)
    assert not hidden(pd.Series(first.events.mass)).any()
