"""What is written equals what is seen, and flags and notes can be read back."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import tifffile
from conftest import docked, scored_label
from qtpy.QtCore import Qt

from gradcamo.docks.canvas.heatmap import crop_map
from gradcamo.docks.panels.cells.cells_dock import CellsDock
from gradcamo.docks.panels.cells.export_dialog import open_export
from gradcamo.files.labels import read_labels
from gradcamo.files.stacks import read_stack
from gradcamo.files.store import read_profiles, read_table

pytestmark = pytest.mark.gui


@pytest.fixture
def cells(audited, viewer, qtbot, window):
    dock = docked(viewer, CellsDock, area="bottom")
    qtbot.waitUntil(lambda: not window.autosave.looking.running, timeout=30_000)
    return dock


@pytest.fixture
def dialog(cells, qtbot):
    dialog = open_export(cells.session, cells)
    qtbot.addWidget(dialog)
    return dialog


def write(dialog, qtbot, path, which="all", kind="table") -> str:
    """Choose in the dialog and write; what it says then."""
    dialog.which.setCurrentIndex(dialog.which.findData(which))
    titles = ["table", "labels", "volume", "maps"]
    dialog.what.button(titles.index(kind)).click()
    with qtbot.waitSignal(dialog.job.ended, timeout=30_000):
        dialog.write(str(path))
    return dialog.message.text()


def seen(cells) -> pd.DataFrame:
    """The table as its view shows it, word for word."""
    model = cells.model
    rows = range(model.rowCount())
    return pd.DataFrame(
        {
            name: [model.data(model.index(r, c)) for r in rows]
            for c, name in enumerate(model.columns)
        }
    )


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_visible_cells_are_written_as_they_are_seen(
    cells, dialog, audited, tmp_path, suffix, qtbot
):
    label = scored_label(audited)
    audited.note(label, "seen")
    audited.mark([label], True)
    cells.sort_by("volume_um3", ascending=False)
    cells.toolbar.filter.setText("not touches_border")
    {a.data(): a for a in cells.toolbar.columns.menu().actions()}["chance"].trigger()
    path = tmp_path / f"cells.{suffix}"
    write(dialog, qtbot, path, "visible")
    written, shown = read_table(path), seen(cells)
    assert written["label"].astype(str).tolist() == shown["label"].tolist()
    assert list(written)[1:] == list(shown)  # image comes first
    assert "chance" not in written
    for name in ("grad_camo", "volume_um3"):
        digits = 0 if name == "volume_um3" else 3
        assert [f"{v:,.{digits}f}" for v in written[name]] == shown[name].tolist()
    one = written.set_index("label").loc[label]
    assert one["note"] == "seen"
    assert one["flagged"]
    assert written.attrs["recipe"]["checkpoint"] == audited.checkpoint.hash


def test_each_choice_writes_its_cells_in_the_order_shown(cells, dialog, audited, tmp_path, qtbot):
    table = audited.results.table
    audited.set_cutoff(float(table["grad_camo"].median()))
    chosen = [scored_label(audited, rank) for rank in (0, 3, 5)]
    audited.select(chosen)
    audited.mark(chosen[:1], True)
    cells.sort_by("volume_um3", ascending=True)
    cells.toolbar.filter.setText("volume_um3 > 1500")  # hides, but does not unselect
    table = audited.results.table.sort_values("volume_um3")
    border = table["touches_border"]
    expected = {
        "flagged": table[table["flagged"]],
        "passing": table[table["grad_camo"] >= audited.results.cutoff],
        "unflagged": table[~table["flagged"] & ~border],
        "selected": table[table["label"].isin(chosen)],
        "visible": table[table["volume_um3"] > 1500],
    }
    for which, rows in expected.items():
        path = tmp_path / f"{which}.csv"
        said = write(dialog, qtbot, path, which)
        written = read_table(path)["label"].tolist()
        assert set(written) == set(rows["label"])
        assert f"{len(rows)} cells" in said
        in_sight = set(cells.model.labels().tolist())
        seen_rows = [label for label in rows["label"] if label in in_sight]
        assert [label for label in written if label in in_sight] == seen_rows
        text = dialog.which.itemText(dialog.which.findData(which))
        assert text.endswith(f"({len(rows)})")


def test_nothing_to_write_says_so_and_writes_nothing(dialog, audited, tmp_path, qtbot):
    path = tmp_path / "none.csv"
    dialog.which.setCurrentIndex(dialog.which.findData("selected"))
    audited.select([])
    dialog.write(str(path))
    assert "no cell is selected" in dialog.message.text()
    assert not path.exists()


def test_anndata_gets_profiles_table_and_recipe(cells, dialog, audited, tmp_path, qtbot):
    import anndata

    path = tmp_path / "cells.h5ad"
    said = write(dialog, qtbot, path)
    data = anndata.read_h5ad(path)
    labels, profiles = audited.results.profiles()
    order = np.argsort(data.obs["label"].to_numpy())
    assert data.obs["label"].to_numpy()[order].tolist() == labels.tolist()
    np.testing.assert_allclose(np.asarray(data.X)[order], profiles, rtol=1e-6)
    assert audited.checkpoint.hash in str(data.uns)
    assert "without a profile" in said  # cells at the border have none
    assert len(read_profiles(path).values) == len(labels)


def test_pycytominer_drops_flagged_cells_of_an_export(cells, dialog, audited, tmp_path, qtbot):
    pycytominer = pytest.importorskip("pycytominer")
    audited.set_cutoff(float(audited.results.table["grad_camo"].median()))
    audited.mark([scored_label(audited)], True)
    dialog.cytomining.setChecked(True)
    path = tmp_path / "cells.parquet"
    write(dialog, qtbot, path)
    single_cells = pd.read_parquet(path)
    features = [name for name in single_cells if name.startswith("Cells_")]
    metadata = [name for name in single_cells if name.startswith("Metadata_")]
    assert len(features) + len(metadata) == single_cells.shape[1]
    kept = pycytominer.normalize(
        single_cells,
        features=features,
        meta_features=metadata,
        method="standardize",
        drop_cosmicqc_rows=True,
    )
    table = audited.results.table
    passing = table.loc[~table["flagged"] & ~table["touches_border"], "label"]
    assert set(kept["Metadata_ObjectNumber"]) == set(passing)
    assert 0 < len(passing) < len(single_cells)


def test_a_label_image_holds_the_chosen_cells_under_their_numbers(
    cells, dialog, audited, tmp_path, qtbot
):
    audited.set_cutoff(float(audited.results.table["grad_camo"].median()))
    path = tmp_path / "passing.ome.tif"
    write(dialog, qtbot, path, "passing", "labels")
    table, labels = audited.results.table, audited.labels_layer.data
    passing = table.loc[~table["flagged"] & ~table["touches_border"], "label"]
    expected = np.where(np.isin(labels, passing), labels, 0)
    np.testing.assert_array_equal(read_labels(path), expected)
    assert read_stack(path).spacing_um == pytest.approx(audited.stack.spacing_um)


def test_heatmaps_are_written_where_they_lie_in_the_stack(cells, dialog, audited, tmp_path, qtbot):
    path = tmp_path / "heat.ome.tif"
    write(dialog, qtbot, path, kind="volume")
    volume = tifffile.imread(path)
    assert volume.shape == audited.labels_layer.data.shape
    expected = np.zeros(volume.shape)
    for label in audited.results.profiles()[0].tolist():
        cam, start = crop_map(audited, label)
        for voxel in np.argwhere(cam > 0.5 * cam.max())[::97]:
            where = tuple(voxel + start)
            if all(0 <= w < n for w, n in zip(where, volume.shape, strict=True)):
                expected[where] = max(expected[where], cam[tuple(voxel)] / cam.max())
    seen = expected > 0
    assert seen.sum() > 100
    assert (volume[seen] >= expected[seen] - 1e-5).all()
    assert volume.max() == pytest.approx(1)
    label = scored_label(audited)
    audited.select([label])
    write(dialog, qtbot, path, "selected", "volume")  # without neighbours: exactly its own map
    cam, start = crop_map(audited, label)
    one = tifffile.imread(path)
    peak = np.unravel_index(one.argmax(), one.shape)
    assert cam[tuple(np.array(peak) - start)] == pytest.approx(cam.max(), rel=1e-5)
    folder = tmp_path / "maps"
    write(dialog, qtbot, folder, "selected", "maps")
    np.testing.assert_allclose(tifffile.imread(folder / f"{label}.ome.tif"), cam, rtol=1e-5)
    assert len(list(folder.iterdir())) == 1


def test_a_full_disk_is_reported_and_the_dialog_goes_on(dialog, tmp_path, qtbot):
    (tmp_path / "cells.csv").mkdir()
    said = write(dialog, qtbot, tmp_path / "cells.csv")
    assert "could not be written" in said
    assert dialog.write_button.isEnabled()
    assert "cells written" in write(dialog, qtbot, tmp_path / "others.csv")


@pytest.mark.parametrize("cytomining", [False, True])
@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_flags_and_notes_are_read_back(cells, dialog, audited, tmp_path, qtbot, suffix, cytomining):
    table = audited.results.table
    first, second = (scored_label(audited, rank) for rank in (0, 1))
    audited.mark([first], not table.at[first, "flagged"])
    audited.note(second, "debris")
    expected = audited.results.table["flagged"].copy()
    dialog.cytomining.setChecked(cytomining)
    path = tmp_path / f"flags.{suffix}"
    write(dialog, qtbot, path)
    audited.mark([first], None)
    audited.note(second, "")
    audited.note(first, "mine")
    with qtbot.waitSignal(cells.reading.ended, timeout=30_000):
        cells.read_flags(str(path))
    assert audited.results.table["flagged"].tolist() == expected.tolist()
    assert audited.results.table.at[second, "note"] == "debris"
    assert audited.results.table.at[first, "note"] == "mine"  # nothing is lost
    assert "1 flags and 1 notes" in cells.toolbar.state.text()


def test_unknown_labels_are_named_and_wait_for_their_score(cells, audited, tmp_path, qtbot):
    path = tmp_path / "flags.csv"
    label = scored_label(audited)
    rows = {"label": [label, 77], "flagged": ["yes", "TRUE"], "note": ["a", "later"]}
    pd.DataFrame(rows).to_csv(path, index=False)
    audited.note(label, "mine")
    with qtbot.waitSignal(cells.reading.ended, timeout=30_000):
        cells.read_flags(str(path))
    assert "77" in cells.toolbar.state.text()
    assert audited.results.marks.flagged[77]
    assert audited.results.marks.notes == {label: "mine / a", 77: "later"}


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ({"cell": [3]}, "columns"),
        ({"label": [3, 3], "flagged": [True, False]}, "twice"),
        ({"label": ["a"], "note": ["x"]}, "whole numbers"),
        ({"label": [3], "flagged": ["perhaps"]}, "perhaps"),
        ({"label": [3], "flagged": [True], "image": ["/data/other.tif"]}, "other.tif"),
    ],
)
def test_files_that_hold_no_flags_of_this_stack_change_nothing(
    cells, audited, tmp_path, qtbot, table, said
):
    path = tmp_path / "flags.csv"
    pd.DataFrame(table).to_csv(path, index=False)
    before = audited.results.table.copy()
    with qtbot.waitSignal(cells.reading.ended, timeout=30_000):
        cells.read_flags(str(path))
    assert said in cells.toolbar.state.text()
    pd.testing.assert_frame_equal(audited.results.table, before)
    assert cells.toolbar.file.isEnabled()


def test_the_dialog_opens_from_the_menu(cells, viewer, qtbot):
    from gradcamo.docks.panels.cells.export_dialog import ExportDialog

    action = cells.toolbar.file.menu().actions()[0]
    action.trigger()
    dialog = cells.findChild(ExportDialog)
    assert dialog.isVisible()
    qtbot.keyClick(dialog, Qt.Key.Key_Escape)
    assert not dialog.isVisible()


def test_a_table_that_was_closed_since_stops_no_export(audited, tmp_path):
    from gradcamo.docks.work.export import Request, prepare

    audited.order = np.array([*audited.results.table.index[::-1], 99_999])
    audited.columns = ["label", "grad_camo", "of another table"]
    path = tmp_path / "cells.csv"
    prepare(audited, Request("all", columns=audited.columns), path)()
    written = read_table(path)
    assert written["label"].tolist() == audited.results.table.index[::-1].tolist()
    assert list(written) == ["image", "label", "grad_camo"]
