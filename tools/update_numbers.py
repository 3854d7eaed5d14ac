"""Write the tables of README.md and docs/, and the picture of the bump, from results/reference/, or check that they are current.

python tools/update_numbers.py [--check]
"""

from __future__ import annotations

import json
import math
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

from cathode.plots.drawing import read_drawing

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


def verdict() -> str:
    """The lines that the default hunt ends with."""
    return "\n".join(["```text", *_read("demo.json")["verdict"], "report  results/demo/report.html", "```"])


def hunts_short() -> str:
    """The rows of the first method."""
    return "\n".join(line for line in hunts().splitlines() if not line.startswith("| CWoLa"))


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


def _best(run: dict[str, Any], method: str) -> dict[str, Any] | None:
    mine = [h for h in run["hunts"] if h["method"] == method]
    return max(mine, key=lambda h: h["z_local"]) if mine else None


def lhco() -> str:
    """LHC Olympics events with signal, in one window; the idealised reference beside it."""
    rows = []
    for r in (r for r in _read("lhco.json") if r["n_signal"]):
        best = {m: _best(r, m) for m in ("cathode", "cwola", "idealised")}
        cells = [f"{b['z_local']:.1f} ({b['eps_bkg']:g})" if b else "–" for b in best.values()]
        together = {j["method"]: f"{j['z']:.1f}" for j in r.get("joint", ())}
        cells[1:1] = [together.get("cathode", "–")]
        statistical = max(h["z_li_ma"] for h in r["hunts"] if h["method"] == "cathode")
        rows.append([str(r["n_signal"]), str(r["seed"]), *cells, f"{statistical:.1f}"])
    head = [
        "signal events",
        "seed",
        "CATHODE: best z (ε_B)",
        "all in one test",
        "CWoLa",
        "idealised, statistics only",
        "CATHODE, Li–Ma only",
    ]
    return _table(head, rows)


def lhco_null() -> str:
    """LHC Olympics events without signal, in five windows."""
    rows = []
    for r in (r for r in _read("lhco.json") if not r["n_signal"]):
        top = max(r["hunts"], key=lambda h: h["z_local"])
        where = f"{top['window']}, {NAMES[top['method']]}, {top['eps_bkg']:g}"
        rows.append(
            [
                str(r["seed"]),
                str(len(r["hunts"])),
                f"{top['z_local']:.2f} ({where})",
                str(r["trials"]),
                f"{r['z_global']:.2f}",
            ]
        )
    return _table(["seed", "hunts", "largest local z", "tests", "global z"], rows)


def nulls() -> str:
    """The default hunt without signal, several seeds."""
    runs = _read("demo_null.json")
    found = [max(r["hunts"], key=lambda h: h["z_local"]) for r in runs]
    cells = [f"{h['z_local']:.2f} ({NAMES[h['method']]}, {h['eps_bkg']:g})" for h in found]
    return _table(["seed", *(str(r["seed"]) for r in runs)], [["largest z", *cells]])


def overdispersion() -> str:
    """Variance of the counts over Poisson where there is nothing to find."""
    found = _read("calibration/overdispersion.json")
    rows = [
        [NAMES[method], *(f"{v0:.2f} ± {found['v0_error'][method][eps]:.2f}" for eps, v0 in _looser_first(points))]
        for method, points in found["v0"].items()
    ]
    head = ["v0", *(eps for eps, _ in _looser_first(next(iter(found["v0"].values()))))]
    return f"{found['n_toys']} pseudo-experiments of the classifier:\n\n" + _table(head, rows)


def _looser_first(points: dict[str, Any]) -> list[tuple[str, Any]]:
    return sorted(points.items(), key=lambda item: -float(item[0]))


