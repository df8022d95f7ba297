"""The core tests under several Pythons and the oldest, pinned and newest packages.

    nox -s "tests-3.12(newest)"
    nox --list

torch is the pinned one among the oldest: older ones exist with CUDA only, at several GB.
"""

import shutil
from pathlib import Path

import nox

nox.options.default_venv_backend = "uv|venv"
nox.options.reuse_existing_virtualenvs = True

PYTHONS = ["3.11", "3.12", "3.13"]
TORCH = "torch==2.13.0"
# no Qt is installed: neither its plugin nor tests of windows can be loaded
QUICK = ("-p", "no:pytest-qt", "--ignore", "tests/gui", "-q", "-W", "ignore")
QUICK += ("-m", "not gui and not slow and not realdata")


@nox.session(python=PYTHONS)
@nox.parametrize("packages", ["pinned", "newest", "oldest"], ids=["pinned", "newest", "oldest"])
def tests(session: nox.Session, packages: str) -> None:
    """The core without windows and without trainings."""
    if packages == "pinned":
        session.install("-c", "constraints.txt", ".[test]")
    elif packages == "newest":
        session.install("--upgrade", ".[test]")
    else:
        session.install("uv")
        lowest = Path(session.create_tmp()) / "lowest.txt"
        pinned = lowest.with_name("pinned.txt")
        pinned.write_text(f"{TORCH}\n")
        session.run(
            *("uv", "pip", "compile", "pyproject.toml", "--extra", "test", "--quiet"),
            *("--resolution", "lowest-direct", "--python-version", str(session.python)),
            *("--override", str(pinned), "--output-file", str(lowest)),
        )
        session.install("-r", str(lowest))
        session.install("--no-deps", ".")
    session.run("python", "-m", "pytest", *QUICK, *session.posargs)


@nox.session(python=PYTHONS[1])
def wheel(session: nox.Session) -> None:
    """Build sdist and wheel, check both, and open every dock of the installed wheel on a screen."""
    shutil.rmtree("build/dist", ignore_errors=True)
    session.install("build", "twine", "check-wheel-contents")
    session.run("python", "-m", "build", "--outdir", "build/dist")
    session.run("python", "scripts/check_dist.py", "build/dist")
    (built,) = Path("build/dist").glob("*.whl")
    session.install("-c", "constraints.txt", f"{built}[gui]")
    session.run("python", "scripts/open_docks.py")
