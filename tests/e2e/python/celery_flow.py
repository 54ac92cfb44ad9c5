"""Celery: a worker process, results through rpc://, groups, chains, chords' parts, retries, ETA, remote control and events."""

import subprocess
import sys
import threading
import time
from collections import Counter
from datetime import datetime, timedelta, timezone

from celery import chain, group
from celery_app import add, app, fail, requeued_once, third_time_lucky


def results():
    assert add.delay(2, 3).get(timeout=10) == 5
    try:
        fail.delay("as told").get(timeout=10)
    except ValueError as error:
        assert str(error) == "as told"
    else:
        raise AssertionError("the exception did not come back")


def group_and_chain():
    outcome = group(add.s(n, n) for n in range(50)).apply_async()
    assert outcome.get(timeout=30) == [2 * n for n in range(50)]
    assert chain(add.s(1, 2), add.s(10), add.s(100))().get(timeout=10) == 113


def retries_and_requeue():
    assert third_time_lucky.delay("k").get(timeout=15) == 2
    assert requeued_once.delay().get(timeout=15) == "redelivered"


def countdown_and_eta():
    """Waiting tasks are kept by the worker, which raises its prefetch for each: global basic.qos while it consumes."""
    started = time.monotonic()
    waiting = [add.apply_async((n, 1), countdown=1.5) for n in range(12)]
    eta = add.apply_async((7, 7), eta=datetime.now(timezone.utc) + timedelta(seconds=1))
    assert add.delay(0, 0).get(timeout=10) == 0, "a task without delay waits behind the waiting ones"
    assert eta.get(timeout=15) == 14
    assert [task.get(timeout=15) for task in waiting] == [n + 1 for n in range(12)]
    assert time.monotonic() - started >= 1.5, "the countdown was not kept"


def remote_control():
    (answer,) = app.control.ping(timeout=3)
    ((worker, pong),) = answer.items()
    assert pong == {"ok": "pong"}
    # With a destination the caller knows how many answers will come, and does not wait for more.
    inspect = app.control.inspect(destination=[worker], timeout=5)
    assert inspect.ping() == {worker: {"ok": "pong"}}
    assert "celery_app.add" in inspect.registered()[worker]
    assert [queue["name"] for queue in inspect.active_queues()[worker]] == ["e2e.celery"]
    told = {"destination": [worker], "reply": True, "timeout": 5}
    assert "ok" in app.control.broadcast("add_consumer", {"queue": "e2e.celery.second"}, **told)[0][worker]
    assert add.apply_async((1, 1), queue="e2e.celery.second").get(timeout=10) == 2
    assert "ok" in app.control.cancel_consumer("e2e.celery.second", **told)[0][worker]


def events():
    seen, stop = Counter(), threading.Event()

    def listen():
        with app.connection_for_read() as connection:
            receiver = app.events.Receiver(connection, handlers={"*": lambda event: seen.update([event["type"]])})
            for _ in receiver.itercapture(limit=None, timeout=20, wakeup=True):
                if stop.is_set():
                    return

    listener = threading.Thread(target=listen, daemon=True)
    listener.start()
    end = time.monotonic() + 20
    while not (seen["task-succeeded"] and seen["task-received"] and seen["worker-heartbeat"]):
        assert time.monotonic() < end, f"events seen: {dict(seen)}"
        add.delay(1, 2).get(timeout=10)
        time.sleep(0.1)
    stop.set()


def revoked():
    task = add.apply_async((1, 2), countdown=2)
    time.sleep(0.3)
    app.control.revoke(task.id)
    try:
        task.get(timeout=10)
    except Exception as error:
        assert type(error).__name__ == "TaskRevokedError", error
    else:
        raise AssertionError("a revoked task ran")


def clean_up():
    with app.connection_for_write() as connection:
        channel = connection.default_channel
        for queue in ("e2e.celery", "e2e.celery.second"):
            channel.queue_delete(queue)
        for exchange in ("e2e.celery", "e2e.celery.second"):
            channel.exchange_delete(exchange)


worker = subprocess.Popen(
    [sys.executable, "-m", "celery", "-A", "celery_app", "worker", "--pool=threads", "-c", "2", "--loglevel=WARNING", "-n", "e2e@localhost"]
)
try:
    for case in (results, group_and_chain, retries_and_requeue, countdown_and_eta, remote_control, events, revoked):
        started = time.monotonic()
        case()
        print(f"ok {case.__name__} {time.monotonic() - started:.2f}s", flush=True)
    worker.terminate()
    assert worker.wait(15) == 0, f"the worker's warm shutdown ended with {worker.returncode}"
    clean_up()
finally:
    worker.kill()
