// What is selected, in words; and the search.
const details = document.getElementById('details');

function show_details(...children) {
  details.replaceChildren(...children.filter(Boolean));
}

function badge(device) {
  const mark = element('i');
  mark.style.background = colour_of(device)[0];
  return element('span', {class: 'badge'}, mark, device);
}

function site_text(site) {
  return site ? element('span', {class: 'site'}, site) : '';
}

function pairs(rows) {
  return element('dl', {class: 'pairs'}, ...rows.filter(([, value]) => value).flatMap(([name, value]) => [element('dt', {}, name), element('dd', {}, value)]));
}

function op_link(number, note) {
  const op = ops[number], mark = element('i');
  mark.style.background = colour_of(op.devices[0])[0];
  return element('li', {}, element('button', {onclick: () => select_op(number, true)},
    element('span', {class: 'badge', title: op.devices[0], style: 'margin:0'}, mark), element('b', {}, op.what),
    element('em', {}, op.module && !op.what.startsWith(op.module) ? op.module : ''), element('span', {}, note || op.site || '')));
}

function op_list(title, numbers, note) {
  if (!numbers.length) return [];
  const most = 12;
  const list = element('ul', {class: 'links'}, ...numbers.slice(0, most).map((number) => op_link(number, note && note(number))));
  if (numbers.length > most) {
    const more = element('button', {onclick: () => {
      more.parentElement.remove();
      list.append(...numbers.slice(most).map((number) => op_link(number, note && note(number))));
    }}, `${count_text(numbers.length - most, 'more op')}…`);
    list.append(element('li', {}, more));
  }
  return [element('h3', {}, title), list];
}

function rejected_list(op) {
  if (!op.rejected.length) return [element('h3', {}, 'No other device'), element('p', {}, 'The machine has only this one.')];
  return [element('h3', {}, 'Why not elsewhere'), element('ul', {class: 'rejected'}, ...op.rejected.map((rejected) => element('li', {},
    rejected.seconds > 0 ? element('span', {class: 'cost'}, `+${duration_text(rejected.seconds)}`) : null,
    badge(rejected.device), element('span', {class: 'kind'}, rejected.kind),
    element('div', {}, rejected.cause === op.reason ? 'For the reason above. ' : `${rejected.cause} `), rejected.site ? site_text(rejected.site) : null)))];
}

function cut_list(number) {
  const cuts = [...new Set(cuts_of[number])].map((c) => report.cuts[c]);
  if (!cuts.length) return [];
  return [element('h3', {}, 'Copies'), element('ul', {class: 'links'}, ...cuts.map((cut) => element('li', {},
    element('button', {onclick: () => select_op(cut.op === number ? cut.readers[0] ?? cut.op : cut.op, true)},
      element('b', {}, `${ops[cut.op].what}: ${cut.from} → ${cut.to}`),
      element('span', {}, `${bytes_text(cut.bytes)} ${cut.when === 'step' ? 'each step' : 'once'}`)))))];
}

function show_op(number) {
  const op = ops[number];
  show_details(
    element('h2', {}, op.what),
    element('div', {class: 'where'}, badge(op.devices.join(', ')), site_text(op.site), op.seconds > 0 ? element('span', {}, duration_text(op.seconds)) : null),
    element('h3', {}, `Why on ${op.devices[0]}`),
    element('p', {class: 'reason', id: 'reason', style: 'margin:0'}, op.reason),
    ...rejected_list(op), ...cut_list(number),
    element('h3', {}, 'Op'),
    pairs([['kind', op.kind], ['module', op.module], ['role', is_input(op) ? '' : op.role], ['type', op.type], ['bytes', bytes_text(op.bytes)],
      ['origin', op.origin], ['called from', op.frames.slice(1).join(', ')]]),
    ...op_list('Reads', [...new Set(op.operands)]), ...op_list('Read by', readers[number]));
}

function ops_below(node, found = []) {
  if (node.op >= 0) found.push(node.op);
  for (const child of node.children) ops_below(child, found);
  return found;
}