def calibration() -> str:
    """Background-only scans: p-values of every hunt and of the scan."""
    null = _read("calibration/background_only.json")
    verdicts, rows = null["verdicts"], []
    for method, eps in dict.fromkeys((v["method"], v["eps_bkg"]) for v in verdicts):
        mine = [v for v in verdicts if (v["method"], v["eps_bkg"]) == (method, eps)]
        worst = min(mine, key=lambda v: float(v["ks_p"]))
        corrected = min(1.0, len(mine) * worst["ks_p"])
        of = [e for e in null["experiments"] if (e["method"], e["eps_bkg"]) == (method, eps)]
        ratio = sum(e["n_obs"] for e in of) / sum(e["n_bkg"] for e in of)
        rows.append(
            [
                NAMES[method], f"{eps:g}", f"{worst['ks_p']:.2g} ({worst['window']})", f"{corrected:.2f}",
                *(f"{100 * sum(v[key] for v in mine) / len(mine):.1f} %" for key in ("share_below_5_percent", "share_below_1_percent")),
                f"{ratio:.3f}",
            ]
        )  # fmt: skip
    t = null["trials"]
    n_windows = len({v["window"] for v in verdicts})
    verdict = (
        "uniform" if t["verdict"]["passes"] else "on the safe side" if t["verdict"]["conservative"] else "not uniform"
    )
    joint = []
    for method in dict.fromkeys(j["method"] for j in null["joint"]):
        mine = [j for j in null["joint"] if j["method"] == method]
        p = [value for j in mine for value in j["p"]]
        worst = min(mine, key=lambda j: j["ks_p"])
        below = ", ".join(f"{100 * sum(v < cut for v in p) / len(p):.1f} % below {cut}" for cut in (0.05, 0.01))
        joint.append(f"{NAMES[method]} {below} (smallest KS p {worst['ks_p']:.2g}, {worst['window']})")
    of_windows = [
        f"{w['window']} KS p {w['ks_p']:.2g}, {100 * w['share_below_5_percent']:.0f} % below 0.05" for w in t["windows"]
    ]
    head = [
        "method",
        "ε_B",
        "smallest KS p of the windows",
        "times their number",
        "p < 0.05",
        "p < 0.01",
        "observed / expected",
    ]
    return (
        f"{null['n_toys']} scans of {n_windows} overlapping windows, without signal:\n\n{_table(head, rows)}\n\nThe global p-value of {t['tests']} tests (all working points of a method in one) is "
        f"{verdict}: KS p {t['verdict']['ks_p']:.2g}, below 0.05 in {100 * t['verdict']['share_below_5_percent']:.0f} % of the scans, the smallest "
        f"{min(t['p_global']):.2g} ({min(t['p_sidak']):.2g} by Šidák; which events tests share is measured in {t['n_shared']} of the scans). "
        f"By window and method: {'; '.join(joint)}. "
        f"By their smallest p-values the tests are worth {t['effective']:.0f} independent ones. One number per window: {'; '.join(of_windows)}."
    )


def injections() -> str:
    """Measured against injected signal."""
    signal = _read("calibration/injection.json")
    rows = [
        [
            NAMES[f["method"]], f"{f['eps_bkg']:g}", f"{f['slope']:.2f} ± {f['slope_error']:.2f}", f"{f['pull_mean']:+.2f} ± {f['pull_mean_error']:.2f}",
            f"{f['pull_sd']:.2f} ± {f['pull_sd_error']:.2f}",
        ]
        for f in signal["fits"]
    ]  # fmt: skip
    return _table(["method", "ε_B", "signal slope", "mean pull", "pull width"], rows)


def bench_classifiers() -> str:
    """Price and sensitivity of classifiers on the same events."""
    found = _read("bench.json")["classifiers"]
    base = next(iter(found.values()))["cpu_s"]
    rows = [
        [
            name, f"{r['cpu_s']:.2f}", f"{r['cpu_s'] / base:.1f}", f"{r['floor_s']:.2f}" if "floor_s" in r else "–",
            *(f"{value:.1f} ± {error:.1f}" for value, error in r["sic"].values()),
        ]
        for name, r in found.items()
    ]  # fmt: skip
    return _table(["four members", "CPU-s", "ratio", "floor, s", "ε_S/√ε_B at 0.01", "at 0.001"], rows)


def bench_densities() -> str:
    """Price of one density member."""
    found = _read("bench.json")["densities"]
    base = next(iter(found.values()))["cpu_s"]
    rows = []
    for name, r in found.items():
        ratio = f"{r['cpu_s'] / base:.2f}" if r["cpu_s"] < base else f"{r['cpu_s'] / base:.0f}"
        auc = f"{r['auc']:.4f}" if "auc" in r else "table below"
        rows.append([name, f"{r['cpu_s']:.3g}" + (" (scaled)" if r["scaled"] else ""), ratio, auc])
    return _table(["one member", "CPU-s", "ratio", "closure AUC"], rows)


