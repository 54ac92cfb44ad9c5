// Tutorial 2, work queues: takes one task at a time; every dot in it is work.
'use strict';

const amqp = require('amqplib/callback_api');

amqp.connect(process.env.AMQP_URL || 'amqp://localhost', (error, connection) => {
  if (error) throw error;
  connection.createChannel((failure, channel) => {
    if (failure) throw failure;
    channel.assertQueue('task_queue', { durable: true });
    channel.prefetch(1);
    const work = (message) => {
      console.log('received %s', message.content);
      setTimeout(() => {
        console.log('done');
        channel.ack(message);
      }, 100 * (message.content.toString().split('.').length - 1));
    };
    channel.consume('task_queue', work, { noAck: false }, () => console.log('waiting'));
  });
});
