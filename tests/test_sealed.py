"""What is kept is kept: a flipped bit is found where a file is read, whatever it is."""

import json
import shutil
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from causal_cases import known
from test_causal_bank import wells

import gradcamo as gc
from gradcamo import DonorBank, GradcamoError
from gradcamo.errors import GradcamoWarning
from gradcamo.files.heatmaps import write_maps
from gradcamo.files.kept import _says_damage, read_kept, write_marks
from gradcamo.files.labels import read_labels, write_labels
from gradcamo.files.seal import blank_zip_seal, check_seal, seal
from gradcamo.files.store import read_profiles, write_table
from gradcamo.networks.checkpoint import Checkpoint
from gradcamo.plate.folder import load_named


def flipped(path, bit):
    """Flip one bit of a file."""
    content = bytearray(path.read_bytes())
    content[bit // 8] ^= 1 << bit % 8
    path.write_bytes(content)


def some_bits(path, n, seed=0):
    return np.random.default_rng(seed).integers(0, path.stat().st_size * 8, n).tolist()


@pytest.fixture
def table(random):
    n = 40
    columns = {"label": np.arange(1, n + 1), "grad_camo": random.random(n)}
    return pd.DataFrame({**columns, "flagged": random.random(n) > 0.5, "well": ["B02"] * n})


@pytest.mark.parametrize("suffix", [".parquet", ".h5ad"])
def test_no_bit_of_a_table_flips_in_silence(table, random, tmp_path, suffix):
    path, profiles = tmp_path / f"cells{suffix}", random.random((40, 16)).astype(np.float32)
    write_table(table, path, {"layer": "block_2"}, profiles)
    whole, silent = path.read_bytes(), 0
    written = read_profiles(path)
    for bit in some_bits(path, 200):
        flipped(path, bit)
        try:
            read = read_profiles(path)
        except GradcamoError:
            pass
        else:  # the bit was one of the mark before the seal, and of nothing else
            same = np.array_equal(read.values, written.values) and read.table.equals(written.table)
            silent += not (same and read.recipe == written.recipe)
        path.write_bytes(whole)
    assert silent == 0


def test_no_bit_of_a_chunk_of_an_ome_zarr_flips_in_silence(random, tmp_path):
    data = random.integers(100, 4000, (2, 20, 60, 50)).astype(np.uint16)
    data[0, :5] = 7  # what packs best
    labels = np.repeat(np.arange(20, dtype=np.uint16), 3000).reshape(20, 60, 50)
    store = tmp_path / "a.ome.zarr"
    gc.write_stack(store, gc.ZStack(data, ("DNA", "ER")), labels)
    (store / "0/c/1/1/0/0").stat()  # two channels of two chunks
    chunks = sorted(path for path in store.rglob("*") if path.is_file() and "c" in path.parts)
    assert len(chunks) == 6
    silent = unnamed = 0
    for path in chunks:
        chunk, whole = "/".join(path.parts[path.parts.index("c") :]), path.read_bytes()
        for bit in [0, 33, 36, *some_bits(path, 40)]:
            flipped(path, bit)
            try:
                read = np.asarray(gc.read_stack(store).data)
                seen = read_labels(store / "labels/cells")
                silent += not (np.array_equal(read, data) and np.array_equal(seen, labels))
            except GradcamoError as error:
                unnamed += not ("a.ome.zarr" in str(error) and chunk in str(error))
            path.write_bytes(whole)
    assert (silent, unnamed) == (0, 0)


def test_a_csv_that_was_edited_is_read_and_said_and_never_lost(table, tmp_path):
    path = tmp_path / "cells.csv"
    write_table(table, path, {"layer": "block_2", "cautions": ["few cells"]})
    assert gc.read_table(path).attrs["recipe"]["cautions"] == ["few cells"]
    text = path.read_text()
    path.write_text(text.replace("B02", "B03", 1))
    with pytest.warns(GradcamoWarning, match=r"cells\.csv was changed since it was written"):
        read = gc.read_table(path)
    assert read["well"].tolist() == ["B03", *["B02"] * 39]
    assert "was changed since" in read.attrs["recipe"]["cautions"][1]
    with pytest.warns(GradcamoWarning, match=r"kept as cells\.changed-[0-9a-f]{6}\.csv"):
        write_table(table, path)
    assert path.read_text() == text
    (copy,) = tmp_path.glob("*.changed-*")
    assert copy.read_text() == text.replace("B02", "B03", 1)
    write_table(table, path)  # as it was written: no copy
    assert len(list(tmp_path.iterdir())) == 3


def test_a_csv_without_a_note_of_what_was_written_is_read_as_before(table, tmp_path):
    path = tmp_path / "cells.csv"
    write_table(table, path, {"layer": "block_2"})
    beside = tmp_path / "cells.recipe.json"
    noted = json.loads(beside.read_text())
    beside.write_text(json.dumps({k: v for k, v in noted.items() if k not in ("seal", "sha256")}))
    path.write_text(path.read_text().replace("B02", "B03"))
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert set(gc.read_table(path)["well"]) == {"B03"}
        write_table(table, path)
    assert len(list(tmp_path.iterdir())) == 2


def test_no_bit_of_a_csv_or_its_recipe_flips_in_silence(table, tmp_path):
    path = tmp_path / "cells.csv"
    write_table(table, path, {"layer": "block_2"})
    for file in (path, tmp_path / "cells.recipe.json"):
        whole = file.read_bytes()
        mark = whole.rfind(b"gradcamo-seal-")
        for bit in some_bits(file, 60):
            if mark <= bit // 8 < mark + 14:
                continue
            flipped(file, bit)
            with warnings.catch_warnings():
                warnings.simplefilter("error")
                with pytest.raises((GradcamoError, GradcamoWarning)):
                    gc.read_table(path)
            file.write_bytes(whole)


def _labels(folder):
    write_labels(folder / "file.ome.tif", np.arange(2 * 9 * 9, dtype=np.uint16).reshape(2, 9, 9))
    return read_labels


def _bank(folder):
    DonorBank.cut(wells(1), known(lambda o, u, b: o)).save(folder / "file.npz")
    return DonorBank.load


def _marks(folder):
    marks = {"cutoff": 0.5, "flagged_by_hand": {"12": True}, "notes": {"12": "dim"}}
    home = folder / "file"
    write_marks([home], marks)

    def read(path):
        if (kept := read_kept([home])).damaged:
            raise GradcamoError(kept.damaged[0])

    return read


def _state(folder):
    torch.save(
        {"gradcamo": {"settings": {}, "cells": ""}, "w": torch.ones(8)}, folder / "file.state"
    )
    blank_zip_seal(folder / "file.state")
    seal(folder / "file.state")
    from gradcamo.training.state import _read

    return _read


def _map(folder):
    (path,) = write_maps(folder, [7], [np.ones((2, 9, 9))], [(0, 0, 0)])
    path.rename(folder / "file.ome.tif")
    return check_seal


@pytest.mark.parametrize("write", [_labels, _bank, _marks, _state, _map])
def test_every_kind_of_file_knows_that_it_was_damaged(write, tmp_path):
    read = write(tmp_path)
    (path,) = tmp_path.iterdir()
    read(path)
    check_seal(path, required=True)
    whole = path.read_bytes()
    mark = whole.rfind(b"gradcamo-seal-")
    for bit in some_bits(path, 25):
        if mark <= bit // 8 < mark + 14:  # says no more that there is a seal, and nothing else
            continue
        flipped(path, bit)
        with pytest.raises(GradcamoError):
            read(path)
        for other in tmp_path.iterdir():  # what was set aside
            other.unlink()
        path.write_bytes(whole)


def test_a_checkpoint_with_another_weight_is_refused(tiny_model, tmp_path):
    path = tmp_path / "model.safetensors"
    checkpoint = Checkpoint.load(tiny_model)
    checkpoint.save(path)
    assert Checkpoint.load(path).hash == checkpoint.hash
    flipped(path, path.stat().st_size * 8 - 2)
    with pytest.raises(GradcamoError, match="not what was written"):
        Checkpoint.load(path)


def test_files_of_other_tools_are_read_as_before(tmp_path):
    pd.DataFrame({"label": [1], "grad_camo": [0.5]}).to_parquet(tmp_path / "cells.parquet")
    assert len(gc.read_table(tmp_path / "cells.parquet")) == 1
    with pytest.raises(GradcamoError, match="has no seal"):
        check_seal(tmp_path / "cells.parquet", required=True)


def test_what_was_edited_with_other_tools_is_no_longer_sealed(table, tmp_path):
    path = tmp_path / "cells.parquet"
    write_table(table, path)
    pd.read_parquet(path).assign(mine=1).to_parquet(path)
    assert "mine" in gc.read_table(path)


@pytest.fixture
def rerun(eight_stacks, tiny_model, finished, tmp_path):
    """A folder of results, and how to run its plate again in this process."""
    from distributed import LocalCluster

    out = shutil.copytree(finished, tmp_path / "out")
    settings = gc.PlateSettings(umap_cells=0, workers=2, thumbnails=3)

    def again(plate=eight_stacks, out=out, model=tiny_model):
        with LocalCluster(
            n_workers=1, threads_per_worker=1, processes=False, dashboard_address=None
        ) as cluster:
            return gc.audit_plate(plate, model, out, settings, cluster.scheduler_address)

    return out, again


def contents(out):
    """The bytes of all cells' files, and the plate's table."""
    files = {path.name: path.read_bytes() for path in (out / "cells").rglob("*.parquet")}
    return files, gc.read_table(out / "cells.parquet")


@pytest.mark.skipif(not Path("/proc/self/mem").exists(), reason="needs a file that is not read")
def test_a_kept_file_that_cannot_be_read_now_is_not_called_damaged(tmp_path):
    home = tmp_path / "labels.gradcamo-0"
    marks = tmp_path / f"{home.name}.json"
    marks.symlink_to("/proc/self/mem")  # reading fails as that of a broken disk does
    with pytest.raises(GradcamoError, match=r"cannot be read now .*: it stays as it is"):
        read_kept([home])
    assert [path.name for path in tmp_path.iterdir()] == [marks.name]
    for error in (MemoryError(), PermissionError(13, "no"), ImportError("no pyarrow")):
        told = GradcamoError("it cannot be read")
        told.__cause__ = error
        assert not _says_damage(told)
    assert _says_damage(OSError("Corrupt snappy compressed data."))
    marks.unlink()
    marks.write_text("{")
    (said,) = read_kept([home]).damaged
    assert f"set aside as {marks.name}.damaged-" in said


def test_damaged_files_of_a_plate_are_named_and_made_again(rerun, finished):
    out, again = rerun
    cells, pictures = (sorted((out / of).rglob("*.parquet")) for of in ("cells", "thumbnails"))
    (network,) = out.glob("checkpoint-*")
    for path, at in ((cells[0], 0.3), (pictures[1], 0.5), (network, 0.9), (cells[2], 1)):
        flipped(path, int(path.stat().st_size * 8 * at) - 9)
    flipped(out / "cells.parquet", 80_000)
    summary = again()
    assert (summary.exit_status, summary.computed) == (0, 3)
    assert set(summary.mended) == {
        str(p.relative_to(out)) for p in (cells[0], pictures[1], cells[2])
    }
    assert f"damaged, and made again: {summary.mended[0]}" in str(summary)
    pd.testing.assert_frame_equal(contents(out)[1], contents(finished)[1])
    again = again()
    assert (again.computed, again.mended) == (0, ())


def test_a_table_of_a_plate_that_was_edited_is_kept_named_and_written_anew(rerun, finished):
    from gradcamo.report import write_report

    out, again = rerun
    path = out / "confounding.csv"
    before = path.read_bytes()
    path.write_bytes(before + b"mine\n")
    with pytest.raises(GradcamoError, match=r"confounding\.csv was changed since it was written"):
        write_report(out, out / "report.html")
    summary = again()
    (copy,) = summary.aside
    assert f"kept as {copy}" in str(summary)
    assert (out / copy).read_bytes() == before + b"mine\n"
    assert path.read_bytes() == before
    assert again().aside == ()
    write_report(out, out / "report.html")


def test_a_network_under_anothers_name_is_not_used(rerun, tiny_model):
    out, again = rerun
    (path,) = out.glob("checkpoint-*")
    right = path.read_bytes()
    other = Checkpoint.load(tiny_model)
    other.recipe["note"] = "another"
    object.__setattr__(other, "channel_mean", tuple(m + 1 for m in other.channel_mean))
    other.save(path)
    with pytest.raises(GradcamoError, match="another network"):
        load_named(path, Checkpoint.load, "network")
    assert again().exit_status == 0
    assert path.read_bytes() == right


def test_a_folder_that_was_moved_or_copied_with_its_images_computes_nothing(
    rerun, eight_stacks, tmp_path
):
    _, again = rerun
    here = tmp_path / "here"
    here.mkdir()
    shutil.copytree(eight_stacks.parent, here / "plate")
    assert again(here / "plate" / "plate.csv", here / "out").computed == 8
    moved = here.rename(tmp_path / "there")
    summary = again(moved / "plate" / "plate.csv", moved / "out")
    assert (summary.computed, summary.exit_status) == (0, 0)
    table = gc.read_table(moved / "out" / "cells.parquet")
    assert all(Path(path).exists() for path in table["image"])
    assert table["pictured"].any()
    assert "data:image/jpeg" in (moved / "out" / "report.html").read_text()
    copied = shutil.copytree(moved, tmp_path / "copied", copy_function=shutil.copy)  # new times
    summary = again(copied / "plate" / "plate.csv", copied / "out")
    assert summary.computed == 0
    image = Path(gc.read_plate(copied / "plate" / "plate.csv")["image"][0])
    flipped(image, image.stat().st_size * 4)  # one voxel
    assert again(copied / "plate" / "plate.csv", copied / "out").computed == 1


def test_new_tables_never_stand_beside_an_old_report(rerun, monkeypatch):
    out, again = rerun
    before = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    import gradcamo.report as report

    def full(*_):
        raise GradcamoError("no room")

    monkeypatch.setattr(report, "write_plate_report", full)
    flipped(next((out / "cells").rglob("*.parquet")), 999)
    summary = again()
    assert summary.trouble == "no room"
    after = {path.name: path.read_bytes() for path in out.iterdir() if path.is_file()}
    assert json.loads(after.pop("summary.json"))["trouble"] == "no room"
    before.pop("summary.json")
    assert after == before
    assert not list(out.glob(".together-*"))
