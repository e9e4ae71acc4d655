// What the controller wrote, and why.
import {basename} from './classes.js';

export function mountDecisions(el, kit) {
  const {h, fmt} = kit;
  let all = [], controller = '', names = new Map();
  const choice = h('select', {'aria-label': 'Controller', onchange: () => {
    controller = choice.value;
    draw();
  }}, h('option', {value: ''}, 'all controllers'));
  el.append(h('header', {class: 'card-head'}, h('h3', {id: 'qos-wrote'}, 'What the controller wrote and why')),
    h('p', {class: 'note'}, 'Newest first. A value is written only when it changes; the first one of each file is kept to be put back.'));
  const t = kit.table(el, {
    caption: 'Writes to kernel files', rowKey: d => d.key, filter: 'Filter by workload, file or reason', tools: choice, limit: 12,
    columns: [
      {key: 'time', label: 'Time', value: d => fmt.moment(d.time), order: d => d.time},
      {key: 'controller', label: 'Controller', value: d => d.controller},
      {key: 'workload', label: 'Workload', value: d => d.name},
      {key: 'file', label: 'File', value: d => basename(d.file), show: d => h('span', {title: d.file}, kit.code(basename(d.file)))},
      {key: 'change', label: 'Old → new', sort: false, value: d => `${d.old} → ${d.new}`, show: d => change(kit, d)},
      {key: 'why', label: 'Why', sort: false, value: d => d.why, wide: true},
      {key: 'result', label: 'Result', value: d => d.result, show: d => result(kit, d)},
    ],
    empty: h('div', null, h('p', null, 'Nothing was written yet: the node is as the agent found it. Give it something to do:'),
      h('p', null, kit.code('anole qos run --class be -- cmd'))),
  });
  const draw = () => t.set(all.filter(d => !controller || d.controller === controller));

  return status => {
    names = new Map((status.workloads ?? []).map(w => [w.id, w.name || w.id]));
    all = keyed(status.decisions ?? [], names);
    offer(choice, h, all);
    draw();
  };
}

// keyed names each decision, also two equal ones of one moment.
function keyed(decisions, names) {
  const seen = new Map();
  return decisions.map(d => {
    const key = `${d.time} ${d.file} ${d.new}`, n = seen.get(key) ?? 0;
    seen.set(key, n + 1);
    return {...d, key: `${key} ${n}`, name: names.get(d.workload) ?? d.workload ?? ''};
  });
}

// offer adds the controllers that have come up to the choice.
function offer(choice, h, all) {
  const have = new Set([...choice.options].map(o => o.value));
  for (const c of new Set(all.map(d => d.controller))) if (!have.has(c)) choice.append(h('option', {value: c}, c));
}

export const change = (kit, d) => kit.h('span', {class: 'qos-change'}, kit.h('code', {class: 'qos-old'}, d.old || '∅'),
  kit.h('span', {class: 'quiet-text'}, ' → '), kit.h('code', null, d.new || '∅'));

export function result(kit, d) {
  const r = d.result ?? '';
  return kit.chip(r.startsWith('error') ? r : r || 'ok', r === 'ok' || r === '' ? 'ok' : r === 'gone' ? 'quiet' : 'bad');
}
