"""What is kept from one launch of napari to the next: folders, settings, folds."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from qtpy.QtCore import QSettings
from qtpy.QtWidgets import QFileDialog, QWidget


def recall(name: str, default: Any = None) -> Any:
    """What was kept under a name, or the default where nothing (readable) was."""
    try:
        return json.loads(str(_file().value(name)))
    except ValueError:
        return default


def keep(name: str, value: Any) -> None:
    """Keep numbers, text, lists and dicts for the next launch."""
    _file().setValue(name, json.dumps(value))


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
