"""Causal attention against networks whose evidence is known by hand, and against brute force."""

import copy
import gc as garbage
import itertools
import re
import warnings
import weakref
from dataclasses import replace

import dask.array as da
import numpy as np
import pandas as pd
import pytest
import torch
from causal_cases import CONTROL, TREATED, bank_of, known, plain, tiles
from monai.networks.nets import ViT
from scipy import ndimage as ndi
from small import SmallResNet

import gradcamo as gc
from gradcamo import CausalSettings, CellCrops, CropSettings, DonorBank, GradcamoError, ZStack
from gradcamo.causal.attention import causal_batches
from gradcamo.causal.donors import Donors, Place
from gradcamo.causal.game import Asked, composites, drawn_pairs, play
from gradcamo.causal.inputs import Case, Inputs, as_rows, intensities
from gradcamo.causal.question import question
from gradcamo.causal.regions import raw_cell
from gradcamo.causal.shares import Margins, columns, shapley
from gradcamo.causal.uses import calls, uses_table
from gradcamo.errors import GradcamoWarning


def asks(checkpoint):
    return question(checkpoint, CausalSettings())


def asked(
    function,
    values=TREATED,
    classes=("control", "treated"),
    kinds=None,
    ring=True,
    bank=None,
    **settings,
):
    checkpoint = known(function, classes)
    stack, labels = tiles([values], ring, source="asked.tif")
    bank = bank_of(checkpoint, kinds, **(bank or {}))
    table = gc.causal_attention(
        stack, labels, checkpoint, bank, CausalSettings(**settings), only=[1]
    )
    return table.iloc[0]


def test_all_goes_to_the_region_that_the_logit_is_a_function_of():
    for p, player in enumerate(("own", "neighbour", "background")):
        row = asked(lambda *regions, p=p: 10 * (regions[p] - 0.5))
        assert row["predicted"] == "treated"
        assert row["causal_reference"] == "control"
        assert row[f"causal_{player}"] == pytest.approx(1, abs=1e-6)
        assert row["causal_effect"] == pytest.approx(6, abs=1e-4)  # 10 x (0.8 - 0.2)
        assert row[f"causal_phi_{player}"] == pytest.approx(6, abs=1e-4)
        assert row["causal_effect_se"] == pytest.approx(0, abs=1e-5)
        assert row["causal_answered"]
        assert row["causal_flips"]
        assert row["causal_against"] == pytest.approx(0, abs=1e-5)
        assert row["causal_swap"] == pytest.approx(0, abs=1e-5)
        assert row["causal_limits"] == pytest.approx(0, abs=1e-5)
        assert row["causal_layout"] == pytest.approx(0, abs=1e-5)
        assert row["causal_unfilled_own"] == 0
        assert row["causal_reason"] == ""


def test_the_control_is_answered_by_the_same_region():
    row = asked(lambda o, u, b: 10 * (o - 0.5), values=CONTROL)
    assert (row["predicted"], row["causal_reference"]) == ("control", "treated")
    assert row["causal_own"] == pytest.approx(1, abs=1e-6)
    assert row["causal_effect"] == pytest.approx(6, abs=1e-4)


def test_two_regions_that_add_up_share_by_what_they_bring():
    row = asked(lambda o, u, b: 10 * (o - 0.5) + 5 * (b - 0.5))
    assert row["causal_phi_own"] == pytest.approx(6, abs=1e-4)
    assert row["causal_phi_background"] == pytest.approx(3, abs=1e-4)
    assert row["causal_own"] == pytest.approx(2 / 3, abs=1e-5)
    assert row["causal_background"] == pytest.approx(1 / 3, abs=1e-5)
    assert row["causal_neighbour"] == pytest.approx(0, abs=1e-5)


def test_two_regions_in_product_share_alike_and_each_is_needed():
    row = asked(lambda o, u, b: 10 * (o * u - 0.3))
    # by hand: v(both) = 3.4, v(one) = 10 (0.16 - 0.3) = -1.4, v(none) = 10 (0.04 - 0.3) = -2.6
    assert row["causal_phi_own"] == pytest.approx(3, abs=1e-4)
    assert row["causal_phi_neighbour"] == pytest.approx(3, abs=1e-4)
    assert row["causal_alone_own"] == pytest.approx(1.2, abs=1e-4)
    assert row["causal_needed_own"] == pytest.approx(4.8, abs=1e-4)
    assert row["causal_needed_background"] == pytest.approx(0, abs=1e-4)


def test_evidence_against_is_told():
    row = asked(lambda o, u, b: 10 * (o - 0.5) - 4 * (b - 0.5))
    assert row["causal_phi_own"] == pytest.approx(6, abs=1e-4)
    assert row["causal_phi_background"] == pytest.approx(-2.4, abs=1e-4)
    assert row["causal_against"] == pytest.approx(2.4 / 8.4, abs=1e-5)
    assert row["causal_own"] == pytest.approx(1, abs=1e-6)


def test_exclusive_or_goes_to_the_region_in_which_the_cell_differs_from_its_reference():
    kinds = {"control": (200, 800, 500), "treated": (800, 800, 500)}

    def alike(o, u, b):  # 10 where own and neighbours are alike, else -30
        return 20 * ((o - 0.5) * (u - 0.5) / 0.09 - 0.5)

    row = asked(alike, values=(800, 800, 500), kinds=kinds)
    assert row["causal_own"] == pytest.approx(1, abs=1e-5)
    # by hand, with the fill 200, 800 of the contrast and 800, 800 of the same pool:
    # v(none, own) = -30, v(neighbours, both) = 10; and 10, -30, -30, 10, which cancels
    row = asked(alike, values=(200, 200, 500), kinds=kinds)
    assert row["causal_alone_own"] == pytest.approx(0, abs=1e-3)
    assert row["causal_alone_neighbour"] == pytest.approx(40, abs=1e-3)
    assert row["causal_phi_neighbour"] == pytest.approx(40, abs=1e-3)
    assert row["causal_phi_own"] == pytest.approx(0, abs=1e-3)


def test_a_network_that_ignores_the_crop_has_no_effect_and_is_not_answered():
    row = asked(lambda o, u, b: 0 * o + 2)
    assert row["causal_effect"] == 0
    assert not row["causal_answered"]
    assert np.isnan(row["causal_own"])
    assert np.isnan(row["causal_swap"])


