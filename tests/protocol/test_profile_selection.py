"""Orders that select a profile (draft-ietf-acme-profiles, 01 section 9.4), and orders after a profile was changed."""
import json
import time
import uuid

from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID as EKU

from acme_client import csr
from test_profiles import ProfileTest


class SelectionTest(ProfileTest):

    def directory(self, selectable, **members):
        """A profile whose orders may select others; its id."""
        members.setdefault("issuer_id", "iss-local")
        return self.new(acme={"selectable_profiles": selectable, **members.pop("acme", {})}, **members)["id"]

    def change(self, profile, **members):
        answer = self.send("PATCH", f"/profiles/{profile}", members)
        self.assertEqual(answer.status, 200, answer)

    @staticmethod
    def name():
        return f"{uuid.uuid4()}.example.org"

    def column(self, order, column):
        """Of the order's row; answers of orders and URLs alike. None: NULL."""
        url = order if isinstance(order, str) else order.headers["Location"]
        value = self.stack.value(f"SELECT coalesce({column}::text, 'null') FROM acme_orders WHERE order_id = '{url.rsplit('/', 1)[1]}'")
        return None if value == "null" else value

    def finalize(self, acme, order, curve=ec.SECP256R1):
        names = [one["value"] for one in order.json["identifiers"]]
        return acme.finalize(order.json, csr(ec.generate_private_key(curve()), names))

    def leaf(self, acme, order):
        return x509.load_pem_x509_certificate(acme.post(order["certificate"]).body)


