"""One cell's maps side by side are those that an audit of each gives."""

from __future__ import annotations

import pandas as pd
import pytest
from conftest import docked, scored_label

from gradcamo import AuditSettings, audit
from gradcamo.docks.panels.cells.compare_dock import CompareDock

pytestmark = pytest.mark.gui


@pytest.fixture
def compare(audited, viewer):
    return docked(viewer, CompareDock, area="bottom")


def titles(dock) -> list[str]:
    return [dock.view.item(row).text() for row in range(dock.view.count())]


def score(session, label, **settings) -> str:
    table = audit(
        session.stack,
        session.labels_layer.data,
        session.checkpoint,
        AuditSettings(**settings),
        only=[label],
    )
    return f"{table['grad_camo'][0]:.2f}".replace("nan", "no evidence")


def test_every_treatment_and_every_layer_come_with_their_scores(audited, compare, qtbot):
    label = scored_label(audited)
    with qtbot.waitSignal(compare.job.ended, timeout=60_000):
        audited.choose(label, "table")
    classes = audited.checkpoint.classes
    expected = [f"{name}: {score(audited, label, target=name)}" for name in classes]
    assert titles(compare) == expected
    compare.by.setCurrentIndex(compare.by.findData("layers"))
    with qtbot.waitSignal(compare.job.ended, timeout=60_000):
        compare.by.activated.emit(1)
    shown = titles(compare)
    assert [text.split(":")[0] for text in shown] == list(audited.checkpoint.layers)
    for name in ("block_2", "head"):
        assert f"{name}: {score(audited, label, layer=name)}" in shown


def test_the_last_of_several_cells_is_the_one_that_is_drawn(audited, compare, qtbot):
    for rank in (0, 1, 2):
        audited.choose(scored_label(audited, rank), "table")
    last = scored_label(audited, 2)
    qtbot.waitUntil(lambda: f"Cell {last}:" in compare.message.text(), timeout=60_000)


def test_a_cell_at_the_border_is_said_to_have_no_maps(audited, compare, qtbot):
    table = audited.results.table
    label = int(table[table["touches_border"]]["label"].iloc[0])
    with qtbot.waitSignal(compare.job.ended, timeout=60_000):
        audited.choose(label, "table")
    assert "border" in compare.message.text()
    assert not titles(compare)
    audited.choose(0, "table")
    assert "click one" in compare.message.text()


def test_an_audit_that_runs_while_cells_are_compared_scores_as_it_does_alone(
    audited, window, compare, qtbot
):
    session = audited
    alone = audit(session.stack, session.labels_layer.data, session.checkpoint, AuditSettings())
    alone = alone.set_index("label")["grad_camo"]
    compare.by.setCurrentIndex(compare.by.findData("layers"))
    drawn = []
    compare.job.ended.connect(lambda *_: drawn.append(session.auditing.running))
    for rank in range(3):
        with qtbot.waitSignal(session.auditing.ended, timeout=60_000):
            window.audits.start(AuditSettings(batch_size=1))
            session.choose(scored_label(session, rank), "table")
        found = session.results.table["grad_camo"]
        pd.testing.assert_series_equal(found, alone, check_names=False, atol=1e-6, rtol=0)
    qtbot.waitUntil(lambda: not compare.job.running, timeout=60_000)
    assert drawn
