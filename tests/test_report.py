"""The report in a real browser, without a network."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from matplotlib import colormaps
from scipy.stats import spearmanr

from gradcamo.columns import CAUSAL_COLUMNS
from gradcamo.datatypes import CellCrop
from gradcamo.errors import GradcamoError
from gradcamo.files.landing import landing
from gradcamo.files.store import write_table
from gradcamo.profiles.cutoffs import cost_of_cutoffs
from gradcamo.report import write_report
from gradcamo.report.data import cutoff_steps, passing_at
from gradcamo.report.findings import findings
from gradcamo.views import cell_view, thumbnail
from gradcamo.words import number, percent

DOSES = {"D": "control", "B": "0.06x", "E": "40.0x"}
NASTY = "</script><script>window.hacked = true</script>"


def cells(seed: int = 0) -> pd.DataFrame:
    rng = np.random.default_rng(seed)
    rows = [
        (f"{row}{column}_{site}.tif", label, "P1", row + column, str(site), treatment)
        for row, treatment in DOSES.items()
        for column in ("02", "03")
        for site in (1, 2)
        for label in range(1, 21)
    ]
    names = ["image", "label", "plate", "well", "site", "treatment"]
    table = pd.DataFrame(rows, columns=names)
    n = len(table)
    table["touches_border"] = rng.random(n) < 0.2
    score = np.where(table["touches_border"], np.nan, rng.beta(2, 4, n))
    score[5] = np.nan
    return table.assign(
        grad_camo=score,
        neighbour_share=(1 - score) * 0.3,
        background_share=(1 - score) * 0.7,
        chance=np.where(np.isnan(score), np.nan, 0.15),
        ceiling=np.where(np.isnan(score), np.nan, 0.9),
        predicted=np.where(table["touches_border"], "", rng.choice(list(DOSES.values()), n)),
        layer="block_4",
        batch=np.where(table["well"].str[0] == "D", "first", "second"),
        volume_um3=rng.uniform(50, 400, n),
        umap_1=np.where(np.isnan(score), np.nan, rng.standard_normal(n)),
        umap_2=np.where(np.isnan(score), np.nan, rng.standard_normal(n)),
    )


def asked(table: pd.DataFrame) -> pd.DataFrame:
    """Half of the whole cells asked causally; some have no donors, some no answer."""
    rng, n = np.random.default_rng(1), len(table)
    drawn = (np.arange(n) % 2 == 0) & ~table["touches_border"].to_numpy()
    lacking = drawn & (np.arange(n) % 8 == 0)
    played = drawn & ~lacking
    called = np.where(rng.random(n) < 0.8, table["treatment"], "0.06x")
    table = table.assign(predicted=np.where(table["touches_border"], "", called))
    shares = rng.dirichlet((1, 1, 6), n)
    shares[~played | (np.arange(n) % 10 == 2) | (called != table["predicted"])] = np.nan
    table[["causal_own", "causal_neighbour", "causal_background"]] = shares
    reason = np.where(lacking, "there is no other training well of x", "")
    reason = np.where(drawn | table["touches_border"], reason, "it was not asked")
    names = [name for name in CAUSAL_COLUMNS if name not in table]
    table = table.assign(**dict.fromkeys(names, np.nan)).assign(
        causal_reason=reason,
        causal_target=called,
        causal_reference=np.where(called == "control", "40.0x", "control"),
        causal_effect=np.where(played, 4.0, np.nan),
        causal_draws=np.where(drawn, 4, 0),
        volume_own=0.2,
        volume_neighbour=0.3,
        volume_background=0.5,
    )
    for k, name in enumerate(MEDIANS):
        table[name] = np.where(played, 0.1 * (k + 1), np.nan)
    return table


MEDIANS = ("causal_layout", "causal_swap", "causal_limits", "causal_against")
USES = pd.DataFrame(
    {
        "real": ["own", "background", "nothing", "all"],
        "40.0x": [0.3, 0.9, 0.4, 0.98],
        "control": [0.4, 0.94, 0.3, 1.0],
        "balanced_accuracy": [0.35, 0.92, 0.35, 0.99],
        "chance": 0.5,
        "cells": [20, 20, 20, 20],
    }
)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """What 'gradcamo plate' leaves, small: table, pictures, measures, layers."""
    out = tmp_path_factory.mktemp("plate")
    table = asked(cells())
    labels = np.zeros((3, 24, 24), np.int32)
    labels[:, 6:18, 6:18] = 1
    image = np.random.default_rng(0).random((2, 3, 24, 24))
    crop = CellCrop(1, (0, 0, 0), False, lambda: image, lambda: labels)
    jpeg = thumbnail(cell_view(crop, np.ones((3, 24, 24))))
    kept = table.loc[table["grad_camo"].notna(), ["image", "label", "grad_camo"]]
    with landing(out / "thumbnails/all.parquet") as scratch:
        kept.assign(jpeg=jpeg).to_parquet(scratch)
    recipe = {
        "checkpoint": "abc123",
        "settings": {"layer": "block_4", "cutoff": 0.3},
        "pictures": ["thumbnails/all.parquet"],
        "cautions": [f"few controls {NASTY}"],
    }
    write_table(table, out / "cells.parquet", recipe)
    measured = pd.DataFrame(
        {
            "measure": ["variance", "neighbours"],
            "of": ["grad_camo", "whitened profiles"],
            "cells": "all",
            "question": ["treatment", "site"],
            "value": [0.4, 0.62],
            "chance": [0.1, 0.25],
            "p": [0.01, np.nan],
            "error": [np.nan, 0.03],
            "groups": [np.nan, 6],
            "per_class": [np.nan, 20],
        }
    )
    write_table(measured, out / "confounding.csv")
    said = {"failed": {"P1_B02_9": "it is no TIFF"}, "missing": ["P1_E03_9"]}
    (out / "summary.json").write_text(json.dumps(said))
    whole = table[~table["touches_border"]]
    costs = cost_of_cutoffs(whole, 0.02, "control").assign(well_correlation=0.02)
    write_table(costs, out / "cutoffs.csv")
    write_table(USES, out / "uses.csv")
    layers = pd.concat([table.assign(layer=name) for name in ("block_2", "block_4")])
    write_table(layers, out / "layers.parquet")
    audited = {"layer": ["block_2", "block_4"], "grid": ["8 12 12", "4 6 6"], "grad_camo": 0.3}
    audited |= {"alignment": "paper", "gradients": "local"}
    audited |= {"attainable": 0.4, "chance": 0.15, "ceiling": 0.9, "empty": 0.0}
    audited |= {"probe_accuracy": [0.41, 0.73], "largest_class": 0.34}
    write_table(pd.DataFrame(audited), out / "layer_summary.csv")
    write_report(out, out / "report.html")
    return out


@pytest.fixture(scope="module")
def browser():
    """Headless Chromium that can reach nothing."""
    selenium = pytest.importorskip("selenium.webdriver")
    driver = shutil.which("chromedriver")
    binary = shutil.which("chromium") or shutil.which("google-chrome")
    if not driver or not binary:
        pytest.skip("no Chromium with its driver here")
    options = selenium.ChromeOptions()
    options.binary_location = binary
    for flag in (
        "--headless",
        "--no-sandbox",
        "--disable-gpu",
        "--disable-dev-shm-usage",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
        "--no-first-run",
        "--host-resolver-rules=MAP * ~NOTFOUND",
        "--window-size=1200,900",
    ):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL", "performance": "ALL"})
    chrome = selenium.Chrome(options, selenium.ChromeService(driver))
    yield chrome
    chrome.quit()


@pytest.fixture
def page(browser, folder):
    browser.get((folder / "report.html").as_uri())
    return browser


def js(page, code: str):
    return page.execute_script(f"return {code}")


def move(page, cutoff: float) -> None:
    page.execute_script(
        "const s = document.getElementById('cutoff'); s.value = arguments[0];"
        "s.dispatchEvent(new Event('input'))",
        round(cutoff * 100),
    )


def test_the_page_opens_without_a_network_and_without_complaint(page):
    page.get_log("performance")
    page.get_log("browser")
    page.refresh()
    requested = []
    for entry in page.get_log("performance"):
        message = json.loads(entry["message"])["message"]
        if message["method"] == "Network.requestWillBeSent":
            requested.append(message["params"]["request"]["url"])
    foreign = [url for url in requested if not url.startswith(("file:", "data:", "blob:"))]
    assert requested
    assert foreign == []
    assert page.get_log("browser") == []
    assert js(page, "window.hacked") is None
    buttons = js(
        page, "[...document.querySelectorAll('.modebar-btn')].map(b => b.dataset.title ?? '')"
    )
    assert any("png" in button.casefold() for button in buttons)
    assert not [button for button in buttons if re.search("cloud|share|link", button, re.I)]


def test_every_section_is_drawn(page):
    for name in ("plate", "scores", "budget", "causal-budget", "agreement", "map", "layers"):
        box = js(page, f"document.querySelector('#{name} .main-svg').getBoundingClientRect()")
        assert box["width"] > 400, name
        assert box["height"] > 150, name
        assert js(page, f"document.getElementById('{name}').offsetParent !== null")
    text = js(page, "document.body.innerText")
    for said in (
        "Few controls </script>",
        "P1_B02_9: it is no TIFF",
        "P1_E03_9: not done when the run ended",
        "plate P1",
        "network abc123",
        "cut-off 0.3",
    ):
        assert said in text
    assert "null" not in js(page, "document.querySelector('#plate').textContent")
    width = js(page, "document.documentElement.scrollWidth")
    assert width <= js(page, "window.innerWidth")


def rows_of(page, section: str, table: int = 0) -> list[list[str]]:
    return page.execute_script(
        "const s = [...document.querySelectorAll('section')].find("
        "s => s.querySelector('h2')?.textContent === arguments[0]);"
        "return [...s.querySelectorAll('table')[arguments[1]].tBodies[0].rows]"
        ".map(r => [...r.cells].map(c => c.innerText.replace(/\\s+/g, ' ').trim()))",
        section,
        table,
    )


def test_measures_stand_in_tables_with_one_row_per_thing_compared(page, folder):
    (variance,) = rows_of(page, "Confounding")
    assert variance[:2] == ["Grad-CAMO", "40 % by chance 10 %, p 0.010"]
    (site,) = rows_of(page, "Confounding", 1)
    assert site[:4] == ["whitened profiles", "site", "62 % ± 3", "–"]
    costs = pd.read_csv(folder / "cutoffs.csv")
    rows = rows_of(page, "What a cut-off costs")
    assert [row[0] for row in rows] == list(DOSES.values())
    at = costs[(costs["treatment"] == "40.0x") & (costs["cutoff"] == 0.3)].iloc[0]
    assert rows[2][5] == f"{at['share']:.0%} {at['wells']} wells power {at['power']:.0%}".replace(
        "%", " %"
    )
    assert "power" not in " ".join(rows[0])  # the control itself
    layers = rows_of(page, "Layers")
    assert [row[0] for row in layers] == ["block_2", "block_4 (explained here)"]
    assert [row[-2] for row in layers] == ["41 %", "73 %"]
    both = told_by_hand().dropna(subset="grad_camo")
    rho = spearmanr(both["grad_camo"], both["causal_own"])[0]
    assert rho < 0.5
    assert [row[-1] for row in layers] == 2 * [f"ρ {rho:.2f} (below 0.5: ranks cells otherwise)"]
    assert "Gradients local, maps placed as paper." in js(page, "document.body.innerText")


def told_by_hand() -> pd.DataFrame:
    """Whole cells that are asked, answered and called right."""
    table = asked(cells())
    whole = ~table["touches_border"] & (table["causal_effect"] > 0)
    return table[whole & (table["predicted"] == table["treatment"]) & table["causal_own"].notna()]


def test_the_verdict_comes_first_and_in_plain_words(page):
    verdict = js(page, "document.querySelector('.verdict').innerText")
    shares = told_by_hand()[["causal_own", "causal_neighbour", "causal_background"]].mean()
    owes = [f"{share:.0%}" for share in shares]
    assert verdict == (
        f"This network tells treatments apart by the background: its predictions owe {owes[0]} to "
        f"the cell itself, {owes[1]} to neighbouring cells and {owes[2]} to the background (which "
        "fill 20%, 30% and 50% of the crop). With only the background real and all else swapped "
        "it is right in 92% (whole crops 99%, guessing 50%)."
    )


def test_what_maps_and_predictions_spend_stands_side_by_side(page):
    told, table = told_by_hand(), asked(cells())
    for by, columns in enumerate((["treatment"], ["site"], ["treatment", "site"])):
        page.execute_script(
            "const s = document.getElementById('budget-by'); s.value = arguments[0];"
            "s.dispatchEvent(new Event('change'))",
            str(by),
        )
        for plot, kept, shares, line in (
            ("budget", table[table["grad_camo"].notna()], ["grad_camo", "neighbour_share"],
             "chance"),
            ("causal-budget", told, ["causal_own", "causal_neighbour"], "volume_own"),
        ):  # fmt: skip
            means = kept.groupby(columns)[[*shares, line]].mean()
            data = js(page, f"document.getElementById('{plot}').data.map(t => [t.x, t.y])")
            x = data[0][0]
            names = list(zip(*x, strict=True)) if len(columns) == 2 else x
            if by != 1:
                order = list(dict.fromkeys(x[0] if len(columns) == 2 else x))
                assert order == list(DOSES.values())
            for drawn, name in zip((0, 1, 3), means.columns, strict=True):
                expected = means[name].loc[list(names)]
                np.testing.assert_allclose(data[drawn][1], expected, atol=1e-4)


def test_a_mean_of_a_few_cells_says_of_how_many(tmp_path, browser):
    table = asked(cells())
    told = table[table["causal_own"].notna() & (table["treatment"] == table["predicted"])]
    few = told[told["treatment"] == "control"].iloc[:2]
    rest = told[told["treatment"] != "control"]
    write_table(pd.concat([few, rest], ignore_index=True), tmp_path / "cells.csv")
    browser.get(write_report(tmp_path / "cells.csv", tmp_path / "report.html").as_uri())
    bars = js(browser, "document.getElementById('causal-budget').data.map(t => [t.x, t.text])")
    said = dict(zip(*bars[-1], strict=True))
    pale = js(browser, "document.getElementById('causal-budget').data[0].marker.opacity")
    assert said["control"] == "n = 2"
    assert [name for name, seen in zip(bars[0][0], pale, strict=True) if seen < 1] == ["control"]


def test_causal_tables_count_asked_right_and_answered_cells(page):
    table, told = asked(cells()), told_by_hand()
    rows = rows_of(page, "Causal attention")
    assert [row[0] for row in rows] == ["the cell itself", "the background", "nothing",
                                        "all, as it is"]  # fmt: skip
    assert rows[1][1:] == ["94 %", "90 %", "92 %", "20"]  # the control first
    rows = rows_of(page, "Causal attention", 1)
    assert [row[0] for row in rows] == list(DOSES.values())
    whole = table[~table["touches_border"] & table["causal_effect"].notna()]
    for name, *shown in rows:
        mine = whole[whole["treatment"] == name]
        right = mine[mine["predicted"] == name]
        answered = told[told["treatment"] == name]
        assert shown[:3] == [str(len(part)) for part in (mine, right, answered)]
        owes = answered[["causal_own", "causal_neighbour", "causal_background"]].mean()
        assert [text.split()[0] for text in shown[3:6]] == [f"{share:.2f}" for share in owes]
        assert shown[3].endswith("fills 0.20")
        assert shown[6:] == ["0.10", "0.20", "0.30", "0.40"]
    text = js(page, "document.getElementById('causal').innerText")
    lacking = (table["causal_reason"] == "there is no other training well of x").sum()
    assert f"{lacking}: there is no other training well of x" in text
    assert "Donors from more wells and images help: make a bank" in text
    assert "over 4 draws" in text
    assert "was not asked" not in text
    both = told[told["grad_camo"].notna()]
    rho = spearmanr(both["grad_camo"], both["causal_own"])[0]
    assert f"Spearman's ρ = {rho:.2f} over {len(both)} cells" in text
    drawn = js(page, "document.getElementById('agreement').data.map(t => [t.name, t.x, t.y])")
    assert [name for name, *_ in drawn] == list(DOSES.values())
    for name, x, y in drawn:
        mine = both[both["treatment"] == name]
        np.testing.assert_allclose(x, mine["grad_camo"], atol=1e-4)
        np.testing.assert_allclose(y, mine["causal_own"], atol=1e-4)


@pytest.fixture(scope="module")
def crowded(folder, tmp_path_factory) -> Path:
    """The same plate with as many treatments as fill a phone's width twice, and long words."""
    out = tmp_path_factory.mktemp("crowded")
    shutil.copytree(folder, out, dirs_exist_ok=True)
    said = {f"Staurosporine {dose} µM": 0.5 for dose in range(8)}
    write_table(USES.drop(columns=["40.0x", "control"]).assign(**said), out / "uses.csv")
    table = asked(cells()).replace({"treatment": {"control": "Staurosporine-in-DMSO-for-48-hours"}})
    long = f"in {'4711_E02_s2_' * 12}.ome.tif a label lies in several pieces"
    write_table(table, out / "cells.parquet", {"settings": {"cutoff": 0.3}, "cautions": [long]})
    write_report(out, out / "report.html")
    return out