function show_box(node) {
  const inside = ops_below(node);
  const costly = inside.filter((number) => ops[number].seconds > 0).sort((a, b) => ops[b].seconds - ops[a].seconds).slice(0, 10);
  const holds = (numbers) => new Set(numbers);
  const set = holds(inside);
  let incoming = 0, outgoing = 0;
  for (const cut of report.cuts) {
    if (cut.when !== 'step') continue;
    const is_made_here = set.has(cut.op), is_read_here = cut.readers.some((reader) => set.has(reader));
    if (is_read_here && !is_made_here) incoming += cut.bytes;
    if (is_made_here && cut.readers.some((reader) => !set.has(reader))) outgoing += cut.bytes;
  }
  show_details(
    element('h2', {}, path_of(node) || node.label),
    element('p', {class: 'where'}, count_text(node.count, 'op')),
    node.parent ? element('button', {class: 'action', onclick: () => toggle_and_show(node)}, node.open ? 'Close' : 'Open') : null,
    element('h3', {}, 'Devices'),
    pairs([...node.on].sort((a, b) => b[1] - a[1]).map(([device, count]) => [badge(device), count_text(count, 'op')])),
    element('h3', {}, 'In all'),
    pairs([['time', node.seconds > 0 ? duration_text(node.seconds) : ''], ['values', bytes_text(node.bytes)],
      ['copied in', incoming ? `${bytes_text(incoming)} each step` : ''], ['copied out', outgoing ? `${bytes_text(outgoing)} each step` : '']]),
    ...op_list('Takes longest', costly, (number) => duration_text(ops[number].seconds)));
}

function show_cut_line(line) {
  show_details(
    element('h2', {}, `${bytes_text(line.bytes)} between devices`),
    element('p', {class: 'where'}, `${node_name(line.a)} → ${node_name(line.b)}`),
    ...line.cuts.slice(0, 40).flatMap((number) => {
      const cut = report.cuts[number];
      return [element('h3', {}, ops[cut.op].what),
        pairs([['from, to', element('span', {}, badge(cut.from), ' → ', badge(cut.to))], ['bytes', cut.bytes.toLocaleString('en')],
          ['when', cut.when === 'step' ? 'in each step' : 'once, at load'], ['time', cut.seconds ? duration_text(cut.seconds) : '']]),
        ...op_list('Made by', [cut.op]), ...op_list('Read by', cut.readers)];
    }));
}

function node_name(node) {
  return node.op >= 0 ? ops[node.op].what : node.label;
}

function proof_text() {
  const proof = report.proof;
  if (!proof || !proof.chosen_seconds) return '';
  const chosen = duration_text(proof.chosen_seconds)
    + (proof.relief_seconds > 0 ? ` (${duration_text(proof.relief_seconds)} of it for what leaves memory and comes back)` : '');
  if (proof.of === 'simulated time') return `The last device is done, its results on the host, after ${chosen}, by simulation; no placement is before ${duration_text(proof.bound_seconds)}. By the sum of all times alone another placement would be taken: ${duration_text(proof.least_sum.seconds)}${proof.least_sum.is_optimal ? ', proven by a minimum cut' : ''}, done after ${duration_text(proof.least_sum.done_seconds)}.`;
  return proof.is_optimal ? `By these prices, with results read on the host, the flow of a minimum cut proves that no placement takes less than ${chosen}.`
    : `By these prices, with results read on the host, it takes ${chosen} and no placement less than ${duration_text(proof.bound_seconds)}.`;
}

function radius_text() {
  if (!report.radius) return '';
  if (report.radius.relative === 0) return 'Other placements cost as much.';
  return `${report.radius.is_proven ? 'It stays optimal' : 'No better placement is known'} while no cost errs by more than ${Number((report.radius.relative * 100).toPrecision(2))}%.`;
}

