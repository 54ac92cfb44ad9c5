"""Tutorial 5, topics: listens to the keys given as arguments."""
import os
import sys

import pika


def callback(ch, method, properties, body):
    print(f"received {method.routing_key}:{body.decode()}", flush=True)


binding_keys = sys.argv[1:]
if not binding_keys:
    sys.exit(f"usage: {sys.argv[0]} KEY...")
connection = pika.BlockingConnection(pika.URLParameters(os.environ.get("AMQP_URL", "amqp://localhost")))
channel = connection.channel()
channel.exchange_declare(exchange="topic_logs", exchange_type="topic")
result = channel.queue_declare(queue="", exclusive=True)
for binding_key in binding_keys:
    channel.queue_bind(exchange="topic_logs", queue=result.method.queue, routing_key=binding_key)
channel.basic_consume(queue=result.method.queue, on_message_callback=callback, auto_ack=True)
print("waiting", flush=True)
channel.start_consuming()
