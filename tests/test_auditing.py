import re
import warnings
from dataclasses import replace
from pathlib import Path

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import torch
import torch.nn.functional as F
from small import SmallResNet

import gradcamo as gc
from gradcamo import AuditSettings, Checkpoint, CropSettings, GradcamoError, ZStack
from gradcamo.auditing.stack import audit_batches, gather
from gradcamo.auditing.summary import summarise
from gradcamo.columns import CELL_COLUMNS
from gradcamo.errors import GradcamoWarning
from gradcamo.networks.fused import mirrored_for
from gradcamo.networks.geometry import describe_layers

SCORES = ["grad_camo", "neighbour_share", "background_share", "chance", "ceiling", "attainable"]
WHOLE = [7, 40, 41, 90_000]


@pytest.fixture(scope="module")
def checkpoint():
    return Checkpoint(
        network=SmallResNet(3, 2),
        classes=("control", "low", "high"),
        channels=("DNA", "actin"),
        channel_mean=(0.2, 0.5),
        channel_std=(0.3, 0.25),
        crop=CropSettings(size_yx=(24, 28)),
        input_size=(16, 48, 40),
        layer="layer1",
        spacing_um=(0.6, 0.35, 0.35),
    )


def by_hand(stack, labels, checkpoint, label, target=None):
    """One row of the table the long way: crop, resize, autograd, upsample, mask, sum."""
    crops = gc.CellCrops(stack, labels, checkpoint.crop)
    (i,) = np.flatnonzero(crops.table["label"] == label)
    crop = crops[int(i)]
    image = torch.from_numpy(crop.image)
    mean, std = (torch.tensor(v)[:, None, None, None] for v in ((0.2, 0.5), (0.3, 0.25)))
    x = F.interpolate(((image - mean) / std)[None], checkpoint.input_size, mode="trilinear")
    seen = []
    hook = checkpoint.network.layer1.register_forward_hook(lambda m, a, out: seen.append(out))
    logits = checkpoint.network(x)[0]
    hook.remove()
    k = logits.argmax() if target is None else target
    (slope,) = torch.autograd.grad(logits[k], seen[0])
    a = seen[0].detach()[0]
    w = slope[0].flatten(1).mean(1)
    cam = (w[:, None, None, None] * a).mean(0).relu()
    big = F.interpolate(cam[None, None], crop.labels.shape, mode="trilinear")[0, 0].double()
    own = torch.from_numpy(crop.labels == label)
    other = torch.from_numpy((crop.labels != 0) & (crop.labels != label))
    probabilities = logits.softmax(0)
    return {
        "predicted": checkpoint.classes[int(logits.argmax())],
        "confidence": float(probabilities.max()),
        "grad_camo": float(big[own].sum() / big.sum()),
        "neighbour_share": float(big[other].sum() / big.sum()),
        "background_share": float(big[~own & ~other].sum() / big.sum()),
        "chance": float(own.double().mean()),
        "profile": a.flatten(1).mean(1).numpy(),
        "map": cam.numpy(),
    }


@pytest.mark.parametrize("target", [None, "high"])
def test_every_number_of_a_row_is_that_of_the_long_way(field, checkpoint, target):
    stack, labels = field
    settings = AuditSettings(target=target, batch_size=3)
    (partial, *batches) = audit_batches(stack, labels, checkpoint, settings)
    assert partial.table["label"].tolist() == [12]
    for batch in batches:
        for i, row in batch.table.iterrows():
            k = None if target is None else 2
            expected = by_hand(stack, labels, checkpoint, row["label"], k)
            np.testing.assert_allclose(batch.maps[i], expected.pop("map"), rtol=1e-4, atol=1e-7)
            np.testing.assert_allclose(batch.profiles[i], expected.pop("profile"), rtol=1e-4)
            assert row["predicted"] == expected.pop("predicted")
            for name, value in expected.items():
                assert row[name] == pytest.approx(value, rel=1e-4), name