@pytest.mark.parametrize("width", [390, 768])
@pytest.mark.parametrize("plate", ["folder", "crowded"])
def test_the_page_fits_a_phone_and_a_tablet(browser, plate, width, request):
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": True},
    )
    try:
        browser.get((request.getfixturevalue(plate) / "report.html").as_uri())
        assert js(browser, "document.documentElement.scrollWidth") <= width
        wide = js(
            browser,
            "[...document.querySelectorAll('section, .plot, svg.main-svg, p, li, .wide')].filter("
            f"e => !e.closest('[hidden]') && e.getBoundingClientRect().right > {width + 1})"
            ".map(e => e.id || e.className.baseVal || e.innerText.slice(0, 20))",
        )
        assert wide == []
        hidden = js(  # of a table, beyond what its box shows when it is scrolled to its end
            browser,
            "[...document.querySelectorAll('table')].filter(t => t.offsetParent).map(t => {"
            "const box = t.parentElement; box.scrollLeft = 1e6;"
            "return t.getBoundingClientRect().right - box.getBoundingClientRect().right; })",
        )
        assert len(hidden) >= 6
        assert max(hidden) <= 1
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})


@pytest.mark.parametrize("width", [390, 1200])
def test_charts_are_drawn_once_as_wide_as_their_room(browser, folder, width):
    noted = (
        "window.earlier = []; new MutationObserver((seen) => window.earlier.push(...seen"
        ".filter((one) => one.oldValue && one.target.matches('.main-svg'))"
        ".map((one) => [one.target.closest('.plot').id, Number(one.oldValue)])))"
        ".observe(document, { subtree: true, attributes: true, attributeFilter: ['width'],"
        " attributeOldValue: true })"
    )
    script = browser.execute_cdp_cmd("Page.addScriptToEvaluateOnNewDocument", {"source": noted})
    browser.execute_cdp_cmd(
        "Emulation.setDeviceMetricsOverride",
        {"width": width, "height": 844, "deviceScaleFactor": 1, "mobile": width < 500},
    )
    try:
        browser.get((folder / "report.html").as_uri())
        drawn = js(
            browser,
            "[...document.querySelectorAll('.plot > .plot-container')].map(p => "
            "[p.parentElement.id, p.querySelector('.main-svg').getBoundingClientRect().width,"
            " p.parentElement.getBoundingClientRect().width])",
        )
        assert len(drawn) == 7
        assert [name for name, chart, room in drawn if abs(chart - room) > 1] == []
        now = {name: chart for name, chart, _ in drawn}
        earlier = js(browser, "window.earlier")
        assert [(name, old) for name, old in earlier if abs(old - now[name]) > 1] == []
    finally:
        browser.execute_cdp_cmd("Emulation.clearDeviceMetricsOverride", {})
        browser.execute_cdp_cmd("Page.removeScriptToEvaluateOnNewDocument", script)


