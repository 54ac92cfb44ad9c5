"""aio-pika: robust connections, queue iterators, confirms, returns, transactions, the RPC and the master/worker patterns."""

import asyncio
import os
import time
from urllib.parse import urlsplit, urlunsplit

import aio_pika
from aio_pika.exceptions import ChannelNotFoundEntity, ChannelPreconditionFailed, DeliveryError
from aio_pika.patterns import RPC, Master, RejectMessage

URL = os.environ["AMQP_URL"]


async def iterator_in_order():
    async with await aio_pika.connect_robust(URL) as sender, await aio_pika.connect_robust(URL) as receiver:
        out, channel = await sender.channel(), await receiver.channel()
        await channel.set_qos(prefetch_count=10)
        queue = await channel.declare_queue("e2e.aio.iterator", durable=True)
        for n in range(200):
            confirmation = await out.default_exchange.publish(aio_pika.Message(b"%d" % n, headers={"n": n}), queue.name)
            assert confirmation.name == "Basic.Ack"
        got = []
        async with queue.iterator() as messages:
            async for message in messages:
                async with message.process():
                    got.append((int(message.body), message.headers["n"]))
                if len(got) == 200:
                    break
        assert got == [(n, n) for n in range(200)]
        await queue.delete(if_unused=False, if_empty=False)


async def many_confirms_in_flight():
    async with await aio_pika.connect_robust(URL) as connection:
        channel = await connection.channel(publisher_confirms=True)
        queue = await channel.declare_queue(exclusive=True)
        sent = [channel.default_exchange.publish(aio_pika.Message(b"%d" % n), queue.name) for n in range(1000)]
        await asyncio.gather(*sent)
        state = await queue.declare()
        assert state.message_count == 1000, state


async def returned():
    async with await aio_pika.connect_robust(URL) as connection:
        channel = await connection.channel(on_return_raises=True)
        try:
            await channel.default_exchange.publish(aio_pika.Message(b"lost"), "e2e.nobody")
        except DeliveryError as error:
            assert error.message.delivery.reply_code == 312, error
        else:
            raise AssertionError("an unroutable message was not returned")


async def requeue_and_reject():
    async with await aio_pika.connect_robust(URL) as connection:
        channel = await connection.channel()
        queue = await channel.declare_queue(exclusive=True)
        await channel.default_exchange.publish(aio_pika.Message(b"x"), queue.name)
        first = await queue.get()
        assert not first.redelivered
        await first.nack(requeue=True)
        second = await queue.get()
        assert second.redelivered
        await second.reject(requeue=False)
        assert await queue.get(fail=False) is None


async def errors_have_their_classes():
    async with await aio_pika.connect(URL) as connection:
        for expected, declare in (
            (ChannelNotFoundEntity, lambda channel: channel.declare_queue("e2e.missing", passive=True)),
            (ChannelPreconditionFailed, lambda channel: channel.declare_exchange("amq.direct", "fanout", durable=True)),
        ):
            try:
                await declare(await connection.channel())
            except expected:
                continue
            raise AssertionError(f"no {expected.__name__}")


async def transaction():
    async with await aio_pika.connect(URL) as connection:
        channel = await connection.channel(publisher_confirms=False)
        queue = await channel.declare_queue(exclusive=True)
        async with channel.transaction():
            await channel.default_exchange.publish(aio_pika.Message(b"kept"), queue.name)
        try:
            async with channel.transaction():
                await channel.default_exchange.publish(aio_pika.Message(b"dropped"), queue.name)
                raise KeyError
        except KeyError:
            pass
        assert (await queue.get(no_ack=True)).body == b"kept"
        assert await queue.get(fail=False) is None


class Relay:
    """A wire between client and broker that can be cut."""

    def __init__(self):
        self.wires = set()

    async def start(self):
        self.server = await asyncio.start_server(self.join, "127.0.0.1")
        return self.server.sockets[0].getsockname()[1]

    async def join(self, reader, writer):
        broker = urlsplit(URL)
        far_reader, far_writer = await asyncio.open_connection(broker.hostname, broker.port)
        self.wires |= {writer, far_writer}
        await asyncio.gather(self.carry(reader, far_writer), self.carry(far_reader, writer))

    async def carry(self, reader, writer):
        try:
            while octets := await reader.read(65536):
                writer.write(octets)
        except ConnectionError:
            pass
        writer.close()

    def cut(self):
        for writer in self.wires:
            writer.transport.abort()
        self.wires.clear()


