package interop;

import com.fasterxml.jackson.databind.ObjectMapper;
import java.util.Date;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.eclipse.paho.client.mqttv3.MqttMessage;
import org.eclipse.tahu.edge.EdgeClient;
import org.eclipse.tahu.edge.api.MetricHandler;
import org.eclipse.tahu.message.SparkplugBPayloadDecoder;
import org.eclipse.tahu.message.SparkplugBPayloadEncoder;
import org.eclipse.tahu.message.model.EdgeNodeDescriptor;
import org.eclipse.tahu.message.model.MessageType;
import org.eclipse.tahu.message.model.Metric;
import org.eclipse.tahu.message.model.MetricDataType;
import org.eclipse.tahu.message.model.SparkplugBPayload;
import org.eclipse.tahu.message.model.SparkplugBPayloadMap;
import org.eclipse.tahu.message.model.SparkplugDescriptor;
import org.eclipse.tahu.message.model.StatePayload;
import org.eclipse.tahu.message.model.Topic;
import org.eclipse.tahu.model.MetricDataTypeMap;
import org.eclipse.tahu.model.MqttServerDefinition;
import org.eclipse.tahu.mqtt.ClientCallback;
import org.eclipse.tahu.mqtt.MqttClientId;
import org.eclipse.tahu.mqtt.MqttServerName;
import org.eclipse.tahu.mqtt.MqttServerUrl;
import org.eclipse.tahu.util.TopicUtil;

/**
 * An edge node made of tahu-edge, which tahu-edge-compat wraps too: two metrics on one device, one
 * of them writable. It waits for its primary host and uses aliases. Usage: EdgePeer (tcp url)
 * (group) (edge node) (device) (primary host).
 */
public final class EdgePeer implements MetricHandler, ClientCallback {

  private static final String NAMESPACE = "spBv1.0";
  private static final String REBIRTH = "Node Control/Rebirth";

  /** What the births said, for commands that come without a datatype. */
  private static final MetricDataTypeMap TYPES = new MetricDataTypeMap();

  static {
    TYPES.addMetricDataType(REBIRTH, MetricDataType.Boolean);
    TYPES.addMetricDataType("setpoint", MetricDataType.Double);
  }

  private final EdgeNodeDescriptor node;
  private final String device;
  private final Topic deathTopic;
  private final Map<String, Double> values =
      new ConcurrentHashMap<>(Map.of("temperature", 21.5, "setpoint", 40.0));
  private final Map<Long, String> names = new ConcurrentHashMap<>();
  private final EdgeClient client;
  private long nextBdSeq;
  private long bdSeq;

  private EdgePeer(String url, EdgeNodeDescriptor node, String device, String primaryHost)
      throws Exception {
    this.node = node;
    this.device = device;
    this.deathTopic = new Topic(NAMESPACE, node, MessageType.NDEATH);
    MqttServerDefinition server =
        new MqttServerDefinition(
            new MqttServerName("broker"),
            new MqttClientId("tahu-edge", false),
            new MqttServerUrl(url),
            null,
            null,
            30,
            deathTopic);
    this.client =
        new EdgeClient(
            this, node, List.of(device), primaryHost, true, 100L, List.of(server), this, null);
  }

  public static void main(String[] arguments) throws Exception {
    Lines.reserveStdout();
    EdgeNodeDescriptor node = new EdgeNodeDescriptor(arguments[1], arguments[2]);
    EdgePeer peer = new EdgePeer(arguments[0], node, arguments[3], arguments[4]);
    Thread thread = new Thread(peer.client);
    thread.start();
    Lines.listen(
        (what, order) -> {
          if (what.equals("update")) {
            peer.update(order.get("metric").asText(), order.get("value").asDouble());
          } else {
            peer.client.publishDeviceDeath(peer.device);
          }
        });
    peer.client.shutdown();
    thread.join(5000);
    System.exit(0);
  }

  private Metric metric(String name) throws Exception {
    return new Metric.MetricBuilder(name, MetricDataType.Double, values.get(name))
        .timestamp(new Date())
        .createMetric();
  }

