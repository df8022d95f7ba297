"""Cellpose, plane by plane: the same cells as one stitched call, weights found or named."""

import os
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import numpy as np
import pytest
from reference import DATA

from gradcamo import GradcamoError, SegmentSettings, ZStack
from gradcamo.samples.design import CHANNELS, PlateDesign
from gradcamo.samples.plate import make_stack
from gradcamo.segmentation.models import (
    BUNDLED,
    default_model,
    find_weights,
    load_model,
    offered_models,
)
from gradcamo.segmentation.planes import (
    average_precision,
    choose_channels,
    recipe,
    segment,
    segment_planes,
    stitch,
)

SETTINGS = SegmentSettings(model="bundled")
THREE = version("cellpose").startswith("3.")


@pytest.fixture(scope="module")
def field():
    """A small stack that the bundled network has not seen, and its cells."""
    return make_stack(PlateDesign(field_px=96, cells_per_field=7, planes=9, seed=2000), "G02", 1)


@pytest.fixture(scope="module")
def planes(field):
    return list(segment_planes(field[0], SETTINGS))


def test_the_bundled_weights_find_cells_that_they_have_not_seen(field, planes):
    _, truth = field
    labels = stitch([done.masks for done in planes], SETTINGS)
    assert labels.dtype == np.int32
    assert labels.shape == truth.shape
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    assert average_precision(truth, labels) >= 0.8


def test_either_cellpose_finds_the_cells_that_version_3_found(planes):
    """Versions differ by rounding in how pixels follow flows, never by a cell."""
    with np.load(DATA / "segmented_by_cellpose_3.npz", allow_pickle=False) as file:
        before = file["labels"]
    labels = stitch([done.masks for done in planes], SETTINGS)
    assert average_precision(before, labels, threshold=0.9) == 1
    assert (labels != before).mean() < 0.01


def test_every_plane_is_handed_over_when_it_is_done(field, planes):
    assert [(done.plane, done.total) for done in planes] == [(z, 9) for z in range(9)]
    assert all(done.masks.shape == (96, 96) for done in planes)


@pytest.mark.skipif(not THREE, reason="Cellpose 4 has no residual network to compare with")
def test_plane_by_plane_is_one_stitched_cellpose_call(field, planes, tmp_path):
    import torch
    from cellpose import models
    from safetensors.torch import load_file

    stack, _ = field
    torch.save(load_file(BUNDLED), tmp_path / "weights")  # Cellpose reads torch files only
    model = models.CellposeModel(gpu=False, pretrained_model=str(tmp_path / "weights"))
    pair = stack.data[[CHANNELS.index("SYTO14"), CHANNELS.index("Hoechst")]]
    whole, *_ = model.eval(
        np.moveaxis(pair, 0, -1),
        channels=[1, 2],
        channel_axis=-1,
        z_axis=0,
        normalize={"normalize": True, "norm3D": True, "percentile": (1.0, 99.0)},
        stitch_threshold=SETTINGS.stitch_threshold,
        flow_threshold=SETTINGS.flow_threshold,
        min_size=SETTINGS.min_size,
        anisotropy=SETTINGS.anisotropy,
    )
    assert whole.max() > 0
    assert np.array_equal(stitch([done.masks for done in planes], SETTINGS), whole)


def test_tiles_that_are_too_many_for_the_device_pass_in_smaller_batches(field):
    import torch
    from torch.nn.modules.module import register_module_forward_pre_hook

    def hook(module, inputs):
        sizes.append(len(inputs[0]))
        if sizes[-1] > 1:
            raise torch.OutOfMemoryError("CUDA out of memory")

    sizes = []
    wide = replace(field[0], data=np.tile(field[0].data[:, 4:5], (1, 1, 1, 4)))
    expected = segment(wide, SETTINGS)
    handle = register_module_forward_pre_hook(hook)
    try:
        labels = segment(wide, SETTINGS.model_copy(update={"batch_size": 2}))
    finally:
        handle.remove()
    assert max(sizes) == 2
    np.testing.assert_array_equal(labels, expected)


def test_a_stack_without_cells_gives_labels_without_cells():
    empty = ZStack(np.full((1, 2, 64, 64), 100, np.uint16), ("signal",))
    labels = segment(empty, SETTINGS)
    assert labels.shape == (2, 64, 64)
    assert not labels.any()


def test_intensities_that_are_not_finite_are_refused_with_channel_and_count():
    data = np.ones((2, 2, 64, 64), np.float32)
    data[1, 0, 0, :3] = [np.nan, np.inf, -np.inf]
    with pytest.raises(GradcamoError, match="channel SYTO14, Z 0: 3 NaN"):
        next(segment_planes(ZStack(data, ("Hoechst", "SYTO14")), SETTINGS))


@pytest.mark.parametrize(
    ("channels", "chosen"),
    [
        (CHANNELS, ("SYTO14", "Hoechst")),
        (("nuclei", "membrane"), ("membrane", "nuclei")),
        (("DAPI", "GFP"), ("GFP", "DAPI")),
        (("SYTO14_nucleoli", "DNA_405"), ("SYTO14_nucleoli", "DNA_405")),
        (("signal",), ("signal", None)),
        (("cell body", "GFP", "RFP"), ("cell body", None)),
    ],
)
def test_channels_are_found_by_their_names(channels, chosen):
    stack = ZStack(np.zeros((len(channels), 1, 4, 4)), channels)
    assert choose_channels(stack, SegmentSettings()) == chosen


