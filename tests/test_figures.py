import numpy as np
import pandas as pd
import pytest
from legible import illegible

from gradcamo import figures
from gradcamo.datatypes import CellCrop
from gradcamo.errors import GradcamoError
from gradcamo.profiles.doses import find_control, in_dose_order
from gradcamo.views import cell_view, overlay, thumbnail

DOSES = ["control", "0.06x", "0.32x", "1.60x", "8.00x", "40.0x"]


def cells(n: int = 600) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    score = rng.beta(2, 4, n)
    return pd.DataFrame(
        {
            "treatment": rng.choice(DOSES[::-1], n),
            "site": rng.integers(1, 5, n),
            "grad_camo": score,
            "neighbour_share": (1 - score) * 0.25,
            "background_share": (1 - score) * 0.75,
            "chance": 0.1,
            "ceiling": 0.9,
            "predicted": rng.choice(DOSES, n),
            "layer": rng.choice(["block_4", "block_10"], n),
        }
    )


def asked(n: int = 600) -> pd.DataFrame:
    """Of which every fifth cell is not answered, and every seventh called otherwise."""
    table, rng = cells(n), np.random.default_rng(1)
    shares = rng.dirichlet((2, 1, 3), n)
    shares[::5] = np.nan
    table[["causal_own", "causal_neighbour", "causal_background"]] = shares
    called = np.where(np.arange(n) % 7 == 0, "another", table["treatment"])
    return table.assign(predicted=called, causal_effect=3.0, volume_own=0.15)


def told(table: pd.DataFrame) -> pd.DataFrame:
    number = np.arange(len(table))
    return table[(number % 5 > 0) & (number % 7 > 0)]


def crop() -> CellCrop:
    labels = np.zeros((5, 20, 20), np.int32)
    labels[1:4, 5:12, 6:14] = 3
    labels[1:4, 14:18, 6:14] = 9
    image = np.random.default_rng(1).random((2, 5, 20, 20)).astype(np.float32)
    return CellCrop(3, (0, 0, 0), False, lambda: image, lambda: labels)


@pytest.mark.parametrize(
    ("given", "expected"),
    [
        (["40.0x", "0.06x", "control", "8.00x"], ["control", "0.06x", "8.00x", "40.0x"]),
        (["10 µM", "2 µM", "DMSO"], ["DMSO", "2 µM", "10 µM"]),
        (["1.60×", "0.32×", "0.00×"], ["0.00×", "0.32×", "1.60×"]),
        (["stavudine", "taxol", "DMSO"], ["stavudine", "taxol", "DMSO"]),
        (["5 nM", "1 µM", "control"], ["5 nM", "1 µM", "control"]),
        (["2", "10", "2", ""], ["2", "10"]),
    ],
)
def test_treatments_follow_their_dose_or_the_plate(given, expected):
    assert in_dose_order(given) == expected


def test_the_control_is_found_by_its_name_only_where_there_is_one():
    assert find_control(DOSES) == "control"
    assert find_control(["treated", "DMSO", "DMSO"]) == "DMSO"
    assert find_control(["DMSO", "vehicle", "5x"]) is None
    assert find_control(["a", "b"]) is None


def test_the_dose_figure_says_which_share_passes_the_cut_off():
    table = cells()
    for cutoff in (0.25, 0.5):
        axes = figures.scores_by_dose_and_site(table, cutoff).axes[0]
        said = [text.get_text() for text in axes.texts]
        for dose in DOSES:
            share = (table.loc[table["treatment"] == dose, "grad_camo"] >= cutoff).mean()
            assert f"{share:.0%}" in said
        assert f"{(table['grad_camo'] >= cutoff).sum()} of 600" in axes.get_title()
        names = [tick.get_text().split("\n")[0] for tick in axes.get_xticklabels()]
        assert names == DOSES
        assert len(axes.collections) >= len(DOSES) * 4


def test_few_cells_are_drawn_one_by_one():
    axes = figures.scores_by_dose_and_site(cells(8)).axes[0]
    drawn = sum(len(line.get_xdata()) for line in axes.lines if line.get_marker() == "o")
    assert drawn == 8


def test_the_bars_of_an_attention_budget_end_at_one():
    axes = figures.attention_budget(cells()).axes[0]
    tops = {}
    for bar in axes.patches:
        tops[bar.get_x()] = max(tops.get(bar.get_x(), 0), bar.get_y() + bar.get_height())
    np.testing.assert_allclose(list(tops.values()), 1)
    assert len(tops) == len(DOSES)


