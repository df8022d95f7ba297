import contextlib
import gc
import os
import subprocess
import sys
from pathlib import Path

import dask.array as da
import numpy as np
import pytest
import tifffile
import zarr

from gradcamo.datatypes import ZStack
from gradcamo.errors import GradcamoError
from gradcamo.files.labels import read_labels, write_labels
from gradcamo.files.rawimage import position_um, to_um
from gradcamo.files.stacks import read_stack, write_stack

STACK = np.random.default_rng(0).integers(0, 4000, (2, 5, 40, 32)).astype(np.uint16)
OME = {
    "axes": "CZYX",
    "Channel": {"Name": ["DNA", "ER"]},
    "PhysicalSizeZ": 600,
    "PhysicalSizeZUnit": "nm",
    "PhysicalSizeY": 0.3505,
    "PhysicalSizeYUnit": "µm",
    "PhysicalSizeX": 0.0003505,
    "PhysicalSizeXUnit": "mm",
}


def check(stack, data=STACK):
    np.testing.assert_array_equal(np.asarray(stack.data), data)
    assert np.dtype(stack.data.dtype).isnative


# -- OME-TIFF ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"compression": "zlib"},
        {"compression": "zlib", "tile": (16, 16)},
        {"bigtiff": True},
        {"byteorder": ">"},
        {"byteorder": ">", "compression": "zlib"},
    ],
    ids=str,
)
def test_an_ome_tiff_brings_voxels_names_and_voxel_size(tmp_path, options):
    path = tmp_path / "a.ome.tif"
    tifffile.imwrite(path, STACK, metadata=OME, **options)
    stack = read_stack(path)
    check(stack)
    assert stack.channels == ("DNA", "ER")
    assert stack.spacing_um == pytest.approx((0.6, 0.3505, 0.3505))
    assert stack.source == str(path)


@pytest.mark.parametrize("order", ["ZCYX", "CZYX", "ZYX", "YX", "CYX", "TZCYX"])
def test_any_declared_order_of_axes_becomes_channels_planes_rows_columns(tmp_path, order):
    index = tuple(slice(None) if letter in order else 0 for letter in "CZYX")
    kept = "".join(letter for letter in "CZYX" if letter in order)
    wanted = STACK[tuple(slice(None) if s == slice(None) else slice(1) for s in index)]
    data = STACK[index].transpose([kept.index(letter) for letter in order.replace("T", "")])
    data = data[np.newaxis] if "T" in order else data
    tifffile.imwrite(tmp_path / "a.ome.tif", data, metadata={"axes": order})
    check(read_stack(tmp_path / "a.ome.tif"), wanted)


def test_uncompressed_voxels_are_mapped_and_compressed_ones_read_when_asked_for(tmp_path):
    tifffile.imwrite(tmp_path / "raw.ome.tif", STACK, metadata=OME)
    tifffile.imwrite(tmp_path / "zip.ome.tif", STACK, metadata=OME, compression="zlib")
    assert isinstance(read_stack(tmp_path / "raw.ome.tif").data, np.memmap)
    zipped = read_stack(tmp_path / "zip.ome.tif").data
    assert isinstance(zipped, da.Array)
    assert zipped.chunks[:2] == ((1, 1), (1,) * 5)
    np.testing.assert_array_equal(zipped[1, 3].compute(), STACK[1, 3])


def test_given_names_and_sizes_win_over_the_file(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=OME)
    stack = read_stack(tmp_path / "a.ome.tif", channels=["a", "b"], spacing_um=(1, 2, 3))
    assert stack.channels == ("a", "b")
    assert stack.spacing_um == (1.0, 2.0, 3.0)
    with pytest.raises(GradcamoError, match="2 channels, 3 names"):
        read_stack(tmp_path / "a.ome.tif", channels=["a", "b", "c"])


def test_channels_without_names_are_numbered_and_twins_told_apart(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata={"axes": "CZYX"})
    twins = {"axes": "CZYX", "Channel": {"Name": ["GFP", "GFP"]}}
    tifffile.imwrite(tmp_path / "b.ome.tif", STACK, metadata=twins)
    assert read_stack(tmp_path / "a.ome.tif").channels == ("channel 0", "channel 1")
    assert read_stack(tmp_path / "a.ome.tif").spacing_um is None
    assert read_stack(tmp_path / "b.ome.tif").channels == ("GFP", "GFP (2)")