def test_an_effect_within_two_standard_errors_is_not_answered():
    spread = np.array([-1.0, 1.0, -2.0, 2.0])  # variance 10 / 3 with ddof 1
    for pools in ((1, 0), (0, 1), (1, 1)):
        error = np.sqrt(sum(pools) * 10 / 3 / 4)
        for n, answered in ((1.9, False), (2.1, True)):
            contrast, same = np.zeros((4, 8)), np.zeros((4, 8))
            contrast[:, 0], same[:, 0] = spread * pools[0] - n * error, spread * pools[1]
            row = columns(Margins(contrast, same, np.full((4, 2), np.nan), -1.0), True)
            assert row["causal_effect_se"] == pytest.approx(error)
            assert row["causal_effect"] == pytest.approx(n * error)
            assert row["causal_answered"] is answered
            assert np.isnan(row["causal_own"]) == (not answered)


@pytest.mark.parametrize("draws", [4, 1])
def test_an_effect_that_devices_do_not_agree_on_is_no_answer(draws):
    for effect, is_one in ((1e-9, False), (9e-4, False), (1.1e-3, True)):
        pools = np.zeros((2, draws, 8))
        pools[0, :, 0] = -effect  # alike in all draws: the standard error is 0
        row = columns(Margins(*pools, np.full((draws, 2), np.nan), 0.0), True)
        assert row["causal_effect"] == pytest.approx(effect)
        assert row["causal_answered"] is (is_one if draws > 1 else None)
        assert np.isnan(row["causal_own"]) == (not is_one)
    row = asked(lambda o, u, b: 2 + 1e-4 * o, draws=draws)  # all but constant
    assert 0 < row["causal_effect"] < 1e-3
    assert not (draws > 1 and row["causal_answered"])
    assert np.isnan(row["causal_own"])


@pytest.mark.parametrize(
    ("nothing", "same", "swap", "flips", "layout"),
    [
        (-2, 3, 2 / 5, True, 1 / 6),
        (-2, 7, 2 / 9, True, 1 / 10),
        (-2, -1, 6, False, 1 / 2),
        (1, 2, 3, False, 4 / 5),
        (2, 1, np.nan, False, 5 / 4),
    ],
)
def test_what_is_told_beside_the_shares(nothing, same, swap, flips, layout):
    pools = np.zeros((2, 3, 8))
    pools[:, :, 0] = [[nothing], [same]]
    pools[:, :, 7] = 5  # the margin of the crop itself; that of real controls is -3
    row = columns(Margins(*pools, np.full((3, 2), np.nan), -3.0), True)
    assert row["causal_effect"] == same - nothing
    assert row["causal_swap"] == pytest.approx(swap, nan_ok=True)
    assert row["causal_flips"] is flips
    assert row["causal_layout"] == pytest.approx(layout)


def test_one_draw_is_a_preview():
    row = asked(lambda o, u, b: 10 * (o - 0.5), draws=1)
    assert row["causal_own"] == pytest.approx(1, abs=1e-6)
    assert row["causal_draws"] == 1
    assert row["causal_answered"] is pd.NA
    assert np.isnan(row["causal_effect_se"])
    assert np.isnan(row["causal_limits"])


# --- against brute force ---------------------------------------------------------------------


