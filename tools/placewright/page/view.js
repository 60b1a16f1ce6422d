// The canvas: drawing, panning, zooming, picking, and walking by keys.
const canvas = document.getElementById('canvas');
const view = {x: 0, y: 0, scale: 1, width: 0, height: 0, shown: [], lines: [], cut_lines: [], selected: null, hovered: null,
  device: null, pending: false, is_all_shown: true, is_arranged: false,
  lines_of: new Map()};
const text_font = 'system-ui, -apple-system, "Segoe UI", Roboto, "Helvetica Neue", "DejaVu Sans", sans-serif';

function refresh() {
  layout(tree);
  view.shown = collect_shown(tree);
  const lines = collect_lines(view.shown);
  view.lines = lines.filter((line) => !line.cuts.length);
  view.cut_lines = lines.filter((line) => line.cuts.length);
  view.lines_of = new Map();
  for (const line of lines)
    for (const end of [line.a, line.b]) {
      const known = view.lines_of.get(end);
      if (known) known.push(line); else view.lines_of.set(end, [line]);
    }
  for (const line of lines) line.curve = curve(line.a, line.b);
}

function curve(a, b) {
  const ax = a.ax + a.w / 2, bx = b.ax + b.w / 2;
  if (b.ay >= a.ay + a.h - 1) {  // down
    const ay = a.ay + a.h, by = b.ay, bend = Math.min(60, Math.max(12, (by - ay) / 2));
    return [ax, ay, ax, ay + bend, bx, by - bend, bx, by];
  }
  const right = bx > ax, x0 = right ? a.ax + a.w : a.ax, x1 = right ? b.ax : b.ax + b.w;  // beside or up
  const y0 = a.ay + a.h / 2, y1 = b.ay + b.h / 2, bend = Math.max(24, Math.min(120, Math.abs(x1 - x0) / 2)) * (right ? 1 : -1);
  return [x0, y0, x0 + bend, y0, x1 - bend, y1, x1, y1];
}

function curve_point(c, t) {
  const s = 1 - t, a = s * s * s, b = 3 * s * s * t, d = 3 * s * t * t, e = t * t * t;
  return [a * c[0] + b * c[2] + d * c[4] + e * c[6], a * c[1] + b * c[3] + d * c[5] + e * c[7]];
}

function redraw() {
  if (view.pending) return;
  view.pending = true;
  requestAnimationFrame(() => {
    view.pending = false;
    draw();
  });
}

function fit_canvas() {
  const box = canvas.getBoundingClientRect(), ratio = window.devicePixelRatio || 1;
  view.width = box.width;
  view.height = box.height;
  canvas.width = Math.max(1, Math.round(box.width * ratio));
  canvas.height = Math.max(1, Math.round(box.height * ratio));
}

const room = 20, top = 48;  // around the graph when all of it is shown; the legend is above
function fitting_scale() {
  return Math.max(0.005, Math.min((view.width - 2 * room) / tree.w, (view.height - top - room) / tree.h, 1.15));
}

function show_all() {
  view.scale = fitting_scale();
  view.is_all_shown = true;
  view.x = view.width / 2 - tree.w / 2 * view.scale;
  view.y = top + (view.height - top - room) / 2 - tree.h / 2 * view.scale;
  redraw();
}

function shade(node) {
  return view.device !== null && !node.on.has(view.device) ? 0.22 : 1;
}

// A text that fits, by the width of a usual letter; measured only near the limit.
const widths = new Map();
function fitted(context, text, width) {
  const size = parseFloat(context.font.match(/([\d.]+)px/)[1]);
  if (text.length * size * 0.75 <= width) return text;
  const key = `${context.font}|${width}|${text}`;
  let known = widths.get(key);
  if (known !== undefined) return known;
  known = text;
  if (context.measureText(text).width > width) {
    let low = 0, high = text.length;
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (context.measureText(text.slice(0, middle) + '…').width <= width) low = middle; else high = middle - 1;
    }
    known = low > 0 ? text.slice(0, low) + '…' : '';
  }
  widths.set(key, known);
  return known;
}

function in_view(x0, y0, x1, y1) {
  const {x, y, scale, width, height} = view;
  return x1 * scale + x >= 0 && x0 * scale + x <= width && y1 * scale + y >= 0 && y0 * scale + y <= height;
}

function trace(context, c, straight) {
  context.moveTo(c[0], c[1]);
  if (straight) context.lineTo(c[6], c[7]); else context.bezierCurveTo(c[2], c[3], c[4], c[5], c[6], c[7]);
}

