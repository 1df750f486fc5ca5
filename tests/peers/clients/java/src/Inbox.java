import java.util.ArrayList;
import java.util.Collection;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.TreeSet;
import org.apache.rocketmq.common.message.MessageExt;

/** What arrived at one consumer, in the order in which it arrived. */
final class Inbox {
    record Arrival(MessageExt message, long at) {
        String key() {
            return message.getKeys();
        }
    }

    private final List<Arrival> arrivals = new ArrayList<>();

    synchronized void add(Collection<MessageExt> messages) {
        for (MessageExt message : messages) {
            arrivals.add(new Arrival(message, System.currentTimeMillis()));
        }
        notifyAll();
    }

    synchronized List<Arrival> all() {
        return new ArrayList<>(arrivals);
    }

    synchronized int size() {
        return arrivals.size();
    }

    synchronized void clear() {
        arrivals.clear();
    }

    /** Waits for all of `items`, each exactly once and nothing else, and compares each. */
    List<Arrival> exactly(List<Item> items) throws InterruptedException {
        return await(items, true);
    }

    /** The same, but repeats are allowed, as after a rebalance. */
    List<Arrival> atLeast(List<Item> items) throws InterruptedException {
        return await(items, false);
    }

    private List<Arrival> await(List<Item> items, boolean once) throws InterruptedException {
        Map<String, Item> expected = new HashMap<>();
        items.forEach(item -> expected.put(item.key(), item));
        long end = System.currentTimeMillis() + Kit.WAIT_MS;
        synchronized (this) {
            while (!keys().containsAll(expected.keySet())) {
                long left = end - System.currentTimeMillis();
                if (left <= 0) {
                    TreeSet<String> missing = new TreeSet<>(expected.keySet());
                    missing.removeAll(keys());
                    throw new Failure(missing.size() + " of " + items.size()
                        + " did not arrive, first " + missing.first());
                }
                wait(left);
            }
        }
        if (once) {
            // Whatever is too much comes a moment later.
            Thread.sleep(Kit.SETTLE_MS);
        }
        List<Arrival> all = all();
        Map<String, Integer> seen = new HashMap<>();
        for (Arrival arrival : all) {
            Item item = expected.get(arrival.key());
            Failure.unless(item != null, () -> "unexpected message " + arrival.message());
            item.check(arrival.message());
            int times = seen.merge(arrival.key(), 1, Integer::sum);
            Failure.unless(!once || times == 1, () -> arrival.key() + " came twice");
        }
        return all;
    }

    private TreeSet<String> keys() {
        TreeSet<String> keys = new TreeSet<>();
        arrivals.forEach(arrival -> keys.add(String.valueOf(arrival.key())));
        return keys;
    }
}
