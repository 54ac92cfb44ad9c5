"""Queues through pika: declare, publish, get, consume, settle, prefetch, exclusive, auto-delete, passive, cancel notify."""

import pika
from support import channel_error, channels, connection, connection_error, consume, drain, pump, ready, run, wait_until


def publish_consume_ack():
    with channels(2) as (publisher, consumer):
        consumer.queue_declare("e2e.order", durable=True)
        publisher.confirm_delivery()
        for n in range(500):
            publisher.basic_publish("", "e2e.order", str(n).encode())
        _, messages = consume(consumer, "e2e.order", 500)
        assert [body for _, _, body in messages] == [str(n).encode() for n in range(500)]
        assert [method.delivery_tag for method, _, _ in messages] == list(range(1, 501))
        assert not any(method.redelivered for method, _, _ in messages)
        consumer.basic_ack(500, multiple=True)
        assert consumer.queue_delete("e2e.order").method.message_count == 0


def properties_come_back():
    with channels(1) as (channel,):
        queue = channel.queue_declare("", exclusive=True).method.queue
        assert queue.startswith("amq.gen-"), queue
        sent = pika.BasicProperties(
            content_type="text/plain", content_encoding="utf-8", delivery_mode=2, priority=7, correlation_id="c", reply_to="r",
            expiration="60000", message_id="m", timestamp=1_700_000_000, type="t", user_id="guest", app_id="a",
            headers={"int": 1, "big": 1 << 40, "text": "x", "true": True, "none": None, "list": [1, "a"], "table": {"deep": {"er": 1}}},
        )
        channel.basic_publish("", queue, b"body", sent)
        method, got, body = channel.basic_get(queue, auto_ack=True)
        assert (method.exchange, method.routing_key, method.message_count, body) == ("", queue, 0, b"body")
        for name in vars(sent):
            assert getattr(got, name) == getattr(sent, name), f"{name}: {getattr(got, name)!r}"


def get_counts_and_empty():
    with channels(1) as (channel,):
        queue = channel.queue_declare("", exclusive=True).method.queue
        assert channel.basic_get(queue) == (None, None, None)
        for n in range(3):
            channel.basic_publish("", queue, b"%d" % n)
        left = [channel.basic_get(queue, auto_ack=True)[0].message_count for _ in range(3)]
        assert left == [2, 1, 0], left
        channel.basic_publish("", queue, b"x")
        assert channel.queue_purge(queue).method.message_count == 1


def nack_requeues_in_place():
    with channels(2) as (channel, other):
        channel.queue_declare("e2e.requeue", durable=True)
        for n in range(5):
            channel.basic_publish("", "e2e.requeue", b"%d" % n)
        tags = [channel.basic_get("e2e.requeue")[0].delivery_tag for _ in range(4)]
        channel.basic_reject(tags[1], requeue=True)
        channel.basic_nack(tags[0], requeue=True)
        method, _, body = channel.basic_get("e2e.requeue", auto_ack=True)
        assert (body, method.redelivered) == (b"0", True)
        channel.basic_nack(tags[3], multiple=True, requeue=False)
        assert [channel.basic_get("e2e.requeue", auto_ack=True)[2] for _ in range(2)] == [b"1", b"4"]
        assert ready(channel, "e2e.requeue") == 0
        channel.basic_publish("", "e2e.requeue", b"left")
        assert channel.basic_get("e2e.requeue")[2] == b"left"
        channel.close()
        wait_until(lambda: ready(other, "e2e.requeue") == 1, "the unacknowledged message to return")
        method, _, body = other.basic_get("e2e.requeue", auto_ack=True)
        assert (method.redelivered, body) == (True, b"left")
        other.queue_delete("e2e.requeue")


def recover_redelivers():
    with channels(1) as (channel,):
        queue = channel.queue_declare("", exclusive=True).method.queue
        for n in range(3):
            channel.basic_publish("", queue, b"%d" % n)
        _, messages = consume(channel, queue, 3)
        channel.basic_recover(requeue=True)
        pump(channel, lambda: len(messages) == 6, "the redelivery")
        assert [(method.redelivered, body) for method, _, body in messages[3:]] == [(True, b"0"), (True, b"1"), (True, b"2")]
        with channel_error(406, "PRECONDITION_FAILED - unknown delivery tag 1"):
            channel.basic_ack(1)
            channel.queue_declare(queue, passive=True)


