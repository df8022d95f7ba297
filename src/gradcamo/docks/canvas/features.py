"""Scores in the labels layer's own features, where napari and other plugins look for them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from qtpy.QtCore import QObject
from superqt.utils import qdebounced

from gradcamo.columns import CAUSAL_COLUMNS, CAUSAL_SHARES

if TYPE_CHECKING:
    import pandas as pd

    from gradcamo.docks.state.session import Session

CENTROID = ("centroid_z", "centroid_y", "centroid_x")
# said on every hover: only what tells cells apart
LEFT_OUT = (
    *("image", "layer", "alignment", "gradients", *CENTROID),
    *(name for name in CAUSAL_COLUMNS if name not in CAUSAL_SHARES),
)
WAIT_MS = 400  # after the last change: never while somebody types


class Features(QObject):
    """Follows the session's scores, flags and notes a little later."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        session.results_changed.connect(self.publish)
        session.flags_changed.connect(self.publish)

    @qdebounced(timeout=WAIT_MS)
    def publish(self) -> None:
        """Write the table to the layer, a little later."""
        session = self.session
        layer = session.labels_layer
        if layer is None or session.auditing.running:  # once, at the end
            return
        table = session.results.table
        if len(table) and "grad_camo" in table:
            layer.features = features_of(table, layer.features)
        elif "grad_camo" in layer.features:
            layer.features = None


def features_of(table: pd.DataFrame, others: pd.DataFrame | None = None) -> pd.DataFrame:
    """The scores under the name by which napari knows labels, ``index``.

    Columns of ``others`` that are not ours stay.
    """
    ours = table.drop(columns=[name for name in LEFT_OUT if name in table])
    ours = ours.rename(columns={"label": "index"}).set_index("index")
    if others is not None:
        rows = others.get("index", others.index)
        others = others.drop(columns=[n for n in ("index", *ours) if n in others]).set_index(rows)
        if others.shape[1]:
            ours = ours.join(others, how="outer")
    return ours.rename_axis("index").reset_index()