def test_sizes_in_pixels_are_no_voxel_size(tmp_path):
    unitless = {**OME, "PhysicalSizeZUnit": "pixel"}
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=unitless)
    assert read_stack(tmp_path / "a.ome.tif").spacing_um == (None, *[pytest.approx(0.3505)] * 2)


def test_of_several_images_the_only_stack_is_taken_and_two_are_refused(tmp_path):
    with tifffile.TiffWriter(tmp_path / "a.ome.tif") as tif:
        tif.write(STACK[0, 0], metadata={"axes": "YX"})
        tif.write(STACK, metadata=OME)
    with tifffile.TiffWriter(tmp_path / "b.ome.tif") as tif:
        tif.write(STACK, metadata=OME)
        tif.write(STACK[:, :3], metadata=OME)
    stack = read_stack(tmp_path / "a.ome.tif")
    check(stack)
    assert stack.channels == ("DNA", "ER")
    with pytest.raises(GradcamoError, match="holds 2 images"):
        read_stack(tmp_path / "b.ome.tif")


def test_time_points_are_refused_and_may_be_declared_planes(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata={"axes": "CTYX"})
    with pytest.raises(GradcamoError, match=r"5 time points.*axes='CZYX'"):
        read_stack(tmp_path / "a.ome.tif")
    check(read_stack(tmp_path / "a.ome.tif", axes="CZYX"))


@pytest.mark.parametrize(
    ("unit", "um"),
    [
        *(("um", 1), (" µm ", 1), ("μm", 1), ("\\u00B5m", 1), ("micron", 1), ("Microns", 1)),
        *(("micrometre", 1), ("nm", 1e-3), ("NANOMETER", 1e-3), ("pm", 1e-6), ("mm", 1e3)),
        *(("cm", 1e4), ("m", 1e6), ("inch", 25400), ("in", 25400), ("thou", 25.4)),
        *(("Å", 1e-4), ("\N{ANGSTROM SIGN}", 1e-4), ("A", 1e-4), ("angstrom", 1e-4)),
    ],
)
def test_lengths_are_read_in_any_unit(unit, um):
    assert to_um(0.35, unit) == pytest.approx(0.35 * um, rel=1e-12)
    assert position_um("-2", unit) == pytest.approx(-2 * um, rel=1e-12)


@pytest.mark.parametrize(
    "unit", ["", None, "px", "pixel", "pt", "s", "um*2", "um^2", "10 um", "m**9**9**9", "?"]
)
def test_what_is_no_length_says_nothing_of_a_voxel_size(unit):
    assert to_um(0.35, unit) is None


# -- ImageJ --------------------------------------------------------------------------------------


@pytest.mark.parametrize("unit", ["um", "micron", "\\u00B5m"])
def test_an_imagej_hyperstack_brings_voxels_names_and_voxel_size(tmp_path, unit):
    tifffile.imwrite(
        tmp_path / "ij.tif",
        STACK.transpose(1, 0, 2, 3),
        imagej=True,
        resolution=(1 / 0.35, 1 / 0.4),
        metadata={"axes": "ZCYX", "spacing": 0.6, "unit": unit, "Labels": ["DNA", "ER"] * 5},
    )
    stack = read_stack(tmp_path / "ij.tif")
    check(stack)
    assert stack.channels == ("DNA", "ER")
    assert stack.spacing_um == pytest.approx((0.6, 0.4, 0.35), rel=1e-4)


def test_a_stack_saved_by_imagej_itself_is_read_plane_by_plane_in_our_byte_order(tmp_path):
    # ImageJ writes big-endian voxels in one piece behind a single page.
    path = tmp_path / "ij.tif"
    description = "ImageJ=1.54f\nimages=10\nchannels=2\nslices=5\nhyperstack=true\nunit=micron\n"
    tifffile.imwrite(path, STACK[0, 0], byteorder=">", description=description, metadata=None)
    with tifffile.TiffFile(path) as tif:
        start = tif.pages.first.dataoffsets[0]
    voxels = STACK.transpose(1, 0, 2, 3).astype(">u2").tobytes()
    path.write_bytes(path.read_bytes()[:start] + voxels)
    check(read_stack(path))
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(GradcamoError, match="truncated"):
        read_stack(path)


