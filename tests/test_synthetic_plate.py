"""The built-in plate: reproducible, exact labels, a dose response, planted truth."""

import numpy as np
import pandas as pd
import pytest
import tifffile
from scipy import ndimage as ndi
from scipy.stats import spearmanr

from gradcamo import GradcamoError
from gradcamo.samples.design import CHANNELS, DOSES, PlateDesign
from gradcamo.samples.plate import GAIN, OFFSET, READ_NOISE, make_plate, make_stack

SMALL = PlateDesign(field_px=128, cells_per_field=12, planes=11)


@pytest.fixture(scope="module")
def control():
    return make_stack(SMALL, "D02", 1)


def test_a_stack_depends_on_seed_well_and_site_and_on_nothing_made_before(control):
    stack, labels = control
    make_stack(SMALL, "E03", 2)
    again, same_labels = make_stack(SMALL, "D02", 1)
    assert np.array_equal(stack.data, again.data)
    assert np.array_equal(labels, same_labels)
    others = [
        make_stack(SMALL, "D03", 1),
        make_stack(SMALL, "D02", 2),
        make_stack(SMALL.model_copy(update={"seed": 1}), "D02", 1),
    ]
    assert not any(np.array_equal(labels, other) for _, other in others)


def test_every_cell_is_one_piece_and_labels_have_no_gaps(control):
    _, labels = control
    assert labels.dtype == np.int32
    assert np.array_equal(np.unique(labels), np.arange(labels.max() + 1))
    for label in range(1, labels.max() + 1):
        assert ndi.label(labels == label)[1] == 1


def test_cells_touch_one_another_and_the_border_cuts_some(control):
    _, labels = control
    left, right = labels[..., :-1], labels[..., 1:]
    walls = (left != right) & (left > 0) & (right > 0)
    assert len(np.unique(np.stack([left, right])[:, walls], axis=1).T) >= 3
    cut = set(np.unique(np.concatenate([labels[:, [0, -1]].ravel(), labels[..., [0, -1]].ravel()])))
    assert 0 < len(cut - {0}) < labels.max()


def test_cells_are_as_wide_as_hepg2_cells(control):
    _, labels = control
    widths = [
        max(y.stop - y.start, x.stop - x.start) * SMALL.spacing_um[1]
        for _, y, x in ndi.find_objects(labels)
        if y.start > 0 and x.start > 0 and y.stop < 128 and x.stop < 128
    ]
    assert 21 < np.median(widths) < 29


def test_stains_lie_in_the_cells_that_the_labels_name(control):
    stack, labels = control
    for name, image in zip(stack.channels, stack.data, strict=True):
        assert image[labels > 0].mean() > 1.5 * image[labels == 0].mean(), name


def depth_in_cells(labels: np.ndarray) -> np.ndarray:
    """Distance to the own cell's surface in µm, 0 outside."""
    depth = np.zeros(labels.shape)
    for label in range(1, labels.max() + 1):
        cell = np.pad(labels == label, 1)
        depth += ndi.distance_transform_edt(cell, sampling=SMALL.spacing_um)[1:-1, 1:-1, 1:-1]
    return depth


def test_membrane_stain_is_brightest_on_the_surface_and_nuclear_stain_deep_inside(control):
    stack, labels = control
    depth = depth_in_cells(labels)
    surface, deep = (depth > 0) & (depth < 1), depth > 3.5
    light = stack.data.astype(float) - OFFSET
    wga, hoechst = light[CHANNELS.index("WGA")], light[CHANNELS.index("Hoechst")]
    assert wga[surface].mean() > 1.5 * wga[deep].mean()
    assert hoechst[deep].mean() > 4 * hoechst[surface].mean()


def test_the_noise_is_that_of_photons(control):
    stack, labels = control
    far = ndi.distance_transform_edt(labels == 0, sampling=SMALL.spacing_um) > 7
    assert far.sum() > 1000
    for image in stack.data:
        counts = image[far].astype(float)
        expected = GAIN * (counts.mean() - OFFSET) + READ_NOISE**2
        assert counts.var() == pytest.approx(expected, rel=0.15)


def test_the_response_grows_with_the_dose_from_nothing_to_nearly_all():
    doses = sorted(DOSES, key=DOSES.__getitem__)
    strengths = [PlateDesign().response(f"{row}02") for row in doses]
    assert strengths[0] == 0
    assert (np.diff(strengths) > 0).all()
    assert strengths[-1] > 0.9


