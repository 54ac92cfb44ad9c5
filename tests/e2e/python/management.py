"""Operators: what the management API, metrics and ringmqctl tell of clients, and what they do to them."""

import base64
import json
import os
import subprocess
import urllib.error
import urllib.parse
import urllib.request

import pika
from support import URL, channels, connection, connection_error, consume, ready, run, wait_until

API, METRICS, CTL = os.environ["API_URL"], os.environ["METRICS_URL"], os.environ["RINGMQCTL"]


def ask(method, path, body=None, user="guest:guest", headers=None):
    """Asks the API: status, and the answer's JSON or None."""
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(API + path, data, {"Authorization": "Basic " + base64.b64encode(user.encode()).decode(), **(headers or {})}, method=method)
    try:
        with urllib.request.urlopen(request, timeout=20) as answer:
            text = answer.read()
            return answer.status, json.loads(text) if text else None
    except urllib.error.HTTPError as error:
        text = error.read()
        return error.code, json.loads(text) if text else None


def get(path, **options):
    status, answer = ask("GET", path, **options)
    assert status == 200, f"{path}: {status} {answer}"
    return answer


def ctl(*words, code=0):
    """Runs ringmqctl, which must end with this code: its standard output."""
    done = subprocess.run([CTL, *words], capture_output=True, text=True, timeout=30)
    assert done.returncode == code, f"{words}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done.stdout


def metric(name):
    """The only sample of a metric."""
    with urllib.request.urlopen(METRICS, timeout=20) as answer:
        lines = answer.read().decode().splitlines()
    values = [line.split(" ")[-1] for line in lines if line.startswith(name + " ")]
    assert len(values) == 1, f"{name}: {values}"
    return float(values[0])


def numbers_are_those_of_clients():
    with channels(2) as (publisher, consumer):
        publisher.queue_declare("m.numbers", durable=True)
        publisher.confirm_delivery()
        for _ in range(7):
            publisher.basic_publish("", "m.numbers", b"body", pika.BasicProperties(delivery_mode=2))
        publisher.basic_publish("", "m.nowhere", b"lost")
        consumer.basic_qos(prefetch_count=2)
        _, messages = consume(consumer, "m.numbers", 2)
        consumer.basic_ack(messages[0][0].delivery_tag)
        consumer.connection.process_data_events(0.1)
        queue = get("/queues/%2F/m.numbers")
        stats = queue["message_stats"]
        assert (queue["messages"], queue["messages_ready"], queue["messages_unacknowledged"], queue["consumers"]) == (6, 4, 2, 1), queue
        assert (stats["publish"], stats["deliver"], stats["ack"], stats["redeliver"]) == (7, 3, 1, 0), stats
        channel = next(one for one in get("/channels") if one["confirm"])
        assert (channel["message_stats"]["publish"], channel["message_stats"]["confirm"]) == (8, 8), channel
        assert channel["message_stats"]["drop_unroutable"] == 1, channel
        [only] = [one for one in get("/consumers") if one["queue"]["name"] == "m.numbers"]
        assert (only["prefetch_count"], only["ack_required"], only["channel_details"]["user"]) == (2, True, "guest"), only
        totals = get("/overview")["object_totals"]
        assert (totals["connections"], totals["channels"], totals["consumers"]) == (2, 2, 1), totals
        assert metric("rabbitmq_connections") == 2 and metric("rabbitmq_queue_messages_ready") == 4
        wait_until(lambda: get("/queues/%2F/m.numbers")["message_stats"]["publish_details"]["rate"] >= 0, "a rate")
        assert "m.numbers\t6" in ctl("list_queues", "name", "messages").splitlines()
        assert get("/queues?page=1&page_size=10&name=m.num&columns=name")["items"] == [{"name": "m.numbers"}]
    ask("DELETE", "/queues/%2F/m.numbers")


