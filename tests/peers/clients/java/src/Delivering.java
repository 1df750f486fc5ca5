import java.util.ArrayList;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeMap;
import java.util.concurrent.ConcurrentHashMap;
import java.util.concurrent.atomic.AtomicBoolean;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.ConsumeOrderlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.consumer.listener.MessageListenerOrderly;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.LocalTransactionState;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.TransactionListener;
import org.apache.rocketmq.client.producer.TransactionMQProducer;
import org.apache.rocketmq.client.producer.selector.SelectMessageQueueByHash;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageConst;
import org.apache.rocketmq.common.message.MessageExt;

/** When, how often and in which order messages come. */
final class Delivering {
    static void addTo(Map<String, Main.Scenario> all) {
        all.put("transactions", Delivering::transactions);
        all.put("delayed", Delivering::delayed);
        all.put("timed", Delivering::timed);
        all.put("dead_letters", Delivering::deadLetters);
        all.put("long_poll", Delivering::longPoll);
        all.put("ordered", Delivering::ordered);
        all.put("tags", Delivering::tags);
    }

    private static void transactions(Kit kit) throws Exception {
        String topic = kit.topic("topic", 4);
        Inbox inbox = kit.collect(topic);
        TransactionMQProducer producer = new TransactionMQProducer(kit.name("producer"));
        Map<String, Integer> checks = new ConcurrentHashMap<>();
        Map<String, Item> checked = new ConcurrentHashMap<>();
        List<Failure> wrong = new ArrayList<>();
        producer.setTransactionListener(new TransactionListener() {
            @Override
            public LocalTransactionState executeLocalTransaction(Message message, Object decision) {
                return (LocalTransactionState) decision;
            }

            /** At first it is still unknown, then the key says what became of it. */
            @Override
            public LocalTransactionState checkLocalTransaction(MessageExt message) {
                String key = message.getKeys();
                try {
                    checked.get(key).check(message);
                } catch (RuntimeException differs) {
                    wrong.add(new Failure("checked " + key + ": " + differs));
                }
                if (checks.merge(key, 1, Integer::sum) == 1 && key.startsWith("unknown")) {
                    return LocalTransactionState.UNKNOW;
                }
                return key.contains("commit") ? LocalTransactionState.COMMIT_MESSAGE
                    : LocalTransactionState.ROLLBACK_MESSAGE;
            }
        });
        kit.started(producer);
        List<Item> expected = new ArrayList<>();
        for (int i = 0; i < 4; i++) {
            for (String kind : List.of("commit", "rollback", "unknown-commit", "unknown-rollback")) {
                Item item = Item.text(kind + "-" + i);
                checked.put(item.key(), item);
                LocalTransactionState decision = switch (kind) {
                    case "commit" -> LocalTransactionState.COMMIT_MESSAGE;
                    case "rollback" -> LocalTransactionState.ROLLBACK_MESSAGE;
                    default -> LocalTransactionState.UNKNOW;
                };
                Kit.stored(producer.sendMessageInTransaction(item.message(topic), decision));
                if (kind.endsWith("commit")) {
                    expected.add(item);
                }
            }
        }
        inbox.atLeast(expected);
        Kit.until("both checks of all that was unknown", () -> checks.size() == 8
            && checks.values().stream().allMatch(times -> times >= 2));
        Map<String, Integer> times = new HashMap<>();
        for (Inbox.Arrival arrival : inbox.atLeast(expected)) {
            Failure.equal("the topic", topic, arrival.message().getTopic());
            times.merge(arrival.key(), 1, Integer::sum);
        }
        // Apache's broker may check once more before it noted a decision, and then commits twice.
        times.forEach((key, came) -> Failure.unless(came == 1 || key.startsWith("unknown"),
            () -> key + " came " + came + " times"));
        Failure.unless(wrong.isEmpty(), () -> wrong.get(0).getMessage());
        Failure.unless(checks.keySet().stream().allMatch(key -> key.startsWith("unknown")),
            () -> "checked although it was decided: " + checks);
    }

    /** Not before their time, and within one level in the order of sending. */
    private static void delayed(Kit kit) throws Exception {
        String topic = kit.topic("topic", 1);
        DefaultMQProducer producer = kit.producer();
        DefaultMQPushConsumer consumer = kit.consumer(kit.name("group"));
        Inbox inbox = new Inbox();
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            inbox.add(messages);
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        Map<String, Long> due = new HashMap<>();
        List<Item> items = new ArrayList<>();
        for (int level : new int[] {2, 1}) {
            for (int i = 0; i < 5; i++) {
                Item item = Item.text("level-" + level + "-" + i);
                Message message = item.message(topic);
                message.setDelayTimeLevel(level);
                due.put(item.key(), System.currentTimeMillis() + (level == 1 ? 1_000 : 5_000));
                Kit.stored(producer.send(message));
                items.add(item);
            }
        }
        List<String> order = new ArrayList<>();
        for (Inbox.Arrival arrival : inbox.exactly(items)) {
            long early = due.get(arrival.key()) - arrival.at();
            // The broker may count from when it stored, in its own milliseconds.
            Failure.unless(early <= 20, () -> arrival.key() + " came " + early + " ms early");
            Failure.unless(early > -6_000, () -> arrival.key() + " came " + -early + " ms late");
            Failure.equal("the topic", topic, arrival.message().getTopic());
            order.add(arrival.key());
        }
        List<String> expected = new ArrayList<>();
        for (int level = 1; level <= 2; level++) {
            for (int i = 0; i < 5; i++) {
                expected.add("level-" + level + "-" + i);
            }
        }
        Failure.equal("the order", expected, order);
    }

