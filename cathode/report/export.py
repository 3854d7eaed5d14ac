"""What a paper takes from a run: tables, figures, workspaces, a HEPData submission, a paragraph on the method, references."""

from __future__ import annotations

import contextlib
import logging
import shutil
import tempfile
import warnings
from pathlib import Path
from typing import Any

from cathode.classifier.methods import find_method, is_reference
from cathode.errors import ArtefactError
from cathode.plots.drawing import Drawing, read_drawing
from cathode.plots.style import STYLES
from cathode.report.render import number, template
from cathode.report.verdict import quoted
from cathode.results import HuntResult
from cathode.summary import Summary

log = logging.getLogger(__name__)


def export_run(summary: Summary, run: Path, folder: Path, *, style: str | None = None) -> str:
    """Write everything for a paper into a new `folder`, whole or not at all. Returns what was written, a line each.

    Raises ArtefactError for a folder that is there, for an unknown style, and for a run that is for no publication.
    """
    if style is not None and style not in STYLES:
        raise ArtefactError(f"--style: found {style}, expected one of {', '.join(STYLES)}")
    if folder.exists():
        raise ArtefactError(f"{folder}: is there already, expected a new folder")
    if summary.config.get("quick"):
        raise ArtefactError(f"{run}: a quick run is for no publication, expected the whole hunt (without --quick)")
    folder.parent.mkdir(parents=True, exist_ok=True)
    part = Path(tempfile.mkdtemp(prefix=f".{folder.name}-", dir=folder.parent))
    try:
        said = _write(summary, run, part, style)
        part.rename(folder)
    finally:
        shutil.rmtree(part, ignore_errors=True)
    return "\n".join(f"{folder}/{line}" for line in said)


def _write(summary: Summary, run: Path, out: Path, style: str | None) -> list[str]:
    said = ["tables.tex      hunts, uncertainties and limits"]
    (out / "tables.tex").write_text(latex_tables(summary), encoding="utf-8")
    (out / "method.txt").write_text(methods_paragraph(summary), encoding="utf-8")
    (out / "references.bib").write_text(template("references.bib.j2").render(), encoding="utf-8")
    said += [
        "method.txt      a paragraph on the method, filled in from this run",
        "references.bib  the papers behind it",
    ]
    figures = [_drawing(path, style) for path in sorted((run / "plots").glob("*.json"))]
    (out / "figures").mkdir()
    for figure in figures:
        figure.save(out / "figures" / f"{figure.name}.pdf")
    said.append(f"figures/        {len(figures)} figures as PDF")
    spaces = sorted((run / "workspaces").glob("*.json"))
    if spaces:
        (out / "workspaces").mkdir()
        for path in spaces:
            shutil.copyfile(path, out / "workspaces" / path.name)
        (out / "workspaces" / "README.md").write_text(workspace_readme(summary), encoding="utf-8")
        said.append(f"workspaces/     {len(spaces)} pyhf workspaces, and how to get the limit from one")
    if not summary.blind and _write_hepdata(summary, figures, out / "hepdata"):
        said.append("hepdata/        a validated submission (submission.tar.gz)")
    return said


def _drawing(path: Path, style: str | None) -> Drawing:
    return read_drawing(path.read_text(encoding="utf-8"), str(path), style)


# --- tables


def latex_tables(summary: Summary) -> str:
    """Hunts with their uncertainties, and limits, as two LaTeX tables."""
    hunts = [
        [
            *_key(h),
            "--" if h.n_obs is None else str(h.n_obs),
            _plus_minus(h.n_bkg, h.sigma.total if h.sigma else None),
            *(
                _latex(getattr(h.sigma, name) if h.sigma else None)
                for name in ("template", "initialisation", "bootstrap", "non_closure")
            ),
            _latex(h.z_local, 2),
        ]
        for h in summary.hunts
    ]
    head = [
        "window [GeV]",
        "method",
        "$\\epsilon_B$",
        "observed",
        "expected",
        "template",
        "init.",
        "data",
        "non-closure",
        "$z$",
    ]
    limits = [
        [
            *_key(h),
            _latex(h.limit.s_obs),
            _latex(h.limit.s_exp[2]),
            f"{_latex(h.limit.s_exp[1])}--{_latex(h.limit.s_exp[3])}",
        ]
        for h in summary.hunts
        if h.limit
    ]
    out = [
        _table(head, hunts, "Events behind each selection; the uncertainties of the expected background are absolute.")
    ]
    if limits:
        head = ["window [GeV]", "method", "$\\epsilon_B$", "observed limit", "expected", "68\\,\\%"]
        out.append(_table(head, limits, "Upper limits on signal events behind each selection, 95\\,\\% CLs."))
    return "\n".join(out)


def _key(h: HuntResult) -> list[str]:
    low, high = h.signal_region
    return [f"{low:.6g}--{high:.6g}", _escaped(find_method(h.method).label), f"{h.eps_bkg:g}"]


def _latex(value: float | None, digits: int = 1) -> str:
    return "--" if value is None else f"${number(value, digits)}$"


def _plus_minus(value: float, error: float | None) -> str:
    return f"${number(value, 1)}$" if error is None else f"${number(value, 1)} \\pm {number(error, 1)}$"


def _escaped(text: str) -> str:
    return "".join(f"\\{c}" if c in "&%$#_{}" else c for c in text)


def _table(head: list[str], rows: list[list[str]], caption: str) -> str:
    lines = [" & ".join(row) + " \\\\" for row in (head, *rows)]
    lines.insert(1, "\\hline")
    body = "\n".join(lines)
    return f"\\begin{{table}}\n\\centering\n\\begin{{tabular}}{{ll{'r' * (len(head) - 2)}}}\n{body}\n\\end{{tabular}}\n\\caption{{{caption}}}\n\\end{{table}}\n"


