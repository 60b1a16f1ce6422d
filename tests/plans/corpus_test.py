#!/usr/bin/env python3
"""The graphs of examples/graphs: corpus_test.py TOOL WRITE_GRAPHS

They are what examples/write_graphs.cc writes today; their plans are proven; and other algorithms' answers to their
problems are scored against that."""
import json
import os
import subprocess
import sys
import tempfile
import unittest

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
GRAPHS = os.path.join(ROOT, "examples", "graphs")
CHECKER = os.path.join(ROOT, "scripts", "check_certificate.py")
TOOL = WRITE_GRAPHS = None


def energy(problem, placement):
    sum_ = sum(group["costs"][label] for group, label in zip(problem["groups"], placement))
    for value in problem["values"]:
        home = placement[value["producer"]]
        sum_ += sum(value["moves"][home][d] for d in {placement[c] for c in value["consumers"]} - {home})
    return sum_


def greedy(problem):
    """Each group, in order, where it is cheapest beside what stands already."""
    placement = []
    for g, group in enumerate(problem["groups"]):
        arriving = [v for v in problem["values"] if g in v["consumers"] and v["producer"] < g]
        choices = [cost + sum(v["moves"][placement[v["producer"]]][d] for v in arriving) for d, cost in enumerate(group["costs"])]
        placement.append(choices.index(min(choices)))
    return placement


class Corpus(unittest.TestCase):
    def setUp(self):
        self.folder = tempfile.TemporaryDirectory()
        self.addCleanup(self.folder.cleanup)

    def path(self, name):
        return os.path.join(self.folder.name, name)

    def place(self, *arguments):
        run = subprocess.run([TOOL, "place", *arguments], capture_output=True, text=True, timeout=120)
        self.assertEqual((run.returncode, run.stderr), (0, ""), arguments)
        return run.stdout

    def test_the_graphs_are_what_the_example_writes(self):
        # Origins name lines of the sources, relative to the source root.
        subprocess.run([WRITE_GRAPHS, self.folder.name], check=True, timeout=120)
        self.assertEqual(sorted(os.listdir(self.folder.name)), sorted(os.listdir(GRAPHS)))
        for name in os.listdir(GRAPHS):
            with open(self.path(name)) as made, open(os.path.join(GRAPHS, name)) as kept:
                self.assertEqual(made.read(), kept.read(), f"{name}: run write_graphs examples/graphs")

    def test_plans_are_proven_and_others_are_scored(self):
        for name in sorted(os.listdir(GRAPHS)):
            for machine in ("h200", "rtx4090", "a100x8"):
                with self.subTest(graph=name, machine=machine):
                    self.check(os.path.join(GRAPHS, name), machine)

    def check(self, graph, machine):
        plan, problem_file, answer = (self.path(name) for name in ("plan.lock", "problem.json", "answer.json"))
        self.place("--machine", machine, graph, "-o", plan, "--export-problem", problem_file)
        proof = subprocess.run([sys.executable, CHECKER, plan], capture_output=True, text=True)
        self.assertEqual(proof.returncode, 0, proof.stderr)
        with open(problem_file) as file:
            problem = json.load(file)
        ours = [problem["devices"].index(device) for device in problem["placement"]]
        self.assertEqual(energy(problem, ours), problem["energy"])
        self.assertLessEqual(problem["bound"], problem["energy"])
        by_sum = problem["objective"].startswith("sum")
        if by_sum:
            self.assertLessEqual(problem["energy"], problem["bound"] * 1.01)
        for placement in (ours, greedy(problem)):
            with open(answer, "w") as file:
                json.dump({"format": "placewright placement 1", "problem": problem["hash"],
                           "placement": [problem["devices"][label] for label in placement]}, file)
            score = json.loads(self.place("--machine", machine, graph, "--import-plan", answer, "--format", "json"))
            self.assertEqual(score["energy"], energy(problem, placement))
            ours_by = ("energy", "ours") if by_sum else ("makespan", "our_makespan")
            self.assertGreaterEqual(score[ours_by[0]], score[ours_by[1]])
            self.assertGreaterEqual(score["energy"], score["bound"])
            self.assertEqual((score["ours"], score["bound"]), (problem["energy"], problem["bound"]))


if __name__ == "__main__":
    WRITE_GRAPHS, TOOL = os.path.abspath(sys.argv.pop(2)), os.path.abspath(sys.argv.pop(1))
    unittest.main()
