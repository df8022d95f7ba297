import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings, strategies as st
from reference import DATA
from scipy import ndimage

from gradcamo import GradcamoError, attention_shares, grad_camo, upsample_cam
from gradcamo.cells.upsampling import Placement, project_mask

CASES = range(7)
SHARES = ["grad_camo", "neighbour_share", "background_share"]


def case(number):
    with np.load(DATA / "overlap_cases.npz", allow_pickle=False) as file:
        return {k.split("/")[1]: v for k, v in file.items() if k.startswith(f"{number}/")}


@st.composite
def cells(draw, placed=False):
    """A coarse map, a label crop of cells and background, ids, and sometimes a placement."""
    n = draw(st.integers(2, 3))
    grid = tuple(draw(st.integers(1, 6)) for _ in range(n))
    shape = tuple(draw(st.integers(1, 18)) for _ in range(n))
    random = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    cam = random.gamma(0.5, 1, (2, *grid)).astype(np.float32) * 10.0 ** draw(st.integers(-12, 12))
    labels = random.integers(0, 4, (2, *shape)) * 1000
    ids = labels.reshape(2, -1)[:, -1].copy()
    ids[ids == 0] = 1000
    labels.reshape(2, -1)[:, -1] = ids
    if not placed:
        return cam, labels, ids
    steps = tuple(draw(st.floats(0.5, 8)) for _ in range(n))
    origins = tuple(draw(st.floats(-4, 12)) for _ in range(n))
    return cam, labels, ids, Placement(steps, origins)


# upsampling


@given(cells())
@settings(max_examples=80, deadline=None)
def test_upsampling_is_torch_interpolation_with_half_pixel_centres(drawn):
    cam, labels, _ = drawn
    shape = labels.shape[1:]
    mode = {2: "bilinear", 3: "trilinear"}[len(shape)]
    expected = F.interpolate(torch.tensor(cam)[:, None], shape, mode=mode, align_corners=False)
    got = upsample_cam(torch.tensor(cam), shape)
    torch.testing.assert_close(got, expected[:, 0], rtol=1e-5, atol=1e-6 * float(cam.max()))
    np.testing.assert_array_equal(upsample_cam(cam, shape), got.numpy())


def test_upsampling_agrees_with_scipy_and_skimage(random):
    from skimage.transform import resize

    cam = random.random((2, 7, 6))
    big = upsample_cam(cam, (21, 28, 24))
    zoomed = ndimage.zoom(cam, (10.5, 4, 4), order=1, mode="nearest", grid_mode=True)
    np.testing.assert_allclose(big, zoomed, atol=1e-6)
    resized = resize(cam, (21, 28, 24), order=1, mode="edge", anti_aliasing=False)
    np.testing.assert_allclose(big, resized, atol=1e-6)


@given(cells(placed=True))
@settings(max_examples=60, deadline=None)
def test_a_placed_map_is_linear_interpolation_at_the_places_of_its_voxels(drawn):
    cam, labels, _, (step, origin) = drawn
    shape = labels.shape[1:]
    voxels = np.meshgrid(*map(np.arange, shape), indexing="ij")
    at = [(v - o) / s for v, s, o in zip(voxels, step, origin, strict=True)]
    expected = np.stack([ndimage.map_coordinates(c, at, order=1, mode="nearest") for c in cam])
    got = upsample_cam(cam, shape, Placement(step, origin))
    np.testing.assert_allclose(got, expected, rtol=1e-4, atol=1e-5 * cam.max())


def test_upsampling_takes_any_leading_axes_and_both_arrays_and_tensors(random):
    cam = random.random((4, 3, 2, 5, 5)).astype(np.float32)
    big = upsample_cam(cam, (4, 9, 9))
    assert big.shape == (4, 3, 4, 9, 9)
    np.testing.assert_allclose(upsample_cam(cam[1, 2], (4, 9, 9)), big[1, 2], rtol=1e-6)
    assert isinstance(upsample_cam(torch.from_numpy(cam), (4, 9, 9)), torch.Tensor)


# equation 5


@pytest.mark.parametrize("number", CASES)
def test_reference_cases_score_as_their_brute_force_did(number):
    c = case(number)
    got = attention_shares(c["cam"][None], c["labels"][None], c["label"][None])
    for name in [*SHARES, "chance", "ceiling"]:
        np.testing.assert_allclose(got[name], c[name], rtol=1e-5, atol=1e-7, err_msg=name)
    expected = (c["grad_camo"] - c["chance"]) / (c["ceiling"] - c["chance"])
    np.testing.assert_allclose(got["attainable"], expected, rtol=1e-4)


