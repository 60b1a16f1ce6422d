#!/usr/bin/env python3
"""The script of the GPU pack: on programs made up here that fail in every way, and (with a build) on the emulator.

    gpu_pack_test.py faults
    gpu_pack_test.py emulator BUILD      BUILD: the build folder; exit code 77 where NVRTC is not installed
"""

import json
import os
import pathlib
import subprocess
import sys
import tempfile
import unittest

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "scripts/gpu_pack_run.py"

DOCTOR = {"devices": [], "absent": [], "checks": [
    {"check": "compiler", "good": True, "found": "compiles and runs a kernel"},
    {"check": "cuda driver", "good": True, "found": "/lib/libcuda.so.1, for CUDA 13.0, 1 devices"},
    {"check": "cuda:0", "good": True, "found": "a GPU (sm_90): copies 64 MB at 50 GB/s"}]}
NO_GPU = {"devices": [], "checks": [], "absent": [{"kind": "cuda", "code": "no-driver", "cause": "there is no driver", "fix": "-"}]}

# As GoogleTest's programs answer: each name does what it says.
TESTS = """#!/usr/bin/env python3
import os, signal, sys, time
if "--gtest_list_tests" in sys.argv:
    print("Suite.")
    for name in sys.argv[0].endswith("runtime") and ["Good", "Bad", "Killed", "Skipped", "Hangs", "None", "TwoGpus"] or ["Last"]:
        print("  " + name)
    sys.exit()
name = [a for a in sys.argv if a.startswith("--gtest_filter=")][0].split(".")[-1]
if name == "Bad": sys.exit("1 is not 2")
if name == "Killed": os.kill(os.getpid(), signal.SIGKILL)
if name == "Hangs": time.sleep(600)
if name == "Skipped": print("a_test.cc:1: Skipped\\nno NVRTC: none\\n[  PASSED  ] 0 tests.\\n[  SKIPPED ] 1 test, listed below:")
elif name != "None": print("[  PASSED  ] 1 test." + os.environ.get("PLACEWRIGHT_LIBCUDA", ""))
"""
TOOL = """#!/usr/bin/env python3
import json, os, subprocess, sys
if sys.argv[1] == "doctor": print({doctor!r})
elif sys.argv[2] == "b": sys.exit("no such program")
elif sys.argv[2] == "c" and "--peers" in sys.argv: sys.exit("peer pytorch: no answer within 300 s")
else:
    # As bench starts its peers.
    peers = {{}}
    if "--peers" in sys.argv:
        subprocess.run([os.environ["PLACEWRIGHT_PEERS"] + "/bin/python", "-c", "import torch"], check=True)
        peers = {{"pytorch": 8.0, "pytorch-compile": 3.0}}
    values = [1.0, 2.0 + ({off} if sys.argv[sys.argv.index("--devices") + 1] == "cuda" else 0)]
    values = [value if value == value else None for value in values]  # as bench writes them
    json.dump({{"results": [{{"program": sys.argv[2], "microseconds": 2.0, "values": values, "peers": peers}}], "machine": {{}}, "peers": {{}}}},
              open(sys.argv[sys.argv.index("--json") + 1], "w"))
"""
DEVICE_BENCH = """#!/bin/sh
echo '{"case": "copy", "bytes_per_second": 1e12}'
echo '{"case": "add", "of_limit": 0.5, "limit": "measured copies"}'
echo '{"case": "product", "performer": "kernel", "microseconds": 9.0}'
echo '{"case": "product_with_libraries", "performer": "a library", "microseconds": 6.0}'
"""


def run(pack, *arguments):
    """(exit code, document)"""
    output = pathlib.Path(pack, "found.json")
    done = subprocess.run([sys.executable, SCRIPT, "--pack", str(pack), "--output", str(output), *arguments],
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, timeout=280, text=True)
    return done.returncode, json.loads(output.read_text()), done.stdout


