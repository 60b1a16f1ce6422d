// Where boxes and ops stand: every open box is laid out by itself, in layers along the values that its children exchange,
// and is one large child of the box around it.
const op_width = 150, op_height = 38, input_height = 26, box_width = 190, box_height = 54;
const gap_x = 14, gap_y = 30, padding = 16, title_height = 26;

function layout(node) {
  if (node.op >= 0) {
    node.w = op_width;
    node.h = is_input(ops[node.op]) ? input_height : op_height;
    return;
  }
  if (!node.open) {
    node.w = box_width;
    node.h = box_height;
    return;
  }
  for (const child of node.children) layout(child);
  const layers = make_layers(node);
  order_layers(node, layers);
  const {w, h} = fold(split_wide(layers));
  node.w = Math.max(w + 2 * padding, box_width);
  node.h = h + 2 * padding + title_height;
}

// A child stands below all that it reads; a value that runs against the order of the ops puts nothing below anything.
function make_layers(node) {
  const children = node.children, size = children.length;
  const befores = children.map(() => []), afters = children.map(() => []);
  for (const key of node.links ? node.links.keys() : []) {
    const a = Math.floor(key / size), b = key % size;
    if (children[a].first >= children[b].first) continue;
    befores[b].push(a);
    afters[a].push(b);
  }
  const order = children.map((_, i) => i).sort((a, b) => children[a].first - children[b].first || a - b);
  const rank = new Int32Array(size);
  for (const i of order) for (const before of befores[i]) rank[i] = Math.max(rank[i], rank[before] + 1);
  for (const i of order)  // what reads nothing stands right above its first reader
    if (!befores[i].length && afters[i].length) rank[i] = Math.max(0, Math.min(...afters[i].map((after) => rank[after])) - 1);
  const layers = [];
  for (const i of order) (layers[rank[i]] = layers[rank[i]] || []).push(i);
  node.befores = befores;
  node.afters = afters;
  return layers.filter(Boolean);
}

// Fewer crossings: each child near the middle of its neighbours, down and up again.
function order_layers(node, layers) {
  const at = new Float64Array(node.children.length);
  const settle = (layer) => layer.forEach((i, position) => { at[i] = (position + 0.5) / layer.length; });
  layers.forEach(settle);
  const mean = (neighbours, i) =>
    neighbours[i].length ? neighbours[i].reduce((sum, n) => sum + at[n], 0) / neighbours[i].length : at[i];
  const sweep = (layer, neighbours) => {
    const wish = new Map(layer.map((i) => [i, mean(neighbours, i)]));
    layer.sort((a, b) => wish.get(a) - wish.get(b) || a - b);
    settle(layer);
  };
  for (let round = 0; round < 3; ++round) {
    for (let l = 1; l < layers.length; ++l) sweep(layers[l], node.befores);
    for (let l = layers.length - 2; l >= 0; --l) sweep(layers[l], node.afters);
  }
  layers.forEach((layer, l) => { layers[l] = layer.map((i) => node.children[i]); });
  node.befores = node.afters = null;
}

function width_of(row) {
  return row.reduce((sum, child) => sum + child.w + gap_x, -gap_x);
}
function height_of(row) {
  return Math.max(...row.map((child) => child.h));
}

// Layers of very many children go on in rows below.
function split_wide(layers) {
  let area = 0;
  for (const layer of layers) for (const child of layer) area += (child.w + gap_x) * (child.h + gap_y);
  const widest = Math.max(1000, Math.sqrt(area) * 1.6, ...layers.flat().map((child) => child.w));
  const rows = [];
  for (const layer of layers) {
    let row = [];
    for (const child of layer) {
      if (row.length && width_of(row) + gap_x + child.w > widest) {
        rows.push(row);
        row = [];
      }
      row.push(child);
    }
    rows.push(row);
  }
  return rows;
}

// Long chains go on in a column beside the first, so that a graph is about as high as it is wide.
function fold(rows) {
  if (!rows.length) return {w: 0, h: 0};
  const total = rows.reduce((sum, row) => sum + height_of(row) + gap_y, 0);
  const widest = Math.max(...rows.map(width_of));
  const columns = Math.max(1, Math.round(Math.sqrt(total / (widest + 3 * gap_x) * 1.5)));
  const aim = total / columns;
  let x = 0, bottom = 0, column = [], height = 0;
  const close = () => {
    const width = place_column(column, x);
    x += width + 3 * gap_x;
    bottom = Math.max(bottom, height - gap_y);
    column = [];
    height = 0;
  };
  for (const row of rows) {
    const more = height_of(row) + gap_y;
    if (column.length && columns > 1 && height + more / 2 > aim) close();
    column.push([row, height]);
    height += more;
  }
  close();
  return {w: x - 3 * gap_x, h: bottom};
}

// Rows below each other, each in the middle.
function place_column(column, x) {
  const width = Math.max(...column.map(([row]) => width_of(row)));
  for (const [row, y] of column) {
    const high = height_of(row);
    let at = x + (width - width_of(row)) / 2;
    for (const child of row) {
      child.x = padding + at;
      child.y = padding + title_height + y + (high - child.h) / 2;
      at += child.w + gap_x;
    }
  }
  return width;
}

// From places in the box around to places in the graph; and all that is shown, boxes before what they hold.
function collect_shown(root) {
  const shown = [];
  (function enter(node, x, y) {
    node.ax = x;
    node.ay = y;
    node.shown = shown.length;
    shown.push(node);
    if (node.open) for (const child of node.children) enter(child, x + child.x, y + child.y);
  })(root, 0, 0);
  return shown;
}

// The box or op that stands for an op.
function shown_for(op) {
  let node = leaf_of[op], top = node;
  for (; node.parent; node = node.parent) if (!node.parent.open) top = node.parent;
  return top;
}

// What is drawn between shown ends: one line for each pair, however many values it stands for.
function collect_lines(shown) {
  const stand_in = ops.map((op) => shown_for(op.op));
  const lines = new Map();
  for (const [from, to] of edges) {
    const a = stand_in[from], b = stand_in[to];
    if (a === b) continue;
    const key = a.shown * shown.length + b.shown;
    let line = lines.get(key);
    if (!line) lines.set(key, line = {a, b, count: 0, cuts: [], bytes: 0});
    ++line.count;
    const cut = cut_of_edge.get(from * ops.length + to);
    if (cut === undefined || line.cuts.includes(cut)) continue;
    line.cuts.push(cut);
    line.bytes += report.cuts[cut].bytes;
  }
  return [...lines.values()];
}

// Roles and modules are opened from the outside while there is room to read them.
function open_to_read(root) {
  for (const most of [90, 70, 50, 36, 24, 12, 0]) {
    open_every(root, false);
    open_some(root, most);
    layout(root);
    if (fitting_scale() >= 0.55) return;
  }
}
function open_some(root, most) {
  const queue = [root];
  let count = root.children.length;
  root.open = true;
  for (let i = 0; i < queue.length; ++i) {  // of a box all or none; roles one by one
    const boxes = queue[i].children.filter((child) => child.op < 0);
    for (const some of queue[i] === root ? boxes.map((box) => [box]) : [boxes]) {
      const more = some.reduce((sum, box) => sum + box.children.length - 1, 0);
      if (count + more > most) continue;
      count += more;
      for (const box of some) box.open = true;
      queue.push(...some);
    }
  }
}
function open_every(node, open) {
  if (node.op >= 0) return;
  node.open = open || !node.parent;
  for (const child of node.children) open_every(child, open);
}