def contrast(*colours) -> float:
    """The contrast of two RGB colours, WCAG 2."""
    c = np.array(colours, float) / 255
    linear = np.where(c <= 0.04045, c / 12.92, ((c + 0.055) / 1.055) ** 2.4)
    low, high = np.sort(linear @ [0.2126, 0.7152, 0.0722])
    return (high + 0.05) / (low + 0.05)


def test_figures_can_be_read_on_every_bar_and_well(browser, tmp_path):
    table = asked(cells())
    few = table["causal_own"].notna() & (table["treatment"] == "control")  # whose bars are pale
    table.loc[few & (few.cumsum() > 2), ["causal_own", "causal_effect"]] = np.nan
    steps = pd.Series(np.linspace(0, 1, 11), [f"H{column:02d}" for column in range(1, 12)])
    wells = table[table["grad_camo"].notna()].head(11)  # all shades of a plate
    wells = wells.assign(well=steps.index, grad_camo=steps.to_numpy(), causal_effect=np.nan)
    table = pd.concat([table, wells], ignore_index=True)
    write_table(table, tmp_path / "cells.parquet", {"settings": {"cutoff": 0.3}})
    browser.get(write_report(tmp_path, tmp_path / "report.html").as_uri())
    bars = js(
        browser,
        "[...document.querySelectorAll('.barlayer .point')].filter(p => p.querySelector('text'))"
        ".map(p => [getComputedStyle(p.querySelector('text')).fill,"
        " ...[getComputedStyle(p.querySelector('path'))].flatMap(s => [s.fill, s.opacity])])",
    )
    assert {opacity for *_, opacity in bars} == {"1", "0.4"}
    for ink, ground, opacity in bars:
        ink, ground = ([int(n) for n in re.findall(r"\d+", c)[:3]] for c in (ink, ground))
        shown = float(opacity) * np.array(ground) + (1 - float(opacity)) * 255
        assert contrast(ink, shown) >= 4.5, (ink, ground, opacity)
    wells, top = js(
        browser,
        "[[...document.querySelectorAll('.heatmap-label text')].map(t => [t.textContent,"
        " getComputedStyle(t).fill]), document.getElementById('plate').layout.coloraxis.cmax]",
    )
    assert len(wells) == 17  # and those of the plate
    assert {ink for _, ink in wells} == {"rgb(0, 0, 0)", "rgb(255, 255, 255)"}
    for value, ink in wells:
        ground = np.array(colormaps["viridis"](float(value) / top)[:3]) * 255
        assert contrast([int(n) for n in re.findall(r"\d+", ink)], ground) >= 4.5, (value, ink)
    below, above = js(browser, "document.getElementById('plate').data.map(t => [t.text, t.z])")
    covered = zip(np.ravel(below[0]), np.ravel(above[1]), strict=True)
    assert [text for text, z in covered if text and z is not None] == []