def crowd(seed, planes=5, size=(44, 120), channels=2, dtype=np.uint16, n=9, shift=0):
    """A stack of irregular cells that touch each other and the border, and its labels."""
    rng = np.random.default_rng(seed)
    seeds = np.zeros((planes, *size), int)
    for label in range(1, n + 1):
        seeds[planes // 2, rng.integers(4, size[0] - 4), rng.integers(4, size[1] - 4)] = label
    distance, nearest = ndi.distance_transform_edt(seeds == 0, return_indices=True)
    labels = np.where(distance < rng.uniform(7, 12), seeds[tuple(nearest)], 0).astype(np.int32)
    data = rng.gamma(2, 300, (channels, planes, *size)) + shift + 40 * labels
    return ZStack(
        data.astype(dtype), ("DNA", "ER")[:channels], (0.6, 0.35, 0.35), f"{seed}"
    ), labels


def crowd_bank(checkpoint, classes=("a", "b"), stacks=6, **about):
    wells = []
    for n in range(stacks):
        name = classes[n % len(classes)]
        stack, labels = crowd(100 + n, shift=100 * (n % len(classes)), **about)
        cells = dict.fromkeys(np.unique(labels[labels > 0]).tolist(), name)
        wells.append((stack, labels, cells, "P", f"{'ABCDEFGH'[n]}02"))
    return DonorBank.cut(wells, checkpoint, per_class=6)


def resnet(dims=3, crop=(24, 24), classes=("a", "b"), size=None, seed=0):
    size = size or ((12, 32, 32) if dims == 3 else (32, 32))
    network = SmallResNet(dims=dims, classes=len(classes), seed=seed)
    return plain(network, classes, size, ("DNA", "ER"), crop)


def reference_fill(kinds, donors, pairs, spacing):
    """The fill as the definition reads: voxel by voxel, donor by donor."""
    image = np.zeros((donors.voxels.shape[-1], *kinds.shape))
    filled = np.zeros(kinds.shape, bool)
    for donor, s in pairs:
        theirs, voxels = donors.kinds[donor], np.moveaxis(donors.voxels[donor], -1, 0)
        if s & 4:
            theirs, voxels = np.swapaxes(theirs, 1, 2), np.swapaxes(voxels, 2, 3)
        if s & 1:
            theirs, voxels = theirs[:, ::-1], voxels[:, :, ::-1]
        if s & 2:
            theirs, voxels = theirs[:, :, ::-1], voxels[:, :, :, ::-1]
        new = ~filled & (theirs == kinds) & (kinds > 0)
        image[:, new] = voxels[:, new]
        filled |= new
    for kind in (1, 2, 3):
        there = np.argwhere(filled & (kinds == kind))
        for at in np.argwhere(~filled & (kinds == kind)):
            away = (((there - at - (1e-4, 1.7e-4, 2.3e-4)) * spacing) ** 2).sum(1)
            image[(slice(None), *at)] = image[(slice(None), *there[away.argmin()])]
    return image


def within(image, kinds, low_high_of, rescale="min-max"):
    """Rescaled to [0, 1] by the limits of another image, 0 outside."""
    inside = kinds > 0
    if rescale == "percentile":
        ends = np.quantile(low_high_of[:, inside], (0.001, 0.999), axis=1)
        low, high = ends[:, :, None, None, None]
        return np.where(inside, ((image - low) / (high - low)).clip(0, 1), 0)
    low = low_high_of[:, inside].min(1)[:, None, None, None]
    span = low_high_of[:, inside].max(1)[:, None, None, None] - low
    return np.where(inside, (image - low) / np.where(span > 0, span, 1), 0)


def seen(checkpoint, images):
    """Logits in float64 of rescaled crops."""
    network = copy.deepcopy(checkpoint.network).double().eval()
    x = torch.from_numpy(np.stack(images))
    if len(checkpoint.input_size) == 2:
        x = x[:, :, 0]
    mode = {2: "bilinear", 3: "trilinear"}[len(checkpoint.input_size)]
    x = torch.nn.functional.interpolate(x, checkpoint.input_size, mode=mode, align_corners=False)
    with torch.no_grad():
        return network(x).numpy()


def brute_force(checkpoint, bank, cell, donors, place, draws, seed=0):
    """The difference of both pools' Shapley values over all orders of players; and limits."""
    target = cell.image.astype(float)
    how = checkpoint.crop.rescale
    z = seen(checkpoint, [within(target, cell.kinds, target, how)])[0]
    k = int(z.argmax())
    r = donors.reference(k, z, None)
    games, limits = [], []
    for n, pool in enumerate([donors.pool(r, place), donors.pool(k, place)]):
        v = np.zeros((draws, 8))
        for d in range(draws):
            pairs = drawn_pairs(donors, cell, pool.tolist(), (seed, n, d))
            fill = reference_fill(cell.kinds, bank, pairs, cell.spacing)
            mixed = []
            for s in range(8):
                kept = np.isin(cell.kinds, [p + 1 for p in range(3) if s >> p & 1])
                mixed.append(np.where(kept, target, fill))
            np.testing.assert_array_equal(composites(donors, cell, pairs), np.stack(mixed))
            images = [within(image, cell.kinds, image, how) for image in mixed]
            images.append(within(mixed[0], cell.kinds, target, how))
            images.append(within(target, cell.kinds, mixed[0], how))
            logits = seen(checkpoint, images)
            m = logits[:, k] - logits[:, r]
            v[d] = m[:8]
            if n == 0:
                limits.append(m[8:])
        games.append(v)
    phi = np.zeros(3)
    contrast, same = (g.mean(0) for g in games)
    for order in itertools.permutations(range(3)):
        s = 0
        for p in order:
            joined = s | 1 << p
            phi[p] += (contrast[joined] - contrast[s] - same[joined] + same[s]) / 6
            s = joined
    empty, full = np.mean(limits, axis=0)
    limit = (empty - contrast[0] + contrast[7] - full) / 2 / (contrast[7] - contrast[0])
    return k, r, phi, games, limit if contrast[7] > contrast[0] else np.nan


@pytest.mark.parametrize(
    ("dims", "crop", "planes", "rescale", "window"),
    [
        (3, (24, 24), 5, "min-max", None),
        (3, (22, 28), 5, "min-max", None),
        (2, (24, 24), 1, "min-max", None),
        (3, (24, 24), 5, "percentile", None),
        (3, (24, 24), 5, "min-max", 4),
        (2, (24, 24), 5, "min-max", 1),
    ],
    ids=["3D", "not square", "2D", "percentile", "window in z", "middle plane"],
)
def test_a_game_agrees_with_brute_force_in_float64(dims, crop, planes, rescale, window):
    checkpoint = resnet(dims, crop)
    cut = CropSettings(size_yx=crop, planes=window, rescale=rescale)
    checkpoint = replace(checkpoint, crop=cut)
    bank = crowd_bank(checkpoint, planes=planes)
    stack, labels = crowd(1, planes=planes)
    crops = CellCrops(stack, labels, checkpoint.crop)
    starts = crops.table[["start_y", "start_x"]].to_numpy()
    leaves = (starts < 0).any(1) | (starts + crop > stack.shape[2:]).any(1)
    whole = np.flatnonzero(crops.scorable)
    chosen = [whole[~leaves[whole]][0], whole[leaves[whole]][0]]  # one crop leaves the image
    donors = Donors(bank, asks(checkpoint), torch.device("cpu"), 8)
    place = Place("elsewhere", "P", "Z09")
    cells = [raw_cell(crops, i) for i in chosen]
    settings = CausalSettings(draws=2, batch_size=4)
    games = play((Asked(cell, place) for cell in cells), donors, asks(checkpoint), settings)
    for cell, game in zip(cells, games, strict=True):
        k, r, phi, (contrast, same), limits = brute_force(
            checkpoint, bank, cell, donors, place, draws=2
        )
        assert (game.k, game.r) == (k, r)
        np.testing.assert_allclose(game.margins.contrast, contrast, atol=2e-5)
        np.testing.assert_allclose(game.margins.same, same, atol=2e-5)
        row = columns(game.margins, True)
        got = [row[f"causal_phi_{p}"] for p in ("own", "neighbour", "background")]
        np.testing.assert_allclose(got, phi, atol=2e-5)
        np.testing.assert_allclose(row["causal_limits"], limits, rtol=1e-2, atol=1e-3)
        assert np.isfinite(game.logits).all()


def test_shapley_values_are_means_over_all_orders(random):
    v = random.normal(size=(5, 8))
    expected = np.zeros((5, 3))
    for order in itertools.permutations(range(3)):
        s = 0
        for p in order:
            expected[:, p] += (v[:, s | 1 << p] - v[:, s]) / 6
            s |= 1 << p
    np.testing.assert_allclose(shapley(v), expected, atol=1e-12)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.float32, np.float64])
