"""Publishing through pika: confirms, returns, transactions, every exchange type, bindings between exchanges, bodies of all sizes."""

import pika
from pika.exceptions import UnroutableError
from support import channel_error, channels, connection, consume, drain, pump, ready, run

FRAME_SIZE = 131_072 - 8


def confirmed_and_returned():
    with channels(1) as (channel,):
        channel.confirm_delivery()
        queue = channel.queue_declare("", exclusive=True).method.queue
        for _ in range(100):
            channel.basic_publish("", queue, b"x", mandatory=True)
        assert ready(channel, queue) == 100, "a confirm came before its message was in the queue"
        try:
            channel.basic_publish("", "e2e.nobody", b"lost", pika.BasicProperties(message_id="42"), mandatory=True)
        except UnroutableError as error:
            (returned,) = error.messages
            assert (returned.method.reply_code, returned.method.reply_text) == (312, "NO_ROUTE")
            assert (returned.method.exchange, returned.method.routing_key) == ("", "e2e.nobody")
            assert (returned.properties.message_id, returned.body) == ("42", b"lost")
        else:
            raise AssertionError("an unroutable mandatory message was not returned")
        channel.basic_publish("", "e2e.nobody", b"lost")


def returned_without_confirms():
    with channels(1) as (channel,):
        came = []
        channel.add_on_return_callback(lambda _, method, properties, body: came.append((method.reply_code, method.routing_key, body)))
        channel.basic_publish("amq.direct", "e2e.nobody", b"lost", mandatory=True)
        channel.basic_publish("amq.direct", "e2e.nobody", b"dropped")
        pump(channel, lambda: came, "basic.return")
        assert came == [(312, "e2e.nobody", b"lost")]


def publish_to_nowhere():
    with channels(1) as (channel,), channel_error(404, "NOT_FOUND - no exchange 'e2e.nowhere' in vhost '/'"):
        channel.basic_publish("e2e.nowhere", "k", b"x")
        channel.queue_declare("", exclusive=True)


def invalid_messages():
    for properties, words in (
        (pika.BasicProperties(expiration="soon"), "invalid expiration 'soon'"),
        (pika.BasicProperties(user_id="other"), "user_id property set to 'other' but authenticated user was 'guest'"),
    ):
        with channels(1) as (channel,), channel_error(406, words):
            channel.confirm_delivery()
            channel.basic_publish("amq.fanout", "", b"x", properties)


def transactions():
    with channels(2) as (channel, other):
        channel.queue_declare("e2e.tx", durable=True)
        channel.queue_purge("e2e.tx")
        channel.tx_select()
        for n in range(3):
            channel.basic_publish("", "e2e.tx", b"%d" % n)
        assert ready(other, "e2e.tx") == 0
        channel.tx_commit()
        assert ready(other, "e2e.tx") == 3
        channel.basic_publish("", "e2e.tx", b"never")
        channel.basic_ack(channel.basic_get("e2e.tx")[0].delivery_tag)
        channel.tx_rollback()
        assert ready(other, "e2e.tx") == 2
        channel.close()
        assert drain(other, "e2e.tx", 3) == [b"0", b"1", b"2"], "the acknowledgement was rolled back"
        other.queue_delete("e2e.tx")
    with channels(1) as (channel,), channel_error(406, "channel is not transactional"):
        channel.tx_commit()
    with channels(1) as (channel,), channel_error(406, "cannot switch from tx to confirm mode"):
        channel.tx_select()
        channel.confirm_delivery()


def routed(channel, exchange, bindings, published):
    """Binds one queue per binding, publishes, and returns the messages of each queue."""
    queues = [channel.queue_declare("", exclusive=True).method.queue for _ in bindings]
    for queue, (key, arguments) in zip(queues, bindings):
        channel.queue_bind(queue, exchange, key, arguments)
    channel.confirm_delivery()
    for n, (key, headers) in enumerate(published):
        channel.basic_publish(exchange, key, b"%d" % n, pika.BasicProperties(headers=headers))
    return [[int(body) for body in drain(channel, queue, ready(channel, queue))] for queue in queues]


