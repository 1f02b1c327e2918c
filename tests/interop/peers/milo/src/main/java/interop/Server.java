package interop;

import com.fasterxml.jackson.databind.JsonNode;
import com.fasterxml.jackson.databind.ObjectMapper;
import com.fasterxml.jackson.databind.node.ObjectNode;
import java.io.BufferedReader;
import java.io.InputStreamReader;
import java.io.PrintStream;
import java.nio.charset.StandardCharsets;
import java.security.KeyPair;
import java.security.Security;
import java.security.cert.X509Certificate;
import java.util.LinkedHashSet;
import java.util.Map;
import java.util.Set;
import org.bouncycastle.jce.provider.BouncyCastleProvider;
import org.eclipse.milo.opcua.sdk.server.EndpointConfig;
import org.eclipse.milo.opcua.sdk.server.OpcUaServer;
import org.eclipse.milo.opcua.sdk.server.OpcUaServerConfig;
import org.eclipse.milo.opcua.sdk.server.OpcUaServerConfigLimits;
import org.eclipse.milo.opcua.sdk.server.identity.AnonymousIdentityValidator;
import org.eclipse.milo.opcua.sdk.server.identity.UsernameIdentityValidator;
import org.eclipse.milo.opcua.stack.core.StatusCodes;
import org.eclipse.milo.opcua.stack.core.security.CertificateValidator;
import org.eclipse.milo.opcua.stack.core.security.DefaultApplicationGroup;
import org.eclipse.milo.opcua.stack.core.security.DefaultCertificateManager;
import org.eclipse.milo.opcua.stack.core.security.MemoryCertificateQuarantine;
import org.eclipse.milo.opcua.stack.core.security.MemoryCertificateStore;
import org.eclipse.milo.opcua.stack.core.security.MemoryTrustListManager;
import org.eclipse.milo.opcua.stack.core.security.RsaSha256CertificateFactory;
import org.eclipse.milo.opcua.stack.core.security.SecurityPolicy;
import org.eclipse.milo.opcua.stack.core.transport.TransportProfile;
import org.eclipse.milo.opcua.stack.core.types.builtin.DateTime;
import org.eclipse.milo.opcua.stack.core.types.builtin.LocalizedText;
import org.eclipse.milo.opcua.stack.core.types.builtin.StatusCode;
import org.eclipse.milo.opcua.stack.core.types.builtin.Variant;
import org.eclipse.milo.opcua.stack.core.types.builtin.unsigned.UInteger;
import org.eclipse.milo.opcua.stack.core.types.enumerated.MessageSecurityMode;
import org.eclipse.milo.opcua.stack.core.types.structured.BuildInfo;
import org.eclipse.milo.opcua.stack.core.util.SelfSignedCertificateBuilder;
import org.eclipse.milo.opcua.stack.core.util.SelfSignedCertificateGenerator;
import org.eclipse.milo.opcua.stack.transport.server.tcp.OpcTcpServerTransport;
import org.eclipse.milo.opcua.stack.transport.server.tcp.OpcTcpServerTransportConfig;

/**
 * An OPC UA server: {@code Server OPTIONS}, with options and line protocol as the stranger from npm
 * has them.
 */
public final class Server {

  private static final String APPLICATION_URI = "urn:nexus:stranger:milo";
  private static final ObjectMapper JSON = new ObjectMapper();
  private static final PrintStream OUT = System.out;

  private final JsonNode given;
  private JsonNode options;
  private final KeyPair keys;
  private final X509Certificate certificate;
  private OpcUaServer server;
  private Stranger stranger;

  private Server(JsonNode given) throws Exception {
    this.given = given;
    options = given;
    keys = SelfSignedCertificateGenerator.generateRsaKeyPair(2048);
    certificate =
        new SelfSignedCertificateBuilder(keys)
            .setCommonName("Stranger")
            .setOrganization("Maven")
            .setOrganizationalUnit("Interop")
            .setLocalityName("Nowhere")
            .setStateName("Nowhere")
            .setCountryCode("DE")
            .setApplicationUri(APPLICATION_URI)
            .addIpAddress("127.0.0.1")
            .build();
  }

  public static void main(String[] arguments) throws Exception {
    System.setOut(System.err); // whatever libraries print
    Security.addProvider(new BouncyCastleProvider());
    Server main = new Server(JSON.readTree(arguments[0]));
    try {
      main.start(0);
      main.listen();
      main.stop();
      System.exit(0);
    } catch (Exception e) {
      e.printStackTrace();
      System.exit(1);
    }
  }

  private void listen() throws Exception {
    BufferedReader in =
        new BufferedReader(new InputStreamReader(System.in, StandardCharsets.UTF_8));
    for (String line = in.readLine(); line != null; line = in.readLine()) {
      JsonNode order = JSON.readTree(line);
      String what = order.get("do").asText();
      if (what.equals("stop")) {
        return;
      }
      take(what, order);
      tell(Map.of("event", "done", "do", what));
    }
  }

  private void take(String what, JsonNode order) throws Exception {
    switch (what) {
      case "restart" -> {
        stop();
        options = ((ObjectNode) given.deepCopy()).setAll((ObjectNode) order.get("options"));
        start(order.path("spare").asInt());
      }
      case "set" -> {
        StatusCode status = status(order.path("status").asText("Good"));
        stranger.set(order.get("node").asText(), value(order), status);
      }
      case "delete" -> stranger.delete(order.get("node").asText());
      case "create" -> stranger.create(order.get("node").asText(), order.get("value").asInt());
      default -> throw new IllegalArgumentException("no such order: " + what);
    }
  }

