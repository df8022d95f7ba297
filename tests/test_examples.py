"""The examples of the public names do what they show, where the reference says that they run."""

import doctest
import importlib
import inspect
import re
from pathlib import Path

import pytest
from examples import run_examples

import gradcamo as gc

NAMES = sorted(set(gc.__all__) - {"__version__"})
SOURCE = Path(gc.__file__).parent
WITH_EXAMPLES = [path for path in SOURCE.rglob("*.py") if ">>> " in path.read_text("utf-8")]
SLOW = {"train", "audit_plate"}  # a training, and workers that start
MADE_BY_HAND = sorted(set(NAMES) - {"CamResult", "CellCrop", "GradcamoError", "SingleCells"})


@pytest.mark.parametrize(
    "name",
    [
        pytest.param(name, marks=[pytest.mark.slow] * (name in SLOW))
        for name in NAMES
        if name != "open_window"  # with the windows, in gui/test_doors.py
    ],
)
@pytest.mark.filterwarnings("ignore::gradcamo.errors.GradcamoWarning")  # small cells, few planes
def test_the_examples_of_a_public_name_run(name, reference_folder, monkeypatch):
    monkeypatch.chdir(reference_folder)
    run_examples(getattr(gc, name))


@pytest.mark.parametrize("name", NAMES)
def test_every_public_name_has_an_example_that_stands_alone_and_runs(name):
    lines = doctest.DocTestParser().get_examples(section(name, "Examples"))
    assert lines[0].source == "import gradcamo as gc\n"
    assert any("gc." in line.source for line in lines[1:])
    assert all(doctest.SKIP not in line.options for line in lines)


@pytest.mark.parametrize("name", MADE_BY_HAND)
def test_what_a_public_name_takes_is_told_name_by_name(name):
    told = re.findall(r"^(\w[\w, ]*)(?: :|$)", section(name, "Parameters"), re.M)
    parameters = inspect.signature(getattr(gc, name)).parameters.values()
    taken = [p.name for p in parameters if p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)]
    assert [part for names in told for part in names.split(", ")] == taken


@pytest.mark.parametrize("path", WITH_EXAMPLES, ids=lambda path: path.stem)
def test_the_examples_of_a_name_that_is_not_public_run(path):
    parts = path.relative_to(SOURCE.parent).with_suffix("").parts
    module = importlib.import_module(".".join(parts))
    for name, found in inspect.getmembers(module, callable):
        if found.__module__ == module.__name__ and name not in NAMES:
            run_examples(found, vars(module))


def section(name, heading):
    """One section of a numpydoc docstring, empty if there is none."""
    docstring = inspect.cleandoc(getattr(gc, name).__doc__)
    found = re.search(rf"^{heading}\n-+\n(.*?)(?:\n\n\w+\n---|\Z)", docstring, re.M | re.S)
    return found[1] if found else ""
