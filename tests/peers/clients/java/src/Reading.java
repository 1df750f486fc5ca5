import java.util.ArrayList;
import java.util.Collection;
import java.util.Comparator;
import java.util.List;
import java.util.Map;
import org.apache.rocketmq.client.QueryResult;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPullConsumer;
import org.apache.rocketmq.client.consumer.PullResult;
import org.apache.rocketmq.client.consumer.PullStatus;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageClientExt;
import org.apache.rocketmq.common.message.MessageExt;
import org.apache.rocketmq.common.message.MessageQueue;

/** Reading at places of one's choice: pull consumers, queries. */
final class Reading {
    static void addTo(Map<String, Main.Scenario> all) {
        all.put("pull", Reading::pull);
        all.put("pull_group", Reading::pullGroup);
        all.put("plain_pull", Reading::plainPull);
        all.put("queries", Reading::queries);
    }

    static String offsetId(MessageExt message) {
        return ((MessageClientExt) message).getOffsetMsgId();
    }

    /** Assigned queues: from the beginning, the end, an offset, a time; commits. */
    private static void pull(Kit kit) throws Exception {
        String topic = kit.topic("topic", 1);
        DefaultMQProducer producer = kit.producer();
        List<Item> early = Kit.items("early", 10);
        Kit.send(producer, topic, early);
        Thread.sleep(50);
        long between = System.currentTimeMillis();
        Thread.sleep(50);
        List<Item> late = Kit.items("late", 10);
        Kit.send(producer, topic, late);
        List<Item> both = new ArrayList<>(early);
        both.addAll(late);

        DefaultLitePullConsumer consumer = kit.puller(kit.name("group"));
        consumer.start();
        Collection<MessageQueue> queues = consumer.fetchMessageQueues(topic);
        Failure.equal("queues", 1, queues.size());
        MessageQueue queue = queues.iterator().next();
        Failure.equal("the offset of a time between", 10L,
            consumer.offsetForTimestamp(queue, between));
        Failure.equal("the offset of a time before all", 0L,
            consumer.offsetForTimestamp(queue, between - 3_600_000));
        consumer.assign(queues);
        consumer.seekToBegin(queue);
        poll(consumer, both);
        consumer.seek(queue, 10);
        poll(consumer, late);
        consumer.seekToBegin(queue);
        poll(consumer, both);
        consumer.commit(Map.of(queue, 15L), true);
        Kit.until("the committed offset", () -> consumer.committed(queue) == 15);
        consumer.seekToEnd(queue);
        Failure.unless(consumer.poll(500).isEmpty(), "something lies behind the end");
        List<Item> last = Kit.items("last", 3);
        Kit.send(producer, topic, last);
        poll(consumer, last);
    }

    private static void poll(DefaultLitePullConsumer consumer, List<Item> items) {
        List<MessageExt> got = new ArrayList<>();
        long end = System.currentTimeMillis() + Kit.WAIT_MS;
        while (got.size() < items.size() && System.currentTimeMillis() < end) {
            got.addAll(consumer.poll(500));
        }
        Failure.equal("messages polled", items.size(), got.size());
        for (int i = 0; i < items.size(); i++) {
            items.get(i).check(got.get(i));
        }
    }

    /** Subscribed: queues are assigned by the group, and a second consumer goes on. */
    private static void pullGroup(Kit kit) throws Exception {
        String topic = kit.topic("topic", 4);
        String group = kit.name("group");
        DefaultMQProducer producer = kit.producer();
        for (String part : List.of("first", "second")) {
            List<Item> items = Kit.items(part, 40);
            Kit.send(producer, topic, items);
            DefaultLitePullConsumer consumer = kit.puller(group);
            consumer.subscribe(topic, "*");
            consumer.start();
            Inbox inbox = new Inbox();
            Kit.until("40 messages", () -> {
                inbox.add(consumer.poll(200));
                return inbox.size() >= 40;
            });
            inbox.add(consumer.poll(300));
            inbox.exactly(items);
            for (MessageQueue queue : consumer.assignment()) {
                consumer.commit(Map.of(queue, 10L * (part.equals("first") ? 1 : 2)), true);
            }
            consumer.shutdown();
        }
    }

