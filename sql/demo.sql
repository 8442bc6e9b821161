-- sql/demo.sql: four profiles that show what a profile decides. ./run enters them as certctl_owner;
-- running it again changes nothing, and a profile that somebody edited stays as it is.

WITH added AS (
    INSERT INTO certificate_profiles
        (id, name, description, issuer_id, allowed_key_algorithms, allowed_ekus,
         required_san_patterns, max_ttl_seconds, allow_short_lived, acme_auth_mode)
    VALUES
        ('prof-test', 'Standard TLS',
         'Server certificates for any name, 90 days.', 'iss-local',
         '[{"algorithm": "ECDSA", "min_size": 256}, {"algorithm": "RSA", "min_size": 2048}]',
         '["serverAuth"]', '[]', 7776000, false, 'trust_authenticated'),
        ('prof-internal', 'Internal mTLS',
         'Both ends of a TLS connection between services below .internal, 30 days.', 'iss-local',
         '[{"algorithm": "ECDSA", "min_size": 256}]',
         '["serverAuth", "clientAuth"]', '["([a-z0-9-]+\\.)+internal"]', 2592000, false,
         'trust_authenticated'),
        ('prof-short', 'Short-lived',
         'Server certificates of 50 minutes, which need no revocation.', 'iss-local',
         '[{"algorithm": "ECDSA", "min_size": 256}]',
         '["serverAuth"]', '[]', 3000, true, 'trust_authenticated'),
        ('prof-chal', 'Challenge',
         'Server certificates for names whose control the client proves by http-01, 90 days.',
         'iss-local',
         '[{"algorithm": "ECDSA", "min_size": 256}, {"algorithm": "RSA", "min_size": 2048}]',
         '["serverAuth"]', '[]', 7776000, false, 'challenge')
    ON CONFLICT DO NOTHING
    RETURNING id
)
SELECT count(*) FROM added;
