package interop;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.util.Arrays;
import java.util.Date;
import java.util.HexFormat;
import java.util.LinkedHashMap;
import java.util.Map;
import org.eclipse.tahu.message.model.File;
import org.eclipse.tahu.message.model.Metric;

/**
 * The line protocol that every peer speaks: orders come in on stdin, events go out on stdout, one
 * JSON object a line.
 */
final class Lines {

  /** What a peer does with an order. */
  interface Orders {
    void take(String what, JsonNode order) throws Exception;
  }

  private static final ObjectMapper JSON = new ObjectMapper();
  private static final PrintStream OUT = System.out;

  private Lines() {}

  /** Keeps stdout for events: whatever libraries print goes to stderr. */
  static void reserveStdout() {
    System.setOut(System.err);
  }

  static synchronized void tell(String event, Map<String, Object> fields) {
    Map<String, Object> line = new LinkedHashMap<>();
    line.put("event", event);
    line.putAll(fields);
    try {
      OUT.println(JSON.writeValueAsString(line));
      OUT.flush();
    } catch (Exception e) {
      throw new IllegalStateException("an event cannot be written as JSON", e);
    }
  }

  /** Takes orders until one is "stop" or stdin ends. */
  static void listen(Orders orders) throws Exception {
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonNode order = JSON.readTree(line);
      String what = order.get("do").asText();
      if (what.equals("stop")) {
        return;
      }
      orders.take(what, order);
    }
  }

  /** A metric's value as JSON can carry it: dates in milliseconds, bytes hexadecimal. */
  static Object plain(Metric metric) {
    return plain(metric.getValue());
  }

  private static Object plain(Object value) {
    if (value instanceof Number || value instanceof Boolean || value == null) {
      return value;
    }
    if (value instanceof Date date) {
      return date.getTime();
    }
    if (value instanceof byte[] bytes) {
      return HexFormat.of().formatHex(bytes);
    }
    if (value instanceof File file) {
      return HexFormat.of().formatHex(file.getBytes());
    }
    if (value instanceof Object[] array) {
      return Arrays.stream(array).map(Lines::plain).toList();
    }
    return value.toString();
  }
}