CASES = Path(__file__).parent / "data" / "cases" / "images"


def test_an_imagej_unit_of_um_in_a_tiff_per_cm_counts_pixels_per_cm():
    # 28,571 pixels per cm are 0.35 µm, as ImageJ's own reader has it
    path = CASES / "imagej_resolution_in_cm_unit_um.tif"
    with tifffile.TiffFile(path) as tif:
        assert tif.pages[0].get_resolution("micrometer")[0] == pytest.approx(1 / 0.35)
    assert read_stack(path).spacing_um == pytest.approx((0.6, 0.35, 0.35))


@pytest.mark.parametrize(
    ("unit", "tiff_unit", "size"),
    [
        ("um", "CENTIMETER", 0.35),
        ("µm", "CENTIMETER", 0.35),
        ("um", "NONE", 0.35e-4),
        ("um", "INCH", 0.35e-4),
        ("mm", "CENTIMETER", 0.035),
        ("cm", "CENTIMETER", 0.35),
    ],
)
def test_but_for_that_the_unit_of_imagej_counts_and_not_the_tiff_s(tmp_path, unit, tiff_unit, size):
    tifffile.imwrite(
        tmp_path / "ij.tif",
        STACK[0],
        imagej=True,
        resolution=(1e4 / 0.35, 1e4 / 0.35),
        resolutionunit=tiff_unit,
        metadata={"axes": "ZYX", "spacing": 0.6, "unit": unit.replace("µ", "\\u00B5")},
    )
    z = {"mm": 600, "cm": 6000}.get(unit, 0.6)
    assert read_stack(tmp_path / "ij.tif").spacing_um == pytest.approx((z, size, size))


def test_an_imagej_axis_may_have_a_unit_of_its_own(tmp_path):
    metadata = {"axes": "ZYX", "spacing": 600, "unit": "um", "zunit": "nm"}
    tifffile.imwrite(tmp_path / "ij.tif", STACK[0], imagej=True, metadata=metadata)
    assert read_stack(tmp_path / "ij.tif").spacing_um[0] == pytest.approx(0.6)


@pytest.mark.parametrize("name", ["imagej_no_z_spacing.tif", "ome_no_z_spacing.ome.tif"])
def test_what_is_known_of_a_voxel_size_is_kept_axis_by_axis(tmp_path, name):
    stack = read_stack(CASES / name)
    assert stack.spacing_um == (None, pytest.approx(0.35), pytest.approx(0.35))
    assert read_stack(CASES / name, spacing_um=(0.6, None, 1)).spacing_um == (
        0.6,
        pytest.approx(0.35),
        1.0,
    )
    assert read_stack(CASES / name, spacing_um=(None,) * 3).spacing_um == stack.spacing_um
    write_stack(tmp_path / "again.ome.tif", stack)
    write_labels(tmp_path / "labels.tif", np.ones((4, 64, 64), int), stack.spacing_um)
    for path in ("again.ome.tif", "labels.tif"):
        assert read_stack(tmp_path / path).spacing_um == stack.spacing_um


def test_a_voxel_size_of_nothing_is_none():
    assert ZStack(STACK, ("a", "b"), (None, None, None)).spacing_um is None
    for bad in ((0.6, 0.35), (0.6, 0, 0.35), (None, np.inf, 1)):
        with pytest.raises(GradcamoError, match="three positive lengths"):
            ZStack(STACK, ("a", "b"), bad)


# -- undeclared axes -----------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, {"metadata": None}, {"compression": "zlib"}], ids=str)
def test_undeclared_axes_are_asked_for_and_never_guessed(tmp_path, options):
    tifffile.imwrite(tmp_path / "a.tif", STACK[0], **options)
    with pytest.raises(GradcamoError, match=r"\(5, 40, 32\).*axes='ZYX'"):
        read_stack(tmp_path / "a.tif")
    check(read_stack(tmp_path / "a.tif", axes="ZYX"), STACK[:1])
    check(read_stack(tmp_path / "a.tif", axes="cyx"), STACK[0][:, None])


