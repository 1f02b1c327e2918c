package interop;

import static org.eclipse.milo.opcua.stack.core.types.builtin.unsigned.Unsigned.ubyte;
import static org.eclipse.milo.opcua.stack.core.types.builtin.unsigned.Unsigned.uint;
import static org.eclipse.milo.opcua.stack.core.types.builtin.unsigned.Unsigned.ulong;
import static org.eclipse.milo.opcua.stack.core.types.builtin.unsigned.Unsigned.ushort;

import java.math.BigInteger;
import java.nio.ByteBuffer;
import java.nio.ByteOrder;
import java.nio.charset.StandardCharsets;
import java.time.Instant;
import java.util.List;
import java.util.UUID;
import java.util.concurrent.Executors;
import java.util.concurrent.ScheduledExecutorService;
import java.util.concurrent.TimeUnit;
import org.eclipse.milo.opcua.sdk.core.AccessLevel;
import org.eclipse.milo.opcua.sdk.core.Reference;
import org.eclipse.milo.opcua.sdk.server.ManagedNamespaceWithLifecycle;
import org.eclipse.milo.opcua.sdk.server.OpcUaServer;
import org.eclipse.milo.opcua.sdk.server.items.DataItem;
import org.eclipse.milo.opcua.sdk.server.items.MonitoredItem;
import org.eclipse.milo.opcua.sdk.server.methods.AbstractMethodInvocationHandler;
import org.eclipse.milo.opcua.sdk.server.model.objects.DataTypeEncodingTypeNode;
import org.eclipse.milo.opcua.sdk.server.nodes.UaDataTypeNode;
import org.eclipse.milo.opcua.sdk.server.nodes.UaFolderNode;
import org.eclipse.milo.opcua.sdk.server.nodes.UaMethodNode;
import org.eclipse.milo.opcua.sdk.server.nodes.UaVariableNode;
import org.eclipse.milo.opcua.sdk.server.util.SubscriptionModel;
import org.eclipse.milo.opcua.stack.core.NodeIds;
import org.eclipse.milo.opcua.stack.core.StatusCodes;
import org.eclipse.milo.opcua.stack.core.UaException;
import org.eclipse.milo.opcua.stack.core.types.builtin.ByteString;
import org.eclipse.milo.opcua.stack.core.types.builtin.DataValue;
import org.eclipse.milo.opcua.stack.core.types.builtin.DateTime;
import org.eclipse.milo.opcua.stack.core.types.builtin.ExtensionObject;
import org.eclipse.milo.opcua.stack.core.types.builtin.LocalizedText;
import org.eclipse.milo.opcua.stack.core.types.builtin.NodeId;
import org.eclipse.milo.opcua.stack.core.types.builtin.QualifiedName;
import org.eclipse.milo.opcua.stack.core.types.builtin.StatusCode;
import org.eclipse.milo.opcua.stack.core.types.builtin.Variant;
import org.eclipse.milo.opcua.stack.core.types.enumerated.StructureType;
import org.eclipse.milo.opcua.stack.core.types.structured.Argument;
import org.eclipse.milo.opcua.stack.core.types.structured.StructureDefinition;
import org.eclipse.milo.opcua.stack.core.types.structured.StructureField;

/** The nodes: the same, with the same values, as those of the stranger from npm. */
final class Stranger extends ManagedNamespaceWithLifecycle {

  static final String URI = "urn:nexus:stranger";
  private static final int BLOCK = 300;

  private final SubscriptionModel subscriptions;
  private final ScheduledExecutorService clock = Executors.newSingleThreadScheduledExecutor();
  private UaFolderNode folder;
  private int counted;

  Stranger(OpcUaServer server) {
    super(server, URI);
    subscriptions = new SubscriptionModel(server, this);
    getLifecycleManager().addLifecycle(subscriptions);
    getLifecycleManager().addStartupTask(this::populate);
    getLifecycleManager().addShutdownTask(clock::shutdownNow);
  }

  void set(String name, Variant value, StatusCode status) {
    node(name).setValue(new DataValue(value, status, DateTime.now(), DateTime.now()));
  }

  void delete(String name) {
    node(name).delete();
  }

  void create(String name, int value) {
    variable(name, NodeIds.Int32, good(value));
  }

  private UaVariableNode node(String name) {
    return (UaVariableNode) getNodeManager().getNode(newNodeId(name)).orElseThrow();
  }

