"""Certificate profiles: written over REST, enforced where certificates are made."""
import json
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU, NameOID

from acme_client import csr
from test_api import ApiTest


class ProfileTest(ApiTest):

    def new(self, expect=201, **members):
        """A profile of a name of its own."""
        body = {"name": f"p {uuid.uuid4()}", **members}
        answer = self.send("POST", "/profiles", body)
        self.assertEqual(answer.status, expect, answer)
        return answer.json

    def events(self, profile):
        rows = self.stack.sql("SELECT action, actor, event_category, details FROM audit_events "
                              f"WHERE resource_type = 'certificate_profile' AND resource_id = '{profile}' ORDER BY seq")
        return [(action, actor, category, json.loads(details)) for action, actor, category, details in rows]

    def assertProblems(self, answer, *problems):
        """Every failing field, in order; the first is the message."""
        self.assertRefused(answer, 400, "invalid", problems[0][1])
        self.assertEqual([(one["field"], one["problem"]) for one in answer.json["details"]], list(problems))


class Writes(ProfileTest):

    def test_defaults(self):
        name = f"Plain {uuid.uuid4()}"
        answer = self.send("POST", "/profiles", {"name": name})
        self.assertEqual(answer.status, 201, answer)
        body = answer.json
        self.assertRegex(body["id"], r"^prof-[0-9a-z]{26}$")
        self.assertEqual(answer.headers["Location"], f"/api/v1/profiles/{body['id']}")
        self.assertEqual(answer.headers["ETag"], f'"{body["id"]}.1"')
        self.assertEqual({key: body[key] for key in body if key not in ("id", "created_at", "updated_at")}, {
            "name": name, "description": "", "max_ttl_seconds": 0, "allowed_ekus": ["serverAuth"],
            "allowed_key_algorithms": [{"algorithm": "ECDSA", "min_size": 256}, {"algorithm": "RSA", "min_size": 2048}],
            "required_san_patterns": [], "spiffe_uri_pattern": "", "allow_short_lived": False, "must_staple": False,
            "acme_auth_mode": "trust_authenticated", "enabled": True, "allow_wildcards": True, "allow_sha1_csr": False})
        self.assertEqual(self.good(f"/profiles/{body['id']}"), body)
        (action, actor, category, details), = self.events(body["id"])
        self.assertEqual((action, category), ("create_profile", "config"))
        self.assertEqual(actor, self.keys["r-admin"][2])
        self.assertIn({"field": "name", "after": name}, details["changes"])

    def test_ids(self):
        wanted = f"prof-{uuid.uuid4()}"
        body = self.new(id=wanted)
        self.assertEqual(body["id"], wanted)
        answer = self.send("POST", "/profiles", {"id": wanted, "name": f"x {wanted}"})
        self.assertRefused(answer, 409, "duplicate", "A profile with that id already exists")
        answer = self.send("POST", "/profiles", {"name": body["name"]})
        self.assertRefused(answer, 409, "duplicate", "A profile with this name already exists")
        self.assertProblems(self.send("POST", "/profiles", {"id": "retired", "name": "x"}), ("id", "id is reserved"))
        for bad in ("a/b", "..", "x" * 129, "\u00e9", 7):
            with self.subTest(bad):
                self.assertProblems(self.send("POST", "/profiles", {"id": bad, "name": "x"}), ("id", "id must be 1 to 128 of A-Z a-z 0-9 . _ -"))

    def test_every_failing_field_is_told(self):
        answer = self.send("POST", "/profiles", {
            "id": "bulk", "name": " x", "description": 5, "max_ttl_seconds": -1, "allowed_ekus": ["serverAuth", "boss", 4],
            "allowed_key_algorithms": [{"algorithm": "DSA"}, {"algorithm": "RSA", "min_size": 1024}], "must_staple": "yes"})
        self.assertProblems(
            answer, ("id", "id is reserved"), ("name", "profile name must not begin or end with white space"),
            ("description", "description must be a string"),
            ("allowed_key_algorithms", "invalid key algorithm: DSA (allowed: RSA, ECDSA, Ed25519)"),
            ("allowed_key_algorithms", "RSA minimum key size must be at least 2048, got 1024"),
            ("max_ttl_seconds", "max_ttl_seconds cannot be negative"), ("allowed_ekus", "allowed_ekus[2] must be a string"),
            ("must_staple", "must_staple must be true or false"))

    BAD = (
        ({"name": None}, "name", "profile name is required"),
        ({"name": ""}, "name", "profile name is required"),
        ({"name": "\u00e9" * 256}, "name", "profile name exceeds 255 characters"),
        ({"name": "a\u0007"}, "name", "profile name contains control characters"),
        ({"name": "a\nb"}, "name", "profile name contains control characters"),
        ({"name": ["x"]}, "name", "profile name must be a string"),
        ({"description": "x" * 4097}, "description", "description exceeds 4096 characters"),
        ({"allowed_key_algorithms": [{"algorithm": "rsa", "min_size": 2048}]}, "allowed_key_algorithms",
         "invalid key algorithm: rsa (allowed: RSA, ECDSA, Ed25519)"),
        ({"allowed_key_algorithms": ["RSA"]}, "allowed_key_algorithms", "invalid key algorithm:  (allowed: RSA, ECDSA, Ed25519)"),
        ({"allowed_key_algorithms": {}}, "allowed_key_algorithms", "allowed_key_algorithms must be an array"),
        ({"allowed_key_algorithms": [{"algorithm": "RSA"}]}, "allowed_key_algorithms", "RSA minimum key size must be at least 2048, got 0"),
        ({"allowed_key_algorithms": [{"algorithm": "RSA", "min_size": 2048.0}]}, "allowed_key_algorithms", "min_size must be an integer"),
        ({"allowed_key_algorithms": [{"algorithm": "RSA", "min_size": 16384}]}, "allowed_key_algorithms",
         "RSA minimum key size must be at most 8192, got 16384"),
        ({"allowed_key_algorithms": [{"algorithm": "ECDSA", "min_size": 224}]}, "allowed_key_algorithms",
         "ECDSA minimum key size must be at least 256, got 224"),
        ({"max_ttl_seconds": -1}, "max_ttl_seconds", "max_ttl_seconds cannot be negative"),
        ({"max_ttl_seconds": 2 ** 31}, "max_ttl_seconds", "max_ttl_seconds must be between 0 and 2147483647, got 2147483648"),
        ({"max_ttl_seconds": 1.0}, "max_ttl_seconds", "max_ttl_seconds must be an integer"),
        ({"allowed_ekus": ["ServerAuth"]}, "allowed_ekus", "invalid EKU: ServerAuth"),
        ({"allowed_ekus": ["serverAuth", "timeStamping"]}, "allowed_ekus", "timeStamping must be the only EKU (RFC 3161 section 2.3)"),
        ({"required_san_patterns": ["ok", "(unclosed"]}, "required_san_patterns",
         "invalid required_san_patterns[1]: missing closing parenthesis at offset 9"),
        ({"required_san_patterns": ["a" * 513]}, "required_san_patterns", "invalid required_san_patterns[0]: longer than 512 bytes"),
        ({"required_san_patterns": "x"}, "required_san_patterns", "required_san_patterns must be an array of strings"),
        ({"spiffe_uri_pattern": "http://x"}, "spiffe_uri_pattern", "spiffe_uri_pattern must start with spiffe://"),
        ({"spiffe_uri_pattern": "spiffe://" + "x" * 512}, "spiffe_uri_pattern", "spiffe_uri_pattern exceeds 512 characters"),
        ({"allow_short_lived": True, "max_ttl_seconds": 3600}, "allow_short_lived",
         "allow_short_lived is true but max_ttl_seconds (3600) is >= 3600; short-lived certs must have TTL under 1 hour"),
        ({"allow_short_lived": True, "max_ttl_seconds": 300, "must_staple": True}, "must_staple",
         "must_staple cannot be combined with allow_short_lived"),
        ({"acme_auth_mode": "none"}, "acme_auth_mode", 'acme_auth_mode must be "trust_authenticated" or "challenge"'),
        ({"acme_auth_mode": 1}, "acme_auth_mode", "acme_auth_mode must be a string"),
        ({"default_validity_days": 0}, "default_validity_days", "default_validity_days must be between 1 and 36500, got 0"),
        ({"policy_oids": ["1.2.x"]}, "policy_oids", 'policy_oids[0]: "1.2.x" is no OID'),
        ({"allowed_uri_patterns": ["["]}, "allowed_uri_patterns",
         "invalid allowed_uri_patterns[0]: missing terminating ] for character class at offset 1"),
        ({"allowed_san_types": ["dns", "x400"]}, "allowed_san_types", 'allowed_san_types[1]: "x400" is none of dns, ip, email, uri, upn'),
        ({"issuer_id": "a b"}, "issuer_id", 'issuer_id: "a b" is not an id'),
        ({"issuer_id": "iss-none"}, "issuer_id", 'issuer_id: no such issuer "iss-none"'),
        ({"enroll_owner_id": "o-none"}, "enroll_owner_id", 'enroll_owner_id: no such owner "o-none"'),
        ({"enroll_team_id": "t-none"}, "enroll_team_id", 'enroll_team_id: no such team "t-none"'),
        ({"enroll_renewal_policy_id": "rp-x"}, "enroll_renewal_policy_id", 'enroll_renewal_policy_id: no such renewal policy "rp-x"'),
        ({"subject_policy": []}, "subject_policy", "subject_policy must be an object"),
        ({"subject_policy": {"fixed": {"commonName": "x"}}}, "subject_policy",
         'invalid subject_policy: fixed has "commonName", which is no attribute that can be fixed'),
        ({"subject_policy": {"required": ["boss"]}}, "subject_policy", "invalid subject_policy: required[0] is no attribute name and no OID"),
        ({"spiffe_uri_pattern": "spiffe://*/a"}, "spiffe_uri_pattern",
         "invalid spiffe_uri_pattern: the trust domain is not 1 to 255 of a-z 0-9 . _ -"),
        ({"spiffe_uri_pattern": "spiffe://d/**/a"}, "spiffe_uri_pattern", "invalid spiffe_uri_pattern: ** may only be the last segment"),
        ({"enabled": 1}, "enabled", "enabled must be true or false"),
        *((({"acme": acme}, field, text)) for acme, field, text in (
            ([], "acme", "acme must be an object"),
            ({"eab_required": 1}, "acme.eab_required", "acme.eab_required must be true or false"),
            ({"allow_wildcard": "no"}, "acme.allow_wildcard", "acme.allow_wildcard must be true or false"),
            ({"challenge_types": "http-01"}, "acme.challenge_types", "acme.challenge_types must be an array of strings"),
            ({"challenge_types": []}, "acme.challenge_types", "acme.challenge_types must name at least one type"),
            ({"challenge_types": ["http-01", "dns-persist-02"]}, "acme.challenge_types",
             'acme.challenge_types[1]: "dns-persist-02" is none of http-01, dns-01, tls-alpn-01, dns-account-01, dns-persist-01'),
            ({"identifier_types": []}, "acme.identifier_types", "acme.identifier_types must name at least one type"),
            ({"identifier_types": ["dns", "email"]}, "acme.identifier_types", 'acme.identifier_types[1]: "email" is none of dns, ip'),
            ({"caa": "maybe"}, "acme.caa", 'acme.caa must be "on" or "off" or "inherit"'),
            ({"resolver": "192.0.2.1:53,dns.example"}, "acme.resolver", 'acme.resolver: "dns.example" is not an address and a port, nor recursive'),
            ({"resolver": "192.0.2.1:65536"}, "acme.resolver", 'acme.resolver: "192.0.2.1:65536" is not an address and a port, nor recursive'),
            ({"resolver": ","}, "acme.resolver", 'acme.resolver: "" is not an address and a port, nor recursive'),
            ({"selectable_profiles": ["prof-test", "prof-x"]}, "acme.selectable_profiles", 'acme.selectable_profiles[1]: no such profile "prof-x"'),
            ({"selectable_profiles": ["a b"]}, "acme.selectable_profiles", 'acme.selectable_profiles[0]: "a b" is not an id'),
            ({"selectable_profiles": "prof-test"}, "acme.selectable_profiles", "acme.selectable_profiles must be an array of strings"),
            ({"perspectives_required": 1}, "acme.perspectives_required", "acme.perspectives_required is not offered by this server"),
            ({"perspectives_required": 17}, "acme.perspectives_required", "acme.perspectives_required must be between 0 and 16, got 17"),
            ({"eab": True}, "acme", 'acme has no member "eab"'))),
        ({"acme_auth_mode": "challenge", "acme": {"challenge_types": ["dns-01"], "identifier_types": ["dns", "ip"]}}, "acme.identifier_types",
         'acme.identifier_types[1]: "ip" cannot be proved by any of acme.challenge_types'),
        ({"acme_auth_mode": "challenge", "acme": {"challenge_types": ["http-01", "tls-alpn-01"], "allow_wildcard": True}}, "acme.allow_wildcard",
         "acme.allow_wildcard: a wildcard cannot be proved by any of acme.challenge_types"),
        ({"max_validity_days": -1}, "max_ttl_seconds", "max_ttl_seconds cannot be negative"),
    )

    def test_refusals(self):
        """Each error text, on POST, PUT and PATCH alike; nothing is left behind."""
        stored = self.new()
        path = f"/profiles/{stored['id']}"
        before = self.stack.value("SELECT count(*) FROM certificate_profiles")
        for change, field, text in self.BAD:
            with self.subTest(text):
                self.assertProblems(self.send("POST", "/profiles", {"name": f"bad {uuid.uuid4()}", **change}), (field, text))
                if not (change.get("name", "x") in (None, "")):
                    self.assertProblems(self.send("PUT", path, change), (field, text))
                if "name" not in change or change["name"]:
                    self.assertProblems(self.send("PATCH", path, change), (field, text))
        self.assertEqual(self.stack.value("SELECT count(*) FROM certificate_profiles"), before)
        self.assertEqual(self.good(path), stored)
        self.assertEqual([event[0] for event in self.events(stored["id"])], ["create_profile"])
        for change in ({"name": None}, {"name": ""}):
            self.assertProblems(self.send("PATCH", path, change), ("name", "profile name is required"))

    def test_bad_bodies(self):
        for about, body in (("none", b""), ("no JSON", b"{"), ("no object", b"[]"), ("twice", b'{"name":"a","name":"b"}'),
                            ("NUL", b'{"name":"a\\u0000"}'), ("no UTF-8", b'{"name":"\xff"}'), ("more behind", b'{"name":"x"} x'),
                            ("deep", b'{"subject_policy":' + b'{"a":' * 40 + b"1" + b"}" * 41), ("a huge number", b'{"max_ttl_seconds":1e400}')):
            with self.subTest(about):
                answer = self.send("POST", "/profiles", body)
                self.assertRefused(answer, 400, "malformed")
                self.assertTrue(answer.json["message"].startswith("Invalid request body"), answer.json)
        self.assertRefused(self.send("POST", "/profiles", b"x", Content_Type="multipart/form-data; boundary=x"), 415, "media_type")
        form = self.send("POST", "/profiles", {"name": f"f {uuid.uuid4()}"}, Content_Type="application/x-www-form-urlencoded")
        self.assertEqual(form.status, 201, "scripts label JSON so")

    def test_injection_strings_are_values(self):
        for text in ("'; DROP TABLE certificate_profiles; --", "$1", "%s%n", "\\", '{"a":1}', "{NULL}", "NULL", "\u202e", "<script>", "a\"b'c"):
            with self.subTest(text):
                name = f"{text} {uuid.uuid4()}"
                body = self.new(name=name, description=text + "\n\t", required_csr_attributes=[text], subject_policy={"fixed": {"title": "x" + text.strip("\u202e")}})
                self.assertEqual((body["name"], body["description"]), (name, text + "\n\t"))
                self.assertEqual((body["required_csr_attributes"], body["subject_policy"]), ([text], {"fixed": {"title": "x" + text.strip("\u202e")}}))
                self.assertEqual(self.good(f"/profiles/{body['id']}"), body)

    def test_put_merges(self):
        body = self.new(description="first", policy_oids=["1.2.3"], issuer_id="iss-local", required_san_patterns=["a", "b"], default_validity_days=7)
        path = f"/profiles/{body['id']}"
        answer = self.send("PUT", path, {"name": "", "description": None, "max_ttl_seconds": 86400, "required_san_patterns": [], "issuer_id": ""})
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.headers["ETag"], f'"{body["id"]}.2"')
        wanted = {**body, "max_ttl_seconds": 86400, "required_san_patterns": [], "updated_at": answer.json["updated_at"]}
        del wanted["issuer_id"]
        self.assertEqual(answer.json, wanted)
        self.assertEqual(self.events(body["id"])[-1][::3], ("update_profile", {"changes": [
            {"field": "max_ttl_seconds", "before": 0, "after": 86400}, {"field": "required_san_patterns", "before": ["a", "b"], "after": []},
            {"field": "issuer_id", "before": "iss-local", "after": None}]}))
        same = self.send("PUT", path, answer.json)
        self.assertEqual((same.status, same.headers["ETag"]), (200, f'"{body["id"]}.2"'))
        self.assertNotIn("X-Certctl-Ignored", same.headers, "what repeats what is stored says nothing")
        self.assertEqual(len(self.events(body["id"])), 2, "what changes nothing leaves no row")

    def test_patch(self):
        body = self.new(policy_oids=["1.2.3"], default_validity_days=7, must_staple=True,
                        subject_policy={"fixed": {"title": "b", "surname": "c"}, "required": ["commonName"]})
        path = f"/profiles/{body['id']}"
        answer = self.send("PATCH", path, {"policy_oids": None, "must_staple": None,
                                             "subject_policy": {"fixed": {"title": None, "localityName": "e"}}},
                           Content_Type="application/merge-patch+json")
        self.assertEqual(answer.status, 200, answer)
        self.assertEqual(answer.json["subject_policy"], {"fixed": {"surname": "c", "localityName": "e"}, "required": ["commonName"]})
        self.assertNotIn("policy_oids", answer.json)
        self.assertEqual((answer.json["must_staple"], answer.json["default_validity_days"]), (False, 7))

    def test_acme_settings(self):
        """POST and PUT say all of them, PATCH some, null none; the diff tells what changed."""
        everything = {"eab_required": True, "challenge_types": ["dns-01", "dns-account-01", "dns-persist-01"], "identifier_types": ["dns"], "allow_wildcard": True,
                      "allow_single_label": False, "preauthorization": False, "authz_reuse": False, "caa": "on", "selectable_profiles": ["prof-test"],
                      "resolver": "192.0.2.53:5353, [2001:db8::53]", "require_mtls": False, "perspectives_required": 0}
        body = self.new(acme_auth_mode="challenge", acme={**everything, "resolver": None})
        del everything["resolver"]
        path = f"/profiles/{body['id']}"
        self.assertEqual(body["acme"], everything)
        self.assertEqual(self.send("PUT", path, body).headers["ETag"], f'"{body["id"]}.1"', "what repeats what is stored changes nothing")
        patched = self.send("PATCH", path, {"acme": {"caa": None, "resolver": "recursive"}}, If_Match=f'"{body["id"]}.1"')
        self.assertEqual((patched.status, patched.headers["ETag"]), (200, f'"{body["id"]}.2"'), patched)
        wanted = {key: value for key, value in {**everything, "resolver": "recursive"}.items() if key != "caa"}
        self.assertEqual(patched.json["acme"], wanted)
        self.assertEqual(self.events(body["id"])[-1][::3],
                         ("update_profile", {"changes": [{"field": "acme", "before": everything, "after": wanted}]}))
        late = self.send("PATCH", path, {"acme": {"caa": "off"}}, If_Match=f'"{body["id"]}.1"')
        self.assertRefused(late, 412, "precondition_failed")
        mode = self.send("PATCH", path, {"acme": {"challenge_types": ["http-01"], "allow_wildcard": None, "identifier_types": ["ip"]}})
        self.assertEqual(mode.json["acme"]["identifier_types"], ["ip"], mode)
        self.assertProblems(self.send("PATCH", path, {"acme": {"challenge_types": ["dns-01"]}}),
                            ("acme.identifier_types", 'acme.identifier_types[0]: "ip" cannot be proved by any of acme.challenge_types'))
        replaced = self.send("PUT", path, {"acme": {"eab_required": True}})
        self.assertEqual(replaced.json["acme"], {"eab_required": True}, "PUT replaces what it names")
        self.assertEqual(self.send("PUT", path, {"acme": None}).json["acme"], {"eab_required": True}, "and keeps what it does not")
        cleared = self.send("PATCH", path, {"acme": None})
        self.assertNotIn("acme", cleared.json)
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM acme_profile_settings WHERE profile_id = '{body['id']}'"), "0")
        self.send("PUT", path, {"acme": {}})
        self.assertEqual(self.send("DELETE", path).status, 204, "settings go with their profile")

    def test_responders_follow_the_acme_settings(self):
        """The next order does, whatever its worker remembers."""
        path = f"/profiles/{self.new(issuer_id='iss-local')['id']}"
        profile = path.rsplit("/", 1)[1]
        first = self.client(profile)
        self.assertEqual(first.order("printer").status, 201, "a single label is allowed until it is forbidden")
        self.assertEqual(self.send("PATCH", path, {"acme": {"allow_single_label": False, "identifier_types": ["dns"]}}).status, 200)
        self.assertProblem(first.order("printer"), 400, "rejectedIdentifier")

    def test_ignored_members(self):
        lenient = self.send("POST", "/profiles", {"name": f"i {uuid.uuid4()}", "created_at": "2020-01-01T00:00:00Z", "Name": "x",
                                                  "renewal_window_days": 3, "a\r\nSet-Cookie: x": 1, "zero": None})
        self.assertEqual(lenient.status, 201)
        self.assertEqual(lenient.headers["X-Certctl-Ignored"], "created_at, Name, renewal_window_days")
        self.assertNotIn("Set-Cookie", lenient.headers)
        path = f"/profiles/{lenient.json['id']}"
        strict = self.send("PUT", path, {"Name": "x", "updated_at": "2020-01-01T00:00:00Z", "id": "prof-else", "created_at": lenient.json["created_at"]},
                           Prefer="handling=strict")
        self.assertProblems(strict, ("Name", 'unknown member "Name"'), ("updated_at", "updated_at cannot be set"), ("id", "id cannot be set"))
        answer = self.send("PUT", path, {"description": "x"}, Prefer="handling=strict")
        self.assertEqual((answer.status, answer.headers["Preference-Applied"]), (200, "handling=strict"))
        self.assertRefused(self.send("PUT", path + "?x=1", {"description": "y"}, Prefer="handling=strict"), 400, "invalid")
        days = self.new(max_validity_days=30)
        self.assertEqual(days["max_ttl_seconds"], 30 * 86400)
        self.assertEqual(self.new(max_validity_days=30, max_ttl_seconds=60)["max_ttl_seconds"], 60)

    def test_a_long_list_of_ignored_members_is_cut(self):
        """Told in full it outgrew what the web servers take for a head: 502 for what was done."""
        answer = self.send("POST", "/profiles", {"name": f"m {uuid.uuid4()}", **{f"unknown-member-{n:05}": n for n in range(3000)}})
        self.assertEqual(answer.status, 201, answer)
        told = answer.headers["X-Certctl-Ignored"].split(", ")
        self.assertEqual(told, [f"unknown-member-{n:05}" for n in range(len(told))])
        self.assertTrue(20 < len(told) < 100, told)

    def test_two_editors(self):
        body = self.new()
        path, tag = f"/profiles/{body['id']}", f'"{body["id"]}.1"'
        self.assertEqual(self.send("PUT", path, {"description": "one"}, If_Match=tag).status, 200)
        answer = self.send("PUT", path, {"description": "two"}, If_Match=tag)
        self.assertRefused(answer, 412, "precondition_failed",
                           f'Resource was changed by someone else; current version is "{body["id"]}.2"')
        self.assertRefused(self.send("DELETE", path, If_Match=tag), 412, "precondition_failed")
        self.assertRefused(self.send("PATCH", path, {"description": "two"}, If_Match=f'W/"{body["id"]}.2"'), 412, "precondition_failed")
        self.assertEqual(self.send("PATCH", path, {"description": "two"}, If_Match=f'"x", "{body["id"]}.2"').status, 200)
        self.assertEqual(self.send("PUT", path, {"description": "three"}).status, 200, "without a condition the last one wins")
        self.assertEqual(self.send("PUT", path, {"description": "four"}, If_Match="*").status, 200)

    def test_concurrent_puts_lose_nothing(self):
        """Each of ten editors sets a member of its own; with one tag exactly one of them wins."""
        body = self.new(subject_policy={})
        path = f"/profiles/{body['id']}"
        calls = [lambda n=n: self.send("PATCH", path, {"subject_policy": {"fixed": {f"1.2.3.{n}": str(n)}}}) for n in range(10)]
        self.assertEqual({answer.status for answer in self.at_once(calls)}, {200})
        answer = self.get(path)
        self.assertEqual(answer.json["subject_policy"], {"fixed": {f"1.2.3.{n}": str(n) for n in range(10)}})
        self.assertEqual(answer.headers["ETag"], f'"{body["id"]}.11"')
        self.assertEqual(len(self.events(body["id"])), 11)
        calls = [lambda n=n: self.send("PUT", path, {"description": f"d{n}"}, If_Match=answer.headers["ETag"]) for n in range(10)]
        self.assertEqual(sorted(one.status for one in self.at_once(calls)), [200] + [412] * 9)
        name = f"same {uuid.uuid4()}"
        calls = [lambda: self.send("POST", "/profiles", {"name": name}) for _ in range(6)]
        self.assertEqual(sorted(one.status for one in self.at_once(calls)), [201] + [409] * 5)

    def test_delete(self):
        body = self.new()
        path = f"/profiles/{body['id']}"
        answer = self.send("DELETE", path)
        self.assertEqual((answer.status, answer.body), (204, b""))
        self.assertRefused(self.send("DELETE", path), 404, "not_found", "Profile not found")
        self.assertRefused(self.send("PUT", path, {"name": "x"}), 404, "not_found", "Profile not found")
        self.assertEqual(self.events(body["id"])[-1][0], "delete_profile")
        self.assertRefused(self.send("DELETE", "/profiles/prof-test"), 409, "in_use")
        self.stack.sql(f"INSERT INTO renewal_policies (id, name, renewal_window_days, certificate_profile_id) VALUES ('rp-{body['id']}', '{body['id']}', 3, "
                       f"'{self.new(id=body['id'])['id']}')")
        self.assertRefused(self.send("DELETE", path), 409, "in_use", "Cannot delete profile: renewal policies still name it")
        named = f"/profiles/{self.new()['id']}"
        self.stack.sql("INSERT INTO issuance_approval_requests (id, approval_kind, profile_id, requested_by, state, decided_by, decided_at, payload, base_row_version) "
                       f"VALUES ('ar-{uuid.uuid4()}', 'profile_edit', '{named.rsplit('/', 1)[1]}', 'somebody', 'rejected', 'another', now(), '{{}}', 1)")
        self.assertRefused(self.send("DELETE", named), 409, "in_use", "Cannot delete profile: approvals still refer to it")

    def test_permissions(self):
        body = self.new()
        path = f"/profiles/{body['id']}"
        viewer = self.key("r-viewer")
        for method, target, sent in (("POST", "/profiles", {"name": "x"}), ("PUT", path, {}), ("PATCH", path, {}), ("DELETE", path, None)):
            with self.subTest(method):
                self.assertRefused(self.send(method, target, sent, key=viewer), 403, "forbidden")
        self.assertEqual(self.good(path), body)

    def test_scoped_grants(self):
        """Who may edit one profile edits that one, makes none, and deletes no other."""
        mine, other = self.new(), self.new()
        key, _, name = self.new_key("--role=r-operator")
        self.stack.sql(f"UPDATE actor_roles SET scope_type = 'profile', scope_id = '{mine['id']}' WHERE actor_id = '{name}'")
        self.assertEqual(self.send("PATCH", f"/profiles/{mine['id']}", {"description": "x"}, key=key).status, 200)
        for method, path in (("POST", "/profiles"), ("PUT", f"/profiles/{other['id']}"), ("PATCH", f"/profiles/{other['id']}")):
            with self.subTest(method):
                self.assertRefused(self.send(method, path, {"name": f"s {uuid.uuid4()}"}, key=key), 403, "forbidden")
        self.assertRefused(self.send("PUT", "/profiles/prof-none", {}, key=key), 404, "not_found")
        self.assertEqual(self.good(f"/profiles/{other['id']}"), other)


