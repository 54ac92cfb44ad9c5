"""kombu: exchanges and queues as objects, consumers, pools, simple queues, heartbeat_check."""

import os
import socket
import time

from kombu import Connection, Consumer, Exchange, Producer, Queue, eventloop
from kombu.mixins import ConsumerProducerMixin
from kombu.pools import connections, producers

URL = os.environ["AMQP_URL"]


def collect(connection, queues, count, **options):
    """Consumes this many messages and acknowledges them: [(routing key, body)]."""
    got = []

    def on_message(body, message):
        got.append((message.delivery_info["routing_key"], body))
        message.ack()

    with Consumer(connection.channel(), queues, callbacks=[on_message], accept=["json", "pickle"], **options):
        for _ in eventloop(connection, timeout=10, limit=None):
            if len(got) >= count:
                break
    return got


def fanout():
    exchange = Exchange("e2e.kombu.fanout", "fanout", auto_delete=True)
    queues = [Queue(f"e2e.kombu.fanout.{n}", exchange, exclusive=True) for n in range(3)]
    with Connection(URL) as connection, Connection(URL) as sender:
        channel = connection.channel()
        for queue in queues:
            queue(channel).declare()
        with producers[sender].acquire(block=True) as producer:
            producer.publish({"to": "all"}, exchange=exchange, serializer="json")
        assert collect(connection, queues, 3) == [("", {"to": "all"})] * 3


def topic():
    exchange = Exchange("e2e.kombu.topic", "topic", durable=True)
    news = Queue("e2e.kombu.news", exchange, routing_key="news.#", auto_delete=True)
    with Connection(URL) as connection:
        channel = connection.channel()
        news(channel).declare()
        producer = Producer(channel, exchange, serializer="json")
        for key in ("news.eu", "sports.eu", "news", "news.us.ny"):
            producer.publish([key], routing_key=key)
        assert collect(connection, [news], 3) == [(key, [key]) for key in ("news.eu", "news", "news.us.ny")]
        exchange(channel).delete()


def serializers_and_compression():
    queue = Queue("e2e.kombu.serial", Exchange("e2e.kombu.serial", "direct", auto_delete=True), routing_key="s", auto_delete=True)
    payload = {"text": "Grüße", "numbers": list(range(1000))}
    with Connection(URL) as connection:
        channel = connection.channel()
        for options in ({"serializer": "json"}, {"serializer": "pickle"}, {"serializer": "json", "compression": "zlib"}):
            Producer(channel).publish(payload, exchange=queue.exchange, routing_key="s", declare=[queue], **options)
        assert collect(connection, [queue], 3) == [("s", payload)] * 3


def requeue_and_prefetch():
    queue = Queue("e2e.kombu.requeue", auto_delete=True)
    with Connection(URL) as connection:
        channel = connection.channel()
        producer = Producer(channel)
        for n in range(4):
            producer.publish({"n": n}, routing_key=queue.name, declare=[queue])
        seen = []

        def on_message(body, message):
            seen.append((body["n"], message.delivery_info["redelivered"]))
            message.requeue() if not message.delivery_info["redelivered"] else message.ack()

        with Consumer(channel, [queue], callbacks=[on_message], prefetch_count=1):
            while len(seen) < 8:
                connection.drain_events(timeout=5)
        assert seen == [(n, again) for n in range(4) for again in (False, True)], seen


def confirmed_publishing():
    with Connection(URL, transport_options={"confirm_publish": True}) as connection:
        queue = connection.SimpleQueue("e2e.kombu.simple")
        for n in range(50):
            queue.put({"n": n})
        assert queue.qsize() == 50
        for n in range(50):
            message = queue.get(timeout=5)
            assert message.payload == {"n": n}
            message.ack()
        try:
            queue.get(timeout=0.2)
            raise AssertionError("one message too many")
        except queue.Empty:
            pass
        queue.close()
        queue.queue.delete()


def pools_of_connections():
    with connections[Connection(URL)].acquire(block=True) as one, connections[Connection(URL)].acquire(block=True) as two:
        assert one.connection is not two.connection
        queue = Queue("e2e.kombu.pool", auto_delete=True)
        queue(one.channel()).declare()
        Producer(two.channel()).publish({"via": "pool"}, routing_key="e2e.kombu.pool", serializer="json")
        assert collect(one, [queue], 1) == [("e2e.kombu.pool", {"via": "pool"})]
    connections[Connection(URL)].force_close_all()


def heartbeat_check():
    with Connection(URL, heartbeat=2) as connection:
        connection.connect()
        queue = Queue("e2e.kombu.heart", exclusive=True)
        channel = connection.channel()
        queue(channel).declare()
        assert connection.get_heartbeat_interval() == 2
        end = time.monotonic() + 5
        while time.monotonic() < end:
            connection.heartbeat_check(rate=2)  # raises when the broker has been silent for two intervals
            try:
                connection.drain_events(timeout=0.5)
            except socket.timeout:
                pass
        Producer(channel).publish({"alive": True}, routing_key=queue.name)
        assert collect(connection, [queue], 1) == [(queue.name, {"alive": True})]


class Echo(ConsumerProducerMixin):
    """A consumer that answers to reply_to and stops after this many requests."""

    def __init__(self, connection, queue, count):
        self.connection, self.queue, self.left = connection, queue, count

    def get_consumers(self, consumer, channel):
        return [consumer(queues=[self.queue], on_message=self.on_request, prefetch_count=1)]

    def on_request(self, message):
        properties = message.properties
        self.producer.publish(message.payload, exchange="", routing_key=properties["reply_to"], correlation_id=properties["correlation_id"])
        message.ack()
        self.left -= 1
        self.should_stop = self.left == 0


def request_and_reply():
    requests, replies = Queue("e2e.kombu.requests", auto_delete=True), Queue("e2e.kombu.replies", exclusive=True)
    with Connection(URL) as client, Connection(URL) as server:
        channel = client.channel()
        replies(channel).declare()
        producer = Producer(channel)
        for n in range(10):
            producer.publish({"n": n}, routing_key=requests.name, declare=[requests], reply_to=replies.name, correlation_id=str(n))
        Echo(server, requests, 10).run()
        assert [body["n"] for _, body in collect(client, [replies], 10)] == list(range(10))


for case in (
    fanout, topic, serializers_and_compression, requeue_and_prefetch, confirmed_publishing, pools_of_connections, heartbeat_check,
    request_and_reply,
):
    started = time.monotonic()
    case()
    print(f"ok {case.__name__} {time.monotonic() - started:.2f}s", flush=True)
