"""Causal attention at the window: of the cell that is looked at, of some, of all."""

from __future__ import annotations

import shutil
import threading
from contextlib import contextmanager

import numpy as np
import pandas as pd
import pytest
import torch
from conftest import docked, scored_label
from qtpy.QtCore import QEvent

import gradcamo as gc
from gradcamo.auditing.cautions import cautions
from gradcamo.auditing.cell_verdict import cell_verdict
from gradcamo.causal.bank_file import bank_beside
from gradcamo.columns import CAUSAL_COLUMNS, CAUSAL_SHARES
from gradcamo.docks.canvas.colouring import UNSCORED, colormap_of
from gradcamo.docks.canvas.features import features_of
from gradcamo.docks.panels.cells.cells_dock import CellsDock
from gradcamo.docks.panels.cells.export_dialog import open_export
from gradcamo.docks.panels.cells.gallery_dock import GalleryDock
from gradcamo.docks.panels.cells.swapped_crops_dock import SHOWN, SwappedCropsDock
from gradcamo.docks.panels.steps.explain import ExplainDock
from gradcamo.docks.panels.steps.review import ReviewDock
from gradcamo.docks.panels.steps.workbench import Workbench
from gradcamo.docks.parts.threads import working
from gradcamo.docks.state.results import Results
from gradcamo.docks.work import autosave
from gradcamo.docks.work.export import Request, prepare
from gradcamo.files.kept import read_kept
from gradcamo.files.store import read_table, write_table
from gradcamo.settings import CausalSettings, SwapSettings

pytestmark = pytest.mark.gui


@pytest.fixture(scope="session")
def bank(checkpoint):
    """Cells of two other wells; for an untrained network any class is as good as another."""
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_stack

    design = PlateDesign(field_px=160, planes=9, cells_per_field=14, cell_um=22)
    wells = []
    for well in ("D02", "E02"):
        stack, labels = make_stack(design, well, 1)
        cells = {n: checkpoint.classes[n % 3] for n in range(1, int(labels.max()) + 1)}
        wells.append((stack, labels, cells, "P", well))
    return gc.DonorBank.cut(wells, checkpoint)


@pytest.fixture(scope="session")
def whole(field, checkpoint, bank):
    """What the library says of all cells."""
    stack, labels = field
    return gc.causal_attention(stack, labels, checkpoint, bank).set_index("label")


@pytest.fixture
def home(tmp_path, bank):
    """A checkpoint's file, which need not be there, with its bank beside it."""
    path = tmp_path / "small.safetensors"
    bank.save(bank_beside(path))
    return path


@pytest.fixture
def ready(audited, checkpoint, home, window, qtbot):
    """Scored cells, and donors beside the network."""
    audited.set_checkpoint(checkpoint, "small", home)
    qtbot.waitUntil(lambda: not window.autosave.looking.running, timeout=30_000)
    return audited


def asked(session, label):
    table = session.results.table
    return table.loc[label, list(CAUSAL_COLUMNS)]


def same(row, expected):
    """Rows of a table, to 1e-4 logits and shares: batches differ in the last digits."""
    for name in CAUSAL_COLUMNS:
        a, b = row[name], expected[name]
        if pd.isna(a) or isinstance(b, str):
            assert (pd.isna(a) and pd.isna(b)) or a == b, name
        else:
            assert float(a) == pytest.approx(float(b), abs=1e-3, rel=1e-2), name


@contextmanager
def counted_passes(checkpoint):
    """A list that grows with every batch that the network is asked without gradients."""
    begun = []

    def count(*_):
        if not torch.is_grad_enabled():
            begun.append(1)

    handle = checkpoint.on(torch.device("cpu")).register_forward_pre_hook(count)
    try:
        yield begun
    finally:
        handle.remove()


def wait_for(qtbot, session, timeout=60_000):
    qtbot.waitUntil(lambda: not session.swapping.running, timeout=timeout)