def direct_exchange():
    with channels(1) as (channel,):
        got = routed(channel, "amq.direct", [("a", None), ("b", None), ("a", None)], [("a", None), ("b", None), ("c", None)])
        assert got == [[0], [1], [0]], got


def fanout_exchange():
    with channels(1) as (channel,):
        channel.exchange_declare("e2e.fanout", "fanout", auto_delete=True)
        assert routed(channel, "e2e.fanout", [("a", None), ("", None)], [("x", None), ("", None)]) == [[0, 1], [0, 1]]


def topic_exchange():
    keys = ["a.b.c", "a", "", "a..c", "b.a", "a.b.c.d"]
    patterns = ["#", "a.*.c", "*", "a.#", "#.a", "a.#.c", "*.*"]
    # The empty key has no word, while "a..c" has three.
    expected = [[0, 1, 2, 3, 4, 5], [0, 3], [1], [0, 1, 3, 5], [1, 4], [0, 3], [4]]
    with channels(1) as (channel,):
        got = routed(channel, "amq.topic", [(pattern, None) for pattern in patterns], [(key, None) for key in keys])
        assert got == expected, got


def headers_exchange():
    bindings = [
        {"x-match": "all", "format": "pdf", "pages": 3},
        {"x-match": "any", "format": "pdf", "pages": 3},
        {"format": "pdf"},
        {"x-match": "any-with-x", "x-kind": "a"},
        {},
    ]
    published = [{"format": "pdf", "pages": 3}, {"format": "pdf"}, {"pages": 3, "x-kind": "a"}, {"format": "PDF"}, None]
    with channels(1) as (channel,):
        got = routed(channel, "amq.headers", [("", arguments) for arguments in bindings], [("", headers) for headers in published])
        assert got == [[0], [0, 1, 2], [0, 1], [2], [0, 1, 2, 3, 4]], got
        queue = channel.queue_declare("", exclusive=True).method.queue
        with channel_error(406, "Invalid x-match field value"):
            channel.queue_bind(queue, "amq.headers", "", {"x-match": "most"})


def exchange_to_exchange():
    with channels(2) as (channel, publisher):
        for name, kind in (("e2e.in", "direct"), ("e2e.mid", "fanout"), ("e2e.out", "topic")):
            channel.exchange_declare(name, kind, durable=True)
        channel.exchange_bind("e2e.mid", "e2e.in", "news.eu")
        channel.exchange_bind("e2e.out", "e2e.mid")
        channel.exchange_bind("e2e.in", "e2e.out", "#")
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "e2e.out", "news.*")
        channel.queue_bind(queue, "e2e.mid")
        publisher.confirm_delivery()
        publisher.basic_publish("e2e.in", "news.eu", b"once", mandatory=True)
        assert drain(channel, queue, 1) == [b"once"] and ready(channel, queue) == 0, "by two ways and a circle, yet once"
        channel.exchange_unbind("e2e.mid", "e2e.in", "news.eu")
        publisher.basic_publish("e2e.in", "news.eu", b"lost")
        assert ready(channel, queue) == 0
        for name in ("e2e.in", "e2e.mid", "e2e.out"):
            channel.exchange_delete(name)


def alternate_exchange():
    with channels(1) as (channel,):
        channel.exchange_declare("e2e.main", "direct", auto_delete=True, arguments={"alternate-exchange": "amq.fanout"})
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.queue_bind(queue, "amq.fanout")
        channel.queue_bind(channel.queue_declare("", exclusive=True).method.queue, "e2e.main", "known")
        channel.basic_publish("e2e.main", "known", b"main")
        channel.basic_publish("e2e.main", "unknown", b"alternate", mandatory=True)
        assert drain(channel, queue, 1) == [b"alternate"]


def carbon_copies():
    with channels(1) as (channel,):
        queues = [channel.queue_declare("", exclusive=True).method.queue for _ in range(3)]
        headers = {"CC": [queues[1]], "BCC": [queues[2]], "keep": "me"}
        channel.basic_publish("", queues[0], b"x", pika.BasicProperties(headers=headers))
        for queue in queues:
            _, messages = consume(channel, queue, 1, auto_ack=True)
            assert messages[0][1].headers == {"CC": [queues[1]], "keep": "me"}, messages[0][1].headers


