"""Tutorial 2, work queues: takes one task at a time; every dot in it is work."""
import os
import time

import pika


def callback(ch, method, properties, body):
    print(f"received {body.decode()}", flush=True)
    time.sleep(body.count(b".") / 10)
    print("done", flush=True)
    ch.basic_ack(delivery_tag=method.delivery_tag)


connection = pika.BlockingConnection(pika.URLParameters(os.environ.get("AMQP_URL", "amqp://localhost")))
channel = connection.channel()
channel.queue_declare(queue="task_queue", durable=True)
channel.basic_qos(prefetch_count=1)
channel.basic_consume(queue="task_queue", on_message_callback=callback)
print("waiting", flush=True)
channel.start_consuming()
