"""From the folder of a plate to a site on the screen."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import tifffile
from conftest import docked
from qtpy.QtCore import QMimeData, QPointF, Qt, QUrl
from qtpy.QtGui import QDropEvent
from test_your_files import (
    CASES,
    LABELS,
    LAYOUTS,
    NAMES,
    TRUTH,
    expected,
    laid_out,
    scheduler,
    small_network,
)

from gradcamo.docks.panels.plates.plate_dock import PlateDock
from gradcamo.docks.panels.plates.site_list import SiteList
from gradcamo.docks.panels.steps.load import LoadDock
from gradcamo.docks.panels.steps.workbench import Workbench
from gradcamo.files.kept_plates import kept_told
from gradcamo.settings import FolderSettings

pytestmark = pytest.mark.gui
__all__ = ["scheduler"]
PLATES = CASES / "plates"


@pytest.fixture
def load(viewer):
    return docked(viewer, LoadDock)


def read(load, folder, qtbot):
    """A plate, typed as a path."""
    load.path.setText(str(folder))
    with qtbot.waitSignal(load.plate.plate.reading.ended, timeout=20_000):
        qtbot.keyClick(load.path, Qt.Key.Key_Return)
    return load.plate.plate


def double_click(load, row, qtbot):
    """The site in a row of the list is opened."""
    sites = load.sites
    sites.scrollToItem(sites.item(row, 0))
    where = sites.visualItemRect(sites.item(row, 2)).center()
    qtbot.mouseClick(sites.viewport(), Qt.MouseButton.LeftButton, pos=where)
    with qtbot.waitSignal(load.plate.plate.opening.ended, timeout=20_000):
        qtbot.mouseDClick(sites.viewport(), Qt.MouseButton.LeftButton, pos=where)


def type_in(line, text, qtbot):
    line.setText(text)
    qtbot.keyClick(line, Qt.Key.Key_Return)


def texts(load) -> list[str]:
    """The small table of what was recognised."""
    return [load.plate.table.item(0, n).text() for n in range(load.plate.table.columnCount())]


@pytest.mark.parametrize("name", LAYOUTS)
def test_a_folder_is_recognised_and_a_double_click_opens_a_site(name, load, window, qtbot):
    truth, session = TRUTH[f"plates/{name}"], window.session
    read(load, PLATES / name, qtbot)
    fields = [(well, site) for well in sorted(truth["fields"]) for site in truth["fields"][well]]
    channels, planes = truth["shape_czyx"][:2]
    sizes = truth["spacing_um_zyx"]
    size = ", ".join(f"{step:g}" for step in sizes) if sizes else "?"
    wells = len(truth["fields"])
    assert texts(load) == [str(n) for n in (wells, len(fields), channels, planes, size)]
    assert load.plate.title.text().lower().startswith(f"{NAMES[name].lower()}: ")
    listed = [
        (load.sites.item(n, 0).text(), load.sites.item(n, 1).text())
        for n in range(load.sites.rowCount())
    ]
    assert listed == fields
    double_click(load, len(fields) - 1, qtbot)
    stack = session.stack
    assert sorted(stack.channels) == sorted(truth["channels"])
    assert stack.spacing_um == (sizes and pytest.approx(tuple(sizes)))
    order = [stack.channels.index(channel) for channel in truth["channels"]]
    np.testing.assert_array_equal(np.asarray(stack.data)[order], expected(truth, *fields[-1]))
    for channel, layer in session.channel_layers.items():
        shown = np.asarray(stack.data)[stack.channels.index(channel)]
        np.testing.assert_array_equal(np.asarray(layer.data), shown)


def test_channels_are_named_and_the_voxel_size_typed_once_for_the_plate(load, window, qtbot):
    folder, session = PLATES / "cellvoyager", window.session
    plate = read(load, folder, qtbot)
    assert [line.text() for line in load.plate.names] == ["C01", "C02"]
    assert texts(load)[4] == "?"
    type_in(load.plate.names[0], "DNA", qtbot)
    type_in(load.plate.names[1], "ER, rough", qtbot)
    for line, text in zip(load.plate.spacing.lines, ("1.5", "0.1", "0,1"), strict=True):
        type_in(line, text, qtbot)
    assert texts(load)[4] == "1.5, 0.1, 0.1"
    for row in (0, load.sites.rowCount() - 1):
        double_click(load, row, qtbot)
        assert session.stack.channels == ("DNA", "ER, rough")
        assert session.stack.spacing_um == (1.5, 0.1, 0.1)
        assert [layer.name for layer in session.channel_layers.values()] == ["DNA", "ER, rough"]
        for layer in session.channel_layers.values():
            assert tuple(layer.scale) == pytest.approx((1.5, 0.1, 0.1))
    assert session.told["channel_names"] == 'DNA,"ER, rough"'
    assert len(plate.table) == load.sites.rowCount()


def test_what_was_told_is_found_when_the_folder_is_opened_again(load, viewer, qtbot):
    from napari.components import ViewerModel

    folder = PLATES / "cellvoyager"
    plate = read(load, folder, qtbot)
    type_in(load.plate.names[1], "ER", qtbot)
    type_in(load.plate.spacing.lines[0], "1.5", qtbot)
    plate._writing.wait()
    told = FolderSettings(channel_names=("C02=ER",), spacing="1.5,?,?")
    assert kept_told(folder) == told
    again = docked(ViewerModel(), LoadDock)
    read(again, folder, qtbot)
    assert [line.text() for line in again.plate.names] == ["C01", "ER"]
    assert [line.text() for line in again.plate.spacing.lines] == ["1.5", "", ""]
    type_in(again.plate.names[1], "", qtbot)  # the name that the files have
    assert [line.text() for line in again.plate.names] == ["C01", "C02"]
    again.plate.plate._writing.wait()
    assert kept_told(folder).channel_names == ()


def test_an_open_site_follows_what_is_told_of_its_plate(load, window, qtbot):
    session = window.session
    read(load, PLATES / "cellvoyager", qtbot)
    double_click(load, 0, qtbot)
    layers = [*session.channel_layers.values()]
    type_in(load.plate.names[0], "DNA", qtbot)
    type_in(load.plate.spacing.lines[0], "2", qtbot)
    assert session.stack.channels == ("DNA", "C02")
    assert [layer.name for layer in layers] == ["DNA", "C02"]
    assert [*session.channel_layers.values()] == layers
    assert session.stack.spacing_um == (2, None, None)
    assert layers[0].scale[0] == 2


def test_scores_of_a_site_say_what_was_told_of_its_plate(load, window, qtbot):
    session = window.session
    read(load, PLATES / "plane_files", qtbot)
    with qtbot.waitSignal(load.plate.plate.reading.ended, timeout=20_000):
        type_in(load.plate.where["labels"], LABELS["plane_files"], qtbot)
    for line, text in zip(load.plate.names, "ab", strict=True):
        type_in(line, text, qtbot)
    double_click(load, 0, qtbot)
    session.set_checkpoint(small_network(("a", "b")), "small")
    with qtbot.waitSignal(session.auditing.ended, timeout=60_000):
        window.audits.start(session.next_settings)
    assert len(session.results) == 3
    assert session.recipe()["channel_names"] == "CONC=a,HOECHST=b"
    assert session.recipe()["image"].endswith("Well-B02-z{z}-{channel}.ome.tiff")


def test_two_channels_never_have_one_name(load, qtbot):
    read(load, PLATES / "cellvoyager", qtbot)
    type_in(load.plate.names[0], "C02", qtbot)
    assert "each channel needs a name of its own, 'C02'" in load.plate.message.text()
    assert [line.text() for line in load.plate.names] == ["C01", "C02"]
    type_in(load.plate.names[0], "a=b", qtbot)
    assert "holds no =" in load.plate.message.text()
    assert load.plate.plate.told.channel_names == ()


def test_labels_are_opened_where_they_are_named(load, window, qtbot):
    folder, session = PLATES / "channel_files", window.session
    read(load, folder, qtbot)
    double_click(load, 0, qtbot)
    assert session.labels_layer is None
    with qtbot.waitSignal(load.plate.plate.reading.ended, timeout=20_000):
        type_in(
            load.plate.where["labels"], "segmentation_masks/{well}-{site}/cell_mask.tiff", qtbot
        )
    double_click(load, 0, qtbot)
    row = load.plate.plate.table.iloc[0]
    truth = tifffile.imread(row["labels"])
    np.testing.assert_array_equal(session.labels_layer.data, truth)
    assert session.labels_layer.metadata["path"] == row["labels"]


def test_a_folder_that_is_not_recognised_asks_for_a_pattern(load, window, tmp_path, qtbot):
    for well in ("B02", "C03"):
        for z in (1, 2):
            data = np.full((8, 8), 10 * z, np.uint8)
            tifffile.imwrite(tmp_path / f"Versuch {well} Ebene{z}.tif", data)
    read(load, tmp_path, qtbot)
    assert "follows no layout that is known; it holds Versuch B02" in load.plate.message.text()
    assert load.plate.where["pattern"].isVisibleTo(load)
    assert not load.sites.isVisibleTo(load)
    for pattern, said in (("{well}", "no file in"), ("{site}_{z}", "should hold {well}")):
        with qtbot.waitSignal(load.plate.plate.reading.ended, timeout=20_000):
            type_in(load.plate.where["pattern"], pattern, qtbot)
        assert said in load.plate.message.text()
    with qtbot.waitSignal(load.plate.plate.reading.ended, timeout=20_000):
        type_in(load.plate.where["pattern"], "Versuch {well} Ebene{z}.tif", qtbot)
    assert texts(load)[:4] == ["2", "2", "1", "2"]
    double_click(load, 1, qtbot)
    assert np.asarray(window.session.stack.data)[0, :, 0, 0].tolist() == [10, 20]


def test_axes_that_no_file_says_are_asked_for(load, window, tmp_path, qtbot):
    for well in ("B02", "C03"):
        data = np.arange(2 * 3 * 16 * 16, dtype=np.uint16).reshape(2, 3, 16, 16)
        tifffile.imwrite(tmp_path / f"{well}_s1.tif", data, metadata=None)
    read(load, tmp_path, qtbot)
    assert texts(load) == ["2", "2", "?", "?", "?"]
    assert "No stack could be read" in load.plate.message.text()
    assert "axes" in load.plate.message.text()
    assert load.plate.where["axes"].isVisibleTo(load)
    double_click(load, 0, qtbot)
    assert "well B02, site 1" in load.plate.message.text()
    assert window.session.stack is None
    with qtbot.waitSignal(load.plate.plate.reading.ended, timeout=20_000):
        type_in(load.plate.where["axes"], "czyx", qtbot)
    assert texts(load)[:4] == ["2", "2", "2", "3"]
    double_click(load, 0, qtbot)
    assert window.session.stack.shape == (2, 3, 16, 16)
    assert window.session.told == {"axes": "CZYX"}


@pytest.mark.parametrize(
    ("harm", "said"),
    [
        ("missing", r"well B03, site 2.*lacks plane 3 of channel 2"),
        ("twice", r"the same plate, well and site .*B03, 2: .*copy_B03_s2"),
        ("both", "holds files of .*ImageXpress.*CellVoyager|CellVoyager and ImageXpress"),
    ],
    ids=["missing", "twice", "both"],
)
def test_bad_folders_are_told_of_and_the_next_one_is_read(load, tmp_path, harm, said, qtbot):
    import re

    folder = Path(shutil.copytree(PLATES / "imagexpress", tmp_path / "plate"))
    (plane,) = folder.glob("*/*/ZStep_3/4711_B03_s2_w2.TIF")
    if harm == "missing":
        plane.unlink()
    elif harm == "twice":
        for path in folder.glob("*/*/ZStep_*/4711_B03_s2_*"):
            shutil.copy(path, path.with_name(path.name.replace("4711", "copy")))
    else:
        shutil.copytree(PLATES / "cellvoyager", folder / "other")
    read(load, folder, qtbot)
    assert re.search(said, load.plate.message.text()), load.plate.message.text()
    assert load.plate.table.isHidden()
    read(load, PLATES / "imagexpress", qtbot)
    assert texts(load)[0] == "2"
    assert "lacks" not in load.plate.message.text()


def test_what_is_left_out_or_shorter_is_said(load, tmp_path, qtbot):
    folder = Path(shutil.copytree(PLATES / "imagexpress", tmp_path / "plate"))
    for path in folder.glob("*/*/ZStep_4/4711_B03_s1_*"):
        path.unlink()
    for path in list(folder.glob("*/*/ZStep_1/*.TIF")):
        shutil.copy(path, path.with_name(path.name.replace(".TIF", "_thumb.TIF")))
    read(load, folder, qtbot)
    assert load.plate.title.text() == "ImageXpress: plate; left out: 8 thumbnails"
    assert "well B03, site 1" in load.plate.message.text()
    assert "plane 4 is missing" in load.plate.message.text()
    double_click(load, 2, qtbot)


def test_a_site_that_cannot_be_read_is_named_and_leaves_what_is_shown(
    load, window, tmp_path, qtbot
):
    folder = Path(shutil.copytree(PLATES / "imagexpress", tmp_path / "plate"))
    (path,) = folder.glob("*/*/ZStep_3/4711_B03_s2_w1.TIF")
    path.write_bytes(path.read_bytes()[:3000])
    read(load, folder, qtbot)
    double_click(load, 0, qtbot)
    before = window.session.stack
    double_click(load, 3, qtbot)
    said = load.plate.message.text()
    assert said.startswith("well B03, site 2: ")
    assert "ZStep_3/4711_B03_s2_w1.TIF" in said
    assert window.session.stack is before
    double_click(load, 1, qtbot)
    assert window.session.stack is not before


def test_reading_a_folder_can_be_stopped(load, window, tmp_path, qtbot):
    for number in range(3000):
        (tmp_path / f"B02_s{number}_z1_a.tif").touch()
    plate = load.plate.plate
    load.path.setText(str(tmp_path))
    with qtbot.waitSignal(plate.reading.ended, timeout=20_000):
        qtbot.keyClick(load.path, Qt.Key.Key_Return)
        assert load.plate.row.isVisibleTo(load)
        plate.reading.cancel()
    assert "was stopped" in load.plate.message.text()
    assert plate.table is None
    read(load, PLATES / "operetta", qtbot)
    assert len(plate.table) == 4


def test_a_folder_is_dropped_on_load_and_on_plate(load, viewer, qtbot):
    dock = docked(viewer, PlateDock)
    for target, name in ((load, "operetta"), (dock, "imagexpress")):
        mime = QMimeData()
        mime.setUrls([QUrl.fromLocalFile(str(PLATES / name))])
        buttons, keys = Qt.MouseButton.LeftButton, Qt.KeyboardModifier.NoModifier
        action = Qt.DropAction.CopyAction
        with qtbot.waitSignal(dock.plate.reading.ended, timeout=20_000):
            target.dropEvent(QDropEvent(QPointF(5, 5), action, mime, buttons, keys))
        assert load.plate.title.text().startswith(NAMES[name])  # both docks show it
        assert dock.found.title.text().startswith(NAMES[name])
        assert dock.wells.rowCount() == len({well[0] for well in TRUTH[f"plates/{name}"]["fields"]})


def test_the_table_of_a_plate_carries_what_was_told(load, tmp_path, qtbot):
    import gradcamo as gc

    plate = read(load, PLATES / "cellvoyager", qtbot)
    type_in(load.plate.names[1], "ER", qtbot)
    layout = tmp_path / "map.csv"
    layout.write_text("well,treatment\nC05,DMSO\nC06,drug\n")
    with qtbot.waitSignal(plate.reading.ended, timeout=20_000):
        type_in(load.plate.where["layout"], str(layout), qtbot)
    with qtbot.waitSignal(plate.saving.ended, timeout=20_000):
        plate.save_table(tmp_path / "plate.csv")
    rows = gc.read_plate(tmp_path / "plate.csv")
    assert list(rows["treatment"]) == list(plate.table["treatment"])
    assert set(rows["treatment"]) == {"DMSO", "drug"}
    assert gc.read_stack(rows.iloc[0]).channels == ("C01", "ER")


@pytest.mark.slow
def test_a_folder_is_audited_as_it_was_told(viewer, window, tmp_path, scheduler, qtbot):
    import gradcamo as gc

    dock, session = docked(viewer, PlateDock), window.session
    run = dock.audit
    assert "needs a plate" in run.begin.toolTip()
    with qtbot.waitSignal(dock.plate.reading.ended, timeout=20_000):
        dock.load(PLATES / "plane_files")
    assert "needs a network" in run.begin.toolTip()
    session.set_checkpoint(small_network(("a", "b")), "small")
    assert run.begin.isEnabled()
    for name, text in (("labels", LABELS), ("layout", None)):
        text = text["plane_files"] if text else str(laid_out("plane_files", tmp_path))
        with qtbot.waitSignal(dock.plate.reading.ended, timeout=20_000):
            type_in(dock.found.where[name], text, qtbot)
    for line, text in zip(dock.found.names, "ab", strict=True):
        type_in(line, text, qtbot)
    for line, text in zip(dock.found.spacing.lines, ("1", "0.1", "0.1"), strict=True):
        type_in(line, text, qtbot)
    seen = []
    run.audit.progressed.connect(seen.append)
    with qtbot.waitSignal(run.audit.job.ended, timeout=60_000):
        run.audit.start(tmp_path / "out", scheduler, umap_cells=0)
        run.progress.cancel.click()
    assert run.message.text().startswith("Stopped.")
    assert run.begin.isEnabled()
    with qtbot.waitSignal(window.plate.changed, timeout=120_000):
        run.audit.start(tmp_path / "out", scheduler, umap_cells=0)
    assert (seen[-1].done, seen[-1].total) == (2, 2)
    assert run.message.text().startswith("2 of 2 stacks, 6 cells in")
    cells = gc.read_table(tmp_path / "out" / "cells.parquet")
    assert set(cells["treatment"]) == {"DMSO", "drug"}
    assert set(cells["channel_names"]) == {"CONC=a,HOECHST=b"}
    assert set(cells["spacing_um"]) == {"1,0.1,0.1"}
    assert (tmp_path / "out" / "report.html").is_file()
    assert len(window.plate.results.cells) == 6
    qtbot.waitUntil(lambda: not run.audit.job.running, timeout=20_000)
    another = Path(shutil.copytree(PLATES / "plane_files", tmp_path / "another"))
    for image in another.rglob("*.tiff"):
        image.write_bytes(image.read_bytes() + b" ")
    with qtbot.waitSignal(dock.plate.reading.ended, timeout=20_000):
        dock.load(another)
    with qtbot.waitSignal(run.audit.job.ended, timeout=20_000):
        run.audit.start(tmp_path / "out", scheduler, umap_cells=0)
    assert "holds the results of another plate, 2 stacks such as" in run.message.text()
    pd.testing.assert_frame_equal(gc.read_table(tmp_path / "out" / "cells.parquet"), cells)


@pytest.mark.shown
def test_three_clicks_from_a_folder_to_a_site_on_the_screen(viewer, window, monkeypatch, qtbot):
    from qtpy.QtWidgets import QFileDialog

    from gradcamo.docks.panels.steps.workbench import Workbench, open_docks

    viewer.open(str(PLATES / "operetta"), plugin="napari-gradcamo")  # as File > Open Folder does
    (bench,) = [dock for dock in open_docks(viewer) if isinstance(dock, Workbench)]
    qtbot.waitUntil(lambda: window.on_disk.table is not None, timeout=20_000)
    assert len(viewer.layers) == 0
    folder = str(PLATES / "imagexpress")
    monkeypatch.setattr(QFileDialog, "getExistingDirectory", lambda *_: folder)
    with qtbot.waitSignal(window.on_disk.reading.ended, timeout=20_000):
        qtbot.mouseClick(bench.load.open_folder, Qt.MouseButton.LeftButton)
    double_click(bench.load, 2, qtbot)
    truth = TRUTH["plates/imagexpress"]
    np.testing.assert_array_equal(window.session.stack.data, expected(truth, "B03", "1"))
    assert [layer.name for layer in viewer.layers] == truth["channels"]


def test_the_command_line_opens_a_folder_in_a_window(make_napari_viewer, monkeypatch, qtbot):
    import napari
    from click.testing import CliRunner

    from gradcamo.cli.commands import main
    from gradcamo.docks.window import window_of

    viewer = make_napari_viewer()
    monkeypatch.setattr(napari, "Viewer", lambda **_: viewer)
    monkeypatch.setattr(napari, "run", lambda: None)
    folder = str(PLATES / "cellvoyager")
    told = ("--spacing", "1,0.1,0.1", "--channel-names", "C01=DNA")
    found = CliRunner().invoke(main, ["open", folder, *told])
    assert found.exit_code == 0, found.output
    plate = window_of(viewer).on_disk
    qtbot.waitUntil(lambda: plate.table is not None, timeout=20_000)
    assert set(plate.table["spacing_um"]) == {"1,0.1,0.1"}
    assert set(plate.table["channel_names"]) == {"DNA,C02"}
    found = CliRunner().invoke(main, ["open", str(PLATES / "x.tif"), "--pattern", "{well}"])
    assert "--pattern is for the folder of a plate" in found.output


def listed(sites) -> list[tuple[str, ...]]:
    """The rows that are shown, as they are read."""
    return [
        tuple(sites.item(row, n).text() for n in range(sites.columnCount()))
        for row in range(sites.rowCount())
        if not sites.isRowHidden(row)
    ]


def test_stacks_of_many_files_have_names_that_are_read(viewer, window, qtbot):
    bench = docked(viewer, Workbench)
    plate = read(bench.load, PLATES / "imagexpress", qtbot)
    images = [row[2] for row in listed(bench.load.sites)]
    assert all("{" in image for image in plate.table["image"])  # by which rows are joined
    assert not any("{" in name for name in images)
    assert len(set(images)) == len(images)
    double_click(bench.load, 1, qtbot)
    row = plate.table.iloc[1]
    assert window.session.image == row["image"]
    assert bench.image.currentText() == f"{row['well']} site {row['site']}"


def test_sites_are_filtered_by_well_treatment_and_name(window, qtbot):
    window.on_disk.table = pd.DataFrame(
        {
            "image": [f"p/{n}_w{{channel}}.tif" for n in range(2000)],
            "well": [f"{'ABCDEFGH'[n // 12 % 8]}{n % 12 + 1:02d}" for n in range(2000)],
            "site": [str(n // 96 + 1) for n in range(2000)],
            "treatment": ["DMSO" if n % 12 < 2 else "Drug 0.1 µM" for n in range(2000)],
        }
    )
    sites = SiteList(window.on_disk)
    for part in (sites, sites.filter):
        qtbot.addWidget(part)
        part.show()
    everything = listed(sites)
    assert len(everything) == 2000
    start = time.thread_time()  # of this thread: others may share the machine
    qtbot.keyClicks(sites.filter, "b02 dm")
    qtbot.wait(1)
    took = time.thread_time() - start
    assert listed(sites) == [row for row in everything if row[0] == "B02" and row[3] == "DMSO"]
    assert took < 1.5  # six keys
    for text, n in (("1999", 1), ("µM E12 site 2", 1), ("nothing like it", 0), ("", 2000)):
        sites.filter.setText(text)
        assert len(listed(sites)) == n
    opened = []
    window.on_disk.open_site = lambda row: opened.append(row["image"])
    sites.filter.setText("1234")
    row = next(n for n in range(2000) if not sites.isRowHidden(n))
    sites.cellActivated.emit(row, 0)
    assert opened == ["p/1234_w{channel}.tif"]