class Selection(SelectionTest):

    def test_the_directory_lists_what_may_be_selected(self):
        named, nameless = self.new(description="Days, not months"), self.new()
        off = self.new(enabled=False, description="Off")
        listing = self.directory([off["id"], named["id"], nameless["id"]], description="As ever")
        acme = self.client(listing)
        document = acme.raw("GET", acme.prefix + "/directory").json
        self.assertEqual(document["meta"]["profiles"], {listing: "As ever", named["id"]: "Days, not months", nameless["id"]: nameless["name"]})
        for alone in (self.directory([off["id"]]), self.directory([]), "prof-other"):
            with self.subTest(alone):
                document = acme.raw("GET", f"/acme/profile/{alone}/directory").json
                self.assertNotIn("profiles", document.get("meta", {}))

    def test_the_selected_profile_makes_the_certificate(self):
        strict = self.new(max_ttl_seconds=86400, allowed_ekus=["clientAuth"], must_staple=True,
                          allowed_key_algorithms=[{"algorithm": "ECDSA", "min_size": 384}])["id"]
        own = self.directory([strict])
        acme = self.client(own)
        order = acme.order(self.name(), profile=strict)
        self.assertEqual((order.status, order.json["status"], order.json["profile"]), (201, "ready", strict), order)
        self.assertEqual((self.column(order, "profile_id"), self.column(order, "cert_profile_id")), (own, strict))
        self.assertEqual(acme.post(order.headers["Location"]).json, order.json)
        weak = self.finalize(acme, order)
        self.assertProblem(weak, 400, "badCSR", "ECDSA")
        done = self.finalize(acme, order, ec.SECP384R1)
        self.assertEqual((done.status, done.json["status"], done.json["profile"]), (200, "valid", strict), done)
        leaf = self.leaf(acme, done.json)
        self.assertEqual(list(leaf.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value), [EKU.CLIENT_AUTH])
        self.assertLessEqual((leaf.not_valid_after - leaf.not_valid_before).total_seconds(), 86400 + 3600)
        self.assertTrue(leaf.extensions.get_extension_for_class(x509.TLSFeature))
        self.assertEqual(self.stack.value("SELECT m.certificate_profile_id FROM managed_certificates m JOIN acme_orders o ON o.certificate_id = m.id "
                                          f"WHERE o.order_id = '{order.headers['Location'].rsplit('/', 1)[1]}'"), strict)
        created = json.loads(self.stack.value("SELECT details FROM audit_events WHERE action = 'acme_order_created' "
                                              f"AND resource_id = '{order.headers['Location'].rsplit('/', 1)[1]}'"))
        self.assertEqual((created["profile_id"], created["cert_profile_id"]), (own, strict))
        listed, = self.good(f"/acme/orders?account_id={acme.kid.rsplit('/', 1)[1]}")["data"]
        self.assertEqual((listed["profile_id"], listed["cert_profile_id"]), (own, strict))

    def test_the_directorys_own(self):
        """Named or not, with others to choose from or not."""
        other = self.new()["id"]
        for own in (self.directory([other]), self.directory([])):
            acme, name = self.client(own), self.name()
            order = acme.order(name)
            self.assertEqual((order.status, order.json["profile"], self.column(order, "cert_profile_id")), (201, own, None), order)
            self.assertEqual(acme.order(name, profile=own).headers["Location"], order.headers["Location"], "it is the same order")
            done = self.finalize(acme, order)
            self.assertEqual(done.json["profile"], own)
            self.assertEqual(list(self.leaf(acme, done.json).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value), [EKU.SERVER_AUTH])
            created = self.stack.value("SELECT details ? 'cert_profile_id' FROM audit_events WHERE action = 'acme_order_created' "
                                       f"AND resource_id = '{order.headers['Location'].rsplit('/', 1)[1]}'")
            self.assertEqual(created, "f")

    def test_what_cannot_be_selected(self):
        off, stranger = self.new(enabled=False)["id"], self.new()["id"]
        own = self.directory([off, self.new()["id"]])
        acme = self.client(own)
        for wanted, detail in ((stranger, f'profile "{stranger}" cannot be selected here'), ("prof-none", 'profile "prof-none" cannot be selected here'),
                               ("", 'profile "" cannot be selected here'), ("x\u0007\u00e9" * 100, "cannot be selected here"),
                               (off, f'profile "{off}" is disabled')):
            with self.subTest(wanted[:40]):
                self.assertProblem(acme.order(self.name(), profile=wanted), 400, "invalidProfile", detail)
        for wanted in (5, True, [], {}):
            with self.subTest(wanted):
                self.assertProblem(acme.order(self.name(), profile=wanted), 400, "malformed", "profile")
        self.assertEqual(acme.order(self.name(), profile=None).status, 201, "null is silence")
        self.assertEqual(self.stack.value(f"SELECT count(*) FROM acme_orders WHERE profile_id = '{own}'"), "1")

    def test_what_the_selected_profile_lets_pass(self):
        """Names, types, wildcards and validity by the selected profile alone; types that the directory does not take, nobody takes."""
        names = self.new(required_san_patterns=[r"[a-z0-9.-]+\.corp\.example"], allow_wildcards=False)["id"]
        typed, plain = self.new(allowed_san_types=["ip"])["id"], self.new()["id"]
        short = self.new(max_ttl_seconds=600, allow_short_lived=True)["id"]
        own = self.directory([names, typed, short, plain], required_san_patterns=[r"[a-z0-9.*-]+\.own\.example"], max_ttl_seconds=86400 * 90)
        acme = self.client(own)
        self.assertEqual(acme.order("a.corp.example", profile=names).status, 201)
        self.assertEqual(acme.order("*.own.example").status, 201)
        self.assertEqual(acme.order("anything.example.net", "192.0.2.7", profile=plain).status, 201)
        self.assertEqual(acme.order("192.0.2.7", profile=typed).status, 201)
        for profile, wanted in ((None, "a.corp.example"), (names, "a.own.example"), (names, "*.corp.example"), (typed, "a.own.example")):
            with self.subTest((profile, wanted)):
                self.assertProblem(acme.order(wanted, profile=profile), 400, "rejectedIdentifier")
        ahead = self.stack.value("SELECT to_char(now() AT TIME ZONE 'UTC' + interval '1 hour', 'YYYY-MM-DD\"T\"HH24:MI:SS\"Z\"')")
        self.assertProblem(acme.order("a.example.net", profile=short, notAfter=ahead), 400, "malformed", "the profile allows at most 600 seconds")
        self.assertEqual(acme.order("a.example.net", profile=plain, notAfter=ahead).status, 201)
        only_dns = self.directory([typed], acme={"identifier_types": ["dns"]})
        self.assertProblem(self.client(only_dns).order("192.0.2.7", profile=typed), 400, "rejectedIdentifier")

    def test_the_issuer(self):
        """The directory's, unless the selected profile has one of its own."""
        self.stack.sql("INSERT INTO issuers (id, name, type, enabled) VALUES ('iss-selected', 'Selected', 'GenericCA', false) ON CONFLICT DO NOTHING")
        elsewhere, nowhere = self.new(issuer_id="iss-selected")["id"], self.new()["id"]
        acme = self.client(self.directory([elsewhere, nowhere]))
        self.assertEqual([self.column(acme.order(self.name(), profile=wanted), "issuer_id") for wanted in (None, elsewhere, nowhere)],
                         ["iss-local", "iss-selected", "iss-local"])

    def test_an_end_that_is_accepted_is_the_certificates(self):
        days, short = self.new(default_validity_days=30, max_ttl_seconds=7776000)["id"], self.new(max_ttl_seconds=86400)["id"]
        acme = self.client(self.directory([days, short]))

        def ends(seconds, profile):
            wanted = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime(time.time() + seconds))
            return wanted, acme.order(self.name(), profile=profile, notAfter=wanted)

        self.assertProblem(ends(31 * 86400, days)[1], 400, "malformed", "30 days")
        self.assertProblem(ends(91 * 86400, None)[1], 400, "malformed", "profile")
        for seconds, profile in ((30 * 86400 - 60, days), (86400 - 5, short)):
            wanted, order = ends(seconds, profile)
            leaf = self.leaf(acme, self.finalize(acme, order).json)
            self.assertEqual(leaf.not_valid_after.strftime("%Y-%m-%dT%H:%M:%SZ"), wanted)
            self.assertLessEqual((leaf.not_valid_after - leaf.not_valid_before).total_seconds(), 7776000 if profile == days else 86400)

    def test_an_order_of_another_issuer_does_not_serve(self):
        """An order keeps its issuer; who asks again after the profile left it is not held by that one."""
        self.stack.sql("INSERT INTO issuers (id, name, type, enabled) VALUES ('iss-selected', 'Selected', 'GenericCA', false) ON CONFLICT DO NOTHING")
        profile, name = self.new(issuer_id="iss-selected")["id"], self.name()
        acme = self.client(profile)
        first = acme.order(name)
        self.assertEqual(acme.order(name).headers["Location"], first.headers["Location"])
        self.change(profile, issuer_id="iss-local")
        second = acme.order(name)
        self.assertEqual([self.column(order, "issuer_id") for order in (first, second)], ["iss-selected", "iss-local"])
        self.assertEqual(self.finalize(acme, second).json["status"], "valid")

    def test_the_mode_is_the_directorys(self):
        trusting, asking = self.new(acme_auth_mode="trust_authenticated")["id"], self.new(acme_auth_mode="challenge")["id"]
        for mode, other, state in (("challenge", trusting, "pending"), ("trust_authenticated", asking, "ready")):
            order = self.client(self.directory([other], acme_auth_mode=mode)).order(self.name(), profile=other)
            self.assertEqual((order.status, order.json["status"], self.column(order, "auth_mode")), (201, state, mode), order)

    def test_an_order_serves_again_within_its_profile(self):
        first, second = self.new()["id"], self.new()["id"]
        acme, name = self.client(self.directory([first, second])), self.name()
        orders = {wanted: acme.order(name, profile=wanted).headers["Location"] for wanted in (None, first, second)}
        self.assertEqual(len(set(orders.values())), 3)
        for wanted, url in orders.items():
            again = acme.order(name, profile=wanted)
            self.assertEqual((again.status, again.headers["Location"]), (201, url))
            if wanted:
                self.assertEqual(again.json["profile"], wanted)

    def test_what_a_new_certificate_supersedes(self):
        """One of the same names under the same profile; RFC 9773's replaces goes across profiles."""
        other = self.new()["id"]
        acme, name = self.client(self.directory([other])), self.name()

        def obtain(wanted, **members):
            done = self.finalize(acme, acme.order(name, profile=wanted, **members))
            self.assertEqual(done.json["status"], "valid", done)
            return done.json["certificate"].rsplit("/", 1)[1]

        def superseded(certificate):
            return self.stack.value(f"SELECT tags->>'superseded_by' FROM managed_certificates WHERE id = '{certificate}'")

        own, selected = obtain(None), obtain(other)
        self.assertEqual((superseded(own), superseded(selected)), (None, None))
        again = obtain(other)
        self.assertEqual((superseded(own), superseded(selected)), (None, again))

    def test_approval_of_the_selected_profile(self):
        gated = self.new(requires_approval=True, allowed_ekus=["clientAuth"])["id"]
        acme = self.client(self.directory([gated]))
        order = acme.order(self.name(), profile=gated)
        waits = self.finalize(acme, order)
        self.assertEqual((waits.status, waits.json["status"], waits.json["profile"]), (200, "processing", gated), waits)
        approval = self.stack.sql("SELECT a.id, a.profile_id FROM issuance_approval_requests a JOIN acme_orders o ON o.job_id = a.job_id "
                                  f"WHERE o.order_id = '{order.headers['Location'].rsplit('/', 1)[1]}'")
        self.assertEqual([row[1] for row in approval], [gated])
        decided = self.send("POST", f"/approvals/{approval[0][0]}/approve", {})
        self.assertEqual(decided.status, 200, decided)
        shown = []

        def valid():
            shown[:] = [acme.post(order.headers["Location"]).json]
            return shown[0]["status"] == "valid"
        self.stack.wait(valid, what="the order is valid")
        self.assertEqual(shown[0]["profile"], gated)
        self.assertEqual(list(self.leaf(acme, shown[0]).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value), [EKU.CLIENT_AUTH])
        plain = self.finalize(acme, acme.order(self.name()))
        self.assertEqual(plain.json["status"], "valid", "the directory's own wants no approval")

    def test_a_profile_that_changes_between_order_and_finalize(self):
        selected = self.new()["id"]
        own = self.directory([selected])
        acme = self.client(own)
        order = acme.order(self.name(), profile=selected)
        self.change(selected, enabled=False)
        self.assertProblem(self.finalize(acme, order), 403, "userActionRequired", "profile is disabled")
        self.assertEqual(acme.post(order.headers["Location"]).json["status"], "ready", "it may be enabled again")
        self.assertProblem(acme.order(self.name(), profile=selected), 400, "invalidProfile", f'profile "{selected}" is disabled')
        self.change(selected, enabled=True, allowed_ekus=["clientAuth"])
        self.change(own, acme={"selectable_profiles": []})
        done = self.finalize(acme, order)
        self.assertEqual((done.json["status"], done.json["profile"]), ("valid", selected), "an order keeps what it selected")
        self.assertEqual(list(self.leaf(acme, done.json).extensions.get_extension_for_class(x509.ExtendedKeyUsage).value), [EKU.CLIENT_AUTH])
        self.assertProblem(acme.order(self.name(), profile=selected), 400, "invalidProfile", "cannot be selected here")


