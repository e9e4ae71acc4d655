// The figures at the top.
import {isLS} from './classes.js';

export function mountTiles(el, kit) {
  const {fmt} = kit;
  const node = kit.tile(el, {label: 'Node CPU', title: 'Share of the node’s CPU in use'});
  const ls = kit.tile(el, {label: 'LS uses', unit: 'cores', title: 'CPU used by the latency-sensitive classes'});
  const be = kit.tile(el, {label: 'BE uses', unit: 'cores', title: 'CPU used by best effort, and its cap'});
  const wait = kit.tile(el, {label: 'LS waits, p99', title: 'Time from being ready to being on a CPU, 99th percentile'});
  const throttled = kit.tile(el, {label: 'LS throttled', title: 'Share of periods in which a latency-sensitive group ran out of quota'});
  const writes = kit.tile(el, {label: 'Agent writes', unit: 'per min', title: 'Kernel files written in the last minute; none in steady state'});
  const recent = lastMinute(kit);
  const perMinute = rateOfWrites(recent, kit);

  return status => {
    const n = status.node ?? {}, used = n.cpus ? n.busy_cores / n.cpus : null;
    node.set(fmt.percent(used), `${fmt.cores(n.busy_cores)} of ${n.cpus} cores${n.steal_cores > 0.01 ? ` · ${fmt.cores(n.steal_cores)} stolen` : ''}`, {part: used});
    const classes = status.classes ?? [];
    const l = classes.filter(c => isLS(c.class)), b = classes.find(c => c.class === 'BE');
    const lsUsed = l.reduce((s, c) => s + c.used_cores, 0);
    ls.set(fmt.cores(lsUsed), count(l.reduce((s, c) => s + c.workloads, 0)), {part: n.cpus ? lsUsed / n.cpus : 0, colour: 'class-LS'});
    const cap = status.be_cap_cores;
    be.set(fmt.cores(b?.used_cores ?? 0), cap == null ? `${count(b?.workloads ?? 0)} · no cap in force` : `cap ${fmt.cores(cap)} cores${status.be_cap_why ? ` · ${status.be_cap_why}` : ''}`,
      {part: (b?.used_cores ?? 0) / (cap ?? (n.cpus || 1)), colour: 'class-BE'});
    const r = recent();
    const p99 = r.p99 ?? inSeconds(worst(l, 'runq_p99_us')), p50 = r.p50 ?? inSeconds(worst(l, 'runq_p50_us'));
    wait.set(fmt.seconds(p99), l.length === 0 ? 'no latency-sensitive group' : p99 == null ? 'not measured here' : `p50 ${fmt.seconds(p50)}`, {tone: p99 > 0.005 ? 'warn' : ''});
    const t = r.throttled ?? worst(l, 'throttled_ratio');
    throttled.set(fmt.percent(t), t == null ? 'no latency-sensitive group' : t > 0 ? 'of periods ran out' : 'never', {tone: t > 0.05 ? 'warn' : ''});
    const [rate, note] = perMinute(status);
    writes.set(rate == null ? fmt.NONE : fmt.number(rate), note, {});
  };
}

const count = n => n === 1 ? '1 workload' : `${n} workloads`;

const worst = (classes, key) => classes.reduce((m, c) => c[key] == null ? m : Math.max(m ?? 0, c[key]), null);

const inSeconds = us => us == null ? null : us / 1e6;

const LS = '{class=~"LS|LSR|LSE"}';
const quantile = q => `histogram_quantile(${q}, sum by (le) (rate(anole_qos_runqueue_latency_seconds_bucket{class=~"LS|LSR|LSE"}[1m])))`;
const LAST_MINUTE = {
  p50: quantile(0.5), p99: quantile(0.99),
  throttled: `sum(rate(anole_qos_cpu_throttled_periods_total${LS}[1m])) / (sum(rate(anole_qos_cpu_periods_total${LS}[1m])) > 0)`,
  writes: 'sum(rate(anole_qos_knob_writes_total[1m])) * 60',
};

// lastMinute asks the history, since the room's own figures count from its
// start. Without history they are all there is.
function lastMinute(kit) {
  let values = {}, asked = 0;
  // On the status tick, since these are of now whatever the page's time range;
  // no more often than the history has something new.
  kit.onTick(async signal => {
    if (Date.now() - asked < 4500) return;
    asked = Date.now();
    if (kit.agent.noHistory()) {
      values = {};
      return;
    }
    const answers = await Promise.all(Object.entries(LAST_MINUTE).map(async ([k, expr]) => [k, (await kit.query(expr, {signal}))[0]?.value]));
    values = Object.fromEntries(answers);
  });
  return () => values;
}

// rateOfWrites counts the decisions the agent remembers where there is no
// history.
function rateOfWrites(recent, kit) {
  return status => {
    const all = status.decisions ?? [];
    const value = recent().writes ?? all.filter(d => d.time > status.time - 60000).length;
    return [Math.round(value * 10) / 10, all.length ? `last ${kit.fmt.moment(all[0].time)}` : 'none yet'];
  };
}