def test_actin_moves_from_fibres_to_the_cortex_as_the_dose_grows():
    thick = SMALL.model_copy(update={"planes": 15})

    def cortex_over_inside(row: str) -> float:
        stack, labels = make_stack(thick, f"{row}02", 1)
        depth = depth_in_cells(labels)
        actin = stack.data[CHANNELS.index("phalloidin")].astype(float) - OFFSET
        return float(actin[(depth > 0) & (depth < 1)].mean() / actin[depth > 3].mean())

    doses = sorted(DOSES, key=DOSES.__getitem__)
    ratios = [cortex_over_inside(row) for row in doses]
    assert spearmanr(range(6), ratios).statistic > 0.9
    assert ratios[-1] > 1.4 * ratios[0]


def test_a_plate_is_the_papers_table_of_wells(tmp_path):
    design = SMALL.model_copy(update={"field_px": 64, "cells_per_field": 3, "sites": 1})
    table = pd.read_csv(make_plate(tmp_path, design), dtype=str)
    assert list(table) == ["image", "labels", "plate", "well", "site", "treatment"]
    assert len(table) == 12
    first = table.set_index("well")["treatment"]
    assert first["D02"] == first["D03"] == "control"
    assert first["B02"] == "0.06x"
    assert first["E03"] == "40.00x"
    stack, labels = make_stack(design, "G03", 1)
    row = table.set_index("well").loc["G03"]
    image = tifffile.memmap(tmp_path / row["image"], mode="r")  # so it is not compressed
    assert np.array_equal(image, stack.data)
    assert np.array_equal(tifffile.imread(tmp_path / row["labels"]), labels)
    with tifffile.TiffFile(tmp_path / row["image"]) as file:
        pixels = tifffile.xml2dict(file.ome_metadata)["OME"]["Image"]["Pixels"]
    assert tuple(channel["Name"] for channel in pixels["Channel"]) == CHANNELS
    sizes = [pixels[f"PhysicalSize{axis}"] for axis in "ZYX"]
    assert np.allclose(sizes, design.spacing_um)


def test_a_cancelled_plate_leaves_nothing_behind(tmp_path):
    def stop(done: int, total: int) -> None:
        if done == 2:
            raise KeyboardInterrupt

    design = SMALL.model_copy(update={"field_px": 64, "cells_per_field": 3})
    with pytest.raises(KeyboardInterrupt):
        make_plate(tmp_path, design, stop)
    assert list(tmp_path.iterdir()) == []


def test_a_well_of_another_plate_is_refused():
    with pytest.raises(GradcamoError, match="H01"):
        make_stack(SMALL, "H01", 1)


def test_napari_opens_the_sample_as_layers_that_lie_on_one_another():
    from napari.layers import Layer

    from gradcamo.samples import one_stack, one_stack_with_labels

    layers = [Layer.create(*data) for data in one_stack_with_labels()]
    assert [layer.name for layer in layers] == [*CHANNELS, "Cells"]
    assert [kind for *_, kind in one_stack()] == ["image"] * 6
    for layer in layers:
        assert layer.data.shape == (21, 224, 224)
        assert tuple(layer.scale) == PlateDesign().spacing_um
        assert {str(unit) for unit in layer.units} == {"micrometer"}


@pytest.fixture(scope="module", params=["own", "neighbour", "background", "own+background"])
def planted(request, tmp_path_factory):
    """Signal, design, plate table and its folder."""
    design = PlateDesign(
        field_px=192, planes=11, cells_per_field=20, rows=("D", "E"), columns=("02",), sites=2,
        signal=request.param, crop_px=48,
    )  # fmt: skip
    folder = tmp_path_factory.mktemp("planted")
    return request.param, design, pd.read_csv(make_plate(folder, design)), folder


def cells_and_crops(design, table, folder):
    """Per cell: its row in the truth, and the crop's labels with the ids that respond."""
    for row in table.itertuples():
        truth = pd.read_csv(folder / row.cells, keep_default_na=False).set_index("label")
        labels = tifffile.imread(folder / row.labels)
        responding = truth.index[truth["own"]]
        for label, place in enumerate(ndi.find_objects(labels), start=1):
            starts = []
            for side in place[1:]:
                centre = (side.start + side.stop - 1) / 2
                starts.append(int(np.floor(centre - (design.crop_px - 1) / 2 + 0.5)))
            y, x = (slice(max(s, 0), s + design.crop_px) for s in starts)
            seen = np.unique(labels[:, y, x])
            yield (
                row,
                label,
                truth.loc[label],
                np.setdiff1d(np.intersect1d(seen, responding), [label]),
            )