  private static Variant value(JsonNode order) {
    JsonNode value = order.get("value");
    return switch (order.path("type").asText("Double")) {
      case "Boolean" -> new Variant(value.asBoolean());
      case "Int32" -> new Variant(value.asInt());
      case "String" -> new Variant(value.asText());
      default -> new Variant(value.asDouble());
    };
  }

  private static StatusCode status(String name) {
    return switch (name) {
      case "Good" -> StatusCode.GOOD;
      case "UncertainLastUsableValue" -> new StatusCode(StatusCodes.Uncertain_LastUsableValue);
      case "BadDeviceFailure" -> new StatusCode(StatusCodes.Bad_DeviceFailure);
      default -> throw new IllegalArgumentException("no such status: " + name);
    };
  }

  private void start(int spareNamespaces) throws Exception {
    var quarantine = new MemoryCertificateQuarantine();
    var factory =
        new RsaSha256CertificateFactory() {
          @Override
          protected KeyPair createRsaSha256KeyPair() {
            return keys;
          }

          @Override
          protected X509Certificate[] createRsaSha256CertificateChain(KeyPair pair) {
            return new X509Certificate[] {certificate};
          }
        };
    var group =
        DefaultApplicationGroup.createAndInitialize(
            new MemoryTrustListManager(),
            new MemoryCertificateStore(),
            factory,
            new CertificateValidator.InsecureCertificateValidator());
    String user = options.path("user").asText("");
    String password = options.path("password").asText("");
    var config =
        OpcUaServerConfig.builder()
            .setApplicationUri(APPLICATION_URI)
            .setApplicationName(LocalizedText.english("Stranger"))
            .setProductUri(APPLICATION_URI)
            .setBuildInfo(
                new BuildInfo(APPLICATION_URI, "Maven", "Stranger", "1", "", DateTime.now()))
            .setEndpoints(endpoints(!user.isEmpty()))
            .setCertificateManager(new DefaultCertificateManager(quarantine, group))
            .setIdentityValidator(
                user.isEmpty()
                    ? AnonymousIdentityValidator.INSTANCE
                    : new UsernameIdentityValidator(
                        challenge ->
                            user.equals(challenge.getUsername())
                                && password.equals(challenge.getPassword())))
            .setLimits(limits())
            .build();
    server =
        new OpcUaServer(
            config,
            profile ->
                new OpcTcpServerTransport(OpcTcpServerTransportConfig.newBuilder().build()));
    for (int n = 0; n < spareNamespaces; n++) {
      server.getNamespaceTable().add("urn:nexus:spare:" + n);
    }
    stranger = new Stranger(server);
    stranger.startup();
    server.startup().get();
    tell(Map.of("event", "listening", "port", options.get("port").asInt()));
  }

  private void stop() throws Exception {
    stranger.shutdown();
    server.shutdown().get();
  }

  private Set<EndpointConfig> endpoints(boolean withUser) {
    var endpoints = new LinkedHashSet<EndpointConfig>();
    for (SecurityPolicy policy :
        new SecurityPolicy[] {
          SecurityPolicy.None,
          SecurityPolicy.Basic256Sha256,
          SecurityPolicy.Aes128_Sha256_RsaOaep,
          SecurityPolicy.Aes256_Sha256_RsaPss
        }) {
      MessageSecurityMode[] modes =
          policy == SecurityPolicy.None
              ? new MessageSecurityMode[] {MessageSecurityMode.None}
              : new MessageSecurityMode[] {
                MessageSecurityMode.Sign, MessageSecurityMode.SignAndEncrypt
              };
      for (MessageSecurityMode mode : modes) {
        endpoints.add(
            EndpointConfig.newBuilder()
                .setBindAddress("127.0.0.1")
                .setHostname("127.0.0.1")
                .setBindPort(options.get("port").asInt())
                .setTransportProfile(TransportProfile.TCP_UASC_UABINARY)
                .setCertificate(certificate)
                .setSecurityPolicy(policy)
                .setSecurityMode(mode)
                .addTokenPolicies(
                    withUser
                        ? OpcUaServerConfig.USER_TOKEN_POLICY_USERNAME
                        : OpcUaServerConfig.USER_TOKEN_POLICY_ANONYMOUS)
                .build());
      }
    }
    return endpoints;
  }

  private OpcUaServerConfigLimits limits() {
    UInteger perCall = UInteger.valueOf(options.path("maxNodesPerCall").asInt(1000));
    UInteger items = UInteger.valueOf(options.path("maxMonitoredItems").asInt(10_000));
    UInteger sessions = UInteger.valueOf(options.path("maxSessions").asInt(100));
    return new OpcUaServerConfigLimits() {
      @Override
      public UInteger getMaxSessions() {
        return sessions;
      }

      @Override
      public UInteger getMaxNodesPerRead() {
        return perCall;
      }

      @Override
      public UInteger getMaxNodesPerWrite() {
        return perCall;
      }

      @Override
      public UInteger getMaxNodesPerBrowse() {
        return perCall;
      }

      @Override
      public UInteger getMaxMonitoredItemsPerCall() {
        return perCall;
      }

      @Override
      public UInteger getMaxNodesPerTranslateBrowsePathsToNodeIds() {
        return perCall;
      }

      @Override
      public UInteger getMaxMonitoredItems() {
        return items;
      }
    };
  }

  private static void tell(Map<String, Object> event) throws Exception {
    OUT.println(JSON.writeValueAsString(event));
    OUT.flush();
  }
}
