"""State that survives when the broker is ended by SIGTERM or SIGKILL (the argument) and started again, compared with RabbitMQ.

A case is a generator: it yields where the broker is to be restarted, twice. The rules depend on the signal:

- After SIGTERM every settlement counts, and `redelivered` is set for messages that were delivered before, and for no others.
- After SIGKILL RabbitMQ sets `redelivered` for all recovered messages, and settled messages may come back. Here a message that was
  delivered must have the flag, others may; and settlements that a confirmed publish to the same queue followed must last, which RabbitMQ
  does not guarantee.
- A message that the client requeued may or may not have `redelivered`: RabbitMQ sets it for a closed channel, and not for a basic.nack.
"""

import os
import sys

import pika
from pika.exceptions import UnroutableError
from support import channel_error, channels, consume, drain, over_restarts, ready, stay, wait_until

KILLED = sys.argv[1] == "KILL"
# Whether messages that were settled before a confirmed publish must be gone.
SETTLED_LASTS = not KILLED or "RINGMQ_E2E_URL" not in os.environ
PERSISTENT = pika.BasicProperties(delivery_mode=2)
RESTARTS = 2


def exchanges():
    channel = stay()
    kinds = {"direct": {}, "fanout": {}, "topic": {}, "headers": {}, "args": {"alternate-exchange": "amq.fanout"}}
    declared = [(f"r.x.{name}", "direct" if name == "args" else name, arguments) for name, arguments in kinds.items()]
    for name, kind, arguments in declared:
        channel.exchange_declare(name, kind, durable=True, arguments=arguments)
    channel.exchange_declare("r.x.internal", "topic", durable=True, internal=True)
    channel.exchange_declare("r.x.deleted", "direct", durable=True)
    channel.exchange_delete("r.x.deleted")
    for _ in range(RESTARTS):
        yield
        with channels(1) as (channel,):
            for name, kind, arguments in declared:
                present("exchange", name)
                channel.exchange_declare(name, kind, durable=True, arguments=arguments)
            present("exchange", "r.x.internal")
            channel.exchange_declare("r.x.internal", "topic", durable=True, internal=True)
        with channels(1) as (channel,), channel_error(406, "inequivalent arg 'type' for exchange 'r.x.topic'", "current is 'topic'"):
            channel.exchange_declare("r.x.topic", "direct", durable=True)
        with channels(1) as (channel,), channel_error(406, "inequivalent arg 'alternate-exchange' for exchange 'r.x.args'"):
            channel.exchange_declare("r.x.args", "direct", durable=True)
        gone("exchange", "r.x.deleted")


def auto_delete_exchanges():
    channel = stay()
    for name in ("unbound", "bound", "to.exclusive"):
        channel.exchange_declare(f"r.auto.{name}", "direct", durable=True, auto_delete=True)
    channel.queue_declare("r.auto.q", durable=True)
    channel.queue_declare("r.auto.exclusive", exclusive=True)
    channel.queue_bind("r.auto.q", "r.auto.bound", "k")
    channel.queue_bind("r.auto.exclusive", "r.auto.to.exclusive", "k")
    for _ in range(RESTARTS):
        yield
        with channels(1) as (channel,):
            for name in ("unbound", "bound"):
                present("exchange", f"r.auto.{name}")
                channel.exchange_declare(f"r.auto.{name}", "direct", durable=True, auto_delete=True)
        gone("exchange", "r.auto.to.exclusive")
    with channels(1) as (channel,):
        channel.queue_unbind("r.auto.q", "r.auto.bound", "k")
    gone("exchange", "r.auto.bound")


def queues():
    channel = stay()
    arguments = {"x-max-length": 1000, "x-unknown": "kept"}
    channel.queue_declare("r.q.durable", durable=True)
    channel.queue_declare("r.q.arguments", durable=True, arguments=arguments)
    named = channel.queue_declare("", durable=True).method.queue
    channel.queue_declare("r.q.transient", durable=False)
    channel.queue_declare("r.q.exclusive", durable=True, exclusive=True)
    channel.queue_declare("r.q.deleted", durable=True)
    channel.queue_delete("r.q.deleted")
    for _ in range(RESTARTS):
        yield
        with channels(1) as (channel,):
            for name in ("r.q.durable", "r.q.arguments", named):
                assert ready(channel, name) == 0
            channel.queue_declare("r.q.arguments", durable=True, arguments=arguments)
        with channels(1) as (channel,), channel_error(406, "inequivalent arg 'x-max-length' for queue 'r.q.arguments'", "the value '1000'"):
            channel.queue_declare("r.q.arguments", durable=True)
        with channels(1) as (channel,), channel_error(406, "inequivalent arg 'durable' for queue 'r.q.durable'", "current is 'true'"):
            channel.queue_declare("r.q.durable", durable=False)
        for name in ("transient", "exclusive", "deleted"):
            gone("queue", f"r.q.{name}")
    with channels(1) as (channel,):
        channel.queue_delete(named)


