import java.util.ArrayDeque;
import java.util.ArrayList;
import java.util.Deque;
import java.util.List;
import java.util.concurrent.Callable;
import java.util.concurrent.atomic.AtomicInteger;
import org.apache.rocketmq.client.consumer.DefaultLitePullConsumer;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.client.exception.MQBrokerException;
import org.apache.rocketmq.client.exception.MQClientException;
import org.apache.rocketmq.client.producer.DefaultMQProducer;
import org.apache.rocketmq.client.producer.SendResult;
import org.apache.rocketmq.client.producer.SendStatus;
import org.apache.rocketmq.client.producer.TransactionSendResult;
import org.apache.rocketmq.common.TopicConfig;
import org.apache.rocketmq.common.consumer.ConsumeFromWhere;
import org.apache.rocketmq.remoting.protocol.body.ClusterInfo;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;

/** Names, clients and waits of one scenario; ends what it started. */
final class Kit implements AutoCloseable {
    static final long WAIT_MS = 25_000;
    static final long SETTLE_MS = 300;
    private static final AtomicInteger INSTANCES = new AtomicInteger();

    final DefaultMQAdminExt admin;
    private final String namesrv;
    private final String prefix;
    private final Deque<Runnable> closing = new ArrayDeque<>();

    Kit(String namesrv, DefaultMQAdminExt admin, String prefix) {
        this.namesrv = namesrv;
        this.admin = admin;
        this.prefix = prefix;
    }

    static DefaultMQAdminExt admin(String namesrv) throws MQClientException {
        DefaultMQAdminExt admin = new DefaultMQAdminExt(10_000);
        admin.setNamesrvAddr(namesrv);
        admin.setInstanceName(instance());
        admin.start();
        return admin;
    }

    /** Clients of one name share connections; here each has its own. */
    static String instance() {
        return "peer-" + ProcessHandle.current().pid() + "-" + INSTANCES.incrementAndGet();
    }

    String name(String what) {
        return prefix + "-" + what;
    }

    /** The address of the only broker. */
    String broker() throws Exception {
        ClusterInfo cluster = admin.examineBrokerClusterInfo();
        return cluster.getBrokerAddrTable().values().iterator().next().selectBrokerAddr();
    }

    String cluster() throws Exception {
        return admin.examineBrokerClusterInfo().getClusterAddrTable().keySet().iterator().next();
    }

    String topic(String what, int queues) throws Exception {
        String topic = name(what);
        setTopic(topic, queues, 6);
        return topic;
    }

    void setTopic(String topic, int queues, int permissions) throws Exception {
        admin.createAndUpdateTopicConfig(broker(),
            new TopicConfig(topic, queues, queues, permissions));
        routed(topic);
    }

    void routed(String topic) throws Exception {
        until("a route to " + topic, () -> {
            try {
                return !admin.examineTopicRouteInfo(topic).getQueueDatas().isEmpty();
            } catch (MQClientException unknown) {
                return false;
            }
        });
    }

    DefaultMQProducer producer() throws MQClientException {
        return started(new DefaultMQProducer(name("producer")));
    }

    <P extends DefaultMQProducer> P started(P producer) throws MQClientException {
        producer.setNamesrvAddr(namesrv);
        producer.setInstanceName(instance());
        producer.setSendMsgTimeout(10_000);
        producer.setMqClientApiTimeout(10_000);
        producer.start();
        closing.push(producer::shutdown);
        return producer;
    }

    /** Not yet started; ends with the scenario. */
    DefaultMQPushConsumer consumer(String group) {
        DefaultMQPushConsumer consumer = new DefaultMQPushConsumer(group);
        consumer.setNamesrvAddr(namesrv);
        consumer.setInstanceName(instance());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        // Now and then the client skips its first heartbeat, and makes up for it only by the next.
        consumer.setHeartbeatBrokerInterval(2_000);
        consumer.setMqClientApiTimeout(10_000);
        closing.push(consumer::shutdown);
        return consumer;
    }

    /** A consumer that puts everything into `inbox`. */
    DefaultMQPushConsumer collect(String group, String topic, String tags, Inbox inbox)
        throws MQClientException {
        DefaultMQPushConsumer consumer = consumer(group);
        consumer.subscribe(topic, tags);
        consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
            inbox.add(messages);
            return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
        });
        consumer.start();
        return consumer;
    }

    Inbox collect(String topic) throws MQClientException {
        Inbox inbox = new Inbox();
        collect(name("group"), topic, "*", inbox);
        return inbox;
    }

    DefaultLitePullConsumer puller(String group) {
        DefaultLitePullConsumer consumer = new DefaultLitePullConsumer(group);
        consumer.setNamesrvAddr(namesrv);
        consumer.setInstanceName(instance());
        consumer.setConsumeFromWhere(ConsumeFromWhere.CONSUME_FROM_FIRST_OFFSET);
        consumer.setAutoCommit(false);
        consumer.setHeartbeatBrokerInterval(2_000);
        consumer.setMqClientApiTimeout(10_000);
        closing.push(consumer::shutdown);
        return consumer;
    }

    String namesrv() {
        return namesrv;
    }

    void atEnd(Runnable close) {
        closing.push(close);
    }

    static List<Item> items(String prefix, int count) {
        List<Item> items = new ArrayList<>();
        for (int i = 0; i < count; i++) {
            items.add(Item.text(prefix + "-" + i));
        }
        return items;
    }

    /** Sends one after the other and looks at each answer. */
    static void send(DefaultMQProducer producer, String topic, List<Item> items) throws Exception {
        for (Item item : items) {
            stored(producer.send(item.message(topic)));
        }
    }

    static SendResult stored(SendResult result) {
        Failure.equal("the status", SendStatus.SEND_OK, result.getSendStatus());
        Failure.unless(result.getMsgId() != null, () -> "an id is missing: " + result);
        // The client leaves out the place of a half message.
        Failure.unless(result.getOffsetMsgId() != null || result instanceof TransactionSendResult,
            () -> "an offset id is missing: " + result);
        return result;
    }

    static void until(String what, Callable<Boolean> holds) throws Exception {
        long end = System.currentTimeMillis() + WAIT_MS;
        while (!holds.call()) {
            Failure.unless(System.currentTimeMillis() < end,
                () -> "not within " + WAIT_MS + " ms: " + what);
            Thread.sleep(100);
        }
    }

    /** Runs `request`, which the broker must refuse with `code`. */
    static void refused(String what, int code, Callable<?> request) throws Exception {
        try {
            Object answer = request.call();
            throw new Failure(what + " was not refused: " + answer);
        } catch (MQBrokerException refusal) {
            Failure.equal(what + ": the code", code, refusal.getResponseCode());
        }
    }

    @Override
    public void close() {
        while (!closing.isEmpty()) {
            closing.pop().run();
        }
    }
}
