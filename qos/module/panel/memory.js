// Memory: what each class uses, what of it is kept for it or held back, and
// what the node has left.
import {chip, CLASSES, colour, order} from './classes.js';
import {section, card, facts, once, palette, using} from './section.js';

export function mountMemory(el, kit) {
  const s = section(el, kit, {title: 'Memory', build});
  return status => {
    if (status.node?.memory) s.on(status);
    else s.off(using(status, 'memory')?.why || 'the node’s memory is not known yet');
  };
}

function build(grid, kit) {
  const {fmt} = kit;
  const node = facts(kit);
  const done = recent(kit);
  const box = card(kit, 'qos-memory', 'Memory', 'What each class uses, what is kept for it while others are reclaimed from, and what best effort is held to.', node.el);
  grid.append(box);
  const size = v => v ? fmt.bytes(v) : fmt.NONE;
  const t = kit.table(box, {
    caption: 'Memory by class', rowKey: c => c.class,
    columns: [
      {key: 'class', label: 'Class', sort: false, value: c => c.class, show: c => chip(kit, c.class)},
      {key: 'count', label: 'Workloads', sort: false, align: 'end', value: c => c.count},
      {key: 'used', label: 'Used', sort: false, align: 'end', value: c => c.used, show: c => fmt.bytes(c.used)},
      {key: 'cache', label: 'of it cache', sort: false, align: 'end', value: c => c.cache, show: c => fmt.bytes(c.cache)},
      {key: 'protected', label: 'Protected', sort: false, align: 'end', value: c => c.protected, show: c => size(c.protected)},
      {key: 'bound', label: 'Bound', sort: false, align: 'end', title: 'What those of its workloads that are held to a bound may have together', value: c => c.bound,
        show: c => c.bounded ? `${fmt.bytes(c.bound)} (${c.bounded})` : fmt.NONE},
      {key: 'faults', label: 'Major faults', sort: false, align: 'end', title: 'Page faults that waited for a disk', value: c => c.faults, show: c => fmt.number(c.faults)},
      {key: 'kills', label: 'OOM kills', sort: false, align: 'end', value: c => c.kills,
        show: c => kit.h('span', {class: c.kills > 0 && c.class !== 'BE' ? 'qos-much' : null}, String(c.kills))},
    ],
    empty: 'No workload is classed yet.',
  });
  const byClass = {name: l => l.class, colour, order};
  kit.chart(grid, {
    title: 'Memory by class', unit: 'bytes', note: 'Charged to each class, stacked. Where best effort touches its bound, the controller holds it back for the rest.',
    queries: [
      {...byClass, expr: 'sum by (class) (anole_qos_memory_used_bytes) > 0', stack: true, width: 1.2},
      {expr: '(sum(anole_qos_memory_used_bytes{class!="BE"}) or vector(0)) + sum(anole_qos_memory_bound_bytes{class="BE"})', name: 'BE bound, on top of the rest', colour: 'bad', dash: [5, 4], order: () => 90},
    ],
  });
  kit.chart(grid, {
    title: 'Memory of the node', unit: 'bytes', note: 'Best effort is held back when what is free comes near what is to be kept free.',
    queries: [['available', 'series-3'], ['free', 'series-1'], ['target', 'muted']].map(([kind, colour], i) => ({
      expr: `anole_qos_node_memory_bytes{kind="${kind}"}`, name: kind === 'target' ? 'to be kept free' : kind, colour, order: i, dash: kind === 'target' ? [5, 4] : undefined,
    })),
  });
  // What may never happen gets its chart when it does.
  const faults = once(() => kit.chart(grid, {
    title: 'Major faults', unit: 'rate', max: 1, note: 'Page faults that waited for a disk, by class. Latency-sensitive work should have none.',
    empty: 'None in this time range.',
    queries: [{...byClass, expr: 'sum by (class) (rate(anole_qos_memory_major_faults_total[$w]))', idle: false}],
  }));
  const by = palette();
  const taken = once(() => kit.chart(grid, {
    title: 'Taken back', unit: 'flow', max: 1 << 20, empty: 'Nothing in this time range: there was enough for all.',
    note: 'Bytes a second taken back from best effort, by the control file that did it.',
    queries: [{expr: 'sum by (mechanism) (rate(anole_qos_memory_reclaimed_bytes_total[$w]))', name: l => l.mechanism, colour: l => by(l.mechanism), idle: false, fill: true}],
  }));
  return status => {
    const m = status.node.memory, r = done();
    node.set([
      ['available', `${fmt.bytes(m.available_bytes)} of ${fmt.bytes(m.total_bytes)}`], ['free', fmt.bytes(m.free_bytes)], ['to be kept free', fmt.bytes(m.target_free_bytes)],
      ['taken back from BE', r.reclaimed === undefined ? fmt.NONE : fmt.bytes(r.reclaimed)], ['evictions', r.evictions === undefined ? fmt.NONE : fmt.number(r.evictions)],
    ]);
    const classes = byClassOf(status.workloads ?? []);
    t.set(classes);
    faults(classes.some(c => c.faults > 0));
    taken(r.reclaimed > 0);
  };
}

// recent are the agent's counts since its start, from the history.
function recent(kit) {
  const ASK = {reclaimed: 'sum(anole_qos_memory_reclaimed_bytes_total) or vector(0)', evictions: 'sum(anole_qos_memory_evictions_total) or vector(0)'};
  let values = {};
  kit.onTick(async signal => {
    if (kit.agent.noHistory()) return;
    values = Object.fromEntries(await Promise.all(Object.entries(ASK).map(async ([k, expr]) => [k, (await kit.query(expr, {signal}))[0]?.value])));
  }, 'history');
  return () => values;
}

// byClassOf adds up what the workloads of each class have.
function byClassOf(workloads) {
  const out = new Map();
  for (const {class: c, memory: m} of workloads) {
    if (!m) continue;
    if (!out.has(c)) out.set(c, {class: c, count: 0, used: 0, cache: 0, protected: 0, bound: 0, bounded: 0, faults: 0, kills: 0});
    const s = out.get(c);
    s.count++;
    s.used += m.used_bytes;
    s.cache += m.cache_bytes;
    s.protected += m.protected_bytes;
    s.faults += m.major_faults;
    s.kills += m.oom_kills;
    if (m.bound_bytes == null) continue;
    s.bound += m.bound_bytes;
    s.bounded++;
  }
  return [...out.values()].sort((a, b) => CLASSES.indexOf(a.class) - CLASSES.indexOf(b.class));
}
