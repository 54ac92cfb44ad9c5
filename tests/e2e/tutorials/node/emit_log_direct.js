// Tutorial 4, routing: a log line under a key.
'use strict';

const amqp = require('amqplib/callback_api');

amqp.connect(process.env.AMQP_URL || 'amqp://localhost', (error, connection) => {
  if (error) throw error;
  connection.createChannel((failure, channel) => {
    if (failure) throw failure;
    const [key = 'info', ...words] = process.argv.slice(2);
    const message = words.join(' ') || 'Hello World!';
    channel.assertExchange('direct_logs', 'direct', { durable: false });
    channel.publish('direct_logs', key, Buffer.from(message));
    console.log('sent %s:%s', key, message);
    channel.close(() => connection.close());
  });
});
