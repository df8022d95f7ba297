import os
import pickle
import time
import warnings
from pathlib import Path

import numpy as np
import psutil
import pytest
import tifffile

from gradcamo.errors import GradcamoError, GradcamoWarning
from gradcamo.files.gaps import is_there
from gradcamo.files.stacks import read_stack
from gradcamo.files.stamp import stamp

STACK = np.random.default_rng(0).integers(0, 4000, (3, 12, 20, 16)).astype(np.uint16)


def write_planes(folder: Path, name: str, stack: np.ndarray = STACK, **options) -> Path:
    """One file per channel and plane; the name holds {c} and {z}."""
    for c, channel in enumerate(stack):
        for z, plane in enumerate(channel):
            path = folder / name.format(c=c + 1, z=z + 1)
            path.parent.mkdir(parents=True, exist_ok=True)
            tifffile.imwrite(path, plane, **{"metadata": None, **options})
    return folder


def check(stack, data=STACK):
    np.testing.assert_array_equal(np.asarray(stack.data), data)


def test_a_name_with_gaps_is_a_stack_in_natural_order(tmp_path):
    write_planes(tmp_path, "B02_z{z}_w{c}.tif")
    stack = read_stack(tmp_path / "B02_z{z}_w{channel}.tif")
    check(stack)
    assert stack.channels == ("1", "2", "3")
    assert stack.source == str(tmp_path / "B02_z{z}_w{channel}.tif")
    assert stack.data.chunks == ((1,) * 3, (1,) * 12, (20,), (16,))
    np.testing.assert_array_equal(stack.data[1, 9].compute(), STACK[1, 9])


def test_channel_10_comes_after_channel_2(tmp_path):
    write_planes(tmp_path, "w{c}_z{z}.tif", STACK.transpose(1, 0, 2, 3))
    stack = read_stack(tmp_path / "w{channel}_z{z}.tif")
    assert stack.channels == tuple(str(n) for n in range(1, 13))
    check(stack, STACK.transpose(1, 0, 2, 3))


def test_gaps_may_lie_in_folders_and_a_star_stands_for_anything(tmp_path):
    write_planes(tmp_path, "Z{z}/B02_A{c}_w{c}.tif")
    check(read_stack(tmp_path / "Z{z}" / "B02_A*_w{channel}.tif"))
    check(read_stack(tmp_path / "Z{z}" / "B02_A*_w2.tif"), STACK[1:2])
    check(read_stack(tmp_path / "Z7" / "B02_A*_w{channel}.tif"), STACK[:, 6:7])


def test_a_file_may_hold_all_planes_of_a_channel_or_all_channels_of_a_plane(tmp_path):
    for c, channel in enumerate(STACK):
        tifffile.imwrite(tmp_path / f"s_{'abc'[c]}.tif", channel)  # declares no axes
        tifffile.imwrite(tmp_path / f"t_{c}.ome.tif", channel[:3], metadata={"axes": "TYX"})
    for z in range(4):
        tifffile.imwrite(tmp_path / f"p{z}.ome.tif", STACK[:, z], metadata={"axes": "CYX"})
    stack = read_stack(tmp_path / "s_{channel}.tif")
    check(stack)
    assert stack.channels == ("a", "b", "c")
    check(read_stack(tmp_path / "p{z}.ome.tif"), STACK[:, :4])
    with pytest.raises(GradcamoError, match=r"t_0\.ome\.tif has 3 time points.*axes='ZYX'"):
        read_stack(tmp_path / "t_{channel}.ome.tif")
    check(read_stack(tmp_path / "t_{channel}.ome.tif", axes="ZYX"), STACK[:, :3])


def test_four_planes_that_the_writer_called_colours_are_planes_of_their_channel(tmp_path):
    for c, channel in enumerate(STACK):
        tifffile.imwrite(
            tmp_path / f"C4_{c}.tif", channel[:4], photometric="rgb", planarconfig="separate"
        )
    check(read_stack(tmp_path / "C4_{channel}.tif"), STACK[:, :4])


def test_each_plane_is_there_once_and_what_is_missing_is_named(tmp_path):
    write_planes(tmp_path, "B02_z{z:02d}_w{c}.tif")
    name = tmp_path / "B02_z{z}_w{channel}.tif"
    (tmp_path / "B02_z05_w2.tif").unlink()
    with pytest.raises(GradcamoError, match=r"lacks plane 05 of channel 2: .*/B02_z05_w2\.tif"):
        read_stack(name)
    for c in (1, 3):
        (tmp_path / f"B02_z05_w{c}.tif").unlink()
    with pytest.raises(GradcamoError, match=r"lacks plane 05 of channel 1 and 2 more"):
        read_stack(name)