@pytest.mark.parametrize("axes", ["CZY", "CZXX", "CZQX", "ZYX", ""])
def test_axes_that_do_not_describe_the_file_are_refused(tmp_path, axes):
    tifffile.imwrite(tmp_path / "a.tif", STACK)
    with pytest.raises(GradcamoError, match=r"\(2, 5, 40, 32\).*axes='CZYX'"):
        read_stack(tmp_path / "a.tif", axes=axes)


def test_four_planes_that_a_writer_took_for_colours_are_asked_for_as_planes(tmp_path):
    tifffile.imwrite(tmp_path / "a.tif", STACK[:, :4], photometric=None, planarconfig="separate")
    with pytest.raises(GradcamoError, match=r"not say.*axes='CZYX' \(--axes"):
        read_stack(tmp_path / "a.tif")


def test_colours_are_channels_only_where_that_is_said(tmp_path):
    colour = np.moveaxis(STACK[:, :3], 1, -1)
    tifffile.imwrite(tmp_path / "rgb.tif", colour[0], photometric="rgb")
    with pytest.raises(GradcamoError, match=r"colour image.*axes='YXC'"):
        read_stack(tmp_path / "rgb.tif")
    check(read_stack(tmp_path / "rgb.tif", axes="YXC"), STACK[0, :3][:, None])


def test_a_plain_plane_needs_no_declaration(tmp_path):
    tifffile.imwrite(tmp_path / "plane.tif", STACK[0, 0])
    check(read_stack(tmp_path / "plane.tif"), STACK[:1, :1])


# -- bad files -----------------------------------------------------------------------------------

WRITTEN = {
    "plain": {},
    "pages": {"metadata": None},
    "zlib": {"compression": "zlib", "metadata": {"axes": "CZYX"}},
    "ome": {"ome": True, "metadata": OME},
    "ome-zlib": {"ome": True, "metadata": OME, "compression": "zlib"},
    "ome-tiled": {"ome": True, "metadata": OME, "compression": "zlib", "tile": (16, 16)},
    "ome-big": {"ome": True, "metadata": OME, "bigtiff": True},
    "imagej": {"imagej": True, "metadata": {"axes": "ZCYX"}},
}


@pytest.mark.parametrize("kind", WRITTEN)
def test_a_file_cut_anywhere_is_refused_when_it_is_opened(tmp_path, kind, caplog):
    path, cut = tmp_path / "whole.tif", tmp_path / "cut.tif"
    data = STACK.transpose(1, 0, 2, 3) if kind == "imagej" else STACK
    tifffile.imwrite(path, data, **WRITTEN[kind])
    axes = {"plain": "CZYX", "pages": "ZYX"}.get(kind)
    voxels = np.asarray(read_stack(path, axes).data)
    whole = path.read_bytes()
    for length in [0, 1, 7, 8, *np.linspace(9, len(whole) - 1, 60).astype(int)]:
        cut.write_bytes(whole[:length])
        if length > len(whole) - 8:  # padding, perhaps
            with contextlib.suppress(GradcamoError):
                check(read_stack(cut, axes), voxels)
        else:
            caplog.clear()
            with pytest.raises(GradcamoError, match=r"cut\.tif .*(truncated|damaged)"):
                read_stack(cut, axes)
            assert not caplog.records  # the error has said it


def test_what_the_parser_says_of_a_readable_file_is_heard(tmp_path, caplog):
    path = tmp_path / "odd.tif"
    tifffile.imwrite(path, STACK[0], software="a microscope of our own", metadata={"axes": "ZYX"})
    with tifffile.TiffFile(path) as tif:
        entry = tif.pages.first.tags["Software"].offset
    content = bytearray(path.read_bytes())
    content[entry + 8 : entry + 12] = b"\xff\xff\xff\x7f"  # where its text lies
    path.write_bytes(content)
    read_stack(path)
    assert "invalid value offset" in caplog.text