    /** Not before their time, in the order of their times, and not at all once they are recalled. */
    private static void timed(Kit kit) throws Exception {
        String topic = kit.topic("topic", 1);
        DefaultMQProducer producer = kit.producer();
        DefaultMQPushConsumer consumer = kit.consumer(kit.name("group"));
        Inbox inbox = new Inbox();
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            inbox.add(messages);
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        Kit.refused("a time that is too late", 13, () -> {
            Message late = Item.text("late").message(topic);
            late.setDelayTimeSec(4 * 86_400);
            return producer.send(late);
        });
        List<Item> items = new ArrayList<>();
        Map<String, Long> due = new HashMap<>();
        for (int seconds : new int[] {9, 5, 7, 3, 0}) {
            Item item = Item.text("after-" + seconds);
            long now = System.currentTimeMillis();
            due.put(item.key(), now + seconds * 1_000L);
            SendResult sent = Kit.stored(producer.send(at(seconds, now, item.message(topic))));
            Failure.equal("has a handle", seconds > 0, sent.getRecallHandle() != null);
            items.add(item);
            Item recalled = Item.text("recalled-" + seconds);
            sent = Kit.stored(producer.send(at(9, now, recalled.message(topic))));
            String id = producer.recallMessage(topic, sent.getRecallHandle());
            Failure.equal("what is recalled", sent.getMsgId(), id);
        }
        List<String> order = new ArrayList<>();
        for (Inbox.Arrival arrival : inbox.exactly(items)) {
            long early = due.get(arrival.key()) - arrival.at();
            // Apache's broker knows whole seconds, and rounds down.
            Failure.unless(early <= 1_020, () -> arrival.key() + " came " + early + " ms early");
            Failure.unless(early > -6_000, () -> arrival.key() + " came " + -early + " ms late");
            MessageExt message = arrival.message();
            Failure.equal("the topic", topic, message.getTopic());
            boolean hasWaited = !arrival.key().equals("after-0");
            for (String name : List.of("TIMER_OUT_MS", "TIMER_ENQUEUE_MS", "TIMER_DEQUEUE_MS",
                "REAL_TOPIC", "REAL_QID")) {
                Failure.equal(name, hasWaited, message.getProperty(name) != null);
            }
            order.add(arrival.key());
        }
        Failure.equal("the order",
            List.of("after-0", "after-3", "after-5", "after-7", "after-9"), order);
    }

    /** In each of the three ways. */
    private static Message at(int seconds, long now, Message message) {
        switch (seconds % 3) {
            case 0 -> message.setDelayTimeSec(seconds);
            case 1 -> message.setDelayTimeMs(seconds * 1_000L);
            default -> message.setDeliverTimeMs(now + seconds * 1_000L);
        }
        return message;
    }

    /** One retry after 1 s, another, then the topic of dead letters. */
    private static void deadLetters(Kit kit) throws Exception {
        String topic = kit.topic("topic", 2);
        String group = kit.name("group");
        DefaultMQPushConsumer consumer = kit.consumer(group);
        consumer.setMaxReconsumeTimes(2);
        // The topic of retries is made by the first heartbeat, after the first look at the routes.
        consumer.setPollNameServerInterval(1_000);
        consumer.subscribe(topic, "*");
        Map<String, List<Integer>> attempts = new ConcurrentHashMap<>();
        Inbox inbox = new Inbox();
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            inbox.add(messages);
            MessageExt message = messages.get(0);
            List<Integer> times = attempts.computeIfAbsent(message.getKeys(), key -> new ArrayList<>());
            times.add(message.getReconsumeTimes());
            context.setDelayLevelWhenNextConsume(1);
            // `once` fails only once, `good` never.
            boolean fails = message.getKeys().startsWith("bad")
                || message.getKeys().startsWith("once") && times.size() == 1;
            return fails ? ConsumeConcurrentlyStatus.RECONSUME_LATER
                : ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        List<Item> bad = Kit.items("bad", 3);
        List<Item> items = new ArrayList<>(bad);
        items.addAll(Kit.items("once", 3));
        items.addAll(Kit.items("good", 3));
        Kit.send(kit.producer(), topic, items);
        String dead = "%DLQ%" + group;
        kit.routed(dead);
        Inbox letters = new Inbox();
        kit.collect(kit.name("undertaker"), dead, "*", letters);
        for (Inbox.Arrival arrival : letters.exactly(bad)) {
            String origin = arrival.message().getProperty(MessageConst.PROPERTY_RETRY_TOPIC);
            Failure.equal("the topic a dead letter came from", topic, origin);
        }
        for (Inbox.Arrival arrival : inbox.atLeast(items)) {
            Failure.equal("the topic", topic, arrival.message().getTopic());
        }
        Map<String, List<Integer>> expected = new TreeMap<>();
        for (int i = 0; i < 3; i++) {
            expected.put("bad-" + i, List.of(0, 1, 2));
            expected.put("once-" + i, List.of(0, 1));
            expected.put("good-" + i, List.of(0));
        }
        Failure.equal("reconsume times", expected, new TreeMap<>(attempts));
    }

