"""What is kept from one launch of napari to the next: folders, settings, folds."""

from __future__ import annotations

import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QComboBox, QFileDialog, QWidget


def recall(name: str, default: Any = None) -> Any:
    """What was kept under a name, or the default where nothing (readable) was."""
    try:
        return json.loads(str(_file().value(name)))
    except ValueError:
        return default


def keep(name: str, value: Any) -> None:
    """Keep numbers, text, lists and dicts for the next launch."""
    _file().setValue(name, json.dumps(value))


def keep_choice(box: QComboBox, name: str) -> None:
    """Take up what was chosen in a box at the last launch, and keep what is chosen from now on."""
    place = box.findData(recall(name))
    if place >= 0:
        box.setCurrentIndex(place)
    box.activated.connect(partial(_keep_data, box, name))


def _keep_data(box: QComboBox, name: str, _: int) -> None:
    keep(name, box.currentData())


TABLES = "Tables (*.csv *.parquet *.pq)"
PLATES = "Plates (*.csv *.parquet *.pq)"
"""Which files are shown where a table, or a plate's, is asked for (`ask_path`)."""


def ask_path(
    parent: QWidget,
    title: str,
    dialog: Callable[..., Any] = QFileDialog.getOpenFileName,
    name: str = "",
    filters: str = "",
) -> str:
    """Ask for a path in the folder of the last one; empty where nothing was chosen."""
    start = str(Path(recall("folder", "")) / name)
    if dialog is QFileDialog.getExistingDirectory:
        path = dialog(parent, title, start)
    else:
        path, _ = dialog(parent, title, start, filters)
    if path:
        keep("folder", str(Path(path).parent))
    return path


def _file() -> QSettings:
    from platformdirs import user_config_path

    path = user_config_path("napari-gradcamo") / "docks.ini"
    return QSettings(str(path), QSettings.Format.IniFormat)