def test_channels_that_the_settings_name_are_taken():
    stack = ZStack(np.zeros((6, 1, 4, 4)), CHANNELS)
    named = SegmentSettings(cytoplasm="WGA", nucleus="SYTO14")
    assert choose_channels(stack, named) == ("WGA", "SYTO14")


def test_channels_that_cannot_be_told_apart_are_listed():
    stack = ZStack(np.zeros((3, 1, 4, 4)), ("488", "561", "640"))
    with pytest.raises(GradcamoError, match=r"488.*--cytoplasm"):
        choose_channels(stack, SegmentSettings())


def test_the_recipe_names_version_weights_and_channels(field):
    said = recipe(field[0], SETTINGS)
    assert said["cytoplasm"] == "SYTO14"
    assert said["nucleus"] == "Hoechst"
    assert said["weights"] == BUNDLED.name
    assert len(said["weights_sha256"]) == 64
    assert said["flow_threshold"] == 0.75
    assert said["cellpose"] == version("cellpose")
    assert said["model"] == "bundled"


def test_the_default_is_the_model_of_the_paper_where_cellpose_has_it():
    if THREE:
        assert default_model() == "cyto"
    else:
        from cellpose import models

        assert default_model() == models.MODEL_NAMES[0]
    assert set(offered_models()) >= {"bundled", default_model()}


def test_weights_that_cannot_be_fetched_name_the_bundled_ones(tmp_path, monkeypatch):
    from cellpose import models

    monkeypatch.setattr(models, "MODEL_DIR", tmp_path)
    monkeypatch.setattr(models, "_MODEL_URL", "http://127.0.0.1:9/")  # nobody listens there
    with pytest.raises(GradcamoError, match="--model bundled"):
        find_weights(None)
    assert not list(tmp_path.iterdir())


def test_a_model_that_nobody_knows_is_refused_instead_of_replaced():
    with pytest.raises(GradcamoError, match="neither a file nor a model"):
        find_weights("cito")


def test_a_file_that_holds_no_cellpose_network_is_refused(tmp_path):
    from safetensors.numpy import save_file

    path = tmp_path / "other.safetensors"
    save_file({"weight": np.zeros(3)}, path)
    with pytest.raises(GradcamoError, match="does not load"):
        load_model(SegmentSettings(model=str(path)))


def test_bundled_weights_load_as_a_users_own_file(tmp_path):
    import torch
    from safetensors.torch import load_file

    path = tmp_path / "my_model"
    torch.save(load_file(BUNDLED), path)
    mine, ours = load_model(SegmentSettings(model=str(path))), load_model(SETTINGS)
    assert mine.diam_mean == ours.diam_mean == 30
    for name, value in ours.state_dict().items():
        assert torch.equal(value, mine.state_dict()[name])


def test_average_precision_is_that_of_cellpose_and_of_counting():
    from cellpose import metrics

    rng = np.random.default_rng(0)
    truth = np.kron(np.arange(1, 28).reshape(3, 3, 3), np.ones((4, 6, 6), int))
    truth = np.pad(truth, 1)  # Cellpose 4 takes it that something is background
    found = np.roll(truth, 1, axis=-1)
    found[rng.random(found.shape) < 0.2] = 0
    found[found == 5] = 4
    for threshold in (0.3, 0.5, 0.6, 0.7):
        renumbered = np.unique(found, return_inverse=True)[1].reshape(found.shape)
        theirs = metrics.average_precision([truth], [renumbered], threshold=[threshold])[0].item()
        assert average_precision(truth, found, threshold) == pytest.approx(theirs)
    two = np.array([[1, 1, 0, 7, 7, 0, 9]])
    hit = np.array([[3, 3, 0, 0, 4, 4, 0]])  # one match, one object missed twice, one invented
    assert average_precision(two, hit) == pytest.approx(1 / 4)
    assert average_precision(two, np.zeros_like(two)) == 0
    assert average_precision(np.zeros_like(two), np.zeros_like(two)) == 1


@pytest.mark.realdata
def test_real_organoid_cells_are_found_through_the_same_chain():
    here = Path(__file__).parents[1].parent / "shared" / "realdata"
    folder = Path(os.environ.get("GRADCAMO_REALDATA", here))
    if not folder.is_dir():
        pytest.skip("no real stacks here: set GRADCAMO_REALDATA")
    from gradcamo import read_labels, read_stack

    stack = read_stack(folder / "lstree_budding_T0301.ome.tif")
    truth = read_labels(folder / "lstree_budding_T0301_cell_labels.ome.tif")
    few = ZStack(stack.data[:, 10:13], stack.channels, stack.spacing_um)
    labels = segment(few, SETTINGS)
    assert labels.max() >= 3
    inside = (truth[10:13] > 0)[labels > 0].mean()
    assert inside > 0.5