@pytest.mark.parametrize("number", CASES)
def test_the_plain_way_gives_the_reference_scores_too(number):
    c = case(number)
    big = upsample_cam(c["cam"][None], c["labels"].shape)
    score = grad_camo(big, (c["labels"] == c["label"])[None])
    np.testing.assert_allclose(score, [c["grad_camo"]], rtol=1e-5)


@given(cells(placed=True), st.booleans())
@settings(max_examples=150, deadline=None)
def test_the_fast_way_is_the_plain_way(drawn, plain):
    cam, labels, ids, placement = drawn
    placement = None if plain else placement
    shape = labels.shape[1:]
    fast = attention_shares(cam, labels, ids, placement)
    big = upsample_cam(cam, shape, placement).astype(np.float64)
    own = labels == ids.reshape(-1, *[1] * len(shape))
    masks = {
        "grad_camo": own,
        "neighbour_share": (labels != 0) & ~own,
        "background_share": labels == 0,
    }
    for name, mask in masks.items():
        slow = grad_camo(big, mask)
        np.testing.assert_allclose(fast[name], slow, rtol=1e-5, atol=1e-5, err_msg=name)


@given(cells(placed=True))
@settings(max_examples=60, deadline=None)
def test_the_three_shares_sum_to_one_and_nothing_scores_above_the_ceiling(drawn):
    cam, labels, ids, placement = drawn
    got = attention_shares(cam, labels, ids, placement)
    total = sum(got[name] for name in SHARES)
    np.testing.assert_allclose(total[np.isfinite(total)], 1, atol=1e-5)
    scored = np.isfinite(got["grad_camo"])
    assert (got["grad_camo"] <= got["ceiling"] + 1e-5)[scored].all()
    assert (got["ceiling"] <= 1 + 1e-5).all()


@given(cells())
@settings(max_examples=60, deadline=None)
def test_the_ceiling_is_the_best_that_a_single_hot_voxel_scores(drawn):
    cam, labels, ids = drawn
    grid, shape = cam.shape[1:], labels.shape[1:]
    hot = np.eye(np.prod(grid), dtype=np.float32).reshape(-1, *grid)
    big = upsample_cam(hot, shape)
    for own, ceiling in zip(
        labels == ids.reshape(-1, *[1] * len(shape)),
        attention_shares(cam, labels, ids)["ceiling"],
        strict=True,
    ):
        scores = grad_camo(big, np.broadcast_to(own, big.shape))
        assert ceiling == pytest.approx(np.nanmax(scores), abs=1e-5)


@given(cells())
@settings(max_examples=40, deadline=None)
def test_a_flat_map_scores_the_volume_share_of_the_cell(drawn):
    cam, labels, ids = drawn
    got = attention_shares(np.full_like(cam, 3.0), labels, ids)
    share = (labels == ids.reshape(-1, *[1] * (labels.ndim - 1))).reshape(2, -1).mean(1)
    np.testing.assert_allclose(got["grad_camo"], share, atol=1e-5)
    np.testing.assert_allclose(got["chance"], share, atol=1e-6)
    np.testing.assert_allclose(np.nan_to_num(got["attainable"]), 0, atol=1e-3)


@given(cells(), st.integers(-20, 20))
@settings(max_examples=40, deadline=None)
def test_a_factor_leaves_every_column_alone_and_an_offset_does_not(drawn, power):
    cam, labels, ids = drawn
    cam = cam / cam.max()
    once, scaled = (attention_shares(c, labels, ids) for c in (cam, cam * np.float32(2.0**power)))
    for name, values in once.items():
        np.testing.assert_allclose(scaled[name], values, rtol=1e-5, err_msg=name)


def test_an_offset_moves_scores_towards_chance_so_minmax_scaled_maps_may_not_be_scored():
    c = case(0)
    got = [
        attention_shares(cam[None], c["labels"][None], c["label"][None])["attainable"][0]
        for cam in (c["cam"], c["cam"] + c["cam"].max())
    ]
    assert abs(got[1]) < 0.6 * abs(got[0])


def test_a_map_on_the_cell_alone_scores_one_and_beside_it_zero():
    labels = np.zeros((1, 8, 8, 8), int)
    labels[0, :, :, :4], labels[0, :, :, 4:] = 1, 2
    cam = np.zeros((1, 8, 8, 8), np.float32)
    cam[..., 1] = 1
    for label, shares in ((1, (1, 0, 0)), (2, (0, 1, 0))):
        got = attention_shares(cam, labels, [label])
        assert tuple(got[name][0] for name in SHARES) == shares
    assert got["attainable"][0] == -1  # chance 0.5, ceiling 1: half the room below chance


