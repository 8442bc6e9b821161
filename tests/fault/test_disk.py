"""A full disk: of the signer's log, of the published files, of PostgreSQL's write-ahead log. Small tmpfs, so as root only;
the seam's tests fail single writes for everybody."""
import contextlib
import os
import random
import shutil
import signal
import subprocess
import unittest

from breaker import FULL, Database, fresh
from recorder import Customer, Recorder
from rules import complaints
from stack import Stack
from world import at_rest

PAGE = 4096


@contextlib.contextmanager
def small_disk(folder, megabytes):
    """The folder on a disk of its own, its content copied there and back; owner and mode as before."""
    status = os.stat(folder)
    aside = folder + ".aside"
    subprocess.run(["cp", "-a", folder, aside], check=True)
    subprocess.run(["mount", "-t", "tmpfs", "-o", f"size={megabytes}m,mode={status.st_mode & 0o7777:o},"
                    f"uid={status.st_uid},gid={status.st_gid}", "certctl-fault", folder], check=True)
    try:
        subprocess.run(["cp", "-a", aside + "/.", folder], check=True)
        yield
        shutil.rmtree(aside)
        subprocess.run(["cp", "-a", folder, aside], check=True)
    finally:
        subprocess.run(["umount", "-l", folder], check=True)
        subprocess.run(["cp", "-a", aside + "/.", folder], check=True)
        shutil.rmtree(aside)


@contextlib.contextmanager
def filled(folder, leave=0):
    """No room in the folder but so many bytes."""
    ballast = os.path.join(folder, "ballast")
    with open(ballast, "wb") as out:
        with contextlib.suppress(OSError):
            while True:
                out.write(b"\0" * PAGE)
                out.flush()
        size = os.fstat(out.fileno()).st_size
        os.ftruncate(out.fileno(), max(0, size - leave))
        with contextlib.suppress(OSError):
            out.close()
    try:
        yield
    finally:
        os.unlink(ballast)


@unittest.skipUnless(FULL and os.geteuid() == 0, "in the full form; root mounts the small disks")
class Disk(unittest.TestCase):

    def setUp(self):
        self.stack = fresh(type(self), name="disk", workers=2)
        self.addCleanup(self.doClassCleanups)
        self.recorder = Recorder(self.stack.home + "/recorder.jsonl")
        self.customer = Customer(self.stack, self.recorder, random.Random(7), "disk")

    def serve(self, steps=25):
        before = self.customer.done
        for _ in range(steps):
            self.customer.step()
        return self.customer.done - before

    def finds_nothing(self):
        self.assertTrue(self.customer.settle())
        self.assertGreater(self.serve(), 5)
        self.assertEqual(complaints(at_rest(self.stack, self.recorder)), [])
        self.assertEqual(self.customer.wrong, [])

    def test_signer_log(self):
        """Nothing is signed that cannot be logged; half a line is taken back."""
        folder = os.path.dirname(self.stack.signer_log)
        for name in ("signer", "signer-admin"):
            self.stack.run("stop", name)  # they hold the log open
        with small_disk(folder, 1):
            self.stack.run("up")
            self.assertGreater(self.serve(), 5)
            with filled(folder, PAGE):
                for _ in range(3):
                    self.serve(12)
                self.assertEqual(self.serve(5), 0, "a certificate left, but there was no room for its line")
            self.finds_nothing()
            for name in ("signer", "signer-admin"):
                self.stack.run("stop", name)

    def test_published_files(self):
        """A list that finds no room leaves the one before, whole, and comes when there is room."""
        folder = os.path.join(self.stack.dir, "pki")
        self.stack.run("stop", "tick")
        self.stack.run("stop", self.stack.web)
        with small_disk(folder, 1):
            self.stack.run("up")
            with filled(folder):
                self.serve(20)
                published = os.path.join(folder, "crl")
                self.stack.wait(lambda: self.stack.value("SELECT bool_and(crl_dirty_since IS NULL) FROM ca_instances") == "t",
                                120, "lists are built")
                self.assertEqual([n for n in os.listdir(published) if os.path.getsize(os.path.join(published, n)) == 0], [])
            self.finds_nothing()
            self.stack.run("stop", "tick")
            self.stack.run("stop", self.stack.web)

    def test_database(self):
        """PostgreSQL panics where its log finds no room; when there is room it comes back with what was told."""
        database = Database(self.stack)
        folder = os.path.join(database.data, "pg_wal")
        database.stop(signal.SIGINT)
        with small_disk(folder, 96):
            database.start()
            self.assertGreater(self.serve(), 5)
            with filled(folder):
                with contextlib.suppress(AssertionError):
                    for _ in range(20):  # beyond what is left of the segment in use
                        self.stack.sql("CREATE TABLE IF NOT EXISTS ballast (t text); INSERT INTO ballast "
                                       "SELECT repeat(md5(i::text), 30) FROM generate_series(1, 2000) i")
                self.serve()
                self.recorder.incident("database killed by a full disk")
            Stack.wait(lambda: database.backends() == [] or database.answers(), 60, "PostgreSQL has come to rest")
            if not database.backends():
                database.start()
            self.stack.sql("DROP TABLE IF EXISTS ballast")
            self.finds_nothing()
            database.stop(signal.SIGINT)
        database.start()
