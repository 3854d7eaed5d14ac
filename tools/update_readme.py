"""Write the tables of README.md from results/reference/, or check that they are current.

python tools/update_readme.py [--check]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
REFERENCE = ROOT / "results" / "reference"
NAMES = {"cathode": "CATHODE", "cwola": "CWoLa"}


def _read(name: str) -> Any:
    path = REFERENCE / name
    return json.loads(path.read_text(encoding="utf-8")) if path.exists() else None


def _table(head: list[str], rows: list[list[str]]) -> str:
    lines = ["| " + " | ".join(head) + " |", "|" + "---|" * len(head)]
    return "\n".join(lines + ["| " + " | ".join(row) + " |" for row in rows])


def hunts() -> str:
    """The default hunt."""
    rows = [
        [
            NAMES[h["method"]], f"{h['eps_bkg']:g}", str(h["n_obs"]), f"{h['n_bkg']:.1f} ± {h['sigma']['total']:.1f}",
            f"**{h['z_local']:.1f}**", f"{h['z_li_ma']:.1f}", f"{h['n_sig_obs']} of {h['n_sig_sr']}",
        ]
        for h in _read("demo.json")["hunts"]
    ]  # fmt: skip
    return _table(["method", "ε_B", "observed", "expected", "z", "Li–Ma", "true signal"], rows)


def models() -> str:
    """Density models side by side."""
    rows = []
    for name, r in _read("models.json").items():
        closure = r.get("observed_over_predicted", {})
        cells = [
            f"{r['train_cpu_s']:.1f}" if "train_cpu_s" in r else "–",
            f"{r['auc']:.4f}" if "auc" in r else "–",
            *(f"{closure[e][0]:.2f} ± {closure[e][1]:.2f}" if e in closure else "–" for e in ("0.01", "0.001")),
            f"{r['max_sic']:.1f}" if "max_sic" in r else "–",
        ]
        rows.append([name + (f" ({r['epochs']} epochs)" if "epochs" in r else ""), *cells])
    head = ["model", "training CPU-s", "closure AUC", "observed / predicted at 0.01", "at 0.001", "max SIC"]
    return _table(head, rows)


def lhco() -> str:
    """LHC Olympics events with and without signal."""
    rows = []
    for r in _read("lhco.json"):
        best = {
            m: max((h for h in r["hunts"] if h["method"] == m), key=lambda h: h["z_local"])
            for m in ("cathode", "cwola")
        }
        cells = [f"{best[m]['z_local']:.2f} (ε_B = {best[m]['eps_bkg']:g})" for m in ("cathode", "cwola")]
        rows.append([str(r["n_signal"]), str(r["seed"]), *cells, f"{best['cathode']['z_li_ma']:.1f}"])
    return _table(["signal events", "seed", "CATHODE: best z", "CWoLa: best z", "CATHODE, Li–Ma only"], rows)


BLOCKS: dict[str, Callable[[], str]] = {"hunts": hunts, "models": models, "lhco": lhco}


def updated(text: str) -> str:
    """README with every table rebuilt."""
    for name, build in BLOCKS.items():
        pattern = rf"(<!-- numbers: {name} -->\n).*?(<!-- end -->)"
        table = build()
        text = re.sub(pattern, lambda m, t=table: f"{m[1]}{t}\n{m[2]}", text, flags=re.S)
    return text


def main() -> int:
    """Write or check; exit code 1 when out of date."""
    path = ROOT / "README.md"
    text = path.read_text(encoding="utf-8")
    new = updated(text)
    if "--check" in sys.argv:
        return int(new != text)
    path.write_text(new, encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