def test_the_chosen_cell_is_asked_once_and_then_with_more_draws(
    ready, viewer, window, qtbot, field, checkpoint, bank, whole
):
    review = docked(viewer, ReviewDock)
    label = scored_label(ready)
    ready.choose(label, "table")
    draws = []
    ready.results_changed.connect(lambda: draws.append(ready.results.causal.draws_of(label)))
    preview = []
    ready.results_changed.connect(
        lambda: preview.append(asked(ready, label)) if draws[-1] == 1 else None
    )
    assert review.causal.check.isVisible()
    review.causal.check.click()
    assert not review.causal.check.isVisible()
    wait_for(qtbot, ready)
    assert draws == [1, 4]
    same(asked(ready, label), whole.loc[label])
    stack, labels = field
    once = gc.causal_attention(stack, labels, checkpoint, bank, CausalSettings(draws=1), [label])
    same(preview[0], once.iloc[0])
    assert not review.causal.check.isVisible()  # there is nothing left to ask
    row = ready.results.table.loc[label]
    assert review.card.verdict.text() == cell_verdict(row)


def test_the_next_click_ends_the_check_and_may_begin_another(
    ready, window, qtbot, whole, checkpoint
):
    first, second = scored_label(ready), scored_label(ready, 1)
    window.swapping.settings = SwapSettings(draws=200)
    ready.choose(first, "table")
    window.swapping.look(first)
    qtbot.waitUntil(lambda: ready.results.causal.draws_of(first) == 1, timeout=60_000)
    assert ready.swapping.running  # it is being refined
    with counted_passes(checkpoint) as passes:
        qtbot.waitUntil(lambda: len(passes) > 1, timeout=60_000)
        ready.choose(second, "canvas")
        began = len(passes)
        wait_for(qtbot, ready)
    assert len(passes) <= began + 1
    assert (ready.results.causal.draws_of(first), ready.results.causal.draws_of(second)) == (1, 0)
    window.swapping.settings = SwapSettings()
    window.swapping.look(second)
    wait_for(qtbot, ready)
    same(asked(ready, second), whole.loc[second])


def test_a_click_while_donors_are_read_asks_the_cell_that_is_looked_at_then(
    ready, window, qtbot, whole
):
    first, second = scored_label(ready), scored_label(ready, 1)
    ready.choose(first, "table")
    window.swapping.look(first)  # reads the bank and shows the network its donors
    ready.choose(second, "canvas")
    window.swapping.look(second)
    wait_for(qtbot, ready)
    assert ready.results.causal.draws_of(first) == 0
    same(asked(ready, second), whole.loc[second])


def test_all_cells_are_asked_and_those_without_a_score_are_scored_first(
    session, checkpoint, home, viewer, window, qtbot, whole, batches
):
    session.set_checkpoint(checkpoint, "small", home)
    qtbot.waitUntil(lambda: not window.autosave.looking.running, timeout=30_000)
    explain = docked(viewer, ExplainDock)
    explain.causal.all.click()
    assert not explain.audit_all.isEnabled()
    wait_for(qtbot, session)
    table = session.results.table
    scores = pd.concat([batch.table for batch in batches]).set_index("label")["grad_camo"]
    np.testing.assert_allclose(table["grad_camo"], scores[table.index], atol=1e-5)
    assert set(table.index) == set(whole.index)
    for label in table.index:
        same(table.loc[label], whole.loc[label])
    border = table[table["touches_border"]]
    assert (border["causal_reason"] == "it touches the border").all()
    assert "answered" in explain.causal.message.text()
    assert explain.audit_all.isEnabled()


def test_selected_cells_are_asked_and_no_others(ready, viewer, qtbot, whole):
    explain = docked(viewer, ExplainDock)
    labels = [scored_label(ready, rank) for rank in (0, 2)]
    ready.select(labels)
    explain.causal.selected.click()
    wait_for(qtbot, ready)
    table = ready.results.table
    assert table.index[table["causal_draws"] > 0].tolist() == sorted(labels)
    for label in labels:
        same(table.loc[label], whole.loc[label])
    others = table.drop(index=labels)
    assert (others["causal_reason"] == "it was not asked").all()


def test_a_check_of_all_is_cancelled_within_a_pass_and_keeps_what_it_found(
    ready, viewer, window, qtbot, checkpoint
):
    explain = docked(viewer, ExplainDock)
    explain.causal.rows.inputs["draws"].value = 30
    explain.causal.all.click()
    whole_cells = ready.results.table.query("not touches_border").index.tolist()

    def answered() -> int:
        return sum(ready.results.causal.draws_of(label) == 30 for label in whole_cells)

    with counted_passes(checkpoint) as passes:
        qtbot.waitUntil(lambda: answered() > 0, timeout=60_000)
        explain.causal.progress.cancel.click()
        began = len(passes)
        wait_for(qtbot, ready)
    assert began > 0
    assert len(passes) <= began + 1
    assert 0 < answered() < len(whole_cells)
    assert explain.causal.message.text().startswith("Stopped")