def test_the_table_has_one_row_a_cell_in_ascending_label_and_all_columns(field, checkpoint):
    stack, labels = field
    table = gc.audit(stack, labels, checkpoint)
    assert tuple(table) == tuple(CELL_COLUMNS)
    assert table["label"].tolist() == [7, 12, 40, 41, 90_000]
    assert set(table["image"]) == {"field.tif"}
    assert set(table["layer"]) == {"layer1"}
    assert set(table["alignment"]) == {"paper"}
    partial = table[table["touches_border"]]
    assert partial["label"].tolist() == [12]
    assert partial[[*SCORES, "confidence", "predicted"]].isna().all(axis=None)
    assert not partial["flagged"].any()
    whole = table[~table["touches_border"]]
    shares = whole[["grad_camo", "neighbour_share", "background_share"]].sum(axis=1)
    np.testing.assert_allclose(shares, 1, atol=1e-5)
    assert (whole["flagged"] == (whole["grad_camo"] < 0.25)).all()
    assert (table[[*SCORES, "confidence"]].dtypes == np.float64).all()


def test_the_types_of_columns_do_not_depend_on_the_cells(field, checkpoint):
    stack, labels = field
    tables = [gc.audit(stack, labels, checkpoint, only=ids) for ids in ([7, 12], [7], [12], [])]
    for table in tables[1:3]:
        pd.testing.assert_series_equal(table.dtypes, tables[0].dtypes)
    assert tuple(tables[3]) == tuple(CELL_COLUMNS)
    assert len(tables[3]) == 0


@pytest.mark.parametrize("batch_size", [1, 3, 8])
def test_the_batch_size_changes_no_number(field, checkpoint, batch_size):
    stack, labels = field
    once = AuditSettings(batch_size=2, permutations=20)
    expected, profiles = gather(audit_batches(stack, labels, checkpoint, once))
    settings = AuditSettings(batch_size=batch_size, permutations=20)
    table, again = gather(audit_batches(stack, labels, checkpoint, settings))
    pd.testing.assert_frame_equal(table, expected, rtol=1e-4)
    np.testing.assert_allclose(again, profiles, rtol=1e-4, atol=1e-6)
    assert np.isnan(profiles[table["label"] == 12]).all()


def test_a_batch_too_large_for_the_device_is_halved_until_it_fits(field, checkpoint):
    from torch.nn.modules.module import register_module_forward_pre_hook

    sizes = []

    def no_more_than(n):
        def hook(module, inputs):
            sizes.append(len(inputs[0]))
            if sizes[-1] > n:
                raise torch.OutOfMemoryError("CUDA out of memory")

        return register_module_forward_pre_hook(hook)

    stack, labels = field
    expected = gc.audit(stack, labels, checkpoint)
    handle = no_more_than(1)
    try:
        table = gc.audit(stack, labels, checkpoint, AuditSettings(batch_size=4))
    finally:
        handle.remove()
    pd.testing.assert_frame_equal(table, expected, rtol=1e-4)
    assert max(sizes) > 1
    handle = no_more_than(0)
    try:
        with pytest.raises(GradcamoError, match="one cell needs more memory than the device has"):
            gc.audit(stack, labels, checkpoint)
    finally:
        handle.remove()


def test_p_and_q_values_come_on_request_and_for_scored_cells_alone(field, checkpoint):
    stack, labels = field
    assert "p_value" not in gc.audit(stack, labels, checkpoint)
    table = gc.audit(stack, labels, checkpoint, AuditSettings(permutations=50))
    assert list(table)[-2:] == ["p_value", "q_value"]
    assert table.loc[table["touches_border"], ["p_value", "q_value"]].isna().all(axis=None)
    scored = table[~table["touches_border"]]
    assert scored["p_value"].between(1 / 7, 1).all()  # three other cells: six null scores
    assert (scored["q_value"] >= scored["p_value"]).all()
    assert table.attrs["recipe"]["settings"]["permutations"] == 50


def test_progress_counts_every_cell_and_batches_say_where_their_maps_lie(field, checkpoint):
    stack, labels = field
    crops = gc.CellCrops(stack, labels, checkpoint.crop)
    starts = dict(zip(crops.table["label"], map(crops.start, range(5)), strict=True))
    batches = list(audit_batches(stack, labels, checkpoint, AuditSettings(batch_size=3)))
    assert [(b.done, b.total) for b in batches] == [(1, 5), (4, 5), (5, 5)]
    grid = checkpoint.layers["layer1"].grid
    for batch in batches[1:]:
        assert batch.maps.shape == (len(batch.table), *grid)
        assert batch.maps.dtype == batch.profiles.dtype == np.float32
        for start, label in zip(batch.starts, batch.table["label"], strict=True):
            assert tuple(start) == starts[label]


