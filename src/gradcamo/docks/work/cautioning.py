"""What the scores that are there come to, and what has to be known before believing them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

from qtpy.QtCore import QObject
from superqt.utils import qdebounced

from gradcamo.docks.parts.widgets import notify
from gradcamo.docks.parts.worker import Job

if TYPE_CHECKING:
    from gradcamo.docks.state.session import Session

WAIT_MS = 200  # after the last change


class Cautioning(QObject):
    """Keeps cautions and causal verdict of the session up to date, beside the window."""

    def __init__(self, session: Session) -> None:
        super().__init__()
        self.session = session
        self.job = Job(session)
        self._again = False
        self.job.stepped.connect(self._on_found)
        self.job.failed.connect(notify)
        self.job.ended.connect(self._on_ended)
        session.results_changed.connect(self.look)
        session.flags_changed.connect(self.look)
        session.swapping.ended.connect(self.look)

    @qdebounced(timeout=WAIT_MS)
    def look(self) -> None:
        """Work out what is to be said now, a little later."""
        session = self.session
        self._again = self.job.running
        if self._again or session.swapping.running:  # a preview that is being refined
            return
        results, recipe = session.results, session.recipe()
        if not recipe or session.auditing.running:
            self._set([], [])
            return
        table = results.table.copy(deep=False)  # flags are written into the other meanwhile
        audited = results.audited  # single cells that were looked at say nothing of all

        def steps() -> Iterator[Any]:
            from gradcamo.auditing.cautions import cautions, facts
            from gradcamo.auditing.verdict import causal_verdict

            said = cautions(table, recipe) if audited else facts(recipe)
            asked = "causal_own" in table and table["causal_own"].notna().sum() > 1
            yield results, said, causal_verdict(table) if asked else []

        self.job.start(steps)

    def _on_found(self, item: tuple[Any, list[str], list[str]]) -> None:
        results, said, verdict = item
        if results is self.session.results:
            self._set(said, verdict)

    def _set(self, said: list[str], verdict: list[str]) -> None:
        session = self.session
        if (said, verdict) != (session.cautions, session.verdict):
            session.cautions, session.verdict = said, verdict
            session.cautions_changed.emit()

    def _on_ended(self, _: bool) -> None:
        if self._again:
            self.look()