def test_two_files_for_one_plane_are_named(tmp_path):
    write_planes(tmp_path, "z{z}_w{c}.tif")
    tifffile.imwrite(tmp_path / "z03_w2.tif", STACK[0, 0])
    with pytest.raises(GradcamoError, match=r"two files for plane 0?3 of channel 2.*z03_w2.*z3_w2"):
        read_stack(tmp_path / "z{z}_w{channel}.tif")
    (tmp_path / "z03_w2.tif").rename(tmp_path / "z3_w02.tif")
    with pytest.raises(GradcamoError, match=r"writes one channel as 0?2 and 0?2"):
        read_stack(tmp_path / "z{z}_w{channel}.tif")


def test_planes_numbered_in_equal_steps_are_complete(tmp_path):
    for z in range(5):
        tifffile.imwrite(tmp_path / f"z{600 * z:04d}.tif", STACK[0, z])
    check(read_stack(tmp_path / "z{z}.tif"), STACK[:1, :5])


@pytest.mark.parametrize(
    ("plane", "said"),
    [
        (STACK[0, 0, :10], r"\(1, 1, 10, 16\).*\(1, 1, 20, 16\)"),
        (STACK[0, 0] / 2, "float64.*uint16"),
    ],
)
def test_planes_that_are_not_alike_are_named(tmp_path, plane, said):
    write_planes(tmp_path, "z{z}_w{c}.tif")
    tifffile.imwrite(tmp_path / "z4_w2.tif", plane)
    with pytest.raises(GradcamoError, match=r"z4_w2\.tif is .*" + said):
        read_stack(tmp_path / "z{z}_w{channel}.tif")


def test_a_damaged_plane_is_named(tmp_path):
    write_planes(tmp_path, "z{z}_w{c}.tif")
    path = tmp_path / "z4_w2.tif"
    path.write_bytes(path.read_bytes()[:-50])
    with pytest.raises(GradcamoError, match=r"z4_w2\.tif is truncated"):
        read_stack(tmp_path / "z{z}_w{channel}.tif")


def test_time_points_are_refused_and_one_may_be_written_out(tmp_path):
    for t in (1, 2):
        write_planes(tmp_path, f"T{t}/z{{z}}.tif", STACK[:1])
    with pytest.raises(GradcamoError, match=r"time points 1, 2.*T1/z\{z\}\.tif"):
        read_stack(tmp_path / "T{t}" / "z{z}.tif")
    check(read_stack(tmp_path / "T2" / "z{z}.tif"), STACK[:1])


def test_a_name_that_exists_as_it_stands_has_no_gaps(tmp_path):
    tifffile.imwrite(tmp_path / "a{z}*.tif", STACK[0, 0])
    check(read_stack(tmp_path / "a{z}*.tif"), STACK[:1, :1])
    folder = tmp_path / "run {z} *"
    write_planes(folder, "z{z}_w{c}.tif")
    check(read_stack(folder / "z{z}_w{channel}.tif"))
    assert is_there(folder / "z{z}_w1.tif")
    assert not is_there(folder / "y{z}_w1.tif")
    with pytest.raises(GradcamoError, match="no file is named like"):
        read_stack(folder / "y{z}_w{channel}.tif")


def test_words_in_names_win_and_numbers_give_way_to_what_the_files_say(tmp_path):
    for number, word in (("1", "DNA"), ("2", "ER")):
        for z, place in enumerate((10.0, 8.5, 7.0)):
            described = {
                "axes": "YX",
                "Channel": {"Name": f"said {word}"},
                "PhysicalSizeX": 0.35,
                "PhysicalSizeY": 0.35,
                "Plane": {"PositionZ": place},
            }
            for name in (number, word):
                path = tmp_path / f"z{z}_{name}.ome.tif"
                tifffile.imwrite(path, STACK[0, z], metadata=described)
    numbers = read_stack(tmp_path / "z{z}_{channel:d}.ome.tif")
    assert numbers.channels == ("said DNA", "said ER")
    assert numbers.spacing_um == (1.5, 0.35, 0.35)
    for path in tmp_path.glob("z*_[12].ome.tif"):
        path.unlink()
    assert read_stack(tmp_path / "z{z}_{channel}.ome.tif").channels == ("DNA", "ER")


