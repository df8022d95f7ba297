"""Runs the examples of public names, where the reference says that they run."""

import doctest
import re
import shlex
from pathlib import Path

import pytest
from click.testing import CliRunner

PAGE = Path(__file__).parents[1] / "docs" / "reference.md"
FLAGS = doctest.NORMALIZE_WHITESPACE | doctest.ELLIPSIS


def run_head_of_reference(folder):
    """Run the Python and then the commands at the head of the page, as they stand there."""
    from gradcamo.cli.commands import main

    head = PAGE.read_text(encoding="utf-8").partition("\n## ")[0]
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        for code in re.findall(r"```python\n(.*?)```", head, re.S):
            exec(code, {})
        for line in "".join(re.findall(r"```sh\n(.*?)```", head, re.S)).splitlines():
            program, *arguments = shlex.split(line)
            assert program == "gradcamo"
            done = CliRunner().invoke(main, arguments)
            assert done.exit_code == 0, done.output


def run_examples(documented, known=None):
    """Run those of an object in the working folder, and compare what they say.

    ``known`` are names that they need not import.
    """
    said = []
    name, names = documented.__name__, dict(known or {})
    for example in doctest.DocTestFinder(recurse=False).find(documented, name, globs=names):
        doctest.DocTestRunner(optionflags=FLAGS).run(example, out=said.append)
    assert not said, "".join(said)
