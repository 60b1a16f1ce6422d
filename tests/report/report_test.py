#!/usr/bin/env python3
"""The report's text, JSON and DOT: report_test.py TOOL"""
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import make_graph
from check_schema import faults

HERE = os.path.dirname(os.path.abspath(__file__))
ROOT = os.path.dirname(os.path.dirname(HERE))
THREE = os.path.join(HERE, "three.machine")
TOOL = None

with open(os.path.join(ROOT, "docs", "placement-report.schema.json")) as schema_file:
    SCHEMA = json.load(schema_file)

# Ops left to cost, a parameter with its update, a pin, and a value that the pin's device reads.
CAUSES = """graph v1

origins {
  #1 = forward 0 in "net" from "net.py":10
  #2 = forward 1 in "net" from "net.py":11
  #3 = forward 2 in "net" from "net.py":12
  #4 = update 0 in "net" from "train.py":20
}

function "main"(%0, %1) {
  %0 = input() {kind="argument", name="x"} : f32[2048,2048]
  %1 = input() {kind="state", name="net.weight"} : f32[2048,2048]
  %2 = dot_general(%0, %1) {lhs_contracting=[1], rhs_contracting=[0]} : f32[2048,2048] #1
  %3 = tanh(%2) : f32[2048,2048] #2
  %4 = exp(%3) : f32[2048,2048]PIN #3
  %5 = sub(%1, %3) : f32[2048,2048] #4
  update %1 = %5
  return %4
}
"""


def energy(problem, labels):
    """What a placement of an exported problem costs."""
    total = sum(group["costs"][label] for group, label in zip(problem["groups"], labels))
    for value in problem["values"]:
        home = labels[value["producer"]]
        total += sum(value["moves"][home][to] for to in {labels[c] for c in value["consumers"]} - {home})
    return total


