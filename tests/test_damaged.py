"""Damaged pixels: no error of a decoder reaches a user bare, whoever reads."""

import numpy as np
import pytest
import tifffile
import zarr
from click.testing import CliRunner

from gradcamo.cli.commands import main
from gradcamo.errors import GradcamoError
from gradcamo.files.labels import read_labels, write_labels
from gradcamo.files.stacks import read_stack

STACK = np.random.default_rng(0).integers(0, 4000, (2, 3, 40, 40)).astype(np.uint16)


def spoil(path, offset, length=64, byte=0xA5):
    """Overwrite bytes of a file, and leave its length."""
    content = bytearray(path.read_bytes())
    content[offset : offset + length] = bytes([byte]) * length
    path.write_bytes(content)


def damaged_tiff(path, page, **options):
    tifffile.imwrite(path, STACK, metadata={"axes": "CZYX"}, **options)
    with tifffile.TiffFile(path) as tif:
        offset = tif.pages[page].dataoffsets[0]
    spoil(path, offset)
    return path


@pytest.mark.parametrize(
    "options",
    [
        {"compression": "zlib"},
        {"compression": "lzw"},
        {"compression": "zstd"},
        {"compression": "lzma"},
        {"compression": "zlib", "predictor": True, "tile": (16, 16)},
        {"compression": "zlib", "byteorder": ">"},
    ],
    ids=str,
)
def test_a_damaged_plane_of_a_tiff_is_named_with_its_file(tmp_path, options):
    path = damaged_tiff(tmp_path / "a.ome.tif", 4, **options)
    stack = read_stack(path)
    np.testing.assert_array_equal(np.asarray(stack.data[0]), STACK[0])  # others can be read
    with pytest.raises(
        GradcamoError, match=r"a\.ome\.tif, C 1, Z 1 cannot be read \(.+\): it is d"
    ):
        stack.in_memory()
    with pytest.raises(GradcamoError, match=r"C 1, Z 1 cannot be read"):
        np.asarray(stack.data[1, 1, :5])


def test_of_several_series_the_damaged_one_is_named(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        tif.write(STACK[0, 0], metadata={"axes": "YX"}, compression="zlib")
        tif.write(STACK[0], metadata={"axes": "ZYX"}, compression="zlib")
    with tifffile.TiffFile(tmp_path / "a.ome.tif") as tif:
        offset = tif.series[1].pages[2].dataoffsets[0]
    spoil(tmp_path / "a.ome.tif", offset)
    with pytest.raises(GradcamoError, match=r"a\.ome\.tif, series 1, Z 2 cannot be read"):
        read_stack(tmp_path / "a.ome.tif").in_memory()


def test_of_several_files_the_damaged_one_is_named(tmp_path):
    uuids = [f"urn:uuid:00000000-0000-0000-0000-00000000000{i}" for i in range(2)]
    parts = "".join(
        f'<TiffData FirstC="{i}" FirstZ="0" FirstT="0" IFD="0" PlaneCount="1">'
        f'<UUID FileName="c{i}.ome.tif">{uuid}</UUID></TiffData>'
        for i, uuid in enumerate(uuids)
    )
    for i, uuid in enumerate(uuids):
        xml = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="{uuid}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            'Type="uint16" SizeX="40" SizeY="40" SizeZ="1" SizeC="2" SizeT="1">'
            f'<Channel ID="C:0"/><Channel ID="C:1"/>{parts}</Pixels></Image></OME>'
        )
        tifffile.imwrite(
            tmp_path / f"c{i}.ome.tif",
            STACK[i, 0],
            description=xml,
            metadata=None,
            compression="zlib",
        )
    stack = read_stack(tmp_path / "c0.ome.tif")
    with tifffile.TiffFile(tmp_path / "c1.ome.tif") as tif:
        offset = tif.pages[0].dataoffsets[0]
    spoil(tmp_path / "c1.ome.tif", offset)
    with pytest.raises(GradcamoError, match=r"c1\.ome\.tif, C 1 cannot be read"):
        stack.in_memory()
    (tmp_path / "c0.ome.tif").unlink()
    with pytest.raises(GradcamoError, match=r"c0\.ome\.tif went away since it was opened"):
        stack.in_memory()


