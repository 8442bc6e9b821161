"""The test's side of seam.c: one mapped page that tells it what to break, and a stack that loads it."""
import errno
import mmap
import os
import shutil
import struct
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "protocol"))

from stack import TOP, Stack  # noqa: E402  (found by the line above)

MAGIC = 0x5345414D
DATABASE, SIGNER, NETWORK, FILE = 1, 2, 4, 8
FAIL, FAIL_AFTER, KILL_BEFORE, KILL_AFTER, SHORT = 1, 2, 3, 4, 5
ACTIONS = {FAIL: "fails", FAIL_AFTER: "fails after it was done", KILL_BEFORE: "kills before",
           KILL_AFTER: "kills after", SHORT: "writes half"}
LAYOUT = struct.Struct("=IIIiQQQqII32s32s32s")
FIELDS = ("magic", "kinds", "action", "error", "at", "count", "fired", "shift_s", "every", "padding", "program",
          "clock_program", "last")


def build(folder):
    """seam.so where every service's user can read it; make has built it, or the compiler does now."""
    target = os.path.join(folder, "seam.so")
    built = os.path.join(os.environ.get("CERTCTL_RUN_BUILD", ""), "tests", "fault", "seam.so")
    if os.path.exists(built):
        shutil.copy(built, target)
    else:
        subprocess.run(["cc", "-std=gnu17", "-D_GNU_SOURCE", "-O2", "-fPIC", "-shared", f"-I{TOP}", f"-I{TOP}/lib", "-o", target,
                        os.path.join(HERE, "seam.c")], check=True)
    os.chmod(target, 0o755)
    return target


class Seam:
    def __init__(self, folder):
        self.path = os.path.join(folder, "seam.page")
        with open(self.path, "wb") as out:
            out.write(b"\0" * mmap.PAGESIZE)
        os.chmod(self.path, 0o666)  # the separate users count in it
        with open(self.path, "r+b") as page:
            self.page = mmap.mmap(page.fileno(), mmap.PAGESIZE)
        self.clear()

    def get(self):
        return dict(zip(FIELDS, LAYOUT.unpack_from(self.page)))

    def set(self, **fields):
        fields = {name: value.encode() if isinstance(value, str) else value for name, value in fields.items()}
        LAYOUT.pack_into(self.page, 0, *{**self.get(), **fields}.values())

    def clear(self):
        LAYOUT.pack_into(self.page, 0, MAGIC, *[0] * 9, b"", b"", b"")

    def arm(self, program, kinds, action, at, error=errno.EIO, every=0):
        self.set(at=0)
        self.set(program=program, kinds=kinds, action=action, error=error, every=every, count=0, fired=0, last="")
        self.set(at=at)

    def disarm(self):
        """How often it fired, and at which function last."""
        self.set(at=0)
        got = self.get()
        return got["fired"], got["last"].rstrip(b"\0").decode()

    def shift(self, program, seconds):
        self.set(clock_program=program, shift_s=seconds)


class SeamStack(Stack):
    """A stack whose processes all have the seam in them, doing nothing until it is armed."""

    def __init__(self, env=None, **options):
        super().__init__(env={"LD_PRELOAD": "placeholder", **(env or {})}, **options)
        self.seam = Seam(self.home)
        path = self.environment["CERTCTL_RUN_ENV"]
        with open(path, encoding="utf-8") as source:
            lines = [line for line in source if not line.startswith("LD_PRELOAD=")]
        lines += [f"LD_PRELOAD={build(self.home)}\n", f"SEAM_PAGE={self.seam.path}\n"]
        asan = [line for line in lines if line.startswith("ASAN_OPTIONS=")]
        lines = [line for line in lines if line not in asan]
        # the seam stands in front of the sanitizer and calls it
        lines.append((asan[0].rstrip("\n") + ":" if asan else "ASAN_OPTIONS=") + "verify_asan_link_order=0\n")
        with open(path, "w", encoding="utf-8") as out:
            out.writelines(lines)

    def wait_pool(self, program, count, seconds=60):
        """All of the pool's processes, each past its start."""
        self.wait(lambda: len(self.pids(program)) >= count, seconds, f"{count} × {program}")
        time.sleep(0.02)
