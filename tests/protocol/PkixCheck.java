// tests/protocol/PkixCheck.java: Java's PKIX validator over a chain. usage: java PkixCheck.java ROOT CHAIN
import java.io.FileInputStream;
import java.security.cert.CertPath;
import java.security.cert.CertPathValidator;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collection;
import java.util.List;
import java.util.Set;

public class PkixCheck {
    public static void main(String[] arguments) throws Exception {
        CertificateFactory factory = CertificateFactory.getInstance("X.509");
        X509Certificate root;
        Collection<? extends Certificate> read;
        try (FileInputStream in = new FileInputStream(arguments[0])) {
            root = (X509Certificate) factory.generateCertificate(in);
        }
        try (FileInputStream in = new FileInputStream(arguments[1])) {
            read = factory.generateCertificates(in);
        }
        List<Certificate> chain = new ArrayList<>(read);
        CertPath path = factory.generateCertPath(chain);
        // The constraints of the anchor's certificate count too.
        PKIXParameters rules = new PKIXParameters(Set.of(new TrustAnchor(root, null)));
        rules.setRevocationEnabled(false);
        CertPathValidator.getInstance("PKIX").validate(path, rules);
        System.out.println("valid, " + chain.size() + " certificates");
    }
}