def test_local_gradients_change_the_maps_and_the_table_says_so(field, checkpoint):
    stack, labels = field
    plain = gc.audit(stack, labels, checkpoint)
    assert set(plain["gradients"]) == {"averaged"}
    local = gc.audit(stack, labels, checkpoint, AuditSettings(gradients="local"))
    assert set(local["gradients"]) == {"local"}
    assert not np.allclose(plain["grad_camo"].dropna(), local["grad_camo"].dropna(), rtol=1e-3)
    (batch,) = audit_batches(stack, labels, checkpoint, AuditSettings(gradients="local"), only=[7])
    crop = gc.CellCrops(stack, labels, checkpoint.crop)[0]
    x = checkpoint.prepare(mirrored_for(checkpoint.ready, torch.from_numpy(crop.image[None])))
    seen = gc.grad_cam(checkpoint.ready, x, [checkpoint.layer], gradients="local")
    expected = mirrored_for(checkpoint.ready, seen.maps[checkpoint.layer]).numpy()
    np.testing.assert_allclose(batch.maps, expected, rtol=1e-5)


def test_the_receptive_field_alignment_moves_the_maps_and_says_so(field, checkpoint):
    stack, labels = field
    plain = gc.audit(stack, labels, checkpoint)
    settings = AuditSettings(alignment="receptive-field")
    aligned = gc.audit(stack, labels, checkpoint, settings)
    assert set(aligned["alignment"]) == {"receptive-field"}
    assert not np.allclose(plain["grad_camo"].dropna(), aligned["grad_camo"].dropna(), rtol=1e-3)
    (batch,) = audit_batches(stack, labels, checkpoint, settings, only=[7])
    sight = describe_layers(checkpoint.network, (2, 16, 48, 40))["layer1"].sight
    zoom = np.divide((6, 24, 28), (16, 48, 40))
    np.testing.assert_allclose(batch.placement.step, sight.stride * zoom)
    np.testing.assert_allclose(batch.placement.origin, (np.array(sight.offset) + 0.5) * zoom - 0.5)
    big = gc.upsample_cam(batch.maps, (6, 24, 28), batch.placement)
    crops = gc.CellCrops(stack, labels, checkpoint.crop)
    score = gc.grad_camo(big, (crops[0].labels == 7)[None])[0]
    assert batch.table["grad_camo"][0] == pytest.approx(score, rel=1e-4)


def test_a_map_without_evidence_has_no_score_and_does_not_pass(field, checkpoint):
    stack, labels = field
    network = SmallResNet(3, 2)
    network.fc.weight.data.zero_()
    table = gc.audit(stack, labels, replace(checkpoint, network=network))
    whole = table[~table["touches_border"]]
    assert whole[["grad_camo", "neighbour_share", "background_share"]].isna().all(axis=None)
    assert whole["flagged"].all()
    assert whole["ceiling"].notna().all()
    assert "4 without positive evidence" in summarise(table, 0.25)


def test_the_summary_compares_scores_with_chance_and_ceiling_of_the_same_cells(field, checkpoint):
    stack, labels = field
    table = gc.audit(stack, labels, checkpoint)
    table.loc[table["label"] == 40, ["grad_camo", "attainable"]] = np.nan
    scored = table[table["grad_camo"].notna()]
    text = summarise(table, 0.0)
    assert "5 cells: 3 scored, 1 partial" in text
    assert "1 without positive evidence" in text
    mean = scored[["grad_camo", "chance", "ceiling"]].mean()
    assert f"Grad-CAMO {mean['grad_camo']:.2f} ±" in text
    assert f"would score {mean['chance']:.2f}, the best on this layer {mean['ceiling']:.2f}" in text
    assert "3 of 4 whole cells score 0 or more" in text