class Policy(ProfileTest):
    """A profile made over REST, an ACME order under it, a CSR: what is refused and what is issued."""

    def under(self, **members):
        """A client of a new profile."""
        profile = self.new(issuer_id="iss-local", **members)
        client = self.client(profile["id"])
        client.profile = profile
        return client

    def leaf(self, client, *names, key=None, **options):
        """Issued under the profile; without options as a plain client asks."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        order = client.order(*names)
        self.assertEqual(order.status, 201, order)
        done = client.finalize(order.json, csr(key, names, **options))
        self.assertEqual(done.status, 200, done)
        return x509.load_pem_x509_certificate(client.post(done.json["certificate"]).body)

    def assertOrderRefused(self, client, name, detail):
        answer = client.order(name)
        self.assertProblem(answer, 400, "rejectedIdentifier")
        self.assertIn(detail, json.dumps(answer.json["subproblems"]))

    def assertFinalizeRefused(self, client, kind, detail, *names, key=None, **options):
        order = client.order(*names)
        self.assertEqual(order.status, 201, order)
        answer = client.finalize(order.json, csr(key or ec.generate_private_key(ec.SECP256R1()), names, **options))
        self.assertProblem(answer, 400, kind, detail)

    def extension(self, leaf, oid):
        found = [one for one in leaf.extensions if one.oid.dotted_string == oid]
        return found[0] if found else None

    def test_keys(self):
        client = self.under(allowed_key_algorithms=[{"algorithm": "RSA", "min_size": 3072}, {"algorithm": "ECDSA", "min_size": 384}])
        self.assertFinalizeRefused(client, "badCSR", f'CSR key (ECDSA 256-bit) does not match any allowed algorithm in profile \\"{client.profile["name"]}'
                                   .replace("\\", ""), "keys.example")
        self.assertFinalizeRefused(client, "badCSR", "[RSA>=3072 ECDSA>=384]", "keys.example",
                                   key=rsa.generate_private_key(public_exponent=65537, key_size=2048))
        self.leaf(client, "keys.example", key=ec.generate_private_key(ec.SECP384R1()))
        self.leaf(client, "keys.example", key=rsa.generate_private_key(public_exponent=65537, key_size=3072))

    def test_names(self):
        client = self.under(required_san_patterns=["[a-z]+\\.corp\\.example"])
        for name in ("a.corp.example.evil.org", "xa.b.corp.example", "*.corp.example", "corp.example"):
            self.assertOrderRefused(client, name, "matches no name pattern of profile")
        self.leaf(client, "a.corp.example")
        client = self.under(allow_wildcards=False)
        self.assertOrderRefused(client, "*.example.org", "wildcard")
        client = self.under(allowed_san_types=["dns"])
        self.assertOrderRefused(client, "192.0.2.7", "this profile takes no identifiers of type ip")
        self.leaf(client, "types.example")

    def test_names_are_judged_when_the_certificate_is_made(self):
        """The order was good; meanwhile the profile is another."""
        for change, kind, detail in (
                ({"required_san_patterns": ["x\\.example"]}, "rejectedIdentifier", "matches no name pattern"),
                ({"allowed_san_types": ["ip"]}, "rejectedIdentifier", "is of type dns, which profile"),
                ({"allowed_key_algorithms": [{"algorithm": "RSA", "min_size": 2048}]}, "badCSR", "does not match any allowed algorithm"),
                ({"enabled": False}, "userActionRequired", "profile is disabled"),
                ({"subject_policy": {"required": ["organizationName"]}}, "rejectedIdentifier", "CSR Subject has no organizationName"),
                ({"max_ttl_seconds": 60}, "badCSR", "60 s")):
            with self.subTest(detail):
                client = self.under()
                order = client.order("later.example")
                self.assertEqual(order.status, 201, order)
                self.assertEqual(self.send("PATCH", f"/profiles/{client.profile['id']}", change).status, 200)
                answer = client.finalize(order.json, csr(ec.generate_private_key(ec.SECP256R1()), ["later.example"]))
                self.assertProblem(answer, 403 if kind == "userActionRequired" else 400, kind, detail)
                self.assertEqual(self.stack.value(f"SELECT status FROM acme_orders WHERE order_id = '{order.headers['Location'].rsplit('/', 1)[1]}'"),
                                 "ready", "another CSR may be good")

    def test_validity(self):
        """To the second; the backdate of a minute counts inside the limit."""
        for members, seconds in (({"max_ttl_seconds": 7200}, 7200), ({"default_validity_days": 2}, 2 * 86400 + 60),
                                 ({"default_validity_days": 2, "max_ttl_seconds": 86400}, 86400)):
            with self.subTest(members):
                leaf = self.leaf(self.under(**members), "ttl.example")
                self.assertEqual((leaf.not_valid_after - leaf.not_valid_before).total_seconds(), seconds)

    def test_short_lived(self):
        leaf = self.leaf(self.under(allow_short_lived=True, max_ttl_seconds=900), "short.example")
        self.assertIsNotNone(self.extension(leaf, "2.5.29.56"), "noRevAvail, RFC 9608")
        self.assertIsNone(self.extension(leaf, "2.5.29.31"), "no CRL")
        access = self.extension(leaf, "1.3.6.1.5.5.7.1.1")
        if access:
            self.assertNotIn("1.3.6.1.5.5.7.48.1", [one.access_method.dotted_string for one in access.value])
        self.assertEqual((leaf.not_valid_after - leaf.not_valid_before).total_seconds(), 900)

    def test_extensions(self):
        leaf = self.leaf(self.under(must_staple=True, policy_oids=["1.3.6.1.4.1.99999.7", "2.23.140.1.2.1"]), "ext.example")
        self.assertIsNotNone(self.extension(leaf, "1.3.6.1.5.5.7.1.24"))
        self.assertEqual([one.policy_identifier.dotted_string for one in self.extension(leaf, "2.5.29.32").value],
                         ["1.3.6.1.4.1.99999.7", "2.23.140.1.2.1"])
        self.assertIsNone(self.extension(leaf, "2.5.29.56"))

    def test_usages(self):
        for ekus, wanted, critical, commits in (
                ([], [EKU.SERVER_AUTH, EKU.CLIENT_AUTH], False, False), (["clientAuth"], [EKU.CLIENT_AUTH], False, False),
                (["emailProtection", "clientAuth"], [EKU.CLIENT_AUTH, EKU.EMAIL_PROTECTION], False, True),
                (["codeSigning"], [EKU.CODE_SIGNING], False, False), (["timeStamping"], [EKU.TIME_STAMPING], True, False)):
            with self.subTest(ekus):
                leaf = self.leaf(self.under(allowed_ekus=ekus), "eku.example")
                found = leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage)
                self.assertEqual((list(found.value), found.critical), (wanted, critical))
                usage = leaf.extensions.get_extension_for_class(x509.KeyUsage).value
                self.assertEqual((usage.digital_signature, usage.content_commitment, usage.key_encipherment), (True, commits, False))

    def test_spiffe_is_minted(self):
        leaf = self.leaf(self.under(spiffe_uri_pattern="spiffe://example.org/ns/shop/sa/web"), "mint.example")
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.UniformResourceIdentifier), ["spiffe://example.org/ns/shop/sa/web"])
        self.assertEqual(names.get_values_for_type(x509.DNSName), ["mint.example"])
        leaf = self.leaf(self.under(spiffe_uri_pattern="spiffe://example.org/ns/*"), "mint.example")
        names = leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
        self.assertEqual(names.get_values_for_type(x509.UniformResourceIdentifier), [])

    def test_subject(self):
        client = self.under(subject_policy={"fixed": {"organizationName": "Example Ltd", "countryName": "DE"}})
        leaf = self.leaf(client, "subject.example", common_name="subject.example")
        self.assertEqual([(one.oid, one.value) for one in leaf.subject], [
            (NameOID.COUNTRY_NAME, "DE"), (NameOID.ORGANIZATION_NAME, "Example Ltd"), (NameOID.COMMON_NAME, "subject.example")])
        leaf = self.leaf(self.under(subject_policy={"allowed": []}), "subject.example", common_name="subject.example")
        self.assertEqual(list(leaf.subject), [])
        self.assertTrue(leaf.extensions.get_extension_for_class(x509.SubjectAlternativeName).critical, "RFC 5280 section 4.2.1.6")

    def test_sha1(self):
        key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
        self.assertFinalizeRefused(self.under(), "badCSR", "SHA1", "sha1.example", key=key, digest=hashes.SHA1())
        self.leaf(self.under(allow_sha1_csr=True), "sha1.example", key=key, digest=hashes.SHA1())