def test_planted_classes_are_what_a_look_into_every_crop_says(planted):
    signal, design, table, folder = planted
    used = {"treated": 0, "untreated": 0}
    for row, _, truth, others in cells_and_crops(design, table, folder):
        treatment = truth["treatment"]
        if treatment == "":
            continue
        used[treatment] += 1
        if signal == "background":
            assert treatment == row.treatment
            assert not truth["own"]
            assert len(others) == 0
        elif signal == "neighbour":
            assert not truth["own"]
            assert (len(others) > 0) == (treatment == "treated")
        else:
            assert len(others) == 0
            assert truth["own"] == (treatment == "treated")
    assert min(used.values()) >= 4


def test_a_background_signal_lies_between_the_cells_only(planted):
    signal, _, table, folder = planted
    mottle = {}
    for row in table.itertuples():
        image = tifffile.imread(folder / row.image)[0].astype(float)  # Hoechst
        outside = ndi.distance_transform_edt(tifffile.imread(folder / row.labels) == 0) > 3
        seen = outside.sum(axis=0)
        mean = (image * outside).sum(axis=0)[seen > 8] / seen[seen > 8]
        mottle.setdefault(row.treatment, []).append(mean.std())
    ratio = min(mottle["treated"]) / max(mottle["untreated"])
    assert ratio > 1.5 if "background" in signal else ratio < 1.3


def test_the_background_signal_can_be_taken_away_or_dealt_by_lot():
    from gradcamo.samples.planting import has_background

    paired = PlateDesign(signal="own+background", sites=4)
    removed = paired.model_copy(update={"background": "removed"})
    shuffled = paired.model_copy(update={"background": "shuffled"})
    stacks = [(well, site) for well in paired.wells for site in range(1, 5)]
    for well, site in stacks:
        assert has_background(paired, well, site) == (well[0] in "EFG")
        assert not has_background(removed, well, site)
    dealt = pd.DataFrame(
        {"treated": w[0] in "EFG", "signal": has_background(shuffled, w, s)} for w, s in stacks
    )
    assert (dealt.groupby("treated")["signal"].mean() == 0.5).all()


SPECKLES = SMALL.model_copy(
    update={"signal": "own", "crop_px": 48, "phenotype": "speckles", "planes": 21}
)


def test_speckles_stain_for_dna_in_treated_cells_and_leave_all_else_alone():
    from gradcamo.samples.plate import _make

    stack, labels, treated = _make(SPECKLES, "E02", 1)
    assert 2 <= treated.sum() < labels.max()
    light = stack.data.astype(float) - OFFSET
    means = np.array([ndi.mean(image, labels, range(1, labels.max() + 1)) for image in light])
    ratio = np.median(means[:, treated], axis=1) / np.median(means[:, ~treated], axis=1)
    assert ratio[CHANNELS.index("Hoechst")] > 1.8
    assert ratio[CHANNELS.index("Hoechst") + 1 :] == pytest.approx(1, abs=0.25)
    faint = _make(SPECKLES.model_copy(update={"cell_contrast": 0.3}), "E02", 1)[0]
    hoechst = ndi.mean(faint.data[0] - float(OFFSET), labels, range(1, labels.max() + 1))
    assert 1.1 < np.median(hoechst[treated]) / np.median(hoechst[~treated]) < 0.8 * ratio[0]


def test_without_haze_no_light_of_speckles_leaves_the_cell():
    from gradcamo.samples.plate import _make

    around = {}
    for haze in (0.0, 0.1):
        for contrast in (1.0, 1e-9):
            design = SPECKLES.model_copy(update={"haze": haze, "cell_contrast": contrast})
            stack, labels, treated = _make(design, "E02", 1)
            responds = np.concatenate([[False], treated])[labels]
            near = ndi.binary_dilation(responds, iterations=2) & ~responds
            around[haze, contrast] = stack.data[0, near].mean(dtype=float)
    assert around[0.0, 1.0] == pytest.approx(around[0.0, 1e-9], abs=0.8)
    assert around[0.1, 1.0] > around[0.1, 1e-9] + 1.5