def test_channels_are_found_by_name_whatever_their_order(field, checkpoint):
    stack, labels = field
    expected = gc.audit(stack, labels, checkpoint)
    turned = ZStack(stack.data[::-1], ("actin", "DNA"), stack.spacing_um, stack.source)
    pd.testing.assert_frame_equal(gc.audit(turned, labels, checkpoint), expected)
    named = ZStack(stack.data[::-1], ("f", "n"), stack.spacing_um, stack.source)
    settings = AuditSettings(channels=("n", "f"))
    pd.testing.assert_frame_equal(gc.audit(named, labels, checkpoint, settings), expected)
    lazy = ZStack(da.from_array(stack.data), stack.channels, stack.spacing_um, stack.source)
    pd.testing.assert_frame_equal(gc.audit(lazy, labels, checkpoint), expected)


def test_cells_larger_than_their_window_say_how_much_of_them_was_seen(field, checkpoint):
    stack, labels = field
    small = replace(checkpoint, crop=CropSettings(size_yx=(8, 8)))
    table = gc.audit(stack, labels, small).set_index("label")
    assert table.loc[7, "cell_in_crop"] == pytest.approx(8 * 8 / (11 * 15))
    assert table.loc[90_000, "cell_in_crop"] == pytest.approx(5 * 7 / 35)


def test_a_cell_in_pieces_outside_its_crop_keeps_a_row_and_the_others_their_scores(
    field, checkpoint
):
    stack, labels = field
    torn = labels.copy()
    torn[2, 3:5, 3:6] = torn[2, 52:54, 60:64] = 13  # a window of 24 x 28 between them holds neither
    table = gc.audit(stack, torn, checkpoint).set_index("label")
    assert table.loc[13, "cell_in_crop"] == 0
    assert not table.loc[13, "touches_border"]
    assert table.loc[13, [*SCORES, "confidence", "predicted"]].isna().all()
    assert table.loc[13, "flagged"]
    alone = gc.audit(stack, torn, checkpoint, only=WHOLE).set_index("label")
    pd.testing.assert_frame_equal(table.loc[WHOLE], alone)
    text = summarise(table.reset_index(), 0.25)
    assert "6 cells: 4 scored, 1 partial" in text
    assert "1 in pieces outside their own crops" in text
    assert "of 5 whole cells" in text


def test_the_recipe_says_how_the_table_was_made(field, checkpoint):
    stack, labels = field
    recipe = gc.audit(stack, labels, checkpoint, AuditSettings(batch_size=3)).attrs["recipe"]
    assert recipe["checkpoint"] == checkpoint.hash
    assert recipe["settings"]["layer"] == "layer1"
    assert recipe["channel_std"] == [0.3, 0.25]
    assert recipe["input_size"] == [16, 48, 40]
    assert recipe["spacing_um"] == [0.6, 0.35, 0.35]
    assert recipe["software"] == f"napari-gradcamo {gc.__version__}"


# a network of one's own


def around(network, stack, layer):
    """A checkpoint of crops of 32 × 32, as they are."""
    crop = CropSettings(size_yx=(32, 32))
    size = (stack.shape[1], *crop.size_yx)
    return Checkpoint.around(network, stack.channels, layer, size, crop)


def test_a_2d_image_and_a_network_of_ones_own_give_the_same_table(field):
    stack, labels = field
    flat = ZStack(stack.data[:, 3:4], stack.channels, stack.spacing_um, "plane.tif")
    network = SmallResNet(2, 2)
    crop = CropSettings(size_yx=(32, 32))
    table = gc.audit(
        flat,
        labels[3:4],
        Checkpoint.around(network, flat.channels, network.layer1, (32, 32), crop),
    )
    assert tuple(table) == tuple(CELL_COLUMNS)
    assert set(table["layer"]) == {"layer1"}
    assert set(table["predicted"].dropna()) <= {"0", "1", "2"}
    crops = gc.CellCrops(flat, labels[3:4], crop)
    x = torch.from_numpy(crops[0].image)[None, :, 0]
    cam = gc.grad_cam(network, x, ["layer1"]).maps["layer1"]
    own = gc.attention_shares(cam, crops[0].labels, [7])
    assert table["grad_camo"][0] == pytest.approx(float(own["grad_camo"][0]), rel=1e-4)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float64])