  private void populate() {
    folder =
        new UaFolderNode(
            getNodeContext(),
            newNodeId("Stranger"),
            newQualifiedName("Stranger"),
            LocalizedText.english("Stranger"));
    getNodeManager().addNode(folder);
    folder.addReference(
        new Reference(
            folder.getNodeId(), NodeIds.Organizes, NodeIds.ObjectsFolder.expanded(), false));
    scalars();
    array("Array.Int32", NodeIds.Int32, new Integer[] {1, -2, 3});
    array("Array.String", NodeIds.String, new String[] {"a", "ä", ""});
    variable("Setpoint", NodeIds.Double, good(1.5));
    variable("Ready", NodeIds.Boolean, good(false));
    // a number by chance, not by its type: a deadband cannot be held against it
    variable("Loose", NodeIds.BaseDataType, good(2.5));
    UaVariableNode fixed = variable("Fixed", NodeIds.Double, good(7.5));
    fixed.setAccessLevel(AccessLevel.toValue(AccessLevel.READ_ONLY));
    fixed.setUserAccessLevel(AccessLevel.toValue(AccessLevel.READ_ONLY));
    variable(
        "Broken",
        NodeIds.Double,
        new DataValue(Variant.NULL_VALUE, new StatusCode(StatusCodes.Bad_SensorFailure)));
    variable(
        "Forced",
        NodeIds.Double,
        new DataValue(new Variant(3.5), new StatusCode(StatusCodes.Good_LocalOverride)));
    // a value without a source timestamp, as many gateways give it
    variable("Timeless", NodeIds.Double, new DataValue(new Variant(4.5), StatusCode.GOOD, null));
    for (int n = 1; n <= BLOCK; n++) {
      variable("Block." + n, NodeIds.Int32, good(n));
    }
    variable("Comes", NodeIds.Int32, good(11));
    recipe();
    sum();
    UaVariableNode count = variable("Count", NodeIds.Int32, good(0));
    clock.scheduleAtFixedRate(
        () -> count.setValue(good(++counted)), 100, 100, TimeUnit.MILLISECONDS);
  }

  private void scalars() {
    scalar("Boolean", NodeIds.Boolean, true);
    scalar("SByte", NodeIds.SByte, Byte.MIN_VALUE);
    scalar("Byte", NodeIds.Byte, ubyte(255));
    scalar("Int16", NodeIds.Int16, Short.MIN_VALUE);
    scalar("UInt16", NodeIds.UInt16, ushort(65535));
    scalar("Int32", NodeIds.Int32, Integer.MIN_VALUE);
    scalar("UInt32", NodeIds.UInt32, uint(4294967295L));
    scalar("Int64", NodeIds.Int64, Long.MIN_VALUE);
    scalar("UInt64", NodeIds.UInt64, ulong(new BigInteger("18446744073709551615")));
    scalar("Float", NodeIds.Float, 1.5f);
    scalar("Double", NodeIds.Double, 0.1);
    scalar("String", NodeIds.String, "Käse");
    scalar("DateTime", NodeIds.DateTime, new DateTime(Instant.parse("2001-02-03T04:05:06.789Z")));
    scalar("Guid", NodeIds.Guid, UUID.fromString("12345678-1234-5678-1234-567812345678"));
    scalar("ByteString", NodeIds.ByteString, ByteString.of(new byte[] {0, -1, 7}));
    scalar("LocalizedText", NodeIds.LocalizedText, new LocalizedText("de", "Käse"));
  }

  private void scalar(String name, NodeId type, Object value) {
    variable("Scalar." + name, type, good(value));
  }

  private void array(String name, NodeId type, Object[] value) {
    variable(name, type, new DataValue(Variant.of(value))).setValueRank(1);
  }

  private UaVariableNode variable(String name, NodeId type, DataValue value) {
    UaVariableNode node =
        UaVariableNode.build(
            getNodeContext(),
            builder ->
                builder
                    .setNodeId(newNodeId(name))
                    .setAccessLevel(AccessLevel.READ_WRITE)
                    .setUserAccessLevel(AccessLevel.READ_WRITE)
                    .setBrowseName(newQualifiedName(name))
                    .setDisplayName(LocalizedText.english(name))
                    .setDataType(type)
                    .setTypeDefinition(NodeIds.BaseDataVariableType)
                    .setMinimumSamplingInterval(50.0)
                    .build());
    node.setValue(value);
    getNodeManager().addNode(node);
    folder.addComponent(node);
    return node;
  }

