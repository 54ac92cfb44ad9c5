"""Code shared by the client programs: the broker's address, a runner, and functions that wait and check."""

import itertools
import os
import time
import traceback
from contextlib import contextmanager

import pika
from pika.exceptions import AMQPError, ChannelClosedByBroker, ConnectionClosedByBroker

URL = os.environ["AMQP_URL"]


def run(*cases):
    """Runs each case; the first one that raises ends the program with its traceback and status 1."""
    for case in cases:
        started = time.monotonic()
        case()
        print(f"ok {case.__name__} {time.monotonic() - started:.2f}s", flush=True)


@contextmanager
def connection(**options):
    """A pika connection that is closed at the end, unless the case closed it."""
    parameters = pika.URLParameters(URL)
    for name, value in options.items():
        setattr(parameters, name, value)
    opened = pika.BlockingConnection(parameters)
    try:
        yield opened
    finally:
        if opened.is_open:
            opened.close()


@contextmanager
def channels(count):
    """This many channels, each on a connection of its own, so that several shards take part."""
    if count == 0:
        yield []
        return
    with connection() as first, channels(count - 1) as others:
        yield [first.channel(), *others]


@contextmanager
def channel_error(code, *words):
    """The broker must close the channel with this code and a text that has these words."""
    try:
        yield
    except ChannelClosedByBroker as error:
        assert error.reply_code == code, f"code {error.reply_code} {error.reply_text}, not {code}"
        assert all(word in error.reply_text for word in words), f"text {error.reply_text!r} lacks one of {words}"
    else:
        raise AssertionError(f"the channel was not closed with {code}")


@contextmanager
def connection_error(code, *words):
    """The broker must close the connection with this code and a text that has these words."""
    try:
        yield
    except ConnectionClosedByBroker as error:
        assert error.reply_code == code, f"code {error.reply_code} {error.reply_text}, not {code}"
        assert all(word in error.reply_text for word in words), f"text {error.reply_text!r} lacks one of {words}"
    else:
        raise AssertionError(f"the connection was not closed with {code}")


def wait_until(holds, what, seconds=10):
    """Asks again and again until the condition holds: effects of another connection are visible soon, but not at once."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(0.02)


def ready(channel, queue):
    """Returns how many messages wait in the queue."""
    return channel.queue_declare(queue, passive=True).method.message_count


def drain(channel, queue, count, seconds=10):
    """Gets this many messages without acknowledgement; fails when they do not come."""
    bodies = []

    def more():
        method, _, body = channel.basic_get(queue, auto_ack=True)
        if method:
            bodies.append(body)
        return len(bodies) >= count

    wait_until(more, f"{count} messages in {queue}", seconds)
    return bodies


def consume(channel, queue, count, seconds=10, **options):
    """Consumes until this many (method, properties, body) have come, then leaves the consumer running: (tag, messages)."""
    messages = []
    tag = channel.basic_consume(queue, lambda _, *message: messages.append(message), **options)
    pump(channel, lambda: len(messages) >= count, f"{count} deliveries from {queue}", seconds)
    return tag, messages


def pump(channel, holds, what, seconds=10):
    """Serves the channel's connection until the condition holds."""
    end = time.monotonic() + seconds
    while not holds():
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        channel.connection.process_data_events(time_limit=0.05)


HELD = []


def stay():
    """A channel on a connection that is left open, for example over a restart of the broker."""
    HELD.append(pika.BlockingConnection(pika.URLParameters(URL)))
    return HELD[-1].channel()


def over_restarts(*cases):
    """Runs generators that yield where the broker is to be restarted, all at the same restarts; shows every case that fails."""
    running, failed = [(case.__name__, case()) for case in cases], []
    stay()  # one connection at least, to see the broker go
    for n in itertools.count(1):
        running = [(name, case) for name, case in running if _goes_on(name, case, failed)]
        if not running:
            break
        print(f"ready {n}", flush=True)
        _await_restart()
    if failed:
        raise SystemExit(f"failed: {', '.join(failed)}")


def _goes_on(name, case, failed):
    try:
        next(case)
        return True
    except StopIteration:
        print(f"ok {name}", flush=True)
    except Exception:  # each is shown, and the other cases go on
        print(f"{name}: {traceback.format_exc()}", flush=True)
        failed.append(name)
    return False


def _await_restart(seconds=40):
    """Serves the open connections until the broker has ended them, then waits until it takes new ones."""
    wait_until(lambda: not any([_is_alive(held) for held in HELD]), "the broker to end", seconds)
    HELD.clear()
    wait_until(_accepts, "the broker to start", seconds)


def _is_alive(held):
    try:
        if held.is_open:
            held.process_data_events(time_limit=0)
    except AMQPError:
        return False
    return held.is_open


def _accepts():
    try:
        stay()
    except (AMQPError, OSError):
        return False
    return True