class Settings(SelectionTest):
    """The setting over REST. That each text of a refusal is on POST, PUT and PATCH: test_profiles."""

    def test_itself(self):
        wanted = f"prof-{uuid.uuid4()}"
        problem = ("acme.selectable_profiles", f'acme.selectable_profiles[1]: "{wanted}" is this profile itself')
        body = {"id": wanted, "name": wanted, "acme": {"selectable_profiles": ["prof-test", wanted]}}
        self.assertProblems(self.send("POST", "/profiles", body), problem)
        self.assertEqual(self.get(f"/profiles/{wanted}").status, 404)
        self.new(id=wanted)
        for method in ("PUT", "PATCH"):
            self.assertProblems(self.send(method, f"/profiles/{wanted}", {"acme": body["acme"]}), problem)

    def test_a_profile_that_is_named_stays(self):
        named = self.new()["id"]
        own = self.directory([named])
        refused = self.send("DELETE", f"/profiles/{named}")
        self.assertRefused(refused, 409, "in_use", "Cannot delete profile: orders of another profile may select it")
        self.change(own, acme={"selectable_profiles": None})
        self.assertEqual(self.send("DELETE", f"/profiles/{named}").status, 204)
        self.assertEqual(self.send("DELETE", f"/profiles/{own}").status, 204)

    def test_a_profile_of_orders_stays(self):
        named = self.new()["id"]
        own = self.directory([named])
        self.assertEqual(self.client(own).order(self.name(), profile=named).status, 201)
        self.change(own, acme={"selectable_profiles": []})
        self.assertRefused(self.send("DELETE", f"/profiles/{named}"), 409, "in_use", "Cannot delete profile: ACME orders still use it")

    def test_naming_races_with_deleting(self):
        """Whoever wins, nothing names what is not there."""
        for _ in range(5):
            named, own = self.new()["id"], self.new()["id"]
            answers = self.at_once([lambda own=own, named=named: self.send("PATCH", f"/profiles/{own}", {"acme": {"selectable_profiles": [named]}}),
                                    lambda named=named: self.send("DELETE", f"/profiles/{named}")])
            self.assertIn(sorted(answer.status for answer in answers), [[200, 409], [204, 400]], answers)

    def test_a_grant_for_one_profile(self):
        """Nobody lets his orders select a profile in which he has no say; what others allowed he leaves as it is."""
        foreign, near = self.new()["id"], self.new()["id"]
        own = self.directory([near])
        key, _, name = self.new_key("--role=r-admin")
        self.stack.sql(f"UPDATE actor_roles SET scope_type = 'profile', scope_id = '{own}' WHERE actor_id = '{name}'")
        wanted = {"acme": {"selectable_profiles": [foreign]}}
        refused = self.send("PATCH", f"/profiles/{own}", wanted, key=key)
        self.assertProblems(refused, ("acme.selectable_profiles", f'acme.selectable_profiles[0]: no such profile "{foreign}"'))
        kept = self.send("PATCH", f"/profiles/{own}", {"description": "mine"}, key=key)
        self.assertEqual((kept.status, kept.json["acme"]), (200, {"selectable_profiles": [near]}), kept)
        self.assertEqual(self.send("PATCH", f"/profiles/{own}", {"acme": {"selectable_profiles": []}}, key=key).status, 200)

    def test_an_edit_that_waits(self):
        """What cannot be is refused when it is asked for, and once more when it is applied."""
        named, gated = self.new()["id"], self.new(requires_approval=True)["id"]
        path = f"/profiles/{gated}"
        self.assertProblems(self.send("PATCH", path, {"acme": {"selectable_profiles": ["prof-none"]}}),
                            ("acme.selectable_profiles", 'acme.selectable_profiles[0]: no such profile "prof-none"'))
        waits = self.send("PATCH", path, {"acme": {"selectable_profiles": [named]}})
        self.assertEqual(waits.status, 202, waits)
        self.assertEqual(self.send("DELETE", f"/profiles/{named}").status, 204)
        other = self.new_key("--role=r-admin")[0]
        applied = self.send("POST", f"/approvals/{waits.json['pending_approval_id']}/approve", {}, key=other)
        self.assertRefused(applied, 400, "invalid", f'acme.selectable_profiles[0]: no such profile "{named}"')
        self.assertNotIn("acme", self.good(path))

    def test_open_trust(self):
        """Patterns bound a directory's names where each profile that may be selected has some."""
        loose, tight = self.new()["id"], self.new(required_san_patterns=["x"])["id"]
        own = self.directory([tight], required_san_patterns=["x"])

        def is_open():
            return next(row["open_trust"] for row in self.good("/admin/acme/profiles")["data"] if row["id"] == own)
        self.assertEqual(is_open(), False)
        self.change(own, acme={"selectable_profiles": [tight, loose]})
        self.assertEqual(is_open(), True)
        self.change(loose, enabled=False)
        self.assertEqual(is_open(), False)


