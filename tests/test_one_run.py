"""Two runs never work in one folder, and one that was killed leaves no lock behind."""

import os
import signal
import subprocess
import sys

import pytest

from gradcamo import GradcamoError
from gradcamo.plate.lock import one_run

HOLDS = """
import sys, time
from pathlib import Path
from gradcamo.plate.lock import one_run
with one_run(Path(sys.argv[1])):
    print("in", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def other(tmp_path):
    """A process that works in the folder."""
    process = subprocess.Popen(
        [sys.executable, "-c", HOLDS, str(tmp_path)], stdout=subprocess.PIPE, text=True
    )
    assert process.stdout.readline() == "in\n"
    yield process
    process.kill()
    process.wait()


def test_a_second_run_is_told_who_works_there(tmp_path, other):
    with (
        pytest.raises(GradcamoError, match=rf"process {other.pid}, since \d{{4}}-"),
        one_run(tmp_path),
    ):
        pytest.fail("both run")


@pytest.mark.skipif(sys.platform == "win32", reason="POSIX signals")
def test_a_killed_run_leaves_the_folder_free(tmp_path, other):
    os.kill(other.pid, signal.SIGKILL)
    other.wait()
    with one_run(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_a_folder_is_free_again_after_a_run_that_failed(tmp_path):
    with pytest.raises(ZeroDivisionError), one_run(tmp_path):
        _ = 1 / 0
    with one_run(tmp_path):
        pass


def test_where_no_lock_can_be_had_the_run_goes_on_and_says_itself_what_is_wrong(tmp_path):
    (tmp_path / "file").write_text("as it was")
    with pytest.raises(OSError, match="of the run"), one_run(tmp_path / "file" / "out"):
        raise OSError("of the run")
    assert (tmp_path / "file").read_text() == "as it was"
