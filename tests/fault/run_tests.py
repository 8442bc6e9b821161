#!/usr/bin/python3
"""Runs the fault tests, or those whose names hold one of the arguments; ends with a count.
No test is run twice: each asserts what must never happen. CERTCTL_FAULT=full: all of each; CERTCTL_FAULT_SEED: the random kills of an earlier run."""
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, os.path.join(os.path.dirname(HERE), "protocol"))

from run_tests import main  # noqa: E402  (found by the line above)

if __name__ == "__main__":
    sys.exit(main(HERE, "fault", again=False))
