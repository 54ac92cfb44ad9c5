// Tutorial 5, topics: listens to the keys given as arguments.
'use strict';

const amqp = require('amqplib/callback_api');

amqp.connect(process.env.AMQP_URL || 'amqp://localhost', (error, connection) => {
  if (error) throw error;
  connection.createChannel((failure, channel) => {
    if (failure) throw failure;
    channel.assertExchange('topic_logs', 'topic', { durable: false });
    channel.assertQueue('', { exclusive: true }, (refusal, { queue }) => {
      if (refusal) throw refusal;
      for (const key of process.argv.slice(2)) channel.bindQueue(queue, 'topic_logs', key);
      const show = (message) => console.log('received %s:%s', message.fields.routingKey, message.content);
      channel.consume(queue, show, { noAck: true }, () => console.log('waiting'));
    });
  });
});
