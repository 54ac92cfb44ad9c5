"""Tutorial 4, routing: listens to the keys given as arguments."""
import os
import sys

import pika


def callback(ch, method, properties, body):
    print(f"received {method.routing_key}:{body.decode()}", flush=True)


severities = sys.argv[1:]
if not severities:
    sys.exit(f"usage: {sys.argv[0]} KEY...")
connection = pika.BlockingConnection(pika.URLParameters(os.environ.get("AMQP_URL", "amqp://localhost")))
channel = connection.channel()
channel.exchange_declare(exchange="direct_logs", exchange_type="direct")
result = channel.queue_declare(queue="", exclusive=True)
for severity in severities:
    channel.queue_bind(exchange="direct_logs", queue=result.method.queue, routing_key=severity)
channel.basic_consume(queue=result.method.queue, on_message_callback=callback, auto_ack=True)
print("waiting", flush=True)
channel.start_consuming()
