// Tutorial 4, routing: listens to the keys given as arguments.
'use strict';

const amqp = require('amqplib/callback_api');

amqp.connect(process.env.AMQP_URL || 'amqp://localhost', (error, connection) => {
  if (error) throw error;
  connection.createChannel((failure, channel) => {
    if (failure) throw failure;
    channel.assertExchange('direct_logs', 'direct', { durable: false });
    channel.assertQueue('', { exclusive: true }, (refusal, { queue }) => {
      if (refusal) throw refusal;
      for (const key of process.argv.slice(2)) channel.bindQueue(queue, 'direct_logs', key);
      const show = (message) => console.log('received %s:%s', message.fields.routingKey, message.content);
      channel.consume(queue, show, { noAck: true }, () => console.log('waiting'));
    });
  });
});
