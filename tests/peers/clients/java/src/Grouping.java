import java.util.ArrayList;
import java.util.HashMap;
import java.util.HashSet;
import java.util.List;
import java.util.Map;
import java.util.Set;
import java.util.TreeSet;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.common.message.MessageQueue;
import org.apache.rocketmq.remoting.protocol.heartbeat.MessageModel;
import org.apache.rocketmq.common.UtilAll;

/** Several consumers, and one that comes back: who gets what, and from where on. */
final class Grouping {
    private static final int QUEUES = 8;

    static void addTo(Map<String, Main.Scenario> all) {
        all.put("rebalance", Grouping::rebalance);
        all.put("restart", Grouping::restart);
        all.put("start", Grouping::start);
        all.put("broadcast", Grouping::broadcast);
        all.put("groups", Grouping::groups);
    }

    /** One consumer, two, one again; while messages come all the time. */
    private static void rebalance(Kit kit) throws Exception {
        String topic = kit.topic("topic", QUEUES);
        String group = kit.name("group");
        DefaultMQProducer producer = kit.producer();
        Inbox first = new Inbox();
        Inbox second = new Inbox();
        List<Item> everything = new ArrayList<>();
        DefaultMQPushConsumer one = kit.collect(group, topic, "*", first);
        Kit.until("one owner of all", () -> owned(one, topic).size() == QUEUES);
        everything.addAll(burst(producer, topic, "alone"));
        DefaultMQPushConsumer two = kit.collect(group, topic, "*", second);
        everything.addAll(burst(producer, topic, "joining"));
        Kit.until("each queue has one owner", () -> {
            Set<Integer> ofOne = owned(one, topic);
            Set<Integer> ofTwo = owned(two, topic);
            Set<Integer> both = new HashSet<>(ofOne);
            both.addAll(ofTwo);
            return ofOne.size() == QUEUES / 2 && ofTwo.size() == QUEUES / 2
                && both.size() == QUEUES;
        });
        List<Item> shared = burst(producer, topic, "shared");
        everything.addAll(shared);
        Kit.until("all that was shared", () -> came(first, second, "shared") >= shared.size());
        Map<Integer, Set<String>> owners = new HashMap<>();
        note(owners, first, "one");
        note(owners, second, "two");
        Failure.unless(owners.size() == QUEUES
                && owners.values().stream().allMatch(of -> of.size() == 1),
            () -> "queues and who got their messages: " + owners);
        two.shutdown();
        everything.addAll(burst(producer, topic, "leaving"));
        Kit.until("one owner of all again", () -> owned(one, topic).size() == QUEUES);
        everything.addAll(burst(producer, topic, "last"));
        Kit.until("the last to come", () -> came(first, second, "last") >= shared.size()
            && came(first, second, "leaving") >= shared.size());
        Inbox together = new Inbox();
        first.all().forEach(arrival -> together.add(List.of(arrival.message())));
        second.all().forEach(arrival -> together.add(List.of(arrival.message())));
        together.atLeast(everything);
        Failure.unless(together.size() < everything.size() * 3 / 2,
            () -> together.size() + " deliveries of " + everything.size() + " messages");
    }

    private static List<Item> burst(DefaultMQProducer producer, String topic, String name)
        throws Exception {
        List<Item> items = Kit.items(name, 10 * QUEUES);
        Kit.send(producer, topic, items);
        return items;
    }

    /** The client has no other way to tell. */
    @SuppressWarnings("deprecation")
    private static Set<Integer> owned(DefaultMQPushConsumer consumer, String topic) {
        Set<Integer> queues = new TreeSet<>();
        for (MessageQueue queue : consumer.getDefaultMQPushConsumerImpl().getRebalanceImpl()
            .getProcessQueueTable().keySet()) {
            if (queue.getTopic().equals(topic)) {
                queues.add(queue.getQueueId());
            }
        }
        return queues;
    }