def make_pack(folder, doctor, off=0.0):
    binaries = pathlib.Path(folder, "bin")
    binaries.mkdir()
    files = {"placewright": TOOL.format(doctor=json.dumps(doctor), off=off), "device_bench": DEVICE_BENCH}
    files.update({name: TESTS for name in ("test_runtime", "test_codegen", "test_frontend", "test_examples")})
    for name, text in files.items():
        (binaries / name).write_text(text)
        (binaries / name).chmod(0o755)


class Faults(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def steps(self, document):
        return {step["name"]: step for step in document["steps"]}

    def test_one_test_that_dies_loses_nothing_of_the_others(self):
        make_pack(self.folder.name, DOCTOR)
        code, document, _ = run(self.folder.name, "--only", "test_", "--limit", "8")
        steps = self.steps(document)
        self.assertEqual(code, 1)
        self.assertTrue(document["complete"])
        statuses = {name: steps[f"test_runtime: Suite.{name}"]["status"] for name in
                    ("Good", "Bad", "Killed", "Skipped", "Hangs", "None", "TwoGpus")}
        self.assertEqual(statuses, {"Good": "passed", "Bad": "failed", "Killed": "failed", "Skipped": "skipped",
                                    "Hangs": "timeout", "None": "failed", "TwoGpus": "skipped"})
        self.assertEqual(steps["test_runtime: Suite.Killed"]["exit_code"], -9)
        self.assertIn("1 is not 2", steps["test_runtime: Suite.Bad"]["output"])
        self.assertEqual(steps["test_runtime: Suite.Skipped"]["reason"], "no NVRTC: none")
        self.assertEqual(steps["test_runtime: Suite.None"]["reason"], "it ran no test")
        self.assertEqual(steps["test_frontend: Suite.Last"]["status"], "passed")
        summary = document["summary"]
        self.assertEqual((summary["failed"], summary["timeout"]), (3, 1))

    def test_without_a_gpu_it_says_so(self):
        make_pack(self.folder.name, NO_GPU)
        code, document, text = run(self.folder.name)
        self.assertEqual(code, 3)
        self.assertIsNone(document["gpu"])
        self.assertIn("no GPU: there is no driver", text)
        self.assertEqual({step["status"] for step in document["steps"][1:]}, {"skipped"})

    def test_figures_and_agreement_are_in_the_summary(self):
        make_pack(self.folder.name, DOCTOR)
        _, document, _ = run(self.folder.name, "--only", "device_bench")
        self.assertEqual(document["summary"]["below_80_percent_of_copies"], ["add"])
        self.assertEqual(document["summary"]["products"], {
            "product": {"kernel_microseconds": 9.0, "chosen": "a library", "chosen_microseconds": 6.0}})
        code, document, _ = run(self.folder.name, "--emulator", "--only", "bench|agreement")
        steps = self.steps(document)
        self.assertEqual(code, 1)  # program b
        self.assertNotIn("below_80_percent_of_copies", document["summary"])  # measures nothing
        self.assertNotIn("products", document["summary"])
        self.assertEqual(document["summary"]["steps_of_programs"]["a"]["microseconds"], 2.0)
        self.assertNotIn("b", document["summary"]["steps_of_programs"])
        self.assertEqual(steps["agreement a"]["status"], "passed")
        self.assertNotIn("reason", steps["agreement a"])
        self.assertEqual(steps["agreement b"]["status"], "skipped")

    def test_pytorch_is_measured_beside_where_it_is(self):
        make_pack(self.folder.name, DOCTOR)
        torch = pathlib.Path(self.folder.name, "modules/torch")
        torch.mkdir(parents=True)
        (torch / "__init__.py").write_text("from . import cuda, version\n__version__ = '9.9'\n")
        (torch / "version.py").write_text("cuda = '13.0'\n")
        (torch / "cuda.py").write_text("def is_available(): return True\n")
        os.environ["PYTHONPATH"] = str(torch.parent)
        self.addCleanup(os.environ.pop, "PYTHONPATH")
        _, document, _ = run(self.folder.name, "--only", "^bench")
        self.assertEqual(document["machine"]["torch"], "9.9 CUDA 13.0")
        found = document["summary"]["steps_of_programs"]
        self.assertEqual((found["a"]["pytorch_eager"], found["a"]["eager_by_ours"]), (8.0, 4.0))
        self.assertEqual((found["a"]["pytorch_max_autotune"], found["a"]["max_autotune_by_ours"]), (3.0, 1.5))
        self.assertIsNone(found["a"]["without_peers_because"])
        # A peer that fails does not cost our own figure.
        steps = self.steps(document)
        self.assertEqual((steps["bench c beside PyTorch"]["status"], steps["bench c"]["status"]), ("failed", "passed"))
        self.assertEqual((found["c"]["microseconds"], found["c"]["pytorch_eager"]), (2.0, None))
        (torch / "cuda.py").write_text("def is_available(): return False\n")
        _, document, _ = run(self.folder.name, "--only", "^bench a")
        because = document["summary"]["steps_of_programs"]["a"]["without_peers_because"]
        self.assertIn("torch sees no GPU", because)

    def test_results_that_differ_fail(self):
        make_pack(self.folder.name, DOCTOR, off=0.01)
        code, document, _ = run(self.folder.name, "--emulator", "--only", "agreement a")
        step = self.steps(document)["agreement a"]
        self.assertEqual((code, step["status"]), (1, "failed"))
        self.assertAlmostEqual(step["largest_relative_difference"], 0.005, 4)
        tool = pathlib.Path(self.folder.name, "bin/placewright")
        tool.write_text(TOOL.format(doctor=json.dumps(DOCTOR), off="float('nan')"))
        code, document, _ = run(self.folder.name, "--emulator", "--only", "agreement a")
        step = self.steps(document)["agreement a"]
        self.assertEqual((code, document["complete"], step["status"]), (1, True, "failed"))
        self.assertEqual((step["largest_relative_difference"], step["reason"]), (None, "a value is not a number"))

    def test_wrong_command_lines(self):
        for arguments in (["--only", "("], ["--jobs", "0"], ["--nothing"]):
            done = subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, timeout=60)
            self.assertEqual(done.returncode, 2, arguments)