def kept_answers(window, qtbot):
    qtbot.waitUntil(lambda: not window.autosave.writing.running, timeout=20_000)
    kept = read_kept([window.autosave.home]).table
    return int(kept["causal_effect"].notna().sum()) if "causal_effect" in kept else 0


@pytest.mark.parametrize("saved_by", ["the clock", "closing"])
def test_what_a_check_found_is_kept_while_it_goes_on(
    ready, viewer, window, qtbot, monkeypatch, saved_by
):
    monkeypatch.setattr(autosave, "SECONDS", 0 if saved_by == "the clock" else 1000)
    explain = docked(viewer, ExplainDock)
    explain.causal.rows.inputs["draws"].value = 30
    explain.causal.all.click()
    whole_cells = ready.results.table.query("not touches_border").index.tolist()
    qtbot.waitUntil(
        lambda: any(ready.results.causal.draws_of(label) for label in whole_cells), timeout=60_000
    )
    if saved_by == "closing":
        assert kept_answers(window, qtbot) == 0
        window.autosave.eventFilter(None, QEvent(QEvent.Type.Close))
    assert kept_answers(window, qtbot) > 0
    assert ready.swapping.running
    explain.causal.progress.cancel.click()
    wait_for(qtbot, ready)


def test_without_donors_it_is_said_where_they_come_from(
    audited, checkpoint, viewer, window, qtbot, home, bank, tmp_path
):
    explain = docked(viewer, ExplainDock)
    bank_beside(home).rename(tmp_path / "mine.npz")
    audited.set_checkpoint(checkpoint, "small", home)
    assert "No donors yet" in explain.causal.message.text()
    label = scored_label(audited)
    audited.choose(label, "table")
    explain.causal.cell.click()
    wait_for(qtbot, audited)
    assert "there are no donors for this network yet" in explain.causal.message.text()
    explain.causal.open_bank(tmp_path / "mine.npz")
    assert explain.causal.message.text() == "Donors: mine.npz."
    explain.causal.cell.click()
    wait_for(qtbot, audited)
    assert audited.results.causal.draws_of(label) == 4
    assert audited.results.causal.recipe["bank"] == bank.hash


def test_donors_are_made_from_a_plate_beside_the_checkpoint(
    audited, checkpoint, viewer, qtbot, tmp_path
):
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_plate

    design = PlateDesign(
        rows=("D", "E"), columns=("02",), sites=1, field_px=160, planes=9, cells_per_field=14
    )
    plate = make_plate(tmp_path / "plate", design)
    explain = docked(viewer, ExplainDock)
    explain.causal.make_bank(plate)
    assert "not in a file" in explain.causal.message.text()
    path = tmp_path / "small.safetensors"
    audited.set_checkpoint(checkpoint, "small", path)
    with qtbot.waitSignal(explain._swapping.made, timeout=60_000):
        explain.causal.make_bank(plate)
    made = gc.DonorBank.load(bank_beside(path))
    assert set(made.classes) == {"control", "40.00x"}
    assert made.channels == checkpoint.channels


def test_donors_being_made_are_left_at_once(
    audited, checkpoint, viewer, qtbot, tmp_path, monkeypatch
):
    going, read, kept = threading.Event(), threading.Event(), threading.Event()

    def slow(plate, checkpoint, progress):
        going.set()
        read.wait(60)  # a stack that lies on a network drive
        progress(1, 2)
        kept.set()

    monkeypatch.setattr("gradcamo.training.plate_donors.plate_donors", slow)
    explain = docked(viewer, ExplainDock)
    audited.set_checkpoint(checkpoint, "small", tmp_path / "small.safetensors")
    explain.causal.make_bank(tmp_path / "plate.csv")
    qtbot.waitUntil(going.is_set, timeout=30_000)
    explain.causal.progress.cancel.click()
    wait_for(qtbot, audited)
    assert working()  # the stack is still being read
    read.set()
    qtbot.waitUntil(lambda: not working(), timeout=30_000)
    assert not kept.is_set()  # it ended at its next word, and wrote nothing
    assert not list(tmp_path.glob("*.npz"))


