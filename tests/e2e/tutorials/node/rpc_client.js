// Tutorial 6, RPC: asks for a Fibonacci number and waits for the answer with its correlation id.
'use strict';

const { randomUUID } = require('node:crypto');
const amqp = require('amqplib/callback_api');

amqp.connect(process.env.AMQP_URL || 'amqp://localhost', (error, connection) => {
  if (error) throw error;
  connection.createChannel((failure, channel) => {
    if (failure) throw failure;
    channel.assertQueue('', { exclusive: true }, (refusal, { queue }) => {
      if (refusal) throw refusal;
      const correlationId = randomUUID();
      const show = (reply) => {
        if (reply.properties.correlationId !== correlationId) return;
        console.log('got %s', reply.content);
        channel.close(() => connection.close());
      };
      channel.consume(queue, show, { noAck: true });
      channel.sendToQueue('rpc_queue', Buffer.from(process.argv[2] || '30'), { correlationId, replyTo: queue });
    });
  });
});
