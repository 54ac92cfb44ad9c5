// amqplib: confirm channels, errors of assert and check, prefetch, get, requeue, RPC with and without a reply queue, returns, bodies of all sizes, close
// and its events.
'use strict';

const amqp = require('amqplib');
const assert = require('node:assert/strict');
const { once } = require('node:events');

const URL = process.env.AMQP_URL;

async function withConnections(count, act) {
  const opened = await Promise.all(Array.from({ length: count }, () => amqp.connect(URL)));
  try {
    await act(...opened);
  } finally {
    await Promise.all(opened.map((connection) => connection.close().catch(() => {})));
  }
}

// The broker must close the channel with this code; resolves with the error that the channel emits.
async function channelError(connection, code, text, act) {
  const channel = await connection.createChannel();
  const emitted = once(channel, 'error');
  await assert.rejects(async () => {
    await act(channel);
    await channel.checkExchange('amq.direct'); // what has no answer is answered by the close of what follows
  });
  const [error] = await emitted;
  assert.equal(error.code, code, error.message);
  assert.ok(error.message.includes(text), `${error.message} lacks ${text}`);
}

async function consumeCount(channel, queue, count, onMessage, options) {
  const messages = [];
  let done;
  const all = new Promise((resolve) => { done = resolve; });
  const { consumerTag } = await channel.consume(queue, (message) => {
    messages.push(message);
    onMessage?.(message);
    if (messages.length === count) done();
  }, options);
  await within(all, `${count} deliveries from ${queue}`, () => messages.length);
  await channel.cancel(consumerTag);
  return messages;
}

function within(promise, what, state = () => '', ms = 20_000) {
  let timer;
  const late = new Promise((_, reject) => { timer = setTimeout(() => reject(new Error(`no ${what} in ${ms} ms ${state()}`)), ms); });
  return Promise.race([promise, late]).finally(() => clearTimeout(timer));
}

async function confirmChannel() {
  await withConnections(2, async (one, two) => {
    const channel = await one.createConfirmChannel();
    const { queue } = await channel.assertQueue('e2e.node.confirm', { durable: true });
    let confirmed = 0;
    for (let n = 0; n < 1000; n++) channel.sendToQueue(queue, Buffer.from(String(n)), { persistent: true, headers: { n } }, (error) => { assert.ifError(error); confirmed++; });
    await within(channel.waitForConfirms(), 'confirms');
    assert.equal(confirmed, 1000);
    assert.equal((await channel.checkQueue(queue)).messageCount, 1000);
    const consumer = await two.createChannel();
    const messages = await consumeCount(consumer, queue, 1000, (message) => consumer.ack(message));
    messages.forEach((message, n) => {
      assert.equal(message.content.toString(), String(n));
      assert.equal(message.properties.headers.n, n);
      assert.equal(message.properties.deliveryMode, 2);
    });
    assert.equal((await channel.deleteQueue(queue)).messageCount, 0);
  });
}

async function declareErrors() {
  await withConnections(1, async (connection) => {
    const channel = await connection.createChannel();
    await channel.assertQueue('e2e.node.same', { durable: true });
    await channelError(connection, 406, "inequivalent arg 'durable'", (c) => c.assertQueue('e2e.node.same', { durable: false }));
    await channelError(connection, 404, "no queue 'e2e.node.missing'", (c) => c.checkQueue('e2e.node.missing'));
    await channelError(connection, 404, "no exchange 'e2e.node.missing'", (c) => c.checkExchange('e2e.node.missing'));
    await channelError(connection, 406, "inequivalent arg 'type'", (c) => c.assertExchange('amq.direct', 'fanout'));
    await channelError(connection, 404, "no exchange 'e2e.node.missing'", (c) => c.publish('e2e.node.missing', '', Buffer.from('x')));
    await channelError(connection, 406, 'unknown delivery tag 9', (c) => c.ack({ fields: { deliveryTag: 9 } }));
    await channel.deleteQueue('e2e.node.same');
  });
}

async function getAndRequeue() {
  await withConnections(1, async (connection) => {
    const channel = await connection.createChannel();
    const { queue } = await channel.assertQueue('', { exclusive: true });
    assert.equal(await channel.get(queue), false);
    for (const body of ['a', 'b', 'c']) channel.sendToQueue(queue, Buffer.from(body), { messageId: body, expiration: '60000', priority: 1, timestamp: 1700000000 });
    const first = await channel.get(queue);
    assert.deepEqual([first.content.toString(), first.fields.redelivered, first.fields.messageCount], ['a', false, 2]);
    assert.deepEqual([first.properties.messageId, first.properties.expiration, first.properties.timestamp], ['a', '60000', 1700000000]);
    channel.nack(first, false, true);
    const again = await channel.get(queue);
    assert.deepEqual([again.content.toString(), again.fields.redelivered], ['a', true]);
    channel.reject(again, false);
    const second = await channel.get(queue);
    assert.equal(second.content.toString(), 'b');
    await channel.recover();
    assert.equal((await channel.get(queue)).content.toString(), 'b');
    channel.ackAll();
    assert.equal((await channel.purgeQueue(queue)).messageCount, 1);
  });
}