class Report(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def write(self, name, text):
        path = os.path.join(self.folder.name, name)
        with open(path, "w") as file:
            file.write(text)
        return path

    def test_compiled_kernels_match_the_schema(self):
        built = os.path.join(self.folder.name, "built")
        model = self.write("model.pw", CAUSES.replace("PIN", ""))
        run = subprocess.run([TOOL, "compile", model, "--machine", "h200", "-o", built], capture_output=True, text=True,
                             timeout=120)
        if "no libnvrtc" in run.stderr:
            self.skipTest(run.stderr.strip())
        self.assertEqual(run.returncode, 0, run.stderr)
        with open(os.path.join(built, "placement.json")) as file:
            report = json.load(file)
        self.assertEqual(list(faults(report, SCHEMA)), [])
        self.assertEqual({kernel["target"] for kernel in report["kernels"]}, {"sm_80", "sm_90", "sm_100"})

    def place(self, model, *arguments):
        run = subprocess.run([TOOL, "place", *arguments, self.write("model.pw", model)], capture_output=True, text=True,
                             timeout=120)
        self.assertEqual(run.returncode, 0, run.stderr)
        return run.stdout

    def report(self, model, *arguments):
        report = json.loads(self.place(model, "--format", "json", *arguments))
        self.assertEqual(list(faults(report, SCHEMA)), [])
        self.check_meaning(report)
        return report

    def problem(self, model, *arguments):
        path = os.path.join(self.folder.name, "problem.json")
        self.place(model, "--export-problem", path, *arguments)
        with open(path) as file:
            return json.load(file)

    def check_meaning(self, report):
        """What a schema cannot say."""
        ops, machine = report["ops"], {device["device"] for device in report["devices"]}
        self.assertEqual([op["op"] for op in ops], list(range(len(ops))))
        for op in ops:
            self.assertTrue(all(operand < op["op"] for operand in op["operands"]))
            self.assertNotIn(op["devices"][0], [rejected["device"] for rejected in op["rejected"]])
            here = {rejected["device"] for rejected in op["rejected"] if rejected["kind"] != "absent"}
            self.assertEqual(here | {op["devices"][0]}, machine)  # every other device is rejected, with its cause
        for when, total in (("step", "bytes_per_step"), ("once", "bytes_at_load")):
            self.assertEqual(sum(t["bytes"] for t in report["transfers"] if t["when"] == when), report[total])
        self.assertEqual(sum(device["ops"] for device in report["devices"]), len(ops))
        for cut in report["cuts"]:
            self.assertEqual(ops[cut["op"]]["devices"][0], cut["from"])
            for reader in cut["readers"]:
                self.assertEqual(ops[reader]["devices"][0], cut["to"])
                self.assertIn(cut["op"], ops[reader]["operands"])
        for memory in report["memory"]:
            self.assertEqual(max(held for _, held in memory["points"]), memory["peak_bytes"])
            launches = [launch for launch, _ in memory["points"]]
            self.assertEqual(launches, sorted(set(launches)))
            self.assertLessEqual(launches[-1], len(report["launches"]))
        self.check_timeline(report)
        pins = {(rejected["site"], op["devices"][0]) for op in ops for rejected in op["rejected"]
                if rejected["kind"] == "pinned"}
        self.assertEqual({(pin["site"], pin["device"]) for pin in report["pins"]}, pins)
        self.assertEqual([hint["seconds"] for hint in report["hints"]],
                         sorted((hint["seconds"] for hint in report["hints"]), reverse=True))
        for island in report["islands"]:
            self.assertEqual({ops[number]["devices"][0] for number in island["ops"]}, {island["device"]})
        if report["proof"]:
            self.assertLessEqual(report["proof"]["bound_seconds"], report["proof"]["chosen_seconds"])
            self.check_least_sum(report["proof"])

    # What simulation chose is done earlier than what the sum alone would take, of which the proof's problem says the truth.
    def check_least_sum(self, proof):
        least = proof["least_sum"]
        self.assertEqual(least is not None, proof["of"] == "simulated time")
        if not least:
            return
        self.assertLess(proof["chosen_seconds"] * 1.029, least["done_seconds"])
        self.assertEqual(least["is_optimal"], least["bound_seconds"] == least["seconds"])
        self.assertLessEqual(proof["sum_bound_seconds"], least["seconds"] + 1e-12)

    def check_timeline(self, report):
        timeline, ops, free_at, ends, launched = report["timeline"], report["ops"], {}, {0}, set()
        for span in timeline["spans"]:
            self.assertLess(span["begin"], span["end"])
            self.assertGreaterEqual(span["begin"], free_at.get(span["track"], 0))  # tracks are serial
            free_at[span["track"]] = span["end"]
            ends.add(span["end"])
            self.assertNotIn((span["launch"], span["result"]), launched)
            launched.add((span["launch"], span["result"]))
            self.assertLess(span["launch"], len(report["launches"]))
            track = timeline["tracks"][span["track"]]
            is_copy = report["launches"][span["launch"]].startswith("copy of") or span["result"] is not None
            self.assertEqual(" -> " in track, is_copy)
            self.assertTrue(all(op < len(ops) for op in span["ops"]))
        for span in timeline["spans"]:
            self.assertIn(span["begin"], ends)  # nothing begins but when something else has ended
        self.assertEqual(timeline["seconds"], max([span["end"] for span in timeline["spans"]], default=0))
        proof = report["proof"]
        if proof and proof["of"] == "simulated time":
            self.assertEqual(proof["chosen_seconds"], timeline["seconds"])

    def rejection(self, report, what, device):
        op = next(op for op in report["ops"] if op["what"] == what)
        return op, next(rejected for rejected in op["rejected"] if rejected["device"] == device)

    def test_schema_finds_faults(self):
        report = self.report(CAUSES.replace("PIN", ""), "--machine", THREE)
        for change in (lambda r: r.pop("ops"), lambda r: r.update(more=1), lambda r: r["ops"][0].update(reason=""),
                       lambda r: r["ops"][0].update(cause="because"), lambda r: r["ops"][0].update(seconds="1"),
                       lambda r: r["devices"][0].update(device="cpu"), lambda r: r.update(bytes_per_step=-1)):
            damaged = json.loads(json.dumps(report))
            change(damaged)
            self.assertNotEqual(list(faults(damaged, SCHEMA)), [])

    def test_json_follows_its_schema(self):
        for model in (make_graph.make(30), make_graph.make(200), make_graph.make(200, ["sim:0", "sim:1"]),
                      make_graph.make(100, ["cpu:0", "sim:1"])):
            self.report(model, "--machine", THREE)
        self.report(make_graph.make(60))  # on this machine
        self.report(make_graph.make(60, ["cpu:0", "sim:1"]), "--devices", "cpu,sim:2")
        self.report('graph v1\n\nfunction "main"() {\n  return\n}\n', "--machine", THREE)

    def test_real_training_steps_on_shipped_machines(self):
        graphs = os.path.join(ROOT, "examples", "graphs")
        for name in sorted(os.listdir(graphs)):
            if name.endswith(".pw"):
                with open(os.path.join(graphs, name)) as file:
                    model = file.read()
                for machine in ("h200", "rtx4090x8-pcie"):
                    self.report(model, "--machine", machine)
                text = self.place(model, "--machine", "h100")
                self.assertEqual([line for line in text.splitlines() if len(line) > 100], [])

    def test_pinned(self):
        report = self.report(CAUSES.replace("PIN", ' pin(sim:1 from "net.py":33)'), "--machine", THREE)
        op, rejected = self.rejection(report, "exp", "sim:0")
        self.assertEqual((rejected["kind"], rejected["site"]), ("pinned", "net.py:33"))
        self.assertIn("net.py:33", rejected["cause"])
        self.assertEqual(op["devices"], ["sim:1"])

    def test_no_kernel_for_a_dtype(self):
        report = self.report(CAUSES.replace("PIN", "").replace("f32", "f64"), "--machine", THREE)
        op, rejected = self.rejection(report, "tanh", "sim:0")
        self.assertEqual((op["cause"], op["devices"]), ("only device", ["cpu:0"]))
        self.assertEqual((rejected["kind"], rejected["cause"], rejected["site"]),
                         ("no kernel", "no kernel for elementwise of f64", "net.py:11"))
        # What keeps a parameter off a device is the op that makes its new value.
        _, rejected = self.rejection(report, "net.weight", "sim:1")
        self.assertEqual(rejected["site"], "train.py:20")

    def test_memory(self):
        with open(THREE) as file:
            small = self.write("small.machine", file.read().replace("memory 25769803776", "memory 40000000"))
        report = self.report(CAUSES.replace("PIN", ""), "--machine", small)
        for what, site in (("tanh", "net.py:11"), ("net.weight", "net.py:10")):
            op, rejected = self.rejection(report, what, "sim:0")
            self.assertEqual((op["devices"], rejected["kind"], rejected["site"]), (["cpu:0"], "memory", site))
        _, rejected = self.rejection(report, "dot_general", "sim:1")
        self.assertEqual((rejected["kind"], rejected["cause"][:30]), ("memory", "needs 50331648 bytes with what"))
        self.assertIn("within the devices' memories", report["objective"])
        for memory in report["memory"]:
            self.assertLessEqual(memory["peak_bytes"], memory["capacity_bytes"])

    def test_colocated(self):
        report = self.report(CAUSES.replace("PIN", ""), "--machine", THREE)
        op, rejected = self.rejection(report, "sub", "cpu:0")
        self.assertEqual((op["cause"], rejected["kind"]), ("colocated", "colocated"))
        self.assertIn("stays with net.weight", rejected["cause"])
        self.assertEqual(op["site"], "train.py:20")
        self.assertEqual(rejected["site"], "train.py:20")

    def test_dearer(self):
        report = self.report(CAUSES.replace("PIN", ""), "--machine", THREE)
        op, rejected = self.rejection(report, "tanh", "cpu:0")
        self.assertEqual((op["devices"][0][:3], rejected["kind"], rejected["site"]), ("sim", "dearer", "net.py:11"))
        self.assertIn("bytes of dot_general (net.py:10)", rejected["cause"])
        self.assertGreater(rejected["seconds"], 0)
        # The price is the one of the problem that was solved, in which only this op moves.
        problem = self.problem(CAUSES.replace("PIN", ""), "--machine", THREE)
        labels = [problem["devices"].index(device) for device in problem["placement"]]
        tanh = next(g for g, group in enumerate(problem["groups"]) if any(op.endswith(":tanh") for op in group["ops"]))
        moved = labels[:tanh] + [problem["devices"].index("cpu:0")] + labels[tanh + 1:]
        self.assertEqual(energy(problem, labels), problem["energy"])
        self.assertAlmostEqual((energy(problem, moved) - problem["energy"]) * 1e-9, rejected["seconds"], delta=1e-12)
        # With the op there by force, and all others where they were, a step takes that much longer and what splitting
        # its launch costs: each half then writes what it kept to itself.
        forced = self.report(CAUSES.replace("PIN", "").replace("f32[2048,2048] #2", 'f32[2048,2048] pin(cpu:0 from "a.py":1) #2')
                             .replace("f32[2048,2048] #1", f'f32[2048,2048] pin({op["devices"][0]} from "a.py":2) #1')
                             .replace("f32[2048,2048] #3", f'f32[2048,2048] pin({op["devices"][0]} from "a.py":2) #3')
                             .replace("f32[2048,2048] #4", f'f32[2048,2048] pin({op["devices"][0]} from "a.py":2) #4'),
                             "--machine", THREE)
        self.assertGreater(forced["seconds"] - report["seconds"], rejected["seconds"])
        self.assertLess(forced["seconds"] - report["seconds"], 1.25 * rejected["seconds"])

    def test_prices_of_pins_and_hints_are_true(self):
        pinned = CAUSES.replace("PIN", ' pin(cpu:0 from "net.py":33)')
        report, free = self.report(pinned, "--machine", THREE), self.report(CAUSES.replace("PIN", ""), "--machine", THREE)
        (pin,) = report["pins"]
        self.assertEqual((pin["site"], pin["device"], pin["ops"]), ("net.py:33", "cpu:0", 1))
        self.assertGreater(pin["seconds"], 0)
        # With results read on the host, as the proof counts.
        whole = lambda made: made["proof"]["chosen_seconds"]
        self.assertAlmostEqual(pin["seconds"], whole(report) - whole(free), delta=2e-9)
        self.assertEqual((report["hints"][0]["seconds"], report["hints"][0]["text"][:36]),
                         (pin["seconds"], "drop the pin to cpu:0 at net.py:33 ("))
        # Data that is kept where it is read: the saving that the hint promises is what such a graph takes less.
        hint = next(hint for hint in free["hints"] if hint["text"].startswith("x is copied"))
        on = re.search(r"copied to (\S+)", hint["text"]).group(1)
        kept = CAUSES.replace("PIN", "").replace('name="x"} : f32[2048,2048]', f'name="x"}} : f32[2048,2048] pin({on} from "a.py":1)')
        self.assertAlmostEqual(hint["seconds"], whole(free) - whole(self.report(kept, "--machine", THREE)), delta=2e-9)

    def test_text_is_narrow_and_plain_in_files(self):
        for arguments in ((), ("--every-op",)):
            text = self.place(make_graph.make(200, ["sim:0", "sim:1"]), "--machine", THREE, *arguments)
            self.assertEqual([line for line in text.splitlines() if len(line) > 100], [])
            self.assertNotIn("\x1b", text)
        report = self.report(make_graph.make(200, ["sim:0", "sim:1"]), "--machine", THREE)
        for op in report["ops"]:
            self.assertIn(op["what"], text)
            if op["site"]:
                self.assertIn(op["site"], text)

    def test_dot(self):
        model = make_graph.make(100, ["sim:0", "sim:1"])
        report, dot = self.report(model, "--machine", THREE), self.place(model, "--machine", THREE, "--format", "dot")
        nodes = re.findall(r"^    op(\d+) \[label=\"(?:[^\"\\]|\\.)*\", tooltip=\"(?:[^\"\\]|\\.)*\"(?:, shape=ellipse)?\];$", dot, re.M)
        self.assertEqual(sorted(map(int, nodes)), list(range(len(report["ops"]))))
        edges = re.findall(r"^  op(\d+) -> op(\d+)", dot, re.M)
        self.assertEqual(len(edges), sum(len(op["operands"]) for op in report["ops"]))
        self.assertEqual(dot.count("subgraph cluster_"), sum(device["ops"] > 0 for device in report["devices"]))
        cuts = {(cut["op"], reader) for cut in report["cuts"] for reader in cut["readers"]}
        cut_operands = [operand for op in report["ops"] for operand in op["operands"] if (operand, op["op"]) in cuts]
        self.assertEqual(dot.count("penwidth=2"), len(cut_operands))
        if shutil.which("dot"):
            subprocess.run(["dot", "-Tsvg", "-o", os.devnull], input=dot, text=True, check=True, timeout=60)

    def test_output_goes_to_a_file_by_its_ending(self):
        for name, begin in (("a.json", "{"), ("a.dot", "digraph"), ("a.html", "<!doctype html>"), ("a.txt", "/")):
            path = os.path.join(self.folder.name, name)
            self.assertEqual(self.place(CAUSES.replace("PIN", ""), "--machine", THREE, "-o", path), "")
            with open(path) as file:
                self.assertTrue(file.read().startswith(begin), name)

    def test_hostile_names_stay_inside_the_page(self):
        model = CAUSES.replace("PIN", "").replace('name="x"', 'name="</script><script>alert(1)</script><!--"')
        page = self.place(model, "--machine", THREE, "--format", "html")
        self.assertNotIn("alert(1)</script>", page)
        self.assertEqual(page.count("<script"), 2)


if __name__ == "__main__":
    TOOL = os.path.abspath(sys.argv[1])
    unittest.main(argv=sys.argv[:1], verbosity=1)
