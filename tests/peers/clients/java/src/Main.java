import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.nio.charset.StandardCharsets;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.Future;
import java.util.concurrent.TimeUnit;
import java.util.concurrent.TimeoutException;
import org.apache.rocketmq.client.consumer.DefaultMQPushConsumer;
import org.apache.rocketmq.client.consumer.listener.ConsumeConcurrentlyStatus;
import org.apache.rocketmq.client.consumer.listener.MessageListenerConcurrently;
import org.apache.rocketmq.tools.admin.DefaultMQAdminExt;
import org.apache.rocketmq.tools.command.MQAdminStartup;

/**
 * The official Java client, unmodified, against whatever broker a name server knows.
 *
 * <pre>
 *   scenarios NAMESRV [--only NAME] [--parallel N]    a line each: `ok NAME seconds`, `FAILED NAME why`
 *   list                                              their names
 *   consume NAMESRV TOPIC GROUP                       prints bodies until its input ends
 *   mqadmin                                           commands from its input, a line each
 *   load WORKLOAD NAMESRV [--messages N] [--bytes N] [--callers N]
 * </pre>
 */
final class Main {
    private static final long SECONDS_MAX = 75;

    interface Scenario {
        void run(Kit kit) throws Exception;
    }

    public static void main(String[] arguments) throws Exception {
        List<String> words = new ArrayList<>(Arrays.asList(arguments));
        Map<String, String> options = options(words);
        if (words.equals(List.of("list"))) {
            scenarios().keySet().forEach(System.out::println);
        } else if (words.size() == 2 && words.get(0).equals("scenarios")) {
            boolean well = runAll(words.get(1), options);
            System.out.flush();
            // Whatever a scenario left behind must not hold up the end.
            Runtime.getRuntime().halt(well ? 0 : 1);
        } else if (words.equals(List.of("mqadmin"))) {
            mqadmin();
        } else if (words.size() == 4 && words.get(0).equals("consume")) {
            consume(words.get(1), words.get(2), words.get(3));
        } else if (words.size() == 3 && words.get(0).equals("load")) {
            Load.run(words.get(1), words.get(2), options);
            System.out.flush();
            Runtime.getRuntime().halt(0);
        } else {
            System.err.println("scenarios NAMESRV | list | consume NAMESRV TOPIC GROUP | mqadmin"
                + " | load WORKLOAD NAMESRV");
            System.exit(2);
        }
    }

    /** A consumer that somebody else looks at. */
    private static void consume(String namesrv, String topic, String group) throws Exception {
        DefaultMQAdminExt admin = Kit.admin(namesrv);
        try (Kit kit = new Kit(namesrv, admin, group)) {
            DefaultMQPushConsumer consumer = kit.consumer(group);
            consumer.subscribe(topic, "*");
            consumer.registerMessageListener((MessageListenerConcurrently) (messages, context) -> {
                messages.forEach(message -> System.out.println(
                    new String(message.getBody(), StandardCharsets.UTF_8)));
                return ConsumeConcurrentlyStatus.CONSUME_SUCCESS;
            });
            consumer.start();
            while (System.in.read() >= 0) {
                // Only the end counts.
            }
        }
        System.out.flush();
        Runtime.getRuntime().halt(0);
    }

    /**
     * What the script mqadmin runs, without a new process for each command. Words are separated by
     * tabs; a line with a form feed follows what a command printed.
     */
    private static void mqadmin() throws Exception {
        BufferedReader input = new BufferedReader(
            new InputStreamReader(System.in, StandardCharsets.UTF_8));
        for (String line = input.readLine(); line != null; line = input.readLine()) {
            Commands.forget();
            MQAdminStartup.main0(line.split("\t"), null);
            System.err.flush();
            System.out.println("\f");
            System.out.flush();
        }
        Runtime.getRuntime().halt(0);
    }

    /** Takes `--name value` out of `words`. */
    private static Map<String, String> options(List<String> words) {
        Map<String, String> options = new LinkedHashMap<>();
        for (int i = 0; i < words.size();) {
            if (words.get(i).startsWith("--") && i + 1 < words.size()) {
                options.put(words.remove(i).substring(2), words.remove(i));
            } else {
                i++;
            }
        }
        return options;
    }

    private static Map<String, Scenario> scenarios() {
        Map<String, Scenario> all = new LinkedHashMap<>();
        // The slow ones first: they only wait.
        Delivering.addTo(all);
        Grouping.addTo(all);
        Sending.addTo(all);
        Reading.addTo(all);
        return all;
    }

    private static boolean runAll(String namesrv, Map<String, String> options) throws Exception {
        Map<String, Scenario> all = scenarios();
        if (options.containsKey("only")) {
            all.keySet().retainAll(Arrays.asList(options.get("only").split(",")));
            if (all.isEmpty()) {
                System.out.println("FAILED java none is named " + options.get("only"));
                return false;
            }
        }
        int parallel = Integer.parseInt(options.getOrDefault("parallel", "12"));
        // A broker that was used before has topics of these names otherwise.
        String run = "java-" + Long.toString(System.currentTimeMillis(), 36);
        DefaultMQAdminExt admin = Kit.admin(namesrv);
        ExecutorService judges = Executors.newFixedThreadPool(parallel);
        ExecutorService workers = Executors.newCachedThreadPool();
        List<Future<Boolean>> verdicts = new ArrayList<>();
        for (Map.Entry<String, Scenario> entry : all.entrySet()) {
            Kit kit = new Kit(namesrv, admin, run + "-" + entry.getKey());
            verdicts.add(judges.submit(() -> judge(entry.getKey(), entry.getValue(), kit, workers)));
        }
        boolean well = true;
        for (Future<Boolean> verdict : verdicts) {
            well &= verdict.get();
        }
        return well;
    }

    private static boolean judge(String name, Scenario scenario, Kit kit, ExecutorService workers) {
        long begin = System.nanoTime();
        String why = null;
        Future<?> running = workers.submit(() -> {
            try (kit) {
                scenario.run(kit);
            }
            return null;
        });
        try {
            running.get(SECONDS_MAX, TimeUnit.SECONDS);
        } catch (TimeoutException late) {
            running.cancel(true);
            why = "not done within " + SECONDS_MAX + " s";
        } catch (Exception failed) {
            Throwable cause = failed.getCause() == null ? failed : failed.getCause();
            why = cause instanceof Failure ? cause.getMessage() : cause + where(cause);
        }
        synchronized (System.out) {
            if (why == null) {
                System.out.printf("ok java/%s %.1f%n", name, (System.nanoTime() - begin) / 1e9);
            } else {
                System.out.printf("FAILED java/%s %s%n", name, why.replaceAll("\\s+", " "));
            }
            System.out.flush();
        }
        return why == null;
    }

    /** The line of ours that an unforeseen exception came from. */
    private static String where(Throwable cause) {
        return Arrays.stream(cause.getStackTrace())
            .filter(frame -> !frame.getClassName().contains(".")).findFirst()
            .map(frame -> " at " + frame).orElse("");
    }

    /** Commands keep what they started; each line begins with new ones, as a new process does. */
    private static final class Commands extends MQAdminStartup {
        static void forget() {
            SUB_COMMANDS.clear();
        }
    }

    private Main() {
    }
}