def objects_are_made_and_deleted():
    assert ask("PUT", "/vhosts/m%2Fv", {"description": "d"})[0] == 201
    assert ask("PUT", "/vhosts/m%2Fv", {"description": "d"})[0] == 204
    assert ask("PUT", "/users/m.user", {"password": "pw", "tags": "management"})[0] == 201
    assert ask("PUT", "/permissions/m%2Fv/m.user", {"configure": "^m", "write": ".*", "read": ".*"})[0] == 201
    assert ask("PUT", "/queues/m%2Fv/m.q", {"durable": True, "arguments": {"x-max-length": 5}}, user="m.user:pw")[0] == 201
    status, answer = ask("PUT", "/queues/m%2Fv/other", {}, user="m.user:pw")
    assert (status, answer["reason"]) == (401, "Access refused."), answer
    status, answer = ask("PUT", "/queues/m%2Fv/m.q", {"durable": False})
    assert status == 400 and "inequivalent arg 'durable' for queue 'm.q' in vhost 'm/v'" in answer["reason"], answer
    assert ask("POST", "/bindings/m%2Fv/e/amq.topic/q/m.q", {"routing_key": "a.*"})[0] == 201
    assert get("/bindings/m%2Fv/e/amq.topic/q/m.q")[0]["properties_key"] == "a.%2A"
    assert ask("PUT", "/policies/m%2Fv/p", {"pattern": "^m", "definition": {"max-length": 3}, "apply-to": "queues"})[0] == 201
    wait_until(lambda: get("/queues/m%2Fv/m.q")["policy"] == "p", "the policy")
    for n in range(5):
        published = {"properties": {}, "routing_key": "a.b", "payload": f"{n}", "payload_encoding": "string"}
        assert ask("POST", "/exchanges/m%2Fv/amq.topic/publish", published) == (200, {"routed": True})
    got = ask("POST", "/queues/m%2Fv/m.q/get", {"count": 9, "ackmode": "ack_requeue_false", "encoding": "auto"})[1]
    assert [one["payload"] for one in got] == ["2", "3", "4"], got
    assert ask("DELETE", "/vhosts/m%2Fv")[0] == 204 and ask("DELETE", "/users/m.user")[0] == 204
    assert ask("GET", "/vhosts/m%2Fv")[0] == 404


def definitions_go_round():
    before = get("/definitions")
    made = {"queues": [{"name": "m.defined", "vhost": "/", "durable": True, "auto_delete": False, "arguments": {"x-queue-type": "classic"}}]}
    assert ask("POST", "/definitions", {**before, **made})[0] == 204
    assert "m.defined" in [queue["name"] for queue in get("/definitions")["queues"]]
    assert ask("DELETE", "/queues/%2F/m.defined")[0] == 204


def a_connection_is_closed_with_a_reason():
    parameters = pika.URLParameters(URL)
    parameters.client_properties = {"connection_name": "m.closed"}
    client = pika.BlockingConnection(parameters)
    wait_until(lambda: [one for one in get("/connections") if one["client_properties"].get("connection_name") == "m.closed"], "the connection")
    [name] = [one["name"] for one in get("/connections") if one["client_properties"].get("connection_name") == "m.closed"]
    assert ask("DELETE", "/connections/" + urllib.parse.quote(name), headers={"X-Reason": "as you like it"})[0] == 204
    with connection_error(320, "CONNECTION_FORCED - as you like it"):
        while True:
            client.process_data_events(0.1)


def strangers_are_refused():
    assert ask("GET", "/overview", user="guest:wrong") == (401, {"error": "not_authorized", "reason": "Not_Authorized"})
    assert ask("PUT", "/users/m.plain", {"password": "pw", "tags": ""})[0] == 201
    assert ask("GET", "/overview", user="m.plain:pw")[1]["reason"] == "Not management user"
    assert ask("DELETE", "/users/m.plain")[0] == 204


def the_command_line_tool_does_what_rabbitmqs_does():
    assert ctl("add_user", "m.ctl", "secret").startswith('Adding user "m.ctl" ...\n')
    ctl("add_user", "m.ctl", "secret", code=70)
    ctl("set_user_tags", "m.ctl", "monitoring")
    ctl("set_permissions", "m.ctl", ".*", ".*", ".*")
    assert "m.ctl\t.*\t.*\t.*" in ctl("list_permissions").splitlines()
    assert "Success" in ctl("authenticate_user", "m.ctl", "secret")
    ctl("authenticate_user", "m.ctl", "wrong", code=65)
    ctl("delete_user", "m.ctl")
    assert "fully booted and running" in ctl("check_running")
    assert json.loads(ctl("list_vhosts", "name", "--formatter", "json"))[0] == {"name": "/"}
    ctl("list_queue", code=64)
    ctl("trace_on")
    with channels(1) as (channel,):
        channel.queue_declare("m.traces")
        channel.queue_bind("m.traces", "amq.rabbitmq.trace", "publish.#")
        channel.basic_publish("amq.fanout", "k", b"seen")
        wait_until(lambda: ready(channel, "m.traces") == 1, "a trace")
        channel.queue_delete("m.traces")
    ctl("trace_off")


def an_alarm_is_raised_and_cleared():
    assert get("/health/checks/alarms") == {"status": "ok"}
    ctl("set_vm_memory_high_watermark", "absolute", "1")
    wait_until(lambda: ask("GET", "/health/checks/alarms")[0] == 503, "the alarm")
    assert ask("GET", "/health/checks/ready-to-serve-clients")[0] == 200, "an alarm does not make a node unfit"
    ctl("check_alarms", code=69)
    ctl("set_vm_memory_high_watermark", "0.9")
    wait_until(lambda: ask("GET", "/health/checks/alarms")[0] == 200, "the end of the alarm")


with connection():
    pass
run(
    numbers_are_those_of_clients,
    objects_are_made_and_deleted,
    definitions_go_round,
    a_connection_is_closed_with_a_reason,
    strangers_are_refused,
    the_command_line_tool_does_what_rabbitmqs_does,
    an_alarm_is_raised_and_cleared,
)
