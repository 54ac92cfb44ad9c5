"""Streams of events as kombu and Celery make them: every receiver has a queue of its own that expires, with messages that expire."""

import os
import socket
import time

from amqp.exceptions import NotFound
from celery import Celery
from kombu import Connection, Consumer, Exchange, Producer, Queue
from support import run, wait_until

URL = os.environ["AMQP_URL"]
app = Celery("e2e.events", broker=URL)


def drain(connection, seen, count, seconds=10):
    """Takes messages until this many have come; then no more may come."""
    end = time.monotonic() + seconds
    while len(seen) < count:
        assert time.monotonic() < end, f"{len(seen)} of {count} came: {seen}"
        try:
            connection.drain_events(timeout=0.1)
        except socket.timeout:
            pass
    try:
        connection.drain_events(timeout=0.2)
        raise AssertionError(f"more than {count} came: {seen}")
    except socket.timeout:
        pass


def exists(queue):
    with Connection(URL) as connection:
        try:
            queue(connection.default_channel).queue_declare(passive=True)
        except NotFound:
            return False
        return True


def events_reach_every_receiver():
    """Celery's receivers: exchange `celeryev`, queues with x-expires and x-message-ttl; each sees all events of its topics, in order."""
    with app.connection() as connection, app.connection() as sender:
        seen, tasks = [], []
        everything = app.events.Receiver(connection, handlers={"*": lambda event: seen.append((event["type"], event["n"]))})
        of_tasks = app.events.Receiver(connection, handlers={"*": lambda event: tasks.append(event["n"])}, routing_key="task.#")
        # Each receiver opens a connection of its own.
        with everything.consumer_context(wakeup=False) as (first, *_), of_tasks.consumer_context(wakeup=False) as (second, *_):
            with app.events.Dispatcher(sender, hostname="e2e") as dispatcher:
                for n in range(100):
                    dispatcher.send("task-e2e" if n % 2 else "worker-e2e", n=n, retry=False)
            drain(first, seen, 100)
            drain(second, tasks, 50)
        assert seen == [("task-e2e" if n % 2 else "worker-e2e", n) for n in range(100)], seen
        assert tasks == list(range(1, 100, 2)), tasks


def events_that_nobody_took_in_time_are_gone():
    with app.connection() as connection, app.connection() as sender:
        seen = []
        handlers = {"*": lambda event: seen.append(event["n"])}
        receiver = app.events.Receiver(connection, handlers=handlers, queue_ttl=0.5, queue_exclusive=False)
        receiver.queue(connection.default_channel).declare()
        with app.events.Dispatcher(sender, hostname="e2e") as dispatcher:
            dispatcher.send("task-e2e", n=1)
            time.sleep(0.8)
            dispatcher.send("task-e2e", n=2)
            with receiver.consumer_context(wakeup=False) as (own, *_):
                drain(own, seen, 1)
        assert seen == [2], seen


def queues_of_receivers_that_are_gone_expire():
    """A queue that outlives its receiver keeps events for it until it expires."""
    with app.connection() as sender, app.events.Dispatcher(sender, hostname="e2e") as dispatcher:
        seen = []
        options = {"queue_durable": True, "queue_exclusive": False, "queue_expires": 1.5, "node_id": "e2e-expires"}
        make = lambda connection: app.events.Receiver(connection, handlers={"*": lambda event: seen.append(event["n"])}, **options)
        for n in (1, 2):
            with app.connection() as connection:
                receiver = make(connection)
                with receiver.consumer_context(wakeup=False) as (own, *_):
                    drain(own, seen, len(range(1, n)))  # what came between the receivers
                    time.sleep(2)  # as long as it consumes it stays
            dispatcher.send("task-e2e", n=n)
            assert exists(receiver.queue)
        wait_until(lambda: not exists_unused(receiver.queue, 2), "the queue to expire", 20)
        assert seen == [1], seen


def exists_unused(queue, seconds):
    """Whether the queue exists after this many seconds without a question: a question is a use."""
    time.sleep(seconds)
    return exists(queue)


def fanout_stream():
    """kombu's own way: a fanout exchange, and for every receiver a queue that expires."""
    exchange = Exchange("e2e.events", "fanout", durable=False, auto_delete=True)
    queues = [Queue(f"e2e.events.{n}", exchange, auto_delete=True, durable=False, expires=60, message_ttl=5) for n in range(3)]
    with Connection(URL) as sender:
        connections = [Connection(URL) for _ in queues]
        seen = [[] for _ in queues]
        consumers = []
        for connection, queue, own in zip(connections, queues, seen):
            take = lambda body, message, own=own: own.append((body["n"], message.delivery_info["routing_key"]))
            consumers.append(Consumer(connection.channel(), [queue], callbacks=[take], no_ack=True, accept=["json"]))
            consumers[-1].consume()
        producer = Producer(sender.channel(), exchange, serializer="json")
        for n in range(200):
            producer.publish({"n": n}, routing_key=f"ignored.{n}", retry=False)
        for connection, own in zip(connections, seen):
            drain(connection, own, 200)
            assert own == [(n, f"ignored.{n}") for n in range(200)], own
        for connection in connections:
            connection.close()
        wait_until(lambda: not any(exists(queue) for queue in queues), "the queues to go with their consumers")


def clean_up():
    with app.connection() as connection:
        connection.default_channel.exchange_delete("celeryev")


run(
    events_reach_every_receiver, events_that_nobody_took_in_time_are_gone, queues_of_receivers_that_are_gone_expire,
    fanout_stream, clean_up,
)
