"""Alarms through pika: a publisher is blocked and told why, a consumer goes on, and the end of the alarm is announced.

    python pika_alarms.py disk      against a broker whose disk is too small for its limit
    python pika_alarms.py memory    against a broker with little memory: publishing raises the alarm, consuming ends it
"""

import sys
import time

import pika
from support import URL, connection, pump, run


class Publisher:
    """A connection that counts what it has published, and the notices that it has received."""

    def __init__(self, conn):
        self.conn, self.channel, self.count, self.told = conn, conn.channel(), 0, []
        conn.add_on_connection_blocked_callback(lambda _, frame: self.told.append(frame.method.reason))
        conn.add_on_connection_unblocked_callback(lambda *_: self.told.append("over"))

    def publish(self, queue, body):
        self.channel.basic_publish("", queue, body)
        self.count += 1
        self.conn.process_data_events(time_limit=0)

    def hear(self, count):
        pump(self.channel, lambda: len(self.told) >= count, "connection.blocked or unblocked")
        return self.told


def a_full_disk():
    with connection() as other:
        channel = other.channel()
        queue = channel.queue_declare("e2e.alarm", durable=True).method.queue
        # It is never closed, because the broker answers the close of a blocked client only at the end of the alarm.
        publisher = Publisher(pika.BlockingConnection(pika.URLParameters(URL)))
        publisher.publish(queue, b"x")
        assert publisher.hear(1) == ["low on disk"], publisher.told
        # Everything but publishing works, also on connections that are opened now.
        with connection() as third:
            channel = third.channel()
            assert channel.basic_get(queue) == (None, None, None), "the message has not been read"
            channel.queue_delete(queue)


def memory_that_is_used_up_and_freed():
    with connection() as conn, connection() as other:
        channel = other.channel()
        queue = channel.queue_declare("e2e.alarm", durable=True).method.queue
        publisher = Publisher(conn)
        end = time.monotonic() + 60
        while not publisher.told:
            assert time.monotonic() < end, f"no alarm after {publisher.count} messages"
            publisher.publish(queue, bytes(BODY))
        assert publisher.told == ["low on memory"], publisher.told
        bodies = 0

        def on_message(*_):
            nonlocal bodies
            bodies += 1

        channel.basic_consume(queue, on_message, auto_ack=True)
        # Most messages come while the publisher is blocked; those that it wrote last come afterwards.
        pump(channel, lambda: bodies >= publisher.count - 2000, "the messages that were published", 30)
        assert publisher.hear(2) == ["low on memory", "over"], publisher.told
        pump(channel, lambda: bodies >= publisher.count, "all messages", 30)
        publisher.publish(queue, bytes(BODY))
        pump(channel, lambda: bodies == publisher.count, "one more message")
        channel.queue_delete(queue)


BODY = 8000

run({"disk": a_full_disk, "memory": memory_that_is_used_up_and_freed}[sys.argv[1]])
