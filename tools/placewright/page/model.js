// The report as it was embedded, and the tree that the graph is drawn from: roles, modules, runs of ops, ops.
const report = unpacked(JSON.parse(document.getElementById('report').textContent));
const ops = report.ops;
const devices = report.devices.map((device) => device.device);

// The page holds the JSON report with each string once, and ops and spans as rows.
function unpacked(packed) {
  const {strings, ops: {keys, rows}, timeline} = packed;
  const texts = new Set(['what', 'kind', 'origin', 'module', 'role', 'site', 'frames', 'type', 'devices', 'cause', 'reason']);
  const text = (value) => (value === null ? null : Array.isArray(value) ? value.map((item) => strings[item]) : strings[value]);
  packed.ops = rows.map((row) => {
    const op = {};
    keys.forEach((key, i) => { op[key] = texts.has(key) ? text(row[i]) : row[i]; });
    const list = op.rejected;
    op.rejected = [];
    for (let i = 0; i < list.length; i += 5)
      op.rejected.push({device: strings[list[i]], kind: strings[list[i + 1]], cause: strings[list[i + 2]], site: text(list[i + 3]), seconds: list[i + 4]});
    return op;
  });
  const spans = timeline.spans;
  timeline.spans = [];
  for (let i = 0; i < spans.length; i += 6)
    timeline.spans.push({track: spans[i], launch: spans[i + 1], is_result: spans[i + 2] === 1, op: spans[i + 3],
                         begin: spans[i + 4] * 1e-9, end: spans[i + 5] * 1e-9});
  return packed;
}

// The host in slate, the others in turn; each as line, fill and text.
const palette = [
  ['#5b6b80', '#e9edf2'], ['#2463c5', '#dfeafb'], ['#b85a00', '#fdead9'], ['#1f7a45', '#dff2e6'],
  ['#7a3fc0', '#f0e6fb'], ['#b3264f', '#fbe3ea'], ['#0d7377', '#daf0f0'], ['#7d6608', '#f5efd5'],
];
function colour_of(device) {
  const number = devices.indexOf(device);
  return palette[number < 1 ? 0 : 1 + (number - 1) % (palette.length - 1)];
}

const readers = ops.map(() => []);  // of each op
const edges = [];                   // [from, to], each pair once
for (const op of ops)
  for (const operand of new Set(op.operands)) {
    edges.push([operand, op.op]);
    readers[operand].push(op.op);
  }
const cuts_of = ops.map(() => []);  // of each op: numbers of cuts that it makes or reads
const cut_of_edge = new Map();      // from * ops.length + to: number of a cut
report.cuts.forEach((cut, number) => {
  cuts_of[cut.op].push(number);
  for (const reader of cut.readers) {
    cuts_of[reader].push(number);
    cut_of_edge.set(cut.op * ops.length + reader, number);
  }
});

function is_input(op) {
  return op.kind === 'input' || op.kind === 'constant';
}

const most_in_a_box = 80, run_length = 40;

function make_node(parent, label) {
  return {parent, label, children: [], op: -1, open: false, computes: false, first: Infinity, count: 0, seconds: 0, bytes: 0, on: new Map(),
    depth: parent ? parent.depth + 1 : 0, links: null, x: 0, y: 0, w: 0, h: 0, shown: -1};
}

function make_tree() {
  const root = make_node(null, report.model.split('/').pop());
  const roles = new Set(ops.filter((op) => !is_input(op)).map((op) => op.role));
  const child_of = new Map();
  const enter = (parent, label) => {
    let children = child_of.get(parent);
    if (!children) child_of.set(parent, children = new Map());
    let child = children.get(label);
    if (!child) {
      child = make_node(parent, label);
      children.set(label, child);
      parent.children.push(child);
    }
    return child;
  };
  for (const op of ops) {
    let node = root;
    if (roles.size > 1) node = enter(node, op.role === 'transfer' ? 'forward' : op.role);
    if (op.module) for (const part of op.module.split('.')) node = enter(node, part);
    const leaf = make_node(node, op.what);
    leaf.op = op.op;
    node.children.push(leaf);
  }
  tidy(root);
  sum_up(root, 0);
  return root;
}

// A box that holds nothing but one box is that box; one of very many children holds runs of them.
function tidy(node) {
  for (let i = 0; i < node.children.length; ++i) {
    let child = node.children[i];
    while (child.children.length === 1 && child.children[0].op < 0) {
      const only = child.children[0];
      only.label = child.label + '.' + only.label;
      only.parent = node;
      node.children[i] = child = only;
    }
    tidy(child);
    if (child.op < 0 && /^\d+$/.test(child.label)) child.label = named(node, child);
  }
  if (node.children.length <= most_in_a_box) return;
  const boxes = node.children.filter((child) => child.op < 0), leaves = node.children.filter((child) => child.op >= 0);
  node.children = [...make_runs(node, boxes, box_run_label), ...make_runs(node, leaves, leaf_run_label)];
}