class Changes(SelectionTest):
    """A change of a profile holds for the next order of every worker, though each remembers profiles for five seconds."""

    ORDERS = 6  # at once; the shared stack has two workers

    def orders(self, acmes, *names, **members):
        """So many orders at once that every worker has some. An order that was refused by what a worker remembered keeps
        its nonce, or the second look at it would be a replay."""
        return self.at_once([lambda acme=acme: acme.order(*(names or [self.name()]), **members) for acme in acmes])

    def round_trips(self, answers):
        return [line["db_round_trips"] for line in self.stack.requests("acme", answers)]

    def test_the_mode(self):
        own = self.new(issuer_id="iss-local")["id"]
        acmes = [self.client(own) for _ in range(self.ORDERS)]
        again = []

        def flips():
            for mode, state in (("challenge", "pending"), ("trust_authenticated", "ready")):
                self.change(own, acme_auth_mode=mode)
                answers = self.orders(acmes)
                self.assertEqual({(answer.status, answer.json.get("status")) for answer in answers}, {(201, state)}, answers)
                again.extend(trips for trips in self.round_trips(answers) if trips > 3)
            return again
        self.stack.wait(flips, what="an order that a worker had to judge again")
        for acme in acmes[:2]:
            nonce = acme.nonce()
            self.assertEqual(acme.post("/new-order", {"identifiers": [{"type": "dns", "value": self.name()}]}, nonce=nonce).status, 201)
            replay = acme.post("/new-order", {"identifiers": [{"type": "dns", "value": self.name()}]}, nonce=nonce)
            self.assertProblem(replay, 400, "badNonce")

    def test_settings_and_policy(self):
        other = self.new()["id"]
        own = self.directory([other])
        acmes = [self.client(own) for _ in range(self.ORDERS)]
        self.assertEqual({answer.status for answer in self.orders(acmes) + self.orders(acmes, profile=other)}, {201})
        for about, profile, change, selects, names in (
                ("a setting", own, {"acme": {"allow_single_label": False}}, None, ["printer"]),
                ("a policy", own, {"required_san_patterns": ["[a-z0-9-]+\\.own\\.example"]}, None, []),
                ("the selected policy", other, {"required_san_patterns": ["[a-z0-9-]+\\.other\\.example"]}, other, [])):
            with self.subTest(about):
                self.change(profile, **change)
                for answer in self.orders(acmes, *names, profile=selects):
                    self.assertProblem(answer, 400, "rejectedIdentifier")
        self.change(own, acme={"selectable_profiles": []}, required_san_patterns=[])
        for answer in self.orders(acmes, profile=other):
            self.assertProblem(answer, 400, "invalidProfile", "cannot be selected here")
        self.change(own, acme={"selectable_profiles": [other]})
        self.change(other, required_san_patterns=[])
        self.assertEqual({answer.status for answer in self.orders(acmes, profile=other)}, {201}, "what a directory tells may be selected at once")
        self.change(own, enabled=False)
        for answer in self.orders(acmes):
            self.assertProblem(answer, 403, "userActionRequired", "profile is disabled")

    def test_client_certificates(self):
        own = self.new(issuer_id="iss-local")["id"]
        acmes = [self.client(own) for _ in range(self.ORDERS)]
        self.assertEqual({answer.status for answer in self.orders(acmes)}, {201})
        self.change(own, acme={"require_mtls": True})
        for answer in self.orders(acmes):
            self.assertProblem(answer, 401, "unauthorized", "client certificate")

    def test_authorizations_ahead(self):
        own = self.new(issuer_id="iss-local", acme_auth_mode="challenge", acme={"preauthorization": True})["id"]
        acmes = [self.client(own) for _ in range(self.ORDERS)]

        def ask():
            return self.at_once([lambda acme=acme: acme.post("/new-authz", {"identifier": {"type": "dns", "value": self.name()}}) for acme in acmes])
        self.assertEqual({answer.status for answer in ask()}, {201})
        self.change(own, acme={"challenge_types": ["dns-01"]})
        self.assertEqual({(answer.status, tuple(one["type"] for one in answer.json["challenges"])) for answer in ask()}, {(201, ("dns-01",))})
        self.change(own, acme_auth_mode="trust_authenticated")
        for answer in ask():
            self.assertProblem(answer, 404, "malformed")
