"""Formats of microscopes go to bioio where it is there; where it is not, the package is named."""

import importlib.util

import numpy as np
import pytest

import gradcamo as gc
from gradcamo import GradcamoError
from gradcamo.files.vendors import PLUGINS, read_vendor

BIOIO = importlib.util.find_spec("bioio") is not None


@pytest.mark.parametrize("ending", [".czi", ".nd2", ".LIF"])
def test_a_format_that_nobody_reads_here_names_the_package(tmp_path, ending):
    path = tmp_path / f"stack{ending}"
    path.write_bytes(b"no image")
    said = f"pip install {'' if BIOIO else 'bioio '}{PLUGINS[ending.lower()]}'"
    with pytest.raises(GradcamoError, match=said):
        gc.read_stack(path)


@pytest.mark.skipif(not BIOIO, reason="bioio is not installed")
def test_bioio_gives_voxels_names_and_sizes_of_an_ome_zarr(tmp_path, field):
    pytest.importorskip("bioio_ome_zarr")
    from gradcamo.files.axes import arranged

    stack, _ = field
    gc.write_stack(tmp_path / "stack.ome.zarr", stack)
    raw = read_vendor(tmp_path / "stack.ome.zarr")
    np.testing.assert_array_equal(arranged(raw, None, "stack"), stack.data)
    assert tuple(raw.channels) == stack.channels
    assert raw.spacing_um == pytest.approx(dict(zip("ZYX", stack.spacing_um, strict=True)))


@pytest.mark.skipif(not BIOIO, reason="bioio is not installed")
def test_bioio_gives_the_planes_of_a_tiff(tmp_path, random):
    pytest.importorskip("bioio_tifffile")
    import tifffile

    planes = random.integers(0, 9999, (4, 20, 30), np.uint16)
    tifffile.imwrite(tmp_path / "planes.tif", planes, photometric="minisblack")
    raw = read_vendor(tmp_path / "planes.tif")
    assert raw.axes.endswith("YX")
    np.testing.assert_array_equal(np.asarray(raw.data).reshape(planes.shape), planes)
