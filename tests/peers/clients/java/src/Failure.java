import java.util.function.Supplier;

/** Something that must hold doesn't. */
final class Failure extends RuntimeException {
    private static final long serialVersionUID = 1;

    Failure(String why) {
        super(why);
    }

    static void unless(boolean holds, Supplier<String> why) {
        if (!holds) {
            throw new Failure(why.get());
        }
    }

    static void unless(boolean holds, String why) {
        unless(holds, () -> why);
    }

    static void equal(String what, Object expected, Object seen) {
        unless(expected.equals(seen), () -> what + " is " + seen + " instead of " + expected);
    }
}
