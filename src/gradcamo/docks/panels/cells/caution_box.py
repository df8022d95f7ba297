"""The verdict on all cells, and what has to be known before believing it."""

from __future__ import annotations

from qtpy.QtWidgets import QVBoxLayout, QWidget

from gradcamo.docks.parts.tint import GOOD, WARN, tint
from gradcamo.docks.parts.widgets import Fold, Message
from gradcamo.docks.state.session import Session

AT_ONCE = 2  # cautions that stand there without being asked for


class CautionBox(QWidget):
    """Follows the session: its verdict, the first cautions in full, the others behind a line."""

    def __init__(self, session: Session, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.session = session
        self.verdict = Message()
        self.first = Message()
        self.others = Message()
        self.more = Fold("", self.others)
        tint(self.more.button, WARN, "border: none; background: transparent; ")
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(0)
        box.addWidget(self.verdict)
        box.addWidget(self.first)
        box.addWidget(self.more)
        session.cautions_changed.connect(self.show_cautions)
        self.show_cautions()

    def lines(self) -> list[str]:
        """The cautions that are shown, or behind the line."""
        return list(self.session.cautions)

    def show_cautions(self) -> None:
        """Say what is to be said now; nothing where there is nothing."""
        said, verdict = self.lines(), self.session.verdict
        self.verdict.say("\n".join(verdict), GOOD)
        self.first.say(_listed(said[:AT_ONCE]), WARN)
        later = said[AT_ONCE:]
        self.others.say(_listed(later), WARN)
        self.others.setVisible(self.more.button.isChecked() and bool(later))
        self.more.button.setText(f"{len(later)} more to know" if later else "")
        self.more.setVisible(bool(later))
        self.setVisible(bool(said or verdict))


def _listed(said: list[str]) -> str:
    return "\n".join(f"⚠ {text[:1].upper()}{text[1:]}." for text in said)