async function prefetch() {
  await withConnections(2, async (one, two) => {
    const channel = await one.createChannel();
    const { queue } = await channel.assertQueue('e2e.node.prefetch', { durable: true });
    const publisher = await two.createConfirmChannel();
    for (let n = 0; n < 6; n++) publisher.sendToQueue(queue, Buffer.from([n]));
    await publisher.waitForConfirms();
    await channel.prefetch(2);
    const held = [];
    await channel.consume(queue, (message) => held.push(message));
    await new Promise((resolve) => { setTimeout(resolve, 400); });
    assert.equal(held.length, 2, 'two deliveries with a prefetch of two');
    channel.ack(held[1], true);
    await new Promise((resolve) => { setTimeout(resolve, 400); });
    assert.deepEqual(held.map((message) => message.content[0]), [0, 1, 2, 3]);
    await channel.deleteQueue(queue);
  });
}

async function returns() {
  await withConnections(1, async (connection) => {
    const channel = await connection.createConfirmChannel();
    const order = [];
    channel.on('return', (message) => order.push(['return', message.fields.replyCode, message.fields.replyText, message.content.toString()]));
    channel.publish('', 'e2e.nobody', Buffer.from('lost'), { mandatory: true }, () => order.push(['confirm']));
    await channel.waitForConfirms();
    assert.deepEqual(order, [['return', 312, 'NO_ROUTE', 'lost'], ['confirm']], 'the return comes before the confirm');
  });
}

async function rpc() {
  await withConnections(2, async (client, server) => {
    const serving = await server.createChannel();
    await serving.assertQueue('e2e.node.rpc', { autoDelete: true, durable: true });
    await serving.consume('e2e.node.rpc', (request) => {
      const { replyTo, correlationId } = request.properties;
      serving.sendToQueue(replyTo, Buffer.from(String(Number(request.content) ** 2)), { correlationId });
      serving.ack(request);
    });
    const calling = await client.createChannel();
    const { queue: replyTo } = await calling.assertQueue('', { exclusive: true });
    const waiting = new Map();
    await calling.consume(replyTo, (reply) => waiting.get(reply.properties.correlationId)(Number(reply.content)), { noAck: true });
    const call = (n) => new Promise((resolve) => {
      waiting.set(`c${n}`, resolve);
      calling.sendToQueue('e2e.node.rpc', Buffer.from(String(n)), { replyTo, correlationId: `c${n}` });
    });
    const numbers = Array.from({ length: 100 }, (_, n) => n);
    assert.deepEqual(await within(Promise.all(numbers.map(call)), 'replies'), numbers.map((n) => n * n));
  });
}

async function directReplyTo() {
  await withConnections(3, async (server, ...clients) => {
    const serving = await server.createChannel();
    await serving.assertQueue('e2e.node.direct', { exclusive: true });
    await serving.consume('e2e.node.direct', ({ content, properties: { replyTo, correlationId } }) => {
      serving.sendToQueue(replyTo, Buffer.from(String(Number(content) ** 2)), { correlationId });
    }, { noAck: true });
    await Promise.all(clients.map(async (client) => {
      const calling = await client.createChannel();
      const waiting = new Map();
      await calling.consume('amq.rabbitmq.reply-to', (reply) => waiting.get(reply.properties.correlationId)(Number(reply.content)), { noAck: true });
      const call = (n) => new Promise((resolve) => {
        waiting.set(`c${n}`, resolve);
        calling.sendToQueue('e2e.node.direct', Buffer.from(String(n)), { replyTo: 'amq.rabbitmq.reply-to', correlationId: `c${n}` });
      });
      const numbers = Array.from({ length: 500 }, (_, n) => n);
      assert.deepEqual(await within(Promise.all(numbers.map(call)), 'replies'), numbers.map((n) => n * n));
    }));
    await channelError(clients[0], 406, 'reply consumer cannot acknowledge', (c) => c.consume('amq.rabbitmq.reply-to', () => {}));
  });
}

