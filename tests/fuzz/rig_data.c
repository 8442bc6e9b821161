/* tests/fuzz/rig_data.c: keys and certificates that the corpora were made with; they guard nothing.
 *
 * The CA is valid from 2026 to 2126, and so is the leaf. */
#include "rig_data.h"

#include "core/banned.h"

const char rig_account_key[] = "-----BEGIN EC PRIVATE KEY-----\n"
                               "MHcCAQEEIC6aj1D/jVxSAEnvZBIh2qgcWs6v9IjtT3yG8ZkW532qoAoGCCqGSM49\n"
                               "AwEHoUQDQgAEH/a8qPlGw418ZsCQKTIDlgJLZxnIdggus7BMAI2NCX7sWLWcW+1f\n"
                               "ZzK1gCXaooRnQnG41fQVv9LaF+H2q6D2ZA==\n"
                               "-----END EC PRIVATE KEY-----\n";

const char rig_account_public[] =
    "-----BEGIN ACME ACCOUNT JWK-----\n"
    "eyJjcnYiOiJQLTI1NiIsImt0eSI6IkVDIiwieCI6IkhfYThxUGxHdzQxOFpzQ1FL\n"
    "VElEbGdKTFp4bklkZ2d1czdCTUFJMk5DWDQiLCJ5IjoiN0ZpMW5GdnRYMmN5dFlB\n"
    "bDJxS0VaMEp4dU5YMEZiX1MyaGZoOXF1ZzltUSJ9\n"
    "-----END ACME ACCOUNT JWK-----\n";

const char rig_ca_key[] = "-----BEGIN PRIVATE KEY-----\n"
                          "MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgq55m97OsnLjKt6+R\n"
                          "f+7Ydh+O+riIEOSzteplsKTrOeyhRANCAATfKkNkoSy93dDTCS9YKwwFmu2F4xS3\n"
                          "I7F8L/dvnhbCDL0cn7BvwIt34re9XJxN0LU5YVG4LWmKVbuDCP1FBT1u\n"
                          "-----END PRIVATE KEY-----\n";

const char rig_ca_pem[] = "-----BEGIN CERTIFICATE-----\n"
                          "MIIBbTCCAROgAwIBAgIUZy+45+AKLFNRqENdUwTw/rWnPkYwCgYIKoZIzj0EAwIw\n"
                          "EjEQMA4GA1UEAwwHRnV6eiBDQTAgFw0yNjExMjAyMTA3NTBaGA8yMTI2MTAyNzIx\n"
                          "MDc1MFowEjEQMA4GA1UEAwwHRnV6eiBDQTBZMBMGByqGSM49AgEGCCqGSM49AwEH\n"
                          "A0IABN8qQ2ShLL3d0NMJL1grDAWa7YXjFLcjsXwv92+eFsIMvRyfsG/Ai3fit71c\n"
                          "nE3QtTlhUbgtaYpVu4MI/UUFPW6jRTBDMBIGA1UdEwEB/wQIMAYBAf8CAQAwDgYD\n"
                          "VR0PAQH/BAQDAgEGMB0GA1UdDgQWBBSOsRA8ZXi7BK3gtxv4ZdqHe8QGtTAKBggq\n"
                          "hkjOPQQDAgNIADBFAiBnHDH33bU1V6jiX+cleLV1MNlIlMFLPHt2Xc3CcqpVlwIh\n"
                          "APGN0qLtoNrThFD3qVvwvoa3dtSwqgRv0Yl9ROwWEpf+\n"
                          "-----END CERTIFICATE-----\n";

const char rig_ca_hex[] =
    "3082016d30820113a0030201020214672fb8e7e00a2c5351a8435d5304f0feb5a73e46300a06082a"
    "8648ce3d04030230123110300e06035504030c0746757a7a2043413020170d323631313230323130"
    "3735305a180f32313236313032373231303735305a30123110300e06035504030c0746757a7a2043"
    "413059301306072a8648ce3d020106082a8648ce3d03010703420004df2a4364a12cbdddd0d3092f"
    "582b0c059aed85e314b723b17c2ff76f9e16c20cbd1c9fb06fc08b77e2b7bd5c9c4dd0b5396151b8"
    "2d698a55bb8308fd45053d6ea345304330120603551d130101ff040830060101ff020100300e0603"
    "551d0f0101ff040403020106301d0603551d0e041604148eb1103c6578bb04ade0b71bf865da877b"
    "c406b5300a06082a8648ce3d04030203480030450220671c31f7ddb53557a8e25fe72578b57530d9"
    "4894c14b3c7b765dcdc272aa5597022100f18dd2a2eda0dad38450f7a95bf0be86b776d4b0aa046f"
    "d1897d44ec161297fe";

const char rig_ca_subject_hex[] = "30123110300e06035504030c0746757a7a204341";

const char rig_ca_ski_hex[] = "8eb1103c6578bb04ade0b71bf865da877bc406b5";

const char rig_leaf_pem[] = "-----BEGIN CERTIFICATE-----\n"
                            "MIIB0TCCAXagAwIBAgIQEjRWeJCrze8SNFZ4kKvN7zAKBggqhkjOPQQDAjASMRAw\n"
                            "DgYDVQQDDAdGdXp6IENBMCAXDTI2MTEyMDIxMDc1MFoYDzIxMjYxMDI3MjEwNzUw\n"
                            "WjAaMRgwFgYDVQQDDA93d3cuZXhhbXBsZS5jb20wWTATBgcqhkjOPQIBBggqhkjO\n"
                            "PQMBBwNCAATews2DZ1SJiOPEW22eRa68OOwNmf7tfAWYistnPcWtuLbNkG8U+mBy\n"
                            "IQLopWb2T4FDs2V/A4LCGlngDG4LMSwCo4GjMIGgMCsGA1UdEQQkMCKCD3d3dy5l\n"
                            "eGFtcGxlLmNvbYIPYXBpLmV4YW1wbGUuY29tMB0GA1UdDgQWBBTrtwb2cSnffcjk\n"
                            "bxf1SWB0ZEcRajAfBgNVHSMEGDAWgBSOsRA8ZXi7BK3gtxv4ZdqHe8QGtTATBgNV\n"
                            "HSUEDDAKBggrBgEFBQcDATAOBgNVHQ8BAf8EBAMCB4AwDAYDVR0TAQH/BAIwADAK\n"
                            "BggqhkjOPQQDAgNJADBGAiEAkjyGxKK3QTn/lKOjS1qjK6uZ38PioHpD5cpTMzxp\n"
                            "1HkCIQD811mpbT5T4gDWZn3ic2Aq9vofwsG3dtD2/c2t9bnCqA==\n"
                            "-----END CERTIFICATE-----\n";
