import com.rabbitmq.client.AMQP.BasicProperties;
import com.rabbitmq.client.Channel;
import com.rabbitmq.client.Connection;
import com.rabbitmq.client.ConnectionFactory;
import com.rabbitmq.client.DefaultConsumer;
import com.rabbitmq.client.Envelope;
import java.io.IOException;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;

/**
 * Retries as Spring AMQP makes them, on RabbitMQ's Java client, which is what Spring speaks through: the same declarations, basic.qos, basic.nack with
 * `multiple`, confirms and headers, in the same order.
 *
 * <pre>
 *   work.x ──▶ work ──nack──▶ retry.x ──▶ wait (TTL) ──expired──▶ work.x ──▶ work …    x-death counts; after three rounds:
 *               └─ RepublishMessageRecoverer: publish with the stack trace among the headers, confirm, ack ──▶ parking
 * </pre>
 */
public final class DeadLetterRetry {
    private static final String KEY = "orders.new";
    private static final int ROUNDS = 3;
    private static final int WAIT_MS = 300;

    public static void main(String[] args) throws Exception {
        ConnectionFactory factory = new ConnectionFactory();
        factory.setUri(System.getenv("AMQP_URL"));
        try (Connection consuming = factory.newConnection("consumer"); Connection publishing = factory.newConnection("publisher")) {
            for (String type : Arrays.asList("classic", "quorum")) {
                long started = System.nanoTime();
                new DeadLetterRetry(type, consuming, publishing).run();
                System.out.printf("ok %s %.2fs%n", type, (System.nanoTime() - started) / 1e9);
            }
        }
        System.exit(0); // the client's threads would go on
    }

    private final Channel admin;
    private final Channel listener;
    private final Channel template;
    private final String type;
    private final String prefix;
    private final Map<String, List<Attempt>> attempts = new ConcurrentHashMap<>();
    private final CountDownLatch done = new CountDownLatch(4);
    private volatile Throwable failure;

    /** One delivery as the listener saw it. */
    private static final class Attempt {
        final long rejected;
        final long expired;
        final long atNanos = System.nanoTime();

        Attempt(long rejected, long expired) {
            this.rejected = rejected;
            this.expired = expired;
        }
    }

    private DeadLetterRetry(String type, Connection consuming, Connection publishing) throws IOException {
        this.type = type;
        this.prefix = "e2e.java." + type + ".";
        this.admin = publishing.createChannel();
        this.template = publishing.createChannel();
        this.listener = consuming.createChannel();
    }

    private void run() throws Exception {
        declare();
        template.confirmSelect();
        for (String body : Arrays.asList("good", "flaky", "bad", "worse")) {
            BasicProperties properties = new BasicProperties.Builder().contentType("text/plain").deliveryMode(2).priority(0).messageId(body)
                .headers(new HashMap<>(Map.of("own", "kept"))).build();
            template.basicPublish(prefix + "work.x", KEY, true, properties, body.getBytes(StandardCharsets.UTF_8));
        }
        template.waitForConfirmsOrDie(10_000);
        listen();
        if (!done.await(30, TimeUnit.SECONDS) && failure == null) {
            throw new AssertionError(done.getCount() + " messages did not come to their end: " + attempts.keySet());
        }
        if (failure != null) {
            throw new AssertionError(failure);
        }
        checkAttempts("good", 1);
        checkAttempts("flaky", 3);
        checkAttempts("bad", ROUNDS + 1);
        checkAttempts("worse", ROUNDS + 1);
        listener.close();
        checkParked();
        cleanUp();
    }

    /** RabbitAdmin's part. */
    private void declare() throws IOException {
        for (String name : Arrays.asList("work.x", "retry.x", "parking.x")) {
            admin.exchangeDeclare(prefix + name, "direct", true, false, false, new HashMap<>());
        }
        Map<String, Object> work = new HashMap<>(Map.of("x-dead-letter-exchange", prefix + "retry.x", "x-queue-type", type));
        Map<String, Object> wait = new HashMap<>(Map.of("x-dead-letter-exchange", prefix + "work.x", "x-message-ttl", WAIT_MS, "x-queue-type", type));
        admin.queueDeclare(prefix + "work", true, false, false, work);
        admin.queueDeclare(prefix + "wait", true, false, false, wait);
        admin.queueDeclare(prefix + "parking", true, false, false, new HashMap<>());
        admin.queueBind(prefix + "work", prefix + "work.x", KEY, new HashMap<>());
        admin.queueBind(prefix + "wait", prefix + "retry.x", KEY, new HashMap<>());
        admin.queueBind(prefix + "parking", prefix + "parking.x", "e2e.error", new HashMap<>());
    }

    /** The listener container's part. */
    private void listen() throws IOException {
        listener.basicQos(250);
        listener.queueDeclarePassive(prefix + "work");
        listener.basicConsume(prefix + "work", false, "", false, false, new HashMap<>(), new DefaultConsumer(listener) {
            @Override
            public void handleDelivery(String tag, Envelope envelope, BasicProperties properties, byte[] body) throws IOException {
                try {
                    onMessage(envelope, properties, body);
                } catch (AssertionError | Exception wrong) {
                    failure = wrong;
                    while (done.getCount() > 0) {
                        done.countDown();
                    }
                }
            }
        });
    }