// A layer's number says little: it stands behind its list's name, or before what the layer mostly does.
function named(parent, child) {
  const is_listed = parent.parent && !['forward', 'backward', 'update'].includes(parent.label);
  if (is_listed) return `${parent.label.split('.').pop()}.${child.label}`;
  let costliest = null;
  (function look(node) {
    if (node.op >= 0 && !is_input(ops[node.op]) && (!costliest || ops[node.op].seconds > costliest.seconds)) costliest = ops[node.op];
    node.children.forEach(look);
  })(child);
  return costliest ? `${child.label} ${costliest.kind}` : child.label;
}

function make_runs(node, children, label) {
  if (children.length <= run_length) return children;
  const length = Math.ceil(children.length / Math.ceil(children.length / run_length)), runs = [];
  for (let i = 0; i < children.length; i += length) {
    const run = make_node(node, '');
    run.children = children.slice(i, i + length);
    run.label = label(run.children);
    for (const child of run.children) child.parent = run;
    runs.push(run);
  }
  return runs;
}
function box_run_label(boxes) {
  const last = boxes[boxes.length - 1].label;
  return `${boxes[0].label} to ${/\.\d+$/.test(last) ? last.split('.').pop() : last}`;
}
function leaf_run_label(leaves) {
  const sites = new Set(leaves.map((leaf) => ops[leaf.op].site).filter(Boolean));
  const label = `ops ${leaves[0].op} to ${leaves[leaves.length - 1].op}`;
  return sites.size === 1 ? `${[...sites][0]}, ${label}` : label;
}

function sum_up(node, depth) {
  node.depth = depth;
  if (node.op >= 0) {
    const op = ops[node.op];
    node.count = 1;
    node.seconds = op.seconds;
    node.bytes = op.bytes;
    node.on.set(op.devices[0], 1);
    // Inputs stand at the head of the graph, wherever they are read.
    node.first = is_input(op) && readers[node.op].length ? readers[node.op][0] - 0.5 : node.op;
    node.computes = !is_input(op);
    return;
  }
  for (const child of node.children) {
    sum_up(child, depth + 1);
    node.count += child.count;
    node.seconds += child.seconds;
    node.bytes += child.bytes;
    node.computes = node.computes || child.computes;
    for (const [device, count] of child.on) node.on.set(device, (node.on.get(device) || 0) + count);
  }
  // A box begins with what it computes: its parameters are read only then.
  for (const child of node.children) if (child.computes === node.computes) node.first = Math.min(node.first, child.first);
}

const tree = make_tree();
const leaf_of = [];
(function find_leaves(node) {
  if (node.op >= 0) leaf_of[node.op] = node;
  node.children.forEach((child, i) => { child.index = i; });
  for (const child of node.children) find_leaves(child);
})(tree);

// Each edge belongs to the smallest box that holds both ends, as an edge between two of its children.
for (const [from, to] of edges) {
  let a = leaf_of[from], b = leaf_of[to];
  while (a.depth > b.depth) a = a.parent;
  while (b.depth > a.depth) b = b.parent;
  while (a.parent !== b.parent) {
    a = a.parent;
    b = b.parent;
  }
  if (a === b) continue;
  a.parent.links = a.parent.links || new Map();
  const key = a.index * a.parent.children.length + b.index;
  a.parent.links.set(key, (a.parent.links.get(key) || 0) + 1);
}

function path_of(node) {
  const parts = [];
  for (; node && node.parent; node = node.parent) parts.unshift(node.label);
  return parts.join(' / ');
}

// Numbers for people.
function duration_text(seconds) {
  if (seconds === 0) return '0';
  const [scale, unit] = seconds >= 1 ? [1, 's'] : seconds >= 1e-3 ? [1e3, 'ms'] : seconds >= 1e-6 ? [1e6, 'µs'] : [1e9, 'ns'];
  return `${Number((seconds * scale).toPrecision(3))} ${unit}`;
}
function bytes_text(bytes) {
  if (bytes < 1000) return `${bytes} B`;
  const units = ['kB', 'MB', 'GB', 'TB', 'PB'];
  let unit = -1;
  while (bytes >= 999.5 && unit < units.length - 1) {
    bytes /= 1000;
    ++unit;
  }
  return `${Number(bytes.toPrecision(3))} ${units[unit]}`;
}
function count_text(count, what) {
  return `${count.toLocaleString('en')} ${what}${count === 1 ? '' : 's'}`;
}
