"""Work beside the window always ends, and always says how."""

from __future__ import annotations

import threading
import time
import warnings
import weakref
from functools import partial

import pytest
from qtpy.QtCore import QCoreApplication, QEventLoop, QObject

from gradcamo.docks.parts.threads import let_go, working
from gradcamo.docks.parts.widgets import JobRow
from gradcamo.docks.parts.worker import Job
from gradcamo.docks.parts.writer import Writer
from gradcamo.errors import GradcamoError, GradcamoWarning

pytestmark = pytest.mark.gui


@pytest.fixture
def job(qapp):
    return Job()


def gather(job, qtbot, steps, **how):
    items, errors = [], []
    job.stepped.connect(items.append)
    job.failed.connect(errors.append)
    with qtbot.waitSignal(job.ended, timeout=30_000) as ended:
        job.start(steps, **how)
    return items, errors, ended.args[0]


def test_every_step_arrives_in_order(job, qtbot):
    assert gather(job, qtbot, lambda: iter(range(20))) == (list(range(20)), [], True)
    assert not job.running


@pytest.mark.parametrize(
    "error", [RuntimeError("CUDA out of memory"), ValueError("no"), OSError(), SystemExit(1)]
)
def test_any_error_arrives_and_the_job_can_run_again(job, qtbot, error):
    def failing():
        yield 1
        raise error

    items, errors, complete = gather(job, qtbot, failing)
    assert (items, complete, job.running) == ([1], False, False)
    assert str(errors[0]) == (str(error) or type(error).__name__) or errors[0] is error
    assert gather(job, qtbot, lambda: iter("ab"))[2]


def test_the_work_runs_beside_the_window(job, qtbot):
    def where():
        yield threading.current_thread()

    items, _, _ = gather(job, qtbot, where)
    assert items[0] is not threading.main_thread()


def test_cancel_stops_after_the_present_step(job, qtbot):
    made = []

    def slow():
        for number in range(1000):
            time.sleep(0.02)
            made.append(number)
            yield number

    items = []
    job.stepped.connect(items.append)
    job.start(slow)
    qtbot.waitUntil(lambda: len(items) > 3, timeout=30_000)
    with qtbot.waitSignal(job.ended, timeout=30_000) as ended:
        job.cancel()
        before = len(made)
    assert ended.args == [False]
    assert items == made
    assert len(made) <= before + 1


def test_a_gentle_cancel_brings_home_what_is_done(job, qtbot):
    def planes():
        done = []
        while len(done) < 1000:
            time.sleep(0.01)
            done.append(len(done))
            yield "plane"
            if job.cancelling:
                break
        yield done

    items = []
    job.stepped.connect(items.append)
    job.start(planes, gentle=True)
    qtbot.waitUntil(lambda: len(items) > 3, timeout=30_000)
    with qtbot.waitSignal(job.ended, timeout=30_000) as ended:
        job.cancel()
    assert isinstance(items[-1], list)
    assert len(items[-1]) == len(items) - 1
    assert ended.args == [False]


def test_a_job_does_one_thing_at_a_time(job, qtbot):
    release = threading.Event()

    def waiting():
        release.wait(5)
        yield 1

    job.start(waiting)
    with pytest.raises(GradcamoError, match="still running"):
        job.start(waiting)
    with qtbot.waitSignal(job.ended, timeout=30_000):
        release.set()


def test_who_acts_on_an_error_as_soon_as_it_is_shown_need_not_wait(job, qtbot):
    def failing():
        raise ValueError("no axes")
        yield

    shown = []
    job.failed.connect(shown.append)
    job.start(failing)
    while not shown:
        QCoreApplication.processEvents(QEventLoop.ProcessEventsFlag.AllEvents, 1)
    assert gather(job, qtbot, lambda: iter("ab"))[2]


def test_the_thread_of_a_job_that_is_deleted_ends_with_its_step(qtbot):
    owner, done = QObject(), []

    def slow():
        while True:
            time.sleep(0.01)
            done.append(0)
            yield

    Job(owner).start(slow)
    qtbot.waitUntil(lambda: len(done) > 2, timeout=30_000)
    owner.deleteLater()
    del owner
    qtbot.waitUntil(lambda: not working(), timeout=30_000)


def a_job(where):
    """A job whose steps alone refer to what stands for a window."""

    def steps(thing):
        yield id(thing)

    thing, job = QObject(), Job()
    weakref.finalize(thing, lambda: where.append(threading.current_thread()))
    job.start(partial(steps, thing))


def a_writer(where):
    writer = Writer()
    weakref.finalize(writer, lambda: where.append(threading.current_thread()))
    writer.put("marks", lambda: time.sleep(0.1))


@pytest.mark.parametrize("beside", [a_job, a_writer])
def test_what_a_thread_refers_to_last_is_destroyed_by_the_gui_thread(qapp, beside):
    where = []
    beside(where)
    for thread in (*working(), *working("gradcamo-autosave")):
        thread.join(30)
    let_go()
    QCoreApplication.processEvents()  # what the job had said is dropped with it
    assert where == [threading.main_thread()]


def test_warnings_of_jobs_side_by_side_arrive_and_so_do_those_that_follow(qtbot):
    def warning(name):
        for _ in range(3):
            time.sleep(0.01)
            yield
        warnings.warn(f"from {name}", GradcamoWarning, stacklevel=1)

    first, second = Job(), Job()
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        with qtbot.waitSignals([first.ended, second.ended], timeout=30_000):
            first.start(lambda: warning("one"))
            second.start(lambda: warning("another"))
        warnings.warn("after", GradcamoWarning, stacklevel=1)
    assert {str(one.message) for one in seen} == {"from one", "from another", "after"}


def test_a_row_shows_the_time_that_the_work_itself_knows_is_left(job, qtbot):
    row = JobRow(job, "stacks")
    qtbot.addWidget(row)
    row.show_progress(1, 4)
    assert row.text.text() == "1 of 4 stacks"  # nobody knows yet
    for seconds, said in ((95.0, "2 min"), (40.0, "40 s"), (12.0, "12 s")):
        row.show_progress(1, 4, seconds)
        assert row.text.text() == f"1 of 4 stacks · about {said} left"
    row.show_progress(4, 4, 0.0)
    assert row.text.text() == "4 of 4 stacks"