def prefetch_limits():
    with channels(2) as (publisher, consumer):
        consumer.queue_declare("e2e.prefetch", durable=True)
        for n in range(10):
            publisher.basic_publish("", "e2e.prefetch", b"%d" % n)
        consumer.basic_qos(prefetch_count=3)
        _, messages = consume(consumer, "e2e.prefetch", 3)
        consumer.connection.process_data_events(time_limit=0.3)
        assert len(messages) == 3, f"{len(messages)} deliveries with a prefetch of 3"
        consumer.basic_ack(2, multiple=True)
        pump(consumer, lambda: len(messages) == 5, "two more after two acknowledgements")
        consumer.connection.process_data_events(time_limit=0.3)
        assert len(messages) == 5
        consumer.basic_ack(0, multiple=True)
        pump(consumer, lambda: len(messages) == 8, "three more after all were acknowledged")
        consumer.basic_ack(0, multiple=True)
        pump(consumer, lambda: len(messages) == 10, "the rest")
        assert [body for _, _, body in messages] == [b"%d" % n for n in range(10)]
        consumer.queue_delete("e2e.prefetch")


def prefetch_of_the_channel():
    with channels(1) as (channel,):
        queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(2)]
        for queue in queues:
            for _ in range(5):
                channel.basic_publish("", queue, b"x")
        channel.basic_qos(prefetch_count=4, global_qos=True)
        got = []
        for queue in queues:
            channel.basic_consume(queue, lambda _, method, properties, body: got.append(method.delivery_tag))
        channel.connection.process_data_events(time_limit=0.5)
        assert len(got) == 4, f"{len(got)} deliveries to a channel with a limit of 4"
        for _ in range(5):
            channel.basic_ack(0, multiple=True)
            channel.connection.process_data_events(time_limit=0.1)
        pump(channel, lambda: len(got) == 10, "all of both queues")


def work_is_shared_in_turn():
    with channels(4) as (publisher, *workers):
        publisher.queue_declare("e2e.shared", durable=True)
        got = [[] for _ in workers]
        for worker, mine in zip(workers, got):
            worker.basic_qos(prefetch_count=1)
            worker.basic_consume("e2e.shared", lambda c, method, properties, body, mine=mine: (mine.append(body), c.basic_ack(method.delivery_tag)))
        for n in range(30):
            publisher.basic_publish("", "e2e.shared", b"%d" % n)

        def all_came():
            for worker in workers:
                worker.connection.process_data_events(time_limit=0.01)
            return sum(map(len, got)) == 30

        wait_until(all_came, "30 deliveries")
        assert sorted(int(body) for mine in got for body in mine) == list(range(30))
        assert all(mine for mine in got), "a worker got nothing"
        publisher.queue_delete("e2e.shared")


def cancel_is_told():
    with channels(2) as (owner, consumer):
        owner.queue_declare("e2e.cancel", durable=True)
        cancelled = []
        consumer.add_on_cancel_callback(lambda method: cancelled.append(method.method.consumer_tag))
        tag = consumer.basic_consume("e2e.cancel", lambda *_: None, consumer_tag="mine")
        assert tag == "mine"
        owner.queue_delete("e2e.cancel")
        pump(consumer, lambda: cancelled == ["mine"], "basic.cancel")
        assert consumer.is_open


def cancelled_consumer_gets_nothing():
    with channels(1) as (channel,):
        queue = channel.queue_declare("", exclusive=True).method.queue
        tag, messages = consume(channel, queue, 0, auto_ack=True)
        assert tag.startswith("ctag"), tag
        channel.basic_cancel(tag)
        channel.basic_publish("", queue, b"x")
        assert drain(channel, queue, 1) == [b"x"] and not messages


def exclusive_queue_is_locked():
    with connection() as mine, connection() as theirs:
        mine.channel().queue_declare("e2e.exclusive", exclusive=True)
        for attempt in (
            lambda c: c.queue_declare("e2e.exclusive", exclusive=True),
            lambda c: c.queue_declare("e2e.exclusive", passive=True),
            lambda c: c.basic_get("e2e.exclusive"),
            lambda c: c.basic_consume("e2e.exclusive", print),
            lambda c: c.queue_delete("e2e.exclusive"),
            lambda c: c.queue_purge("e2e.exclusive"),
        ):
            with channel_error(405, "RESOURCE_LOCKED - cannot obtain exclusive access to locked queue 'e2e.exclusive' in vhost '/'"):
                attempt(theirs.channel())
        mine.close()
        wait_until(lambda: gone(theirs, "e2e.exclusive"), "the exclusive queue to go with its connection")


def gone(conn, queue):
    """Whether there is no such queue. Asks on a channel of its own, which the answer closes."""
    channel = conn.channel()
    try:
        channel.queue_declare(queue, passive=True)
    except pika.exceptions.ChannelClosedByBroker as error:
        return error.reply_code == 404
    channel.close()
    return False


