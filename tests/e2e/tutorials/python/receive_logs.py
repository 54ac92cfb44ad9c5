"""Tutorial 3, publish/subscribe: listens with a queue of its own."""
import os

import pika


def callback(ch, method, properties, body):
    print(f"received {body.decode()}", flush=True)


connection = pika.BlockingConnection(pika.URLParameters(os.environ.get("AMQP_URL", "amqp://localhost")))
channel = connection.channel()
channel.exchange_declare(exchange="logs", exchange_type="fanout")
result = channel.queue_declare(queue="", exclusive=True)
channel.queue_bind(exchange="logs", queue=result.method.queue)
channel.basic_consume(queue=result.method.queue, on_message_callback=callback, auto_ack=True)
print("waiting", flush=True)
channel.start_consuming()