def test_planes_at_uneven_places_have_no_step_and_it_is_said(tmp_path):
    for z, place in enumerate((0.0, 1.0, 3.0)):
        described = {"axes": "YX", "PhysicalSizeX": 1, "PhysicalSizeY": 1}
        tifffile.imwrite(
            tmp_path / f"z{z}.ome.tif",
            STACK[0, z],
            metadata=described | {"Plane": {"PositionZ": place}},
        )
    with pytest.warns(GradcamoWarning, match=r"1 to 2 µm apart"):
        stack = read_stack(tmp_path / "z{z}.ome.tif")
    assert stack.spacing_um in (None, (None, 1.0, 1.0))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert read_stack(tmp_path / "z0.ome.tif").shape == (1, 1, 20, 16)


def test_a_stack_of_files_travels_and_holds_no_file_open(tmp_path):
    write_planes(tmp_path, "z{z}_w{c}.tif")
    before = psutil.Process().num_fds()
    stack = read_stack(tmp_path / "z{z}_w{channel}.tif")
    again = pickle.loads(pickle.dumps(stack.data))
    np.testing.assert_array_equal(again.compute(), STACK)
    assert psutil.Process().num_fds() <= before + 2


def test_the_stamp_of_a_stack_is_that_of_all_its_files(tmp_path):
    write_planes(tmp_path, "z{z}_w{c}.tif")
    name = tmp_path / "z{z}_w{channel}.tif"
    first = stamp(name)
    assert stamp(str(name)) == first
    assert first[0] == sum(p.stat().st_size for p in tmp_path.iterdir())
    os.utime(tmp_path / "z11_w3.tif", ns=(1, 1))
    assert stamp(name) != first
    second = stamp(name)
    (tmp_path / "unrelated.tif").write_bytes(b"x")
    assert stamp(name) == second


def test_the_second_file_of_an_ome_tiff_counts(tmp_path):
    """As Bio-Formats writes sets: every file describes all of them."""
    description = "".join(
        f'<TiffData FirstZ="{z}" IFD="0" PlaneCount="1"><UUID FileName="p{z}.ome.tif">'
        f"urn:uuid:{z}</UUID></TiffData>"
        for z in range(2)
    )
    for z in range(2):
        text = (
            '<?xml version="1.0"?><OME xmlns="http://www.openmicroscopy.org/Schemas/OME/2016-06" '
            f'UUID="urn:uuid:{z}"><Image ID="Image:0"><Pixels ID="Pixels:0" DimensionOrder="XYZCT" '
            'Type="uint16" SizeX="16" SizeY="20" SizeZ="2" SizeC="1" SizeT="1">'
            f'<Channel ID="Channel:0:0" SamplesPerPixel="1"/>{description}</Pixels></Image></OME>'
        )
        tifffile.imwrite(tmp_path / f"p{z}.ome.tif", STACK[0, z], description=text, metadata=None)
    check(read_stack(tmp_path / "p0.ome.tif"), STACK[:1, :2])
    first = stamp(tmp_path / "p0.ome.tif")
    os.utime(tmp_path / "p1.ome.tif", ns=(1, 1))
    assert stamp(tmp_path / "p0.ome.tif") != first


def test_a_file_that_comes_later_is_seen(tmp_path):
    write_planes(tmp_path, "z{z}.tif", STACK[:1, :3])
    os.utime(tmp_path, (time.time() - 60,) * 2)
    assert read_stack(tmp_path / "z{z}.tif").shape[1] == 3
    tifffile.imwrite(tmp_path / "z4.tif", STACK[0, 3])
    assert read_stack(tmp_path / "z{z}.tif").shape[1] == 4


def test_a_file_that_comes_within_the_clock_s_tick_is_seen(tmp_path):
    write_planes(tmp_path, "z{z}.tif", STACK[:1, :3])
    changed = tmp_path.stat().st_mtime_ns
    assert read_stack(tmp_path / "z{z}.tif").shape[1] == 3
    tifffile.imwrite(tmp_path / "z4.tif", STACK[0, 3])
    os.utime(tmp_path, ns=(changed, changed))  # as where the clock had not moved on
    assert read_stack(tmp_path / "z{z}.tif").shape[1] == 4