def auto_delete_queues():
    channel = stay()
    for name in ("unused", "consumed"):
        channel.queue_declare(f"r.q.auto.{name}", durable=True, auto_delete=True)
    channel.basic_consume("r.q.auto.consumed", lambda *_: None)
    for _ in range(RESTARTS):
        yield
        with channels(1) as (channel,):
            present("queue", "r.q.auto.unused")
            channel.queue_declare("r.q.auto.unused", durable=True, auto_delete=True)
        if not KILLED:  # its consumer left before the broker did; a broker that was killed has not seen that
            gone("queue", "r.q.auto.consumed")
    with channels(1) as (channel,):
        assert ready(channel, "r.q.auto.unused") == 0
        tag, _ = consume(channel, "r.q.auto.unused", 0)
        channel.basic_cancel(tag)
    gone("queue", "r.q.auto.unused")


def bindings():
    channel = stay()
    channel.queue_declare("r.b", durable=True)
    channel.queue_declare("r.b.transient", durable=False)
    for kind in ("direct", "topic", "headers", "fanout"):
        channel.exchange_declare(f"r.b.{kind}", kind, durable=True)
    channel.queue_bind("r.b", "r.b.direct", "key")
    channel.queue_bind("r.b", "r.b.direct", "unbound")
    channel.queue_unbind("r.b", "r.b.direct", "unbound")
    channel.queue_bind("r.b.transient", "r.b.direct", "transient")
    channel.queue_bind("r.b", "r.b.topic", "#.x.*")
    channel.queue_bind("r.b", "r.b.headers", "", {"a": 1, "b": "x", "x-match": "all"})
    channel.queue_bind("r.b", "r.b.fanout")
    channel.queue_bind("r.b", "amq.topic", "r.b.*")
    channel.exchange_bind("r.b.fanout", "r.b.direct", "over")
    for _ in range(RESTARTS):
        yield
        with channels(1) as (channel,):
            channel.confirm_delivery()
            for exchange, key, headers in (
                ("r.b.direct", "key", {}), ("r.b.direct", "over", {}), ("r.b.topic", "a.b.x.c", {}), ("r.b.fanout", "", {}),
                ("r.b.headers", "", {"a": 1, "b": "x"}), ("amq.topic", "r.b.c", {}), ("", "r.b", {}),
            ):
                assert routes(channel, exchange, key, headers), f"the binding of {exchange!r} for {key!r} {headers} is lost"
                assert drain(channel, "r.b", 1) == [b"routed"] and ready(channel, "r.b") == 0
            for exchange, key in (("r.b.direct", "unbound"), ("r.b.direct", "transient"), ("r.b.headers", ""), ("r.b.topic", "x")):
                assert not routes(channel, exchange, key), f"{exchange!r} routes {key!r}"


def persistent_messages():
    channel = stay()
    fill(channel, "r.mixed", 9, lambda n: pika.BasicProperties(delivery_mode=(2, 1, None)[n % 3]))
    for _ in range(RESTARTS):
        yield
        with channels(1) as (channel,):
            assert ready(channel, "r.mixed") == 3, f"{ready(channel, 'r.mixed')} messages of which 3 are persistent"
            assert [body for body, _ in look(channel, "r.mixed", 3)] == [b"0", b"3", b"6"]