    /** The old pull consumer shows the broker's answers themselves. */
    @SuppressWarnings("deprecation")
    private static void plainPull(Kit kit) throws Exception {
        String topic = kit.topic("topic", 1);
        List<Item> items = Kit.items("plain", 40);
        Kit.send(kit.producer(), topic, items);
        DefaultMQPullConsumer consumer = new DefaultMQPullConsumer(kit.name("group"));
        consumer.setNamesrvAddr(kit.namesrv());
        consumer.setInstanceName(Kit.instance());
        consumer.start();
        kit.atEnd(consumer::shutdown);
        MessageQueue queue = consumer.fetchSubscribeMessageQueues(topic).iterator().next();
        Failure.equal("the smallest offset", 0L, consumer.minOffset(queue));
        Failure.equal("the largest offset", 40L, consumer.maxOffset(queue));
        List<MessageExt> got = new ArrayList<>();
        while (got.size() < items.size()) {
            PullResult result = consumer.pull(queue, "*", got.size(), 16);
            Failure.equal("the status", PullStatus.FOUND, result.getPullStatus());
            Failure.unless(result.getMsgFoundList().size() <= 16, "more than was asked for");
            got.addAll(result.getMsgFoundList());
            Failure.equal("the next offset", (long) got.size(), result.getNextBeginOffset());
            Failure.equal("the smallest offset", 0L, result.getMinOffset());
            Failure.equal("the largest offset", 40L, result.getMaxOffset());
        }
        for (int i = 0; i < items.size(); i++) {
            items.get(i).check(got.get(i));
            Failure.equal("the queue offset", (long) i, got.get(i).getQueueOffset());
        }
        PullResult end = consumer.pull(queue, "*", 40, 16);
        Failure.equal("the status at the end", PullStatus.NO_NEW_MSG, end.getPullStatus());
        PullResult beyond = consumer.pull(queue, "*", 1_000, 16);
        Failure.equal("the status beyond", PullStatus.OFFSET_ILLEGAL, beyond.getPullStatus());
        Failure.equal("the offset to go on at", 40L, beyond.getNextBeginOffset());
        PullResult other = consumer.pull(queue, "other-tag", 0, 16);
        Failure.equal("the status when no tag fits", PullStatus.NO_MATCHED_MSG,
            other.getPullStatus());

        // Write-only: reading is not permitted.
        kit.setTopic(topic, 1, 2);
        Kit.refused("a pull without permission", 16, () -> consumer.pull(queue, "*", 0, 16));
        MessageQueue unknown = new MessageQueue(topic + "-unknown", queue.getBrokerName(), 0);
        Kit.refused("a pull from an unknown topic", 17, () -> consumer.pull(unknown, "*", 0, 16));
    }

    private static void queries(Kit kit) throws Exception {
        String topic = kit.topic("topic", 2);
        DefaultMQProducer producer = kit.producer();
        List<Item> items = Kit.items(kit.name("key"), 5);
        long begin = System.currentTimeMillis() - 60_000;
        List<SendResult> results = new ArrayList<>();
        for (Item item : items) {
            Message message = item.message(topic);
            message.setKeys(List.of(item.key(), kit.name("common")));
            results.add(Kit.stored(producer.send(message)));
        }
        for (int i = 0; i < items.size(); i++) {
            SendResult sent = results.get(i);
            MessageExt viewed = kit.admin.viewMessage(topic, sent.getOffsetMsgId());
            checkViewed(kit, items.get(i), sent, viewed);
            Kit.until("a message by its unique key", () -> found(
                () -> byUniqueKey(kit, topic, sent.getMsgId())));
            checkViewed(kit, items.get(i), sent,
                byUniqueKey(kit, topic, sent.getMsgId()).getMessageList().get(0));
            String key = items.get(i).key();
            Kit.until("a message by " + key, () -> found(
                () -> kit.admin.queryMessage(topic, key, 32, begin, Long.MAX_VALUE)));
            QueryResult byKey = kit.admin.queryMessage(topic, key, 32, begin, Long.MAX_VALUE);
            Failure.equal("messages of " + key, 1, byKey.getMessageList().size());
            checkViewed(kit, items.get(i), sent, byKey.getMessageList().get(0));
        }
        List<MessageExt> all = new ArrayList<>(kit.admin.queryMessage(topic, kit.name("common"), 32,
            begin, Long.MAX_VALUE).getMessageList());
        Failure.equal("messages of the common key", items.size(), all.size());
        all.sort(Comparator.comparing(MessageExt::getKeys));
        for (int i = 0; i < items.size(); i++) {
            checkViewed(kit, items.get(i), results.get(i), all.get(i));
        }
        Failure.unless(!found(() -> kit.admin.queryMessage(topic, "no-such-key", 32, begin,
            Long.MAX_VALUE)), "something was found by a key that nobody used");
    }

    private static QueryResult byUniqueKey(Kit kit, String topic, String id) throws Exception {
        return kit.admin.queryMessageByUniqKey(kit.cluster(), topic, id, 32, 0, Long.MAX_VALUE);
    }

    private static void checkViewed(Kit kit, Item item, SendResult sent, MessageExt viewed) {
        Failure.equal("keys", item.key() + " " + kit.name("common"), viewed.getKeys());
        viewed.setKeys(item.key());
        item.check(viewed);
        viewed.setKeys(item.key() + " " + kit.name("common"));
        Failure.equal("the queue", sent.getMessageQueue().getQueueId(), viewed.getQueueId());
        Failure.equal("the queue offset", sent.getQueueOffset(), viewed.getQueueOffset());
        Failure.equal("the offset id", sent.getOffsetMsgId(), offsetId(viewed));
        Failure.equal("the id", sent.getMsgId(), viewed.getMsgId());
    }

    interface Query {
        QueryResult ask() throws Exception;
    }

    /** The client throws when nothing is found. */
    private static boolean found(Query query) throws Exception {
        try {
            QueryResult result = query.ask();
            return result != null && !result.getMessageList().isEmpty();
        } catch (MQClientException nothing) {
            return false;
        }
    }

    private Reading() {
    }
}
