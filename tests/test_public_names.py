"""The public names: what the stub promises is there, and costs nothing until it is used."""

import subprocess
import sys

import gradcamo as gc


def test_every_public_name_exists_and_is_documented():
    for name in gc.__all__:
        assert getattr(gc, name).__doc__, name


def test_importing_the_package_loads_no_library():
    heavy = ["napari", "torch", "pandas", "numpy", "qtpy"]
    code = f"import sys, gradcamo; print([m for m in {heavy} if m in sys.modules])"
    out = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"
