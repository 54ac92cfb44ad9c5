// Tutorial 5, topics: a log line under a key.
'use strict';

const amqp = require('amqplib/callback_api');

amqp.connect(process.env.AMQP_URL || 'amqp://localhost', (error, connection) => {
  if (error) throw error;
  connection.createChannel((failure, channel) => {
    if (failure) throw failure;
    const [key = 'anonymous.info', ...words] = process.argv.slice(2);
    const message = words.join(' ') || 'Hello World!';
    channel.assertExchange('topic_logs', 'topic', { durable: false });
    channel.publish('topic_logs', key, Buffer.from(message));
    console.log('sent %s:%s', key, message);
    channel.close(() => connection.close());
  });
});