async def robust_connection_returns():
    relay = Relay()
    port = await relay.start()
    through_relay = urlunsplit(urlsplit(URL)._replace(netloc=f"guest:guest@127.0.0.1:{port}"))
    async with await aio_pika.connect_robust(through_relay, reconnect_interval=0.1) as connection, await aio_pika.connect_robust(URL) as other:
        channel = await connection.channel()
        queue = await channel.declare_queue("e2e.aio.robust", auto_delete=True)
        got, back = asyncio.Queue(), asyncio.Event()

        async def on_message(message):
            await got.put(message.body)

        await queue.consume(on_message, no_ack=True)
        connection.reconnect_callbacks.add(lambda *_: back.set())
        relay.cut()
        await asyncio.wait_for(back.wait(), 10)
        out = await other.channel()
        await out.default_exchange.publish(aio_pika.Message(b"after"), "e2e.aio.robust", mandatory=True)
        assert await asyncio.wait_for(got.get(), 10) == b"after"


async def rpc_pattern():
    async def multiply(*, x, y):
        return x * y

    async def fail(*, text):
        raise ValueError(text)

    async with await aio_pika.connect_robust(URL) as server, await aio_pika.connect_robust(URL) as client:
        serving = await RPC.create(await server.channel())
        await serving.register("multiply", multiply, auto_delete=True)
        await serving.register("fail", fail, auto_delete=True)
        calling = await RPC.create(await client.channel())
        results = await asyncio.gather(*(calling.proxy.multiply(x=n, y=3) for n in range(100)))
        assert results == [n * 3 for n in range(100)]
        try:
            await calling.proxy.fail(text="as told")
        except ValueError as error:
            assert "as told" in str(error)
        else:
            raise AssertionError("the exception did not come back")


async def master_and_worker():
    done, refused = asyncio.Queue(), asyncio.Queue()

    async def work(*, n):
        if n == 3:
            await refused.put(n)
            raise RejectMessage(requeue=False)
        await done.put(n)

    async with await aio_pika.connect_robust(URL) as workers, await aio_pika.connect_robust(URL) as masters:
        for _ in range(2):
            channel = await workers.channel()
            await channel.set_qos(prefetch_count=1)
            await Master(channel).create_worker("e2e.aio.work", work, auto_delete=True)
        master = Master(await masters.channel())
        for n in range(20):
            await master.create_task("e2e.aio.work", {"n": n})
        got = sorted([await asyncio.wait_for(done.get(), 10) for _ in range(19)])
        assert got == [n for n in range(20) if n != 3]
        assert await asyncio.wait_for(refused.get(), 10) == 3


async def large_bodies():
    async with await aio_pika.connect_robust(URL) as sender, await aio_pika.connect_robust(URL) as receiver:
        out, channel = await sender.channel(), await receiver.channel()
        queue = await channel.declare_queue("e2e.aio.large", auto_delete=True)
        sizes = [0, 1, 131_064, 131_065, 5 << 20]
        sending = asyncio.gather(*(out.default_exchange.publish(aio_pika.Message(bytes([n]) * size), queue.name) for n, size in enumerate(sizes)))
        async with queue.iterator(no_ack=True) as messages:
            for n, size in enumerate(sizes):
                body = (await asyncio.wait_for(anext(messages), 20)).body
                assert body == bytes([n]) * size, f"{size} bytes came as {len(body)}"
        await sending


async def main():
    for case in (
        iterator_in_order, many_confirms_in_flight, returned, requeue_and_reject, errors_have_their_classes, transaction,
        robust_connection_returns, rpc_pattern, master_and_worker, large_bodies,
    ):
        started = time.monotonic()
        await asyncio.wait_for(case(), 40)
        print(f"ok {case.__name__} {time.monotonic() - started:.2f}s", flush=True)


asyncio.run(main())