function visible_curve(c) {
  return in_view(Math.min(c[0], c[2], c[6]), Math.min(c[1], c[7]), Math.max(c[0], c[2], c[6]), Math.max(c[1], c[7]));
}

function stroke_lines(context, lines, colour, width) {
  const straight = view.scale < 0.25;
  context.strokeStyle = colour;
  context.lineWidth = width;
  let count = 0;
  context.beginPath();
  for (const line of lines) {
    if (!visible_curve(line.curve)) continue;
    trace(context, line.curve, straight);
    if (++count % 128 === 0) {  // one very long path costs more than many short ones
      context.stroke();
      context.beginPath();
    }
  }
  context.stroke();
}

function rounded(context, x, y, w, h, r) {
  context.beginPath();
  context.roundRect(x, y, w, h, r);
}

function draw_open_box(context, node) {
  const deep = node.depth % 2 === 0;
  rounded(context, node.ax, node.ay, node.w, node.h, 8);
  context.fillStyle = deep ? '#f6f7f9' : '#ffffff';
  context.fill();
  if (!node.parent) return;
  context.strokeStyle = '#cfd6de';
  context.lineWidth = Math.max(1, 0.7 / view.scale);
  context.stroke();
}

// The title of an open box keeps a readable size while there is room for it, over what the box holds.
function draw_titles(context, boxes) {
  const {scale} = view, taken = [];
  for (const node of boxes) {
    if (!node.parent || node.w * scale < 64 || node.h * scale < 44 || (scale < 0.6 && node.h * scale < 72)) continue;
    const size = Math.max(13, 11.5 / scale), h = size * 1.5;
    context.font = `600 ${size}px ${text_font}`;
    context.textBaseline = 'middle';
    // Of a box that is partly seen, where it is seen.
    const left = Math.max(node.ax, -view.x / scale), x = left + Math.min(10, 7 / scale);
    const y = node.ay + Math.min(title_height, h) / 2 + 2;
    const label = fitted(context, node.label, node.ax + node.w - x - 8 / scale), w = context.measureText(label).width;
    if (!label) continue;
    const box = [x, y - h / 2, x + w, y + h / 2];
    if (taken.some((t) => box[0] < t[2] && box[2] > t[0] && box[1] < t[3] && box[3] > t[1])) continue;
    taken.push(box);
    if (scale < 0.85) {
      context.fillStyle = 'rgb(255 255 255 / 90%)';
      rounded(context, x - 4 / scale, y - h / 2, w + 8 / scale, h, 3 / scale);
      context.fill();
    }
    context.fillStyle = '#39434f';
    context.fillText(label, x, y);
  }
}

function draw_closed_box(context, node) {
  const {ax: x, ay: y, w, h} = node;
  rounded(context, x, y, w, h, 7);
  context.fillStyle = '#ffffff';
  context.fill();
  // The share of each device.
  context.save();
  context.clip();
  let at = x;
  for (const [device, count] of [...node.on].sort((a, b) => b[1] - a[1])) {
    const share = w * count / node.count, [line, fill] = colour_of(device);
    context.fillStyle = fill;
    context.fillRect(at, y, share + 0.5, h);
    context.fillStyle = line;
    context.fillRect(at, y + h - 5, share + 0.5, 5);
    at += share;
  }
  context.restore();
  rounded(context, x, y, w, h, 7);
  context.strokeStyle = '#8592a2';
  context.lineWidth = 1;
  context.stroke();
  if (view.scale < 0.3) return;
  context.textBaseline = 'middle';
  context.fillStyle = '#17202c';
  context.font = `600 13px ${text_font}`;
  context.fillText(fitted(context, node.label, w - 40), x + 12, y + 17);
  context.fillStyle = '#52606f';
  context.font = `11.5px ${text_font}`;
  const time = node.seconds > 0 ? `, ${duration_text(node.seconds)}` : '';
  context.fillText(fitted(context, count_text(node.count, 'op') + time, w - 24), x + 12, y + 34);
  context.font = `15px ${text_font}`;
  context.fillText('+', x + w - 20, y + 17);
}

