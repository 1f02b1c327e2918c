package interop;

import com.hivemq.embedded.EmbeddedExtension;
import com.hivemq.embedded.EmbeddedHiveMQ;
import com.hivemq.extension.sdk.api.ExtensionMain;
import com.hivemq.extension.sdk.api.annotations.NotNull;
import com.hivemq.extension.sdk.api.auth.SimpleAuthenticator;
import com.hivemq.extension.sdk.api.parameter.ExtensionStartInput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStartOutput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStopInput;
import com.hivemq.extension.sdk.api.parameter.ExtensionStopOutput;
import com.hivemq.extension.sdk.api.services.Services;
import java.io.IOException;
import java.nio.file.Path;

/**
 * HiveMQ with the extensions of one folder, open to every client, until standard input ends.
 *
 * <p>Argument: a folder with <code>conf</code>, <code>data</code> and <code>extensions</code>.
 */
public final class KitBroker {
    public static void main(final String[] arguments) throws IOException {
        final Path home = Path.of(arguments[0]);
        final EmbeddedExtension everybody = EmbeddedExtension.builder()
                .withId("everybody")
                .withName("Everybody may")
                .withVersion("1")
                .withAuthor("nexus")
                .withExtensionMain(new Everybody())
                .build();
        final EmbeddedHiveMQ broker = EmbeddedHiveMQ.builder()
                .withConfigurationFolder(home.resolve("conf"))
                .withDataFolder(home.resolve("data"))
                .withExtensionsFolder(home.resolve("extensions"))
                .withEmbeddedExtension(everybody)
                .build();
        broker.start().join();
        System.out.println("{\"event\": \"ready\"}");
        while (System.in.read() >= 0) {
            // Only the end says anything.
        }
        broker.stop().join();
        System.exit(0);
    }

    /** HiveMQ refuses all clients unless an extension lets them in. */
    private static final class Everybody implements ExtensionMain {
        @Override
        public void extensionStart(
                final @NotNull ExtensionStartInput input, final @NotNull ExtensionStartOutput output) {
            final SimpleAuthenticator welcome = (in, out) -> out.authenticateSuccessfully();
            Services.securityRegistry().setAuthenticatorProvider(provider -> welcome);
        }

        @Override
        public void extensionStop(
                final @NotNull ExtensionStopInput input, final @NotNull ExtensionStopOutput output) {}
    }
}
