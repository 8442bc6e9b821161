"""What doc/clients tells people to type: the tests take it from there, with names of their own put in."""
import os
import re
import shlex

from stack import TOP

FOLDER = os.path.join(TOP, "doc", "clients")
FENCE = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)

# Names that only the guide bears; none of them may be left in what a test runs.
FOREIGN = ("certctl.example", "example.org", "/etc/", "/var/", "KEY_ID", "MAC_KEY")


def text(page):
    with open(os.path.join(FOLDER, page + ".md"), encoding="utf-8") as source:
        return source.read()


def block(page, language, name="", **names):
    """The fenced block of this language and this second word, with our names (see replacements) in it."""
    found = [body for kind, word, body in FENCE.findall(text(page)) if (kind, word) == (language, name)]
    if len(found) != 1:
        raise AssertionError(f"{page}.md has {len(found)} blocks of {language} {name}")
    said, pairs = found[0], replacements(**names)
    for number, (old, _) in enumerate(pairs):
        said = said.replace(old, f"\0{number}\0")
    left = [word for word in FOREIGN if word in said]
    if left:
        raise AssertionError(f"{page}.md, {language} {name}: {left} left in {said}")
    return re.sub("\0([0-9]+)\0", lambda match: pairs[int(match.group(1))][1], said)


def replacements(directory="", root="", email="a@mail.test", key_id="", mac_key="", sites=(), more=()):
    """Pairs of the guide's word and ours, in the order in which they are put in. What has none here stays, and is found out."""
    pairs = list(more) + [("https://certctl.example:8443/acme/profile/prof-test/directory", directory), ("/etc/certctl/root.pem", root),
                          ("admin@example.org", email), ("KEY_ID", key_id), ("MAC_KEY", mac_key)]
    pairs += zip(("www.example.org", "api.example.org"), sites)
    return [(old, new) for old, new in pairs if new]


def commands(page, name, **names):
    """The command lines of a `sh` block: lists of words, and the variables set before each."""
    lines = block(page, "sh", name, **names).replace("\\\n", " ").splitlines()
    found = []
    for line in lines:
        words = shlex.split(line, comments=True)
        variables = {}
        while words and re.match(r"[A-Z_]+=", words[0]):
            variable, _, value = words.pop(0).partition("=")
            variables[variable] = value
        if words:
            found.append((words, variables))
    return found