function draw_op(context, node) {
  const op = ops[node.op], {ax: x, ay: y, w, h} = node, [line, fill] = colour_of(op.devices[0]);
  context.fillStyle = fill;
  if (w * view.scale < 14) {
    context.fillStyle = line;
    context.globalAlpha *= 0.75;
    context.fillRect(x, y, w, h);
    context.globalAlpha /= 0.75;
    return;
  }
  rounded(context, x, y, w, h, is_input(op) ? h / 2 : 5);
  context.fill();
  if (view.scale < 0.42) {  // no text to read: the device's colour is all that is seen
    context.fillStyle = line + '66';
    context.fill();
  }
  context.strokeStyle = line;
  context.lineWidth = 1;
  context.stroke();
  if (view.scale < 0.42) return;
  context.textBaseline = 'middle';
  context.fillStyle = '#17202c';
  if (is_input(op)) {
    context.font = `12px ${text_font}`;
    const label = fitted(context, op.what, w - 22);
    context.fillText(label, x + (w - context.measureText(label).width) / 2, y + h / 2 + 0.5);
    return;
  }
  context.font = `600 12.5px ${text_font}`;
  context.fillText(fitted(context, op.what, w - 18), x + 9, y + 12.5);
  context.fillStyle = '#52606f';
  context.font = `11px ${text_font}`;
  const time = op.seconds > 0 ? duration_text(op.seconds) : '';
  const room = time ? context.measureText(time).width + 8 : 0;
  context.fillText(fitted(context, op.type || '', w - 18 - room), x + 9, y + 27.5);
  if (time) context.fillText(time, x + w - 1 - room, y + 27.5);
}

function draw_cut_labels(context) {
  if (view.scale < 0.3) return;
  const {scale} = view;
  const size = Math.max(11, Math.min(11 / scale, 20)), taken = [];
  context.font = `600 ${size}px ${text_font}`;
  context.textBaseline = 'middle';
  const nodes = view.shown.filter((node) => !node.open && in_view(node.ax, node.ay, node.ax + node.w, node.ay + node.h)).slice(0, 600);
  const meet = (a, b) => a[0] < b[2] && a[2] > b[0] && a[1] < b[3] && a[3] > b[1];
  const labelled = view.cut_lines.filter((line) => visible_curve(line.curve)).sort((a, b) => b.bytes - a.bytes).slice(0, 150);
  for (const line of labelled) {
    const text = bytes_text(line.bytes), w = context.measureText(text).width + size, h = size * 1.5;
    let box = null, spare = null;
    for (const t of [0.5, 0.38, 0.62, 0.26, 0.74, 0.14, 0.86]) {
      const [x, y] = curve_point(line.curve, t), tried = [x - w / 2, y - h / 2, x + w / 2, y + h / 2];
      if (taken.some((other) => meet(tried, other))) continue;
      if (!nodes.some((node) => meet(tried, [node.ax, node.ay, node.ax + node.w, node.ay + node.h]))) {
        box = tried;
        break;
      }
      spare = spare || tried;
    }
    if (!box && scale >= 0.7) box = spare;  // over a node, where there is room to read both
    if (!box) continue;
    taken.push(box);
    rounded(context, box[0], box[1], w, h, h / 2);
    context.fillStyle = '#b3264f';
    context.fill();
    context.fillStyle = '#ffffff';
    context.fillText(text, box[0] + size / 2, (box[1] + box[3]) / 2 + 0.5);
  }
}

function draw_focus(context) {
  for (const [node, colour, width] of [[view.hovered, '#52606f', 1.5], [view.selected, '#17202c', 2.5]]) {
    if (!node || node.shown < 0 || view.shown[node.shown] !== node) continue;
    const lines = (view.lines_of.get(node) || []).slice(0, 400);
    stroke_lines(context, lines.filter((line) => !line.cuts.length), colour, width * 0.7 / Math.min(1, view.scale * 1.5));
    stroke_lines(context, lines.filter((line) => line.cuts.length), '#b3264f', 3 / Math.min(1, view.scale * 1.5));
    const out = 2 / view.scale;
    rounded(context, node.ax - out, node.ay - out, node.w + 2 * out, node.h + 2 * out, 7);
    context.strokeStyle = colour;
    context.lineWidth = width / Math.min(1, view.scale);
    context.stroke();
  }
}

function draw() {
  const context = canvas.getContext('2d'), ratio = canvas.width / Math.max(1, view.width);
  context.setTransform(1, 0, 0, 1, 0, 0);
  context.fillStyle = '#f6f7f9';
  context.fillRect(0, 0, canvas.width, canvas.height);
  context.setTransform(ratio * view.scale, 0, 0, ratio * view.scale, ratio * view.x, ratio * view.y);
  const visible = view.shown.filter((node) => in_view(node.ax, node.ay, node.ax + node.w, node.ay + node.h));
  for (const node of visible) if (node.open) draw_open_box(context, node);
  const thin = Math.max(1, Math.min(1.2 / view.scale, 12));
  context.globalAlpha = view.device === null ? 1 : 0.4;
  // The more lines, the fainter: what many of them cover stays readable.
  const strength = view.scale < 0.25 ? Math.max(7, Math.min(45, 60000 / Math.max(1, view.lines.length))) : 100;
  stroke_lines(context, view.lines, `rgb(168 178 190 / ${strength}%)`, view.scale < 0.25 ? 0.6 / view.scale : thin);
  context.globalAlpha = 1;
  const cut_strength = view.scale < 0.25 ? Math.max(12, Math.min(75, 20000 / Math.max(1, view.cut_lines.length))) : 75;
  stroke_lines(context, view.cut_lines, `rgb(179 38 79 / ${cut_strength}%)`, Math.max(2, Math.min((cut_strength < 40 ? 0.8 : 1.6) / view.scale, 30)));
  for (const node of visible) {
    if (node.open) continue;
    context.globalAlpha = shade(node);
    if (node.op >= 0) draw_op(context, node); else draw_closed_box(context, node);
  }
  context.globalAlpha = 1;
  draw_titles(context, visible.filter((node) => node.open));
  draw_cut_labels(context);
  draw_focus(context);
}

