"""The donor bank and the fill of a draw."""

from dataclasses import replace
from zipfile import ZipFile

import numpy as np
import pytest
import torch
from causal_cases import known, tiles
from test_causal import CONTROL, TREATED, crowd, crowd_bank, resnet

from gradcamo import CausalSettings, DonorBank, GradcamoError
from gradcamo.causal import lot
from gradcamo.causal.donors import Donors, Place
from gradcamo.causal.fill import (
    Pair,
    _around,
    _nearest,
    _nearest_in_tree,
    draw_pairs,
    fill,
    surface,
    turned,
)
from gradcamo.causal.game import drawn_pairs
from gradcamo.causal.lot import content_hash
from gradcamo.causal.question import question
from gradcamo.causal.regions import BACKGROUND, NEIGHBOUR, OUTSIDE, OWN, raw_cell
from gradcamo.cells.crops import CellCrops
from gradcamo.datatypes import ZStack
from gradcamo.errors import GradcamoWarning


def wells(per_well=4):
    made = []
    for n, (name, values) in enumerate({"control": CONTROL, "treated": TREATED}.items()):
        for well in range(2):
            stack, labels = tiles([values] * per_well, source=f"{name}{well}.tif")
            stack.data[0, 0, 0, 0] = 1 + n + 2 * well
            cells = {i + 1: name for i in range(per_well)}
            made.append((stack, labels, cells, "P", f"{'AB'[n]}0{well + 2}"))
    return made


@pytest.fixture
def checkpoint():
    return known(lambda o, u, b: o)


def test_a_bank_comes_back_from_its_file_as_it_was(checkpoint, tmp_path):
    bank = DonorBank.cut(wells(), checkpoint)
    bank.save(tmp_path / "bank.npz")
    again = DonorBank.load(tmp_path / "bank.npz")
    np.testing.assert_array_equal(again.voxels, bank.voxels)
    assert again.voxels.dtype == np.uint16
    np.testing.assert_array_equal(again.kinds, bank.kinds)
    for name in ("classes", "stacks", "channels", "control", "spacing_um", "recipe", "hash"):
        assert getattr(again, name) == getattr(bank, name), name
    assert again.control == "control"
    assert str(bank).startswith("16 donors of 4 wells (control: 8, treated: 8)")


def test_the_lot_does_not_depend_on_the_order_of_stacks(checkpoint):
    first = DonorBank.cut(wells(), checkpoint, per_class=3)
    again = DonorBank.cut(wells()[::-1], checkpoint, per_class=3)
    assert first.hash == again.hash
    assert DonorBank.cut(wells(), checkpoint, per_class=3, seed=1).hash != first.hash


def test_donors_are_spread_over_the_stacks(checkpoint):
    bank = DonorBank.cut(wells(), checkpoint, per_class=4)
    assert np.bincount(bank.origin).tolist() == [2, 2, 2, 2]


def test_cells_without_a_class_and_partial_ones_take_no_part():
    stack, labels = crowd(1)
    crops = CellCrops(stack, labels)
    whole = set(crops.table.loc[crops.scorable, "label"])
    cells = dict.fromkeys(crops.table["label"], "a")
    left_out = min(whole)
    cells[left_out] = ""
    bank = DonorBank.cut([(stack, labels, cells, "P", "A02")], resnet(), control="")
    assert set(bank.labels) == whole - {left_out}


def test_donors_are_kept_as_they_were_read():
    checkpoint = resnet()
    bank = crowd_bank(checkpoint)
    stack, labels = crowd(100)
    crops = CellCrops(stack, labels, checkpoint.crop)
    (here,) = np.flatnonzero([s.content == content_hash(stack) for s in bank.stacks])
    mine = np.flatnonzero(bank.origin == here)
    assert len(mine) > 1
    for i in mine:
        row = crops.table.set_index("label").loc[bank.labels[i]]
        for z, y, x in [(0, 0, 0), (2, 12, 12), (4, 23, 23), (1, 3, 20)]:
            at = (z, int(row["start_y"]) + y, int(row["start_x"]) + x)
            in_stack = min(at) >= 0 and at[1] < stack.shape[2] and at[2] < stack.shape[3]
            label = labels[at] if in_stack else -1
            kind = {-1: OUTSIDE, 0: BACKGROUND, bank.labels[i]: OWN}.get(label, NEIGHBOUR)
            assert bank.kinds[i, z, y, x] == kind
            expected = stack.data[(slice(None), *at)] if in_stack else 0
            np.testing.assert_array_equal(bank.voxels[i, z, y, x], expected)


