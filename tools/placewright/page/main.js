// Puts the page together.
function show_header() {
  const file = (path) => path.split('/').pop(), title = document.getElementById('model');
  title.textContent = file(report.model);
  title.title = report.model;
  document.getElementById('subtitle').textContent =
    `${count_text(ops.length, 'op')} on ${report.machine ? file(report.machine) : 'the machine that made this page'}`;
  document.getElementById('subtitle').title = report.machine || '';
  const per_step = report.transfers.filter((transfer) => transfer.when === 'step').length;
  const facts = [
    [report.proof && report.proof.of === 'simulated time' ? 'Sum of all times' : 'A step, estimated', report.seconds > 0 ? duration_text(report.seconds) : null],
    ['Side by side, simulated', report.timeline.seconds > 0 ? duration_text(report.timeline.seconds) : null],
    ['Proof', report.proof && report.proof.chosen_seconds > 0 ? (report.proof.is_optimal ? 'optimal' : report.proof.of === 'simulated time' ? `not below ${duration_text(report.proof.bound_seconds)}` : `within ${Number((report.proof.gap * 100).toPrecision(2))}%`) : null],
    ['Copied each step', `${bytes_text(report.bytes_per_step)}${per_step ? ` in ${per_step}` : ''}`],
    ['Copied at load', bytes_text(report.bytes_at_load)],
  ];
  document.getElementById('facts').replaceChildren(...facts.filter(([, value]) => value).map(([name, value]) =>
    element('div', {}, element('dt', {}, name), element('dd', {}, value))));
}

function show_legend() {
  document.getElementById('legend').replaceChildren(...report.devices.filter((device) => device.ops > 0).map((device) => {
    const mark = element('i');
    mark.style.background = colour_of(device.device)[0];
    return element('button', {class: 'chip', 'aria-pressed': view.device === device.device, title: `Show only ${device.device}`, onclick: () => {
      view.device = view.device === device.device ? null : device.device;
      show_legend();
      redraw();
    }}, mark, device.device, element('span', {}, count_text(device.ops, 'op')));
  }));
}

function listen_to_canvas() {
  let drag = null;
  canvas.addEventListener('pointerdown', (event) => {
    canvas.setPointerCapture(event.pointerId);
    drag = {x: event.clientX, y: event.clientY, moved: false};
  });
  canvas.addEventListener('pointermove', (event) => {
    if (drag) {
      const dx = event.clientX - drag.x, dy = event.clientY - drag.y;
      if (!drag.moved && Math.hypot(dx, dy) < 4) return;
      drag = {x: event.clientX, y: event.clientY, moved: true};
      canvas.classList.add('dragging');
      view.is_all_shown = false;
      view.x += dx;
      view.y += dy;
      redraw();
      return;
    }
    hover(event);
  });
  canvas.addEventListener('pointerup', (event) => {
    canvas.classList.remove('dragging');
    if (drag && !drag.moved) click(event);
    drag = null;
  });
  canvas.addEventListener('pointercancel', () => { drag = null; });
  canvas.addEventListener('pointerleave', () => {
    view.hovered = null;
    show_tip('');
    redraw();
  });
  canvas.addEventListener('wheel', (event) => {
    event.preventDefault();
    const box = canvas.getBoundingClientRect();
    zoom(Math.exp(-event.deltaY * (event.deltaMode ? 0.05 : 0.0016)), event.clientX - box.left, event.clientY - box.top);
  }, {passive: false});
  canvas.addEventListener('keydown', (event) => {
    const move = {ArrowUp: 1, ArrowDown: 1, ArrowLeft: 1, ArrowRight: 1}[event.key];
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    if (move) {
      const from = view.selected || view.shown.find((node) => node.parent && !node.open);
      const to = view.selected ? neighbour(from, event.key) : from;
      if (to) select(to, true);
    } else if (event.key === 'Enter' || event.key === ' ') {
      if (view.selected && view.selected.op < 0) toggle_and_show(view.selected);
    } else {
      return;
    }
    event.preventDefault();
  });
}

function point_of(event) {
  const box = canvas.getBoundingClientRect();
  return [event.clientX - box.left, event.clientY - box.top];
}

