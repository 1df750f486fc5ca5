import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import java.util.concurrent.CountDownLatch;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.atomic.AtomicReference;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendCallback;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Ways to send, and what a message may contain; each is checked at a push consumer. */
final class Sending {
    static void addTo(Map<String, Main.Scenario> all) {
        all.put("sync", Sending::sync);
        all.put("async", Sending::async);
        all.put("oneway", Sending::oneway);
        all.put("batch", Sending::batch);
        all.put("compression", Sending::compression);
        all.put("contents", Sending::contents);
        all.put("refusals", Sending::refusals);
    }

    /** To a topic that the broker makes from its template; queue offsets count from 0. */
    private static void sync(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        String topic = kit.name("topic");
        List<Item> items = Kit.items("sync", 100);
        Map<MessageQueue, Long> next = new HashMap<>();
        for (Item item : items) {
            SendResult result = Kit.stored(producer.send(item.message(topic)));
            long expected = next.getOrDefault(result.getMessageQueue(), 0L);
            Failure.equal("the queue offset", expected, result.getQueueOffset());
            next.put(result.getMessageQueue(), expected + 1);
        }
        Failure.equal("queues of a topic made by sending", 4, next.size());
        kit.routed(topic);
        kit.collect(topic).exactly(items);
    }

    private static void async(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        String topic = kit.topic("topic", 4);
        Inbox inbox = kit.collect(topic);
        List<Item> items = Kit.items("async", 500);
        CountDownLatch answers = new CountDownLatch(items.size());
        AtomicReference<Throwable> failed = new AtomicReference<>();
        for (Item item : items) {
            producer.send(item.message(topic), new SendCallback() {
                @Override
                public void onSuccess(SendResult result) {
                    try {
                        Kit.stored(result);
                    } catch (Failure failure) {
                        failed.set(failure);
                    }
                    answers.countDown();
                }

                @Override
                public void onException(Throwable cause) {
                    failed.set(cause);
                    answers.countDown();
                }
            });
        }
        Failure.unless(answers.await(Kit.WAIT_MS, TimeUnit.MILLISECONDS),
            () -> answers.getCount() + " of " + items.size() + " without an answer");
        Failure.unless(failed.get() == null, () -> "a send failed: " + failed.get());
        inbox.exactly(items);
    }

    private static void oneway(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        String topic = kit.topic("topic", 4);
        Inbox inbox = kit.collect(topic);
        List<Item> items = Kit.items("oneway", 100);
        for (Item item : items) {
            producer.sendOneway(item.message(topic));
        }
        inbox.exactly(items);
    }

    /** Each message of a batch has an id and an offset of its own, one after the other. */
    private static void batch(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        String topic = kit.topic("topic", 2);
        Inbox inbox = kit.collect(topic);
        List<Item> items = Kit.items("batch", 96);
        TreeSet<String> offsetIds = new TreeSet<>();
        for (int i = 0; i < items.size(); i += 32) {
            List<Message> messages = new ArrayList<>();
            items.subList(i, i + 32).forEach(item -> messages.add(item.message(topic)));
            SendResult result = Kit.stored(producer.send(messages));
            Failure.equal("ids of a batch", 32, result.getMsgId().split(",").length);
            offsetIds.addAll(List.of(result.getOffsetMsgId().split(",")));
        }
        Failure.equal("distinct offset ids", items.size(), offsetIds.size());
        TreeSet<String> cameWith = new TreeSet<>();
        Map<Integer, TreeSet<Long>> offsets = new HashMap<>();
        for (Inbox.Arrival arrival : inbox.exactly(items)) {
            cameWith.add(Reading.offsetId(arrival.message()));
            offsets.computeIfAbsent(arrival.message().getQueueId(), queue -> new TreeSet<>())
                .add(arrival.message().getQueueOffset());
        }
        Failure.equal("offset ids of what came", offsetIds, cameWith);
        offsets.values().forEach(of -> Failure.unless(
            of.first() == 0 && of.last() == of.size() - 1, () -> "gaps between offsets: " + of));
    }

    /** Bodies from 4096 bytes on are compressed by the client and must arrive restored. */
    private static void compression(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        String topic = kit.topic("topic", 2);
        Inbox inbox = kit.collect(topic);
        List<Item> items = new ArrayList<>();
        for (int length : new int[] {4_095, 4_096, 20_000, 400_000}) {
            byte[] body = "compressible, ".repeat(length / 14 + 1).substring(0, length)
                .getBytes(StandardCharsets.UTF_8);
            items.add(Item.bytes("length-" + length, body));
        }
        Kit.send(producer, topic, items);
        for (Inbox.Arrival arrival : inbox.exactly(items)) {
            MessageExt message = arrival.message();
            boolean compressed = message.getStoreSize() < message.getBody().length;
            Failure.equal(arrival.key() + " compressed", !arrival.key().endsWith("4095"), compressed);
        }
    }

    private static void contents(Kit kit) throws Exception {
        DefaultMQProducer producer = kit.producer();
        String topic = kit.topic("topic", 2);
        Inbox inbox = kit.collect(topic);
        List<Item> items = new ArrayList<>();
        items.add(Item.bytes("all-bytes", Item.allBytes()));
        items.add(Item.bytes("one-byte", new byte[] {0}));
        items.add(Item.bytes("hundred-kib", Item.random(1, 100 * 1024)));
        items.add(Item.bytes("three-mib", Item.random(2, 3 * 1024 * 1024)));
        items.add(new Item("unicode", "Grüße, 世界, 🚀".getBytes(StandardCharsets.UTF_8), "标签",
            Map.of("größe", "überall", "国", "中文 with spaces", "emoji", "🚀🚀", "json",
                "{\"a\":[1,2],\"b\":\"\\\\\"}")));
        items.add(new Item("long-property", new byte[] {1}, "t", Map.of("long", "x".repeat(20_000))));
        items.add(new Item("two keys", new byte[] {2}, "t", Map.of("equals", "a=b;c&d")));
        for (Item item : items) {
            Message message = item.message(topic);
            message.setFlag(4711);
            Kit.stored(producer.send(message));
        }
        for (Inbox.Arrival arrival : inbox.exactly(items)) {
            Failure.equal("the flag", 4711, arrival.message().getFlag());
            Failure.equal("the topic", topic, arrival.message().getTopic());
        }
    }

    private static void refusals(Kit kit) throws Exception {
        String topic = kit.topic("topic", 1);
        DefaultMQProducer producer = kit.producer();
        // Above the 4 MiB that the broker takes; the client's own check must not see it.
        producer.setMaxMessageSize(8 * 1024 * 1024);
        producer.setRetryTimesWhenSendFailed(0);
        Message large = new Message(topic, Item.random(3, 5 * 1024 * 1024));
        Kit.refused("a message of 5 MiB", 13, () -> producer.send(large, 20_000));
        // The connection must survive that.
        SendResult stored = Kit.stored(producer.send(Item.text("after").message(topic)));

        // A topic that nobody made, with a template that doesn't exist.
        DefaultMQProducer strict = new DefaultMQProducer(kit.name("strict"));
        strict.setCreateTopicKey("no-such-template");
        strict.setRetryTimesWhenSendFailed(0);
        kit.started(strict);
        Kit.stored(strict.send(Item.text("known").message(topic)));
        MessageQueue nowhere = new MessageQueue(kit.name("unknown"),
            stored.getMessageQueue().getBrokerName(), 0);
        Kit.refused("an unknown topic", 17,
            () -> strict.send(Item.text("x").message(nowhere.getTopic()), nowhere));
    }

    private Sending() {
    }
}
