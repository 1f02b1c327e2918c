package interop;

import com.fasterxml.jackson.databind.JsonNode;
import java.math.BigInteger;
import java.util.Date;
import java.util.HashMap;
import java.util.LinkedHashMap;
import java.util.List;
import java.util.Map;
import java.util.concurrent.ConcurrentHashMap;
import org.eclipse.tahu.host.HostApplication;
import org.eclipse.tahu.host.api.MultiHostApplicationEventHandler;
import org.eclipse.tahu.message.SparkplugBPayloadDecoder;
import org.eclipse.tahu.message.model.DeviceDescriptor;
import org.eclipse.tahu.message.model.EdgeNodeDescriptor;
import org.eclipse.tahu.message.model.Message;
import org.eclipse.tahu.message.model.MessageType;
import org.eclipse.tahu.message.model.Metric;
import org.eclipse.tahu.message.model.MetricDataType;
import org.eclipse.tahu.message.model.SparkplugBPayload;
import org.eclipse.tahu.message.model.SparkplugDescriptor;
import org.eclipse.tahu.message.model.Topic;
import org.eclipse.tahu.model.MqttServerDefinition;
import org.eclipse.tahu.mqtt.MqttClientId;
import org.eclipse.tahu.mqtt.MqttServerName;
import org.eclipse.tahu.mqtt.MqttServerUrl;

/**
 * A host application made of tahu-host, which tahu-host-compat wraps too: births, data, deaths,
 * stale metrics, commands. Usage: HostPeer (tcp url) (host id).
 */
public final class HostPeer implements MultiHostApplicationEventHandler {

  private static final String NAMESPACE = "spBv1.0";

  private final Map<String, Map<String, Object>> pending = new ConcurrentHashMap<>();

  public static void main(String[] arguments) throws Exception {
    Lines.reserveStdout();
    MqttServerDefinition server =
        new MqttServerDefinition(
            new MqttServerName("broker"),
            new MqttClientId("tahu-host", false),
            new MqttServerUrl(arguments[0]),
            null,
            null,
            30,
            null);
    HostApplication host =
        new HostApplication(
            new HostPeer(),
            arguments[1],
            List.of(NAMESPACE + "/#"),
            List.of(server),
            null,
            new SparkplugBPayloadDecoder(),
            true);
    host.start(true);
    Lines.listen((what, order) -> host.publishCommand(topic(what, order), payload(what, order)));
    host.shutdown();
    System.exit(0);
  }

  private static Topic topic(String what, JsonNode order) {
    EdgeNodeDescriptor node = new EdgeNodeDescriptor(order.get("node").asText());
    if (what.equals("rebirth")) {
      return new Topic(NAMESPACE, node, MessageType.NCMD);
    }
    DeviceDescriptor device = new DeviceDescriptor(node, order.get("device").asText());
    return new Topic(NAMESPACE, device, MessageType.DCMD);
  }

  private static SparkplugBPayload payload(String what, JsonNode order) throws Exception {
    Date now = new Date();
    Metric metric;
    if (what.equals("rebirth")) {
      metric =
          new Metric.MetricBuilder("Node Control/Rebirth", MetricDataType.Boolean, true)
              .timestamp(now)
              .createMetric();
    } else {
      MetricDataType type = new MetricDataType(order.get("type").asText());
      metric =
          new Metric.MetricBuilder(order.get("metric").asText(), type, value(type, order))
              .timestamp(now)
              .createMetric();
    }
    return new SparkplugBPayload(now, List.of(metric));
  }

  private static Object value(MetricDataType type, JsonNode order) {
    JsonNode value = order.get("value");
    return switch (type.getType()) {
      case "Int8" -> (byte) value.asInt();
      case "Int16", "UInt8" -> (short) value.asInt();
      case "Int32", "UInt16" -> value.asInt();
      case "Int64", "UInt32" -> value.asLong();
      case "UInt64" -> new BigInteger(value.asText());
      case "Float" -> (float) value.asDouble();
      case "Double" -> value.asDouble();
      case "Boolean" -> value.asBoolean();
      default -> value.asText();
    };
  }

