// The figures at the top.
import {isLS, micros} from './classes.js';

export function mountTiles(el, kit) {
  const {fmt} = kit;
  const node = kit.tile(el, {label: 'Node CPU', title: 'Share of the node’s CPU in use'});
  const ls = kit.tile(el, {label: 'LS uses', unit: 'cores', title: 'CPU used by the latency-sensitive classes'});
  const be = kit.tile(el, {label: 'BE uses', unit: 'cores', title: 'CPU used by best effort, and its cap'});
  const wait = kit.tile(el, {label: 'LS waits, p99', title: 'Time from being ready to being on a CPU, 99th percentile'});
  const throttled = kit.tile(el, {label: 'LS throttled', title: 'Share of periods in which a latency-sensitive group ran out of quota'});
  const writes = kit.tile(el, {label: 'Agent writes', unit: 'per min', title: 'Kernel files written in the last minute; none in steady state'});
  const perMinute = rateOfWrites(kit);

  return status => {
    const n = status.node ?? {}, used = n.cpus ? n.busy_cores / n.cpus : null;
    node.set(fmt.percent(used), `${fmt.cores(n.busy_cores)} of ${n.cpus} cores${n.steal_cores > 0.01 ? ` · ${fmt.cores(n.steal_cores)} stolen` : ''}`, {part: used});
    const classes = status.classes ?? [];
    const l = classes.filter(c => isLS(c.class)), b = classes.find(c => c.class === 'BE');
    const lsUsed = l.reduce((s, c) => s + c.used_cores, 0);
    ls.set(fmt.cores(lsUsed), count(l.reduce((s, c) => s + c.workloads, 0)), {part: n.cpus ? lsUsed / n.cpus : 0, colour: 'class-LS'});
    const cap = status.be_cap_cores;
    be.set(fmt.cores(b?.used_cores ?? 0), cap == null ? `${count(b?.workloads ?? 0)} · no cap in force` : `cap ${fmt.cores(cap)} cores`,
      {part: (b?.used_cores ?? 0) / (cap ?? (n.cpus || 1)), colour: 'class-BE'});
    const p99 = worst(l, 'runq_p99_us');
    wait.set(micros(kit, p99), l.length === 0 ? 'no latency-sensitive group' : p99 == null ? 'not measured here' : `p50 ${micros(kit, worst(l, 'runq_p50_us'))}`, {tone: p99 > 5000 ? 'warn' : ''});
    const t = worst(l, 'throttled_ratio');
    throttled.set(fmt.percent(t), t == null ? 'no latency-sensitive group' : t > 0 ? 'of periods ran out' : 'never', {tone: t > 0.05 ? 'warn' : ''});
    const [rate, note] = perMinute(status);
    writes.set(rate == null ? fmt.NONE : fmt.number(rate), note, {});
  };
}

const count = n => n === 1 ? '1 workload' : `${n} workloads`;

const worst = (classes, key) => classes.reduce((m, c) => c[key] == null ? m : Math.max(m ?? 0, c[key]), null);

// rateOfWrites prefers the counter of the history; without history it counts
// the decisions the agent remembers.
function rateOfWrites(kit) {
  let counted = null;
  kit.onTick(async signal => {
    counted = null;
    if (kit.agent.noHistory()) return;
    const [r] = await kit.query('sum(rate(anole_qos_knob_writes_total[1m])) * 60', {signal});
    counted = r?.value ?? null;
  }, 'history');
  return status => {
    const recent = (status.decisions ?? []).filter(d => d.time > status.time - 60000).length;
    const value = counted == null ? recent : Math.round(counted * 10) / 10;
    const last = status.decisions?.[0];
    return [value, last ? `last ${kit.fmt.moment(last.time)}` : 'none yet'];
  };
}
