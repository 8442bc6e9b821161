"""The REST API: who is let in, what is listed, and what nobody gets to see."""
import hashlib
import json
import os
import re
import subprocess
import unittest
import urllib.parse

import yaml

from acme_client import Answer
from case import ProtocolTest
from stack import TOP
from test_routes import fcgi

ROWS = 1203

INVENTORY = f"""
INSERT INTO teams (id, name) VALUES ('t-walk', 'Walkers') ON CONFLICT DO NOTHING;
INSERT INTO owners (id, name, team_id) VALUES ('o-walk', 'Walker', 't-walk') ON CONFLICT DO NOTHING;
INSERT INTO agents (id, name, hostname) VALUES ('agent-walk', 'walk', 'walk.example') ON CONFLICT DO NOTHING;
INSERT INTO deployment_targets (id, name, type, agent_id) VALUES ('tgt-walk', 'walk', 'NGINX', 'agent-walk') ON CONFLICT DO NOTHING;
INSERT INTO managed_certificates (id, name, common_name, sans, environment, owner_id, team_id, issuer_id, renewal_policy_id,
    certificate_profile_id, status, source, expires_at, tags, created_at, updated_at)
SELECT 'mc-walk-' || n, 'walk ' || (n % 7) || ' ' || n, 'walk' || (n % 11) || '.example', ARRAY['san' || n || '.example'], 'walk', 'o-walk',
       't-walk', 'iss-local', 'rp-none', CASE n % 2 WHEN 0 THEN 'prof-test' ELSE 'prof-internal' END,
       CASE n % 3 WHEN 0 THEN 'Active' WHEN 1 THEN 'Pending' ELSE 'Expired' END, CASE n % 3 WHEN 0 THEN 'API' ELSE '' END,
       CASE n % 5 WHEN 0 THEN NULL ELSE timestamptz '2027-01-01' + (n % 13) * interval '1 day' END,
       jsonb_build_object('n', (n % 4)::text, 'odd', chr(39) || n),
       timestamptz '2026-01-01 00:00:00.123456+00' + (n % 9) * interval '1 hour', now()
  FROM generate_series(1, {ROWS}) n ON CONFLICT DO NOTHING;
INSERT INTO certificate_target_mappings (certificate_id, target_id) VALUES ('mc-walk-5', 'tgt-walk') ON CONFLICT DO NOTHING;
INSERT INTO certificate_versions (id, certificate_id, issuer_id, serial_number, not_before, not_after, fingerprint_sha256, pem_chain, created_at)
SELECT 'cv-walk-' || n, 'mc-walk-1', 'iss-local', 'abc' || n, now(), now() + interval '1 day', encode(sha256(n::text::bytea), 'hex'),
       'pem', now() + n * interval '1 minute' FROM generate_series(1, 3) n ON CONFLICT DO NOTHING;
"""