def test_a_copy_of_the_bundled_network_has_its_donors(audited, viewer, tmp_path):
    from gradcamo.networks.bundled import BUNDLED
    from gradcamo.networks.checkpoint import Checkpoint

    path = shutil.copy(BUNDLED, tmp_path / "copy.safetensors")
    explain = docked(viewer, ExplainDock)
    audited.set_checkpoint(Checkpoint.load(path), "copy", path)
    assert explain.causal.message.text() == "Donors: of the built-in plate."


def test_edited_cells_lose_their_answers_and_others_keep_them(ready, window, qtbot):
    labels = [scored_label(ready, rank) for rank in (0, 1, 2)]
    window.swapping.start(labels)
    wait_for(qtbot, ready)
    layer, results = ready.labels_layer, ready.results
    voxel = tuple(axis[:1] for axis in np.nonzero(layer.data == labels[0]))
    layer.data_setitem(voxel, labels[1])  # from one cell to another: both see other voxels now
    assert [results.causal.draws_of(label) for label in labels] == [0, 0, 4]
    layer.data_setitem(voxel, 0)  # and whoever has this voxel in its crop
    assert results.causal.draws_of(labels[2]) == (0 if labels[2] in results.stale else 4)


def test_answers_stay_through_another_audit_of_the_same_network_alone(
    ready, window, qtbot, batches, checkpoint
):
    label = scored_label(ready)
    window.swapping.start([label])
    wait_for(qtbot, ready)
    before, recipe = asked(ready, label), dict(window.audits._recipe)
    again = ready.results.fresh(recipe)
    for batch in batches:
        again.add(batch)
    pd.testing.assert_series_equal(again.table.loc[label, list(CAUSAL_COLUMNS)], before)
    for other in ({"checkpoint": "another"}, {"channels": ["DNA"]}):
        assert ready.results.fresh(recipe | other).causal.draws_of(label) == 0


def test_answers_of_the_command_line_are_joined_by_those_of_the_window(ready, window, qtbot, whole):
    labels = [scored_label(ready, rank) for rank in (0, 1)]
    ready.results.add_causal(whole.loc[labels[:1]].reset_index(), whole.attrs["recipe"])
    window.swapping.start(labels)
    wait_for(qtbot, ready)
    assert [ready.results.causal.draws_of(label) for label in labels] == [4, 4]


def test_answers_of_another_bank_replace_those_of_the_first(ready, window, qtbot, whole):
    labels = [scored_label(ready, rank) for rank in (0, 1)]
    window.swapping.start(labels)
    wait_for(qtbot, ready)
    table = whole.loc[labels[:1]].reset_index()
    ready.results.add_causal(table, ready.results.causal.recipe | {"bank": "another"})
    assert [ready.results.causal.draws_of(label) for label in labels] == [4, 0]
    assert ready.results.causal.recipe["bank"] == "another"


@pytest.mark.parametrize("suffix", ["csv", "parquet"])
def test_answers_come_back_from_files_as_they_were(ready, window, qtbot, tmp_path, suffix):
    window.swapping.start([scored_label(ready), scored_label(ready, 1)])
    wait_for(qtbot, ready)
    table = ready.results.table.drop(columns=["flagged", "note"])
    path = tmp_path / f"cells.{suffix}"
    write_table(table, path, recipe=ready.recipe())
    back = Results.of_table(read_table(path), 0.25)
    names = list(CAUSAL_COLUMNS)
    pd.testing.assert_frame_equal(
        back.table[names], table[names], check_dtype=False, check_names=False
    )
    assert back.table[names].dtypes.astype(str).to_dict() == (
        table[names].dtypes.astype(str).to_dict()
    )
    assert back.causal.recipe["bank"] == ready.results.causal.recipe["bank"]
    assert "causal" not in back.recipe


@pytest.fixture
def answered(ready, whole):
    """All cells with what the library says of them."""
    recipe = {
        "checkpoint": ready.checkpoint.hash,
        "stack_channels": list(ready.checkpoint.channels),
        "settings": {"target": None},
        "cautions": [],
    }
    ready.results.add_causal(whole.reset_index(), recipe)
    ready.results_changed.emit()
    return ready