def contents():
    channel = stay()
    channel.confirm_delivery()
    for name in ("r.c", "r.c.cc", "r.c.bcc"):
        channel.queue_declare(name, durable=True)
    channel.exchange_declare("r.c.x", "topic", durable=True)
    channel.queue_bind("r.c", "r.c.x", "some.*")
    headers = {
        "int": 1, "negative": -5, "big": 1 << 40, "text": "ü", "true": True, "none": None, "bytes": b"\xff\0", "list": [1, "a", {"b": 2}],
        "table": {"deep": {"er": 1}}, "long": "x" * 5000,
    }
    sent = pika.BasicProperties(
        content_type="text/plain", content_encoding="utf-8", delivery_mode=2, priority=7, correlation_id="c", reply_to="r",
        expiration="6000000", message_id="m", timestamp=1_700_000_000, type="t", user_id="guest", app_id="a", headers=headers,
    )
    bodies = [bytes(n % 251 for n in range(size)) for size in (0, 1, 4096, 65_536, 131_064, 131_065, 300_000, 5_000_000)]
    for body in bodies:
        channel.basic_publish("r.c.x", "some.key", body, sent)
    copied = pika.BasicProperties(delivery_mode=2, headers={"CC": ["r.c.cc"], "BCC": ["r.c.bcc"]})
    channel.basic_publish("", "r.nobody", b"copy", copied)
    for _ in range(RESTARTS):
        yield
        with channels(1) as (channel,):
            for body in bodies:
                method, got, came = channel.basic_get("r.c")
                assert (method.exchange, method.routing_key) == ("r.c.x", "some.key")
                assert came == body, f"{len(body)} bytes came as {len(came)}"
                for name in vars(sent):
                    assert getattr(got, name) == getattr(sent, name), f"{name}: {getattr(got, name)!r}"
            for name in ("r.c.cc", "r.c.bcc"):
                method, got, body = channel.basic_get(name)
                assert (method.routing_key, got.headers, body) == ("r.nobody", {"CC": ["r.c.cc"]}, b"copy")


def one_message_in_three_queues():
    channel = stay()
    channel.confirm_delivery()
    channel.exchange_declare("r.fan", "fanout", durable=True)
    for n in range(3):
        channel.queue_declare(f"r.fan.{n}", durable=True)
        channel.queue_bind(f"r.fan.{n}", "r.fan")
    channel.basic_publish("r.fan", "", b"x" * 40_000, PERSISTENT)
    channel.basic_get("r.fan.1", auto_ack=True)
    seal(channel, "r.fan.1")
    for _ in range(RESTARTS):
        yield
        with channels(1) as (channel,):
            for n, expected in enumerate(([b"x" * 40_000], [b"seal"], [b"x" * 40_000])):
                bodies = [body for body, _ in look(channel, f"r.fan.{n}", ready(channel, f"r.fan.{n}"))]
                assert bodies == expected or (n == 1 and not SETTLED_LASTS), f"queue {n} has {len(bodies)} messages"


def order_and_redelivered():
    channel, other = stay(), stay()
    for name in ("r.o.untouched", "r.o.unacked", "r.o.requeued", "r.o.closed"):
        fill(channel, name, 6)
    for _ in range(2):
        channel.basic_get("r.o.unacked")
    for tag in [channel.basic_get("r.o.requeued")[0].delivery_tag for _ in range(3)]:
        channel.basic_nack(tag, requeue=True)
    for _ in range(3):
        other.basic_get("r.o.closed")
    other.close()
    yield
    expect_in_order("r.o.untouched", 6, delivered=(), maybe=())
    expect_in_order("r.o.unacked", 6, delivered=(0, 1), maybe=())
    expect_in_order("r.o.requeued", 6, delivered=(), maybe=(0, 1, 2))
    expect_in_order("r.o.closed", 6, delivered=(0, 1, 2), maybe=())
    fill(stay(), "r.o.untouched", 3, first=6)
    yield
    for name in ("untouched", "unacked", "requeued", "closed"):
        count = 9 if name == "untouched" else 6
        expect_in_order(f"r.o.{name}", count, delivered=(), maybe=range(count))


def settled():
    """Acks, rejects, automatic acks and an ack of several, with gaps of unacknowledged messages between them."""
    channel = stay()
    fill(channel, "r.s", 12)
    tags = [channel.basic_get("r.s")[0].delivery_tag for _ in range(9)]
    channel.basic_ack(tags[1], multiple=True)
    channel.basic_ack(tags[3])
    channel.basic_reject(tags[5], requeue=False)
    channel.basic_nack(tags[7], requeue=False)
    channel.basic_get("r.s", auto_ack=True)
    seal(channel, "r.s")
    left = [b"2", b"4", b"6", b"8", b"10", b"11", b"seal"]
    for n in range(RESTARTS):
        yield
        with channels(1) as (channel,):
            came = look(channel, "r.s", ready(channel, "r.s"))
            bodies = [body for body, _ in came]
            assert bodies == left if SETTLED_LASTS else set(left) <= set(bodies), f"left is {bodies}"
        if n == 0:
            assert all(redelivered for _, redelivered in came[:4]), f"these were delivered before: {came}"
            channel = stay()
            for _ in bodies:
                channel.basic_ack(channel.basic_get("r.s")[0].delivery_tag)
            seal(channel, "r.s")
            left = [b"seal"]


