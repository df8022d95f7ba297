"""Labels as other tools write them."""

import pickle
import warnings
from pathlib import Path

import numpy as np
import pytest
import tifffile
from PIL import Image

import gradcamo as gc
from gradcamo.errors import GradcamoError, GradcamoWarning
from gradcamo.files.labels import read_labels
from gradcamo.files.linking import link_planes

CASES = Path(__file__).parent / "data" / "cases"
LABELS = CASES / "labels"
CELLS = tifffile.imread(LABELS / "three_cells.tif")


def same_cells(labels: np.ndarray, truth: np.ndarray) -> bool:
    """Equal up to numbering."""
    if labels.shape != truth.shape:
        return False
    pairs = np.unique(np.stack([labels.ravel(), truth.ravel()]), axis=1)
    return all(len(np.unique(side)) == pairs.shape[1] for side in pairs)


@pytest.mark.parametrize("name", ["three_cells.tif", "masks.npy"])
def test_tiff_and_npy_hold_the_same_cells(name):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_labels(LABELS / name), CELLS)


@pytest.mark.parametrize(
    ("name", "said"), [("z_saved_as_t.tif", "time points"), ("z_saved_as_c.tif", "channels")]
)
def test_planes_that_fiji_saved_as_something_else_are_planes_and_it_is_said(name, said):
    with pytest.warns(GradcamoWarning, match=f"calls its 4 planes {said}"):
        labels = read_labels(LABELS / name)
    np.testing.assert_array_equal(labels, CELLS)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(read_labels(LABELS / name, axes="ZYX"), CELLS)


@pytest.mark.parametrize("axes", ["TYX", "CYX", "ZYX"])
def test_planes_of_fiji_keep_their_order_whatever_it_calls_them(tmp_path, axes):
    planes = np.zeros((5, 24, 30), np.uint16)
    for z in range(5):
        planes[z, 2 + z : 9 + z, 3 : 5 + 2 * z] = 300 + z  # each plane is another one
    tifffile.imwrite(tmp_path / "fiji.tif", planes, imagej=True, metadata={"axes": axes})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", GradcamoWarning)
        np.testing.assert_array_equal(read_labels(tmp_path / "fiji.tif"), planes)


def test_three_planes_that_the_writer_called_colours_are_planes():
    labels = read_labels(LABELS / "three_planes_uint8.tif")
    assert labels.shape == (3, 64, 64)
    np.testing.assert_array_equal(labels, CELLS[:3])