def test_each_row_of_the_confusion_matrix_sums_to_one():
    figure = figures.confusion_matrix(cells())
    share = figure.axes[0].images[0].get_array()
    assert share.shape == (6, 6)
    np.testing.assert_allclose(share.sum(axis=1), 1)


def layers() -> pd.DataFrame:
    return pd.DataFrame(
        {
            "layer": ["block_4", "block_10", "head"],
            "grad_camo": [0.5, 0.3, 0.2],
            "grad_camo_sd": 0.1,
            "attainable": [0.4, 0.3, -0.1],
            "attainable_sd": 0.05,
            "chance": 0.2,
            "ceiling": [0.9, 0.6, 0.3],
            "probe_accuracy": [0.2, 0.7, 0.8],
            "largest_class": 0.25,
        }
    )


def test_the_layer_audit_draws_every_number_over_the_layers_in_their_order():
    table = layers()
    upper, lower = figures.layer_audit(table, "block_10").axes
    assert [tick.get_text() for tick in lower.get_xticklabels()] == ["4", "10", "head"]
    bars = [(bar.get_y(), bar.get_y() + bar.get_height()) for bar in upper.containers[0]]
    np.testing.assert_allclose(bars, table[["chance", "ceiling"]])
    for axes, column in ((upper, "grad_camo"), (lower, "attainable")):
        (drawn,) = [c for c in axes.containers if type(c).__name__ == "ErrorbarContainer"]
        np.testing.assert_allclose(drawn.lines[0].get_xydata()[:, 1], table[column])
        ends = np.array([s[:, 1] for s in drawn.lines[2][0].get_segments()])
        np.testing.assert_allclose(np.diff(ends)[:, 0] / 2, table[f"{column}_sd"])
    accuracy = next(line for line in lower.lines if "probe" in str(line.get_label()))
    np.testing.assert_allclose(accuracy.get_ydata(), table["probe_accuracy"])


DRUGS = ["DMSO", *(f"{n} {d} µM" for n in ("nocodazole", "taxol") for d in (0.1, 1, 5, 10, 50))]


def drawn_at(figure, width: float, height: float):
    from matplotlib.backends.backend_agg import FigureCanvasAgg

    FigureCanvasAgg(figure)
    figure.set_dpi(80)
    figure.set_size_inches(width, height)
    return figure


def test_a_causal_budget_is_one_of_cells_that_are_answered_and_called_right():
    axes = figures.causal_budget(asked()).axes[0]
    names = [name.get_text().split()[0] for name in axes.get_xticklabels()]
    assert names == DOSES
    means = told(asked()).groupby("treatment")[["causal_own", "causal_neighbour"]].mean()
    bars = [[bar.get_height() for bar in container] for container in axes.containers]
    np.testing.assert_allclose(bars[0], means.loc[DOSES, "causal_own"])
    np.testing.assert_allclose(bars[1], means.loc[DOSES, "causal_neighbour"])
    np.testing.assert_allclose(np.sum(bars, 0), 1)
    with pytest.raises(GradcamoError, match="no cell of this table is answered causally"):
        figures.causal_budget(asked().assign(causal_own=np.nan))
    with pytest.raises(GradcamoError, match="lacks causal_own"):
        figures.causal_budget(cells())


def test_maps_and_causes_are_points_of_the_same_cells():
    axes = figures.maps_against_causes(asked()).axes[0]
    drawn = {c.get_label(): np.asarray(c.get_offsets()) for c in axes.collections}
    assert list(drawn) == DOSES
    for name, cells_of in told(asked()).groupby("treatment"):
        np.testing.assert_allclose(drawn[name], cells_of[["grad_camo", "causal_own"]])
    with pytest.raises(GradcamoError, match="score and a causal answer"):
        figures.maps_against_causes(asked().assign(grad_camo=np.nan))


BY_GROUP = [figures.scores_by_dose_and_site, figures.attention_budget, figures.causal_budget]


@pytest.mark.parametrize("draw", [*BY_GROUP, figures.maps_against_causes])
@pytest.mark.parametrize("names", [DOSES, [*DRUGS, "latrunculin"]], ids=["6", "12"])
@pytest.mark.parametrize("sites", [1, 4])
def test_names_and_counts_can_be_read_in_a_narrow_dock_and_in_a_file(draw, names, sites):
    table = asked(6000)
    table["treatment"] = table["predicted"] = np.resize(names, len(table))
    table = table.fillna({"causal_own": 0.2, "causal_neighbour": 0.2, "causal_background": 0.6})
    table["site"] = np.arange(len(table)) // len(names) % sites
    narrow = max(376, 36 * len(names) + 60) / 80
    figure = drawn_at(draw(table, about="treatment", width=narrow), narrow, 5.5)
    assert illegible(figure) == []
    if draw is figures.maps_against_causes:  # it has no groups along its axis
        return
    said = " ".join(t.get_text() for t in figure.axes[0].get_xticklabels()).replace("\n", " ")
    assert said.count("500 cells" if len(names) == 12 else "1,000 cells") == len(names)
    whole = draw(table)
    assert illegible(drawn_at(whole, *whole.get_size_inches())) == []