@pytest.mark.parametrize("grid", [(32, 48, 48), (8, 24, 24), (4, 6, 6), (1, 1, 1)])
def test_a_cell_that_fills_its_crop_scores_one_and_has_nothing_to_attain(random, grid):
    labels = np.full((4, 11, 64, 64), 7)
    got = attention_shares(random.random((4, *grid), np.float32), labels, [7] * 4)
    for name in ("grad_camo", "chance", "ceiling"):
        np.testing.assert_allclose(got[name], 1, rtol=1e-5)
        assert (got[name] <= 1).all()
    assert np.isnan(got["attainable"]).all()


def test_an_all_zero_map_has_no_score_but_its_chance_and_ceiling():
    c = case(0)
    got = attention_shares(np.zeros_like(c["cam"])[None], c["labels"][None], c["label"][None])
    for name in [*SHARES, "attainable"]:
        assert np.isnan(got[name][0]), name
    assert got["ceiling"][0] == pytest.approx(c["ceiling"], rel=1e-5)
    assert np.isnan(grad_camo(np.zeros((1, 4, 4)), np.ones((1, 4, 4), bool))[0])


def test_an_empty_map_leaves_the_other_cells_of_its_batch_alone():
    c = case(0)
    cams = np.stack([c["cam"], np.zeros_like(c["cam"]), c["cam"]])
    labels, ids = np.stack([c["labels"]] * 3), np.repeat(c["label"], 3)
    scores = attention_shares(cams, labels, ids)["grad_camo"]
    np.testing.assert_allclose(scores, [c["grad_camo"], np.nan, c["grad_camo"]], rtol=1e-5)


@pytest.mark.parametrize("dtype", [np.uint8, np.uint16, np.int32, np.uint32, np.int64, np.uint64])
def test_ids_of_any_integer_type_compare_exactly(dtype):
    big = np.iinfo(dtype).max if np.dtype(dtype).itemsize < 8 else 2**53 + 1
    labels = np.zeros((1, 4, 4), dtype)
    labels[0, 1:3, 1:3], labels[0, 0, 0] = big, big - 1
    got = attention_shares(np.ones((1, 2, 2), np.float32), labels, np.array([big], dtype))
    assert got["chance"][0] == 4 / 16


@given(cells())
@settings(max_examples=30, deadline=None)
def test_projecting_is_the_transpose_of_upsampling(drawn):
    cam, labels, _ = drawn
    grid, shape = cam.shape[1:], labels.shape[1:]
    y = torch.rand(2, *shape, dtype=torch.float64)
    x = torch.rand(2, *grid)
    left = (upsample_cam(x, shape).double() * y).sum()
    right = (x.double() * project_mask(y, grid).double()).sum()
    torch.testing.assert_close(left, right, rtol=1e-4, atol=1e-5)


def test_scores_are_differentiable_in_the_maps():
    c = case(0)
    cam = torch.tensor(c["cam"][None], requires_grad=True)
    attention_shares(cam, c["labels"][None], c["label"][None])["grad_camo"].sum().backward()
    assert cam.grad.abs().max() > 0


# what cannot be scored


def refused(match, *args):
    with pytest.raises(GradcamoError, match=match):
        attention_shares(*args)


def test_what_does_not_fit_is_refused_naming_both_sides():
    cam, labels = np.ones((2, 3, 3), np.float32), np.ones((2, 9, 9), int)
    refused(r"\(9, 9\).*grid \(3, 3\)|\(2, 9\)", cam, labels[:, 0], [1, 1])
    refused(r"ids \(3,\)", cam, labels, [1, 1, 1])
    refused(r"\(1, 3, 3\).*2 cells", cam[:1], labels, [1, 1])
    refused(r"cells \[5\] do not contain them", cam, labels, [1, 5])
    refused("whole numbers, got torch.float64", cam, labels.astype(float), [1, 1])
    refused("floating point, got torch.int64", labels, labels, [1, 1])
    with pytest.raises(GradcamoError, match=r"\(2, 3, 3\) and masks \(2, 9, 9\)"):
        grad_camo(cam, labels > 0)
    with pytest.raises(GradcamoError, match=r"does not fit a crop \(4, 4, 4\)"):
        upsample_cam(cam[0], (4, 4, 4))


@pytest.mark.parametrize("bad", [np.nan, np.inf, -1.0])
def test_maps_that_are_not_finite_or_negative_are_refused(bad):
    cam, labels = np.ones((1, 3, 3), np.float32), np.ones((1, 9, 9), int)
    cam[0, 1, 1] = bad
    refused("NaN or infinite|negative", cam, labels, [1])
    with pytest.raises(GradcamoError, match=r"NaN or infinite|negative"):
        grad_camo(cam, np.ones((1, 3, 3), bool))


def test_no_cells_give_no_scores():
    got = attention_shares(np.ones((0, 3, 3), np.float32), np.ones((0, 9, 9), int), np.ones(0, int))
    assert all(len(values) == 0 for values in got.values())
