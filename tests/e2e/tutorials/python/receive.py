"""Tutorial 1, hello: prints what comes to a named queue."""
import os

import pika


def callback(ch, method, properties, body):
    print(f"received {body.decode()}", flush=True)


connection = pika.BlockingConnection(pika.URLParameters(os.environ.get("AMQP_URL", "amqp://localhost")))
channel = connection.channel()
channel.queue_declare(queue="hello")
channel.basic_consume(queue="hello", on_message_callback=callback, auto_ack=True)
print("waiting", flush=True)
channel.start_consuming()