def test_a_network_of_another_precision_is_given_what_it_takes(field, dtype):
    stack, labels = field
    table, expected = (
        gc.audit(stack, labels, around(network, stack, "layer2"))
        for network in (SmallResNet(3, 2).to(dtype), SmallResNet(3, 2))
    )
    np.testing.assert_allclose(table["grad_camo"], expected["grad_camo"], atol=0.1)
    assert table["grad_camo"].dtype == np.float64


def test_a_network_of_ones_own_is_given_back_as_it_was(field):
    stack, labels = field
    network = SmallResNet(3, 2).train()
    network.layer1.eval()
    before = {k: v.clone() for k, v in network.state_dict().items()}
    gc.audit(stack, labels, around(network, stack, "layer1"))
    assert network.training
    assert not network.layer1.training
    assert all(torch.equal(v, before[k]) for k, v in network.state_dict().items())


def test_an_efficientnet_made_ready_for_inference_gives_the_maps_of_the_one_that_was_trained(
    field, golden_network
):
    stack, labels = field
    stack = ZStack(np.concatenate([stack.data] * 3), tuple("abcdef"))
    checkpoint = Checkpoint(
        network=golden_network,
        classes=tuple("123456"),
        channels=stack.channels,
        channel_mean=(0.2,) * 6,
        channel_std=(0.3,) * 6,
        crop=CropSettings(size_yx=(48, 48)),
        input_size=(64, 64, 96),
        layer="block_4",
        architecture={"in_channels": 6, "num_classes": 6, "width": 0.25},
    )
    crops = gc.CellCrops(stack, labels, checkpoint.crop)
    x = checkpoint.prepare(np.stack([crops[0].image, crops[3].image]))
    for layer in ("block_4", "head"):
        (batch,) = audit_batches(
            stack, labels, checkpoint, AuditSettings(layer=layer), only=[7, 41]
        )
        expected = gc.grad_cam(golden_network, x, [layer])
        cam = expected.maps[layer].numpy()
        np.testing.assert_allclose(batch.maps, cam, atol=1e-4 * cam.max())
        np.testing.assert_allclose(batch.profiles, expected.profiles[layer], rtol=1e-3, atol=1e-4)


def test_the_example_of_the_documentation_runs():
    page = (Path(__file__).parents[1] / "docs" / "own_network.md").read_text()
    blocks = re.findall(r"```python\n(.*?)```", page, re.DOTALL)
    assert len(blocks) == 5
    names = {}
    for block in blocks[:2]:
        exec(block, names)
    assert names["table"]["grad_camo"].notna().all()
    assert names["own"].layers["1"].grid == (16, 16)
    exec(blocks[2], names)
    assert set(names["table"]["layer"]) == {"mlp"}
    exec(blocks[3], names)
    assert set(names["table"]["predicted"]) <= {"mitotic", "not mitotic"}
    pytest.importorskip("einops", reason="MONAI's ViT needs einops")
    exec(blocks[4], names)
    assert set(names["table"]["layer"]) == {"attention_rollout"}


def test_a_network_comes_in_a_checkpoint_and_the_former_call_says_so(field, checkpoint):
    stack, labels = field
    with pytest.raises(GradcamoError, match=r"got NoneType.*Checkpoint\.around"):
        gc.audit(stack, labels)
    with pytest.raises(GradcamoError, match=r"got SmallResNet.*Checkpoint\.around"):
        gc.audit(stack, labels, SmallResNet(3))
    with pytest.raises(GradcamoError, match=r"got network, layer.*Checkpoint\.around"):
        gc.audit(stack, labels, network=SmallResNet(3), layer="layer1")
    with pytest.raises(GradcamoError, match=r"got layer.*AuditSettings\(layer"):
        gc.audit(stack, labels, checkpoint, layer="layer2")
    own = replace(around(SmallResNet(3), stack, "layer1"), classes=("a", "b"))
    with pytest.raises(GradcamoError, match=r"3 logits for 2 classes \(a, b\)"):
        gc.audit(stack, labels, own)


# what cannot be audited


def refused(match, *args, **given):
    with pytest.raises(GradcamoError, match=match):
        gc.audit(*args, **given)


