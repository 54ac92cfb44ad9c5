// Tutorial 3, publish/subscribe: listens with a queue of its own.
'use strict';

const amqp = require('amqplib/callback_api');

amqp.connect(process.env.AMQP_URL || 'amqp://localhost', (error, connection) => {
  if (error) throw error;
  connection.createChannel((failure, channel) => {
    if (failure) throw failure;
    channel.assertExchange('logs', 'fanout', { durable: false });
    channel.assertQueue('', { exclusive: true }, (refusal, { queue }) => {
      if (refusal) throw refusal;
      channel.bindQueue(queue, 'logs', '');
      channel.consume(queue, (message) => console.log('received %s', message.content), { noAck: true }, () => console.log('waiting'));
    });
  });
});