  private static DataValue good(Object value) {
    return new DataValue(new Variant(value));
  }

  private void recipe() {
    NodeId type = newNodeId("RecipeType");
    NodeId encoding = newNodeId("RecipeType.Binary");
    UaDataTypeNode node =
        new UaDataTypeNode(
            getNodeContext(),
            type,
            newQualifiedName("Recipe"),
            LocalizedText.english("Recipe"),
            LocalizedText.NULL_VALUE,
            uint(0),
            uint(0),
            false);
    node.addReference(
        new Reference(
            type, NodeIds.HasSubtype, NodeIds.Structure.expanded(), Reference.Direction.INVERSE));
    node.setDataTypeDefinition(
        new StructureDefinition(
            encoding,
            NodeIds.Structure,
            StructureType.Structure,
            new StructureField[] {
              field("Name", NodeIds.String, -1),
              field("Speed", NodeIds.Double, -1),
              field("Steps", NodeIds.Int32, 1)
            }));
    getNodeManager().addNode(node);
    DataTypeEncodingTypeNode binary =
        new DataTypeEncodingTypeNode(
            getNodeContext(),
            encoding,
            new QualifiedName(0, "Default Binary"),
            LocalizedText.english("Default Binary"),
            LocalizedText.NULL_VALUE,
            uint(0),
            uint(0),
            null,
            null,
            null);
    binary.addReference(
        new Reference(
            encoding,
            NodeIds.HasTypeDefinition,
            NodeIds.DataTypeEncodingType.expanded(),
            Reference.Direction.FORWARD));
    binary.addReference(
        new Reference(
            encoding, NodeIds.HasEncoding, type.expanded(), Reference.Direction.INVERSE));
    getNodeManager().addNode(binary);
    byte[] name = "Raspberry".getBytes(StandardCharsets.UTF_8);
    ByteBuffer body =
        ByteBuffer.allocate(4 + name.length + 8 + 4 + 12).order(ByteOrder.LITTLE_ENDIAN);
    body.putInt(name.length).put(name).putDouble(2.5).putInt(3).putInt(1).putInt(2).putInt(3);
    variable("Recipe", type, good(ExtensionObject.of(ByteString.of(body.array()), encoding)));
  }

  private static StructureField field(String name, NodeId type, int rank) {
    return new StructureField(name, LocalizedText.NULL_VALUE, type, rank, null, uint(0), false);
  }

  private void sum() {
    UaMethodNode method =
        UaMethodNode.builder(getNodeContext())
            .setNodeId(newNodeId("Sum"))
            .setBrowseName(newQualifiedName("Sum"))
            .setDisplayName(LocalizedText.english("Sum"))
            .build();
    Sum handler = new Sum(method);
    method.setInputArguments(handler.getInputArguments());
    method.setOutputArguments(handler.getOutputArguments());
    method.setInvocationHandler(handler);
    getNodeManager().addNode(method);
    method.addReference(
        new Reference(
            method.getNodeId(), NodeIds.HasComponent, folder.getNodeId().expanded(), false));
  }

  private static final class Sum extends AbstractMethodInvocationHandler {

    Sum(UaMethodNode node) {
      super(node);
    }

    @Override
    public Argument[] getInputArguments() {
      return new Argument[] {argument("a"), argument("b")};
    }

    @Override
    public Argument[] getOutputArguments() {
      return new Argument[] {argument("sum")};
    }

    @Override
    protected Variant[] invoke(InvocationContext context, Variant[] inputs) throws UaException {
      double a = (double) inputs[0].value();
      if (a < 0) {
        throw new UaException(StatusCodes.Bad_OutOfRange);
      }
      return new Variant[] {new Variant(a + (double) inputs[1].value())};
    }

    private static Argument argument(String name) {
      return new Argument(name, NodeIds.Double, -1, null, LocalizedText.NULL_VALUE);
    }
  }

  @Override
  public void onDataItemsCreated(List<DataItem> items) {
    subscriptions.onDataItemsCreated(items);
  }

  @Override
  public void onDataItemsModified(List<DataItem> items) {
    subscriptions.onDataItemsModified(items);
  }

  @Override
  public void onDataItemsDeleted(List<DataItem> items) {
    subscriptions.onDataItemsDeleted(items);
  }

  @Override
  public void onMonitoringModeChanged(List<MonitoredItem> items) {
    subscriptions.onMonitoringModeChanged(items);
  }
}
