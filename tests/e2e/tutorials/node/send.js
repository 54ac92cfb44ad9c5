// Tutorial 1, hello: one message to a named queue.
'use strict';

const amqp = require('amqplib/callback_api');

amqp.connect(process.env.AMQP_URL || 'amqp://localhost', (error, connection) => {
  if (error) throw error;
  connection.createChannel((failure, channel) => {
    if (failure) throw failure;
    channel.assertQueue('hello', { durable: false });
    channel.sendToQueue('hello', Buffer.from('Hello World!'));
    console.log('sent Hello World!');
    channel.close(() => connection.close());
  });
});