def test_a_png_holds_one_plane_of_any_depth(tmp_path):
    labels = read_labels(LABELS / "one_plane_cp_masks.png")
    assert labels.shape == (1, 64, 64)
    assert set(np.unique(labels)) == {0, 1, 2, 3}
    Image.fromarray(CELLS[0].astype(np.uint8)).save(tmp_path / "8bit.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "8bit.png")[0], CELLS[0])
    coloured = Image.fromarray(CELLS[0].astype(np.uint8), mode="P")
    coloured.putpalette(list(range(255, -1, -1)) * 3)
    coloured.save(tmp_path / "palette.png")
    np.testing.assert_array_equal(read_labels(tmp_path / "palette.png")[0], CELLS[0])
    coloured.convert("RGB").save(tmp_path / "rgb.png")
    with pytest.raises(GradcamoError, match=r"rgb\.png is a colour picture.*grey levels"):
        read_labels(tmp_path / "rgb.png")
    (tmp_path / "bad.png").write_bytes((tmp_path / "8bit.png").read_bytes()[:60])
    with pytest.raises(GradcamoError, match=r"bad\.png cannot be read"):
        read_labels(tmp_path / "bad.png")


class Trap:
    def __reduce__(self):
        return Path.touch, (Path("sprung"),)


def test_nothing_is_unpickled_and_the_way_out_is_told(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    np.save("trap.npy", np.array({"masks": Trap()}, dtype=object), allow_pickle=True)
    Path("raw.npy").write_bytes(pickle.dumps(Trap()))
    for path in (LABELS / "cellpose_seg.npy", Path("trap.npy"), Path("raw.npy")):
        with pytest.raises(GradcamoError, match=r"pickled.*Save masks as PNG/tif"):
            read_labels(path)
    assert not Path("sprung").exists()
    Path("cut.npy").write_bytes((LABELS / "masks.npy").read_bytes()[:500])
    with pytest.raises(GradcamoError, match=r"cut\.npy cannot be read"):
        read_labels("cut.npy")


def test_one_mask_a_plane_is_linked_along_z():
    plate = gc.read_plate(
        CASES / "plates" / "plane_files",
        labels="results/PB01/segmentation/cell_segmented_{well}_{z}.npy",
    )
    assert len(plate) == 2
    for _, row in plate.iterrows():
        assert same_cells(gc.read_labels(row), CELLS)
        assert same_cells(gc.read_labels(row["labels"]), CELLS)
        kept = gc.read_labels(row["labels"], stitch_threshold=0)
        first = np.load(row["labels"].replace("{z}", "2"))
        np.testing.assert_array_equal(kept[2], first)


def test_a_higher_threshold_takes_cells_apart(tmp_path):
    for z in range(4):
        plane = np.zeros((20, 20), np.uint8)
        plane[5:10, 2 + 3 * z : 8 + 3 * z] = 1 + z
        np.save(tmp_path / f"m_{z}.npy", plane)
    assert read_labels(tmp_path / "m_{z}.npy").max() == 1
    assert read_labels(tmp_path / "m_{z}.npy", stitch_threshold=0.5).max() == 4
    (tmp_path / "m_1.npy").unlink()
    with pytest.raises(GradcamoError, match=r"lacks plane 1: .*m_1\.npy"):
        read_labels(tmp_path / "m_{z}.npy")


def test_planes_are_linked_as_cellpose_stitches():
    from cellpose import utils
    from scipy import ndimage

    rng = np.random.default_rng(0)
    for threshold in (0.05, 0.25, 0.6):
        volume = ndimage.gaussian_filter(rng.random((6, 60, 60)), (0.7, 2.5, 2.5)) > 0.52
        planes = [ndimage.label(plane)[0].astype(np.int32) for plane in volume]
        assert min(plane.max() for plane in planes) > 5
        theirs = utils.stitch3D(np.stack(planes).copy(), stitch_threshold=threshold)
        assert same_cells(link_planes(planes, threshold), theirs)


def test_a_cell_does_not_go_on_behind_an_empty_plane():
    plane = np.zeros((4, 4), int)
    plane[1:3, 1:3] = 9
    linked = link_planes([plane, 0 * plane, plane, plane], 0.05)
    assert [int(layer.max()) for layer in linked] == [1, 0, 2, 2]


def test_linked_cells_may_be_more_than_16_bits_tell_apart():
    many = np.arange(1, 90_001).reshape(300, 300)
    linked = link_planes([many[:1], many[1:2]], 0.05)
    assert linked.dtype == np.uint16
    np.testing.assert_array_equal(link_planes([many, 0 * many], 0.05), [many, 0 * many])


def test_coarser_labels_are_said_and_taken_where_that_is_asked_for(tmp_path):
    half = read_labels(LABELS / "half_resolution.tif")
    stack = gc.ZStack(np.zeros((1, 4, 64, 64), np.uint8), ("a",))
    with pytest.raises(GradcamoError, match=r"coarser by 1 × 2 × 2.*--labels-coarser"):
        gc.CellCrops(stack, half)
    fine = read_labels(LABELS / "half_resolution.tif", like=stack)
    np.testing.assert_array_equal(fine, half.repeat(2, 1).repeat(2, 2))
    assert len(gc.CellCrops(stack, fine)) == 3
    with pytest.raises(GradcamoError, match="no coarser level"):
        read_labels(
            LABELS / "half_resolution.tif", like=gc.ZStack(np.zeros((1, 4, 64, 50)), ("a",))
        )
    odd = gc.ZStack(np.zeros((1, 4, 63, 64)), ("a",))
    assert read_labels(LABELS / "half_resolution.tif", like=odd).shape == (4, 63, 64)


def test_a_row_says_how_its_labels_are_to_be_read():
    stack = gc.ZStack(np.zeros((1, 4, 64, 64), np.uint8), ("a",))
    row = {"image": "x", "labels": str(LABELS / "half_resolution.tif"), "labels_coarser": "yes"}
    assert gc.read_labels(row, like=stack).shape == (4, 64, 64)
    assert gc.read_labels(row | {"labels_coarser": ""}, like=stack).shape == (4, 32, 32)
    row = {"labels": str(LABELS / "z_saved_as_t.tif"), "labels_axes": "ZYX"}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        np.testing.assert_array_equal(gc.read_labels(row), CELLS)
    with pytest.raises(GradcamoError, match="has no labels"):
        gc.read_labels({"image": "x", "labels": ""})
    with pytest.raises(GradcamoError, match=r"well B02, site 1: .*gone\.tif"):
        gc.read_labels({"labels": "gone.tif", "well": "B02", "site": "1"})


def test_numbers_that_no_table_of_cells_holds_are_named(tmp_path):
    labels = np.zeros((3, 8, 8), np.uint64)
    labels[1, 2:4, 2:4], labels[1, 5, 5] = 2**63 - 1, 4
    np.save(tmp_path / "labels.npy", labels)
    stack = gc.ZStack(np.zeros((1, 3, 8, 8), np.uint8), ("DNA",))
    assert read_labels(tmp_path / "labels.npy").max() == 2**63 - 1
    assert list(gc.CellCrops(stack, labels).table["label"]) == [4, 2**63 - 1]
    labels[1, 2:4, 2:4] = 2**63 + 5
    np.save(tmp_path / "labels.npy", labels)
    said = "has the label 9223372036854775813, and numbers of cells end at 9223372036854775807"
    with pytest.raises(GradcamoError, match=f"labels.npy {said}"):
        read_labels(tmp_path / "labels.npy")
    with pytest.raises(GradcamoError, match=f"the label image {said}"):
        gc.CellCrops(stack, labels)
