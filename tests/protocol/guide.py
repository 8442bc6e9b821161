"""What doc/clients tells people to type: the tests take it from there, with names of their own put in."""
import os
import re
import shlex

from stack import TOP

FOLDER = os.path.join(TOP, "doc", "clients")
FENCE = re.compile(r"^```(\S+)(?: (\S+))?\n(.*?)^```$", re.M | re.S)

# Names that only the guide bears; none of them may be left in what a test runs.
FOREIGN = ("certctl.example", "example.org", "/etc/", "/var/", "KEY_ID", "MAC_KEY", "prof-test/directory")


def text(page):
    with open(os.path.join(FOLDER, page + ".md"), encoding="utf-8") as source:
        return source.read()


def block(page, language, name="", **names):
    """The fenced block of this language and this second word. `names`: what stands for the guide's own
    words: directory, root, email, key_id, mac_key, path (a pair) and site (one or two)."""
    found = [body for kind, word, body in FENCE.findall(text(page)) if (kind, word) == (language, name)]
    if len(found) != 1:
        raise AssertionError(f"{page}.md has {len(found)} blocks of {language} {name}")
    said = found[0]
    for old, new in replacements(**names):
        said = said.replace(old, new)
    left = [word for word in FOREIGN if word in said and not any(word in value for _, value in replacements(**names))]
    if left:
        raise AssertionError(f"{page}.md, {language} {name}: {left} left in {said}")
    return said


def replacements(directory="", root="", email="a@mail.test", key_id="", mac_key="", sites=(), more=()):
    """Pairs of the guide's word and ours; what has none here stays, and is found out."""
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
