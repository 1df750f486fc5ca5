import java.util.ArrayList;
import java.util.List;
import java.util.Map;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.Semaphore;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicLong;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;

/** As many messages as possible; load.py looks at the broker meanwhile. */
final class Load {
    private static final int BATCH = 32;
    private static final int IN_FLIGHT = 1_000;
    private static final int WORKERS = 20;
    private static final long MINUTES_MAX = 5;

    interface Send {
        void next() throws Exception;
    }

    /**
     * Prints `begin` before and `done MESSAGES SECONDS` after what is measured, each once a line came
     * on the input, so that whoever measures has the time to look.
     */
    static void run(String workload, String namesrv, Map<String, String> options) throws Exception {
        int messages = Integer.parseInt(options.getOrDefault("messages", "100000"));
        byte[] body = Item.random(1, Integer.parseInt(options.getOrDefault("bytes", "128")));
        int callers = Integer.parseInt(options.getOrDefault("callers", "32"));
        String prefix = "java-load-" + Long.toString(System.currentTimeMillis(), 36);
        try (Kit kit = new Kit(namesrv, Kit.admin(namesrv), prefix)) {
            String topic = kit.topic(workload, 4);
            DefaultMQProducer producer = kit.producer();
            producer.setCompressMsgBodyOverHowmuch(Integer.MAX_VALUE);
            int warmUp = messages / 10;
            switch (workload) {
                case "sync" -> {
                    each(callers, warmUp, 1, () -> producer.send(new Message(topic, body)));
                    measured(messages,
                        () -> each(callers, messages, 1, () -> producer.send(new Message(topic, body))));
                }
                case "async" -> {
                    async(producer, topic, body, warmUp);
                    measured(messages, () -> async(producer, topic, body, messages));
                }
                case "batch" -> {
                    each(callers, warmUp, BATCH, () -> producer.send(batch(topic, body)));
                    measured(messages,
                        () -> each(callers, messages, BATCH, () -> producer.send(batch(topic, body))));
                }
                case "consume" -> {
                    each(4, messages, BATCH, () -> producer.send(batch(topic, body)));
                    consume(kit, topic, body, messages);
                }
                default -> throw new Failure("no workload is named " + workload);
            }
        }
    }

    private static void measured(int messages, Send work) throws Exception {
        step("begin");
        long begin = System.nanoTime();
        work.next();
        step("done " + messages + " " + (System.nanoTime() - begin) / 1e9);
    }

    private static void step(String line) throws Exception {
        System.out.println(line);
        System.out.flush();
        while (System.in.read() != '\n') {
            // Whoever measures has looked.
        }
    }

    private static List<Message> batch(String topic, byte[] body) {
        List<Message> messages = new ArrayList<>(BATCH);
        for (int i = 0; i < BATCH; i++) {
            messages.add(new Message(topic, body));
        }
        return messages;
    }

    /** Concurrent callers that share the messages, `size` a call. */
    private static void each(int callers, int messages, int size, Send send) throws Exception {
        AtomicLong left = new AtomicLong(messages);
        AtomicReference<Throwable> failed = new AtomicReference<>();
        List<Thread> threads = new ArrayList<>();
        for (int i = 0; i < callers; i++) {
            Thread thread = new Thread(() -> {
                try {
                    while (failed.get() == null && left.getAndAdd(-size) > 0) {
                        send.next();
                    }
                } catch (Exception cause) {
                    failed.set(cause);
                }
            });
            thread.start();
            threads.add(thread);
        }
        for (Thread thread : threads) {
            thread.join();
        }
        Failure.unless(failed.get() == null, () -> "a send failed: " + failed.get());
    }

    private static void async(DefaultMQProducer producer, String topic, byte[] body, int messages)
        throws Exception {
        Semaphore places = new Semaphore(IN_FLIGHT);
        AtomicReference<Throwable> failed = new AtomicReference<>();
        for (int i = 0; i < messages; i++) {
            places.acquire();
            producer.send(new Message(topic, body), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    places.release();
                }

                @Override
                public void onException(Throwable cause) {
                    failed.set(cause);
                    places.release();
                }
            });
        }
        places.acquire(IN_FLIGHT);
        Failure.unless(failed.get() == null, () -> "a send failed: " + failed.get());
    }

    private static void consume(Kit kit, String topic, byte[] body, int messages) throws Exception {
        AtomicLong left = new AtomicLong(messages);
        CountDownLatch done = new CountDownLatch(1);
        DefaultMQPushConsumer consumer = kit.consumer(kit.name("group"));
        consumer.setConsumeThreadMin(WORKERS);
        consumer.setConsumeThreadMax(WORKERS);
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerConcurrently) (got, context) -> {
            for (var message : got) {
                if (message.getBody().length == body.length && left.decrementAndGet() == 0) {
                    done.countDown();
                }
            }
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        measured(messages, () -> {
            consumer.start();
            Failure.unless(done.await(MINUTES_MAX, TimeUnit.MINUTES), () -> left + " did not arrive");
        });
    }

    private Load() {
    }
}
