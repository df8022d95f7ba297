"""Labels coloured by what was found, in colours that everybody can tell apart."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from gradcamo.colours import CAUSAL_SHARES
from gradcamo.docks.canvas.follower import Follower
from gradcamo.docks.canvas.layers import set_visible

if TYPE_CHECKING:
    import pandas as pd
    from napari.components import ViewerModel
    from napari.utils.colormaps import DirectLabelColormap

    from gradcamo.docks.state.session import Session

MODES = ("label", "score", "flagged", "causal", "region")
SCORE_COLORMAP = "viridis"
STEPS = 64  # few colours keep the label texture small
UNSCORED = (0.55, 0.55, 0.58, 0.35)
FLAGGED = (0.90, 0.62, 0.0, 1.0)
PASSING = (0.34, 0.71, 0.91, 0.55)


def score_range(table: pd.DataFrame) -> tuple[float, float]:
    """The scores that the two ends of the colour scale stand for."""
    if "grad_camo" not in table or not table["grad_camo"].notna().any():
        return 0.0, 1.0
    return 0.0, max(0.5, float(np.nanmax(table["grad_camo"])))


def score_colours(scores: np.ndarray, top: float) -> np.ndarray:
    """RGBA (N, 4) of scores between 0 and ``top``."""
    from napari.utils.colormaps import ensure_colormap

    steps = np.rint(np.clip(scores / top, 0, 1) * (STEPS - 1)) / (STEPS - 1)
    return ensure_colormap(SCORE_COLORMAP).map(np.nan_to_num(steps))


def colormap_of(table: pd.DataFrame, mode: str) -> DirectLabelColormap:
    """The colour of every label, as `MODES` says; cells without a score or answer are grey."""
    from napari.utils.colormaps import DirectLabelColormap

    by_score = mode in ("score", "flagged")
    scores = table["grad_camo" if by_score else "causal_own"].to_numpy(float)
    if mode == "score":
        colours = score_colours(scores, score_range(table)[1])
    elif mode == "causal":
        colours = score_colours(scores, 1.0)
    elif mode == "region":
        colours = region_colours(table)
    else:
        colours = np.where(table["flagged"].to_numpy(bool)[:, None], FLAGGED, PASSING)
    colours[np.isnan(scores)] = UNSCORED
    of_label = dict(zip(table["label"].tolist(), colours.astype(np.float32), strict=True))
    return DirectLabelColormap(color_dict={None: np.array(UNSCORED, np.float32), **of_label})


def region_colours(table: pd.DataFrame) -> np.ndarray:
    """RGBA (N, 4) of the region that each prediction owes most to."""
    from napari.utils.colormaps.standardize_color import transform_color

    of_region = transform_color([colour for _, colour in CAUSAL_SHARES.values()])
    owes = table[list(CAUSAL_SHARES)].to_numpy(float)
    colours: np.ndarray = of_region[np.nan_to_num(owes).argmax(1)]
    return colours


def warm_up(dtype: np.dtype) -> None:
    """Let napari compile its label colours, which takes seconds, beside the window."""
    from napari.utils.colormaps import DirectLabelColormap

    colours = DirectLabelColormap(color_dict={None: "transparent", 1: "white"})
    colours.map(np.ones((2, 2), dtype))


class LabelColours(Follower):
    """Shows the labels that hold the cells, and no others, in the colours of their scores."""

    def __init__(self, session: Session, viewer: ViewerModel) -> None:
        super().__init__(session, viewer)
        self.mode = "score"
        self.outlines = True
        self._layer: Any = None
        self._plain: Any = None  # the layer's own colours
        viewer.dims.events.ndisplay.connect(self._on_ndisplay)
        session.labels_changed.connect(self._on_labels)
        session.flags_changed.connect(self._on_flags)
        session.results_changed.connect(self.apply)

    def set_mode(self, mode: str) -> None:
        """Colour by one of `MODES`: label, score, flag, causal share, or the region owed most."""
        self.mode = mode
        self.apply()

    def set_outlines(self, outlines: bool) -> None:
        """Colour the outlines only, or whole cells."""
        self.outlines = outlines
        layer = self.session.labels_layer
        if layer is not None:
            layer.contour, layer.opacity = (2, 1.0) if outlines else (0, 0.45)
            if outlines and self._in_3d():
                layer.opacity = 0.2  # there are no outlines in 3D

    def apply(self) -> None:
        session = self.session
        layer = session.labels_layer
        if layer is None or layer is not self._layer:
            return
        table = session.results.table
        needed = "causal_own" if self.mode in ("causal", "region") else "grad_camo"
        if self.mode == "label" or needed not in table or not len(table):
            if self._plain is not None and layer.colormap is not self._plain:
                layer.colormap = self._plain
            return
        if session.auditing.running:
            return  # once, at the end
        if layer.colormap is self._plain:  # the first time; afterwards the user decides
            self.set_outlines(self.outlines)
        layer.colormap = colormap_of(table, self.mode)

    def _in_3d(self) -> bool:
        return self.viewer is not None and self.viewer.dims.ndisplay == 3

    def _on_labels(self) -> None:
        before, self._layer = self._layer, self.session.labels_layer
        layer = self._layer
        if before is not None:
            set_visible(before, False)
            if before.colormap is not self._plain:
                before.colormap = self._plain
                before.contour, before.opacity = 0, 0.45
        if layer is not None:
            set_visible(layer, True)
        self._plain = None if layer is None else layer.colormap

    def _on_ndisplay(self) -> None:
        layer = self.session.labels_layer
        if layer is not None and layer.colormap is not self._plain:
            self.set_outlines(self.outlines)

    def _on_flags(self) -> None:
        if self.mode == "flagged":
            self.apply()