def bench_hunts() -> str:
    """Price of whole hunts."""
    rows = [
        [
            n, f"{r['wall_s'] / 60:.1f} min", f"{r['cpu_s'] / 60:.1f} min", str(r["jobs"]), f"{100 * r['busy']:.0f} %",
            f"{r['max_rss_mb'] / 1000:.1f} GB",
        ]
        for n, r in _read("bench.json").get("hunts", {}).items()
    ]  # fmt: skip
    return _table(["windows", "wall", "CPU", "jobs", "of both cores busy", "largest job"], rows)


def type_one() -> str:
    """How often the primary exceeds 3, 4 and 5 standard deviations without signal, over nominal, and what a discovery takes."""
    found = _read("type_one.json")
    by_case = {(r["eps_bkg"], r["floors"], r["heavy"], r["linked"]): r for r in found["rows"]}
    rows = []
    for (eps, floors, heavy, linked), r in by_case.items():
        if heavy or not linked:
            continue
        tails, alone = by_case.get((eps, floors, True, True)), by_case[eps, floors, False, False]
        rows.append(
            [
                f"{eps:g}", f"{100 * r['scatter']:.3g} % ({floors:g})", _ratios(r), _ratios(tails) if tails else "–",
                *(f"{one['count_over_background'][2]:.2f} ({_ratio(one['in_one_of_ten'][2])})" for one in (r, alone)),
            ]
        )  # fmt: skip
    head = [
        "ε_B",
        "true scatter (of the floor)",
        "Gaussian: 3σ, 4σ, 5σ",
        "Student's, 3 degrees of freedom",
        "events over background at 5σ: median (worst tenth)",
        "working points not linked",
    ]
    return f"{found['toys']} closures per row:\n\n" + _table(head, rows)


def _ratios(row: dict[str, Any]) -> str:
    return ", ".join(_ratio(value) for value in row["over_nominal"])


def _ratio(value: float | None) -> str:
    return "never" if value is None else f"{value:.2g}" if value < 100 else f"{value:.0f}"


def scale() -> str:
    """Peak memory and time per event of the heavy steps."""
    rows = []
    for r in _read("scale.json")["runs"]:
        n = r["n_events"]
        cells = [f"{s['max_rss_mb'] / 1000:.1f} GB, {1e6 * s['cpu_s'] / n:.0f} µs" for s in r["steps"].values()]
        rows.append([f"{n:,}", *cells])
    return _table(["events", "prepare", "density, per epoch", "template", "classifier"], rows)


def gpu() -> str:
    """What a card is worth, where one was measured."""
    found = _read("gpu.json")
    if found is None:
        return (
            "No card has been measured yet. `benchmarks/gpu.sh` does it in eight minutes, and writes the file that this paragraph is generated from "
            "(`results/reference/gpu.json`, then `make docs`)."
        )
    machine = found["machine"]
    rows = []
    for name, r in found.items():
        if "seconds" in r and "one_core_s" in r and "events" not in r:
            about = " (scaled)" if r.get("scaled") else ""
            rows.append([name, f"{r['seconds']:.3g}{about}", f"{r['one_core_s']:.3g}", f"{r['faster']:.2g}"])
    head = ["training", "seconds on the card", "on one core", "times faster"]
    said = [
        f"{machine.get('card', 'no card')}, torch {machine['torch']}; {machine['cpu']}. Tests on it: {found['tests']['said']}."
    ]
    for name in ("one window", "whole hunt, card", "whole hunt, no card"):
        if "wall_s" in found.get(name, {}):
            said.append(f"{name}: {found[name]['wall_s']:.0f} s with {found[name].get('cores', '?')} cores.")
    if "faster" in found.get("graphs", {}):
        said.append(f"CUDA graphs: {found['graphs']['faster']:.1f} times faster.")
    if "share_of_flops" in found.get("peak", {}):
        p = found["peak"]
        said.append(
            f"The training loop reaches {p['share_of_flops']:.1%} of the card's arithmetic and {p['share_of_bytes']:.1%} of its memory's speed."
        )
    return " ".join(said) + "\n\n" + _table(head, rows)


PUBLISHED_CLOSURE = {
    4: {0.01: "+6.4 ± 3.7", 0.001: "+15.6 ± 10.2", 0.0001: "+71 ± 46"},
    5: {0.01: "+12.9 ± 5.9", 0.001: "+21.8 ± 13.7", 0.0001: "+50 ± 48"},
}


