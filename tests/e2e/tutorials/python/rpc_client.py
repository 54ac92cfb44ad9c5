"""Tutorial 6, RPC: asks for a Fibonacci number and waits for the answer with its correlation id."""
import os
import sys
import uuid

import pika


class FibonacciClient:
    def __init__(self):
        self.connection = pika.BlockingConnection(pika.URLParameters(os.environ.get("AMQP_URL", "amqp://localhost")))
        self.channel = self.connection.channel()
        result = self.channel.queue_declare(queue="", exclusive=True)
        self.callback_queue = result.method.queue
        self.channel.basic_consume(queue=self.callback_queue, on_message_callback=self.on_response, auto_ack=True)
        self.response = None
        self.correlation_id = None

    def on_response(self, ch, method, props, body):
        if props.correlation_id == self.correlation_id:
            self.response = body

    def call(self, n):
        self.correlation_id = str(uuid.uuid4())
        self.channel.basic_publish(
            exchange="",
            routing_key="rpc_queue",
            properties=pika.BasicProperties(reply_to=self.callback_queue, correlation_id=self.correlation_id),
            body=str(n),
        )
        while self.response is None:
            self.connection.process_data_events(time_limit=None)
        return int(self.response)


n = int(sys.argv[1]) if len(sys.argv) > 1 else 30
print(f"got {FibonacciClient().call(n)}")
