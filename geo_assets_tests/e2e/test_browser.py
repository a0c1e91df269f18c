"""The Dagster UI as a person sees it, in a headless Chromium.

With ``GEO_ASSETS_SCREENSHOTS=docs/images`` the project is the demo, and the pictures of the documentation are written there.
"""

import importlib.util
import io
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import dagster as dg
import pytest
from PIL import Image

from geo_assets.doors.demo import write_demo
from geo_assets_tests.assets.tiny import MIDDLE, SCENES, Tiny, key
from geo_assets_tests.e2e.conftest import YEAR, create
from geo_assets_tests.e2e.tools import ROOT, Ui, cli, serving, wait_for

pytestmark = [pytest.mark.slow, pytest.mark.browser]
FLAGS = (
    "--headless=new", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking",
    "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage", "--window-size=1400,1500",
)  # fmt: skip
CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
DRIVER = shutil.which("chromedriver")


@pytest.fixture
def browser(tmp_path: Path) -> Iterator[Any]:
    if not (CHROMIUM and DRIVER and importlib.util.find_spec("selenium")):
        pytest.skip("no browser here: chromium, chromedriver and the package selenium are needed")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = str(CHROMIUM)
    for flag in (*FLAGS, f"--user-data-dir={tmp_path / 'chromium'}"):
        options.add_argument(flag)
    driver = webdriver.Chrome(options=options, service=Service(DRIVER))
    try:
        yield driver
    finally:
        driver.quit()


def text(browser: Any) -> str:
    """What the page says."""
    return str(browser.execute_script("return document.body.innerText"))


def wait_text(browser: Any, *wanted: str) -> None:
    wait_for(lambda: all(w in text(browser) for w in wanted), f"{wanted} on {browser.current_url}")


def click(browser: Any, xpath: str) -> None:
    """Click what is there, or will be."""
    from selenium.common.exceptions import WebDriverException

    def attempt() -> bool:
        try:
            browser.find_element("xpath", xpath).click()
        except WebDriverException:  # not there yet, or replaced while the page is built
            return False
        return True

    wait_for(attempt, f"{xpath} on {browser.current_url}")


def shoot(browser: Any, name: str) -> None:
    """Write a picture for the documentation, if these are wanted."""
    folder = os.environ.get("GEO_ASSETS_SCREENSHOTS")
    if not folder:
        return
    browser.execute_script("document.activeElement.blur()")
    picture = Image.open(io.BytesIO(browser.get_screenshot_as_png())).convert("RGB")
    assert picture.width <= 1400
    file = ROOT / folder / name
    file.parent.mkdir(parents=True, exist_ok=True)
    picture.quantize(128, dither=Image.Dither.NONE).save(file, optimize=True)
    assert file.stat().st_size < 300_000


def prepare(folder: Path, world: Path) -> tuple[Tiny, str, str, str]:
    """A project with one month that is searched but not composited; its region, a month that is made, and that one."""
    if os.environ.get("GEO_ASSETS_SCREENSHOTS"):
        write_demo(folder)
        tiny = Tiny(folder)
        months = tiny.loaded.periods().keys
        cli(folder, "run", "--months", f":{months[-2]}")
        cli(folder, "run", "--products", "scenes")
        return tiny, sorted(r for r, _ in tiny.receipts())[0], months[-3], months[-1]
    tiny = create(folder, world, 3)
    cli(folder, "run", "--months", f":{YEAR[1]}")
    cli(folder, "run", "--products", "scenes")
    return tiny, MIDDLE, YEAR[1], YEAR[2]


def see_graph(browser: Any, ui: Ui) -> None:
    groups = ",".join(f"global@global:{g}" for g in ("area", "catalog", "cube"))
    browser.get(f"{ui.url}/asset-groups?expanded={groups}")
    wait_text(browser, "cells", SCENES.split("/")[1], "composite", "1 / 1 Passed", "100% filled")
    shoot(browser, "ui-graph.png")


def see_partitions(browser: Any, ui: Ui, region: str, made: str, missing: str) -> None:
    browser.get(f"{ui.url}/assets/composite?view=partitions&partition={made}%7C{region}")
    wait_text(browser, region, made, missing, f"{made}|{region}", "Materialized", "observed_share", "quicklook")
    shoot(browser, "ui-partitions.png")


def make_by_click(browser: Any, ui: Ui, region: str, month: str) -> None:
    """Choose a missing partition in the grid and launch it in the dialog."""
    browser.get(f"{ui.url}/assets/composite?view=partitions")
    wait_text(browser, region, month)
    click(browser, f"//*[text()='{month}']")
    click(browser, f"//*[text()='{region}']")
    wait_for(lambda: f"partition={month}%7C{region}" in browser.current_url, "the partition in the address")
    click(browser, "//button[starts-with(normalize-space(.), 'Materialize')]")
    wait_text(browser, "Launch runs to materialize composite", "1 partition")
    click(browser, "//button[normalize-space(.)='Launch 1 run']")


def see_quicklook(browser: Any, ui: Ui, region: str, month: str) -> None:
    browser.get(f"{ui.url}/assets/composite?view=partitions&partition={month}%7C{region}")
    wait_text(browser, "quicklook", "observed_share")
    if "[Show Markdown]" in text(browser):  # a short one is shown at once
        click(browser, "//*[contains(text(), 'Show Markdown')]")
    size = "const i = document.querySelector('img[alt=quicklook]'); return i && i.complete ? [i.naturalWidth, i.naturalHeight] : null"
    width, height = wait_for(lambda: browser.execute_script(size), "the picture")
    assert max(width, height) >= 80
    shoot(browser, "ui-quicklook.png")


@pytest.mark.heavy
def test_a_person_sees_the_graph_makes_a_partition_and_sees_its_picture(
    browser: Any, tmp_path: Path, year_world: Path
) -> None:
    tiny, region, made, missing = prepare(tmp_path / "demo", year_world)
    with serving(tiny.folder) as ui, tiny.instance() as instance:
        see_graph(browser, ui)
        see_partitions(browser, ui, region, made, missing)
        before = instance.get_materialized_partitions(dg.AssetKey("composite"))
        assert key(region, missing) not in before
        make_by_click(browser, ui, region, missing)
        wait_for(
            lambda: key(region, missing) in instance.get_materialized_partitions(dg.AssetKey("composite")),
            "the partition",
        )
        receipt = tiny.receipts()[region, missing]
        run = wait_for(
            lambda: (r := instance.get_run_by_id(receipt.run_id)) and r.is_finished and r, "the end of its run"
        )
        assert run.status is dg.DagsterRunStatus.SUCCESS
        see_quicklook(browser, ui, region, missing)
    assert (
        cli(tiny.folder, "run", "--months", f"{missing}:{missing}", "--regions", region)["partitions"]["skipped"] == 1
    )