def test_the_crop_as_it_is_is_what_an_audit_shows_the_network(dtype):
    checkpoint = resnet()
    checkpoint = replace(checkpoint, channel_mean=(0.2, 0.4), channel_std=(0.3, 0.7))
    stack, labels = crowd(2, dtype=dtype if dtype != np.uint8 else np.uint16)
    stack = replace(
        stack, data=(stack.data // 16 if dtype == np.uint8 else stack.data).astype(dtype)
    )
    crops = CellCrops(stack, labels, checkpoint.crop)
    bank = crowd_bank(checkpoint)
    donors = Donors(bank, asks(checkpoint), torch.device("cpu"), 8)
    for i in np.flatnonzero(crops.scorable):
        cell = raw_cell(crops, i)
        rows = intensities(as_rows(np.moveaxis(cell.image, 0, -1)), cell.image.dtype)
        case = Case(donors.inputs, rows, torch.from_numpy(cell.kinds))
        x = donors.inputs.batch([case.real()], donors.inputs.room(1))
        expected = checkpoint.prepare(crops[i].image[None])
        np.testing.assert_allclose(x, expected, atol=2e-5)


@pytest.mark.parametrize("lies_in", [np.asarray, da.from_array, "a mapped file"])
def test_a_stack_of_the_other_byte_order_is_the_same_stack(lies_in, tmp_path):
    checkpoint = resnet()
    bank = crowd_bank(checkpoint)
    stack, labels = crowd(int(bank.stacks[0].source))
    turned = stack.data.astype(stack.data.dtype.newbyteorder())  # as bioformats2raw writes them
    if lies_in == "a mapped file":
        turned.tofile(tmp_path / "stack")
        turned = np.memmap(tmp_path / "stack", turned.dtype, "r", shape=turned.shape)
    else:
        turned = lies_in(turned)
    whole = np.flatnonzero(CellCrops(stack, labels, checkpoint.crop).scorable)[:1] + 1
    of = {"only": whole.tolist(), "settings": CausalSettings(draws=2)}
    asked = [
        gc.causal_attention(one, cells, checkpoint, bank, **of)
        for one, cells in (
            (stack, labels),
            (replace(stack, data=turned), labels.astype(labels.dtype.newbyteorder())),
        )
    ]
    pd.testing.assert_frame_equal(*asked)


def test_a_fused_network_sees_the_same_as_its_own():
    network = gc.efficientnet3d(in_channels=2, num_classes=2, width=0.1)
    size = (64, 64, 64)
    checkpoint = replace(
        plain(network, ("a", "b"), size, ("DNA", "ER"), (24, 24)),
        architecture={"name": "efficientnet-b0"},
    )
    bank = crowd_bank(checkpoint)
    fused = Donors(bank, asks(checkpoint), torch.device("cpu"), 8)
    assert fused.inputs.mirrored
    stack, labels = crowd(int(bank.stacks[bank.origin[0]].source))
    crops = CellCrops(stack, labels, checkpoint.crop)
    (i,) = np.flatnonzero(crops.table["label"] == bank.labels[0])
    with torch.no_grad():
        z = network.eval()(checkpoint.prepare(crops[i].image[None]))[0]
    np.testing.assert_allclose(fused.scores[0], z, atol=1e-4)


# --- classes, pools and what is refused ------------------------------------------------------


def test_a_cell_without_neighbours_owes_them_nothing():
    row = asked(lambda o, u, b: 10 * (o - 0.5) + u, ring=False)
    assert row["volume_neighbour"] == 0
    assert row["causal_phi_neighbour"] == 0
    assert row["causal_neighbour"] == 0
    assert row["causal_own"] + row["causal_background"] == pytest.approx(1)


def test_where_no_donor_has_neighbours_there_is_no_game_for_a_cell_that_has():
    row = asked(lambda o, u, b: 10 * (o - 0.5), bank={"ring": False})
    assert row["causal_reason"] == "no donor of its pool has neighbours where the cell has"
    assert np.isnan(row["causal_effect"])
    assert row["causal_answered"] is pd.NA


def test_hot_donors_are_told_by_what_goes_through_the_limits():
    row = asked(lambda o, u, b: 10 * (o - 0.5), bank={"hot": {"control": 4000}})
    # by hand: nothing real 10 (0.05 - 0.5) = -4.5, within own limits 10 (0.2 - 0.5) = -3;
    # all real 3, within the fill's limits 10 (0.2 - 0.5) = -3
    assert row["causal_limits"] == pytest.approx(0.5, abs=1e-5)
    # own alone 10 (0.2 - 0.5) = -3, background alone -3: 10 x (...) / 3 + ... of the contrast pool
    assert row["causal_phi_own"] == pytest.approx(3.75, abs=1e-4)
    assert row["causal_phi_background"] == pytest.approx(3.75, abs=1e-4)


SIX = (*(f"dose {n}" for n in range(5)), "DMSO")
LEVELS = {name: (100 + 150 * n, 500, 500) for n, name in enumerate(SIX)}


def six(o, u, b):
    """Logits of six classes, each highest at its own intensity of the own cell."""
    at = torch.tensor([LEVELS[name][0] / 1000 for name in SIX])
    return -100 * (o[:, None] - at) ** 2


def test_treatments_are_told_from_the_control_and_the_control_from_the_farthest():
    row = asked(six, LEVELS["dose 1"], SIX, LEVELS)
    assert (row["predicted"], row["causal_reference"]) == ("dose 1", "DMSO")
    # by hand: m = 100 [(o - 0.85)^2 - (o - 0.25)^2]; 36 as it is, -36 with a control's own
    assert row["causal_effect"] == pytest.approx(72, abs=1e-3)
    assert row["causal_own"] == pytest.approx(1, abs=1e-5)
    row = asked(six, LEVELS["DMSO"], SIX, LEVELS)
    assert (row["predicted"], row["causal_reference"]) == ("DMSO", "dose 0")
    row = asked(six, LEVELS["DMSO"], SIX, LEVELS, reference="dose 3")
    assert row["causal_reference"] == "dose 3"


def test_without_a_control_the_runner_up_is_the_reference():
    row = asked(six, LEVELS["dose 1"], SIX, LEVELS, bank={"control": ""})
    assert row["causal_reference"] in ("dose 0", "dose 2")


def test_a_class_that_is_not_predicted_has_an_effect_but_no_shares():
    row = asked(six, LEVELS["dose 1"], SIX, LEVELS, target="dose 2")
    assert (row["predicted"], row["causal_target"]) == ("dose 1", "dose 2")
    assert np.isfinite(row["causal_effect"])
    assert not row["causal_answered"]
    assert np.isnan(row["causal_own"])


def test_an_unknown_target_is_refused_before_any_work():
    with pytest.raises(GradcamoError, match="not 'dose 9'"):
        asked(six, LEVELS["dose 1"], SIX, LEVELS, target="dose 9")


def test_a_treatment_is_not_told_from_itself():
    with pytest.raises(GradcamoError, match="'dose 2' is named as target and as reference"):
        asked(six, LEVELS["dose 1"], SIX, LEVELS, target="dose 2", reference="dose 2")
    row = asked(six, LEVELS["dose 1"], SIX, LEVELS, target="dose 2", reference="dose 1")
    assert np.isfinite(row["causal_effect"])


def table_of(checkpoint, bank, stack, labels, plate=None, well=None, only=(1,), **settings):
    return gc.causal_attention(
        stack, labels, checkpoint, bank, CausalSettings(**settings), only, plate, well
    ).iloc[0]


def test_donors_of_the_own_well_and_image_are_left_out():
    checkpoint = known(lambda o, u, b: 10 * (o - 0.5))
    bank = bank_of(checkpoint)
    stack, labels = tiles([TREATED], source="asked.tif")
    assert table_of(checkpoint, bank, stack, labels)["causal_reason"] == ""
    row = table_of(checkpoint, bank, stack, labels, "P", "b2")
    assert row["causal_reason"] == (
        "too few donors of treated are left: 2 from 1 image where 3 from 2 are needed"
    )
    assert table_of(checkpoint, bank, stack, labels, "another", "B02")["causal_reason"] == ""
    for half in ({"well": "B02"}, {"plate": "P"}):
        with pytest.raises(GradcamoError, match="name both plate and well"):
            table_of(checkpoint, bank, stack, labels, **half)
    numbered = replace(bank, stacks=tuple(s._replace(plate="1") for s in bank.stacks))
    assert table_of(checkpoint, numbered, stack, labels, 1, "B02")["causal_reason"] != ""
    # a stack of the bank is known by its intensities, whatever it is called, and so is its well
    stack, labels = tiles([TREATED] * 2, source="elsewhere/copy.tif")
    stack.data[0, 0, 0, 0], stack.data[0, 0, 15, 15] = 1, 10
    for named in ((), ("another", "C02")):
        assert "are left" in table_of(checkpoint, bank, stack, labels, *named)["causal_reason"]
    one_well = replace(bank, stacks=tuple(s._replace(well=s.well[0] + "02") for s in bank.stacks))
    row = table_of(checkpoint, one_well, stack, labels)
    assert row["causal_reason"] == "there is no other training well of treated"


@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.int32, ">u2"])
def test_a_copy_in_another_type_is_the_same_image(dtype):
    checkpoint = known(lambda o, u, b: 10 * (o - 0.5))
    bank = bank_of(checkpoint)
    stack, labels = tiles([TREATED] * 2)
    stack.data[0, 0, 0, 0], stack.data[0, 0, 15, 15] = 1, 10
    copy_of_it = replace(stack, data=stack.data.astype(dtype))
    row = table_of(checkpoint, bank, copy_of_it, labels)
    assert "too few donors of treated are left: 2 from 1 image" in row["causal_reason"]
    other = replace(copy_of_it, data=copy_of_it.data.copy())
    other.data[0, 0, 0, 1] = 2
    assert table_of(checkpoint, bank, other, labels)["causal_reason"] == ""


