"""Rows of settings: what magicgui makes of a field, and what it could not without us."""

from __future__ import annotations

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QSlider

from gradcamo.docks.parts.rows import SettingRows
from gradcamo.docks.state.look import Look
from gradcamo.errors import GradcamoError
from gradcamo.settings import (
    AuditSettings,
    CropSettings,
    ImportSettings,
    LayerAuditSettings,
    SegmentSettings,
    TrainSettings,
)

pytestmark = pytest.mark.gui
MODELS = (
    *(AuditSettings, CropSettings, ImportSettings, LayerAuditSettings, Look, SegmentSettings),
    TrainSettings,
)


@pytest.fixture
def made(qtbot):
    alive = []

    def make(model, *names, **how):
        alive.append(SettingRows(model, names, **how))
        qtbot.addWidget(alive[-1])
        return alive[-1]

    return make


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_rows_that_nobody_touched_say_the_defaults(model, made):
    names = [name for name in model.model_fields if name != "crop"]
    assert made(model, *names).settings() == model()


@pytest.mark.parametrize(
    ("model", "name", "value"),
    [
        (SegmentSettings, "diameter", 17.5),
        (SegmentSettings, "diameter", None),
        (TrainSettings, "epochs", 12),
        (TrainSettings, "learning_rate", 0.00005),
        (TrainSettings, "input_size", (64, 96, 128)),
        (TrainSettings, "gamma_range", (0.75, 1.25)),
        (TrainSettings, "train_columns", ("02", "05")),
        (TrainSettings, "labels_coarser", True),
        (AuditSettings, "alignment", "receptive-field"),
        (AuditSettings, "channels", ("DNA stain", "actin")),
        (AuditSettings, "channels", None),
        (AuditSettings, "batch_size", None),
        (AuditSettings, "batch_size", 4),
    ],
)
def test_what_a_row_is_given_it_gives_back(model, name, value, made):
    rows = made(model, name)
    rows.inputs[name].value = value
    got = getattr(rows.settings(), name)
    assert (got, type(got)) == (value, type(value))


def test_an_optional_number_is_automatic_below_its_least(made, qtbot):
    rows = made(SegmentSettings, "diameter")
    box = rows.inputs["diameter"].native
    assert (box.text(), rows.values()) == ("automatic", {"diameter": None})
    qtbot.keyClick(box, Qt.Key.Key_Up)
    assert rows.values() == {"diameter": 1}
    box.lineEdit().selectAll()
    qtbot.keyClicks(box.lineEdit(), "x2x5,5")
    assert rows.values() == {"diameter": 1}  # half a number is no value
    qtbot.keyClick(box, Qt.Key.Key_Return)
    assert rows.values() == {"diameter": 25.5}
    for _ in range(26):
        qtbot.keyClick(box, Qt.Key.Key_Down)
    assert (box.text(), rows.values()) == ("automatic", {"diameter": None})


def test_letters_do_not_get_into_a_number_that_is_automatic(made, qtbot):
    box = made(SegmentSettings, "diameter").inputs["diameter"].native
    box.lineEdit().selectAll()
    qtbot.keyClicks(box.lineEdit(), "wide")
    assert box.text() == "automatic"


def test_keys_move_a_slider_by_hundredths(made, qtbot):
    rows = made(Look, "opacity", sliders=("opacity",))
    slider = rows.findChild(QSlider)
    qtbot.keyClick(slider, Qt.Key.Key_Right)
    assert rows.values() == {"opacity": 0.86}
    for _ in range(3):
        qtbot.keyClick(slider, Qt.Key.Key_PageUp)
    assert rows.values() == {"opacity": 1.0}


def test_choices_stand_in_the_order_in_which_they_are_offered(made):
    layer = made(AuditSettings, "layer", choices={"layer": ("b", "c")}).inputs["layer"]
    layer.offer(("c", "a", "b"))
    assert layer.choices == (None, "c", "a", "b")
    assert layer.native.itemText(0) == "automatic"


def test_a_choice_comes_back_with_what_offers_it_unless_another_was_made(made):
    rows = made(SegmentSettings, "nucleus", choices={"nucleus": ("DNA", "actin")})
    nucleus, told = rows.inputs["nucleus"], []
    rows.changed.connect(lambda: told.append(rows.values()["nucleus"]))
    nucleus.value = "DNA"
    nucleus.offer(("Hoechst", "actin"))
    assert (nucleus.value, told) == (None, ["DNA", None])
    nucleus.offer(("actin", "DNA"))
    assert (nucleus.value, told) == ("DNA", ["DNA", None, "DNA"])
    nucleus.offer(("Hoechst", "actin"))
    nucleus.native.setCurrentText("actin")
    nucleus.offer(("DNA", "actin"))
    assert nucleus.value == "actin"


def test_a_model_of_ones_own_is_typed_or_chosen(made, qtbot):
    rows = made(SegmentSettings, "model", choices={"model": ("cyto", "nuclei")})
    model = rows.inputs["model"]
    model.native.setEditable(True)
    for text in ("cyto", "mine", "nuclei", "automatic"):
        model.native.lineEdit().selectAll()
        qtbot.keyClicks(model.native.lineEdit(), text)
        assert rows.values() == {"model": None if text == "automatic" else text}
    model.value = "/weights/mine"
    qtbot.keyClick(model.native.lineEdit(), Qt.Key.Key_Return)
    assert rows.values() == {"model": "/weights/mine"}


def test_a_value_that_cannot_be_is_said_of_the_row_as_it_is_called(made):
    rows = made(TrainSettings, "learning_rate", "gamma_range", titles={"gamma_range": "Powers"})
    rows.inputs["learning_rate"].value = 20
    rows.inputs["gamma_range"].value = (1.5, 0.5)
    with pytest.raises(GradcamoError) as error:
        rows.settings()
    assert str(error.value) == (
        "Learning rate should be a number, more than 0 and at most 10, got '20': correct it, or "
        "leave it out for 0.0003; Powers: the first should be the smaller of two finite numbers, "
        "got ('1.5', '0.5'): correct it, or leave it out for (0.5, 1.5)"
    )