def test_a_page_without_causal_columns_says_nothing_of_them(browser, tmp_path):
    write_table(cells(), tmp_path / "cells.csv")
    browser.get(write_report(tmp_path / "cells.csv", tmp_path / "report.html").as_uri())
    assert js(browser, "document.querySelector('.verdict, #causal')") is None
    assert not js(browser, "document.getElementById('budget-section').hidden")
    assert js(browser, "document.getElementById('cause').hidden")
    never = asked(cells()).assign(causal_effect=np.nan)
    write_table(never, tmp_path / "cells.csv")
    browser.get(write_report(tmp_path / "cells.csv", tmp_path / "report.html").as_uri())
    assert js(browser, "document.querySelector('.verdict, #causal')") is None


def test_the_cut_off_moves_the_line_and_the_counts(page, folder):
    table = cells()
    whole = table[~table["touches_border"]]
    assert js(page, "document.getElementById('cutoff').value") == "30"
    for cutoff in (0.3, 0.0, 0.55, 1.0):
        move(page, cutoff)
        passing = whole["grad_camo"] >= cutoff
        said = js(page, "document.getElementById('passing').textContent")
        assert said.startswith(f"{passing.sum()} of {len(whole)} whole cells pass")
        assert js(page, "document.getElementById('scores').layout.shapes[0].y0") == cutoff
        rows = js(
            page,
            "[...document.querySelectorAll('#pass-table tbody tr')]"
            ".map(r => [...r.cells].map(c => c.textContent))",
        )
        assert [row[0] for row in rows] == list(DOSES.values())
        for treatment, n, kept, _, wells in rows:
            mine = whole[whole["treatment"] == treatment]
            assert int(n) == len(mine)
            assert int(kept) == passing[mine.index].sum()
            assert wells == f"{mine[passing[mine.index]]['well'].nunique()} of 2"