    /** A consumer that has waited for a while hears of a message at once. */
    private static void longPoll(Kit kit) throws Exception {
        String topic = kit.topic("topic", 1);
        DefaultMQProducer producer = kit.producer();
        Inbox inbox = kit.collect(topic);
        List<Item> first = Kit.items("first", 1);
        Kit.send(producer, topic, first);
        inbox.exactly(first);
        List<Long> waited = new ArrayList<>();
        for (int i = 0; i < 3; i++) {
            inbox.clear();
            Thread.sleep(2_500);
            List<Item> items = Kit.items("later-" + i, 1);
            long begin = System.currentTimeMillis();
            Kit.send(producer, topic, items);
            waited.add(inbox.exactly(items).get(0).at() - begin);
        }
        Failure.unless(waited.stream().allMatch(ms -> ms < 1_500), () -> "waited ms: " + waited);
    }

    /** Of each key in order, also when the handler asks for a pause in between. */
    private static void ordered(Kit kit) throws Exception {
        String topic = kit.topic("topic", 4);
        DefaultMQPushConsumer consumer = kit.consumer(kit.name("group"));
        Inbox inbox = new Inbox();
        AtomicBoolean paused = new AtomicBoolean();
        consumer.subscribe(topic, "*");
        consumer.registerMessageListener((MessageListenerOrderly) (messages, context) -> {
            if (messages.get(0).getKeys().equals("key3-25") && !paused.getAndSet(true)) {
                context.setSuspendCurrentQueueTimeMillis(500);
                return ConsumeOrderlyStatus.SUSPEND_CURRENT_QUEUE_A_MOMENT;
            }
            inbox.add(messages);
            return ConsumeOrderlyStatus.SUCCESS;
        });
        consumer.start();
        DefaultMQProducer producer = kit.producer();
        List<Item> items = new ArrayList<>();
        for (int i = 0; i < 50; i++) {
            for (int key = 0; key < 8; key++) {
                Item item = Item.text("key" + key + "-" + i);
                Kit.stored(producer.send(item.message(topic), new SelectMessageQueueByHash(),
                    "key" + key));
                items.add(item);
            }
        }
        Map<String, List<String>> came = new TreeMap<>();
        Map<String, Integer> queues = new HashMap<>();
        for (Inbox.Arrival arrival : inbox.exactly(items)) {
            String key = arrival.key().split("-")[0];
            came.computeIfAbsent(key, which -> new ArrayList<>()).add(arrival.key());
            int queue = arrival.message().getQueueId();
            Integer before = queues.putIfAbsent(key, queue);
            Failure.unless(before == null || before == queue, () -> key + " is in two queues");
        }
        came.forEach((key, order) -> {
            for (int i = 0; i < order.size(); i++) {
                Failure.equal("in the order of " + key, key + "-" + i, order.get(i));
            }
        });
        Failure.unless(paused.get(), "nothing was asked to be paused");
    }

    private static void tags(Kit kit) throws Exception {
        String topic = kit.topic("topic", 2);
        Inbox some = new Inbox();
        Inbox one = new Inbox();
        Inbox none = new Inbox();
        Inbox all = new Inbox();
        kit.collect(kit.name("some"), topic, "a || b", some);
        // The hashes of Aa and BB are equal.
        kit.collect(kit.name("one"), topic, "Aa", one);
        kit.collect(kit.name("none"), topic, "nobody", none);
        kit.collect(kit.name("all"), topic, "*", all);
        DefaultMQProducer producer = kit.producer();
        Map<String, List<Item>> items = new HashMap<>();
        List<Item> everything = new ArrayList<>();
        for (int i = 0; i < 10; i++) {
            for (String tag : List.of("a", "b", "c", "Aa", "BB")) {
                Item item = Item.tagged(tag + "-" + i, tag);
                items.computeIfAbsent(tag, which -> new ArrayList<>()).add(item);
                everything.add(item);
            }
            everything.add(Item.tagged("untagged-" + i, null));
        }
        Kit.send(producer, topic, everything);
        all.exactly(everything);
        List<Item> both = new ArrayList<>(items.get("a"));
        both.addAll(items.get("b"));
        some.exactly(both);
        one.exactly(items.get("Aa"));
        Failure.equal("messages of a tag nobody uses", 0, none.size());
    }

    private Delivering() {
    }
}