def test_the_table_shows_sorts_filters_and_exports_answers(answered, viewer, qtbot, tmp_path):
    cells = docked(viewer, CellsDock)
    for name in (*CAUSAL_SHARES, "causal_answered"):
        assert name in cells.model.columns
    table = answered.results.table
    for name in ("causal_own", "causal_answered"):
        cells.sort_by(name, ascending=False)
        shown = table.loc[cells.model.labels(), name]
        known = shown.dropna().astype(float)
        assert known.is_monotonic_decreasing
        assert shown.iloc[len(known) :].isna().all()  # missing ones last
    some = float(table["causal_effect"].median())
    cells.toolbar.filter.setText(f"causal_effect > {some}")
    assert set(cells.model.labels()) == set(table.index[table["causal_effect"] > some])
    answered.mark([cells.model.label_at(0)], True)
    for suffix in ("csv", "parquet", "h5ad"):
        path = tmp_path / f"cells.{suffix}"
        prepare(answered, Request("visible", columns=cells.model.columns), path)()
        written = read_table(path).set_index("label")
        expected = answered.results.table.loc[written.index]
        np.testing.assert_allclose(written["causal_own"], expected["causal_own"])
        assert written["flagged"].tolist() == expected["flagged"].tolist()


def test_the_gallery_orders_cells_by_what_is_owed(answered, viewer, qtbot):
    gallery = docked(viewer, GalleryDock)
    gallery.order.setCurrentIndex(gallery.order.findData("causal_effect"))
    gallery.order.activated.emit(0)
    effects = answered.results.table.loc[gallery.model.labels, "causal_effect"].dropna()
    assert len(effects) > 2
    assert effects.is_monotonic_increasing
    assert not any("nan" in word for word in gallery.model._words)


def test_cells_are_coloured_by_what_is_owed(answered):
    from matplotlib.colors import to_rgb

    from gradcamo.colours import CAUSAL_SHARES as COLOURS

    table = answered.results.table.copy()
    label, other = table.index[table["causal_effect"].notna()][:2]
    table.loc[label, list(CAUSAL_SHARES)] = (0.1, 0.7, 0.2)
    table.loc[other, list(CAUSAL_SHARES)] = np.nan
    colours = colormap_of(table, "region").color_dict
    assert colours[label][:3] == pytest.approx(to_rgb(COLOURS["causal_neighbour"][1]), abs=0.01)
    assert colours[other] == pytest.approx(UNSCORED)
    table.loc[label, list(CAUSAL_SHARES)] = (1.0, 0.0, 0.0)
    brightest = colormap_of(table, "causal").color_dict[label]
    assert brightest[:3] == pytest.approx((0.993, 0.906, 0.144), abs=0.02)  # the end of viridis


def test_what_is_said_on_hover_stays_short(answered):
    names = set(features_of(answered.results.table))
    assert set(CAUSAL_SHARES) <= names
    assert not {"causal_phi_own", "causal_reason", "volume_own"} & names


def test_review_shows_both_bars_or_says_why_there_is_no_answer(answered, viewer, qtbot):
    review = docked(viewer, ReviewDock)
    table = answered.results.table
    label = int(table.index[table["causal_effect"].notna()][0])
    row = table.loc[label].copy()
    row[list(CAUSAL_SHARES)] = (0.1, 0.85, 0.05)
    row[["grad_camo", "neighbour_share", "background_share"]] = (0.6, 0.2, 0.2)
    review.card.show_cell(row)
    assert [name for name, _ in review.card.bars.bars()] == ["map", "owes"]
    own, neighbours = row["volume_own"], row["volume_neighbour"]
    assert review.card.bars.ticks() == pytest.approx([own, own + neighbours])
    assert "85%" in review.card.legend.text()
    assert "disagrees" in review.card.verdict.text()
    row[list(CAUSAL_SHARES)] = np.nan
    row["causal_reason"] = "there is no other training well of low"
    review.card.show_cell(row)
    assert [name for name, _ in review.card.bars.bars()] == ["map"]
    assert "no other training well of low" in review.card.verdict.text()


