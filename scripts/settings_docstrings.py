"""For the reference: settings list their fields in their docstrings, once they are imported."""

from __future__ import annotations

from inspect import getdoc
from typing import Any

import griffe


class SettingsDocstrings(griffe.Extension):
    """Take the docstring of the class where the source has its first lines only."""

    def on_class(self, *, cls: griffe.Class, **kwargs: Any) -> None:
        """Called with every class of the package."""
        if not any(str(base).endswith("Settings") for base in cls.bases):
            return
        said = getdoc(griffe.dynamic_import(cls.path)) or ""
        cls.docstring = griffe.Docstring(said, lineno=cls.lineno, parent=cls)
