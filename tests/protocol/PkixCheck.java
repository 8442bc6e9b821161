// tests/protocol/PkixCheck.java: Java's PKIX validator over a chain, by default without revocation.
// usage: java PkixCheck.java ROOT CHAIN [ocsp | crl]
import java.io.FileInputStream;
import java.security.cert.CertPath;
import java.security.cert.CertPathValidator;
import java.security.cert.CertPathValidatorException;
import java.security.cert.Certificate;
import java.security.cert.CertificateFactory;
import java.security.cert.PKIXParameters;
import java.security.cert.PKIXRevocationChecker;
import java.security.cert.TrustAnchor;
import java.security.cert.X509Certificate;
import java.util.ArrayList;
import java.util.Collection;
import java.util.EnumSet;
import java.util.List;
import java.util.Set;

public class PkixCheck {
    // By the URLs in the certificates, by one of both alone: OCSP for the leaf, since certificates of
    // CAs name lists, and lists for all.
    static PKIXRevocationChecker revocation(CertPathValidator validator, String kind) {
        PKIXRevocationChecker checker = (PKIXRevocationChecker) validator.getRevocationChecker();
        EnumSet<PKIXRevocationChecker.Option> options = EnumSet.of(PKIXRevocationChecker.Option.NO_FALLBACK);
        if (kind.equals("crl"))
            options.add(PKIXRevocationChecker.Option.PREFER_CRLS);
        else
            options.add(PKIXRevocationChecker.Option.ONLY_END_ENTITY);
        checker.setOptions(options);
        return checker;
    }

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
        CertPathValidator validator = CertPathValidator.getInstance("PKIX");
        rules.setRevocationEnabled(false);
        if (arguments.length > 2)
            rules.addCertPathChecker(revocation(validator, arguments[2]));
        try {
            validator.validate(path, rules);
        } catch (CertPathValidatorException refused) {
            if (arguments.length == 2)
                throw refused;
            System.out.println(refused.getReason() + ", " + refused.getMessage() + ", " + refused.getCause());
            System.exit(1);
        }
        System.out.println("valid, " + chain.size() + " certificates");
    }
}