function at_point(px, py) {
  const x = (px - view.x) / view.scale, y = (py - view.y) / view.scale;
  for (let i = view.shown.length - 1; i > 0; --i) {
    const node = view.shown[i];
    if (x >= node.ax && x <= node.ax + node.w && y >= node.ay && y <= node.ay + node.h) return node;
  }
  return null;
}

// The cut line nearest to a point, if it is near.
function cut_at_point(px, py) {
  const x = (px - view.x) / view.scale, y = (py - view.y) / view.scale;
  let best = null, least = 7 / view.scale;
  for (const line of view.cut_lines) {
    for (let i = 0; i <= 24; ++i) {
      const [cx, cy] = curve_point(line.curve, i / 24);
      const far = Math.hypot(cx - x, cy - y);
      if (far < least) {
        least = far;
        best = line;
      }
    }
  }
  return best;
}

// By hand: a window that changes its size shows no longer all.
function zoom(factor, px = view.width / 2, py = view.height / 2) {
  const scale = Math.min(6, Math.max(0.004, view.scale * factor));
  view.is_all_shown = false;
  view.x = px - (px - view.x) * scale / view.scale;
  view.y = py - (py - view.y) * scale / view.scale;
  view.scale = scale;
  redraw();
}

function centre_on(node, least_scale = 0.75) {
  view.scale = Math.max(view.scale, least_scale);
  view.is_all_shown = false;
  if (node.open) view.scale = Math.min(view.scale, 0.9 * view.width / node.w, 0.85 * view.height / node.h);
  view.x = view.width / 2 - (node.ax + node.w / 2) * view.scale;
  view.y = view.height / 2 - (node.ay + node.h / 2) * view.scale;
  redraw();
}

function bring_into_view(node) {
  const x = node.ax * view.scale + view.x, y = node.ay * view.scale + view.y;
  const w = node.w * view.scale, h = node.h * view.scale;
  if (x < 10 || y < 50 || x + w > view.width - 10 || y + h > view.height - 50 || view.scale < 0.3) centre_on(node);
}

// Opens or closes a box; it stays where it is on the screen.
function toggle(node) {
  if (node.op >= 0 || !node.parent) return;
  const x = node.ax * view.scale + view.x, y = node.ay * view.scale + view.y;
  node.open = !node.open;
  view.is_all_shown = false;
  view.is_arranged = true;
  refresh();
  view.x = x - node.ax * view.scale;
  view.y = y - node.ay * view.scale;
  redraw();
}

function reveal(node) {
  let changed = false;
  for (let box = node.parent; box; box = box.parent)
    if (!box.open) changed = box.open = true;
  if (!changed) return;
  view.is_arranged = true;
  refresh();
}

function neighbour(node, key) {
  const lines = view.lines_of.get(node) || [];
  const middle = (n) => [n.ax + n.w / 2, n.ay + n.h / 2], [x, y] = middle(node);
  const nearest = (nodes, cost) => nodes.reduce((best, n) => (best && cost(best) <= cost(n) ? best : n), null);
  const far = (n) => Math.hypot(middle(n)[0] - x, middle(n)[1] - y);
  if (key === 'ArrowUp') return nearest(lines.filter((line) => line.b === node).map((line) => line.a), far);
  if (key === 'ArrowDown') return nearest(lines.filter((line) => line.a === node).map((line) => line.b), far);
  const left = key === 'ArrowLeft';
  const beside = view.shown.filter((n) => n !== node && n.parent === node.parent && (left ? middle(n)[0] < x - 1 : middle(n)[0] > x + 1));
  return nearest(beside, (n) => Math.abs(middle(n)[0] - x) + 4 * Math.abs(middle(n)[1] - y));
}