def test_what_does_not_fit_is_refused_before_the_first_batch(field, checkpoint):
    stack, labels = field
    one = ZStack(stack.data[:1], ("DNA",), source="one.tif")
    with pytest.raises(GradcamoError, match=r"2 channels \(DNA, actin\), one\.tif has 1 \(DNA\)"):
        audit_batches(one, labels, checkpoint)
    refused(
        r"2 channels .* --channels names 1",
        stack,
        labels,
        checkpoint,
        AuditSettings(channels=("DNA",)),
    )
    refused(r"\(6, 60, 60\).*\(6, 60, 70\)", stack, labels[..., :60], checkpoint)
    refused("hold no cells", stack, np.zeros_like(labels), checkpoint)
    refused(r"mask of True and False.*skimage", stack, labels > 0, checkpoint)
    refused(r"takes a stack, got ndarray.*gc\.ZStack\(array", stack.data, labels, checkpoint)
    refused("no layer 'block_10'", stack, labels, checkpoint, AuditSettings(layer="block_10"))
    refused("no layer 'fc' with a grid", stack, labels, checkpoint, AuditSettings(layer="fc"))
    refused(
        "no treatment 'DMSO': choose one of control, low, high",
        stack,
        labels,
        checkpoint,
        AuditSettings(target="DMSO"),
    )
    refused(r"no cell 3 \(2 are missing\)", stack, labels, checkpoint, only=[7, 3, 5])
    plane = ZStack(stack.data[:, :1], stack.channels)
    refused("3D network, the image has one plane", plane, labels[:1], checkpoint)
    flat = Checkpoint.around(SmallResNet(2), stack.channels, "layer1", (24, 28))
    refused("2D network, field.tif has 6 planes", stack, labels, flat)


def test_a_voxel_size_that_is_not_known_along_an_axis_is_said(field, checkpoint):
    stack, labels = field

    def said(spacing):
        given = replace(stack, spacing_um=spacing)
        with pytest.warns(GradcamoWarning) as caught:  # of coarse cells, too
            gc.audit(given, labels, checkpoint)
        told = [str(w.message) for w in caught if w.category is GradcamoWarning]
        return [text for text in told if "voxel" in text and "grid" not in text]

    assert said(checkpoint.spacing_um) == []
    (volumes,) = said((None, 0.35, 0.35))
    assert "not known along z: volumes in µm³ stay empty" in volumes
    (volumes,) = said(None)
    assert "along z, y, x" in volumes
    size, _ = said((None, 0.5, 0.35))
    assert "? × 0.5 × 0.35 µm, the checkpoint was trained on 0.6 × 0.35 × 0.35 µm" in size


def test_nan_pixels_are_refused_with_file_channel_and_count(field, checkpoint):
    stack, labels = field
    data = stack.data.astype(np.float32)
    data[0, 0, 24, 30] = np.nan
    bad = ZStack(data, stack.channels, stack.spacing_um, "D03.tif")
    refused(r"D03\.tif, channel DNA, Z 0: 1 NaN", bad, labels, checkpoint)


def test_another_voxel_size_than_in_training_is_said(field, checkpoint):
    stack, labels = field
    coarse = replace(stack, spacing_um=(0.6, 0.5, 0.5))
    with pytest.warns(UserWarning, match="look larger or smaller"):
        gc.audit(coarse, labels, checkpoint, only=[7])
    near = replace(stack, spacing_um=(0.61, 0.38, 0.351))
    with warnings.catch_warnings():
        warnings.filterwarnings("error", message="the stack's voxels")
        gc.audit(near, labels, checkpoint, only=[7])


def test_an_abandoned_audit_gives_everything_back(field, checkpoint):
    stack, labels = field
    batches = audit_batches(stack, labels, checkpoint, AuditSettings(batch_size=1))
    next(batches), next(batches)
    batches.close()
    network = checkpoint.network
    assert not any(m._forward_hooks or m._forward_pre_hooks for m in network.modules())
    assert all(p.requires_grad for p in network.parameters())


def test_cells_are_explained_as_they_are_asked_for_not_all_at_once(field, checkpoint):
    stack, labels = field
    seen = []
    list(audit_batches(stack, labels, checkpoint, only=[7]))  # a first cell is looked at closely
    hook = checkpoint.network.register_forward_hook(lambda m, a, out: seen.append(len(out)))
    batches = audit_batches(stack, labels, checkpoint, AuditSettings(batch_size=1))
    next(batches), next(batches)
    hook.remove()
    assert seen == [1]
