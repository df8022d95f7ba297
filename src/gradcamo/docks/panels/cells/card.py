"""The cell that is looked at, in a few numbers, two bars and a sentence."""

from __future__ import annotations

from html import escape
from typing import Any

import numpy as np
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QHBoxLayout, QLabel, QVBoxLayout, QWidget

from gradcamo.auditing.cell_verdict import cell_doubts, cell_verdict, is_answered
from gradcamo.colours import CAUSAL_SHARES, SHARES
from gradcamo.docks.panels.cells.share_bars import VOLUMES, ShareBars
from gradcamo.docks.parts.tint import FAINT, GOOD, WARN, legible
from gradcamo.docks.parts.widgets import Message
from gradcamo.words import number, percent


class CellCard(QWidget):
    """Says what the network saw in one cell, and what its prediction depends on."""

    def __init__(self, corner: QWidget | None = None, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.title = QLabel()
        self.title.setTextFormat(Qt.TextFormat.RichText)
        self.bars = ShareBars()
        self.legend = QLabel()
        self.legend.setTextFormat(Qt.TextFormat.RichText)
        self.legend.setStyleSheet("font-size: 11px;")
        self.verdict = Message()
        self.doubts = Message()
        box = QVBoxLayout(self)
        box.setContentsMargins(0, 0, 0, 0)
        box.setSpacing(3)
        top = QHBoxLayout()
        top.addWidget(self.title, 1)
        if corner is not None:
            top.addWidget(corner, 0, Qt.AlignmentFlag.AlignTop)
        box.addLayout(top)
        for part in (self.bars, self.legend, self.verdict, self.doubts):
            box.addWidget(part)
        for text in (self.title, self.legend):
            text.setWordWrap(True)
        self._shown: tuple[Any, int] = (None, 0)
        self.follow_theme()

    def follow_theme(self) -> None:
        """Say it in the colours of the theme."""
        self.show_cell(*self._shown)

    def show_cell(self, row: Any, unscored: int = 0) -> None:
        """Show a row of the table, that a cell has none, or that there is no cell."""
        self._shown = row, unscored
        scored = row is not None and bool(np.isfinite(row["grad_camo"]))
        self.bars.setVisible(scored or (row is not None and is_answered(row)))
        self.bars.show_row(row)
        self.verdict.say("")
        self.doubts.say("")
        if row is None and unscored:
            self.title.setText(f"<b>Cell {unscored}</b>")
            self._hint("Not scored: with a network, a click explains it.")
            return
        if row is None:
            self.title.setText("No cell chosen")
            self._hint("Click a cell in the image or a row in the table.")
            return
        title = f"<b>Cell {int(row['label'])}</b>"
        if isinstance(row["predicted"], str) and row["predicted"]:
            title += (
                f" · predicted <b>{escape(row['predicted'])}</b> ({percent(row['confidence'])})"
            )
        self.title.setText(title)
        if row["touches_border"]:
            self._hint("Cut off by the border of the image: not scored.")
            return
        if row.get("cell_in_crop", 1) == 0:
            self._hint("In pieces of which its crop holds none: not scored. Check its label.")
            return
        if is_answered(row):
            self.legend.setText(_both(row, legible(FAINT, self)))
        elif scored:
            self.legend.setText(_map_alone(row))
        else:
            self._hint("No positive evidence: the map is empty, there is no score.")
        if said := cell_verdict(row):
            colour = GOOD if is_answered(row) else FAINT
            self.verdict.say(said, WARN if "disagrees" in said else colour)
            doubts = (f"⚠ {why[0].upper()}{why[1:]}." for why in cell_doubts(row))
            self.doubts.say("\n".join(doubts), WARN)

    def _hint(self, text: str) -> None:
        self.legend.setText(f"<span style='color:{legible(FAINT, self)}'>{text}</span>")


def _map_alone(row: Any) -> str:
    parts = (
        f"<span style='color:{colour}'>■</span>&nbsp;{title} {percent(row[name])}"
        for name, (title, colour) in SHARES.items()
    )
    return "&nbsp; ".join(parts)


def _both(row: Any, faint: str) -> str:
    """A line a region: its share of the map, of the prediction and of the crop."""
    volumes = [row[name] for name in VOLUMES]
    volumes.append(1 - sum(volumes))
    lines = [
        f"<tr style='color:{faint}'><td></td>"
        + "".join(f"<td align='right'>&nbsp;&nbsp;{of}</td>" for of in ("map", "owes", "fills"))
        + "</tr>"
    ]
    for lies, owes, fills in zip(SHARES, CAUSAL_SHARES, volumes, strict=True):
        title, colour = SHARES[lies]
        shares = (row[lies], row[owes], fills)
        lines.append(
            f"<tr><td><span style='color:{colour}'>■</span>&nbsp;{title}</td>"
            + "".join(f"<td align='right'>&nbsp;&nbsp;{percent(share)}</td>" for share in shares)
            + "</tr>"
        )
    return (
        f"<table cellspacing='0'>{''.join(lines)}</table><span style='color:{faint}'>"
        f"{escape(_effect(row))}</span>"
    )


def _effect(row: Any) -> str:
    """How much depends on all contents together, and whether the call does."""
    error = row["causal_effect_se"]
    by = number(row["causal_effect"], 1) + (f" ± {number(error, 1)}" if np.isfinite(error) else "")
    flips = row["causal_flips"]
    flipped = isinstance(flips, (bool, np.bool_)) and flips
    turns = ", which turns the call" if flipped else ""
    return f"all of it taken from cells of {row['causal_reference']}: {by} logits less{turns}"
