// The live charts. All of them answer from the agent's metrics history.
import {CLASSES, colour, order} from './classes.js';

const HINT = ['Nothing ran in a class yet. Start something:', 'anole qos run --class be -- nice-to-have-job'];

export function mountCharts(el, kit) {
  const {h} = kit;
  const hint = () => h('div', null, h('p', null, HINT[0]), h('p', null, kit.code(HINT[1])));
  const byClass = {name: l => l.class, colour, order};
  const usage = 'anole_qos_cpu_usage_seconds_total';

  kit.chart(el, {
    title: 'CPU given and taken', unit: 'cores', height: 260, empty: hint(),
    note: 'Cores used by each class, stacked. Where best effort touches its cap, the controller holds it back for the rest.',
    queries: [
      {...byClass, expr: `sum by (class) (rate(${usage}[$w]))`, idle: false, stack: true, width: 1.2},
      {expr: `clamp_max(sum(rate(${usage}[$w])) - (sum(rate(${usage}{class="BE"}[$w])) or vector(0)) + scalar(anole_qos_be_cap_cores), scalar(anole_qos_node_cpu_capacity_cores))`,
        name: 'BE cap, on top of the rest', colour: 'bad', dash: [5, 4], order: () => 90, width: 1.6},
      {expr: 'anole_qos_node_cpu_capacity_cores', name: 'capacity', colour: 'muted', dash: [2, 3], order: () => 91, width: 1.6},
    ],
  }).el.classList.add('span');

  const quantile = q => `histogram_quantile(${q}, sum by (class, le) (rate(anole_qos_runqueue_latency_seconds_bucket[$w])))`;
  kit.chart(el, {
    title: 'Run-queue latency', unit: 'seconds', log: true, empty: hint(),
    note: 'From ready to running, by class: p99 solid, p50 dashed. Logarithmic.',
    queries: [
      {...byClass, expr: quantile(0.99), name: l => `${l.class} p99`, width: 2},
      {...byClass, expr: quantile(0.5), name: l => `${l.class} p50`, order: l => order(l) + CLASSES.length, dash: [4, 3], width: 1.2},
    ],
  });
  const per = name => `sum by (class) (rate(anole_qos_cpu_${name}[$w]))`;
  kit.chart(el, {
    title: 'Throttling', unit: 'ratio', max: 0.05, empty: hint(),
    note: 'Share of quota periods that ran dry. Best effort is meant to; latency-sensitive is not.',
    queries: [{...byClass, expr: `${per('throttled_periods_total')} / (${per('periods_total')} > 0)`, fill: true}],
  });
  kit.chart(el, {
    title: 'CPU Burst', unit: 'cores', max: 0.05, empty: 'No group spent banked CPU in this time range.',
    note: 'CPU taken beyond the quota out of what a group had banked before.',
    queries: [{...byClass, expr: per('burst_seconds_total'), idle: false, fill: true}],
  });
  mountPressure(el, kit, byClass);
}

// mountPressure shows one resource of PSI at a time.
function mountPressure(el, kit, byClass) {
  const slot = kit.h('div', {class: 'qos-slot'});
  const pick = kit.h('div', {'aria-label': 'Resource', class: 'qos-pick'});
  el.append(slot);
  let chart = null;
  const show = resource => {
    chart?.destroy();
    chart = kit.chart(slot, {
      title: 'Pressure', unit: 'ratio', max: 0.02, tools: pick, empty: 'No pressure data for this: not measured, or the kernel runs without PSI.',
      note: 'Share of time in which some task of the class stood still for want of it (PSI some).',
      queries: [{...byClass, expr: `sum by (class) (rate(anole_qos_pressure_stall_seconds_total{resource="${resource}",kind="some"}[$w]))`}],
    });
  };
  const mark = kit.radios(pick, [['cpu', 'CPU'], ['memory', 'memory'], ['io', 'IO']].map(([value, label]) => ({value, label})), show);
  mark('cpu');
  show('cpu');
}