    private static int came(Inbox first, Inbox second, String name) {
        Set<String> keys = new HashSet<>();
        for (Inbox inbox : List.of(first, second)) {
            inbox.all().stream().map(Inbox.Arrival::key).filter(key -> key.startsWith(name))
                .forEach(keys::add);
        }
        return keys.size();
    }

    private static void note(Map<Integer, Set<String>> owners, Inbox inbox, String owner) {
        for (Inbox.Arrival arrival : inbox.all()) {
            if (arrival.key().startsWith("shared")) {
                owners.computeIfAbsent(arrival.message().getQueueId(), queue -> new TreeSet<>())
                    .add(owner);
            }
        }
    }

    /** What was consumed before is not consumed again. */
    private static void restart(Kit kit) throws Exception {
        String topic = kit.topic("topic", 4);
        String group = kit.name("group");
        DefaultMQProducer producer = kit.producer();
        for (String part : List.of("first", "second", "third")) {
            List<Item> items = Kit.items(part, 50);
            Kit.send(producer, topic, items);
            Inbox inbox = new Inbox();
            DefaultMQPushConsumer consumer = kit.collect(group, topic, "*", inbox);
            inbox.exactly(items);
            consumer.shutdown();
            // The shutdown's commits are one-way.
            Kit.until("all is committed", () ->
                kit.admin.examineConsumeStats(group, topic).computeTotalDiff() == 0);
        }
    }

    /**
     * A topic whose first message is still there is read from its beginning by a new group, whatever
     * the group asks for: the broker then answers 0 for an offset that nobody committed.
     */
    private static void start(Kit kit) throws Exception {
        String topic = kit.topic("topic", 2);
        List<Item> items = Kit.items("start", 20);
        Kit.send(kit.producer(), topic, items);
        Map<ConsumeFromWhere, Inbox> inboxes = new HashMap<>();
        for (ConsumeFromWhere where : List.of(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET,
            ConsumeFromWhere.CONSUME_FROM_LAST_OFFSET, ConsumeFromWhere.CONSUME_FROM_TIMESTAMP)) {
            Inbox inbox = new Inbox();
            DefaultMQPushConsumer consumer = kit.consumer(kit.name(where.name()));
            consumer.setConsumeFromWhere(where);
            consumer.setConsumeTimestamp(
                UtilAll.timeMillisToHumanString3(System.currentTimeMillis() - 60_000));
            consumer.subscribe(topic, "*");
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                inbox.add(messages);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
            inboxes.put(where, inbox);
        }
        for (Inbox inbox : inboxes.values()) {
            inbox.exactly(items);
        }
    }

    /** Each of two consumers of one group gets everything. */
    private static void broadcast(Kit kit) throws Exception {
        String topic = kit.topic("topic", 4);
        String group = kit.name("group");
        List<Inbox> inboxes = List.of(new Inbox(), new Inbox());
        for (Inbox inbox : inboxes) {
            DefaultMQPushConsumer consumer = kit.consumer(group);
            consumer.setMessageModel(MessageModel.BROADCASTING);
            consumer.subscribe(topic, "*");
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                inbox.add(messages);
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
        }
        // Nobody commits an offset to the broker: each starts where it finds the queues.
        List<Item> items = Kit.items("broadcast", 100);
        Kit.send(kit.producer(), topic, items);
        for (Inbox inbox : inboxes) {
            inbox.exactly(items);
        }
    }

    /** Two groups of one topic don't disturb each other. */
    private static void groups(Kit kit) throws Exception {
        String topic = kit.topic("topic", 4);
        Inbox one = new Inbox();
        Inbox two = new Inbox();
        kit.collect(kit.name("one"), topic, "*", one);
        List<Item> items = Kit.items("groups", 60);
        Kit.send(kit.producer(), topic, items);
        kit.collect(kit.name("two"), topic, "*", two);
        one.exactly(items);
        two.exactly(items);
    }

    private Grouping() {
    }
}