def exchange_errors():
    with connection() as conn:
        conn.channel().exchange_declare("e2e.kind", "direct", durable=True)
        for code, words, attempt in (
            (406, "inequivalent arg 'type' for exchange 'e2e.kind' in vhost '/': received 'fanout' but current is 'direct'",
             lambda c: c.exchange_declare("e2e.kind", "fanout", durable=True)),
            (406, "unknown exchange type 'sideways'", lambda c: c.exchange_declare("e2e.other", "sideways")),
            (404, "no exchange 'e2e.missing' in vhost '/'", lambda c: c.exchange_declare("e2e.missing", passive=True)),
            (403, "exchange name 'amq.mine' contains reserved prefix 'amq.*'", lambda c: c.exchange_declare("amq.mine", "direct")),
            (403, "deletion of system exchange 'amq.direct' in vhost '/' not allowed", lambda c: c.exchange_delete("amq.direct")),
            (403, "operation not permitted on the default exchange", lambda c: c.exchange_delete("")),
            (404, "no exchange 'e2e.missing' in vhost '/'", lambda c: c.exchange_bind("amq.direct", "e2e.missing")),
        ):
            with channel_error(code, words):
                attempt(conn.channel())
        channel = conn.channel()
        channel.exchange_declare("e2e.hidden", "fanout", durable=True, internal=True)
        with channel_error(403, "cannot publish to internal exchange 'e2e.hidden' in vhost '/'"):
            channel.basic_publish("e2e.hidden", "", b"x")
            channel.queue_declare("", exclusive=True)
        channel = conn.channel()
        channel.exchange_bind("e2e.hidden", "e2e.kind", "k")
        with channel_error(406, "exchange 'e2e.kind' in vhost '/' in use"):
            channel.exchange_delete("e2e.kind", if_unused=True)
        channel = conn.channel()
        channel.exchange_delete("e2e.hidden")
        channel.exchange_delete("e2e.kind", if_unused=True)
        channel.exchange_delete("e2e.kind")


def bodies_of_all_sizes():
    sizes = [0, 1, 100, 4095, 16_383, 16_384, 65_536, FRAME_SIZE - 1, FRAME_SIZE, FRAME_SIZE + 1, 2 * FRAME_SIZE, 1_000_003, 10 << 20]
    pattern = bytes(range(251)) * (1 + (10 << 20) // 251)
    with channels(2) as (publisher, consumer):
        consumer.queue_declare("e2e.sizes", durable=True)
        consumer.queue_purge("e2e.sizes")
        publisher.confirm_delivery()
        for size in sizes:
            publisher.basic_publish("", "e2e.sizes", pattern[:size], mandatory=True)
        _, messages = consume(consumer, "e2e.sizes", len(sizes), seconds=30)
        for size, (_, _, body) in zip(sizes, messages):
            assert body == pattern[:size], f"a body of {size} bytes came back as {len(body)} or changed"
        consumer.basic_ack(0, multiple=True)
        publisher.basic_publish("", "e2e.sizes", pattern[: 1 << 20])
        assert consumer.queue_declare("e2e.sizes", passive=True)
        pump(consumer, lambda: len(messages) == len(sizes) + 1, "one more")
        consumer.queue_delete("e2e.sizes")


def a_body_too_large():
    with channels(1) as (channel,), channel_error(406, "message size 17000000 is larger than configured max size 16777216"):
        channel.confirm_delivery()
        channel.basic_publish("amq.fanout", "", bytes(17_000_000))


run(
    confirmed_and_returned, returned_without_confirms, publish_to_nowhere, invalid_messages, transactions, direct_exchange, fanout_exchange,
    topic_exchange, headers_exchange, exchange_to_exchange, alternate_exchange, carbon_copies, exchange_errors, bodies_of_all_sizes,
    a_body_too_large,
)
