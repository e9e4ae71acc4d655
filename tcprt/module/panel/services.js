// Who has how many requests, and where their time goes.
import {bar, legend, who} from './phases.js';

export function mountServices(el, kit, pick) {
  const {h, fmt} = kit;
  el.append(h('header', {class: 'card-head'}, h('h3', {id: 'rt-services'}, 'Services')),
    h('p', {class: 'note'}, 'Of the last seconds. Press a row to see its past and its requests.'), legend(kit));
  const t = kit.table(el, {
    caption: 'Services and their requests', rowKey: s => s.id, filter: 'Filter services', sort: {key: 'rate', dir: -1}, limit: 25, onrow: s => pick(s.id),
    columns: [
      {key: 'name', label: 'Service', value: who},
      {key: 'role', label: 'Role', value: s => s.role},
      {key: 'rate', label: 'Req/s', align: 'end', value: s => s.rate, show: s => fmt.number(Math.round(s.rate * 10) / 10)},
      {key: 'failed', label: 'Failed', align: 'end', value: s => s.failed, show: s => h('span', {class: s.failed > 0.01 ? 'rt-much' : null}, s.rate > 0 ? fmt.percent(s.failed) : fmt.NONE)},
      {key: 'p50', label: 'p50', align: 'end', value: s => s.p50_seconds, show: s => s.rate > 0 ? fmt.seconds(s.p50_seconds) : fmt.NONE},
      {key: 'p99', label: 'p99', align: 'end', value: s => s.p99_seconds, show: s => s.rate > 0 ? fmt.seconds(s.p99_seconds) : fmt.NONE},
      {key: 'phases', label: 'Mean time by phase', sort: false, value: s => JSON.stringify(s.phase_mean_seconds), show: s => bar(kit, s.phase_mean_seconds)},
      {key: 'resent', label: 'Resent/s', align: 'end', value: s => s.retransmits_per_second, show: s => fmt.number(Math.round(s.retransmits_per_second * 10) / 10)},
      {key: 'open', label: 'Conns', align: 'end', value: s => s.connections},
      {key: 'wait', label: 'Under way', align: 'end', value: s => s.inflight},
    ],
    empty: h('p', null, 'No requests yet. Whatever talks TCP on this node will be here; nothing needs to be configured.'),
  });
  return all => t.set(all);
}