    private void onMessage(Envelope envelope, BasicProperties properties, byte[] body) throws Exception {
        String text = new String(body, StandardCharsets.UTF_8);
        List<Attempt> own = attempts.computeIfAbsent(text, key -> new ArrayList<>());
        long rejected = deaths(properties, prefix + "work", "rejected");
        own.add(new Attempt(rejected, deaths(properties, prefix + "wait", "expired")));
        expect(envelope.getRoutingKey(), KEY, "the routing key");
        expect(envelope.getExchange(), prefix + "work.x", "the exchange");
        expect(String.valueOf(properties.getHeaders().get("own")), "kept", "the message's own header");
        boolean isGood = text.equals("good") || text.equals("flaky") && rejected == 2;
        if (isGood) {
            listener.basicAck(envelope.getDeliveryTag(), true);
            done.countDown();
        } else if (rejected < ROUNDS) {
            listener.basicNack(envelope.getDeliveryTag(), true, false); // AmqpRejectAndDontRequeueException
        } else {
            recover(envelope, properties, body, new IllegalStateException("no more rounds for " + text));
            listener.basicAck(envelope.getDeliveryTag(), true);
            done.countDown();
        }
    }

    /** RepublishMessageRecoverer's part: the message with all its properties, and the error. */
    private void recover(Envelope envelope, BasicProperties properties, byte[] body, Exception cause) throws Exception {
        Map<String, Object> headers = new HashMap<>(properties.getHeaders());
        headers.put("x-exception-stacktrace", Arrays.toString(cause.getStackTrace()));
        headers.put("x-exception-message", cause.getMessage());
        headers.put("x-original-exchange", envelope.getExchange());
        headers.put("x-original-routingKey", envelope.getRoutingKey());
        template.basicPublish(prefix + "parking.x", "e2e.error", true, properties.builder().headers(headers).deliveryMode(2).build(), body);
        template.waitForConfirmsOrDie(10_000);
    }

    /** How often the message died in a queue for a reason, by MessageProperties.getXDeathHeader. */
    @SuppressWarnings("unchecked")
    private static long deaths(BasicProperties properties, String queue, String reason) {
        Object all = properties.getHeaders().get("x-death");
        if (all == null) {
            return 0;
        }
        for (Map<String, Object> death : (List<Map<String, Object>>) all) {
            if (queue.equals(String.valueOf(death.get("queue"))) && reason.equals(String.valueOf(death.get("reason")))) {
                return (Long) death.get("count");
            }
        }
        return 0;
    }

    private void checkAttempts(String text, int count) {
        List<Attempt> own = attempts.get(text);
        expect(own.size(), count, "attempts for " + text);
        for (int n = 0; n < count; n++) {
            expect(own.get(n).rejected, (long) n, "rejections of " + text + " before attempt " + n);
            expect(own.get(n).expired, (long) n, "waits of " + text + " before attempt " + n);
            long waitedMs = n == 0 ? WAIT_MS : (own.get(n).atNanos - own.get(n - 1).atNanos) / 1_000_000;
            if (waitedMs < WAIT_MS - 5 || waitedMs > WAIT_MS + 1_500) {
                throw new AssertionError(text + " waited " + waitedMs + " ms before attempt " + n);
            }
        }
    }

    @SuppressWarnings("unchecked")
    private void checkParked() throws Exception {
        for (String text : Arrays.asList("bad", "worse")) {
            var parked = admin.basicGet(prefix + "parking", true);
            if (parked == null) {
                throw new AssertionError(text + " is not parked");
            }
            expect(new String(parked.getBody(), StandardCharsets.UTF_8), text, "what is parked");
            Map<String, Object> headers = parked.getProps().getHeaders();
            expect(String.valueOf(headers.get("x-original-routingKey")), KEY, "the original routing key");
            expect(String.valueOf(headers.get("x-first-death-reason")), "rejected", "the first death");
            expect(String.valueOf(headers.get("x-last-death-queue")), prefix + "wait", "the last death");
            List<Map<String, Object>> deaths = (List<Map<String, Object>>) headers.get("x-death");
            expect(deaths.size(), 2, "entries of x-death");
            expect(String.valueOf(deaths.get(0).get("reason")), "expired", "the newest death");
            expect(deaths.get(0).get("count"), (long) ROUNDS, "waits");
            expect(deaths.get(1).get("count"), (long) ROUNDS, "rejections");
            expect(String.valueOf(((List<Object>) deaths.get(1).get("routing-keys")).get(0)), KEY, "the key of the death");
        }
        expect(admin.messageCount(prefix + "work") + admin.messageCount(prefix + "wait") + admin.messageCount(prefix + "parking"), 0L, "what is left");
    }

    private void cleanUp() throws IOException {
        for (String queue : Arrays.asList("work", "wait", "parking")) {
            admin.queueDelete(prefix + queue);
        }
        for (String exchange : Arrays.asList("work.x", "retry.x", "parking.x")) {
            admin.exchangeDelete(prefix + exchange);
        }
    }

    private static void expect(Object got, Object wanted, String what) {
        if (!wanted.equals(got)) {
            throw new AssertionError(what + ": " + got + ", not " + wanted);
        }
    }
}
