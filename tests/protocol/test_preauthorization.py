"""Names that are proved before they are ordered (RFC 8555 section 7.4.1)."""
import unittest

from challenge_case import ChallengeTest

PROFILE = """
INSERT INTO certificate_profiles (id, name, issuer_id, acme_auth_mode) VALUES ('prof-ahead', 'Ahead', 'iss-local', 'challenge') ON CONFLICT DO NOTHING;
INSERT INTO acme_profile_settings (profile_id, settings) VALUES ('prof-ahead', '{"challenge_types":["http-01","dns-01"],"preauthorization":true}')
ON CONFLICT DO NOTHING;
INSERT INTO certificate_profiles (id, name, issuer_id) VALUES ('prof-ahead-trust', 'Ahead, trusted', 'iss-local') ON CONFLICT DO NOTHING;
INSERT INTO acme_profile_settings (profile_id, settings) VALUES ('prof-ahead-trust', '{"preauthorization":true}') ON CONFLICT DO NOTHING;
"""


class Preauthorization(ChallengeTest):

    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        cls.stack.sql(PROFILE)

    def ask(self, acme, value, kind="dns"):
        return acme.post("/new-authz", {"identifier": {"type": kind, "value": value}})

    def test_a_name_proved_ahead_is_ready_when_it_is_ordered(self):
        acme = self.client("prof-ahead")
        made = self.ask(acme, "Ahead.good.test")
        self.assertEqual(made.status, 201, made)
        url = made.headers["Location"]
        self.assertEqual((made.json["status"], made.json["identifier"]), ("pending", {"type": "dns", "value": "ahead.good.test"}))
        self.assertEqual([c["type"] for c in made.json["challenges"]], ["http-01", "dns-01"])
        self.assertEqual(acme.post(url).json, made.json)
        again = self.ask(acme, "ahead.good.test")
        self.assertEqual((again.status, again.headers["Location"]), (201, url))  # while it waits
        self.assertEqual(acme.post(self.offer(acme, made.json)["url"], {}).status, 200)
        self.assertEqual(self.settled(acme, url)["status"], "valid")
        again = self.ask(acme, "ahead.good.test")
        self.assertEqual((again.status, again.headers["Location"], again.json["status"]), (201, url, "valid"))
        order = acme.order("ahead.good.test")
        self.assertEqual((order.status, order.json["status"], order.json["authorizations"]), (201, "ready", [url]), order)
        acme.obtain("ahead.good.test")
        self.assertEqual(acme.post(url, {"status": "deactivated"}).json["status"], "deactivated")
        self.assertEqual(self.ask(acme, "ahead.good.test").status, 201)

    def test_trust_proves_nothing_later(self):
        """A profile that trusted its accounts wants proofs from now on: what was valid by trust alone is not."""
        self.stack.sql("INSERT INTO certificate_profiles (id, name, issuer_id) VALUES ('prof-ahead-strict', 'Ahead, stricter', 'iss-local')"
                       " ON CONFLICT DO NOTHING")
        acme = self.client("prof-ahead-strict")
        acme.obtain("trusted.good.test")
        self.stack.sql("UPDATE certificate_profiles SET acme_auth_mode = 'challenge' WHERE id = 'prof-ahead-strict'; "
                       "INSERT INTO acme_profile_settings (profile_id, settings) VALUES ('prof-ahead-strict', "
                       "'{\"challenge_types\":[\"http-01\"],\"preauthorization\":true}') ON CONFLICT DO NOTHING")
        order = []

        def wants_a_proof():  # of whichever worker: each has the profile of the last five seconds
            order[:] = [acme.order("trusted.good.test").json]
            return order[0]["status"] == "pending"
        self.stack.wait(wants_a_proof, what="an order that wants a proof")
        self.assertEqual(acme.post(order[0]["authorizations"][0]).json["status"], "pending")
        ahead = []

        def has_ahead():
            ahead[:] = [self.ask(acme, "trusted.good.test")]
            return ahead[0].status == 201
        self.stack.wait(has_ahead, what="authorizations ahead")
        self.assertEqual(ahead[0].json["status"], "pending")

    def test_refusals(self):
        acme = self.client("prof-ahead")
        self.assertProblem(self.ask(acme, "*.ahead.good.test"), 400, "malformed", "wildcards cannot be authorized in advance")
        self.assertProblem(self.ask(acme, "under_score.test"), 400, "rejectedIdentifier")
        self.assertProblem(self.ask(acme, "127.0.0.2", "ip"), 400, "rejectedIdentifier")
        self.assertProblem(self.ask(acme, "x", "phone"), 400, "rejectedIdentifier")
        for payload in (None, {}, {"identifier": []}, {"identifier": {"type": "dns"}}, {"identifier": {"value": "a.test"}}):
            self.assertProblem(acme.post("/new-authz", payload), 400, "malformed")
        url = self.ask(acme, "ahead-own.good.test").headers["Location"]
        self.assertProblem(self.client("prof-ahead").post(url), 401, "unauthorized")
        body = acme.jws(acme.base + acme.prefix + "/new-authz", {"identifier": {"type": "dns", "value": "ahead-replay.good.test"}})
        self.assertEqual(acme.post_body(acme.prefix + "/new-authz", body).status, 201)
        self.assertProblem(acme.post_body(acme.prefix + "/new-authz", body), 400, "badNonce")

    def test_where_it_is_offered(self):
        """By the directory's word: with the setting, and where there is something to prove."""
        for profile, offered in (("prof-ahead", True), ("prof-proof", False), ("prof-ahead-trust", False)):
            acme = self.client(profile)
            directory = acme.raw("GET", acme.prefix + "/directory").json
            self.assertEqual(directory.get("newAuthz"), f"{acme.base}{acme.prefix}/new-authz" if offered else None)
            if not offered:
                self.assertProblem(self.ask(acme, "ahead-off.good.test"), 404, "malformed", "no such ACME resource")

    def test_many_at_once_make_one(self):
        acme = self.client("prof-ahead")
        clients = [self.client("prof-ahead", key=acme.key) for _ in range(6)]
        answers = self.at_once([lambda one=one: self.ask(one, "ahead-race.good.test") for one in clients])
        self.assertEqual(sorted(answer.status for answer in answers), [201] * 6, answers)
        self.assertEqual(len({answer.headers["Location"] for answer in answers}), 1)


if __name__ == "__main__":
    unittest.main()
