import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Collections;
import java.util.Map;
import java.util.Objects;
import java.util.Random;
import org.apache.rocketmq.common.message.Message;
import org.apache.rocketmq.common.message.MessageExt;

/** What one message must look like when it arrives. */
record Item(String key, byte[] body, String tag, Map<String, String> properties) {
    static Item text(String key) {
        return new Item(key, ("body of " + key).getBytes(StandardCharsets.UTF_8), "tag",
            Map.of("which", key));
    }

    static Item tagged(String key, String tag) {
        return new Item(key, key.getBytes(StandardCharsets.UTF_8), tag, Map.of());
    }

    static Item bytes(String key, byte[] body) {
        return new Item(key, body, null, Map.of("bytes", Integer.toString(body.length)));
    }

    /** Bytes that don't become smaller, the same for the same seed. */
    static byte[] random(int seed, int length) {
        byte[] body = new byte[length];
        new Random(seed).nextBytes(body);
        return body;
    }

    static byte[] allBytes() {
        byte[] body = new byte[256];
        for (int i = 0; i < body.length; i++) {
            body[i] = (byte) i;
        }
        return body;
    }

    Message message(String topic) {
        Message message = new Message(topic, tag, key, body.clone());
        properties.forEach(message::putUserProperty);
        return message;
    }

    /** Compares everything that the sender chose. */
    void check(MessageExt got) {
        Failure.unless(Arrays.equals(body, got.getBody()),
            () -> key + ": the body differs, " + body.length + " bytes sent, "
                + got.getBody().length + " came");
        Failure.unless(key.equals(got.getKeys()), () -> key + ": keys are " + got.getKeys());
        Failure.unless(Objects.equals(tag, got.getTags()),
            () -> key + ": the tag is " + got.getTags() + " instead of " + tag);
        Map<String, String> came = got.getProperties() == null
            ? Collections.emptyMap() : got.getProperties();
        properties.forEach((name, value) -> Failure.unless(value.equals(came.get(name)),
            () -> key + ": property " + name + " is " + came.get(name) + " instead of " + value));
    }
}