def test_wells_show_their_median_or_the_share_that_passes(page):
    table = cells()
    whole = table[~table["touches_border"]]
    z = js(page, "document.getElementById('plate').data[0].z")
    rows = js(page, "document.getElementById('plate').data[0].y")
    assert rows == ["B", "C", "D", "E"]
    expected = whole.loc[whole["well"] == "D03", "grad_camo"].median()
    assert z[2][1] == pytest.approx(expected, abs=1e-4)
    assert z[1] == [None, None]
    page.execute_script(
        "const s = document.getElementById('plate-colour'); s.value = 'share';"
        "s.dispatchEvent(new Event('change'))"
    )
    move(page, 0.4)
    z = js(page, "document.getElementById('plate').data[0].z")
    share = (whole.loc[whole["well"] == "D03", "grad_camo"] >= 0.4).mean()
    assert z[2][1] == pytest.approx(share)


def test_the_map_is_coloured_by_choice_and_shows_the_cell_under_the_mouse(page):
    from selenium.webdriver import ActionChains

    names = js(page, "document.getElementById('map').data.map(t => t.name)")
    assert names == list(DOSES.values())
    n = sum(js(page, "document.getElementById('map').data.map(t => t.x.length)"))
    assert n == cells()["grad_camo"].notna().sum()
    offered = js(page, "[...document.getElementById('map-colour').options].map(o => o.text)")
    assert "causal own" in offered
    assert not [name for name in offered if "phi" in name]
    assert offered[:4] == ["treatment", "score", "pass", "predicted"]
    assert "batch" in offered  # a column of the plate's own
    assert not {"layer", "image", "label"} & set(offered)  # one for all cells, or one per cell
    colours = {"site": 2, "well": 6, "grad_camo": 1, "pass": 2, "volume_um3": 1, "batch": 2}
    for kind, traces in colours.items():
        page.execute_script(
            "const s = document.getElementById('map-colour'); s.value = arguments[0];"
            "s.dispatchEvent(new Event('change'))",
            kind,
        )
        assert js(page, "document.getElementById('map').data.length") == traces
    point = page.find_elements("css selector", "#map .scatterlayer .point")[0]
    page.execute_script("arguments[0].scrollIntoView({block: 'center'})", point)
    ActionChains(page).move_to_element(point).perform()
    shown = page.find_element("css selector", "#cell img")
    from selenium.webdriver.support.ui import WebDriverWait

    WebDriverWait(page, 5).until(lambda _: shown.is_displayed())
    assert js(page, "document.querySelector('#cell img').naturalWidth") > 0
    assert re.search(r"score \d\.\d\d", js(page, "document.querySelector('#cell').innerText"))


