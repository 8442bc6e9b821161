"""A small ACME client that can also be wrong on purpose: every part of a request can be replaced."""
import base64
import hashlib
import http.client
import json
import ssl

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519, padding, rsa
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from cryptography.x509.oid import NameOID


def b64u(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def b64u_bytes(text):
    return base64.urlsafe_b64decode(text + "=" * (-len(text) % 4))


def number(value, size=None):
    size = size or (value.bit_length() + 7) // 8
    return b64u(value.to_bytes(size, "big"))


class Key:
    """An account key of one of the kinds that the server takes, or refuses; `private`: this one."""

    CURVES = {"P-256": (ec.SECP256R1(), 32, hashes.SHA256(), "ES256"),
              "P-384": (ec.SECP384R1(), 48, hashes.SHA384(), "ES384"),
              "P-521": (ec.SECP521R1(), 66, hashes.SHA512(), "ES512")}

    def __init__(self, kind="P-256", private=None):
        self.kind = kind
        if kind in self.CURVES:
            self.private = private or ec.generate_private_key(self.CURVES[kind][0])
            self.alg = self.CURVES[kind][3]
        elif kind == "Ed25519":
            self.private = private or ed25519.Ed25519PrivateKey.generate()
            self.alg = "EdDSA"
        else:
            self.private = private or rsa.generate_private_key(public_exponent=65537, key_size=int(kind[4:]))
            self.alg = "RS256"

    def jwk(self):
        public = self.private.public_key()
        if self.kind in self.CURVES:
            size = self.CURVES[self.kind][1]
            point = public.public_numbers()
            return {"kty": "EC", "crv": self.kind, "x": number(point.x, size), "y": number(point.y, size)}
        if self.kind == "Ed25519":
            raw = public.public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
            return {"kty": "OKP", "crv": "Ed25519", "x": b64u(raw)}
        numbers = public.public_numbers()
        return {"kty": "RSA", "e": number(numbers.e), "n": number(numbers.n)}

    def thumbprint(self):
        text = json.dumps(self.jwk(), sort_keys=True, separators=(",", ":"))
        return b64u(hashlib.sha256(text.encode()).digest())

    def sign(self, data):
        if self.kind in self.CURVES:
            _, size, digest, _ = self.CURVES[self.kind]
            r, s = decode_dss_signature(self.private.sign(data, ec.ECDSA(digest)))
            return r.to_bytes(size, "big") + s.to_bytes(size, "big")
        if self.kind == "Ed25519":
            return self.private.sign(data)
        return self.private.sign(data, padding.PKCS1v15(), hashes.SHA256())


class Answer:
    def __init__(self, status, headers, body):
        self.status, self.headers, self.body = status, headers, body

    @property
    def json(self):
        return json.loads(self.body)

    @property
    def type(self):
        """The problem type without its prefix, or None."""
        if "problem" not in (self.headers.get("Content-Type") or ""):
            return None
        return self.json["type"].rsplit(":", 1)[-1]

    def elements(self, name):
        """Of all fields of this name: a web server may fold them into one (RFC 9110 section 5.3)."""
        return [element.strip() for field in self.headers.get_all(name) or [] for element in field.split(",")]

    @property
    def links(self):
        return self.elements("Link")

    def __repr__(self):
        return f"<{self.status} {self.body[:300]!r}>"


def csr(key, names, common_name=None, extensions=(), digest=None):
    """A DER CSR; names beginning with a digit or holding ':' are addresses."""
    import ipaddress

    def san(name):
        try:
            return x509.IPAddress(ipaddress.ip_address(name))
        except ValueError:
            return x509.DNSName(name)

    attributes = [x509.NameAttribute(NameOID.COMMON_NAME, common_name)] if common_name else []
    builder = x509.CertificateSigningRequestBuilder().subject_name(x509.Name(attributes))
    if names:
        builder = builder.add_extension(x509.SubjectAlternativeName([san(n) for n in names]), critical=False)
    for extension, critical in extensions:
        builder = builder.add_extension(extension, critical=critical)
    default = None if isinstance(key, ed25519.Ed25519PrivateKey) else hashes.SHA256()
    return builder.sign(key, digest or default).public_bytes(serialization.Encoding.DER)


class Client:
    """One account at one directory."""

    def __init__(self, stack, profile=None, key=None):
        self.stack = stack
        self.base = stack.url
        self.prefix = f"/acme/profile/{profile}" if profile else "/acme"
        self.key = key or Key()
        self.kid = None
        self.context = ssl.create_default_context(cafile=stack.root_pem)
        self.next_nonce = None

    def raw(self, method, path, body=None, headers=None):
        """One request over a connection of its own."""
        connection = http.client.HTTPSConnection("localhost", self.stack.port, context=self.context, timeout=150)
        try:
            connection.request(method, path, body=body, headers=headers or {})
            response = connection.getresponse()
            return Answer(response.status, response.headers, response.read())
        finally:
            connection.close()

    def nonce(self):
        if self.next_nonce:
            nonce, self.next_nonce = self.next_nonce, None
            return nonce
        return self.raw("HEAD", self.prefix + "/new-nonce").headers["Replay-Nonce"]

    def jws(self, address, payload, key=None, **protected):
        """The request body. payload: None is POST-as-GET, bytes are taken as they are. A protected
        member given as None is left out."""
        key = key or self.key
        header = {"alg": key.alg, "nonce": None, "url": address}
        if self.kid:
            header["kid"] = self.kid
        else:
            header["jwk"] = key.jwk()
        if "nonce" not in protected:
            header["nonce"] = self.nonce()
        header.update(protected)
        header = {name: value for name, value in header.items() if value is not None}
        if payload is None:
            raw = b""
        elif isinstance(payload, bytes):
            raw = payload
        else:
            raw = json.dumps(payload).encode()
        first, second = b64u(json.dumps(header).encode()), b64u(raw)
        signature = b64u(key.sign(f"{first}.{second}".encode()))
        return {"protected": first, "payload": second, "signature": signature}

    def post_body(self, path, body, content_type="application/jose+json", headers=None):
        if not isinstance(body, (bytes, str)):
            body = json.dumps(body)
        answer = self.raw("POST", path, body, {"Content-Type": content_type, **(headers or {})})
        self.next_nonce = answer.headers.get("Replay-Nonce")
        return answer

    def post(self, path, payload=None, headers=None, **protected):
        """Signs and posts to a path under the prefix, or to a whole URL."""
        if path.startswith("https://"):
            path = path[len(self.base):]
        elif not path.startswith("/acme"):
            path = self.prefix + path
        return self.post_body(path, self.jws(self.base + path, payload, **protected), headers=headers)

    def register(self, **payload):
        payload.setdefault("termsOfServiceAgreed", True)
        answer = self.post("/new-account", payload)
        assert answer.status in (200, 201), answer
        self.kid = answer.headers["Location"]
        return answer

    def order(self, *names, **members):
        import ipaddress

        def identifier(name):
            try:
                return {"type": "ip", "value": str(ipaddress.ip_address(name))}
            except ValueError:
                return {"type": "dns", "value": name}

        return self.post("/new-order", {"identifiers": [identifier(n) for n in names], **members})

    def finalize(self, order, der):
        return self.post(order["finalize"], {"csr": b64u(der)})

    def obtain(self, *names, key=None):
        """Order, finalize, download; returns the PEM chain and the order."""
        key = key or ec.generate_private_key(ec.SECP256R1())
        order = self.order(*names)
        assert order.status == 201, order
        done = self.finalize(order.json, csr(key, names))
        assert done.status == 200, done
        chain = self.post(done.json["certificate"])
        assert chain.status == 200, chain
        return chain.body.decode(), done.json

    def revoke(self, der, reason=None, key=None, **members):
        """With the account's key, or with `key` as the certificate's own."""
        payload = {"certificate": b64u(der), **members}
        if reason is not None:
            payload["reason"] = reason
        if key:
            return self.post("/revoke-cert", payload, key=key, kid=None, jwk=key.jwk())
        return self.post("/revoke-cert", payload)

    def change_key(self, new, outer=None, payload=None, signed_by=None, inner=None, **protected):
        """Replaces the account's key when the server agrees. `protected` and `payload` are the inner
        JWS's, `outer` are members of the outer header, `inner` is sent instead of it all."""
        address = self.base + self.prefix + "/key-change"
        header = {"alg": new.alg, "jwk": new.jwk(), "url": address}
        header.update(protected)
        header = {name: value for name, value in header.items() if value is not None}
        if payload is None:
            payload = {"account": self.kid, "oldKey": self.key.jwk()}
        raw = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        first, second = b64u(json.dumps(header).encode()), b64u(raw)
        signature = b64u((signed_by or new).sign(f"{first}.{second}".encode()))
        body = {"protected": first, "payload": second, "signature": signature}
        answer = self.post("/key-change", body if inner is None else inner, **(outer or {}))
        if answer.status == 200:
            self.key = new
        return answer
