// Below the graph: the time line, memory over the step, and tables.
const pane = document.getElementById('pane');
const tip = document.getElementById('tip');

function element(tag, attributes = {}, ...children) {
  const made = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith('on')) made.addEventListener(name.slice(2), value);
    else if (name === 'class') made.className = value;
    else if (value !== null && value !== undefined) made.setAttribute(name, value);
  }
  made.append(...children.filter((child) => child !== null && child !== undefined));
  return made;
}

function show_tip(text, x, y) {
  tip.textContent = text;
  tip.hidden = !text;
  if (!text) return;
  const box = tip.getBoundingClientRect();
  tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 8))}px`;
  tip.style.top = `${y + 18 + box.height > innerHeight ? y - box.height - 10 : y + 18}px`;
}

function make_chart(label, height) {
  const ratio = devicePixelRatio || 1, width = Math.max(300, pane.clientWidth);
  const chart = element('canvas', {role: 'img', 'aria-label': label});
  chart.width = width * ratio;
  chart.height = height * ratio;
  chart.style.width = `${width}px`;
  chart.style.height = `${height}px`;
  const context = chart.getContext('2d');
  context.scale(ratio, ratio);
  return {chart, context, width};
}

// Round steps: 1, 2 or 5 times a power of ten.
function ticks(from, to, count) {
  const raw = (to - from) / count, power = 10 ** Math.floor(Math.log10(raw));
  const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
  const marks = [];
  for (let at = Math.ceil(from / step) * step; at <= to + step * 1e-6; at += step) marks.push(at);
  return marks;
}

const chart_left = 150, chart_right = 24;
const time_range = {from: 0, to: report.timeline.seconds};

function show_timeline() {
  const {tracks, spans, seconds} = report.timeline;
  if (!spans.length) {
    pane.replaceChildren(element('p', {class: 'message'}, 'No time line: nothing says how long a launch or a copy takes.'));
    return;
  }
  const used = tracks.map((name, track) => ({name, track})).filter(({track}) => spans.some((span) => span.track === track));
  const high = Math.max(20, Math.min(34, Math.floor((pane.clientHeight - 40) / used.length) - 6)), row = high + 6;
  const {chart, context, width} = make_chart('Simulated time line: a row for each device and link', 30 + used.length * row + 8);
  const room = width - chart_left - chart_right;
  const place = (time) => chart_left + (time - time_range.from) / (time_range.to - time_range.from) * room;
  const by_track = new Map(used.map(({track}, i) => [track, i]));

  const paint = () => {
    context.clearRect(0, 0, width, 30 + used.length * row + 8);
    context.textBaseline = 'middle';
    context.font = `12px ${text_font}`;
    for (const mark of ticks(time_range.from, time_range.to, Math.max(2, room / 130))) {
      const x = Math.round(place(mark)) + 0.5;
      if (x < chart_left || x > width - chart_right) continue;
      context.strokeStyle = '#e6eaef';
      context.beginPath();
      context.moveTo(x, 24);
      context.lineTo(x, 30 + used.length * row);
      context.stroke();
      context.fillStyle = '#52606f';
      context.textAlign = 'center';
      context.fillText(duration_text(Number(mark.toPrecision(10))), x, 13);
    }
    context.textAlign = 'left';
    used.forEach(({name}, i) => {
      context.fillStyle = '#17202c';
      context.fillText(fitted(context, name.replace('->', '→'), chart_left - 32), 20, 30 + i * row + high / 2);
      context.fillStyle = '#f3f5f8';
      context.fillRect(chart_left, 30 + i * row, room, high);
    });
    context.save();
    context.beginPath();
    context.rect(chart_left, 0, room, 30 + used.length * row);
    context.clip();
    for (const span of spans) {
      const x = place(span.begin), w = Math.max(0.6, place(span.end) - x);
      if (x > width || x + w < chart_left) continue;
      const y = 30 + by_track.get(span.track) * row;
      context.fillStyle = tracks[span.track].includes('->') ? '#b3264f' : colour_of(tracks[span.track])[0];
      context.fillRect(x, y, w > 3 ? w - 1 : w, high);
      if (w < 34) continue;
      context.fillStyle = '#ffffff';
      context.fillText(fitted(context, span_name(span), w - 10), x + 5, y + high / 2);
    }
    context.restore();
  };
  const span_at = (event) => {
    const box = chart.getBoundingClientRect(), x = event.clientX - box.left, y = event.clientY - box.top;
    const i = Math.floor((y - 30) / row), time = time_range.from + (x - chart_left) / room * (time_range.to - time_range.from);
    if (i < 0 || i >= used.length || x < chart_left) return null;
    const slack = (time_range.to - time_range.from) / room;
    return spans.find((span) => span.track === used[i].track && time >= span.begin - slack && time <= span.end + slack) || null;
  };
  chart.addEventListener('pointermove', (event) => {
    const span = span_at(event);
    show_tip(span ? `${span_name(span)}: ${duration_text(span.end - span.begin)}, from ${duration_text(span.begin)}` : '', event.clientX, event.clientY);
  });
  chart.addEventListener('pointerleave', () => show_tip(''));
  chart.addEventListener('click', (event) => {
    const span = span_at(event);
    if (span && span.op >= 0) select_op(span.op, true);
  });
  chart.addEventListener('wheel', (event) => {
    if (event.shiftKey) return;
    event.preventDefault();
    const x = event.clientX - chart.getBoundingClientRect().left;
    const middle = time_range.from + (x - chart_left) / room * (time_range.to - time_range.from);
    const factor = Math.exp(Math.sign(event.deltaY) * 0.2);
    let from = middle - (middle - time_range.from) * factor, to = middle + (time_range.to - middle) * factor;
    if (to - from >= seconds) [from, to] = [0, seconds];
    if (to - from < seconds * 1e-5) return;
    time_range.from = Math.max(0, from);
    time_range.to = Math.min(seconds, to);
    paint();
  }, {passive: false});
  paint();
  pane.replaceChildren(chart);
}

function span_name(span) {
  const what = report.launches[span.launch];
  return span.is_result ? `result read: ${what}` : what;
}

function show_memory() {
  if (!report.memory.length) {
    pane.replaceChildren(element('p', {class: 'message'}, 'No memory plan for this graph: some of its values are on several devices at once.'));
    return;
  }
  const count = report.memory.length, launches = Math.max(1, report.launches.length);
  const row = Math.max(84, Math.floor((pane.clientHeight - 12) / count)), high = row - 34, total = count * row + 8;
  const {chart, context, width} = make_chart('Memory of each device over the launches of a step', total);
  const room = width - chart_left - chart_right;
  context.textBaseline = 'middle';
  report.memory.forEach((memory, i) => {
    const top = 22 + i * row, base = top + high, [line, fill] = colour_of(memory.device);
    const x_of = (launch) => chart_left + launch / launches * room;
    const y_of = (bytes) => base - bytes / Math.max(1, memory.peak_bytes) * high;
    context.textAlign = 'left';
    context.fillStyle = '#17202c';
    context.font = `600 13px ${text_font}`;
    context.fillText(memory.device, 20, top + 8);
    context.fillStyle = '#52606f';
    context.font = `12px ${text_font}`;
    context.fillText(`peak ${bytes_text(memory.peak_bytes)}`, 20, top + 26);
    if (memory.capacity_bytes && high > 40) context.fillText(`of ${bytes_text(memory.capacity_bytes)}`, 20, top + 42);
    context.strokeStyle = '#dfe4ea';
    context.beginPath();
    context.moveTo(chart_left, base + 0.5);
    context.lineTo(width - chart_right, base + 0.5);
    context.stroke();
    context.beginPath();
    context.moveTo(chart_left, base);
    memory.points.forEach(([launch, bytes], p) => {
      const end = p + 1 < memory.points.length ? memory.points[p + 1][0] : launches;
      context.lineTo(x_of(launch), y_of(bytes));
      context.lineTo(x_of(end), y_of(bytes));
    });
    context.lineTo(chart_left + room, base);
    context.fillStyle = fill;
    context.fill();
    context.strokeStyle = line;
    context.lineWidth = 1.5;
    context.stroke();
    context.lineWidth = 1;
    // The peak, with its launch.
    const x = x_of(Math.min(memory.peak_launch + 0.5, launches)), right = x > chart_left + room * 0.6;
    context.fillStyle = line;
    context.beginPath();
    context.arc(x, y_of(memory.peak_bytes), 3.5, 0, 7);
    context.fill();
    context.fillStyle = '#52606f';
    context.textAlign = right ? 'right' : 'left';
    context.fillText(fitted(context, launch_name(memory.peak_launch), room * 0.5), x + (right ? -8 : 8), top - 9);
  });
  chart.addEventListener('pointermove', (event) => {
    const box = chart.getBoundingClientRect(), x = event.clientX - box.left, i = Math.floor((event.clientY - box.top - 4) / row);
    if (i < 0 || i >= count || x < chart_left || x > width - chart_right) return show_tip('');
    const launch = Math.min(launches - 1, Math.floor((x - chart_left) / room * launches)), memory = report.memory[i];
    let bytes = 0;
    for (const [at, held] of memory.points) if (at <= launch) bytes = held;
    show_tip(`${memory.device}: ${bytes_text(bytes)}\n${launch_name(launch)}`, event.clientX, event.clientY);
  });
  chart.addEventListener('pointerleave', () => show_tip(''));
  pane.replaceChildren(chart, memory_table());
}

function launch_name(launch) {
  return launch < report.launches.length ? `launch ${launch}: ${report.launches[launch]}` : 'the end of the step';
}

function table(columns, rows, most = 500) {
  const body = element('tbody');
  const add = (part) => body.append(...part.map((row) => element('tr', {},
    ...row.map((cell, i) => element('td', {class: columns[i][1]}, cell === null ? '' : cell)))));
  add(rows.slice(0, most));
  const made = element('table', {}, element('thead', {}, element('tr', {},
    ...columns.map(([title, kind]) => element('th', {class: kind, scope: 'col'}, title)))), body);
  if (rows.length <= most) return made;
  const more = element('button', {class: 'action', onclick: () => {
    add(rows.slice(most));
    more.remove();
  }}, `Show all ${count_text(rows.length, 'row')}`);
  return element('div', {}, made, element('p', {class: 'message'}, more));
}

function memory_table() {
  const rows = report.memory.flatMap((memory) => memory.holders.map((holder) => [
    badge(memory.device), bytes_text(holder.bytes), holder.what, holder.kind, site_text(holder.site)]));
  return table([['At the peak of', 'nowrap'], ['Bytes', 'number'], ['Value', ''], ['Kind', 'nowrap'], ['Source', 'nowrap']], rows);
}

function show_transfers() {
  const rows = [...report.transfers].sort((a, b) => (a.when === b.when ? b.bytes - a.bytes : a.when === 'step' ? -1 : 1)).map((transfer) => [
    transfer.when === 'step' ? 'each step' : 'once', transfer.what, element('span', {}, badge(transfer.from), ' → ', badge(transfer.to)),
    bytes_text(transfer.bytes), transfer.seconds ? duration_text(transfer.seconds) : '', transfer.why, site_text(transfer.site)]);
  if (!rows.length) return pane.replaceChildren(element('p', {class: 'message'}, 'Nothing is copied between devices.'));
  pane.replaceChildren(table([['When', 'nowrap'], ['Value', ''], ['From, to', 'nowrap'], ['Bytes', 'number'], ['Time', 'number'], ['Why', ''], ['Source', 'nowrap']], rows));
}

// Layers of a stack have the same ones.
function counted(texts) {
  const counts = new Map();
  for (const text of texts) counts.set(text, (counts.get(text) || 0) + 1);
  return [...counts].map(([text, count]) => (count === 1 ? text : `${count} times: ${text}`));
}

const notes = [...report.hints.map((hint) => (hint.seconds > 0 ? `${duration_text(hint.seconds)} less: ${hint.text}` : hint.text)),
  ...counted(report.conflicts.map((conflict) => conflict.message)), ...report.absent.map((text) => `Not here: ${text}`)];

function show_notes() {
  pane.replaceChildren(notes.length ? element('ol', {}, ...notes.map((note) => element('li', {}, note)))
                                    : element('p', {class: 'message'}, 'No change that was tried makes a step shorter.'));
}

function price_text(seconds) {
  if (seconds === null) return 'no placement without it';
  return seconds === 0 ? 'free' : `${seconds > 0 ? '+' : '−'}${duration_text(Math.abs(seconds))}`;
}

function show_prices() {
  const pins = report.pins.map((pin) => [price_text(pin.seconds), `pin at ${pin.site}`, badge(pin.device), count_text(pin.ops, 'op'), site_text(pin.site)]);
  const islands = report.islands.flatMap((island) => island.elsewhere.map(({device, seconds}) => [price_text(seconds),
    element('span', {}, 'all of an island on ', badge(device)), badge(island.device), count_text(island.ops.length, 'op'),
    element('button', {class: 'plain', onclick: () => select_op(island.ops[0], true)}, `${ops[island.ops[0]].what} … ${ops[island.ops[island.ops.length - 1]].what}`)]));
  if (!pins.length && !islands.length) return pane.replaceChildren(element('p', {class: 'message'}, 'There are no pins, and nothing was left to choose.'));
  pane.replaceChildren(table([['A step', 'nowrap'], ['For', ''], ['Now on', 'nowrap'], ['Ops', 'number'], ['Where', '']], [...pins, ...islands]));
}

const tabs = [
  ['timeline', 'Time line', show_timeline], ['memory', 'Memory', show_memory],
  ['transfers', `Transfers (${report.transfers.length})`, show_transfers],
  ['prices', `Pins and islands (${report.pins.length + report.islands.length})`, show_prices],
  ['hints', `Hints and notes (${notes.length})`, show_notes],
];
let shown_tab = report.timeline.spans.length ? 'timeline' : 'memory';

function show_tab(id, focus = false) {
  shown_tab = id;
  for (const button of document.getElementById('tabs').children) {
    const is_shown = button.id === `tab-${id}`;
    button.setAttribute('aria-selected', is_shown);
    button.tabIndex = is_shown ? 0 : -1;
    if (is_shown && focus) button.focus();
  }
  pane.setAttribute('aria-labelledby', `tab-${id}`);
  pane.scrollTop = 0;
  tabs.find((tab) => tab[0] === id)[2]();
}

function make_tabs() {
  const row = document.getElementById('tabs');
  tabs.forEach(([id, title], i) => row.append(element('button', {id: `tab-${id}`, role: 'tab', 'aria-controls': 'pane', onclick: () => show_tab(id),
    onkeydown: (event) => {
      const step = {ArrowRight: 1, ArrowLeft: -1}[event.key];
      if (step) show_tab(tabs[(i + step + tabs.length) % tabs.length][0], true);
    }}, title)));
}
