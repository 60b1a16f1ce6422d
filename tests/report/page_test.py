#!/usr/bin/env python3
"""Opens the report's page in a headless browser: page_test.py TOOL [SCREENSHOTS]

Exit code 77, and a line that says so, where no browser can be found.
"""
import json
import os
import subprocess
import sys
import tempfile
import unittest

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import make_graph
from browser import Browser, find_browser

HERE = os.path.dirname(os.path.abspath(__file__))
TOOL = SHOTS = None


def make_page(folder, name, ops, devices):
    model, page = os.path.join(folder, name + ".pw"), os.path.join(folder, name + ".html")
    with open(model, "w") as file:
        file.write(make_graph.make(ops, devices))
    subprocess.run([TOOL, "place", "--machine", os.path.join(HERE, "three.machine"), "--format", "html", "-o", page,
                    model], check=True, timeout=200)
    return page


class Page(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory()
        cls.small = make_page(cls.folder.name, "small", 150, ["sim:0", "sim:1"])
        cls.large = make_page(cls.folder.name, "large", 10900, ["sim:0", "sim:1"])
        cls.browser = Browser(find_browser())

    @classmethod
    def tearDownClass(cls):
        cls.browser.close()
        cls.folder.cleanup()

    def tearDown(self):
        # Whatever a test did: nothing but the file was asked for, and nothing was complained of.
        self.assertEqual([url for url in self.browser.requests if not url.startswith("data:")],
                         ["file://" + os.path.realpath(self.opened)])
        self.assertEqual(self.browser.complaints, [])

    def open(self, page):
        self.opened = page
        return self.browser.open(page)

    def look(self, name):
        if SHOTS:
            self.browser.screenshot(os.path.join(SHOTS, name + ".png"))

    def text(self, selector):
        return self.browser.evaluate(f"document.querySelector({json.dumps(selector)})?.innerText ?? null")

    def op(self, **wanted):
        """The number of the first op with these fields."""
        return self.browser.evaluate(
            f"(() => {{ const wanted = {json.dumps(wanted)}; return placewright.report.ops.findIndex("
            "(op) => Object.keys(wanted).every((key) => op[key] === wanted[key])); })()")

    def test_opens_and_shows_the_plan(self):
        self.open(self.small)
        self.assertEqual(self.text("#model"), "small.pw")
        self.assertEqual(self.browser.evaluate("placewright.report.model"), self.small.replace(".html", ".pw"))
        self.assertIn("sim:1", self.text("#legend"))
        colours = self.browser.evaluate(
            "(() => { const c = document.getElementById('canvas'), d = c.getContext('2d').getImageData(0, 0, c.width, "
            "c.height).data, seen = new Set(); for (let i = 0; i < d.length; i += 4) seen.add(d[i] << 16 | d[i + 1] << "
            "8 | d[i + 2]); return [0xdfeafb, 0xfdead9, 0xe9edf2].map((colour) => seen.has(colour)); })()")
        self.assertEqual(colours, [True, True, True])  # ops of all three devices are on the canvas
        self.look("small")

    def test_search_finds_an_op_and_shows_its_reason(self):
        self.open(self.small)
        self.browser.key("/", text="/")
        self.browser.type("layers.4.up dot_general model.py:21")
        self.assertIn("layers.4.up", self.text("#found"))
        self.look("search")
        self.browser.key("Enter")
        number = self.browser.evaluate("placewright.view.selected.op")
        op = self.browser.evaluate(f"placewright.report.ops[{number}]")
        self.assertEqual((op["what"], op["module"], op["site"]), ("dot_general", "layers.4.up", "model.py:21"))
        self.assertEqual(self.text("#reason"), op["reason"])
        self.browser.key("/", text="/")
        self.browser.evaluate("document.getElementById('search').select()")
        self.browser.type("nothing has this name")
        self.assertIn("No op", self.text("#found"))

    def test_click_shows_the_reason_and_what_was_rejected(self):
        self.open(self.small)
        self.browser.evaluate("placewright.open_and_fit(true)")
        number = self.op(what="dot_general", module="layers.4.up", role="forward")
        self.browser.settle()
        at = self.browser.evaluate(f"placewright.place_of_op({number})")
        self.assertEqual(at["op"], number)  # its modules are open
        self.browser.click(at["x"], at["y"])
        op = self.browser.evaluate(f"placewright.report.ops[{number}]")
        self.assertEqual(op["cause"], "pinned")
        details = self.text("#details")
        self.assertIn("placed on sim:1 at train.py:18", details)
        self.assertIn("model.py:21", details)
        for rejected in op["rejected"]:
            self.assertIn(rejected["device"], details)
        self.look("op")

    def test_modules_open_and_close(self):
        self.open(self.small)
        self.browser.evaluate("placewright.open_and_fit(false)")
        self.browser.settle()
        closed = self.browser.evaluate("placewright.view.shown.length")
        number = self.op(what="dot_general", module="layers.4.up", role="backward")
        at = self.browser.evaluate(f"placewright.place_of_op({number})")
        self.assertEqual(at["op"], -1)  # a module stands for it
        self.browser.click(at["x"], at["y"])
        self.assertGreater(self.browser.evaluate("placewright.view.shown.length"), closed)
        self.browser.key("Enter")  # the canvas has the focus, and the module is selected
        self.assertEqual(self.browser.evaluate("placewright.view.shown.length"), closed)
        self.look("closed")

    def test_keys_walk_along_values(self):
        self.open(self.small)
        number = self.op(what="tanh", module="layers.2.norm")
        self.browser.evaluate(f"placewright.select_op({number}, true); document.getElementById('canvas').focus()")
        self.browser.key("ArrowDown")
        self.assertEqual(self.text("#details h2"), "add")
        self.browser.key("ArrowUp")
        self.browser.key("ArrowUp")
        self.assertEqual(self.text("#details h2"), "mul")
        before = self.browser.evaluate("placewright.view.scale")
        self.browser.key("+", text="+")
        self.assertGreater(self.browser.evaluate("placewright.view.scale"), before)
        self.browser.key("Escape")
        self.assertEqual(self.text("#details h2"), "Plan")

    def test_charts_and_tables(self):
        self.open(self.small)
        for tab, sign in (("memory", "At the peak of"), ("transfers", "model.py:"), ("prices", "pin at train.py:17"), ("hints", "drop the pin")):
            self.browser.evaluate(f"document.getElementById('tab-{tab}').click()")
            self.browser.settle()
            self.assertIn(sign, self.text("#pane"))
            self.look(tab)
        self.browser.evaluate("document.getElementById('tab-timeline').focus(); document.getElementById('tab-timeline').click()")
        self.browser.key("ArrowRight")
        self.assertEqual(self.browser.evaluate("document.activeElement.id"), "tab-memory")

    def test_ten_thousand_ops_are_drawn_in_less_than_a_second(self):
        drawn = min(self.open(self.large) for _ in range(3))  # other tests may run beside this one
        self.assertGreaterEqual(self.browser.evaluate("placewright.report.ops.length"), 10000)
        self.look("large")
        times = self.browser.evaluate(
            "(() => { const begin = performance.now(); placewright.open_and_fit(true); const laid_out = "
            "performance.now(); placewright.draw(); return [laid_out - begin, performance.now() - laid_out, "
            "placewright.view.shown.filter((node) => node.op >= 0).length]; })()")
        self.browser.settle()
        self.look("large_open")
        print(f"{drawn:.0f} ms from the file to the first picture; all {times[2]} ops: laid out in {times[0]:.0f} ms, "
              f"drawn in {times[1]:.0f} ms", flush=True)
        self.assertGreaterEqual(times[2], 10000)
        self.assertLess(drawn, 1000)
        self.assertLess(times[0] + times[1], 1000)


if __name__ == "__main__":
    TOOL = os.path.abspath(sys.argv[1])
    SHOTS = os.path.abspath(sys.argv[2]) if len(sys.argv) > 2 else None
    if not find_browser():
        print("skipped: no Chromium on the path; scripts/setup.sh --browser installs it")
        sys.exit(77)
    unittest.main(argv=sys.argv[:1], verbosity=2)