def test_what_is_no_image_is_refused_by_name(tmp_path):
    (tmp_path / "notes.tif").write_text("not an image")
    (tmp_path / "folder").mkdir()
    for name, reason in [("notes.tif", "damaged"), ("folder", "no OME-Zarr"), ("gone", "no image")]:
        with pytest.raises(GradcamoError, match=f"(?s){reason}") as error:
            read_stack(tmp_path / name)
        assert name in str(error.value)


def test_a_missing_sibling_of_a_split_ome_tiff_is_noticed(tmp_path):
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
            'Type="uint16" SizeX="32" SizeY="40" SizeZ="1" SizeC="2" SizeT="1">'
            f'<Channel ID="C:0"/><Channel ID="C:1"/>{parts}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / f"c{i}.ome.tif", STACK[i, 0], description=xml, metadata=None)
    check(read_stack(tmp_path / "c0.ome.tif"), STACK[:, :1])
    (tmp_path / "c1.ome.tif").unlink()
    with pytest.raises(GradcamoError, match="missing"):
        read_stack(tmp_path / "c0.ome.tif")


@pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts open files through /proc")
def test_no_file_stays_open(tmp_path):
    tifffile.imwrite(tmp_path / "a.ome.tif", STACK, metadata=OME, compression="zlib")
    tifffile.imwrite(tmp_path / "b.ome.tif", STACK, metadata=OME)
    (tmp_path / "c.tif").write_bytes((tmp_path / "a.ome.tif").read_bytes()[:4000])
    before = len(list(Path("/proc/self/fd").iterdir()))
    stacks = [read_stack(tmp_path / "a.ome.tif"), read_stack(tmp_path / "b.ome.tif")]
    with pytest.raises(GradcamoError):
        read_stack(tmp_path / "c.tif")
    for stack in stacks:
        stack.in_memory()
    gc.collect()
    # NumPy keeps the descriptor of what it maps, nothing else stays.
    assert len(list(Path("/proc/self/fd").iterdir())) <= before + 1


# -- OME-Zarr ------------------------------------------------------------------------------------


