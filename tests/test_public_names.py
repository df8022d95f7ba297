"""The public names: what the stub promises is there, and costs nothing until it is used."""

import re
import subprocess
import sys
from pathlib import Path

import gradcamo as gc


def test_every_public_name_exists_and_is_documented():
    for name in gc.__all__:
        assert getattr(gc, name).__doc__, name


def test_importing_the_package_loads_no_library():
    heavy = ["napari", "torch", "pandas", "numpy", "qtpy"]
    code = f"import sys, gradcamo; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


def test_the_reference_shows_every_public_name():
    page = Path(__file__).parents[1] / "docs" / "reference.md"
    shown = re.findall(r"^::: (gradcamo\.[\w.]+)$", page.read_text(encoding="utf-8"), re.M)
    names = [name.rpartition(".")[2] for name in shown]
    assert sorted(names) == sorted(set(gc.__all__) - {"__version__"})
