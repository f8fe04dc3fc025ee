// Nexmark queries in Flink SQL, run again and again in one JVM, so that they are measured warm: once for each line that comes in. Each run
// prints its wall-clock and CPU time in seconds. CPU time is that of the whole process, with compilation and garbage collection.
//
//   java -cp 'lib/*:.' Peers QUERY FOLDER            the events of FOLDER, the result thrown away
//   java -cp 'lib/*:.' Peers QUERY FOLDER RESULTS    the result as JSON into the folder RESULTS
//
// FOLDER holds as many files of events as there are subtasks, dealt out second by second, since Flink reads a local file in one piece.

import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.lang.management.ManagementFactory;
import java.util.Map;
import org.apache.flink.configuration.Configuration;
import org.apache.flink.table.api.EnvironmentSettings;
import org.apache.flink.table.api.TableEnvironment;

public class Peers {
    private static final String PARALLELISM = "2";

    /** The result's columns and the query. */
    private record Query(String columns, String sql) {}

    private static final Query Q5_COUNTS = new Query(
        "auction BIGINT, num BIGINT, window_start TIMESTAMP(3), window_end TIMESTAMP(3)",
        "SELECT auction, count(*) AS num, window_start, window_end"
            + " FROM TABLE(HOP(TABLE bid, DESCRIPTOR(date_time), INTERVAL '2' SECOND, INTERVAL '10' SECOND))"
            + " GROUP BY auction, window_start, window_end");

    private static final Map<String, Query> QUERIES = Map.of(
        "q1", new Query(
            "auction BIGINT, bidder BIGINT, price DECIMAL(23, 3), date_time TIMESTAMP_LTZ(3)",
            "SELECT auction, bidder, 0.908 * price, date_time FROM bid"),
        "q2", new Query("auction BIGINT, price BIGINT", "SELECT auction, price FROM bid WHERE MOD(auction, 123) = 0"),
        "q3", new Query(
            "name STRING, city STRING, state STRING, id BIGINT",
            "SELECT p.name, p.city, p.state, a.id FROM auction AS a JOIN person AS p ON a.seller = p.id"
                + " WHERE a.category = 10 AND p.state IN ('or', 'id', 'ca')"),
        "q5_counts", Q5_COUNTS,
        "q5", new Query(
            "auction BIGINT, num BIGINT",
            "SELECT c.auction, c.num FROM (" + Q5_COUNTS.sql() + ") AS c JOIN (SELECT max(num) AS most, window_start, window_end FROM ("
                + Q5_COUNTS.sql() + ") GROUP BY window_start, window_end) AS m"
                + " ON c.window_start = m.window_start AND c.window_end = m.window_end AND c.num >= m.most"),
        "q8", new Query(
            "id BIGINT, name STRING, window_start TIMESTAMP(3)",
            "SELECT p.id, p.name, p.window_start FROM (SELECT id, name, window_start, window_end"
                + " FROM TABLE(TUMBLE(TABLE person, DESCRIPTOR(date_time), INTERVAL '10' SECOND))"
                + " GROUP BY id, name, window_start, window_end) AS p JOIN (SELECT seller, window_start, window_end"
                + " FROM TABLE(TUMBLE(TABLE auction, DESCRIPTOR(date_time), INTERVAL '10' SECOND))"
                + " GROUP BY seller, window_start, window_end) AS a"
                + " ON p.id = a.seller AND p.window_start = a.window_start AND p.window_end = a.window_end"));

    public static void main(String[] arguments) throws Exception {
        var query = QUERIES.get(arguments[0]);
        var results = arguments.length > 2 ? arguments[2] : null;
        var orders = new BufferedReader(new InputStreamReader(System.in));
        while (orders.readLine() != null) {
            var cpu = cpuNanos();
            var started = System.nanoTime();
            run(query, arguments[1], results);
            System.out.printf("%.3f %.3f%n", (System.nanoTime() - started) / 1e9, (cpuNanos() - cpu) / 1e9);
            System.out.flush();
        }
        System.exit(0);
    }

    private static void run(Query query, String folder, String results) throws Exception {
        var configuration = new Configuration();
        configuration.setString("parallelism.default", PARALLELISM);
        configuration.setString("pipeline.object-reuse", "true");
        configuration.setString("table.local-time-zone", "UTC");
        configuration.setString("rest.port", "0");
        var tables = TableEnvironment.create(EnvironmentSettings.newInstance().inStreamingMode().withConfiguration(configuration).build());
        tables.executeSql(
            "CREATE TABLE events (`type` STRING, id BIGINT, name STRING, city STRING, state STRING, seller BIGINT, category BIGINT,"
                + " auction BIGINT, bidder BIGINT, price BIGINT, `date_time` BIGINT, ts AS TO_TIMESTAMP_LTZ(`date_time`, 3),"
                + " WATERMARK FOR ts AS ts - INTERVAL '0.001' SECOND) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = 'file://" + folder + "')");
        view(tables, "person", "id, name, city, state");
        view(tables, "auction", "id, seller, category");
        view(tables, "bid", "auction, bidder, price");
        var sink = results == null
            ? "'connector' = 'blackhole'"
            : "'connector' = 'filesystem', 'format' = 'json', 'path' = 'file://" + results + "'";
        tables.executeSql("CREATE TABLE answers (" + query.columns() + ") WITH (" + sink + ")");
        tables.executeSql("INSERT INTO answers " + query.sql()).await();
    }

    private static void view(TableEnvironment tables, String name, String columns) {
        tables.executeSql("CREATE VIEW " + name + " AS SELECT " + columns + ", ts AS date_time FROM events WHERE `type` = '" + name + "'");
    }

    private static long cpuNanos() {
        return ((com.sun.management.OperatingSystemMXBean) ManagementFactory.getOperatingSystemMXBean()).getProcessCpuTime();
    }
}