def test_cells_of_the_only_well_of_their_class_are_told_so():
    checkpoint = known(lambda o, u, b: 10 * (o - 0.5))
    stack, labels = tiles([TREATED] * 3, source="treated.tif")
    wells = [(stack, labels, dict.fromkeys((1, 2, 3), "treated"), "P", "B02")]
    control, labels = tiles([CONTROL] * 3, source="control.tif")
    wells.append((control, labels, dict.fromkeys((1, 2, 3), "control"), "P", "A02"))
    said = (
        "all donors of control and treated come from one image each, and donors from two are "
        "needed before a cell can be asked: name more training images of each treatment "
        "(gradcamo donors)"
    )
    with pytest.warns(GradcamoWarning, match=re.escape(said)):
        bank = DonorBank.cut(wells, checkpoint)
    table = gc.causal_attention(stack, labels, checkpoint, bank, plate="P", well="C02")
    assert table.attrs["recipe"]["cautions"] == [said]  # once, for all its cells
    row = table_of(checkpoint, bank, stack, labels, "P", "B02")
    assert row["causal_reason"] == (
        "too few donors of control are left: 3 from 1 image where 3 from 2 are needed"
    )
    bank = bank_of(checkpoint, per_well=3)
    here = bank.same_well("P", "B02") | bank.same_well("P", "B03")
    alone = replace(
        bank, stacks=tuple(s._replace(well="B02") if s.well == "B03" else s for s in bank.stacks)
    )
    assert here.sum() == 6
    row = table_of(checkpoint, alone, stack, labels, "P", "B02")
    assert row["causal_reason"] == "there is no other training well of treated"


def test_the_share_of_own_voxels_that_no_donor_meets_is_told():
    checkpoint = known(lambda o, u, b: 10 * (o - 0.5))
    bank = bank_of(checkpoint)
    kinds = bank.kinds.copy()
    own = kinds == 1
    kinds[own & ~ndi.binary_erosion(own, np.ones((1, 1, 3, 3)))] = 3  # 6 x 6 px become 4 x 4
    stack, labels = tiles([TREATED], source="asked.tif")
    row = table_of(checkpoint, replace(bank, kinds=kinds), stack, labels)
    assert row["causal_unfilled_own"] == pytest.approx(1 - 16 / 36)
    assert row["causal_effect"] == pytest.approx(6, abs=1e-4)  # the nearest are as bright


def test_a_class_without_donors_is_a_reason_not_a_number():
    row = asked(six, LEVELS["dose 1"], SIX, {n: LEVELS[n] for n in SIX if n != "dose 1"})
    assert row["causal_reason"] == "the bank has no donors of dose 1"
    assert np.isnan(row["causal_own"])
    assert row["volume_own"] == pytest.approx(36 / 256)


def test_one_donor_is_too_few():
    checkpoint = known(lambda o, u, b: 10 * (o - 0.5))
    bank = bank_of(checkpoint, per_class=1)
    stack, labels = tiles([TREATED], source="asked.tif")
    row = table_of(checkpoint, bank, stack, labels)
    assert row["causal_reason"] == (
        "too few donors of control are left: 1 from 1 image where 3 from 2 are needed"
    )


