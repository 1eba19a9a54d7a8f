"""The page of a run as a browser shows it: at 16 and at 10,000 devices, on a phone and a desk."""

import json
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from comparison_file import comparison
from run_folder import BUNDLE, CANDIDATES, device, fleet_names, metrics, of_classes, rounds, write_run

from fedmetaalign.report import write_report
from fedmetaalign.report.comparison import figures
from fedmetaalign.report.comparison import page as page_of_comparison

sync_api = pytest.importorskip("playwright.sync_api", reason="playwright is not installed")
axe = pytest.importorskip(
    "axe_playwright_python.sync_playwright", reason="axe-playwright-python is not installed"
)

HOSTILE = "<img src=x onerror=alert(1)>\"'&#device=%"


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    path = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    if path is None:
        pytest.skip("no Chromium is installed")
    with sync_api.sync_playwright() as playwright:
        # Chromium's sandbox does not start as root, as whom CI runs; what it opens here is our own.
        found = playwright.chromium.launch(executable_path=path, args=["--no-sandbox"])
        yield found
        found.close()


def rich(index: int) -> dict[str, Any]:
    """A device with all that a result may hold."""
    drift = {"feature": "Ia", "index": 0.4, "probability": 0.001, "means": -1.5, "large": True}
    span = {"start": "May", "end": "June", "samples": 40, "faults": 9, "alarms": 8, "accuracy": 0.9}
    return device(index) | {
        "bundle": f"{index:064x}",
        "blend": {"name": "joint", "estimates": {"joint": 0.02, "local": 0.03}},
        "threshold_interval": {"low": 0.3, "high": 0.6, "f1": 0.9, "f1_low": 0.8, "f1_high": 0.95},
        "pr_curve": [[0.5, 1.0], [0.8, 0.9], [1.0, 0.7]],
        "drift": [drift],
        "over_time": [span, span | {"accuracy": 0.95}],
    }


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Sixteen devices, one with a hostile name, one that lost against itself, one whose answer was rejected."""
    names = [*fleet_names(15), HOSTILE]
    groups = {name: i % 2 + 1 for i, name in enumerate(names)}
    result = {"devices": {name: rich(i) for i, name in enumerate(names)}, "fleet": {"groups": groups}}
    rejected = {"phase": 2, "round": 3, "device": "feeder-02", "rejected": "its delta is not finite"}
    folder = tmp_path_factory.mktemp("small")
    return write_report(write_run(folder, names, result, [*rounds(names), rejected], bundle=BUNDLE))


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Path:
    names = [f"feeder-{i:05d}" for i in range(10_000)]
    kinds = [device(i) | {"bundle": f"{i:064x}"} for i in range(48)]
    kinds[7] |= {"threshold_note": "9 samples are too few."}
    kinds[9]["alone"] = metrics(0.999)
    result = {"devices": {name: kinds[i % 48] for i, name in enumerate(names)}, "fleet": {}}
    entries = [
        {"phase": 2, "round": r, "device": name, "query_loss": 0.1, "weight": 1e-4, "alignment": 0.5}
        for r in (1, 2)
        for name in names
    ]
    return write_report(write_run(tmp_path_factory.mktemp("large"), names, result, entries))


@pytest.fixture
def opened(browser: Any) -> Iterator[Any]:
    """Opens a page; fails where it asked for anything else, or said anything on its console."""
    contexts, said = [], []

    def open_page(path: Path, width: int = 1280, scheme: str = "light", fragment: str = "") -> Any:
        context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
        context.set_default_timeout(60_000)
        contexts.append(context)
        page = context.new_page()
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(f"alert: {dialog.message}"))
        page.on("request", lambda request: request.url.startswith("file://") or said.append(request.url))
        page.goto(f"{path.as_uri()}{fragment}")
        return page

    yield open_page
    for context in contexts:
        context.close()
    assert said == []


def names_of(page: Any) -> list[str]:
    found: list[str] = page.locator(".fleet tbody th button").all_inner_texts()
    return found


def status_of(page: Any) -> str:
    text: str = page.locator("[role=status]").inner_text()
    return text


def hindrances(page: Any) -> list[str]:
    """What axe-core finds that hinders a reader, however slightly."""
    found = axe.Axe().run(page).response["violations"]
    return [f"{each['id']} ({each['impact']}): {each['nodes'][0]['html'][:120]}" for each in found]


@pytest.mark.parametrize(("width", "scheme"), [(390, "light"), (390, "dark"), (1280, "dark"), (1920, "light")])
def test_it_fits_every_screen_and_a_screen_reader(small: Path, opened: Any, width: int, scheme: str) -> None:
    page = opened(small, width, scheme)
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    assert page.locator("h1").inner_text().startswith("Deploy these models on all 16 devices: ")
    assert hindrances(page) == []
    page.locator(".fleet tbody button").first.click()
    assert page.locator("dialog[open]").evaluate("each => each.scrollWidth <= each.clientWidth")
    if width < 1920:
        assert hindrances(page) == []
    if folder := os.environ.get("SCREENSHOTS"):
        page.screenshot(path=Path(folder) / f"device-{width}-{scheme}.png")
        page.keyboard.press("Escape")
        page.screenshot(path=Path(folder) / f"run-{width}-{scheme}.png", full_page=True)


def test_the_table_sorts_and_filters(small: Path, opened: Any) -> None:
    page = opened(small)
    assert names_of(page)[0] == "feeder-06" and len(names_of(page)) == 16
    heads = page.locator(".fleet thead th")
    gain = page.get_by_role("button", name="Gain", exact=True)
    gain.click()
    assert names_of(page)[0] == "feeder-06"
    gain.click()
    assert names_of(page)[-1] == "feeder-06"
    assert heads.evaluate_all("all => all.map((each) => each.ariaSort)").count("descending") == 1
    page.get_by_role("button", name="Device", exact=True).click()
    assert names_of(page) == [HOSTILE, *fleet_names(15)]
    page.get_by_label("Find").fill("ER-1")
    assert names_of(page) == [f"feeder-{i}" for i in range(10, 16)] and status_of(page) == "6 of 16 devices"
    page.get_by_label("Find").fill("")
    page.get_by_label("Show", exact=True).select_option(label="Worse off than alone (1)")
    assert names_of(page) == ["feeder-06"]
    page.get_by_label("Show", exact=True).select_option(label="group 2")
    assert len(names_of(page)) == 8
    groups = page.locator("section", has_text="Groups").last.locator("tbody tr").first.inner_text()
    assert re.sub(r"\s+", " ", groups).startswith(
        "1 8 feeder-01, feeder-03, feeder-05, feeder-07 and 4 more 91."
    )


def test_a_device_opens_with_all_that_is_known_of_it(small: Path, opened: Any) -> None:
    page = opened(small)
    page.get_by_role("button", name="feeder-02", exact=True).first.click()
    dialog = page.get_by_role("dialog")
    text = re.sub(r"\s+", " ", dialog.inner_text().replace("\u202f", " "))
    for words in (
        "Nothing forbids this model: it is right on",
        "Choice of the threshold",
        "greatest F1 on its samples: 0.900 [0.800, 0.950]",
        "its delta is not finite",
        "drifted",
        "Learnt from its own and its group's samples",
        f"{1:064x}",
    ):
        assert words in text, words
    assert page.evaluate("document.activeElement.id") == "device-name"
    for name in ("feeder-04", "feeder-05"):
        page.get_by_role("button", name="Next").press("Enter")
        page.get_by_role("heading", name=name).wait_for()
    assert page.evaluate("document.activeElement.textContent") == "Next"
    page.keyboard.press("Escape")
    assert dialog.count() == 0
    page.locator("circle.opens").first.dispatch_event("click")
    assert dialog.count() == 1
    page.emulate_media(media="print")
    assert page.locator("main").is_hidden() and dialog.is_visible()


def test_a_hostile_name_is_only_a_name(small: Path, opened: Any) -> None:
    page = opened(small)
    page.get_by_label("Find").fill("onerror")
    page.locator(".fleet tbody button").click()
    assert page.locator("#device-name").inner_text() == HOSTILE
    link = page.evaluate("location.hash")
    again = opened(small, fragment=link)
    assert again.locator("#device-name").inner_text() == HOSTILE
    assert again.locator("img").count() == 0


def test_ten_thousand_devices_are_at_hand(large: Path, opened: Any) -> None:
    assert large.stat().st_size < 3_000_000
    page = opened(large)
    assert page.locator("main *").count() < 5_000
    assert status_of(page) == "10,000 devices; 1 to 25 are shown"
    page.get_by_role("button", name="Next").click()
    assert status_of(page) == "10,000 devices; 26 to 50 are shown"
    page.locator("summary", has_text="Worse off than alone").click()
    page.get_by_role("button", name=re.compile("^Show these")).first.click()
    assert status_of(page).startswith("1,042 of 10,000 devices")
    page.get_by_label("Show", exact=True).select_option(label="all devices")
    page.get_by_label("Find").fill("feeder-09999")
    page.locator(".fleet tbody button").click()
    command = "fedmetaalign report large0 --device feeder-09999"
    assert page.locator("dialog code").first.inner_text() == command
    page.emulate_media(media="print")
    assert hindrances(page) == []


def odd_runs() -> dict[str, dict[str, Any]]:
    known = {"majority": None, "one_rule": None, "alone": None}
    alarms = {"share": 0.05, "low": 0.01, "high": 0.2, "allowed": 0.01, "samples": 80}
    return {
        "bare": {"pump": {"stages": {}}, "motor": {}},
        "one": {"pump": device(0) | {"ladder": CANDIDATES, "alone": None}},
        "two": {
            "a": rich(0),
            "b": device(1) | {"few_faults": {"faults": 2, "found": 2, "low": 0.2, "high": 1.0}},
        },
        "kinds": {
            name: of_classes(device(i), [[6, 1, 1], [0, 3, 1], [0, 0, 0]], ["open"])
            for i, name in enumerate("abc")
        },
        "unjudged": {
            "normal": device(0) | known | {"known": "normal", "false_alarms": alarms},
            "faulty": device(1) | known | {"known": "faulty"},
            "nothing": {"stages": {}, "known": "nothing", "samples": {"test": 0}},
        },
    }


@pytest.mark.parametrize("name", odd_runs())
def test_a_run_with_less_or_other_than_usual_is_drawn(name: str, tmp_path: Path, opened: Any) -> None:
    devices = odd_runs()[name]
    entries = [] if name == "bare" else rounds([*devices])
    page = opened(write_report(write_run(tmp_path, [*devices], {"devices": devices, "fleet": {}}, entries)))
    assert sorted(names_of(page)) == sorted(devices)
    assert hindrances(page) == []
    for button in page.locator(".fleet tbody th button").all():
        button.click()
        text = page.get_by_role("dialog").inner_text()
        assert "undefined" not in text and "NaN" not in text and "null" not in text
        page.keyboard.press("Escape")


def test_without_a_script_the_words_are_there(small: Path, browser: Any) -> None:
    context = browser.new_context(java_script_enabled=False)
    page = context.new_page()
    page.goto(small.as_uri())
    text = page.locator("main").inner_text()
    context.close()
    assert "All numbers stand in results.json." in text and "Worse off than alone: 1 device" in text


def test_the_page_of_a_comparison_sorts_and_is_accessible(tmp_path: Path, opened: Any) -> None:
    path = tmp_path / "compare.html"
    (tmp_path / "accuracy.svg").write_text(figures.accuracy(comparison()), encoding="utf-8")
    path.write_text(page_of_comparison.document(comparison(), tmp_path), encoding="utf-8")
    for width, scheme in ((390, "dark"), (1280, "light")):
        page = opened(path, width, scheme)
        assert page.evaluate("document.documentElement.scrollWidth") <= width
        assert hindrances(page) == []
    assert page.locator("img").evaluate_all("all => all.map((each) => each.naturalWidth > 100)") == [True]
    methods = page.locator("#methods")
    assert methods.locator("tbody th").all_inner_texts()[0] == "FedAvg"
    methods.get_by_role("button", name="Accuracy", exact=True).click()
    assert methods.locator("tbody th").all_inner_texts()[0] == "FedAvg (global)"
    page.get_by_label("Find").fill("mach")
    assert page.locator("#devices tbody th").all_inner_texts() == ["machine"]


def test_what_the_page_carries_is_the_runs(small: Path, opened: Any) -> None:
    page = opened(small)
    carried = page.evaluate("JSON.parse(document.getElementById('data').textContent).columns.deployed")
    results = json.loads((small.parent / "results.json").read_text(encoding="utf-8"))["devices"]
    assert sorted(carried) == sorted(
        round(1000 * each["stages"]["deployed"]["accuracy"]) for each in results.values()
    )