def test_a_large_bank_keeps_fewer_of_each_class_and_says_so(checkpoint, monkeypatch):
    crop = 3 * 16 * 16 * 2
    monkeypatch.setattr(lot, "LARGEST", 2 * 3 * crop)
    monkeypatch.setattr(lot, "FEWEST", 2)
    with pytest.warns(GradcamoWarning, match="3 instead of 32 donors a class"):
        bank = DonorBank.cut(wells(), checkpoint)
    assert bank.nbytes <= 2 * 3 * crop
    assert bank.classes.count("control") == bank.classes.count("treated") == 3
    monkeypatch.setattr(lot, "LARGEST", crop)
    with pytest.warns(GradcamoWarning, match="2 instead of 32"):
        assert len(DonorBank.cut(wells(), checkpoint).classes) == 4


def test_unequal_stacks_unknown_controls_and_no_cells_are_refused(checkpoint):
    made = wells()
    with pytest.raises(GradcamoError, match="not 'DMSO'"):
        DonorBank.cut(made, checkpoint, control="DMSO")
    with pytest.raises(GradcamoError, match="holds a whole cell"):
        DonorBank.cut([(*made[0][:2], {}, "P", "A02")], checkpoint)
    stack, *rest = made[1]
    wide = replace(stack, data=stack.data.astype(np.float32))
    with pytest.raises(GradcamoError, match=r"of uint16, control1.tif 3 of float32"):
        DonorBank.cut([made[0], (wide, *rest)], checkpoint)
    wide.data[0, 1] = np.nan
    with pytest.raises(GradcamoError, match=r"control1.tif, channel DNA, Z 1: \d+ NaN"):
        DonorBank.cut([(wide, *rest)], checkpoint)


def test_what_is_no_bank_is_refused(checkpoint, tmp_path):
    with pytest.raises(GradcamoError, match="no donor bank"):
        DonorBank.load(tmp_path / "none.npz")
    (tmp_path / "text.npz").write_text("not a zip")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    np.savez(tmp_path / "pickled.npz", about=np.array({"format": 1}, dtype=object))
    DonorBank.cut(wells(), checkpoint).save(tmp_path / "bank.npz")
    whole = (tmp_path / "bank.npz").read_bytes()
    (tmp_path / "cut.npz").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "flipped.npz").write_bytes(whole)
    with ZipFile(tmp_path / "flipped.npz", "a") as file:
        file.comment = b""  # without a seal, as the first versions wrote them
        at = file.getinfo("kinds.npy").header_offset + 60
    flipped = bytearray((tmp_path / "flipped.npz").read_bytes())
    flipped[at : at + 20] = b"\xff" * 20
    (tmp_path / "flipped.npz").write_bytes(flipped)
    for name in ("text", "other", "pickled", "cut", "flipped"):
        with pytest.raises(GradcamoError, match="no donor bank"):
            DonorBank.load(tmp_path / f"{name}.npz")


def test_a_voxel_takes_the_first_donor_with_its_kind_there(random):
    kinds = torch.from_numpy(random.integers(0, 4, (3, 9, 9)).astype(np.uint8))
    donors = torch.from_numpy(random.integers(0, 4, (5, 3, 9, 9)).astype(np.uint8))
    pairs = [Pair(int(random.integers(5)), int(random.integers(8))) for _ in range(3)]
    found = fill(kinds, donors, pairs, (1, 1, 1))
    number = torch.arange(donors.numel()).view(donors.shape)
    for at in np.ndindex(3, 9, 9):
        kind = kinds[at]
        hits = [
            int(turned(number[d], s)[at])
            for d, s in pairs
            if kind > 0 and turned(donors[d], s)[at] == kind
        ]
        v = int(np.ravel_multi_index(at, (3, 9, 9)))
        assert bool(found.nearest[v]) == (not hits and kind > 0)
        if hits:
            assert found.source[v] == hits[0]
        elif kind == 0:
            assert found.source[v] == -1
        else:
            assert donors.flatten()[found.source[v]] == kind


def test_the_nearest_is_found_in_micrometres():
    kinds = torch.full((3, 5, 5), OWN, dtype=torch.uint8)
    donor = torch.zeros((1, 3, 5, 5), dtype=torch.uint8)
    donor[0, 0, 2, 2] = donor[0, 1, 0, 2] = OWN  # one plane away, two rows away
    voxel = torch.arange(75).view(3, 5, 5)
    for spacing, expected in (((1, 1, 1), (0, 2, 2)), ((3, 1, 1), (1, 0, 2))):
        source = fill(kinds, donor, [Pair(0, 0)], spacing).source.view(3, 5, 5)
        assert source[1, 2, 2] == voxel[expected]


