"""Delayed messages over restarts: `restart.rs` kills the broker when this program reports that it is ready, and starts it with another number of shards.

RabbitMQ 4.3 has the exchange type only with a community plugin, which keeps fewer of the messages that are checked here.
"""

import time

import pika
from support import channels, consume, over_restarts, pump, stay

# Messages wait on the shard of the connection that declared their exchange; each exchange is declared on a connection of its own.
EXCHANGES = [f"r.delay.{n}" for n in range(6)]
PERSISTENT, TRANSIENT = 2, 1
# The time after which the restarts are done.
LONG = 30_000


def delayed():
    """A persistent message in a durable exchange comes when it is due; all others are gone."""
    channel = stay()
    channel.confirm_delivery()
    channel.queue_declare("r.delayed", durable=True)
    channel.exchange_declare("r.delay.transient", "x-delayed-message", arguments={"x-delayed-type": "fanout"})
    with channels(len(EXCHANGES) + 1) as several:
        for one, name in zip(several, [*EXCHANGES, "r.delay.deleted"]):
            one.exchange_declare(name, "x-delayed-message", durable=True, arguments={"x-delayed-type": "fanout"})
    for name in [*EXCHANGES, "r.delay.deleted", "r.delay.transient"]:
        channel.queue_bind("r.delayed", name)
    due = {}
    for name in EXCHANGES:
        for delay in (1, 3_000, 12_000, LONG):
            publish(channel, due, name, f"{name} {delay}", delay)
        publish(channel, {}, name, f"{name} transient", LONG, TRANSIENT)
    for name in ("r.delay.deleted", "r.delay.transient"):
        publish(channel, {}, name, name, LONG)
    channel.exchange_delete("r.delay.deleted")
    yield
    with channels(1) as (channel,):
        channel.confirm_delivery()
        for name in EXCHANGES:
            channel.exchange_declare(name, "x-delayed-message", durable=True, arguments={"x-delayed-type": "fanout"})
            for delay in (1_000, LONG):
                publish(channel, due, name, f"{name} {delay} later", delay)
    yield
    left, late = dict(due), {}
    started = time.time()
    with channels(1) as (channel,):
        _, messages = consume(channel, "r.delayed", 0, auto_ack=True)

        def all_came():
            now = time.time()
            while messages:
                _, properties, body = messages.pop()
                at = due[body.decode()]
                assert at <= now + 0.05, f"{body} comes {at - now:.3f} s before it is due"  # the broker's clock may be some turns old
                assert properties.headers["x-delay"] < 0, properties.headers
                if left.pop(body.decode(), None) and at > started:
                    late[body] = now - at
            return not left

        pump(channel, all_came, "the last delayed messages", 2 * LONG / 1000)
        pump(channel, lambda: time.time() > max(due.values()) + 1, "others that should be gone")
        all_came()
    assert len(late) >= len(EXCHANGES) and max(late.values()) < 2, f"seconds late: {late}"


def publish(channel, due, exchange, text, delay, mode=PERSISTENT):
    """Publishes a message, confirmed, and notes when it is due."""
    due[text] = time.time() + delay / 1000
    channel.basic_publish(exchange, "", text.encode(), pika.BasicProperties(delivery_mode=mode, headers={"x-delay": delay}))


over_restarts(delayed)