async function exchanges() {
  await withConnections(1, async (connection) => {
    const channel = await connection.createConfirmChannel();
    await channel.assertExchange('e2e.node.topic', 'topic', { autoDelete: true });
    await channel.assertExchange('e2e.node.next', 'fanout', { autoDelete: true });
    await channel.bindExchange('e2e.node.next', 'e2e.node.topic', '#.err');
    const queues = await Promise.all([0, 1, 2].map(async () => (await channel.assertQueue('', { exclusive: true })).queue));
    await channel.bindQueue(queues[0], 'e2e.node.topic', 'app.*');
    await channel.bindQueue(queues[1], 'e2e.node.next', '');
    await channel.bindQueue(queues[2], 'amq.headers', '', { 'x-match': 'any', kind: 'a', size: 1 });
    for (const key of ['app.err', 'app.log', 'db.err']) channel.publish('e2e.node.topic', key, Buffer.from(key));
    channel.publish('amq.headers', '', Buffer.from('h'), { headers: { kind: 'a' } });
    channel.publish('amq.headers', '', Buffer.from('no'), { headers: { kind: 'b' } });
    await channel.waitForConfirms();
    const counts = await Promise.all(queues.map(async (queue) => (await channel.checkQueue(queue)).messageCount));
    assert.deepEqual(counts, [2, 2, 1]);
    await channel.unbindQueue(queues[0], 'e2e.node.topic', 'app.*');
    channel.publish('e2e.node.topic', 'app.log', Buffer.from('x'));
    await channel.waitForConfirms();
    assert.equal((await channel.checkQueue(queues[0])).messageCount, 2);
  });
}

async function largeBodies() {
  await withConnections(2, async (one, two) => {
    const publisher = await one.createConfirmChannel();
    const consumer = await two.createChannel();
    const { queue } = await consumer.assertQueue('e2e.node.large', { durable: true });
    const bodies = [0, 1, 131_064, 131_065, 1 << 20, 10 << 20].map((size, n) => Buffer.alloc(size, n + 1));
    bodies.forEach((body) => publisher.sendToQueue(queue, body));
    const messages = await consumeCount(consumer, queue, bodies.length, null, { noAck: true });
    messages.forEach((message, n) => assert.ok(message.content.equals(bodies[n]), `${bodies[n].length} bytes came as ${message.content.length}`));
    await publisher.waitForConfirms();
    await consumer.deleteQueue(queue);
  });
}

async function cancelByTheServer() {
  await withConnections(2, async (one, two) => {
    const consumer = await one.createChannel();
    await consumer.assertQueue('e2e.node.cancel', { durable: true });
    const told = new Promise((resolve) => { consumer.consume('e2e.node.cancel', (message) => message === null && resolve()); });
    await consumer.checkQueue('e2e.node.cancel');
    await (await two.createChannel()).deleteQueue('e2e.node.cancel');
    await within(told, 'basic.cancel');
  });
}

async function closeHandling() {
  const connection = await amqp.connect(URL);
  const events = [];
  connection.on('close', () => events.push('close'));
  connection.on('error', (error) => events.push(error.code));
  const channel = await connection.createChannel();
  channel.on('close', () => events.push('channel close'));
  await channel.close();
  await assert.rejects(async () => channel.checkQueue('x'), { name: 'IllegalOperationError' });
  await connection.close();
  assert.deepEqual(events, ['channel close', 'close']);
  await assert.rejects(amqp.connect(URL.replace('guest:guest', 'guest:wrong')), /403.*ACCESS[_-]REFUSED/);
  await assert.rejects(amqp.connect(URL.replace(/%2f$/i, 'missing')), /Expected ConnectionOpenOk; got <ConnectionClose/);
}

async function manyChannels() {
  await withConnections(4, async (...connections) => {
    const work = connections.flatMap((connection) => Array.from({ length: 25 }, async (_, n) => {
      const channel = await connection.createConfirmChannel();
      const { queue } = await channel.assertQueue('', { exclusive: true });
      for (let i = 0; i < 20; i++) channel.sendToQueue(queue, Buffer.from([n, i]));
      const messages = await consumeCount(channel, queue, 20, (message) => channel.ack(message));
      messages.forEach((message, i) => assert.deepEqual([...message.content], [n, i]));
      await channel.waitForConfirms();
      await channel.close();
    }));
    await Promise.all(work);
  });
}

async function heartbeats() {
  const connection = await amqp.connect(`${URL}?heartbeat=1`);
  const failed = once(connection, 'error').then(([error]) => error);
  const outcome = await Promise.race([failed, new Promise((resolve) => { setTimeout(resolve, 4000, 'alive'); })]);
  assert.equal(outcome, 'alive');
  await (await connection.createChannel()).checkExchange('amq.direct');
  await connection.close();
}

async function main() {
  const cases = [
    confirmChannel, declareErrors, getAndRequeue, prefetch, returns, rpc, directReplyTo, exchanges, largeBodies, cancelByTheServer, closeHandling,
    manyChannels, heartbeats,
  ];
  for (const run of cases) {
    const started = Date.now();
    await run();
    console.log(`ok ${run.name} ${(Date.now() - started) / 1000}s`);
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
