// By what means best-effort IO is held on each disk, how much it may do, and
// how long latency-sensitive requests take there.
import {colour, order} from './classes.js';
import {section, card, once, palette, using} from './section.js';

export function mountDisks(el, kit) {
  const s = section(el, kit, {title: 'Block IO', build});
  return status => {
    if (status.io?.length) s.on(status);
    else s.off(using(status, 'io')?.why || 'no disk is controlled on this node');
  };
}

function build(grid, kit) {
  const {h, fmt} = kit;
  const box = card(kit, 'qos-disks', 'Block IO', 'What best-effort work may do on each disk, and how long latency-sensitive requests take there.');
  grid.append(box);
  const quiet = s => h('span', {class: 'quiet-text'}, s);
  const t = kit.table(box, {
    caption: 'Disks', rowKey: d => d.disk, sort: {key: 'disk', dir: 1}, limit: 8,
    columns: [
      {key: 'disk', label: 'Disk', value: d => d.disk, show: d => h('strong', null, d.disk)},
      {key: 'by', label: 'Held by', value: d => d.mechanism, show: d => d.mechanism === 'off' ? kit.chip('off') : kit.code(d.mechanism)},
      {key: 'because', label: 'because', sort: false, wide: true, value: d => d.why, show: d => quiet(d.why)},
      {key: 'limit', label: 'Best effort may', order: d => d.be_limit?.write_bytes ?? Infinity, value: d => limit(d, fmt), show: d => limit(d, fmt)},
      {key: 'latency', label: 'LS latency', title: 'Time of latency-sensitive requests, as a share of the objective', align: 'end', value: d => d.latency,
        show: d => d.latency ? h('span', {class: d.latency > 1 ? 'qos-much' : null}, fmt.percent(d.latency)) : fmt.NONE},
      {key: 'alone', label: 'without BE', title: 'What a latency-sensitive request takes without best-effort IO', align: 'end', value: d => d.quiet_us,
        show: d => d.quiet_us ? fmt.seconds(d.quiet_us / 1e6) : fmt.NONE},
      {key: 'why', label: 'Last decision', sort: false, wide: true, value: d => d.be_limit_why, show: d => quiet(d.be_limit_why || 'none needed')},
    ],
  });
  const bytes = ['read', 'write'].map((direction, i) => ({
    expr: `sum by (class) (rate(anole_qos_io_bytes_total{direction="${direction}"}[$w]))`, colour, name: l => `${l.class} ${direction}`,
    order: l => order(l) + 10 * i, width: 2 - 0.8 * i, dash: i ? [4, 3] : undefined, idle: false,
  }));
  kit.chart(grid, {title: 'Block IO by class', unit: 'flow', note: 'Bytes a second on the disks above: read solid, written dashed.', queries: bytes,
    empty: 'No workload touched these disks in this time range.'});
  const latency = once(() => mountLatency(grid, kit));
  return status => {
    t.set(status.io.map(d => ({...d})));
    latency(status.io.some(d => d.latency > 0));
  };
}

// mountLatency comes once some disk has a latency to show.
const mountLatency = (grid, kit, by = palette()) => kit.chart(grid, {
  title: 'LS request latency', unit: 'ratio', max: 1.2, note: 'As a share of the objective, by disk. Above 100 % best effort is given less.',
  queries: [
    {expr: 'topk(8, last_over_time(anole_qos_io_ls_latency_ratio[$w]))', name: l => l.disk, colour: l => by(l.disk)},
    {expr: 'vector(1)', name: 'objective', colour: 'bad', dash: [5, 4], order: () => 90},
  ],
});

function limit(d, fmt) {
  const l = d.be_limit;
  if (d.mechanism === 'off') return fmt.NONE;
  if (!l) return 'all it wants';
  return `read ${fmt.flow(l.read_bytes)}, write ${fmt.flow(l.write_bytes)}`;
}
