// Tutorial 3, publish/subscribe: a log line to everybody who listens.
'use strict';

const amqp = require('amqplib/callback_api');

amqp.connect(process.env.AMQP_URL || 'amqp://localhost', (error, connection) => {
  if (error) throw error;
  connection.createChannel((failure, channel) => {
    if (failure) throw failure;
    const message = process.argv.slice(2).join(' ') || 'info: Hello World!';
    channel.assertExchange('logs', 'fanout', { durable: false });
    channel.publish('logs', '', Buffer.from(message));
    console.log('sent %s', message);
    channel.close(() => connection.close());
  });
});
