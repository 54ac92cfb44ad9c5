"""Connections through pika: negotiation, login, heartbeats, many channels, close from either side, the server properties."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor

import pika
from pika.exceptions import ChannelClosedByBroker, ProbableAccessDeniedError, ProbableAuthenticationError
from support import URL, channel_error, connection, connection_error, consume, pump, run


def the_server_presents_itself():
    with connection() as conn:
        server = conn._impl.server_properties
        for name in (
            "publisher_confirms", "exchange_exchange_bindings", "basic.nack", "consumer_cancel_notify", "connection.blocked",
            "consumer_priorities", "authentication_failure_close", "per_consumer_qos", "direct_reply_to",
        ):
            assert server["capabilities"][name] is True, name
        assert int(server["version"].split(b"." if isinstance(server["version"], bytes) else ".")[0]) >= 4
        assert conn.basic_nack_supported and conn.publisher_confirms_supported and conn.consumer_cancel_notify_supported


def negotiation():
    with connection(channel_max=5, frame_max=8192, heartbeat=7) as conn:
        assert (conn._impl.params.channel_max, conn._impl.params.frame_max, conn._impl.params.heartbeat) == (5, 8192, 7)
        channel = conn.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        body = bytes(range(256)) * 200
        channel.basic_publish("", queue, body)
        _, messages = consume(channel, queue, 1, auto_ack=True)
        assert messages[0][2] == body, "a body in frames of 8192 bytes"


def more_channels_than_negotiated():
    with connection_error(530, "NOT_ALLOWED - number of channels opened (2) has reached the negotiated channel_max (2)"):
        with connection(channel_max=2) as conn:
            conn._impl.params.channel_max = 10
            for _ in range(3):
                conn.channel()


def wrong_password():
    for user, password in (("guest", "wrong"), ("nobody", "guest")):
        try:
            with connection(credentials=pika.PlainCredentials(user, password), connection_attempts=1):
                raise AssertionError("a wrong password was accepted")
        except ProbableAuthenticationError as error:
            assert "403" in str(error) and "Login was refused using authentication mechanism PLAIN" in str(error), error


def wrong_vhost():
    try:
        with connection(virtual_host="missing"):
            raise AssertionError("a vhost that does not exist was opened")
    except (ProbableAccessDeniedError, pika.exceptions.ConnectionClosedByBroker) as error:
        assert "530" in str(error) and "vhost missing not found" in str(error), error


def heartbeats_keep_an_idle_connection():
    with connection(heartbeat=1) as conn:
        channel = conn.channel()
        queue = channel.queue_declare("", exclusive=True).method.queue
        # pika serves its heartbeats, and closes if the broker sends none for two intervals.
        conn.process_data_events(time_limit=4)
        channel.basic_publish("", queue, b"still here")
        assert channel.basic_get(queue, auto_ack=True)[2] == b"still here"


def silence_ends_a_connection():
    with connection(heartbeat=1) as conn, connection() as other:
        conn.channel().queue_declare("e2e.silent", exclusive=True)
        end = time.monotonic() + 10
        while True:  # conn is not served: the broker hears nothing from it, and its exclusive queue goes
            assert time.monotonic() < end, "a silent connection with heartbeat 1 lived 10 s"
            time.sleep(0.2)
            try:
                other.channel().queue_declare("e2e.silent", passive=True)
            except ChannelClosedByBroker as error:
                if error.reply_code == 404:
                    break
        try:
            conn.process_data_events(time_limit=1)
        except pika.exceptions.AMQPConnectionError:
            pass
        assert conn.is_closed


def no_heartbeats():
    with connection(heartbeat=0) as conn:
        time.sleep(1)
        conn.channel().queue_declare("", exclusive=True)


def many_channels():
    with connection() as conn:
        opened = [conn.channel() for _ in range(500)]
        queue = opened[0].queue_declare("", exclusive=True).method.queue
        for n, channel in enumerate(opened):
            channel.basic_publish("", queue, b"%d" % n)
        got = []
        for channel in opened[:50]:
            channel.basic_consume(queue, lambda c, method, properties, body: (got.append(int(body)), c.basic_ack(method.delivery_tag)))
        pump(opened[0], lambda: len(got) == 500, "500 deliveries over 50 channels")
        assert sorted(got) == list(range(500))
        for channel in opened[1:]:
            channel.close()
        opened[0].queue_declare(queue, passive=True)


def a_channel_number_is_used_again():
    with connection() as conn:
        for _ in range(20):
            with channel_error(404):
                conn.channel(7).queue_declare("e2e.missing", passive=True)
        channel = conn.channel(7)
        queue = channel.queue_declare("", exclusive=True).method.queue
        channel.basic_publish("", queue, b"x")
        assert channel.basic_get(queue)[0].delivery_tag == 1
        channel.close()
        channel = conn.channel(7)
        method, _, _ = channel.basic_get(queue)
        assert (method.delivery_tag, method.redelivered) == (1, True)


def many_connections_at_once():
    def visit(n):
        with connection() as conn:
            channel = conn.channel()
            queue = channel.queue_declare("", exclusive=True).method.queue
            channel.basic_publish("", queue, b"%d" % n)
            _, messages = consume(channel, queue, 1, auto_ack=True)
            return int(messages[0][2])

    with ThreadPoolExecutor(8) as pool:
        assert list(pool.map(visit, range(64))) == list(range(64))


def connections_that_cross():
    """Each of eight connections sends to every other's queue; every message arrives once, in its sender's order."""
    barrier, count, each = threading.Barrier(8), 8, 50

    def member(n):
        with connection() as conn:
            channel = conn.channel()
            channel.queue_declare(f"e2e.cross.{n}", exclusive=True)
            barrier.wait(20)
            for i in range(each):
                for to in range(count):
                    channel.basic_publish("", f"e2e.cross.{to}", b"%d" % i, pika.BasicProperties(app_id=str(n)), mandatory=True)
            _, messages = consume(channel, f"e2e.cross.{n}", count * each, seconds=30, auto_ack=True)
            barrier.wait(30)
            for sender in range(count):
                mine = [int(body) for _, properties, body in messages if properties.app_id == str(sender)]
                assert mine == list(range(each)), f"from {sender}: {mine}"

    with ThreadPoolExecutor(count) as pool:
        list(pool.map(member, range(count)))


def blocked_callbacks_and_secret():
    with connection() as conn:
        conn.add_on_connection_blocked_callback(lambda *_: None)
        conn.add_on_connection_unblocked_callback(lambda *_: None)
        updated = []
        conn._impl.update_secret("guest", "renewed", lambda *_: updated.append(True))
        pump(conn.channel(), lambda: updated, "update-secret-ok")


def flow_is_refused():
    with connection() as conn:
        channel = conn.channel()
        assert channel.flow(True) is True
    with connection_error(540, "NOT_IMPLEMENTED - active=false"), connection() as conn:
        conn.channel().flow(False)


def immediate_is_refused():
    with connection_error(540, "NOT_IMPLEMENTED - immediate=true"), connection() as conn:
        channel = conn.channel()
        channel._impl._send_method(pika.spec.Basic.Publish(exchange="", routing_key="x", immediate=True), (pika.BasicProperties(), b""))
        channel.queue_declare("", exclusive=True)


def a_close_takes_effect():
    with connection() as conn:
        conn.channel().queue_declare("e2e.closing", exclusive=True)
        conn.close(200, "Goodbye")
        assert conn.is_closed
    with connection() as conn:
        conn.channel().queue_declare("e2e.closing", exclusive=True)


def selecting_connection():
    """pika's callback style: a thousand confirmed publishes in flight, consumed on the same channel."""
    count, confirmed, received = 1000, set(), []

    def on_open(conn):
        conn.channel(on_open_callback=on_channel)

    def on_channel(channel):
        channel.confirm_delivery(lambda frame: on_confirm(channel, frame.method))
        channel.queue_declare("", exclusive=True, callback=lambda frame: on_queue(channel, frame.method.queue))

    def on_queue(channel, queue):
        channel.basic_consume(queue, lambda c, method, properties, body: on_message(channel, method, body))
        for n in range(count):
            channel.basic_publish("", queue, b"%d" % n)

    def on_confirm(channel, method):
        assert method.NAME == "Basic.Ack", method
        first = max(confirmed, default=0) + 1 if method.multiple else method.delivery_tag
        confirmed.update(range(first, method.delivery_tag + 1))
        stop_when_done(channel)

    def on_message(channel, method, body):
        received.append(int(body))
        channel.basic_ack(method.delivery_tag)
        stop_when_done(channel)

    def stop_when_done(channel):
        if len(confirmed) == count and len(received) == count:
            channel.connection.close()

    conn = pika.SelectConnection(pika.URLParameters(URL), on_open_callback=on_open, on_close_callback=lambda c, _: c.ioloop.stop())
    conn.ioloop.call_later(20, conn.ioloop.stop)
    conn.ioloop.start()
    assert confirmed == set(range(1, count + 1)), f"{len(confirmed)} of {count} confirmed"
    assert received == list(range(count))


run(
    the_server_presents_itself, negotiation, more_channels_than_negotiated, wrong_password, wrong_vhost,
    heartbeats_keep_an_idle_connection, silence_ends_a_connection, no_heartbeats, many_channels, a_channel_number_is_used_again,
    many_connections_at_once, connections_that_cross, blocked_callbacks_and_secret, flow_is_refused, immediate_is_refused,
    a_close_takes_effect, selecting_connection,
)
