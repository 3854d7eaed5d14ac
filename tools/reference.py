"""Reduce summaries of runs to the small reference files behind README.md.

    python tools/reference.py OUT.json SUMMARY.json [SUMMARY.json ...]      in the folders of their runs
    python tools/reference.py --update OUT.json SUMMARY.json [SUMMARY.json ...]      runs of the same signal and seed are replaced, all others stay
    python tools/reference.py --bump OUT.json RUN      the picture of README.md, from a run's plots/

One run gives an object, several give a list sorted by signal (descending) and seed.
"""

import json
import sys
from pathlib import Path

from cathode.plots.appearing import appearing
from cathode.plots.drawing import read_drawing
from cathode.report.verdict import verdict_of_run


def reduce(path: str) -> dict[str, object]:
    """The numbers of one run that the README quotes, with the checksum of its configuration."""
    s = json.loads(Path(path).read_text(encoding="utf-8"))
    hunts = []
    for h in s["hunts"]:
        truth = h["truth"] or {}
        kept = {
            k: h[k]
            for k in ("window", "method", "eps_bkg", "n_obs", "n_bkg", "sigma", "non_closure", "p_local", "z_local")
        }
        extra = {"z_li_ma": h["cross_checks"]["z_li_ma"], "z_pyhf": h["cross_checks"]["z_pyhf"]}
        hunts.append(kept | extra | {k: truth.get(k) for k in ("n_sig_sr", "n_sig_obs", "max_sic")})
    head = {k: s[k] for k in ("code_version", "config_sha256", "z_global", "trials")}
    head["joint"] = [{k: j[k] for k in ("window", "method", "p", "z")} for j in s["joint"]]
    head["verdict"] = verdict_of_run(Path(path).parent)[:-1]  # without the path of the report
    return head | {"seed": s["config"]["seed"], "n_signal": s["config"]["injection"]["n_signal"], "hunts": hunts}


def main(out: str, *paths: str, update: bool = False) -> None:
    """Write the reference file."""
    known = json.loads(Path(out).read_text(encoding="utf-8")) if update else []
    of_run = {(r["n_signal"], r["seed"]): r for r in (*known, *map(reduce, paths))}
    runs = sorted(of_run.values(), key=lambda r: (-r["n_signal"], r["seed"]))
    content = runs if len(runs) > 1 else runs[0]
    Path(out).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


def bump(out: str, run: str) -> None:
    """Write the numbers of the picture."""
    plots = Path(run) / "plots"
    paths = [
        next(iter(sorted(plots.glob(f"*_{kind}.json")))) for kind in ("mass_spectrum", "cathode_selected_spectrum")
    ]
    drawn = appearing(*(read_drawing(path.read_text(encoding="utf-8"), str(path)) for path in paths))
    Path(out).write_text(drawn.json(), encoding="utf-8")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--bump"]:
        bump(*sys.argv[2:])
    elif sys.argv[1:2] == ["--update"]:
        main(*sys.argv[2:], update=True)
    else:
        main(*sys.argv[1:])