def test_galleries_run_from_best_to_worst(page):
    scores = cells()["grad_camo"].dropna().sort_values()
    shown = {}
    for button in page.find_elements("css selector", ".tabs button"):
        button.click()
        figures = page.find_elements("css selector", ".gallery:not([hidden]) figure")
        shown[button.text] = [float(figure.text.split()[0]) for figure in figures]
    assert shown["Best"] == [round(s, 2) for s in scores[::-1][:12]]
    assert shown["Worst"] == [round(s, 2) for s in scores[:12]]
    assert min(shown["Best"]) > max(shown["Typical"]) > max(shown["Worst"])


def test_a_table_alone_makes_a_page_too(browser, tmp_path):
    table = cells()[["image", "label", "grad_camo", "touches_border"]]
    write_table(table, tmp_path / "cells.csv")
    page = write_report(tmp_path / "cells.csv", tmp_path / "report.html")
    browser.get_log("browser")
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    assert js(browser, "document.getElementById('map-section').hidden")
    assert js(browser, "document.getElementById('plate-section').hidden")
    assert js(browser, "document.querySelector('#scores .main-svg') !== null")


def test_what_is_no_plate_is_refused(tmp_path):
    with pytest.raises(GradcamoError, match=r"there is no .*resuls: check the path"):
        write_report(tmp_path / "resuls", tmp_path / "report.html")
    with pytest.raises(GradcamoError, match=r"holds no cells\.parquet"):
        write_report(tmp_path, tmp_path / "report.html")
    write_table(pd.DataFrame({"label": [1]}), tmp_path / "cells.csv")
    with pytest.raises(GradcamoError, match="no column grad_camo"):
        write_report(tmp_path / "cells.csv", tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()


def test_a_layer_in_which_no_cell_has_a_score_is_a_gap_in_the_plot(browser, tmp_path):
    table = cells()
    write_table(table, tmp_path / "cells.csv")
    silent = table.assign(layer="head", grad_camo=np.nan)
    write_table(pd.concat([table, silent]), tmp_path / "layers.parquet")
    page = write_report(tmp_path, tmp_path / "report.html")
    browser.get_log("browser")
    browser.get(page.as_uri())
    assert browser.get_log("browser") == []
    assert js(browser, "document.getElementById('layers').data[2].y") == [
        pytest.approx(table["grad_camo"].median(), abs=1e-4),
        None,
    ]
    assert js(browser, "document.querySelector('#scores .main-svg') !== null")


def test_pass_counts_are_exact_at_every_step_of_the_slider():
    scores = pd.Series([0.0, 0.25, 0.2500001, 0.29, 1.0, np.nan, 0.57])
    counts = passing_at(pd.DataFrame({"grad_camo": scores}), cutoff_steps(0.2500001))["at_least"]
    for step in range(101):
        at = 0.2500001 if step == 25 else step / 100  # the table's own cut-off
        assert counts[step] == (scores >= at).sum(), step


def test_the_summary_in_words_agrees_with_the_table():
    table = cells()
    whole = table[~table["touches_border"]]
    said = " ".join(findings(table, 0.25, {"settings": {"layer": "block_4"}}))
    assert f"{len(table)} cells of 12 stacks in 6 wells under 3 treatments" in said
    silent = whole["grad_camo"].isna().sum()
    assert silent > 0
    assert f"{len(whole) - silent} whole ones with a score" in said
    assert f"{silent} whole ones without a score" in said
    passing = (whole["grad_camo"] >= 0.25).sum()
    assert f"{passing} of {len(whole)} whole cells" in said
    assert f"{whole['grad_camo'].mean():.2f} ±" in said
    assert "on block_4 0.90" in said
    none = findings(table.assign(grad_camo=np.nan), 0.25, {})
    assert "No cell has a score." in none


def test_what_rounds_to_nothing_has_no_minus(browser, folder, tmp_path):
    shutil.copytree(folder, tmp_path / "plate")
    measured = {"measure": "variance", "of": "grad_camo", "cells": "all"}
    levels = pd.DataFrame(
        {
            "question": ["treatment", "well", "site", "cell"],
            "value": [-0.001, -0.004, -0.02, 0.9],
            "chance": [0.002, 0.001, 0.001, 0.9],
            "p": [0.5, 0.5, 0.5, 1.0],
        }
    )
    write_table(levels.assign(**measured), tmp_path / "plate/confounding.csv")
    browser.get(write_report(tmp_path / "plate", tmp_path / "report.html").as_uri())
    (variance,) = rows_of(browser, "Confounding")
    assert [text.partition(" by")[0] for text in variance[1:]] == ["0 %", "0 %", "-2 %", "90 %"]
    for value, digits in ((-0.001, 2), (-0.0, 2), (-0.4, 0), (-1e-9, 3)):
        assert number(value, digits) == number(0.0, digits)
    assert [number(-0.01, 1, "+"), number(-1234.5, 1), number(float("nan"))] == [
        *("+0.0", "-1,234.5", "–")
    ]
    assert [percent(-0.001), percent(-0.01), percent(0.375)] == ["0%", "-1%", "38%"]


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (lambda t: t.drop(columns="causal_layout"), "cells.parquet: the table lacks causal_layout"),
        (lambda t: t.assign(causal_own="none"), "cells.parquet: the column causal_own holds"),
        (lambda t: t.assign(treatment=7), "cells.parquet: the column treatment holds .*integer"),
    ],
)
def test_causal_columns_that_cannot_be_read_are_named_with_their_file(tmp_path, change, said):
    write_table(change(asked(cells())), tmp_path / "cells.parquet")
    with pytest.raises(GradcamoError, match=said):
        write_report(tmp_path / "cells.parquet", tmp_path / "report.html")
    assert not (tmp_path / "report.html").exists()