def image_group(path, version, data=STACK, order="czyx", units="micrometer", names=("DNA", "ER")):
    group = zarr.create_group(path, zarr_format=3 if version == "0.5" else 2, overwrite=True)
    chunks = (1,) * (data.ndim - 2) + (16, 16)
    group.create_array("0", shape=data.shape, dtype=data.dtype, chunks=chunks)[:] = data
    kinds = {"c": "channel", "t": "time"}
    axes = [
        {"name": a, "type": kinds[a]} if a in kinds else {"name": a, "type": "space", "unit": units}
        for a in order
    ]
    steps = {"c": 1, "t": 1, "z": 0.3, "y": 0.35, "x": 0.4}
    scale = {"type": "scale", "scale": [steps[a] for a in order]}
    double = {"type": "scale", "scale": [2.0 if a == "z" else 1.0 for a in order]}
    ome = {
        "multiscales": [
            {
                "version": version,
                "axes": axes,
                "datasets": [{"path": "0", "coordinateTransformations": [scale]}],
                "coordinateTransformations": [double],
            }
        ],
        "omero": {"channels": [{"label": name} for name in names]},
    }
    group.attrs.update({"ome": {"version": version, **ome}} if version == "0.5" else ome)
    return group


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_an_ome_zarr_brings_voxels_names_and_voxel_size(tmp_path, version):
    image_group(tmp_path / "a.ome.zarr", version)
    stack = read_stack(tmp_path / "a.ome.zarr")
    assert isinstance(stack.data, da.Array)
    check(stack)
    assert stack.channels == ("DNA", "ER")
    assert stack.spacing_um == pytest.approx((0.6, 0.35, 0.4))


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_ome_zarr_axes_in_any_order_and_unit(tmp_path, version):
    data = STACK.transpose(1, 0, 2, 3)[np.newaxis]
    image_group(tmp_path / "a.zarr", version, data, "tzcyx", units="nanometer")
    stack = read_stack(tmp_path / "a.zarr")
    check(stack)
    assert stack.spacing_um == pytest.approx((0.0006, 0.00035, 0.0004))
    image_group(tmp_path / "b.zarr", version, STACK[0], "zyx", units=None, names=())
    plain = read_stack(tmp_path / "b.zarr")
    check(plain, STACK[:1])
    assert plain.spacing_um is None
    assert plain.channels == ("channel 0",)


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_labels_inside_an_ome_zarr(tmp_path, version):
    image = image_group(tmp_path / "a.zarr", version)
    cells = (STACK[0] // 400).astype(np.uint32)
    image_group(tmp_path / "a.zarr" / "labels" / "cells", version, cells, "zyx", names=())
    labels = image.require_group("labels")
    labels.attrs.update(
        {"labels": ["cells"]} if version == "0.4" else {"ome": {"labels": ["cells"]}}
    )
    np.testing.assert_array_equal(read_labels(tmp_path / "a.zarr" / "labels" / "cells"), cells)
    np.testing.assert_array_equal(read_labels(tmp_path / "a.zarr" / "labels"), cells)


def test_a_converted_container_with_one_image_is_that_image(tmp_path):
    group = zarr.create_group(tmp_path / "a.zarr", zarr_format=2)
    group.attrs["bioformats2raw.layout"] = 3
    image_group(tmp_path / "a.zarr" / "0", "0.4")
    check(read_stack(tmp_path / "a.zarr"))
    image_group(tmp_path / "a.zarr" / "1", "0.4")
    with pytest.raises(GradcamoError, match="holds 2 images"):
        read_stack(tmp_path / "a.zarr")


def test_zarr_folders_that_are_no_image_say_what_they_are(tmp_path):
    plate = zarr.create_group(tmp_path / "p.zarr", zarr_format=2)
    plate.attrs["plate"] = {"wells": [{"path": "B/03"}]}
    with pytest.raises(GradcamoError, match=r"read_plate.*B/03/0"):
        read_stack(tmp_path / "p.zarr")
    zarr.create_group(tmp_path / "empty.zarr", zarr_format=2)
    with pytest.raises(GradcamoError, match="multiscales"):
        read_stack(tmp_path / "empty.zarr")
    image_group(tmp_path / "half.zarr", "0.4")
    for name in (".zarray", "zarr.json"):
        (tmp_path / "half.zarr" / "0" / name).unlink(missing_ok=True)
    with pytest.raises(GradcamoError, match=r"half\.zarr.*first resolution"):
        read_stack(tmp_path / "half.zarr")


# -- labels --------------------------------------------------------------------------------------


@pytest.mark.parametrize(("highest", "dtype"), [(65535, np.uint16), (2**32 - 1, np.uint32)])
def test_labels_come_back_as_they_were_written(tmp_path, highest, dtype):
    labels = np.zeros((3, 20, 30), np.int64)
    labels[1, 2:9, 4:8], labels[2, 10:, 20:] = 7, highest
    write_labels(tmp_path / "l.tif", labels, (0.6, 0.35, 0.35))
    read = read_labels(tmp_path / "l.tif")
    np.testing.assert_array_equal(read, labels)
    assert read.dtype == dtype
    assert read_stack(tmp_path / "l.tif").spacing_um == (0.6, 0.35, 0.35)
    with tifffile.TiffFile(tmp_path / "l.tif") as tif:
        assert tif.is_ome
        assert tif.pages[0].compression == tifffile.COMPRESSION.ADOBE_DEFLATE


def test_cellpose_style_masks_without_declared_axes_are_planes(tmp_path):
    tifffile.imwrite(tmp_path / "m.tif", STACK[0])
    np.testing.assert_array_equal(read_labels(tmp_path / "m.tif"), STACK[0])
    tifffile.imwrite(tmp_path / "p.tif", STACK[0, 0])
    np.testing.assert_array_equal(read_labels(tmp_path / "p.tif"), STACK[0, :1])


def test_labels_in_floats_are_read_where_they_are_whole_numbers(tmp_path):
    tifffile.imwrite(tmp_path / "f.tif", STACK[0].astype(np.float32))
    read = read_labels(tmp_path / "f.tif")
    np.testing.assert_array_equal(read, STACK[0])
    assert read.dtype == np.uint16
    for bad in (0.5, np.nan, np.inf):
        tifffile.imwrite(tmp_path / "f.tif", np.full((2, 8, 8), bad, np.float32))
        with pytest.raises(GradcamoError, match="fractions"):
            read_labels(tmp_path / "f.tif")


def test_what_cannot_be_labels_is_refused(tmp_path):
    tifffile.imwrite(tmp_path / "n.tif", np.full((2, 8, 8), -1, np.int16))
    with pytest.raises(GradcamoError, match="from -1"):
        read_labels(tmp_path / "n.tif")
    tifffile.imwrite(tmp_path / "c.ome.tif", STACK, metadata=OME)
    with pytest.raises(GradcamoError, match="2 channels"):
        read_labels(tmp_path / "c.ome.tif")


@pytest.mark.parametrize(
    "labels",
    [np.zeros((4, 4), int), np.zeros((1, 4, 4)), np.full((1, 4, 4), -1), np.full((1, 4, 4), 2**32)],
    ids=["2D", "float", "negative", "huge"],
)
def test_labels_that_no_file_can_hold_are_not_written(tmp_path, labels):
    with pytest.raises(GradcamoError):
        write_labels(tmp_path / "l.tif", labels)
    assert list(tmp_path.iterdir()) == []


# -- real stacks ---------------------------------------------------------------------------------

REAL = Path(os.environ.get("GRADCAMO_REALDATA", Path(__file__).parents[2] / "shared" / "realdata"))
real = [
    pytest.mark.realdata,
    pytest.mark.skipif(not REAL.is_dir(), reason=f"no real stacks in {REAL} ($GRADCAMO_REALDATA)"),
]
LSTREE = ((2, 27, 175, 173), (2.0, 0.26, 0.26), ("nuclei_561", "cell_488"))


class TestRealStacks:
    pytestmark = real

    @pytest.mark.parametrize(
        ("name", "shape", "spacing", "channels"),
        [
            *[(f"lstree_budding_T030{i}", *LSTREE) for i in (1, 2, 3)],
            (
                "scmultiplex_organoid36",
                (2, 44, 126, 132),
                (0.6, 0.216, 0.216),
                ("C01_nuclei", "C04_membrane"),
            ),
            (
                "serra2019_organoid1",
                (2, 15, 246, 248),
                (2.0, 0.1625, 0.1625),
                ("C01_nuclei", "C04_cellbody"),
            ),
        ],
    )
    def test_real_stacks_open_with_their_metadata(self, name, shape, spacing, channels):
        path = REAL / f"{name}.ome.tif"
        stack = read_stack(path)
        assert (stack.shape, stack.spacing_um, stack.channels) == (shape, spacing, channels)
        check(stack, tifffile.imread(path))
        for labels in REAL.glob(f"{name}_*_labels.ome.tif"):
            cells = read_labels(labels)
            assert cells.shape == shape[1:]
            assert cells.max() > 0

    def test_real_planes_open_as_stacks_of_one_plane(self):
        stack = read_stack(REAL / "bbbc022_U2OS_A02_s9_CYX.tif")
        assert stack.shape == (3, 1, 395, 695)
        paths = sorted((REAL / "nf1_2d").glob("*.tif*"))
        assert len(paths) == 12
        for path in paths:
            check(read_stack(path), tifffile.imread(path)[None, None])


def test_reading_is_lazy_in_what_it_imports():
    # Dask and zarr wait until a file needs them; --help must be quick.
    import subprocess

    code = "import sys, gradcamo.files.stacks; print({'dask', 'zarr'} & set(sys.modules))"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "set()"


def test_many_files_opened_at_once_know_their_voxel_size(tmp_path):
    write_stack(tmp_path / "a.ome.tif", ZStack(np.ones((1, 2, 8, 8)), ("a",), (0.6, 1, 1)))
    code = (
        "import sys, gradcamo as gc\n"
        "from gradcamo.files.many import each\n"
        "found = each(lambda _: gc.read_stack(sys.argv[1]).spacing_um, range(64))\n"
        "print(set(found))"
    )  # where nobody knows a unit yet
    command = [sys.executable, "-c", code, tmp_path / "a.ome.tif"]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert said.strip() == "{(0.6, 1.0, 1.0)}"
