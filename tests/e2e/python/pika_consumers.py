"""Consumers through pika: direct reply-to, a single active consumer, a quorum queue's delivery counts and consumer timeout."""

import pika
from support import channel_error, channels, connection, consume, pump, run, wait_until

REPLY_TO = "amq.rabbitmq.reply-to"


def direct_reply_to():
    with channels(3) as (client, other, server):
        server.queue_declare("e2e.direct", exclusive=True)

        def serve(_, __, properties, body):
            answer = pika.BasicProperties(correlation_id=properties.correlation_id)
            server.basic_publish("", properties.reply_to, body[::-1], answer)

        server.basic_consume("e2e.direct", serve, auto_ack=True)
        for channel in (client, other):
            replies = {}
            channel.basic_consume(REPLY_TO, lambda _, __, properties, body: replies.update({properties.correlation_id: body}), auto_ack=True)
            for n in range(200):
                request = pika.BasicProperties(reply_to=REPLY_TO, correlation_id=str(n))
                channel.basic_publish("", "e2e.direct", b"%d-" % n, request)

            def all_came():
                server.connection.process_data_events(time_limit=0)
                return len(replies) == 200

            pump(channel, all_came, "replies")
            assert replies == {str(n): (b"%d-" % n)[::-1] for n in range(200)}


def reply_to_nobody():
    with channels(1) as (channel,), channel_error(406, "fast reply consumer does not exist"):
        channel.confirm_delivery()
        channel.basic_publish("", "e2e.direct", b"x", pika.BasicProperties(reply_to=REPLY_TO))


def single_active_consumer():
    with channels(3) as (publisher, first, second):
        publisher.queue_declare("e2e.single", durable=True, arguments={"x-single-active-consumer": True})
        came = {}
        for name, channel in (("first", first), ("second", second)):
            came[name] = []
            channel.basic_qos(prefetch_count=5)
            channel.basic_consume("e2e.single", lambda _, method, __, body, name=name: came[name].append((method, body)))
        for n in range(20):
            publisher.basic_publish("", "e2e.single", b"%d" % n)
        pump(first, lambda: len(came["first"]) == 5, "the first consumer's deliveries")
        first.basic_ack(came["first"][1][0].delivery_tag, multiple=True)
        pump(first, lambda: len(came["first"]) == 7, "more of them")
        second.connection.process_data_events(time_limit=0.05)
        assert came["second"] == []
        first.connection.close()

        def rest_came():
            for method, _ in came["second"]:
                second.basic_ack(method.delivery_tag)
            rest.extend((int(body), method.redelivered) for method, body in came["second"])
            came["second"].clear()
            return len(rest) == 18

        rest = []
        pump(second, rest_came, "the second consumer's deliveries")
        assert sorted(rest) == [(n, n < 7) for n in range(2, 20)]
        publisher.queue_delete("e2e.single")


def delivery_counts():
    with channels(1) as (channel,):
        channel.queue_declare("e2e.quorum", durable=True, arguments={"x-queue-type": "quorum", "x-delivery-limit": 2})
        channel.basic_publish("", "e2e.quorum", b"poison")
        counts = []
        for _ in range(3):
            tag, ((method, properties, _),) = consume(channel, "e2e.quorum", 1)
            counts.append((properties.headers or {}).get("x-delivery-count"))
            channel.basic_cancel(tag)
            channel.basic_reject(method.delivery_tag, requeue=True)
        assert counts == [None, 1, 2]
        wait_until(lambda: channel.queue_declare("e2e.quorum", passive=True).method.message_count == 0, "the end of the message")
        channel.queue_delete("e2e.quorum")


def consumer_timeout():
    with connection() as slow:
        channel = slow.channel()
        channel.queue_declare("e2e.slow", durable=True, arguments={"x-queue-type": "quorum", "x-consumer-timeout": 200})
        cancelled = []
        channel.add_on_cancel_callback(lambda frame: cancelled.append(frame.method.consumer_tag))
        channel.basic_publish("", "e2e.slow", b"x")
        tag, ((method, _, _),) = consume(channel, "e2e.slow", 1)
        pump(channel, lambda: cancelled, "basic.cancel")
        assert cancelled == [tag]
        channel.basic_ack(method.delivery_tag)
        _, ((method, properties, _),) = consume(channel, "e2e.slow", 1)
        assert method.redelivered and properties.headers == {"x-acquired-count": 1}
        channel.queue_delete("e2e.slow")


run(direct_reply_to, reply_to_nobody, single_active_consumer, delivery_counts, consumer_timeout)