function hover(event) {
  const point = point_of(event), node = at_point(...point);
  const line = !node || node.open ? cut_at_point(...point) : null;
  const before = view.hovered;
  view.hovered = node && !node.open ? node : null;
  canvas.classList.toggle('over', Boolean(node && node.parent) || Boolean(line));
  if (line) show_tip(`${bytes_text(line.bytes)}: ${node_name(line.a)} → ${node_name(line.b)}`, event.clientX, event.clientY);
  else if (node && node.op >= 0) show_tip(`${ops[node.op].what} on ${ops[node.op].devices[0]}\n${ops[node.op].reason}`, event.clientX, event.clientY);
  else if (node && node.parent && (!node.open || view.scale < 0.5)) show_tip(`${path_of(node)}: ${count_text(node.count, 'op')}`, event.clientX, event.clientY);
  else show_tip('');
  if (before !== view.hovered) redraw();
}

// A closed module opens; the title of an open one closes it.
function click(event) {
  const point = point_of(event), node = at_point(...point);
  const line = !node || node.open ? cut_at_point(...point) : null;
  show_tip('');
  if (line) {
    view.selected = null;
    show_cut_line(line);
    redraw();
  } else if (!node) {
    select(null, false);
  } else if (node.op >= 0) {
    select(node, false);
  } else {
    const in_title = (point[1] - view.y) / view.scale - node.ay < Math.max(title_height, 20 / view.scale);
    if (!node.open || in_title) toggle(node);
    select(node, false);
  }
}

function listen_to_keys() {
  document.addEventListener('keydown', (event) => {
    const typing = event.target === search;
    if (event.key === 'Escape') {
      close_found();
      if (typing) canvas.focus(); else select(null, false);
    } else if (typing || event.ctrlKey || event.metaKey || event.altKey) {
      return;
    } else if (event.key === '/') {
      event.preventDefault();
      search.focus();
      search.select();
    } else if (event.key === '+' || event.key === '=') {
      zoom(1.25);
    } else if (event.key === '-') {
      zoom(0.8);
    } else if (event.key === '0') {
      show_all();
    }
  });
  search.addEventListener('input', show_found);
  search.addEventListener('focus', () => { if (search.value.trim()) show_found(); });
  search.addEventListener('blur', close_found);
  search.addEventListener('keydown', (event) => {
    if (event.key === 'ArrowDown' || event.key === 'ArrowUp') {
      event.preventDefault();
      const most = Math.min(found.length, 50);
      if (most) chosen = (chosen + (event.key === 'ArrowDown' ? 1 : most - 1)) % most;
      mark_chosen();
    } else if (event.key === 'Enter') {
      choose(chosen);
    }
  });
  const on_click = (id, action) => document.getElementById(id).addEventListener('click', action);
  on_click('zoom-in', () => zoom(1.25));
  on_click('zoom-out', () => zoom(0.8));
  on_click('fit', show_all);
  on_click('open-all', () => open_and_fit(true));
  on_click('close-all', () => open_and_fit(false));
}

function open_and_fit(open) {
  open_every(tree, open);
  view.is_arranged = true;
  refresh();
  show_all();
}

// What tests and the curious ask for.
window.placewright = {
  report, view, tree, select_op, open_and_fit, draw, refresh, show_all,
  place_of_op(number) {
    const node = shown_for(number), box = canvas.getBoundingClientRect();
    return {x: box.left + view.x + (node.ax + node.w / 2) * view.scale, y: box.top + view.y + (node.ay + node.h / 2) * view.scale, op: node.op};
  },
};

show_header();
show_legend();
make_tabs();
listen_to_canvas();
listen_to_keys();
fit_canvas();
open_to_read(tree);
refresh();
show_all();
show_overview();
show_tab(shown_tab);
let last_size = '';
new ResizeObserver(() => {
  const size = `${canvas.clientWidth} ${canvas.clientHeight} ${devicePixelRatio}`;
  if (size === last_size) return;
  if (last_size !== '') {
    fit_canvas();
    if (view.is_all_shown && !view.is_arranged) {
      open_to_read(tree);
      refresh();
    }
    if (view.is_all_shown) show_all(); else redraw();
    show_tab(shown_tab);
  }
  last_size = size;
}).observe(canvas);
requestAnimationFrame(() => requestAnimationFrame(() => {
  document.documentElement.dataset.drawn = String(Math.round(performance.now()));  // milliseconds since the page was asked for
}));