def test_an_untrained_network_is_warned_of_wherever_its_verdict_stands(ready, viewer, qtbot):
    bench = docked(viewer, Workbench)
    qtbot.waitUntil(lambda: bool(ready.cautions), timeout=30_000)
    assert ready.cautions == cautions(ready.results.table, ready.recipe())
    assert f"{len(ready.cautions)} caution" in bench.steps[-1].state.text()
    dialog = open_export(bench.review.session, bench.review)
    qtbot.addWidget(dialog)
    for box in (bench.review.cautions, dialog.cautions):
        text = box.first.text() + box.others.text()
        assert all(said in text for said in (c[1:] for c in ready.cautions))
    ready.set_results(ready.results.fresh())
    qtbot.waitUntil(lambda: not ready.cautions, timeout=30_000)
    assert "caution" not in bench.steps[-1].state.text()


def test_swapped_crops_are_shown_with_what_the_network_says(
    ready, viewer, window, qtbot, field, checkpoint, bank, tmp_path
):
    from gradcamo.causal.swapped import swapped_crops

    dock = docked(viewer, SwappedCropsDock)
    label = scored_label(ready)
    ready.choose(label, "table")
    qtbot.waitUntil(lambda: dock.crops is not None and not dock.job.running, timeout=60_000)
    crops = window.found.finder(ready.next_settings)()
    expected = swapped_crops(crops, label, checkpoint, bank)
    for pool in range(2):
        dock.pool.setCurrentIndex(pool)
        dock.pool.activated.emit(pool)
        for place, coalition in enumerate(SHOWN):
            margin = f"{expected.margins[pool, coalition]:+.1f}".replace("-0.0", "+0.0")
            assert margin in dock.words[place].text().replace("-0.0", "+0.0")
    assert "real: own cell, neighbours, background" in dock.pictures[0].toolTip()
    picture = dock.pictures[0].pixmap().toImage()
    dock.plane.setValue(0)
    assert dock.pictures[0].pixmap().toImage() != picture
    dock.save_figure(str(tmp_path / "swapped.png"))
    qtbot.waitUntil(lambda: "written" in dock.message.text(), timeout=60_000)
    assert (tmp_path / "swapped.png").stat().st_size > 10_000
    table = ready.results.table
    border = int(table.index[table["touches_border"]][0])
    ready.choose(border, "table")
    qtbot.waitUntil(lambda: "it touches the border" in dock.message.text(), timeout=60_000)
    assert not dock.grid.isVisible()


def test_every_sentence_of_the_verdict_stands_in_the_window(viewer):
    review = docked(viewer, ReviewDock)
    said = ["This network tells 8 µM from DMSO by the cell itself.", "Regions are read together."]
    review.session.verdict = said
    review.session.cautions_changed.emit()
    assert review.cautions.verdict.text().splitlines() == said


def test_two_clicks_lead_from_the_start_to_a_causal_verdict(viewer, qtbot, tmp_path, monkeypatch):
    from gradcamo.causal.bank import FORMAT
    from gradcamo.networks.bundled import BUNDLED
    from gradcamo.samples.design import PlateDesign
    from gradcamo.samples.plate import make_stack

    network, design = gc.Checkpoint.load(BUNDLED), PlateDesign()
    wells = []
    for well in ("D02", "E02"):  # the whole bank takes half a minute
        for site in (1, 2):
            stack, labels = make_stack(design, well, site)
            cells = dict.fromkeys(range(1, int(labels.max()) + 1), design.treatment(well))
            wells.append((stack, labels, cells, "built-in", well))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    kept = tmp_path / "napari-gradcamo" / f"{FORMAT}-{network.hash[:12]}.npz"
    kept.parent.mkdir()
    gc.DonorBank.cut(wells, network, per_class=6).save(kept)

    bench = docked(viewer, Workbench)
    session = bench.session
    assert bench.load.example.isVisible()
    bench.load.example.click()
    qtbot.waitUntil(lambda: session.results.cam(session.cell) is not None, timeout=60_000)
    assert not bench.load.example.isVisible()
    assert bench.review.causal.check.isVisible()
    bench.review.causal.check.click()
    wait_for(qtbot, session)
    assert session.results.causal.draws_of(session.cell) == 4
    said = bench.review.card.verdict.text()
    assert "called 40.00x rather than control depends" in said