def null_closure() -> str:
    """How far counts without signal lie from predictions, beside what counting alone would give and what is published."""
    found = _read("null_closure.json")
    rows = []
    for features in sorted({len(run["features"]) for run in found["runs"]}):
        runs = [run["hunts"] for run in found["runs"] if len(run["features"]) == features]
        for eps in sorted({h["eps_bkg"] for h in runs[0]}, reverse=True):
            mine = [h for hunts_ in runs for h in hunts_ if h["eps_bkg"] == eps]
            cells = []
            for key in ("n_bkg_uncorrected", "n_bkg"):
                off = [h["n_obs_average"] / h[key] - 1 for h in mine]
                mean = sum(off) / len(off)
                spread = math.sqrt(sum((x - mean) ** 2 for x in off) / (len(off) - 1))
                cells.append(f"{100 * mean:+.1f} ± {100 * spread:.1f} %")
            counting = math.sqrt(sum(1 / h["n_bkg"] for h in mine) / len(mine))
            whole = [
                sum(h["n_obs_average"] for h in mine) / sum(h[k] for h in mine) for k in ("n_bkg_uncorrected", "n_bkg")
            ]
            published = PUBLISHED_CLOSURE[features].get(eps, "–")
            rows.append(
                [
                    "with ΔR" if features == 5 else "four", f"{eps:g}", *cells, f"{100 * counting:.1f} %", f"{whole[0]:.3f}, {whole[1]:.3f}",
                    f"{published} %",
                ]
            )  # fmt: skip
    n = len(found["runs"][0]["hunts"]) // 3
    head = [
        "features",
        "ε_B",
        "template alone",
        "with closure",
        "spread of counting alone",
        "observed / expected, together",
        "published",
    ]
    runs_ = len({run["sample"] for run in found["runs"]})
    return f"{runs_} disjoint samples of {found['events']:,} events, {n} windows each:\n\n{_table(head, rows)}"


def null_significances() -> str:
    """Significances of the same samples, where there is nothing."""
    found = _read("null_closure.json")
    rows = []
    for run in found["runs"]:
        z = [h["z_local"] for h in run["hunts"]]
        joint = [j["z"] for j in run["joint"]]
        rows.append(
            [
                run["sample"].removeprefix("sample_"), "with ΔR" if len(run["features"]) == 5 else "four",
                f"{min(z):.1f} to {max(z):.1f}", f"{min(joint):.1f} to {max(joint):.1f}", f"{run['z_global']:.1f}",
            ]
        )  # fmt: skip
    head = ["sample", "features", "z of the working points", "all in one test, by window", "global z"]
    return _table(head, rows)


BLOCKS: dict[str, Callable[[], str]] = {
    "hunts": hunts,
    "hunts_short": hunts_short,
    "verdict": verdict,
    "models": models,
    "lhco": lhco,
    "lhco_null": lhco_null,
    "overdispersion": overdispersion,
    "calibration": calibration,
    "injections": injections,
    "nulls": nulls,
    "scale": scale,
    "type_one": type_one,
    "bench_classifiers": bench_classifiers,
    "bench_densities": bench_densities,
    "bench_hunts": bench_hunts,
    "gpu": gpu,
    "null_closure": null_closure,
    "null_significances": null_significances,
}


PAGES = ("README.md", "docs/quickstart.md", "docs/numbers.md", "docs/calibration.md", "docs/gpu.md")
PICTURE = "docs/images/bump.svg"


def updated(text: str) -> str:
    """A page with every table rebuilt."""
    for name, build in BLOCKS.items():
        if f"<!-- numbers: {name} -->" not in text:
            continue
        head, end = f"<!-- numbers: {name} -->\n", "<!-- end -->"
        before, _, rest = text.partition(head)
        text = f"{before}{head}{build()}\n{end}{rest.partition(end)[2]}"
    return text


def picture() -> bytes:
    """The bump appearing, from the figures of the default hunt."""
    drawn = read_drawing((REFERENCE / "bump.json").read_text(encoding="utf-8"), "bump.json")
    return drawn.image("svg")


def main() -> int:
    """Write or check; exit code 1 when out of date."""
    check, stale = "--check" in sys.argv, 0
    for path in (ROOT / name for name in PAGES):
        text = path.read_text(encoding="utf-8")
        new = updated(text)
        stale |= int(new != text)
        if not check:
            path.write_text(new, encoding="utf-8")
    image = ROOT / PICTURE
    stale |= int(not image.exists() or image.read_bytes() != picture())
    if not check:
        image.parent.mkdir(exist_ok=True)
        image.write_bytes(picture())
    return stale if check else 0


if __name__ == "__main__":
    sys.exit(main())