class ApiTest(ProtocolTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack.sql(INVENTORY)
        cls.keys = {}

    def setUp(self):
        self.raw = self.client(register=False).raw

    def admin(self, *arguments, check=True):
        """certctl-admin as root on the host, with the settings of the stack."""
        with open(os.path.join(self.stack.dir, "certctl.env"), encoding="utf-8") as source:
            env = dict(line.rstrip("\n").split("=", 1) for line in source if re.match(r"[A-Z_]+=", line))
        done = subprocess.run([os.path.join(self.stack.dir, "bin", "certctl-admin"), *arguments], text=True, cwd="/", check=False,
                              env={**env, "PATH": "/usr/bin:/bin", "LC_ALL": "C.UTF-8"}, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        if check and done.returncode != 0:
            raise AssertionError(f"certctl-admin {arguments}: {done.stderr}")
        return done

    def new_key(self, *options):
        """The key, its id and its name."""
        done = self.admin("key", "new", *options)
        found = re.match(r"(ak-\w{26}), name ([\w-]+), role", done.stderr)
        return done.stdout.strip(), found.group(1), found.group(2)

    def key(self, role="r-admin"):
        if role not in self.keys:
            type(self).keys[role] = self.new_key(f"--role={role}")
        return self.keys[role][0]

    def get(self, path, key=None, method="GET", **headers):
        """Underscores of header names are hyphens."""
        sent = {name.replace("_", "-"): value for name, value in headers.items()}
        sent["Authorization"] = f"Bearer {key or self.key()}"
        return self.raw(method, "/api/v1" + path, headers=sent)

    def send(self, method, path, body=None, key=None, **headers):
        """A body that is no bytes is sent as JSON."""
        sent = {"Content-Type": "application/json", "Authorization": f"Bearer {key or self.key()}"}
        sent.update((name.replace("_", "-"), value) for name, value in headers.items())
        if body is not None and not isinstance(body, bytes):
            body = json.dumps(body).encode()
        return self.raw(method, "/api/v1" + path, body, sent)

    def good(self, path, **options):
        answer = self.get(path, **options)
        self.assertEqual(answer.status, 200, answer)
        return answer.json

    def assertRefused(self, answer, status, code, message=None):
        self.assertEqual(answer.status, status, answer)
        self.assertEqual(answer.headers["Content-Type"], "application/json")
        body = answer.json
        for member in ("error", "message", "request_id", "code"):
            self.assertIsInstance(body[member], str, body)
        self.assertEqual(body["code"], code, body)
        self.assertEqual(body["request_id"], answer.headers["X-Request-ID"])
        self.assertNotRegex(answer.body.decode(), r"SELECT|INSERT|api_certificates|\.c:|/var/|SQLSTATE")
        if message:
            self.assertEqual(body["message"], message)
        if status in (401, 403, 429):
            self.assertEqual(body["error"], body["message"])

    def log_line(self, answer):
        return self.stack.requests("api", [answer])[0]

    def direct(self, path, address, authorization=None, **params):
        """Over the socket with the edge key, from any address."""
        with open(os.path.join(self.stack.dir, "secrets", "edge.nginx"), encoding="utf-8") as source:
            edge = source.read().split()[-1].rstrip(";")
        sent = {"REQUEST_METHOD": "GET", "REQUEST_URI": "/api/v1" + path, "CERTCTL_SURFACE": "api", "HTTPS": "on",
                "REQUEST_SCHEME": "https", "SERVER_NAME": "localhost", "REMOTE_ADDR": address, "CERTCTL_EDGE_KEY": edge, **params}
        if authorization:
            sent["HTTP_AUTHORIZATION"] = authorization
        head, body = fcgi(os.path.join(self.stack.dir, "run", "api.sock"), sent)
        headers = dict(line.split(": ", 1) for line in head.split("\r\n"))
        return Answer(int(headers["Status"][:3]), headers, body)


class Lists(ApiTest):

    def test_page(self):
        first = self.good("/certificates?environment=walk")
        self.assertEqual((first["total"], first["page"], first["per_page"], len(first["data"])), (ROWS, 1, 50, 50))
        self.assertEqual(list(first), ["data", "total", "page", "per_page"])
        last = self.good("/certificates?environment=walk&per_page=500&page=3")
        self.assertEqual(len(last["data"]), ROWS - 1000)
        beyond = self.good("/certificates?environment=walk&per_page=500&page=4")
        self.assertEqual((beyond["data"], beyond["total"]), ([], ROWS))
        clamped = self.good("/certificates?environment=walk&per_page=501&page=zero")
        self.assertEqual((clamped["page"], clamped["per_page"], len(clamped["data"])), (1, 500, 500))

    def test_object(self):
        body = self.good("/certificates/mc-walk-5")
        self.assertEqual(list(body), ["id", "name", "common_name", "sans", "environment", "owner_id", "team_id", "issuer_id",
                                      "target_ids", "renewal_policy_id", "certificate_profile_id", "status", "expires_at", "tags",
                                      "created_at", "updated_at"])
        self.assertEqual(body["expires_at"], "0001-01-01T00:00:00Z")
        self.assertEqual(body["created_at"], "2026-01-01T05:00:00.123456Z")
        self.assertEqual((body["target_ids"], body["tags"]), (["tgt-walk"], {"n": "1", "odd": "'5"}))
        self.assertEqual(self.good("/certificates/mc-walk-3")["source"], "API")
        self.assertEqual(self.good("/certificates/mc-walk-3")["expires_at"], "2027-01-04T00:00:00Z")

    def test_link_leads_to_the_next_page(self):
        answer = self.get("/certificates?per_page=400&q=walk%200%20")
        self.assertNotIn("Link", answer.headers, "there is no next page")
        answer = self.get("/certificates?environment=walk&per_page=1&tag.n=1&x=%3E;%20rel%3Devil")
        self.assertEqual(answer.headers["Link"], '</api/v1/certificates?environment=walk&per_page=1&tag.n=1&x=%3E%3B%20rel%3Devil&page=2>; rel="next"')
        seen, path = set(), "/certificates?environment=walk&per_page=400&q=walk"
        while path:
            answer = self.get(path)
            seen.update(row["id"] for row in answer.json["data"])
            link = answer.headers.get("Link")
            path = re.fullmatch(r'</api/v1(.*)>; rel="next"', link).group(1) if link else None
        self.assertEqual(len(seen), ROWS)

    def test_a_long_question_is_answered(self):
        """Its Link is left out where it would be longer than what the web servers take for a head."""
        for size, linked in ((1200, True), (2500, False)):
            answer = self.get("/certificates?environment=walk&per_page=1&x=" + "%C3%A9" * (size // 2))
            self.assertEqual((answer.status, "Link" in answer.headers), (200, linked), (size, answer))
            self.assertEqual(answer.json["total"], ROWS)

    def test_filters(self):
        every = {"environment": "walk"}
        for about, more, count in (
                ("status in any case", {"status": "aCTIVE"}, ROWS // 3), ("nothing chosen", {"status": ""}, ROWS),
                ("owner", {"owner_id": "o-walk"}, ROWS), ("an owner who is not", {"owner_id": "o-nobody"}, 0),
                ("team", {"team_id": "t-walk"}, ROWS), ("issuer", {"issuer_id": "iss-local"}, ROWS),
                ("profile", {"profile_id": "prof-test"}, ROWS // 2), ("source", {"source": "api"}, ROWS // 3),
                ("agent", {"agent_id": "agent-walk"}, 1), ("another agent", {"agent_id": "server-scanner"}, 0),
                ("expires before, unissued ones are not", {"expires_before": "2027-01-02"}, sum(n % 5 > 0 and n % 13 == 0 for n in range(1, ROWS + 1))),
                ("expires after", {"expires_after": "2027-01-12T00:00:00Z"}, sum(n % 5 > 0 and n % 13 == 12 for n in range(1, ROWS + 1))),
                ("created before", {"created_before": "2026-01-01T01:00:00Z"}, sum(n % 9 == 0 for n in range(1, ROWS + 1))),
                ("created after, with an offset", {"created_after": "2026-01-01T10:00:00+02:00"}, sum(n % 9 == 8 for n in range(1, ROWS + 1))),
                ("updated after", {"updated_after": "2020-01-01"}, ROWS),
                ("a tag", {"tag.n": "3"}, sum(n % 4 == 3 for n in range(1, ROWS + 1))),
                ("two tags", {"tag.n": "1", "tag.odd": "'5"}, 1), ("part of a SAN", {"q": "SAN77.ex"}, 1),
                ("part of a name", {"q": "walk 6 6"}, sum(f"walk {n % 7} {n}".startswith("walk 6 6") for n in range(1, ROWS + 1))),
                ("two together", {"status": "Active", "profile_id": "prof-test"}, ROWS // 6),
                ("a percent sign is no wildcard", {"q": "%"}, 0), ("nor is an underscore", {"q": "walk_6"}, 0)):
            with self.subTest(about):
                body = self.good("/certificates?" + urllib.parse.urlencode({**every, **more, "per_page": "1"}))
                self.assertEqual(body["total"], count)

    def test_bad_filters(self):
        for query, field in (("status=Lost", "status"), ("source=CMP", "source"), ("owner_id=o%27", "owner_id"),
                             ("expires_before=soon", "expires_before"), ("created_after=2026-02-30", "created_after"),
                             ("sort=nonsense", "sort"), ("sort=id", "sort"), ("sort_desc=2", "sort_desc"), ("page=20001", "page")):
            with self.subTest(query):
                answer = self.get("/certificates?" + query)
                self.assertRefused(answer, 400, "invalid")
                self.assertEqual(answer.json["details"][0]["field"], field)
        self.assertRefused(self.get("/certificates?expires_before=x"), 400, "invalid",
                           "`expires_before` must be RFC3339 (e.g. 2026-04-01T00:00:00Z)")
        self.assertRefused(self.get("/certificates?sort=x"), 400, "invalid", "invalid sort field")
        self.assertRefused(self.get("/certificates?page=20001"), 400, "invalid", "page too deep; use cursor pagination")
        self.assertRefused(self.get("/certificates?status=Active&status=Active"), 400, "malformed", "duplicate query parameter")
        self.assertRefused(self.get("/certificates?q=%FF"), 400, "malformed")

    def test_strict(self):
        for path in ("/certificates?stauts=Active", "/certificates?per_page=501", "/certificates?page=x",
                     "/certificates?fields=id,nonsense", "/issuers/iss-local?x=1"):
            with self.subTest(path):
                lenient = self.get(path)
                self.assertEqual(lenient.status, 200)
                self.assertNotIn("Preference-Applied", lenient.headers)
                self.assertRefused(self.get(path, Prefer="handling=strict"), 400, "invalid")
        self.assertEqual(self.get("/certificates?stauts=Active").headers["X-Certctl-Ignored"], "stauts")
        self.assertEqual(self.get("/certificates", Prefer="handling=strict").headers["Preference-Applied"], "handling=strict")

    def test_sort(self):
        keys = {"createdAt": "created_at", "-created_at": "created_at", "notAfter": "expires_at", "-expires_at": "expires_at",
                "updatedAt": "updated_at", "commonName": "common_name", "-name": "name", "status": "status", "environment": "environment"}
        for sort, member in keys.items():
            with self.subTest(sort):
                rows = self.good(f"/certificates?environment=walk&per_page=500&sort={sort}")["data"]
                never = "0001-01-01T00:00:00Z"  # not issued: sorted as the last to expire
                pairs = [("9" if member == "expires_at" and row[member] == never else row[member], row["id"]) for row in rows]
                self.assertEqual(pairs, sorted(pairs, reverse=sort.startswith("-")))
        self.assertEqual(self.good("/certificates?sort=name&sort_desc=true&per_page=3"), self.good("/certificates?sort=-name&per_page=3"))

    def test_cursor_walk(self):
        for query in ("", "&sort=-expiresAt", "&sort=name", "&sort=status&status=Active", "&sort=-common_name&tag.n=1"):
            with self.subTest(query):
                walked, cursor, sizes = [], "", []
                while cursor is not None:
                    body = self.good(f"/certificates?environment=walk&page_size=197{query}&cursor={cursor}&fields=name")
                    self.assertNotIn("page", body)
                    walked += [row["id"] for row in body["data"]]
                    sizes.append((len(body["data"]), body["total"], body["page_size"]))
                    cursor = body.get("next_cursor")
                paged = []
                for page in range(1, 5):
                    paged += [row["id"] for row in self.good(f"/certificates?environment=walk&per_page=500{query}&page={page}")["data"]]
                self.assertEqual(walked, paged)
                self.assertEqual(len(set(walked)), len(walked))
                self.assertEqual({total for _, total, _ in sizes}, {len(walked)})
                self.assertTrue(all(size == 197 for size, _, _ in sizes[:-1]), sizes)

    def test_a_walk_is_not_disturbed(self):
        """Rows that come before the place where the walk stands shift no later one."""
        first = self.good("/certificates?environment=walk&limit=500&sort=name&cursor=")
        self.stack.sql("INSERT INTO managed_certificates SELECT (jsonb_populate_record(m, '{\"id\":\"mc-early\",\"name\":\"aaa\"}')).* "
                       "FROM managed_certificates m WHERE id = 'mc-walk-1'")
        self.addCleanup(self.stack.sql, "DELETE FROM managed_certificates WHERE id = 'mc-early'")
        second = self.good(f"/certificates?environment=walk&limit=500&sort=name&cursor={first['next_cursor']}")
        self.assertFalse({row["id"] for row in first["data"]} & {row["id"] for row in second["data"]})
        self.assertEqual(second["total"], ROWS)

    def test_bad_cursors(self):
        cursor = self.good("/certificates?environment=walk&cursor=&limit=1")["next_cursor"]
        for broken in ("x", cursor[:-3], cursor + "AA", "a" * 4000, cursor.swapcase()):
            self.assertRefused(self.get(f"/certificates?environment=walk&cursor={broken}"), 400, "malformed", "invalid cursor")
        for query in ("environment=other", "environment=walk&sort=name", "environment=walk&sort_desc=true", ""):
            self.assertRefused(self.get(f"/certificates?{query}&cursor={cursor}"), 400, "malformed", "cursor does not match this query")

    def test_sparse_fields(self):
        body = self.good("/certificates?environment=walk&per_page=1&fields=commonName,notAfter,tags,nonsense")
        self.assertEqual(list(body["data"][0]), ["id", "common_name", "expires_at", "tags"])
        self.assertEqual(list(self.good("/profiles?fields=name")["data"][0]), ["id", "name"])
        self.assertEqual(list(self.good("/certificates/mc-walk-1/versions?fields=serialNumber")["data"][0]), ["id", "serial_number"])

    def test_conditional(self):
        for path in ("/certificates?environment=walk", "/certificates/mc-walk-1", "/issuers/iss-local", "/profiles/prof-test"):
            with self.subTest(path):
                first = self.get(path)
                tag = first.headers["ETag"]
                self.assertEqual(first.headers["Cache-Control"], "private, no-cache")
                self.assertLessEqual({"Authorization", "Cookie"}, set(first.elements("Vary")))
                for told in (tag, f'W/{tag}', f'"x", {tag}', "*"):
                    again = self.get(path, If_None_Match=told)
                    self.assertEqual((again.status, again.body, again.headers["ETag"]), (304, b"", tag))
                    self.assertNotIn("Content-Type", again.headers)
                self.assertEqual(self.get(path, If_None_Match='"x"').status, 200)
        tag = self.get("/certificates?environment=walk").headers["ETag"]
        body = self.get("/certificates?environment=walk").body
        self.assertEqual(tag, '"' + hashlib.sha256(body).hexdigest() + '"')
        before = self.get("/certificates/mc-walk-2").headers["ETag"]
        self.stack.sql("UPDATE managed_certificates SET environment = 'walk', tags = tags || '{\"new\":\"1\"}' WHERE id = 'mc-walk-2'")
        self.assertEqual(self.get("/certificates/mc-walk-2", If_None_Match=before).status, 200)
        self.assertNotIn("ETag", self.get("/issuers").headers)
        self.assertEqual(self.get("/issuers").headers["Cache-Control"], "no-store")

    def test_versions(self):
        body = self.good("/certificates/mc-walk-1/versions")
        self.assertEqual([row["id"] for row in body["data"]], ["cv-walk-3", "cv-walk-2", "cv-walk-1"])
        self.assertEqual(list(body["data"][0]), ["id", "certificate_id", "serial_number", "not_before", "not_after",
                                                 "fingerprint_sha256", "pem_chain", "csr_pem", "created_at", "ca_id"])
        self.assertEqual(self.good("/certificates/mc-walk-2/versions"), {"data": [], "total": 0, "page": 1, "per_page": 50})
        self.assertRefused(self.get("/certificates/mc-none/versions"), 404, "not_found", "Certificate not found")
        self.assertEqual(self.good("/certificates/mc-walk-1/versions?per_page=2&page=2")["data"][0]["id"], "cv-walk-1")

    def test_what_acme_issued_is_here(self):
        chain, _ = self.client().obtain("listed.example.org")
        found = self.good("/certificates?q=listed.example.org")["data"]
        self.assertEqual([row["sans"] for row in found], [["listed.example.org"]])
        version = self.good(f"/certificates/{found[0]['id']}/versions")["data"][0]
        self.assertEqual(version["pem_chain"].split("-----END")[0], chain.split("-----END")[0])
        self.assertEqual((version["key_algorithm"], version["key_size"]), ("ECDSA", 256))

    def test_catalogues(self):
        profiles = self.good("/profiles?per_page=2")
        self.assertEqual((profiles["per_page"], profiles["total"]), (500, len(profiles["data"])))
        names = [row["name"] for row in profiles["data"]]
        self.assertEqual(names, sorted(names))
        self.assertEqual([row["id"] for row in self.good("/issuers?q=LOCAL")["data"]], ["iss-local"])
        self.assertEqual(self.good("/issuers?q=nothing")["total"], 0)
        test = self.good("/profiles/prof-test")
        self.assertEqual((test["max_ttl_seconds"], test["allowed_ekus"], test["enabled"]), (7776000, ["serverAuth"], True))
        self.assertNotIn("requires_approval", test)

    def test_unknown_and_impossible_ids(self):
        for path, label in (("/certificates/", "Certificate"), ("/issuers/", "Issuer"), ("/profiles/", "Profile")):
            self.assertRefused(self.get(path + "nope"), 404, "not_found", f"{label} not found")
            for bad in ("a%20b", "a'b", "a%25", "x" * 129):
                self.assertRefused(self.get(path + bad), 400, "invalid", f"{label} ID is invalid")
            self.assertRefused(self.get(path), 404, "not_found")
        self.assertRefused(self.get("/nothing"), 404, "not_found")

    def test_methods(self):
        for method in ("POST", "PUT", "PATCH", "DELETE"):
            answer = self.get("/certificates", method=method)
            self.assertRefused(answer, 405, "method_not_allowed")
            self.assertEqual(answer.headers["Allow"], "GET, HEAD, OPTIONS")
        answer = self.raw("OPTIONS", "/api/v1/certificates")
        self.assertEqual((answer.status, answer.body, answer.headers["Allow"]), (204, b"", "GET, HEAD, OPTIONS"))
        self.assertNotIn("Access-Control-Allow-Origin", answer.headers)

    def test_cors(self):
        ours = self.get("/issuers", Origin="https://console.example")
        self.assertEqual(ours.headers["Access-Control-Allow-Origin"], "https://console.example")
        self.assertEqual(ours.headers["Access-Control-Allow-Credentials"], "true")
        self.assertIn("ETag", ours.headers["Access-Control-Expose-Headers"])
        for origin in ("https://console.example.evil.example", "http://console.example", "null", "*", ""):
            answer = self.get("/issuers", Origin=origin)
            self.assertEqual(answer.status, 200)
            self.assertFalse([name for name in answer.headers if name.startswith("Access-Control")], origin)
            self.assertIn("Origin", answer.elements("Vary"))
        preflight = self.raw("OPTIONS", "/api/v1/issuers", headers={"Origin": "https://console.example"})
        self.assertEqual((preflight.status, preflight.headers["Access-Control-Max-Age"]), (204, "86400"))
        self.assertIn("If-None-Match", preflight.headers["Access-Control-Allow-Headers"])

    def test_head_equals_get(self):
        for path in ("/certificates?environment=walk", "/certificates/mc-walk-1", "/issuers", "/certificates/nope", "/certificates?sort=x"):
            with self.subTest(path):
                get, head = self.get(path), self.get(path, method="HEAD")
                self.assertEqual((head.status, head.body), (get.status, b""))
                for name in ("Content-Length", "Content-Type", "ETag", "Cache-Control", "Link", "Vary"):
                    self.assertEqual(head.headers[name], get.headers[name], name)

    def test_injection(self):
        before = self.stack.value("SELECT count(*) FROM managed_certificates")
        evil = ["'; DROP TABLE managed_certificates; --", "' OR '1'='1", "1) UNION SELECT key_hash FROM api_keys --", "$1", "\\", "%27%22",
                "v.id", "{\"a\":1}", "')::jsonb || (SELECT 1", "a\u2028b", "pg_sleep(5)", "%s%n"]
        names = ["status", "environment", "owner_id", "team_id", "issuer_id", "agent_id", "profile_id", "source", "expires_before",
                 "expires_after", "created_after", "created_before", "updated_after", "tag.x", "q", "sort", "sort_desc", "fields", "page",
                 "per_page", "cursor", "limit", "page_size"]
        for text in evil:
            for name in names:
                answer = self.get("/certificates?" + urllib.parse.urlencode({name: text, "per_page" if name != "per_page" else "x": "1"}))
                self.assertIn(answer.status, (200, 400), (name, text, answer))
                if name in ("environment", "q", "tag.x"):
                    self.assertEqual((answer.status, answer.json["total"]), (200, 0), (name, text))
            for path in (f"/certificates?{urllib.parse.quote(text)}=1", f"/certificates?tag.{urllib.parse.quote(text)}=1"):
                self.assertIn(self.get(path).status, (200, 400), path)
            self.assertIn(self.get(f"/certificates/{urllib.parse.quote(text, safe='')}").status, (400, 404), text)
        self.assertEqual(self.stack.value("SELECT count(*) FROM managed_certificates"), before)

    def test_one_admission_and_one_query(self):
        for path in ("/certificates", "/certificates?cursor=&limit=1&sort=name", "/certificates/mc-walk-1", "/certificates/mc-walk-1/versions",
                     "/issuers", "/profiles/prof-test"):
            with self.subTest(path):
                lines = [self.log_line(answer) for answer in [self.get(path) for _ in range(12)]]
                costs = sorted((line["db_round_trips"], line["db_commits"]) for line in lines)
                # Each of two workers may need more once, when it prepares or takes its map; which of them answers is chance.
                self.assertEqual(costs[:10], [(2, 2)] * 10, costs)

    def test_issuer_secrets_are_not_shown(self):
        config = {"addr": "https://vault.example", "token": "s3cr3t-token", "nested": {"client_secret": "s3cr3t-client", "list": [{"password": "s3cr3t-p"}]},
                  "key_path": "/etc/key.pem", "kid_id": "k1", "hmacKey": "s3cr3t-hmac", "nothing": None,
                  "pem": "-----BEGIN PRIVATE KEY-----\ns3cr3t-pem\n", "proxy": "http://me:s3cr3t-url@proxy.example"}
        self.stack.sql("INSERT INTO issuers (id, name, type, config, encrypted_config) VALUES ('iss-secret', 'Secret', 'VaultPKI', "
                       f"'{json.dumps(config)}', 's3cr3t-sealed') ON CONFLICT DO NOTHING")
        self.addCleanup(self.stack.sql, "DELETE FROM issuers WHERE id = 'iss-secret'")
        shown = self.get("/issuers/iss-secret")
        self.assertEqual(shown.json["config"], {
            "addr": "https://vault.example", "token": "********", "nested": {"client_secret": "********", "list": [{"password": "********"}]},
            "key_path": "/etc/key.pem", "kid_id": "k1", "hmacKey": "********", "nothing": None, "pem": "********", "proxy": "********"})
        for path in ("/issuers/iss-secret", "/issuers", "/issuers?q=secret", "/issuers?fields=config,encrypted_config"):
            answer = self.get(path)
            self.assertEqual(answer.status, 200)
            self.assertNotRegex(answer.body.decode(), "s3cr3t|encrypted|key_hash")
            self.assertNotIn(self.key().encode(), answer.body)


class Refusals(ApiTest):

    def refused_row(self, reason, action="auth.request_refused"):
        return int(self.stack.value(f"SELECT coalesce(sum(count), 0) FROM audit_refusals WHERE action = '{action}' AND reason = '{reason}'"))

    def test_no_credentials(self):
        challenge = 'Bearer realm="certctl"'
        before = self.refused_row("none")
        answer = self.raw("GET", "/api/v1/certificates")
        self.assertRefused(answer, 401, "unauthenticated", "Authorization header required")
        self.assertEqual(answer.headers["WWW-Authenticate"], challenge)
        self.assertEqual(answer.headers["Cache-Control"], "no-store")
        self.assertEqual(self.refused_row("none"), before + 1)
        for header in ("Basic YTpi", "Bearer", "Bearer ", self.key()):
            answer = self.raw("GET", "/api/v1/certificates", headers={"Authorization": header})
            self.assertRefused(answer, 401, "unauthenticated", "Invalid Authorization header format, expected: Bearer <token>")
            self.assertEqual(answer.headers["WWW-Authenticate"], challenge)
        self.assertEqual(self.raw("GET", "/api/v1/issuers", headers={"Authorization": f"bEARER {self.key()}"}).status, 200)

    def test_unknown_key(self):
        for number, key in enumerate(("cck_" + "A" * 49, "x", "' OR 1=1 --", "é", self.key()[:-1], self.key() + "x")):
            answer = self.direct("/certificates", f"198.51.100.{number}", f"Bearer {key}")
            self.assertRefused(answer, 401, "unauthenticated", "Invalid API key")
            self.assertEqual(answer.headers["WWW-Authenticate"], 'Bearer realm="certctl", error="invalid_token"')

    def test_a_key_in_the_query_is_not_read(self):
        for name in ("api_key", "token", "access_token"):
            answer = self.raw("GET", f"/api/v1/certificates?{name}={self.key()}")
            self.assertRefused(answer, 400, "malformed")
            self.assertNotIn(self.key().encode(), answer.body)

    def test_revoked_and_expired_keys(self):
        for verdict in ("revoked", "expired"):
            with self.subTest(verdict):
                key, key_id, name = self.new_key("--role=r-viewer", "--expires=1h")
                self.assertEqual(self.get("/issuers", key=key).status, 200)
                if verdict == "revoked":
                    self.admin("key", "revoke", key_id)
                else:
                    self.stack.sql(f"UPDATE api_keys SET expires_at = now() - interval '1 s' WHERE id = '{key_id}'")
                answer = self.direct("/issuers", "198.51.100.20", f"Bearer {key}")
                self.assertRefused(answer, 401, "unauthenticated", "Invalid API key")
                self.assertEqual(self.stack.value("SELECT reason FROM audit_refusals WHERE action = 'auth.key_refused' "
                                                  f"AND subject = '{name}'"), verdict)
                self.assertIn(f"{key_id}\t{name}\t{key[:12]}\tr-viewer\t{verdict}", self.admin("key", "list").stdout)

    def test_roles(self):
        for role, path, status in (("r-viewer", "/certificates", 200), ("r-viewer", "/issuers", 200), ("r-viewer", "/profiles", 200),
                                   ("r-auditor", "/certificates", 403), ("r-auditor", "/issuers/iss-local", 403),
                                   ("r-agent", "/profiles", 403), ("r-cli", "/certificates/mc-walk-1/versions", 200)):
            with self.subTest(f"{role} {path}"):
                answer = self.get(path, key=self.key(role))
                if status == 403:
                    self.assertRefused(answer, 403, "forbidden", "Insufficient permissions")
                else:
                    self.assertEqual(answer.status, status)

    def test_denied_is_audited(self):
        answer = self.get("/certificates?q=nothing-of-this", key=self.key("r-auditor"))
        self.assertEqual(answer.status, 403)
        where = f"request_id = '{answer.headers['X-Request-ID']}'"
        self.stack.wait(lambda: self.stack.value(f"SELECT count(*) FROM audit_events WHERE {where}") == "2", what="two rows")
        rows = self.stack.sql(f"SELECT action, actor, resource_id, details::text, host(source_ip) FROM audit_events WHERE {where} ORDER BY action")
        self.assertEqual([row[0] for row in rows], ["api_get", "auth.permission_denied"])
        for row in rows:
            self.assertEqual((row[1], row[2], row[4]), (self.keys["r-auditor"][2], "/api/v1/certificates", "127.0.0.1"))
        self.assertEqual(json.loads(rows[0][3])["status"], 403)
        self.assertEqual(json.loads(rows[1][3])["permission"], "cert.read")
        self.assertNotIn("nothing-of-this", str(rows))
        good = self.get("/certificates", key=self.key("r-viewer"))
        self.log_line(good)
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM audit_events WHERE request_id = '{good.headers['X-Request-ID']}'"), "0")

    def test_a_permission_that_is_taken_away(self):
        """On the next request of every worker, although each keeps a map of its own."""
        self.stack.sql("INSERT INTO roles (id, name) VALUES ('r-fleeting', 'fleeting') ON CONFLICT DO NOTHING;"
                       "INSERT INTO role_permissions (role_id, permission_id) VALUES ('r-fleeting', 'p-cert-read') ON CONFLICT DO NOTHING")
        key, _, name = self.new_key("--role=r-fleeting")
        for _ in range(6):
            self.assertEqual(self.get("/certificates", key=key).status, 200)
        self.stack.sql("DELETE FROM role_permissions WHERE role_id = 'r-fleeting'")
        for _ in range(6):
            self.assertEqual(self.get("/certificates", key=key).status, 403)
        self.stack.sql("INSERT INTO role_permissions (role_id, permission_id) VALUES ('r-fleeting', 'p-cert-read')")
        self.stack.sql(f"UPDATE actor_roles SET expires_at = now() - interval '1 s' WHERE actor_id = '{name}'")
        self.assertEqual(self.get("/certificates", key=key).status, 403)

    def test_scoped_grants(self):
        key, _, name = self.new_key("--role=r-viewer")
        self.stack.sql(f"UPDATE actor_roles SET scope_type = 'profile', scope_id = 'prof-internal' WHERE actor_id = '{name}'")
        body = self.good("/certificates?environment=walk&per_page=500", key=key)
        self.assertEqual(body["total"], ROWS - ROWS // 2)
        self.assertEqual({row["certificate_profile_id"] for row in body["data"]}, {"prof-internal"})
        self.assertEqual([row["id"] for row in self.good("/profiles", key=key)["data"]], ["prof-internal"])
        self.assertEqual(self.good("/issuers", key=key)["total"], 0)
        self.assertEqual(self.get("/certificates/mc-walk-1", key=key).status, 200)
        for path in ("/certificates/mc-walk-2", "/certificates/mc-walk-2/versions", "/profiles/prof-test", "/issuers/iss-local"):
            self.assertRefused(self.get(path, key=key), 403, "forbidden")
        tag = self.get("/profiles/prof-test").headers["ETag"]
        self.assertEqual(self.get("/profiles/prof-test", key=key, If_None_Match=tag).status, 403)
        self.stack.sql(f"UPDATE actor_roles SET scope_type = 'issuer', scope_id = 'iss-local' WHERE actor_id = '{name}'")
        self.assertEqual(self.good("/certificates?environment=walk", key=key)["total"], ROWS)
        self.assertEqual([row["id"] for row in self.good("/issuers", key=key)["data"]], ["iss-local"])

    def test_rate_limit_of_an_actor(self):
        key, _, name = self.new_key("--role=r-viewer")
        self.assertEqual(self.get("/issuers", key=key).status, 200)
        self.stack.sql(f"UPDATE rate_limit_buckets SET tokens = -50000, updated_at = clock_timestamp() WHERE bucket_key = 'user:{name}'")
        answer = self.get("/issuers", key=key)
        self.assertRefused(answer, 429, "rate_limited", "Rate limit exceeded")
        self.assertIn(int(answer.headers["Retry-After"]), range(500, 1002))
        auditor, _, auditor_name = self.new_key("--role=r-auditor")
        self.get("/issuers", key=auditor)
        self.stack.sql(f"UPDATE rate_limit_buckets SET tokens = -50000, updated_at = clock_timestamp() WHERE bucket_key = 'user:{auditor_name}'")
        self.assertEqual(self.get("/issuers", key=auditor).status, 429, "the limit comes before the permission")
        self.assertEqual(self.get("/issuers").status, 200, "another actor is not held up")

    def test_rate_limit_of_an_address(self):
        for address, bucket in (("203.0.113.9", "ip:203.0.113.9"), ("2001:db8:9:9:1:2:3:4", "ip:2001:db8:9:9::/64")):
            self.assertEqual(self.direct("/issuers", address).status, 401)
            self.stack.sql(f"UPDATE rate_limit_buckets SET tokens = -50000, updated_at = clock_timestamp() WHERE bucket_key = '{bucket}'")
            answer = self.direct("/issuers", address)
            self.assertRefused(answer, 429, "rate_limited", "Rate limit exceeded")
            self.assertGreaterEqual(int(answer.headers["Retry-After"]), 1)
            self.assertEqual(self.direct("/issuers", address, f"Bearer {self.key()}").status, 200)
        self.assertEqual(self.direct("/issuers", "2001:db8:9:9::77").status, 429, "the same /64")

    def test_failed_credentials(self):
        """20 a minute; then 429, which the worker that saw it remembers without a query."""
        address = "203.0.113.50"
        answers = [self.direct("/issuers", address, f"Bearer wrong-{number}") for number in range(30)]
        self.assertEqual([answer.status for answer in answers], [401] * 20 + [429] * 10)
        self.assertGreaterEqual(int(answers[20].headers["Retry-After"]), 1)
        trips = [self.log_line(answer)["db_round_trips"] for answer in answers]
        self.assertLessEqual(sum(trips[:21]), 21 + 2, "one each, and the check of the schema where a worker connects")
        self.assertLessEqual(sum(trips[21:]), 2, "the other worker asks once, and may have to connect for it")
        self.assertLessEqual(sum(trips), 22 + 2)
        self.assertEqual(self.direct("/issuers", "203.0.113.51", "Bearer wrong").status, 401, "another address")
        self.assertEqual(self.stack.value("SELECT cardinality(timestamps) FROM login_failures WHERE bucket_key = 'authfail:203.0.113.50'"), "20")

    def test_error_bodies(self):
        answers = [self.raw("GET", "/api/v1/certificates"), self.get("/certificates?sort=x"), self.get("/certificates/x"), self.get("/nothing"),
                   self.get("/certificates", method="DELETE"), self.get("/certificates", key=self.key("r-auditor")),
                   self.raw("GET", "/api/v1/certificates?token=x"), self.get("/certificates?q=" + "x" * 9000),
                   self.raw("POST", "/api/v1/certificates", b"x" * (1024 * 1024 + 1), {"Authorization": "Bearer x"})]
        self.assertEqual([answer.status for answer in answers], [401, 400, 404, 404, 405, 403, 400, 414, 413])
        for answer in answers:
            self.assertEqual(answer.headers["Content-Type"], "application/json")
            self.assertLessEqual({"error", "message", "request_id", "code"}, set(answer.json))
            self.assertEqual(answer.json["request_id"], answer.headers["X-Request-ID"])

    def test_no_database(self):
        """503, never 401, and the cause is for the log alone."""
        self.stack.sql("ALTER ROLE certctl_api NOLOGIN")
        try:
            self.stack.sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE usename = 'certctl_api'")
            answer = self.get("/issuers")
        finally:
            self.stack.sql("ALTER ROLE certctl_api LOGIN")
        self.assertEqual((answer.status, answer.headers["Retry-After"]), (503, "5"))
        self.assertEqual((answer.json["error"], answer.json["code"]), ("transient backend error; retry", "unavailable"))
        self.assertNotIn(b"certctl_api", answer.body)
        self.assertEqual(self.get("/issuers").status, 200)


class Keys(ApiTest):

    def test_first_admin_key(self):
        path = os.path.join(self.stack.dir, "secrets", "admin-key")
        self.assertEqual(os.stat(path).st_mode & 0o777, 0o600)
        with open(path, encoding="utf-8") as source:
            key = source.read().strip()
        self.assertRegex(key, r"^cck_[A-Za-z0-9_-]{43}[A-Za-z0-9]{6}$")
        self.assertEqual(self.get("/certificates", key=key).status, 200)
        made = self.stack.value("SELECT count(*) FROM api_keys")
        self.assertIn("admin key", self.stack.run("up").stdout)
        self.assertEqual(self.stack.value("SELECT count(*) FROM api_keys"), made, "made once")

    def test_the_line_to_paste_works(self):
        shown = self.stack.run("up").stdout
        line = next(line for line in shown.splitlines() if "Authorization: Bearer" in line)
        done = subprocess.run(["sh", "-c", line], stdout=subprocess.PIPE, text=True, check=True)
        self.assertIn("data", json.loads(done.stdout))

    def test_new_list_revoke(self):
        key, key_id, name = self.new_key("--admin", "--name=Ops_1", "--expires=48h")
        self.assertEqual((name, self.get("/issuers", key=key).status), ("Ops_1", 200))
        row = self.stack.sql(f"SELECT encode(key_hash, 'hex'), key_prefix, admin, expires_at > now() + interval '47 h' FROM api_keys WHERE id = '{key_id}'")[0]
        self.assertEqual(row, [hashlib.sha256(key.encode()).hexdigest(), key[:12], "t", "t"])
        event = self.stack.sql(f"SELECT action, actor_type, event_category, details::text FROM audit_events WHERE resource_id = '{key_id}'")[0]
        self.assertEqual(event[:3], ["auth.key_created", "User", "auth"])
        self.assertEqual(json.loads(event[3])["role_id"], "r-admin")
        self.assertNotIn(key, str(self.stack.sql("SELECT details::text FROM audit_events")))
        self.assertEqual(self.admin("key", "new", "--admin", "--name=Ops_1", check=False).returncode, 1, "a live key has this name")
        self.admin("key", "revoke", key_id)
        self.admin("key", "revoke", key_id)
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM audit_events WHERE resource_id = '{key_id}' AND action = 'auth.key_revoked'"), "1")
        again, _, _ = self.new_key("--role=r-auditor", "--name=Ops_1")
        self.assertEqual(self.get("/issuers", key=again).status, 403, "a new key of an old name has no old grants")

    def test_misuse(self):
        for arguments, status in ((("key", "new"), 64), (("key", "new", "--admin", "--role=r-viewer"), 64), (("key", "new", "--role"), 64),
                                  (("key", "new", "--role=r-nobody"), 1), (("key", "new", "--admin", "--name=a b"), 1),
                                  (("key", "new", "--admin", "--expires=1d"), 1), (("key", "new", "--admin", "--expires=0s"), 1),
                                  (("key", "revoke", "ak-none"), 1), (("key", "revoke"), 64), (("key", "list", "x"), 64), (("key", "x"), 64)):
            done = self.admin(*arguments, check=False)
            self.assertEqual((done.returncode, done.stdout), (status, ""), (arguments, done.stderr))
        self.assertEqual(self.admin("key", "--check-statements").returncode, 0)
        self.assertEqual(self.admin("--check-statements").returncode, 0)

    def test_the_role_reads_views_alone(self):
        for role in ("certctl_api", "certctl_ca", "certctl_acme", "certctl_jobs", "certctl_auth", "certctl_probe"):
            with self.subTest(role):
                for function in ("key_host_new(text,text,bytea,text,text,timestamptz,text,text,text)", "key_host_list()", "key_host_revoke(text,text,text)"):
                    self.assertEqual(self.stack.value(f"SELECT has_function_privilege('{role}', '{function}', 'EXECUTE')"), "f", function)
                for table in ("api_keys", "actor_roles", "login_failures", "env_keys"):
                    if not (role == "certctl_jobs" and table == "login_failures"):
                        self.assertEqual(self.stack.value(f"SELECT has_any_column_privilege('{role}', '{table}', 'SELECT,INSERT,UPDATE') "
                                                          f"OR has_table_privilege('{role}', '{table}', 'DELETE')"), "f", table)
        for table in ("issuers", "managed_certificates", "certificate_versions", "rate_limit_buckets", "audit_refusals"):
            self.assertEqual(self.stack.value(f"SELECT has_any_column_privilege('certctl_api', '{table}', 'SELECT,INSERT,UPDATE')"), "f", table)

    def test_catalogue(self):
        with open(os.path.join(TOP, "lib", "auth", "permission.def"), encoding="utf-8") as source:
            ours = re.findall(r'^PERMISSION\(MAY_(\w+), "([\w.]+)"\)$', source.read(), re.M)
        self.assertEqual(sorted(text for _, text in ours), sorted(row[0] for row in self.stack.sql("SELECT name FROM permissions")))
        for name, text in ours:
            self.assertEqual(name, text.upper().replace(".", "_"))

    def test_openapi(self):
        """doc/openapi.yaml and the route tables name the same routes and permissions."""
        served = {}
        for program in ("certctl-probe", "certctl-api"):
            done = subprocess.run([os.path.join(self.stack.dir, "bin", program), "--routes"], stdout=subprocess.PIPE, text=True, check=True)
            for line in done.stdout.splitlines():
                method, path, permission = line.split("\t")
                served[method, path] = permission
        with open(os.path.join(TOP, "doc", "openapi.yaml"), encoding="utf-8") as source:
            document = yaml.safe_load(source)
        written = {(method.upper(), path): operation.get("x-permission", "-")
                   for path, operations in document["paths"].items() for method, operation in operations.items()}
        self.assertEqual(served, written)
        names = [operation["operationId"] for operations in document["paths"].values() for operation in operations.values()]
        self.assertEqual(len(set(names)), len(names))

    def test_members_are_those_of_the_document(self):
        with open(os.path.join(TOP, "doc", "openapi.yaml"), encoding="utf-8") as source:
            schemas = yaml.safe_load(source)["components"]["schemas"]
        for path, name in (("/certificates?per_page=500", "Certificate"), ("/certificates/mc-walk-1/versions", "CertificateVersion"),
                           ("/issuers", "Issuer"), ("/profiles", "Profile")):
            for row in self.good(path)["data"]:
                self.assertLessEqual(set(schemas[name]["required"]), set(row), name)
                self.assertLessEqual(set(row), set(schemas[name]["properties"]), name)


if __name__ == "__main__":
    unittest.main()