def omezarr(path, data, order, **options):
    group = zarr.create_group(path, zarr_format=2, overwrite=True)
    chunks = (1,) * (data.ndim - 2) + (20, 20)
    array = group.create_array("0", shape=data.shape, dtype=data.dtype, chunks=chunks, **options)
    array[:] = data
    axes = [{"name": a, "type": "channel" if a == "c" else "space"} for a in order]
    dataset = {
        "path": "0",
        "coordinateTransformations": [{"type": "scale", "scale": [1.0] * len(order)}],
    }
    group.attrs["multiscales"] = [{"version": "0.4", "axes": axes, "datasets": [dataset]}]
    return path


@pytest.mark.parametrize("codec", ["Blosc", "Zstd", "Zlib", None])
@pytest.mark.parametrize("how", ["spoilt", "cut"])
def test_a_damaged_chunk_of_an_ome_zarr_is_named(tmp_path, codec, how):
    import numcodecs

    made = getattr(numcodecs, codec)() if codec else None
    path = omezarr(tmp_path / "a.zarr", STACK, "czyx", compressors=made)
    (chunk,) = (path / "0").rglob("1.2.0.1")
    assert np.array_equal(read_stack(path).data, STACK)
    if how == "cut":
        chunk.write_bytes(chunk.read_bytes()[:-9])
    elif codec:
        spoil(chunk, 0, 40)
    else:
        pytest.skip("bytes as they are have no wrong values")
    stack = read_stack(path)
    np.testing.assert_array_equal(np.asarray(stack.data[0]), STACK[0])
    with pytest.raises(GradcamoError, match=r"a\.zarr, C 1, Z 2 cannot be read \(.+\): it is dam"):
        stack.in_memory()
    labels = omezarr(tmp_path / "l.zarr", STACK[1], "zyx", compressors=made)
    (there,) = (labels / "0").rglob("2.0.1")
    there.write_bytes(chunk.read_bytes())
    with pytest.raises(GradcamoError, match=r"l\.zarr, Z 2 cannot be read"):
        read_labels(labels)


def test_commands_end_in_one_line_about_damaged_pixels(tmp_path):
    image = damaged_tiff(tmp_path / "a.ome.tif", 1, compression="zlib")
    good = tmp_path / "good.ome.tif"
    tifffile.imwrite(good, STACK, metadata={"axes": "CZYX"})
    labels = tmp_path / "l.tif"
    write_labels(labels, (STACK[0] > 2000) * 7 + 1)
    bundled = ["--checkpoint", "bundled", "--channels", "channel 0,channel 1"]
    stains = ["--cytoplasm", "channel 0", "--nucleus", "channel 1"]
    out = ["-o", str(tmp_path / "cells.csv")]
    for broken, given in (
        ("a.ome.tif, C 0, Z 1", ["segment", str(image), "-o", str(tmp_path / "new.tif"), *stains]),
        ("l.tif, Z 2", ["audit", str(good), "--labels", str(labels), *bundled, *out]),
    ):
        if given[0] == "audit":
            with tifffile.TiffFile(labels) as tif:
                offset = tif.pages[2].dataoffsets[0]
            spoil(labels, offset)
        ended = CliRunner().invoke(main, given)
        assert ended.exit_code == 1
        (line,) = [line for line in ended.output.splitlines() if line.startswith("Error")]
        assert f"{broken} cannot be read (" in line
        assert "Traceback" not in ended.output
    assert not (tmp_path / "new.tif").exists()
    assert not (tmp_path / "cells.csv").exists()
