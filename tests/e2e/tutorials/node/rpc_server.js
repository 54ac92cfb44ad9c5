// Tutorial 6, RPC: answers with Fibonacci numbers.
'use strict';

const amqp = require('amqplib/callback_api');

amqp.connect(process.env.AMQP_URL || 'amqp://localhost', (error, connection) => {
  if (error) throw error;
  connection.createChannel((failure, channel) => {
    if (failure) throw failure;
    channel.assertQueue('rpc_queue', { durable: false });
    channel.prefetch(1);
    const answer = (request) => {
      const n = Number(request.content);
      console.log('fibonacci(%d)', n);
      const { replyTo, correlationId } = request.properties;
      channel.sendToQueue(replyTo, Buffer.from(String(fibonacci(n))), { correlationId });
      channel.ack(request);
    };
    channel.consume('rpc_queue', answer, {}, () => console.log('waiting'));
  });
});

function fibonacci(n) {
  return n < 2 ? n : fibonacci(n - 1) + fibonacci(n - 2);
}
