// The drawer that explains one workload: its files, and what was decided.
import {chip, basename} from './classes.js';
import {burst, limit} from './workloads.js';
import {change, result} from './decisions.js';

// memory says what it uses, what of it is kept or held, and what went wrong.
function memory(fmt, m) {
  if (!m) return 'not controlled here';
  const parts = [`${fmt.bytes(m.used_bytes)} used`];
  if (m.cache_bytes) parts.push(`${fmt.bytes(m.cache_bytes)} of it cache`);
  if (m.protected_bytes) parts.push(`${fmt.bytes(m.protected_bytes)} protected`);
  if (m.bound_bytes != null) parts.push(`held to ${fmt.bytes(m.bound_bytes)}`);
  if (m.limit_bytes != null) parts.push(`limit ${fmt.bytes(m.limit_bytes)}`);
  parts.push(m.major_faults === 1 ? '1 major fault' : `${fmt.number(m.major_faults)} major faults`);
  if (m.oom_kills) parts.push(`${m.oom_kills} killed for lack of it`);
  if (m.note) parts.push(m.note);
  return parts.join(', ');
}

const io = (fmt, r) => !r ? 'none lately'
  : `reads ${fmt.flow(r.read_bytes)} in ${fmt.number(r.read_ops)} requests, writes ${fmt.flow(r.write_bytes)} in ${fmt.number(r.write_ops)}`;

// explainer returns open(workload).
export function explainer(kit) {
  const {h, fmt} = kit;
  let id = null;
  const drawer = kit.drawer({onclose: () => {
    id = null;
  }});
  const facts = h('dl', {class: 'qos-facts'});
  const files = h('section', null, h('h3', null, 'Its files'));
  const steps = h('ol', {class: 'qos-steps'});
  const trouble = h('p', {class: 'query-error', role: 'alert', hidden: true});
  drawer.body.append(trouble, facts, files, h('section', null, h('h3', null, 'What was decided'), steps));
  const table = kit.table(files, {
    caption: 'Kernel files of the workload', rowKey: f => f.file,
    columns: [
      {key: 'file', label: 'File', value: f => basename(f.file), show: f => h('span', {title: f.file}, kit.code(basename(f.file)))},
      {key: 'original', label: 'Original', sort: false, value: f => f.original, show: f => kit.code(f.original)},
      {key: 'current', label: 'Current', sort: false, value: f => f.current, show: f => kit.code(f.current)},
      {key: 'wanted', label: 'Wanted', sort: false, value: f => f.wanted,
        show: f => h('span', {class: f.wanted === f.current ? null : 'qos-much'}, kit.code(f.wanted))},
      {key: 'controller', label: 'By', value: f => f.controller},
      {key: 'why', label: 'Why', sort: false, value: f => f.why, wide: true},
    ],
    empty: 'The agent changed no file of it.',
  });

  const show = ({workload: w, files: list, decisions}) => {
    kit.put(facts, Object.entries({
      'Cgroup': kit.code(w.cgroup), 'Classed by': `${w.rule} (${w.source})`, 'CPU': `${fmt.cores(w.used_cores)} cores`,
      'Limit': limit(fmt, w), 'Throttled': `${fmt.percent(w.throttled_ratio)} of periods`,
      'Burst': w.burst && w.burst.mode !== 'off' ? `${burst(kit, w.burst)}, by ${w.burst.kernel}` : 'off',
      'Real-time threads': String(w.rt_threads ?? 0), 'Memory': memory(fmt, w.memory), 'Block IO': io(fmt, w.io),
      'Network': w.network ? `counts as ${w.network === 'REST' ? 'the rest' : w.network}` : 'left alone', 'Id': kit.code(w.id),
      ...(w.labels ? {'Labels': Object.entries(w.labels).map(([k, v]) => `${k}=${v}${w.labels_from?.[k] ? ` (from ${w.labels_from[k]})` : ''}`).join(', ')} : {}),
      ...(w.pod ? {'Pod': w.pod} : {}),
      ...(w.image ? {'Image': w.image} : {}),
      ...(w.sources?.length > 1 ? {'Told by': w.sources.join(', ')} : {}),
      ...(w.refused ? {'Not followed': w.refused.map(r => `${r.key}=${r.value}${w.labels_from?.[r.key] ? ` (from ${w.labels_from[r.key]})` : ''}: ${r.text}`).join('; ')} : {}),
      ...(w.conflicts ? {'Sources disagree': w.conflicts.map(c => `${c.field} is ${c.taken} by ${c.from}, ${c.refused} by ${c.opposing}`).join('; ')} : {}),
    }).map(([k, v]) => h('div', null, h('dt', null, k), h('dd', null, v))));
    table.set(list ?? []);
    const some = decisions ?? [];
    kit.put(steps, some.length ? some.map(d => h('li', null,
      h('time', {datetime: new Date(d.time).toISOString()}, fmt.moment(d.time)), h('span', {class: 'qos-step'},
        h('span', null, kit.code(basename(d.file)), ' ', change(kit, d), ' ', result(kit, d)), h('span', {class: 'quiet-text'}, `${d.controller}: ${d.why}`))))
      : h('li', {class: 'quiet-text'}, 'Nothing yet.'));
  };

  const ask = async signal => {
    const asked = id;
    if (asked === null) return;
    try {
      const answer = await kit.fetchJSON(`/api/v1/qos/explain?${new URLSearchParams({id: asked})}`, {signal});
      if (asked !== id) return;
      trouble.hidden = true;
      show(answer);
    } catch (err) {
      if (signal?.aborted || asked !== id) return;
      trouble.hidden = false;
      kit.text(trouble, err.status === 404 ? 'This workload is gone.' : err.message);
    }
  };
  kit.onTick(ask);

  return w => {
    id = w.id;
    trouble.hidden = true;
    kit.put(facts);
    kit.put(steps);
    table.set([]);
    drawer.open([h('span', null, w.name || w.id), chip(kit, w.class)]);
    ask();
  };
}