def test_both_ways_to_the_nearest_agree(random):
    mask = torch.from_numpy(ball(random))
    there, points = surface(mask).nonzero(), (~mask).nonzero()
    spacing = (0.6, 0.35, 0.35)
    brute = _nearest(points, mask.nonzero(), spacing)
    for found in (_nearest(points, there, spacing), _nearest_in_tree(points, there, spacing)):
        np.testing.assert_array_equal(there[found], mask.nonzero()[brute])


@pytest.mark.parametrize("at_once", [700, 2**20])
def test_of_flat_voxels_the_nearest_is_found_among_few(random, at_once, monkeypatch):
    monkeypatch.setattr("gradcamo.causal.fill.AT_ONCE", at_once)
    spacing = (2.0, 0.26, 0.26)  # 6,498 voxels lie as near as three planes
    assert max(map(len, _around(spacing, torch.device("cpu")))) <= 600
    kinds = torch.full((6, 40, 40), OWN, dtype=torch.uint8)
    donor = torch.from_numpy((random.random((1, 6, 40, 40)) < 0.002).astype(np.uint8) * OWN)
    found = fill(kinds, donor, [Pair(0, 0)], spacing)
    filled, points = donor[0].nonzero(), found.nearest.view(6, 40, 40).nonzero()
    assert len(points) > 9_000
    there = filled[_nearest(points, filled, spacing)]
    expected = (there * torch.tensor([1600, 40, 1])).sum(1)
    np.testing.assert_array_equal(found.source[found.nearest], expected)


def ball(random):
    z, y, x = np.ogrid[:9, :20, :20]
    return ((z - 4) ** 2 * 3 + (y - 8) ** 2 + (x - 11) ** 2 < 40) | (
        random.random((9, 20, 20)) < 0.01
    )


def test_pairs_are_drawn_without_replacement_and_meet_every_kind():
    rare = Pair(7, 3)

    def meets(pair, kind):
        return kind != NEIGHBOUR or pair == rare

    for seed in range(20):
        rng = np.random.default_rng(seed)
        pairs = draw_pairs(rng, range(10), 8, [OWN, NEIGHBOUR, BACKGROUND], meets)
        assert len(pairs) == len(set(pairs)) == 24
        assert rare in pairs
        lot = [Pair(n // 8, n % 8) for n in np.random.default_rng(seed).permutation(80)]
        assert pairs == (lot[:24] if rare in lot[:24] else [*lot[:23], rare])  # in their order
    few = draw_pairs(rng, [4, 5], 4, [OWN], lambda pair, kind: True)
    assert len(set(few)) == len(few) == 8
    assert (
        draw_pairs(rng, range(3), 8, [OWN, BACKGROUND], lambda p, kind: kind == OWN) == BACKGROUND
    )


def test_symmetries_are_the_eight_of_the_square():
    square = torch.arange(12).view(3, 2, 2)
    assert len({tuple(turned(square, s).flatten().tolist()) for s in range(8)}) == 8


def test_draws_follow_the_content_not_the_name():
    checkpoint = resnet()
    stack, labels = crowd(1)
    asks = question(checkpoint, CausalSettings())
    donors = Donors(crowd_bank(checkpoint), asks, torch.device("cpu"), 8)
    pool = donors.pool(0, Place("elsewhere")).tolist()

    def drawn(stack, labels):
        crops = CellCrops(stack, labels, checkpoint.crop)
        (i, *_) = np.flatnonzero(crops.scorable)
        return drawn_pairs(donors, raw_cell(crops, i), pool, (0, 0, 0))

    pairs = drawn(stack, labels)
    assert drawn(replace(stack, source="another"), labels) == pairs
    assert drawn(stack, 2 * labels) != pairs
    (label, *_) = CellCrops(stack, labels, checkpoint.crop).table.query("~touches_border")["label"]
    assert drawn(stack, np.where(labels == label, labels, 0)) != pairs
    stack.data[0, 0] += 1
    assert drawn(stack, labels) != pairs


def test_a_stack_is_read_once_to_be_known_again():
    class Read:
        shape, dtype, reads = (2, 3, 4, 4), np.dtype(np.uint8), 0

        def __getitem__(self, channel):
            Read.reads += 1
            return np.full(self.shape[1:], channel, np.uint8)

    stack = ZStack(Read(), ("a", "b"))
    assert content_hash(stack) == content_hash(stack)
    assert Read.reads == 2  # a channel each
    assert content_hash(ZStack(Read(), ("c", "d"))) == content_hash(stack)
    assert Read.reads == 4
