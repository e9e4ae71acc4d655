// Who runs in which class.
import {chip, CLASSES, micros} from './classes.js';
import {explainer} from './explain.js';

const POINTS = 40; // of a sparkline

export function mountWorkloads(el, kit) {
  const {h, fmt} = kit;
  let cpus = 1;
  let history = new Map(); // workload → values
  const explain = explainer(kit);
  const past = w => history.get(w.id) ?? history.get(w.name) ?? null;

  el.append(h('header', {class: 'card-head'}, h('h3', {id: 'qos-who'}, 'Who runs in which class')),
    h('p', {class: 'note'}, 'Press a row to see its files and why they hold what they hold.'));
  const t = kit.table(el, {
    caption: 'Workloads and their classes', rowKey: w => w.id, filter: 'Filter workloads', sort: {key: 'used', dir: -1}, limit: 50,
    onrow: w => explain(w),
    columns: [
      {key: 'name', label: 'Workload', value: w => w.name || w.id},
      {key: 'class', label: 'Class', value: w => w.class, order: w => CLASSES.indexOf(w.class), show: w => chip(kit, w.class)},
      {key: 'used', label: 'CPU', title: 'Cores in use, against the limit or the node', align: 'end', value: w => w.used_cores,
        show: w => h('span', {class: 'qos-used'}, fmt.cores(w.used_cores), kit.meter(w.used_cores / (w.limit_cores ?? w.cap_cores ?? cpus), `class-${w.class}`))},
      {key: 'past', label: 'In this range', sort: false, value: w => past(w)?.join() ?? '',
        show: w => past(w) ? kit.spark(past(w), {colour: `class-${w.class}`, top: w.limit_cores ?? 0.1}) : ''},
      {key: 'limit', label: 'Limit', title: 'Its own limit, or its part of the best-effort cap', align: 'end', value: w => w.limit_cores ?? w.cap_cores, show: w => limit(fmt, w)},
      {key: 'memory', label: 'Memory', title: 'In use, and what it is held to', align: 'end', order: w => w.memory?.used_bytes, value: w => memory(fmt, w.memory), show: w => memory(fmt, w.memory)},
      {key: 'throttled', label: 'Throttled', align: 'end', value: w => w.throttled_ratio,
        show: w => h('span', {class: w.throttled_ratio > 0.05 && w.class !== 'BE' ? 'qos-much' : null}, fmt.percent(w.throttled_ratio))},
      {key: 'burst', label: 'Burst plan', value: w => burst(kit, w.burst), wide: true},
      {key: 'rule', label: 'Classed by', value: w => w.rule, wide: true, show: w => h('span', {class: 'quiet-text'}, w.rule)},
    ],
    empty: h('div', null, h('p', null, 'No workload is classed yet. Start one, or write a rule in the policy file:'),
      h('p', null, kit.code('anole qos run --class be -- cmd'))),
  });

  let rows = [];
  kit.onTick(async signal => {
    if (kit.agent.noHistory()) return;
    const w = kit.timeRange.window();
    const step = Math.max(w.step, Math.ceil((w.to - w.from) / POINTS / 5) * 5);
    const window = {from: w.to - Math.floor((w.to - w.from) / step) * step, to: w.to, step, rate: Math.max(20, step)};
    const {series} = await kit.range('sum by (workload) (rate(anole_qos_workload_cpu_usage_seconds_total[$w]))', {window, signal});
    history = new Map(series.map(s => [s.labels.workload, s.values.map(v => v === null ? null : Math.round(v * 1000) / 1000)]));
    t.set(rows);
  }, 'history');

  return status => {
    cpus = status.node?.cpus || 1;
    rows = status.workloads ?? [];
    t.set(rows);
  };
}

// limit is a workload's own limit, or else its part of the best-effort cap.
export const limit = (fmt, w) => w.limit_cores != null ? fmt.cores(w.limit_cores) : w.cap_cores != null ? `cap ${fmt.cores(w.cap_cores)}` : 'none';

// memory is what a workload uses and, for best effort, what it is held to.
const memory = (fmt, m) => !m ? fmt.NONE : m.bound_bytes != null ? `${fmt.bytes(m.used_bytes)} ≤ ${fmt.bytes(m.bound_bytes)}` : fmt.bytes(m.used_bytes);

// burst writes a plan as the kernel is told it.
export function burst(kit, b) {
  if (!b || b.mode === 'off') return 'off';
  const parts = [`P=${micros(kit, b.period_us)}`, `Q=${micros(kit, b.quota_us)}`, `B=${micros(kit, b.burst_us)}`];
  if (b.credits) parts.push(b.credits === 1 ? '1 credit' : `${b.credits} credits`);
  return `${parts.join(' ')} (${b.mode})`;
}
