// Tutorial 2, work queues: a persistent task to a durable queue.
'use strict';

const amqp = require('amqplib/callback_api');

amqp.connect(process.env.AMQP_URL || 'amqp://localhost', (error, connection) => {
  if (error) throw error;
  connection.createChannel((failure, channel) => {
    if (failure) throw failure;
    const message = process.argv.slice(2).join(' ') || 'Hello World!';
    channel.assertQueue('task_queue', { durable: true });
    channel.sendToQueue('task_queue', Buffer.from(message), { persistent: true });
    console.log('sent %s', message);
    channel.close(() => connection.close());
  });
});