  private void update(String name, double value) throws Exception {
    values.put(name, value);
    client.publishDeviceData(device, new SparkplugBPayload(new Date(), List.of(metric(name))));
  }

  @Override
  public Topic getDeathTopic() {
    return deathTopic;
  }

  @Override
  public byte[] getDeathPayloadBytes() throws Exception {
    bdSeq = nextBdSeq;
    nextBdSeq = (nextBdSeq + 1) % 256;
    Metric number =
        new Metric.MetricBuilder("bdSeq", MetricDataType.Int64, bdSeq).createMetric();
    SparkplugBPayload payload = new SparkplugBPayload(new Date(), List.of(number));
    return new SparkplugBPayloadEncoder().getBytes(payload, true);
  }

  @Override
  public void publishBirthSequence() {
    try {
      Date now = new Date();
      SparkplugBPayloadMap birth =
          new SparkplugBPayloadMap.SparkplugBPayloadMapBuilder()
              .setTimestamp(now)
              .addMetric(
                  new Metric.MetricBuilder(REBIRTH, MetricDataType.Boolean, false)
                      .timestamp(now)
                      .createMetric())
              .addMetric(
                  new Metric.MetricBuilder("bdSeq", MetricDataType.Int64, bdSeq)
                      .timestamp(now)
                      .createMetric())
              .createPayload();
      client.publishNodeBirth(birth);
      List<Metric> metrics = List.of(metric("temperature"), metric("setpoint"));
      client.publishDeviceBirth(device, new SparkplugBPayload(now, metrics));
      // The client has put the aliases in; hosts command by them.
      for (Metric metric : metrics) {
        names.put(metric.getAlias(), metric.getName());
        TYPES.addMetricDataType(metric.getAlias(), MetricDataType.Double);
      }
      Lines.tell("born", Map.of());
    } catch (Exception e) {
      throw new IllegalStateException("births cannot be sent", e);
    }
  }

  @Override
  public boolean hasMetric(SparkplugDescriptor from, String name) {
    return from.isDeviceDescriptor() ? values.containsKey(name) : name.equals(REBIRTH);
  }

  @Override
  public void messageArrived(
      MqttServerName server, MqttServerUrl url, MqttClientId id, String raw, MqttMessage message) {
    try {
      Topic topic = TopicUtil.parseTopic(raw);
      if (raw.startsWith(NAMESPACE + "/STATE/")) {
        StatePayload state = new ObjectMapper().readValue(message.getPayload(), StatePayload.class);
        client.handleStateMessage(topic.getHostApplicationId(), state);
        return;
      }
      if (!topic.isType(MessageType.NCMD) && !topic.isType(MessageType.DCMD)) {
        return;
      }
      SparkplugBPayload payload =
          new SparkplugBPayloadDecoder().buildFromByteArray(message.getPayload(), TYPES);
      for (Metric metric : payload.getMetrics()) {
        if (topic.isType(MessageType.DCMD)) {
          write(metric);
        } else if (REBIRTH.equals(metric.getName()) && Boolean.TRUE.equals(metric.getValue())) {
          Lines.tell("rebirth", Map.of());
          client.handleRebirthRequest(true);
        }
      }
    } catch (Exception e) {
      Lines.tell("error", Map.of("topic", raw, "text", String.valueOf(e)));
    }
  }

  private void write(Metric metric) throws Exception {
    Object value = metric.getValue();
    String name = metric.hasName() ? metric.getName() : names.get(metric.getAlias());
    Lines.tell("command", Map.of("metric", String.valueOf(name), "value", Lines.plain(metric)));
    if (name != null && value instanceof Number number) {
      update(name, number.doubleValue());
    }
  }

  @Override
  public void shutdown() {}

  @Override
  public void connectionLost(
      MqttServerName server, MqttServerUrl url, MqttClientId id, Throwable cause) {}

  @Override
  public void connectComplete(
      boolean reconnect, MqttServerName server, MqttServerUrl url, MqttClientId id) {
    Lines.tell("connected", Map.of());
  }
}
