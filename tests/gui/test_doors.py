"""A stack with labels comes in by one door, whoever opens it: nothing mixes, nothing is lost."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import napari
import numpy as np
import pytest
import tifffile
from examples import run_examples
from napari.components import ViewerModel
from napari.layers import Image, Labels
from test_autosave import saved

import gradcamo as gc
from gradcamo.auditing.matching import fitting_stack
from gradcamo.docks.canvas.sites import named_labels, read_site, site_of
from gradcamo.docks.entry.reader import get_reader
from gradcamo.docks.panels.steps.workbench import Workbench
from gradcamo.docks.parts.widgets import Message
from gradcamo.docks.window import window_of
from gradcamo.errors import GradcamoError
from gradcamo.files.kept import fingerprint, homes_of, write_marks
from gradcamo.files.labels import write_labels
from gradcamo.files.stacks import write_stack
from gradcamo.samples import one_stack_with_labels
from gradcamo.settings import AuditSettings

pytestmark = pytest.mark.gui


@pytest.fixture
def model():
    return ViewerModel()


@pytest.fixture
def bench(model, qtbot):
    bench = Workbench(model)
    qtbot.addWidget(bench)
    return bench


@pytest.fixture
def files(field, tmp_path):
    """A stack and its labels as files."""
    stack, labels = field
    image, cells = tmp_path / "one.ome.tif", tmp_path / "one_labels.ome.tif"
    write_stack(image, stack)
    write_labels(cells, labels, stack.spacing_um)
    return image, cells


@pytest.fixture
def second(files, field):
    """Another stack of the same shape."""
    stack, _ = field
    path = files[0].with_name("two.ome.tif")
    write_stack(path, replace(stack, data=np.ascontiguousarray(stack.data[..., ::-1])))
    return path


def add(model, layer_data) -> list:
    """What napari does with the layers of a reader or a sample."""
    return [
        model.add_layer((Labels if kind == "labels" else Image)(data, **keywords))
        for data, keywords, kind in layer_data
    ]


def read(model, path) -> list:
    """File > Open."""
    return add(model, get_reader(str(path))(str(path)))


def shown(model) -> set[str]:
    """The files whose channels are visible."""
    return {
        layer.metadata["source"] for layer in model.layers if type(layer) is Image and layer.visible
    }


def wait_for(qtbot, session, path) -> None:
    qtbot.waitUntil(lambda: session.image == str(path), timeout=20_000)


def test_a_second_stack_that_is_opened_is_worked_on_and_named(model, bench, files, second, qtbot):
    session = bench.session
    read(model, files[0])
    wait_for(qtbot, session, files[0])
    assert bench.image.currentText() == "one.ome.tif"
    read(model, second)
    wait_for(qtbot, session, second)
    assert bench.image.currentText() == "two.ome.tif"
    assert session.stack.shape[0] == 3
    assert shown(model) == {str(second)}
    bench.image.setCurrentIndex(bench.image.findText("one.ome.tif"))
    bench.image.activated.emit(bench.image.currentIndex())
    assert session.image == str(files[0])
    assert shown(model) == {str(files[0])}


def test_two_samples_are_two_stacks(model, bench, qtbot):
    add(model, [*one_stack_with_labels(), *one_stack_with_labels()])
    qtbot.waitUntil(lambda: bench.session.stack is not None, timeout=20_000)
    assert bench.session.stack.shape[0] == 6
    assert bench.session.stack.channels[0] == "Hoechst"
    assert {layer.name for layer in bench.session.channel_layers.values()} == {
        f"{name} [1]" for name in bench.session.stack.channels
    }


def test_an_image_that_another_plugin_opens_is_asked_about(model, bench, files, tmp_path, qtbot):
    session = bench.session
    read(model, files[0])
    wait_for(qtbot, session, files[0])
    path = tmp_path / "foreign.tif"
    about = {"axes": "ZYX"}
    tifffile.imwrite(path, np.zeros((5, 32, 40), np.uint16), imagej=True, metadata=about)
    layer = Image(np.zeros((5, 32, 40)), name="foreign")
    layer._source = layer.source.copy(update={"path": str(path)})
    model.add_layer(layer)
    qtbot.waitUntil(lambda: "foreign.tif" in bench.load.message.text(), timeout=30_000)
    assert session.image == str(files[0])
    bench.image.setCurrentIndex(bench.image.findText("foreign.tif"))
    bench.image.activated.emit(bench.image.currentIndex())
    wait_for(qtbot, session, path)
    assert session.stack.shape == (1, 5, 32, 40)
    assert layer not in model.layers


def test_what_hung_on_layers_that_are_deleted_is_empty(model, bench, files, checkpoint, qtbot):
    session = bench.session
    window_of(model).sites.show(read_site(*files))
    session.set_checkpoint(checkpoint, "small")
    label = int(session.labels_layer.data.max())
    session.choose(label, "canvas")
    qtbot.waitUntil(lambda: len(session.results) == 1, timeout=60_000)
    for layer in [*session.channel_layers.values()]:
        model.layers.remove(layer)
    assert session.stack is None
    assert (len(session.results), session.cell) == (0, 0)
    assert not any(layer.visible for layer in model.layers if "gradcamo" in layer.metadata)
    assert bench.image.currentIndex() < 0
    assert bench.explain.missing.text().startswith("Needed first: a Z-stack")


@pytest.mark.parametrize("place", [0, 1, 2])
def test_a_channel_goes_with_its_layer_and_scores_stay(
    place, model, bench, files, field, checkpoint, qtbot
):
    session, (stack, _) = bench.session, field
    window_of(model).sites.show(read_site(*files))
    session.set_checkpoint(checkpoint, "small")
    label = int(session.labels_layer.data.max())
    session.choose(label, "canvas")
    qtbot.waitUntil(lambda: len(session.results) == 1, timeout=60_000)
    gone = stack.channels[place]
    model.layers.remove(session.channel_layers[gone])
    left = [name for name in stack.channels if name != gone]
    assert list(session.stack.channels) == list(session.channel_layers) == left
    np.testing.assert_array_equal(
        session.stack.data, np.delete(np.asarray(stack.data), place, axis=0)
    )
    assert session.image == str(files[0])
    assert len(session.results) == 1
    assert "the stack has 2" in "".join(m.text() for m in bench.model.findChildren(Message))
    with pytest.raises(GradcamoError, match="has 2"):
        fitting_stack(*session.needed()[::2], AuditSettings())
    window_of(model).sites.show(read_site(*files))
    assert session.stack.channels == stack.channels


def test_labels_of_one_array_are_not_those_of_the_next(model, field):
    stack, labels = field
    window = window_of(model)
    stack = replace(stack, source="")
    window.sites.show(site_of(stack, labels))
    assert window.session.labels_layer is not None
    window.sites.show(site_of(replace(stack, data=np.ascontiguousarray(stack.data[..., ::-1]))))
    assert window.session.labels_layer is None


@pytest.mark.parametrize(
    ("name", "holds"),
    [
        ("one_labels.ome.tif", True),
        ("A01_cp_masks.tif", True),
        ("nuclei-seg.zarr", True),
        ("label-free.ome.tif", False),
        ("unlabeled.tif", False),
        ("segregation.tif", False),
    ],
)
def test_labels_are_known_by_their_name(name, holds):
    assert named_labels(name) is holds


def test_a_label_file_becomes_a_labels_layer(model, bench, files, field, qtbot):
    (layer,) = read(model, files[1])
    assert isinstance(layer, Labels)
    assert bench.session.labels_layer is layer
    np.testing.assert_array_equal(layer.data, field[1])
    assert tuple(layer.scale) == pytest.approx(field[0].spacing_um, rel=1e-4)


def test_labels_that_napari_showed_in_grey_become_a_labels_layer(model, bench, files, field, qtbot):
    session = bench.session
    read(model, files[0])
    wait_for(qtbot, session, files[0])
    grey = Image(field[1], name="one_labels")
    grey._source = grey.source.copy(update={"path": str(files[1])})
    model.add_layer(grey)
    qtbot.waitUntil(lambda: session.labels_layer is not None, timeout=20_000)
    np.testing.assert_array_equal(session.labels_layer.data, field[1])
    qtbot.waitUntil(lambda: grey not in model.layers, timeout=30_000)


def test_labels_of_another_shape_are_refused_and_nothing_is_left(bench, model, files, tmp_path):
    sites = window_of(model).sites
    sites.show(read_site(*files))
    before = [layer.name for layer in model.layers]
    with pytest.raises(GradcamoError, match=r"\(2, 3, 4\) do not fit .* of \(9, 160, 160\)"):
        sites.show_labels(np.ones((2, 3, 4), int))
    assert [layer.name for layer in model.layers] == before


def by_load(window, bench, image, cells):
    bench.load.load_labels(cells)


def by_site(window, bench, image, cells):
    window.sites.show(read_site(image, cells))


def by_file_open(window, bench, image, cells):
    read(window.viewer, cells)


DOORS = [by_load, by_site, by_file_open]


def opened(files, door, qtbot):
    """A new window with the stack and its labels, once what was kept is looked up."""
    model = ViewerModel()
    bench = Workbench(model)
    qtbot.addWidget(bench)
    window = window_of(model)
    window.sites.show(read_site(files[0]))
    door(window, bench, *files)
    qtbot.waitUntil(lambda: window.session.labels_layer is not None, timeout=20_000)
    saved(window, qtbot)
    return model, window


@pytest.mark.parametrize("later", DOORS)
@pytest.mark.parametrize("first", DOORS)
def test_flags_are_found_by_whichever_door_the_labels_come(files, first, later, qtbot):
    _before, window = opened(files, first, qtbot)
    window.session.note(4, "seen")
    saved(window, qtbot)
    assert [path.name for path in files[0].parent.glob("one_labels.gradcamo-*.json")]
    assert not list(homes_of(None, "x")[0].parent.glob("*.json"))
    _now, window = opened(files, later, qtbot)
    assert window.session.results.marks.notes == {4: "seen"}


@pytest.mark.parametrize("door", DOORS)
def test_flags_that_an_older_version_kept_in_the_user_s_folder_are_found(files, field, door, qtbot):
    (home,) = homes_of(None, fingerprint(field[1], str(files[0])))
    home.parent.mkdir(parents=True, exist_ok=True)
    marks = {"cutoff": 0.3, "flagged_by_hand": {4: True}, "notes": {4: "of 0.1.0"}}
    write_marks([home], marks)
    _, window = opened(files, door, qtbot)
    assert window.session.results.marks.notes == {4: "of 0.1.0"}


def test_painted_labels_stay_when_the_next_site_comes(bench, model, files, second):
    window = window_of(model)
    window.sites.show(read_site(*files))
    read_again = window.session.labels_layer
    window.sites.show(read_site(second, files[1]))
    assert read_again not in model.layers
    painted = window.session.labels_layer
    painted.paint((4, 5, 5), 7)
    window.sites.show(read_site(*files))
    assert painted in model.layers
    assert not painted.visible


@pytest.fixture
def window_made(make_napari_viewer, monkeypatch):
    """The windows that are opened, which the test closes."""
    made = []

    def viewer(**_):
        made.append(make_napari_viewer())
        return made[-1]

    monkeypatch.setattr(napari, "Viewer", viewer)
    return made


def test_the_command_line_s_window_takes_a_stack_with_its_labels(files, window_made):
    viewer = gc.open_window(*map(str, files))
    assert window_made == [viewer]
    session = window_of(viewer).session
    assert session.image == str(files[0])
    assert Path(session.labels_layer.metadata["path"]) == files[1]


def test_python_opens_a_window_with_arrays_and_shows_others_in_it(field, checkpoint, window_made):
    stack, labels = field
    viewer = gc.open_window(stack, labels, checkpoint)
    session = window_of(viewer).session
    shown = [np.asarray(layer.data) for layer in session.channel_layers.values()]
    np.testing.assert_array_equal(shown, stack.data)
    np.testing.assert_array_equal(session.labels_layer.data, labels)
    assert session.checkpoint is checkpoint
    channel = stack.select(stack.channels[1:])
    assert gc.open_window(channel, viewer=viewer) is viewer
    assert list(session.channel_layers) == list(stack.channels[1:])
    assert window_made == [viewer]


def test_the_example_of_a_window_opens_one(window_made, reference_folder, monkeypatch):
    monkeypatch.chdir(reference_folder)
    run_examples(gc.open_window)
    assert len(window_made) == 1


@pytest.mark.parametrize(
    ("spoil", "said"),
    [
        (lambda stack, labels: (stack.data, labels), r"gc\.ZStack\(array"),
        (lambda stack, labels: (stack, labels / 2), "whole numbers"),
        (lambda stack, labels: (stack, labels > 0), "skimage"),
        (lambda stack, labels: (stack, labels[:-1]), "do not fit"),
        (lambda stack, labels: (None, labels > 0), "skimage"),
        (lambda stack, labels: (stack, "none.tif"), "none.tif"),
        (lambda stack, labels: ("none.tif", labels), "none.tif"),
    ],
)
def test_what_cannot_be_shown_opens_no_window(spoil, said, field, window_made):
    with pytest.raises(GradcamoError, match=said):
        gc.open_window(*spoil(*field))
    assert not window_made


def test_a_window_that_lacks_what_an_audit_needs_is_not_opened(field, window_made):
    with pytest.raises(GradcamoError, match="a checkpoint"):
        gc.open_window(*field, audit=True)
    assert not window_made
