"""The Celery application of the end-to-end test: its worker runs `celery -A celery_app worker`."""

import os

from celery import Celery
from celery.exceptions import Reject

app = Celery("e2e", broker=os.environ["AMQP_URL"], backend=os.environ.get("CELERY_BACKEND", "rpc://"))
app.conf.update(
    task_default_queue="e2e.celery",
    task_acks_late=True,
    result_expires=60,
    worker_prefetch_multiplier=2,
    worker_send_task_events=True,
    task_send_sent_event=True,
    broker_connection_retry_on_startup=True,
    broker_heartbeat=4,
)
attempts = {}


@app.task
def add(x, y):
    return x + y


@app.task
def total(numbers):
    return sum(numbers)


@app.task(bind=True, max_retries=3)
def third_time_lucky(self, key):
    """Fails twice, then tells at which try it succeeded."""
    if self.request.retries < 2:
        raise self.retry(countdown=0.3, exc=RuntimeError(key))
    return self.request.retries


@app.task
def fail(text):
    raise ValueError(text)


@app.task(bind=True, acks_late=True)
def requeued_once(self):
    """Rejected with requeue the first time: the broker must deliver it again."""
    if not self.request.delivery_info["redelivered"]:
        raise Reject("once more", requeue=True)
    return "redelivered"
