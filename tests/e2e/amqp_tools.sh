#!/usr/bin/env bash
# amqp-tools, the C client (librabbitmq): declare, publish, get, consume, delete, and what each prints.
set -euo pipefail

expect() { [ "$2" = "$1" ] || { echo "expected '$1', got '$2' ($3)" >&2; exit 1; }; }
amqp() { local tool=$1; shift; "amqp-$tool" --url "$AMQP_URL" "$@"; }

queue=e2e.tools
expect "$queue" "$(amqp declare-queue -d -q $queue)" "declare prints the name"
amqp publish -r $queue -b "first"
printf 'second\nthird\n' | amqp publish -r $queue -l -p -C text/plain
expect "first" "$(amqp get -q $queue)" "get takes the first"
expect "second third" "$(amqp consume -q $queue -c 2 cat | tr '\n' ' ' | sed 's/ $//')" "consume runs a command for each"

status=0; amqp get -q $queue >/dev/null || status=$?
expect 2 "$status" "get from an empty queue"
status=0; amqp get -q e2e.tools.missing 2>/dev/null || status=$?
expect 1 "$status" "get from a queue that is not there"

large=$(mktemp); trap 'rm -f "$large"' EXIT
head -c 3000000 /dev/urandom >"$large"
amqp publish -r $queue <"$large"
amqp get -q $queue | cmp - "$large"

received=$(mktemp); trap 'rm -f "$large" "$received"' EXIT
amqp consume -e amq.topic -r 'tools.#' -q e2e.tools.topic -x -c 1 cat >"$received" & consumer=$!
for _ in $(seq 100); do
  amqp publish -e amq.topic -r tools.log -b "logged"
  kill -0 $consumer 2>/dev/null || break
  sleep 0.1
done
wait $consumer
expect "logged" "$(cat "$received")" "consume binds its queue to a topic exchange"

expect 0 "$(amqp delete-queue -q $queue)" "delete prints how many messages were lost"
echo "ok amqp-tools"
