"""Celery's waiting tasks: countdown and ETA beyond the prefetch (global basic.qos while consuming), a worker that dies with them, a chord.

Celery raises its prefetch globally only for a broker that claims to be RabbitMQ 3; this program needs such a broker.
"""

import os
import subprocess
import sys
import tempfile
import time

RESULTS = tempfile.mkdtemp(prefix="e2e-celery-")
os.environ["CELERY_BACKEND"] = f"file://{RESULTS}"  # a chord needs results that somebody else can read

from celery import chord
from celery_app import add, app, third_time_lucky, total

PREFETCH = 4  # two threads, twice


def start_worker(name):
    words = ["celery", "-A", "celery_app", "worker", "--pool=threads", "-c", "2", "--loglevel=WARNING", "-n", f"{name}@localhost"]
    return subprocess.Popen([sys.executable, "-m", *words])


def wait_for_reserved(name, count):
    """Waits until this many tasks wait in the worker."""
    worker, end = f"{name}@localhost", time.monotonic() + 15
    inspect = app.control.inspect(destination=[worker], timeout=3)
    while len((inspect.scheduled() or {}).get(worker, [])) < count:
        assert time.monotonic() < end, f"{worker} has not been given {count} waiting tasks: {inspect.scheduled()}"


def waiting_tasks_are_in_nobody_s_way():
    """Each waiting task raises the prefetch of the channel by one, also for the existing consumer."""
    started = time.monotonic()
    waiting = [add.apply_async((n, 1), countdown=12) for n in range(3 * PREFETCH)]
    wait_for_reserved("first", len(waiting))
    assert add.delay(0, 0).get(timeout=5) == 0
    assert third_time_lucky.delay("k").get(timeout=5) == 2
    assert time.monotonic() - started < 10, "the tasks without delay waited for the waiting ones"
    assert [task.get(timeout=20) for task in waiting] == [n + 1 for n in range(len(waiting))]
    assert time.monotonic() - started >= 12, "the countdown was not kept"


def a_worker_that_dies_gives_its_tasks_back(workers):
    """The broker holds every waiting task until it is done: the next worker gets them all."""
    waiting = [add.apply_async((n, 2), countdown=6) for n in range(2 * PREFETCH)]
    wait_for_reserved("first", len(waiting))
    workers[0].kill()
    workers[0].wait()
    workers.append(start_worker("second"))
    assert [task.get(timeout=30) for task in waiting] == [n + 2 for n in range(len(waiting))]


def chord_and_its_retries():
    """The task that unlocks the chord retries with a countdown until the parts are done."""
    assert chord((add.s(n, n) for n in range(10)), total.s()).apply_async().get(timeout=30) == 90


def clean_up():
    with app.connection_for_write() as connection:
        connection.default_channel.queue_delete("e2e.celery")
        connection.default_channel.exchange_delete("e2e.celery")


workers = [start_worker("first")]
try:
    for case in (waiting_tasks_are_in_nobody_s_way, lambda: a_worker_that_dies_gives_its_tasks_back(workers), chord_and_its_retries):
        case()
    workers[-1].terminate()
    assert workers[-1].wait(15) == 0, f"the worker's warm shutdown ended with {workers[-1].returncode}"
    clean_up()
finally:
    for worker in workers:
        worker.kill()