def test_donors_that_are_called_wrongly_do_not_stand_in():
    checkpoint = known(lambda o, u, b: 10 * (o - 0.5))
    kinds = {"control": CONTROL, "treated": TREATED}
    wells = []
    for n, (name, values) in enumerate(kinds.items()):
        for well in range(2):
            wrong = kinds["treated" if name == "control" else "control"]
            stack, labels = tiles([values, values, wrong], source=f"{name}{well}.tif")
            stack.data[0, 0, 0, 0] = 1 + well + 2 * n
            wells.append((stack, labels, dict.fromkeys((1, 2, 3), name), "P", f"{'AB'[n]}0{well}"))
    bank = DonorBank.cut(wells, checkpoint)
    donors = Donors(bank, asks(checkpoint), torch.device("cpu"), 8)
    assert donors.cautions == []
    assert len(donors.pool(0, Place("x"))) == 4  # of six
    never = known(lambda o, u, b: 0 * o - 1)
    donors = Donors(bank, asks(never), torch.device("cpu"), 8)
    assert len(donors.pool(1, Place("x"))) == 6
    (caution,) = donors.cautions
    assert "0 of 6 donors of treated correctly" in caution


def test_partial_cells_keep_their_row():
    checkpoint = resnet()
    bank = crowd_bank(checkpoint)
    stack, labels = crowd(1)
    table = gc.causal_attention(stack, labels, checkpoint, bank, CausalSettings(draws=1))
    crops = CellCrops(stack, labels, checkpoint.crop)
    assert table["label"].tolist() == crops.table["label"].tolist()
    partial = crops.table["touches_border"].to_numpy()
    assert partial.any()
    assert not partial.all()
    assert (table["causal_reason"][partial] == "it touches the border").all()
    assert (table["causal_target"][partial] == "").all()
    assert table["causal_effect"][partial].isna().all()
    assert table["causal_effect"][~partial].notna().all()


def test_numbers_do_not_depend_on_order_batch_or_who_else_is_asked():
    checkpoint = resnet()
    bank = crowd_bank(checkpoint)
    stack, labels = crowd(1)
    every = gc.causal_attention(
        stack, labels, checkpoint, bank, CausalSettings(draws=2, batch_size=8)
    ).set_index("label")
    whole = every.index[every["causal_effect"].notna()].tolist()
    other = replace(bank, voxels=bank.voxels.copy())  # asked anew, as in another process
    for label in reversed(whole):
        one = gc.causal_attention(
            stack, labels, checkpoint, other, CausalSettings(draws=2, batch_size=3), [label]
        ).iloc[0]
        for name in every.columns:
            if name.startswith(("causal_", "volume_")):
                a, b = every.loc[label, name], one[name]
                if isinstance(a, float):
                    # some are ratios of margins that hardly differ
                    assert b == pytest.approx(a, abs=1e-5, rel=1e-2, nan_ok=True), name
                else:
                    assert (a is pd.NA and b is pd.NA) or a == b
    again = gc.causal_attention(
        stack, labels, checkpoint, bank, CausalSettings(draws=2, seed=1), [whole[0]]
    )
    assert again["causal_effect"].iloc[0] != pytest.approx(every.loc[whole[0], "causal_effect"])


def test_a_batch_that_does_not_fit_is_halved(monkeypatch):
    checkpoint = resnet()
    bank = crowd_bank(checkpoint)
    stack, labels = crowd(1)
    expected = gc.causal_attention(stack, labels, checkpoint, bank, CausalSettings(draws=1))
    small = resnet()
    forward = small.network.forward

    def narrow(x):
        if len(x) > 2:
            raise torch.OutOfMemoryError
        return forward(x)

    small.network.forward = narrow
    found = gc.causal_attention(stack, labels, small, bank, CausalSettings(draws=1))
    np.testing.assert_allclose(found["causal_effect"], expected["causal_effect"], atol=1e-5)


@pytest.mark.parametrize("asking", [play, calls])
def test_one_cell_is_laid_out_at_a_time_however_many_are_asked(asking, monkeypatch):
    alive, most, wide = weakref.WeakSet(), [0], Inputs.wide

    def counted(self, rows):
        resized = wide(self, rows)
        alive.add(resized)
        most[0] = max(most[0], len(alive))
        return resized

    monkeypatch.setattr(Inputs, "wide", counted)
    checkpoint = resnet()
    bank = crowd_bank(checkpoint)
    donors = Donors(bank, asks(checkpoint), torch.device("cpu"), 8)
    assert most[0] <= 2  # a donor that ends is there while the next one begins, not eight
    most[0] = 0
    stack, labels = crowd(1, size=(88, 240), n=24)
    crops = CellCrops(stack, labels, checkpoint.crop)
    whole = np.flatnonzero(crops.scorable)
    assert len(whole) > 8  # more than a batch
    cells = (Asked(raw_cell(crops, i), Place("another")) for i in whole)
    settings = CausalSettings(draws=2)
    assert len(list(asking(cells, donors, asks(checkpoint), settings))) == len(whole)
    assert 4 <= most[0] <= 6  # a crop, its three regions of a draw, and what is about to end