  /** Opens the picture of one message; its metrics follow one by one, names resolved. */
  private void open(String event, SparkplugDescriptor from, Message message) {
    Map<String, Object> fields = origin(from);
    fields.put("seq", message.getPayload().getSeq());
    fields.put("metrics", new LinkedHashMap<String, Object>());
    fields.put("types", new LinkedHashMap<String, Object>());
    pending.put(from.getDescriptorString() + event, fields);
  }

  private void add(String event, SparkplugDescriptor from, Metric metric) {
    Map<String, Object> fields = pending.get(from.getDescriptorString() + event);
    put(fields, "metrics", metric.getName(), Lines.plain(metric));
    put(fields, "types", metric.getName(), metric.getDataType().getType());
  }

  @SuppressWarnings("unchecked")
  private static void put(Map<String, Object> fields, String group, String name, Object value) {
    ((Map<String, Object>) fields.get(group)).put(name, value);
  }

  private void close(String event, SparkplugDescriptor from) {
    Lines.tell(event, pending.remove(from.getDescriptorString() + event));
  }

  private static Map<String, Object> origin(SparkplugDescriptor from) {
    Map<String, Object> fields = new HashMap<>();
    fields.put("node", from.getGroupId() + "/" + from.getEdgeNodeId());
    fields.put("device", from.isDeviceDescriptor() ? from.getDeviceId() : null);
    return fields;
  }

  @Override
  public void onConnect(MqttServerName server) {
    Lines.tell("ready", Map.of());
  }

  @Override
  public void onNodeBirthArrived(MqttServerName s, EdgeNodeDescriptor node, Message message) {
    open("birth", node, message);
  }

  @Override
  public void onNodeBirthComplete(MqttServerName s, EdgeNodeDescriptor node) {
    close("birth", node);
  }

  @Override
  public void onNodeDataArrived(MqttServerName s, EdgeNodeDescriptor node, Message message) {
    open("data", node, message);
  }

  @Override
  public void onNodeDataComplete(MqttServerName s, EdgeNodeDescriptor node) {
    close("data", node);
  }

  @Override
  public void onNodeDeath(MqttServerName s, EdgeNodeDescriptor node, Message message) {
    open("death", node, message);
    close("death", node);
  }

  @Override
  public void onDeviceBirthArrived(MqttServerName s, DeviceDescriptor device, Message message) {
    open("birth", device, message);
  }

  @Override
  public void onDeviceBirthComplete(MqttServerName s, DeviceDescriptor device) {
    close("birth", device);
  }

  @Override
  public void onDeviceDataArrived(MqttServerName s, DeviceDescriptor device, Message message) {
    open("data", device, message);
  }

  @Override
  public void onDeviceDataComplete(MqttServerName s, DeviceDescriptor device) {
    close("data", device);
  }

  @Override
  public void onDeviceDeath(MqttServerName s, DeviceDescriptor device, Message message) {
    open("death", device, message);
    close("death", device);
  }

  @Override
  public void onBirthMetric(MqttServerName s, SparkplugDescriptor from, Metric metric) {
    add("birth", from, metric);
  }

  @Override
  public void onDataMetric(MqttServerName s, SparkplugDescriptor from, Metric metric) {
    add("data", from, metric);
  }

  @Override
  public void onStale(MqttServerName s, SparkplugDescriptor from, Metric metric) {
    Map<String, Object> fields = origin(from);
    fields.put("metric", metric.getName());
    Lines.tell("stale", fields);
  }

  @Override
  public void onDisconnect(MqttServerName server) {}

  @Override
  public void onMessage(MqttServerName s, SparkplugDescriptor from, Message message) {}

  @Override
  public void onNodeDeathComplete(MqttServerName s, EdgeNodeDescriptor node) {}

  @Override
  public void onDeviceDeathComplete(MqttServerName s, DeviceDescriptor device) {}
}