def on_the_emulator(build):
    with tempfile.TemporaryDirectory() as folder:
        for name in ("bin", "lib"):
            os.symlink(pathlib.Path(build, name).resolve(), pathlib.Path(folder, name))
        only = (r"device_bench|bench a$|agreement b|Conformance.*CopiesThere.*cuda0|CudaRuns.add$|CudaTraining.Again|"
                r"ModelsSayWhere")
        code, document, text = run(folder, "--emulator", "--only", only)
        print(text)
        faults = [check for check in document["steps"][0]["doctor"]["checks"] if not check["good"]]
        if any(check["code"] == "no-compiler" and check["check"] == "cuda compiler" for check in faults):
            print("skipped: " + faults[0]["found"])
            sys.exit(77)
        for step in document["steps"]:
            assert step["status"] == "passed", step
        assert code == 0 and document["complete"] and document["on_emulator"], document
        names = [step["name"] for step in document["steps"]]
        for expected in ("doctor", "test_codegen: CudaRuns.add", "device_bench", "bench a", "agreement b"):
            assert expected in names, (expected, names)
        cases = [step for step in document["steps"] if step["name"] == "device_bench"][0]["cases"]
        assert len(cases) >= 10 and all(case.get("right", True) for case in cases), cases
        # The stand-in for the library is found, and only where it is allowed is it asked.
        library = [check for check in document["steps"][0]["doctor"]["checks"] if "libcublaslt_emulator" in check["found"]]
        assert library, document["steps"][0]["doctor"]["checks"]
        performers = {case["case"]: case["performer"] for case in cases if case["case"].startswith("product")}
        assert performers["product"] == performers["product_tf32"] == "kernel", performers
        assert performers["product_with_libraries"].startswith("cuBLASLt "), performers
        assert document["summary"]["steps_of_programs"]["a"]["microseconds"] > 0


if __name__ == "__main__":
    if sys.argv[1:2] == ["emulator"] and len(sys.argv) == 3:
        on_the_emulator(sys.argv[2])
    elif sys.argv[1:] == ["faults"]:
        unittest.main(argv=sys.argv[:1])
    else:
        sys.exit(__doc__)
