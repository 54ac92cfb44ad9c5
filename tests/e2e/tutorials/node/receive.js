// Tutorial 1, hello: prints what comes to a named queue.
'use strict';

const amqp = require('amqplib/callback_api');

amqp.connect(process.env.AMQP_URL || 'amqp://localhost', (error, connection) => {
  if (error) throw error;
  connection.createChannel((failure, channel) => {
    if (failure) throw failure;
    channel.assertQueue('hello', { durable: false });
    channel.consume('hello', (message) => console.log('received %s', message.content), { noAck: true }, () => console.log('waiting'));
  });
});