# --- words


def methods_paragraph(summary: Summary) -> str:
    """What was done, in the words of a paper, every number from the run's configuration."""
    h = quoted(summary)
    methods = [m for m in dict.fromkeys(x.method for x in summary.hunts) if not is_reference(m)]
    return template("method.txt.j2").render(
        c=summary.config,
        summary=summary,
        best=h,
        local=summary.window.z_local if summary.window else h.z_local,
        methods=[find_method(m).label for m in methods],
        windows=list(dict.fromkeys(x.window for x in summary.hunts)),
        regions={x.window: x.signal_region for x in summary.hunts},
        n_windows=h.non_closure.n_windows if h.non_closure else summary.config["closure"]["windows"],
        calibrated=summary.config["statistics"]["overdispersion"] == "calibrated",
    )


def workspace_readme(summary: Summary) -> str:
    """How to read the workspaces, with the limit that one of them must give."""
    with_limit = [h for h in summary.hunts if h.limit and h.n_bkg > 0]
    best = quoted(summary)
    example = best if best in with_limit else next(iter(with_limit), best)
    return template("workspaces.md.j2").render(h=example, has_limit=example.limit is not None)


# --- HEPData


def _write_hepdata(summary: Summary, figures: list[Drawing], folder: Path) -> bool:
    """A submission in `folder`; False where its library is not installed."""
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import hepdata_lib as hep
    except ImportError:
        log.warning("warning: no HEPData submission: hepdata_lib is not installed (pip install 'cathode[export]')")
        return False
    submission = hep.Submission()
    submission.comment = (
        f"Bump hunt {summary.run}: counts, significances and limits of every window, method and working point."
    )
    submission.add_table(_counts_table(hep, list(summary.hunts)))
    if limits := [h for h in summary.hunts if h.limit]:
        submission.add_table(_limits_table(hep, limits))
    best = quoted(summary)
    for figure in figures:
        if figure.kind == "selected_spectrum" and figure.name.startswith(f"{best.window}_{best.method}_"):
            submission.add_table(_spectrum_table(hep, figure, best))
    folder.mkdir()
    with contextlib.chdir(folder), contextlib.redirect_stdout(None), warnings.catch_warnings():
        warnings.simplefilter("ignore")
        submission.create_files(".", validate=True)  # which writes its archive into the working directory
    return True


def _variable(
    hep: Any, name: str, values: list[Any], units: str = "", *, independent: bool = False, binned: bool = False
) -> Any:
    made = hep.Variable(name, is_independent=independent, is_binned=binned, units=units)
    made.values = values
    return made


def _keys(hep: Any, hunts: list[HuntResult]) -> list[Any]:
    return [
        _variable(hep, "Signal region", [h.signal_region for h in hunts], "GeV", independent=True, binned=True),
        _variable(hep, "Method", [find_method(h.method).label for h in hunts], independent=True),
        _variable(hep, "Background efficiency", [h.eps_bkg for h in hunts], independent=True),
    ]


def _counts_table(hep: Any, hunts: list[HuntResult]) -> Any:
    table = hep.Table("Counts and significances")
    table.description = "Observed and expected events behind each selection, with the local p-value and significance."
    table.location = "Data from this analysis"
    expected = _variable(hep, "Expected events", [h.n_bkg for h in hunts])
    for source in ("template", "initialisation", "bootstrap", "non_closure"):
        values = [(getattr(h.sigma, source) if h.sigma else None) or 0.0 for h in hunts]
        error = hep.Uncertainty(source.replace("_", "-"))
        error.values = values
        expected.add_uncertainty(error)
    columns = [*_keys(hep, hunts), _variable(hep, "Observed events", [h.n_obs for h in hunts]), expected]
    columns += [
        _variable(hep, "Local p-value", [h.p_local for h in hunts]),
        _variable(hep, "Local significance", [h.z_local for h in hunts]),
    ]
    for column in columns:
        table.add_variable(column)
    return table


def _limits_table(hep: Any, hunts: list[HuntResult]) -> Any:
    table = hep.Table("Limits")
    table.description = "Upper limits on signal events behind each selection, 95% CLs."
    table.location = "Data from this analysis"
    limits = [h.limit for h in hunts if h.limit]
    columns = [*_keys(hep, hunts), _variable(hep, "Observed limit", [x.s_obs for x in limits])]
    for k, name in (
        (2, "Expected limit"),
        (1, "Expected limit, -1 sigma"),
        (3, "Expected limit, +1 sigma"),
        (0, "Expected limit, -2 sigma"),
        (4, "Expected limit, +2 sigma"),
    ):
        columns.append(_variable(hep, name, [x.s_exp[k] for x in limits]))
    for column in columns:
        table.add_variable(column)
    return table


def _spectrum_table(hep: Any, figure: Drawing, best: HuntResult) -> Any:
    d = figure.numbers
    point = d["points"][f"{best.eps_bkg:g}"]
    table = hep.Table("Mass spectrum after the selection")
    low, high = best.signal_region
    table.description = f"Events that pass the {find_method(best.method).label} selection at a background efficiency of {best.eps_bkg:g}, signal region {low:.6g}-{high:.6g} GeV."
    table.location = "Data from this analysis"
    table.add_variable(_variable(hep, "Mass", [tuple(e) for e in d["edges"]], "GeV", independent=True, binned=True))
    table.add_variable(_variable(hep, "Events", point["counts"]))
    if fit := point.get("fit"):
        table.add_variable(_variable(hep, "Fit to the sidebands", fit["per_bin"]))
    return table
