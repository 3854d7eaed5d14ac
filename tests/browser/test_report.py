"""The report in a browser: nothing is requested, every control changes what it says, on any screen, by keyboard, for everybody, on paper."""

from __future__ import annotations

import dataclasses
import re
import shutil
from pathlib import Path

import pytest
from conftest import toy_table
from linear_density import LinearDensity

import cathode
from cathode import io
from cathode.artefacts import FigureNumbers
from cathode.calibration.results import BackgroundOnly, SignalResponse
from cathode.classifier.settings import TreeSettings
from cathode.plots.calibration import efficiency, p_values, signal_response
from cathode.plots.significance import draw_summary
from cathode.report.page import report_calibrated

BROWSER = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
pytestmark = pytest.mark.skipif(BROWSER is None, reason="no chromium here (Debian: chromium)")
playwright = pytest.importorskip("playwright.sync_api")
axe = pytest.importorskip("axe_playwright_python.sync_playwright")

CALIBRATED = Path(__file__).parents[2] / "results" / "reference" / "calibration"
LIGHT = {
    "mass": "m", "features": ["a", "b", "c"], "range": (2000, 5000), "label": "label", "methods": ("cathode", "cwola"), "working_points": (0.1, 0.02),
    "density": LinearDensity, "background": cathode.DensitySettings(bootstraps=2, seeds=2),
    "classifier": cathode.ClassifierSettings(folds=2, members=4, splits=1, boosted_trees=TreeSettings(trees=10)),
    "closure": cathode.ClosureSettings(windows=4), "progress": False, "identifiers": ["event"],
}  # fmt: skip


@pytest.fixture(scope="module")
def page_file(tmp_path_factory):
    """A report of two windows and two methods, with the reference calibration."""
    table = toy_table(12000, 150, 1).assign(event=lambda t: t.index + 2**60)
    hunts = [cathode.hunt(table, window=window, **LIGHT) for window in ((2800, 3200), (2600, 3000))]
    summary = dataclasses.replace(
        hunts[0].summary,
        hunts=hunts[0].summary.hunts + hunts[1].summary.hunts,
        inclusive=hunts[0].summary.inclusive + hunts[1].summary.inclusive,
        trials=8,
    )
    numbers = {
        d.name: FigureNumbers(d.name, d.json()) for hunt in hunts for d in hunt.drawings() if d.name.startswith("m")
    }
    path = tmp_path_factory.mktemp("page") / "report.html"
    null = io.read(CALIBRATED / "background_only.json", BackgroundOnly)
    response = io.read(CALIBRATED / "injection.json", SignalResponse)
    for d in (p_values(null), signal_response(response), efficiency(response)):
        numbers[d.name] = FigureNumbers(d.name, d.json())
    truth = [t for hunt in hunts for t in hunt.truth]
    for d in draw_summary(summary, truth, [hunt.spectrum for hunt in hunts if hunt.spectrum]):
        numbers[d.name] = FigureNumbers(d.name, d.json())
    made = report_calibrated(summary, list(numbers.values()), null, response, config=hunts[0].config)
    path.write_text(made.text)
    return path


@pytest.fixture(scope="module")
def browser():
    with playwright.sync_playwright() as p:
        made = p.chromium.launch(executable_path=BROWSER, args=["--no-sandbox"])
        yield made
        made.close()


@pytest.fixture
def page(browser, page_file):
    opened = browser.new_page(viewport={"width": 1280, "height": 900})
    opened.said, opened.asked = [], []
    opened.on("console", lambda message: opened.said.append(message.text))
    opened.on("pageerror", lambda error: opened.said.append(str(error)))
    opened.on("request", lambda request: opened.asked.append(request.url))
    opened.goto(page_file.as_uri())
    opened.wait_for_selector("#c-bump svg")
    opened.wait_for_timeout(500)
    yield opened
    opened.close()


def test_it_opens_from_a_file_and_asks_for_nothing(page, page_file):
    assert [url for url in page.asked if not url.startswith("data:")] == [page_file.as_uri()]
    assert page.said == []
    assert page_file.stat().st_size < 5e6


def test_every_control_changes_what_it_says(page):
    def shown() -> dict[str, str]:
        page.wait_for_timeout(400)
        parts = ("now", "lights", "derivation", "c-bump", "c-why", "c-closure", "c-after")
        return {part: page.inner_html(f"#{part}") for part in parts}

    page.select_option("#window", "m3000")
    page.select_option("#method", "cathode")
    page.check("input[name=eps][value='0.02']")
    first = shown()
    page.check("input[name=eps][value='0.1']")
    second = shown()
    assert all(first[part] != second[part] for part in first if part != "lights")
    assert "ε_B = 0.1" in second["now"]
    page.select_option("#window", "m2800")
    third = shown()
    assert "2600–3000 GeV" in third["now"]
    assert all(second[part] != third[part] for part in first)
    page.select_option("#method", "cwola")
    fourth = shown()
    assert "CWoLa" in fourth["now"]
    assert "compares with no template" in fourth["c-after"]
    assert page.said == []


def test_charts_show_the_numbers_of_the_hunt(page):
    """The height of the background in the chart's own description of its marks, and the derivation beside it."""
    text = page.inner_text("#derivation")
    seen = round(float(re.search(r"n=([\d.]+)", text)[1]))  # an average over fold splits
    assert f"{seen} seen" in page.inner_text("#now")
    points = page.query_selector_all("#c-bump svg path[aria-roledescription='point']")
    assert len(points) >= 16


@pytest.mark.parametrize("width", [380, 768, 1600])
def test_it_fits_every_screen(page, width):
    page.set_viewport_size({"width": width, "height": 900})
    page.wait_for_timeout(500)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    wide = page.evaluate(
        "[...document.querySelectorAll('.chart svg')].map(s => s.getBoundingClientRect().right).filter(r => r > innerWidth + 1).length"
    )
    assert wide == 0


def test_the_keyboard_is_enough(page):
    page.select_option("#window", "m3000")
    page.check("input[name=eps][value='0.02']")
    page.focus("#window")
    page.keyboard.press("ArrowDown")
    page.wait_for_timeout(300)
    assert "2600–3000 GeV" in page.inner_text("#now")
    page.keyboard.press("Tab")
    assert page.evaluate("document.activeElement.id") == "method"
    page.keyboard.press("Tab")
    page.keyboard.press("ArrowLeft")
    page.wait_for_timeout(300)
    assert "ε_B = 0.1" in page.inner_text("#now")
    page.focus("#copy")
    page.keyboard.press("Enter")
    assert page.inner_text("#copied") in ("copied", "this browser does not let pages copy")


def test_axe_finds_nothing_serious(page):
    page.evaluate("document.querySelectorAll('details').forEach(d => d.open = true)")
    page.wait_for_timeout(300)
    found = axe.Axe().run(page).response["violations"]
    assert [(v["id"], v["nodes"][0]["html"][:200]) for v in found if v["impact"] in ("serious", "critical")] == []


def test_on_paper_it_is_at_most_six_pages(page):
    paper = page.pdf(format="A4")
    assert 1 <= len(re.findall(rb"/Type\s*/Page[^s]", paper)) <= 6


def test_without_scripts_the_pictures_of_the_quoted_hunt_are_there(browser, page_file):
    context = browser.new_context(java_script_enabled=False)
    plain = context.new_page()
    plain.goto(page_file.as_uri())
    for place in ("#c-bump img", "#c-why img", "#c-closure img"):
        assert plain.locator(place).bounding_box()["width"] > 200, place
    context.close()