def purged_and_deleted():
    """Messages that a queue has lost do not come back, also not to a younger queue of its name."""
    channel = stay()
    for name in ("r.purged", "r.again"):
        fill(channel, name, 5)
    channel.basic_get("r.purged")
    channel.queue_purge("r.purged")
    channel.queue_delete("r.again")
    fill(channel, "r.again", 2, first=7)
    fill(channel, "r.purged", 1, first=9)
    for _ in range(RESTARTS):
        yield
        with channels(1) as (channel,):
            assert [body for body, _ in look(channel, "r.purged", 2)] == [b"0", b"9"]
            assert [body for body, _ in look(channel, "r.again", 2)] == [b"7", b"8"] and ready(channel, "r.again") == 0


def priorities():
    """Messages of every priority, with delivered ones at their places; and a priority with settled and purged messages."""
    channel = stay()
    arguments = {"x-max-priority": 255}
    for name in ("r.p", "r.p.settled", "r.p.purged"):
        fill(channel, name, 12, lambda n: pika.BasicProperties(delivery_mode=2, priority=(None, 0, 7, 255)[n % 4]), arguments=arguments)
    order = [b"3", b"7", b"11", b"2", b"6", b"10", b"0", b"1", b"4", b"5", b"8", b"9"]
    assert [body for body, _ in look(channel, "r.p", 4)] == order[:4]
    tags = [channel.basic_get("r.p.settled")[0].delivery_tag for _ in range(8)]
    for at in (0, 2, 4, 7):
        channel.basic_ack(tags[at])
    channel.basic_get("r.p.purged")
    channel.queue_purge("r.p.purged")
    for name in ("r.p.settled", "r.p.purged"):
        channel.basic_publish("", name, b"seal", pika.BasicProperties(delivery_mode=2, priority=100))
    left = {"r.p": order, "r.p.settled": [b"7", b"seal", b"2", b"10", b"0", b"4", b"5", b"8", b"9"], "r.p.purged": [b"3", b"seal"]}
    for n in range(RESTARTS):
        yield
        with channels(1) as (channel,):
            for name, bodies in left.items():
                came = look(channel, name, ready(channel, name))
                exact = name == "r.p" or SETTLED_LASTS
                assert [body for body, _ in came] == bodies if exact else set(bodies) <= {body for body, _ in came}, f"{name}: {came}"
                if name == "r.p" and n == 0:
                    assert all(redelivered == (at < 4) or KILLED and at >= 4 for at, (_, redelivered) in enumerate(came)), f"{came}"
            channel.queue_declare("r.p", durable=True, arguments=arguments)


def transactions():
    channel = stay()
    channel.queue_declare("r.tx", durable=True)
    channel.tx_select()
    for body in (b"1", b"2"):
        channel.basic_publish("", "r.tx", body, PERSISTENT)
    channel.tx_commit()
    channel.basic_publish("", "r.tx", b"uncommitted", PERSISTENT)
    channel.queue_declare("r.tx", passive=True)
    for _ in range(RESTARTS):
        yield
        with channels(1) as (channel,):
            assert ready(channel, "r.tx") == 2
            assert [body for body, _ in look(channel, "r.tx", 2)] == [b"1", b"2"]