def auto_delete_goes_with_its_last_consumer():
    with connection() as conn, channels(2) as (one, two):
        one.queue_declare("e2e.auto", auto_delete=True)
        assert not gone(conn, "e2e.auto")
        one.basic_consume("e2e.auto", lambda *_: None, consumer_tag="a")
        two.basic_consume("e2e.auto", lambda *_: None, consumer_tag="b")
        assert one.queue_declare("e2e.auto", passive=True).method.consumer_count == 2
        one.basic_cancel("a")
        assert not gone(conn, "e2e.auto")
        two.close()
        wait_until(lambda: gone(conn, "e2e.auto"), "the queue to go with its last consumer")


def declare_errors():
    with connection() as conn:
        with channel_error(404, "NOT_FOUND - no queue 'e2e.missing' in vhost '/'"):
            conn.channel().queue_declare("e2e.missing", passive=True)
        with channel_error(403, "ACCESS_REFUSED - queue name 'amq.mine' contains reserved prefix 'amq.*'"):
            conn.channel().queue_declare("amq.mine")
        conn.channel().queue_declare("e2e.same", durable=True)
        with channel_error(406, "PRECONDITION_FAILED - inequivalent arg 'durable' for queue 'e2e.same' in vhost '/': received 'false' but current is 'true'"):
            conn.channel().queue_declare("e2e.same", durable=False)
        with channel_error(406, "inequivalent arg 'auto_delete' for queue 'e2e.same'"):
            conn.channel().queue_declare("e2e.same", durable=True, auto_delete=True)
        with channel_error(404, "NOT_FOUND - no queue 'e2e.missing' in vhost '/'"):
            conn.channel().basic_consume("e2e.missing", print)
        with channel_error(404, "NOT_FOUND - no queue 'e2e.missing' in vhost '/'"):
            conn.channel().queue_bind("e2e.missing", "amq.direct", "k")


def delete_conditions():
    with connection() as conn:
        channel = conn.channel()
        channel.queue_declare("e2e.delete", durable=True)
        channel.basic_publish("", "e2e.delete", b"x")
        with channel_error(406, "queue 'e2e.delete' in vhost '/' not empty"):
            conn.channel().queue_delete("e2e.delete", if_empty=True)
        channel.basic_consume("e2e.delete", lambda *_: None)
        with channel_error(406, "queue 'e2e.delete' in vhost '/' in use"):
            conn.channel().queue_delete("e2e.delete", if_unused=True)
        channel.queue_delete("e2e.delete")
        assert channel.queue_delete("e2e.delete").method.message_count == 0, "deleting what is not there is no error"


def exclusive_consumer():
    with channels(3) as (channel, other, third):
        channel.queue_declare("e2e.single", durable=True)
        channel.basic_consume("e2e.single", lambda *_: None, exclusive=True, consumer_tag="only")
        with channel_error(403, "ACCESS_REFUSED - queue 'e2e.single' in vhost '/' in exclusive use"):
            other.basic_consume("e2e.single", lambda *_: None)
        channel.basic_cancel("only")
        third.basic_consume("e2e.single", lambda *_: None)
        third.queue_delete("e2e.single")


def consumer_tags_are_unique():
    with connection_error(530, "NOT_ALLOWED - attempt to reuse consumer tag 'twice'"), connection() as conn:
        channel = conn.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_consume(queue, lambda *_: None, consumer_tag="twice")
        # pika refuses a tag that it knows, so the second consumer is asked for by hand.
        channel._impl._send_method(pika.spec.Basic.Consume(queue=queue, consumer_tag="twice"))
        channel.queue_declare(queue, passive=True)


def consumers_by_priority():
    with channels(1) as (channel,):
        queue = channel.queue_declare("", exclusive=True).method.queue
        got = []
        for priority in (0, 10, 5):
            channel.basic_consume(
                queue, lambda c, method, properties, body, p=priority: got.append(p), arguments={"x-priority": priority}, auto_ack=True
            )
        for _ in range(6):
            channel.basic_publish("", queue, b"x")
        pump(channel, lambda: len(got) == 6, "six deliveries")
        assert got == [10] * 6, got


run(
    publish_consume_ack, properties_come_back, get_counts_and_empty, nack_requeues_in_place, recover_redelivers, prefetch_limits,
    prefetch_of_the_channel, work_is_shared_in_turn, cancel_is_told, cancelled_consumer_gets_nothing, exclusive_queue_is_locked,
    auto_delete_goes_with_its_last_consumer, declare_errors, delete_conditions, exclusive_consumer, consumer_tags_are_unique,
    consumers_by_priority,
)