def test_a_transformer_is_asked_like_any_network():

    class Logits(torch.nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.vit = ViT(
                2, (8, 32, 32), (4, 8, 8), 24, 48, 2, 2, classification=True, num_classes=2
            )

        def forward(self, x):
            return self.vit(x)[0]

    checkpoint = plain(Logits().eval(), ("a", "b"), (8, 32, 32), ("DNA", "ER"), (24, 24))
    bank = crowd_bank(checkpoint)
    stack, labels = crowd(1)
    table = gc.causal_attention(stack, labels, checkpoint, bank, CausalSettings(draws=2))
    effects = table["causal_effect"].dropna()
    phi = table[[f"causal_phi_{p}" for p in ("own", "neighbour", "background")]].dropna()
    assert len(effects) > 1
    np.testing.assert_allclose(phi.sum(axis=1), effects, atol=1e-6)


def test_weights_get_their_mode_back():
    checkpoint = resnet()
    checkpoint.network.train()
    bank = crowd_bank(checkpoint)
    stack, labels = crowd(1)
    gc.causal_attention(stack, labels, checkpoint, bank, CausalSettings(draws=1))
    assert all(module.training for module in checkpoint.network.modules())


@pytest.mark.parametrize(
    ("change", "expected"),
    [
        ({"crop": (20, 24)}, "24 × 24 px, the network's 20 × 24"),
        ({"channels": ("ER", "DNA")}, "DNA, ER, the network expects ER, DNA"),
        ({"classes": ("c", "d")}, "of a, b, the network tells c, d"),
    ],
)
def test_donors_of_another_kind_are_refused(change, expected):
    checkpoint = resnet()
    bank = crowd_bank(checkpoint)
    other = replace(
        checkpoint,
        crop=CropSettings(size_yx=change.get("crop", (24, 24))),
        channels=change.get("channels", checkpoint.channels),
        classes=change.get("classes", checkpoint.classes),
    )
    stack, labels = crowd(1)
    with pytest.raises(GradcamoError, match=expected):
        gc.causal_attention(stack, labels, other, bank)


def test_a_stack_of_other_planes_is_refused():
    checkpoint = resnet()
    bank = crowd_bank(checkpoint)
    stack, labels = crowd(1, planes=4)
    with pytest.raises(GradcamoError, match="have 5 planes, the stack 4"):
        gc.causal_attention(stack, labels, checkpoint, bank)


def test_planes_that_the_network_cannot_look_at_are_refused_as_in_an_audit():
    stack, labels = crowd(1)
    plane = replace(stack, data=stack.data[:, 2:3])
    flat, deep = resnet(dims=2), resnet()
    expected = {
        "3D network, 1 has one plane": (deep, plane, labels[2:3]),
        "2D network, 1 has 5 planes": (flat, stack, labels),
    }
    for said, (checkpoint, seen, cells) in expected.items():
        bank = crowd_bank(resnet())  # that it does not fit comes second
        for entry in (
            lambda asks=checkpoint, s=seen, c=cells, b=bank: gc.causal_attention(s, c, asks, b),
            lambda asks=checkpoint, s=seen, c=cells: DonorBank.cut(
                [(s, c, {1: "a"}, "P", "A02")], asks
            ),
            lambda asks=checkpoint, s=seen, c=cells: gc.audit(s, c, replace(asks, layer="layer1")),
        ):
            with pytest.raises(GradcamoError, match=said):
                entry()
    with pytest.raises(GradcamoError, match="causal attention takes a stack, got ndarray"):
        gc.causal_attention(stack.data[0, 2], labels[2], deep, bank)
    with pytest.raises(GradcamoError, match="causal attention takes a checkpoint, got SmallResNet"):
        gc.causal_attention(stack, labels, deep.network, bank)


def test_nan_in_a_crop_is_named():
    checkpoint = resnet()
    bank = crowd_bank(checkpoint, dtype=np.float32)
    stack, labels = crowd(1, dtype=np.float32)
    stack.data[1] = np.nan
    with pytest.raises(GradcamoError, match=r"channel ER, Z 0, 1.*: \d+ NaN"):
        gc.causal_attention(stack, labels, checkpoint, bank)


def test_batches_bring_the_logits_of_every_coalition():
    checkpoint = known(lambda o, u, b: 10 * (o - 0.5))
    stack, labels = tiles([TREATED], source="asked.tif")
    crops = CellCrops(stack, labels, checkpoint.crop)
    (batch,) = causal_batches(crops, checkpoint, bank_of(checkpoint), only=[1])
    (game,) = batch.games
    assert game.logits.shape == (2, 4, 8, 2)
    assert (batch.done, batch.total) == (1, 1)
    np.testing.assert_allclose(game.logits[0, :, 1, 1], 3, atol=1e-5)  # own alone is real
    np.testing.assert_allclose(game.logits[0, :, 6, 1], -3, atol=1e-5)


class OneLogit(torch.nn.Module):
    """The second of two logits, of which the first is 0."""

    def __init__(self, inner):
        super().__init__()
        self.inner = inner

    def forward(self, x):
        return self.inner(x)[:, 1:]


@pytest.mark.parametrize("values", [TREATED, CONTROL])
def test_one_logit_tells_two_classes_with_the_same_numbers(values):
    two = known(lambda o, u, b: 10 * (o - 0.5))
    one = replace(two, network=OneLogit(two.network))
    bank = bank_of(two)
    stack, labels = tiles([values], source="asked.tif")
    first, second = (
        gc.causal_attention(stack, labels, checkpoint, bank, only=[1]) for checkpoint in (two, one)
    )
    pd.testing.assert_frame_equal(first, second)
    assert first["causal_own"].iloc[0] == pytest.approx(1, abs=1e-6)


@pytest.mark.parametrize(("values", "called"), [(TREATED, "present"), (CONTROL, "absent")])
def test_one_of_several_independent_labels_is_present_or_absent(values, called):
    def logits(o, u, b):
        return torch.stack([10 * (o - 0.5), 10 * (0.5 - u), b], 1)

    checkpoint = replace(known(logits, ("mitotic", "large", "any")), outputs="independent")
    bank = bank_of(checkpoint, {"absent": CONTROL, "present": TREATED}, control="")
    stack, labels = tiles([values], source="asked.tif")
    row = table_of(checkpoint, bank, stack, labels, target="mitotic")
    assert (row["predicted"], row["causal_target"]) == (called, called)
    assert row["causal_effect"] == pytest.approx(6, abs=1e-4)
    assert row["causal_own"] == pytest.approx(1, abs=1e-6)
    with pytest.raises(GradcamoError, match="name the one to explain"):
        table_of(checkpoint, bank, stack, labels)
    with pytest.raises(GradcamoError, match="leave out the reference 'large'"):
        table_of(checkpoint, bank, stack, labels, target="mitotic", reference="large")


def test_a_network_needs_no_layer_for_this():
    two = known(lambda o, u, b: 10 * (o - 0.5))
    around = gc.Checkpoint.around(
        two.network, ("DNA",), None, (3, 16, 16), two.crop, ("control", "treated")
    )
    scripted = gc.Checkpoint.around(
        torch.jit.trace(two.network, torch.zeros(2, 1, 3, 16, 16)),
        *(("DNA",), None, (3, 16, 16), two.crop, ("control", "treated")),
    )
    stack, labels = tiles([TREATED], source="asked.tif")
    for checkpoint in (around, scripted):
        row = table_of(checkpoint, bank_of(two), stack, labels)
        assert row["causal_own"] == pytest.approx(1, abs=1e-6)
        assert row["causal_effect"] == pytest.approx(6, abs=1e-4)


# --- networks that others built ----------------------------------------------------------------


class Wrapped(torch.nn.Module):
    """A network whose logits pass something."""

    def __init__(self, inner, after):
        super().__init__()
        self.inner, self.after = inner, after

    def forward(self, x):
        return self.after(self.inner(x))


def crowd_asked(network, **settings):
    """Causal attention of a stack with irregular cells; the table, and cells per forward pass."""
    checkpoint = plain(network, ("a", "b"), (12, 32, 32), ("DNA", "ER"), (24, 24))
    bank = crowd_bank(checkpoint)
    seen = []
    network.register_forward_hook(lambda m, args, out: seen.append(len(out)))
    stack, labels = crowd(1)
    how = CausalSettings(draws=1, **settings)
    return gc.causal_attention(stack, labels, checkpoint, bank, how), seen


@pytest.mark.parametrize("kind", ["softmax", "log-softmax"])
def test_softmax_inside_is_refused_as_in_an_audit(kind):
    after = torch.nn.Softmax(1) if kind == "softmax" else torch.nn.LogSoftmax(1)
    network = Wrapped(SmallResNet(3, classes=2), after).eval()
    with pytest.raises(GradcamoError, match=f"so {kind} is inside.*set_submodule.*'after'"):
        crowd_asked(network)


def test_a_network_that_is_random_in_eval_mode_has_no_causal_answer():
    network = Wrapped(SmallResNet(3, classes=2), torch.nn.functional.dropout).eval()
    with pytest.raises(GradcamoError, match="other numbers each time"):
        crowd_asked(network)


def test_cells_that_see_each_other_are_asked_alone_and_it_is_said():
    def apart(z):  # each cell's logits hang on those of all others in its batch
        return z - (z.mean(0) if len(z) > 1 else 0)

    expected, seen = crowd_asked(SmallResNet(3, classes=2).eval())
    assert seen[:3] == [1, 1, 2]
    assert max(seen) == 8
    with pytest.warns(GradcamoWarning, match="scored one at a time"):
        table, seen = crowd_asked(Wrapped(SmallResNet(3, classes=2), apart).eval())
    assert set(seen[3:]) == {1}
    (said,) = set(table.attrs["recipe"]["cautions"]) - set(expected.attrs["recipe"]["cautions"])
    assert "among other cells" in said
    np.testing.assert_allclose(table["causal_effect"], expected["causal_effect"], atol=1e-5)


def test_a_sigmoid_inside_is_said():
    with pytest.warns(GradcamoWarning, match="look like probabilities"):
        table, _ = crowd_asked(Wrapped(SmallResNet(3, classes=2), torch.nn.Sigmoid()).eval())
    assert any("look like probabilities" in said for said in table.attrs["recipe"]["cautions"])


def test_what_an_audit_found_out_is_not_asked_again():
    checkpoint = plain(SmallResNet(3, classes=2), ("a", "b"), (12, 32, 32), ("DNA", "ER"), (24, 24))
    checkpoint = replace(checkpoint, layer="layer1")
    stack, labels = crowd(1)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GradcamoWarning)
        gc.audit(stack, labels, checkpoint)
    seen = []
    bank = crowd_bank(checkpoint)
    checkpoint.network.register_forward_hook(lambda m, args, out: seen.append(len(out)))
    gc.causal_attention(stack, labels, checkpoint, bank, CausalSettings(draws=1))
    assert seen[0] == 8
    assert len(checkpoint.trials) == 1