def time_and_limits():
    """A queue's arguments hold over a restart: messages expire in time, limits apply, and dead letters are routed."""
    channel = stay()
    channel.exchange_declare("r.t.dlx", "fanout", durable=True)
    channel.queue_declare("r.t.dead", durable=True)
    channel.queue_bind("r.t.dead", "r.t.dlx")
    dead = {"x-dead-letter-exchange": "r.t.dlx"}
    channel.queue_declare("r.t.rejects", durable=True, arguments=dead)
    channel.queue_declare("r.t.waits", durable=True, arguments={**dead, "x-message-ttl": 2000})
    channel.queue_declare("r.t.own", durable=True, arguments=dead)
    channel.queue_declare("r.t.short", durable=True, arguments={"x-max-length": 2})
    channel.queue_declare("r.t.bytes", durable=True, arguments={"x-max-length-bytes": 10})
    channel.queue_declare("r.t.unused", durable=True, arguments={"x-expires": 3_600_000})
    channel.confirm_delivery()
    channel.basic_publish("", "r.t.rejects", b"rejected", PERSISTENT)
    channel.basic_reject(channel.basic_get("r.t.rejects")[0].delivery_tag, requeue=False)
    seal(channel, "r.t.rejects")
    for n in range(3):
        channel.basic_publish("", "r.t.short", b"%d" % n, PERSISTENT)
        channel.basic_publish("", "r.t.bytes", b"four", PERSISTENT)
    channel.basic_publish("", "r.t.own", b"never", pika.BasicProperties(delivery_mode=2, expiration="3600000"))
    channel.basic_publish("", "r.t.own", b"soon", pika.BasicProperties(delivery_mode=2, expiration="2000"))
    channel.basic_publish("", "r.t.waits", b"waits", PERSISTENT)
    yield
    with channels(1) as (channel,):
        wait_until(lambda: ready(channel, "r.t.dead") == 3, "three are dead", seconds=15)
        died = {}
        for _ in range(3):
            _, properties, body = channel.basic_get("r.t.dead")
            died[body] = [(death["queue"], death["reason"], death["count"]) for death in properties.headers["x-death"]]
        assert died == {
            b"rejected": [("r.t.rejects", "rejected", 1)], b"soon": [("r.t.own", "expired", 1)], b"waits": [("r.t.waits", "expired", 1)],
        }, died
        assert [body for body, _ in look(channel, "r.t.own", 2)] == [b"never", None]
        assert [body for body, _ in look(channel, "r.t.short", 3)] == [b"1", b"2", None]
        assert [body for body, _ in look(channel, "r.t.bytes", 3)] == [b"four", b"four", None]
    yield
    with channels(1) as (channel,):
        channel.confirm_delivery()
        channel.basic_publish("", "r.t.short", b"3", PERSISTENT)
        assert [body for body, _ in look(channel, "r.t.short", 3)] == [b"2", b"3", None]
        channel.basic_publish("", "r.t.bytes", b"last", PERSISTENT)
        assert [body for body, _ in look(channel, "r.t.bytes", 3)] == [b"four", b"last", None]
        assert ready(channel, "r.t.dead") == 3 and ready(channel, "r.t.own") == 1
        present("queue", "r.t.unused")


def fill(channel, queue, count, properties=lambda _: PERSISTENT, first=0, arguments=None):
    """Declares the queue and publishes numbers to it, confirmed."""
    channel.queue_declare(queue, durable=True, arguments=arguments)
    if not channel._delivery_confirmation:
        channel.confirm_delivery()
    for n in range(first, first + count):
        channel.basic_publish("", queue, b"%d" % n, properties(n))


def seal(channel, queue):
    """Publishes one more message, confirmed: the channel's earlier settlements are then stored, too."""
    if not channel._delivery_confirmation:
        channel.confirm_delivery()
    channel.basic_publish("", queue, b"seal", PERSISTENT)


def look(channel, queue, count):
    """Gets this many messages without settling them: (body, redelivered)."""
    came = [channel.basic_get(queue) for _ in range(count)]
    return [(body, method and method.redelivered) for method, _, body in came]


def expect_in_order(queue, count, delivered, maybe):
    """All must be there, in order. Delivered ones have `redelivered`; those that may have been delivered, and all after a SIGKILL, may have it."""
    with channels(1) as (channel,):
        assert ready(channel, queue) == count, f"{queue} has {ready(channel, queue)} messages, not {count}"
        came = look(channel, queue, count)
    assert [body for body, _ in came] == [b"%d" % n for n in range(count)], f"{queue}: {came}"
    for n, (_, redelivered) in enumerate(came):
        may = KILLED or n in maybe
        assert redelivered == (n in delivered) or (may and n not in delivered), f"{queue}: message {n} says redelivered={redelivered}"


def routes(channel, exchange, key, headers=None):
    try:
        channel.basic_publish(exchange, key, b"routed", pika.BasicProperties(headers=headers or {}), mandatory=True)
    except UnroutableError:
        return False
    return True


def present(what, name):
    """Looks passively, because a declaration would create a missing queue."""
    with channels(1) as (channel,):
        (channel.queue_declare if what == "queue" else channel.exchange_declare)(name, passive=True)


def gone(what, name):
    with channel_error(404, f"NOT_FOUND - no {what} '{name}' in vhost '/'"):
        present(what, name)


over_restarts(
    exchanges, auto_delete_exchanges, queues, auto_delete_queues, bindings, persistent_messages, contents, one_message_in_three_queues,
    order_and_redelivered, settled, purged_and_deleted, priorities, transactions, time_and_limits,
)