function show_overview() {
  const by_device = report.devices.filter((device) => device.ops > 0);
  const costly = ops.map((op) => op.op).filter((number) => ops[number].seconds > 0).sort((a, b) => ops[b].seconds - ops[a].seconds).slice(0, 8);
  const dearest = [...report.cuts].filter((cut) => cut.when === 'step').sort((a, b) => b.bytes - a.bytes).slice(0, 8);
  show_details(
    element('h2', {}, 'Plan'),
    element('p', {}, `Objective: ${report.objective}.`),
    proof_text() ? element('p', {class: 'reason'}, proof_text()) : null,
    radius_text() ? element('p', {class: 'reason'}, radius_text()) : null,
    element('h3', {}, 'Devices'),
    element('ul', {class: 'rejected'}, ...by_device.map((device) => element('li', {}, badge(device.device), element('span', {class: 'kind'}, device.name),
      element('div', {class: 'where'}, count_text(device.ops, 'op') + (device.seconds > 0 ? `, busy ${duration_text(device.seconds)}` : ''))))),
    ...(dearest.length ? [element('h3', {}, 'Largest copies of a step'), element('ul', {class: 'links'}, ...dearest.map((cut) =>
      op_link(cut.op, `${bytes_text(cut.bytes)} to ${cut.to}`)))] : []),
    ...op_list('Takes longest', costly, (number) => duration_text(ops[number].seconds)),
    ...op_list('Whose costs decide', report.radius ? report.radius.ops : [], (number) => duration_text(ops[number].seconds)),
    element('h3', {}, 'Keys'),
    pairs([['/', 'search'], ['arrows', 'walk along values and to neighbours'], ['Enter', 'open or close a module'], ['+  −  0', 'zoom, show all'], ['Esc', 'this page']]));
}

function select(node, move) {
  view.selected = node;
  if (!node || node === tree) show_overview();
  else if (node.op >= 0) show_op(node.op);
  else show_box(node);
  details.scrollTop = 0;
  if (node && move) bring_into_view(node);
  redraw();
}

function select_op(number, move) {
  reveal(leaf_of[number]);
  view.selected = leaf_of[number];
  if (move) centre_on(leaf_of[number]);
  select(leaf_of[number], false);
}

function toggle_and_show(node) {
  toggle(node);
  select(node, false);
}

// Search: every word must be somewhere in the op's name, kind, module, line, origin or device.
const search = document.getElementById('search');
const found_list = document.getElementById('found');
const haystack = ops.map((op) => `${op.what} ${op.kind} ${op.module} ${op.site || ''} ${op.origin || ''} ${op.devices.join(' ')} #${op.op}`.toLowerCase());
let found = [], chosen = -1;

function find_ops(text) {
  const words = text.toLowerCase().split(/\s+/).filter(Boolean);
  if (!words.length) return [];
  const hits = [];
  for (let i = 0; i < ops.length; ++i) if (words.every((word) => haystack[i].includes(word))) hits.push(i);
  const rank = (i) => (ops[i].what.toLowerCase() === words[0] ? 0 : ops[i].what.toLowerCase().startsWith(words[0]) ? 1 : 2);
  return hits.sort((a, b) => rank(a) - rank(b) || a - b);
}

function show_found() {
  const most = 50;
  found = find_ops(search.value);
  chosen = found.length ? 0 : -1;
  const rows = found.slice(0, most).map((number, i) => {
    const op = ops[number];
    return element('li', {role: 'option', id: `found-${i}`, 'aria-selected': i === chosen, onpointerdown: (event) => {
      event.preventDefault();
      choose(i);
    }}, badge(op.devices[0]), element('b', {}, op.what), element('span', {}, [op.module, is_input(op) ? '' : op.role, op.site].filter(Boolean).join('  ')));
  });
  if (!found.length) rows.push(element('li', {class: 'note'}, 'No op has all of these words.'));
  if (found.length > most) rows.push(element('li', {class: 'note'}, `and ${count_text(found.length - most, 'more op')}`));
  found_list.replaceChildren(...rows);
  const is_shown = search.value.trim() !== '';
  found_list.hidden = !is_shown;
  search.setAttribute('aria-expanded', is_shown);
  mark_chosen();
}

function mark_chosen() {
  [...found_list.children].forEach((row, i) => row.setAttribute('aria-selected', i === chosen));
  if (chosen >= 0) {
    search.setAttribute('aria-activedescendant', `found-${chosen}`);
    found_list.children[chosen].scrollIntoView({block: 'nearest'});
  } else {
    search.removeAttribute('aria-activedescendant');
  }
}

function choose(i) {
  if (i < 0 || i >= found.length) return;
  close_found();
  select_op(found[i], true);
}

function close_found() {
  found_list.hidden = true;
  search.setAttribute('aria-expanded', false);
}