def test_all_layers_of_a_network_can_be_read_in_a_narrow_dock():
    table = pd.concat([layers()] * 6, ignore_index=True)
    table["layer"] = [*(f"block_{number}" for number in range(17)), "head"]
    assert illegible(drawn_at(figures.layer_audit(table, "block_4", 4.5), 4.0, 5.25)) == []
    assert illegible(drawn_at(figures.layer_audit(table, "block_4", 4.5), 4.5, 6)) == []
    whole = figures.layer_audit(table, "block_0")
    assert illegible(drawn_at(whole, *whole.get_size_inches())) == []


@pytest.mark.parametrize("draw", [figures.scores_by_dose_and_site, figures.attention_budget])
def test_tables_without_scores_or_columns_are_refused(draw):
    with pytest.raises(GradcamoError, match="lacks"):
        draw(cells()[["treatment"]])
    with pytest.raises(GradcamoError, match="score"):
        draw(cells().assign(grad_camo=np.nan))


def test_a_layer_without_evidence_keeps_its_place_and_its_accuracy():
    table = layers()
    table.loc[1, ["grad_camo", "grad_camo_sd", "attainable", "attainable_sd"]] = np.nan
    _, lower = figures.layer_audit(table).axes
    assert len(lower.get_xticklabels()) == 3
    accuracy = next(line for line in lower.lines if "probe" in str(line.get_label()))
    assert np.isfinite(accuracy.get_ydata()).all()
    with pytest.raises(GradcamoError, match="lacks probe_accuracy"):
        figures.layer_audit(table.drop(columns="probe_accuracy"))


def test_a_gallery_shows_each_cell_plain_and_with_its_heatmap(tmp_path):
    cam = np.zeros((5, 20, 20), np.float32)
    cam[:, 2, 3] = 4.0
    view = cell_view(crop(), cam, "cell 3")
    assert view.cam[2, 3] == 1
    assert view.own.sum() == 7 * 8
    assert view.others.sum() == 4 * 8
    hot = np.abs(overlay(view, outlines=False) - view.image[..., None]).sum(-1)
    assert np.argwhere(hot > 0).tolist() == [[2, 3]]
    figure = figures.heatmap_gallery([view] * 3, columns=2)
    pictures = [axes for axes in figure.axes if axes.images]
    assert len(pictures) == 6
    figure.savefig(tmp_path / "gallery.png")
    with pytest.raises(GradcamoError, match="at least one cell"):
        figures.heatmap_gallery([])


def test_a_figure_that_cannot_be_written_leaves_what_was_there(tmp_path, monkeypatch):
    figure = figures.attention_budget(cells())
    for ending, begin in {"png": b"\x89PNG", "SVG": b"<?xml", "pdf": b"%PDF"}.items():
        figures.save_figure(figure, tmp_path / f"budget.{ending}")
        assert (tmp_path / f"budget.{ending}").read_bytes().startswith(begin)
    with pytest.raises(GradcamoError, match=r"should end in \.png, \.svg or \.pdf"):
        figures.save_figure(figure, tmp_path / "budget.xyz")

    def full(path, **_):
        path.write_bytes(b"half of it")
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(figure, "savefig", full)
    before = (tmp_path / "budget.png").read_bytes()
    with pytest.raises(GradcamoError, match="No space left"):
        figures.save_figure(figure, tmp_path / "budget.png")
    assert (tmp_path / "budget.png").read_bytes() == before
    assert len(list(tmp_path.iterdir())) == 3


def test_an_empty_map_shows_no_heat_and_a_flat_2d_map_shows_everywhere():
    none = cell_view(crop(), np.zeros((5, 20, 20), np.float32))
    np.testing.assert_allclose(overlay(none, outlines=False), none.image[..., None].repeat(3, -1))
    flat = cell_view(crop(), np.full((20, 20), 0.1, np.float32))
    assert (flat.cam == 1).all()


def test_thumbnails_are_small_jpegs():
    from io import BytesIO

    from PIL import Image

    picture = Image.open(BytesIO(thumbnail(cell_view(crop(), np.ones((5, 20, 20))), size=16)))
    assert picture.format == "JPEG"
    assert picture.size == (16, 16)