@pytest.mark.parametrize(("limit", "otherwise"), [(0.6, "control"), (0.4, "treated")])
def test_with_one_region_real_the_network_calls_what_it_reads_there(limit, otherwise):
    checkpoint = known(lambda o, u, b: 10 * (o - limit))
    bank = bank_of(checkpoint)
    donors = Donors(bank, asks(checkpoint), torch.device("cpu"), 8)
    cells = []
    for values in (TREATED, CONTROL):
        stack, labels = tiles([values], source="asked.tif")
        crops = CellCrops(stack, labels, checkpoint.crop)
        cells.append(Asked(raw_cell(crops, 0), Place("elsewhere")))
    treated, control = calls(cells, donors, asks(checkpoint), CausalSettings(batch_size=3))
    # by hand, the mean over a control's and a treated fill: else 10 (0.5 - limit), 1 or -1
    assert treated.names[0] == "treated"
    assert control.names[0] == "control"
    assert treated.names[1:] == control.names[1:] == (otherwise,) * 3


def test_donors_that_are_kept_go_with_their_network():
    checkpoint = resnet()
    bank = crowd_bank(checkpoint)
    table_of(checkpoint, bank, *crowd(1))
    gone = [weakref.ref(checkpoint), weakref.ref(bank)]
    del checkpoint, bank
    garbage.collect()
    assert [held() for held in gone] == [None, None]


def test_weights_that_were_changed_in_place_are_asked_anew():
    checkpoint = resnet()
    bank = crowd_bank(checkpoint)
    stack, labels = crowd(1)
    whole = CellCrops(stack, labels, checkpoint.crop)
    whole = whole.table["label"][whole.scorable].to_list()

    def ask(of):
        return gc.causal_attention(stack, labels, of, bank, CausalSettings(draws=2), whole)

    first = ask(checkpoint)
    checkpoint.network.fc.weight.data.mul_(-3)  # which leaves no trace in its version counter
    again, fresh = ask(checkpoint), ask(replace(checkpoint))
    assert not np.allclose(first["causal_layout"], again["causal_layout"], equal_nan=True)
    pd.testing.assert_frame_equal(again, fresh)
    assert again.attrs["recipe"]["checkpoint"] == fresh.attrs["recipe"]["checkpoint"]
    assert again.attrs["recipe"]["checkpoint"] != first.attrs["recipe"]["checkpoint"]


def test_the_table_of_uses_counts_each_treatment_alike():
    cells = pd.DataFrame(
        {
            "treatment": ["a", "a", "a", "b", "b", ""],
            "predicted": ["a", "a", "b", "b", "b", "a"],
            "only_own": ["a", "b", "b", "b", "b", "a"],
            "only_neighbour": ["", "a", "b", "b", "", "a"],
            "only_background": ["a"] * 6,
            "only_nothing": ["a"] * 5 + ["a"],
        }
    )
    table = uses_table(cells, 4)
    assert table.index.tolist() == ["own", "neighbour", "background", "nothing", "all"]
    assert table.loc["own", "a"] == pytest.approx(1 / 3)
    assert table.loc["own", "balanced_accuracy"] == pytest.approx((1 / 3 + 1) / 2)
    assert table.loc["neighbour", "cells"] == 3
    assert table.loc["background", "balanced_accuracy"] == pytest.approx(0.5)
    assert table.loc["all", "balanced_accuracy"] == pytest.approx((2 / 3 + 1) / 2)
    assert (table["chance"] == 1 / 4).all()  # two of the four that the network tells apart
    assert uses_table(cells.assign(only_nothing=""), 4).empty
