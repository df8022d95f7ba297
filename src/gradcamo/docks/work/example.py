"""An example to begin with: a stack, its cells, the network that knows them, a cell to look at."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import numpy as np
from qtpy.QtCore import QObject

from gradcamo.docks.canvas.sites import Site, Sites, site_of
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.work.ready import ready

if TYPE_CHECKING:
    from gradcamo.docks.state.session import Session


class Example(QObject):
    """Opens the built-in stack with its labels and the bundled network, and looks at a cell."""

    def __init__(self, session: Session, sites: Sites) -> None:
        super().__init__()
        self.session, self._sites = session, sites
        self.job = Job(session)
        self.job.stepped.connect(self._on_step)

    def open(self) -> None:
        """Make it ready beside the window and show it.

        Raises
        ------
        GradcamoError
            If it is being opened.
        """

        def steps() -> Iterator[Any]:
            from gradcamo.auditing.stack import cells_of
            from gradcamo.networks.bundled import BUNDLED
            from gradcamo.networks.checkpoint import Checkpoint
            from gradcamo.samples import sample_stack

            stack, labels = sample_stack()
            site = site_of(stack, labels)
            checkpoint = ready(Checkpoint.load(BUNDLED))
            crops = cells_of(stack, labels, checkpoint)
            yield site, checkpoint, BUNDLED, _in_the_middle(crops, stack.shape[1:])

        self.job.start(steps)

    def _on_step(self, item: tuple[Site, Any, Any, int]) -> None:
        site, checkpoint, path, label = item
        self._sites.show(site)
        self.session.set_checkpoint(checkpoint, path.stem, path)
        self.session.choose(label, "example")


def _in_the_middle(crops: Any, shape: tuple[int, ...]) -> int:
    """The whole cell that lies nearest to the middle of its stack."""
    whole = crops.table[crops.scorable]
    centres = whole[["centroid_y", "centroid_x"]].to_numpy(float)
    distance = np.linalg.norm(centres - np.array(shape[1:]) / 2, axis=1)
    return int(whole["label"].to_numpy()[distance.argmin()])
