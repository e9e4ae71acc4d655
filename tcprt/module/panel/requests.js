// The slowest requests of late, and those that are not answered yet.
import {bar, PHASES, MEANING, who} from './phases.js';
import {what} from './routes.js';

export function mountRequests(el, kit) {
  const {h, fmt} = kit;
  const sheet = kit.drawer({title: 'Connection'});
  let service = '', failed = false;
  const query = more => new URLSearchParams({...(service ? {service} : {}), ...more}).toString();
  const only = h('label', {class: 'rt-only'}, h('input', {type: 'checkbox', onchange: e => { failed = e.target.checked; }}), ' only failed ones');
  const slowCard = h('section', {class: 'card span', 'aria-labelledby': 'rt-slow'}, h('header', {class: 'card-head'}, h('h3', {id: 'rt-slow'}, 'Slowest requests')),
    h('p', {class: 'note'}, 'Of those that are kept (tcprt.records): with tail the slow, the failed and a sample. Press one for its connection.'));
  const waitCard = h('section', {class: 'card span', 'aria-labelledby': 'rt-wait'}, h('header', {class: 'card-head'}, h('h3', {id: 'rt-wait'}, 'Under way')));
  el.append(slowCard, waitCard);
  const slow = kit.table(slowCard, {
    caption: 'Slowest requests', rowKey: key, filter: 'Filter requests', tools: only, limit: 20, onrow: r => connection(r),
    columns: [
      {key: 'time', label: 'Time', value: r => fmt.moment(Date.parse(r.time)), order: r => Date.parse(r.time)},
      {key: 'who', label: 'Service', value: r => `${who(r)} (${r.role})`},
      {key: 'peer', label: 'Peer', value: r => r.remote},
      {key: 'what', label: 'Request', value: r => [what(r), r.status].filter(Boolean).join(' ')},
      {key: 'total', label: 'Took', align: 'end', value: r => r.total_seconds, show: r => fmt.seconds(r.total_seconds)},
      {key: 'phases', label: 'By phase', sort: false, value: r => JSON.stringify(r.phases_seconds), show: r => bar(kit, r.phases_seconds)},
      {key: 'bytes', label: 'Asked → answered', align: 'end', value: r => r.answer_bytes, show: r => `${fmt.bytes(r.request_bytes)} → ${fmt.bytes(r.answer_bytes)}`},
      {key: 'resent', label: 'Resent', align: 'end', value: r => r.retransmits ?? 0},
      {key: 'flags', label: 'Notes', value: r => r.flags ?? '', wide: true},
    ],
    empty: 'No request is kept yet.',
  });
  const waiting = kit.table(waitCard, {
    caption: 'Requests under way', rowKey: key, limit: 20,
    columns: [
      {key: 'age', label: 'Age', align: 'end', value: r => r.age_seconds, show: r => fmt.seconds(r.age_seconds)},
      {key: 'who', label: 'Service', value: r => `${who(r)} (${r.role})`},
      {key: 'peer', label: 'Peer', value: r => r.remote},
      {key: 'what', label: 'Request', value: what},
      {key: 'state', label: 'State', value: r => r.state},
      {key: 'bytes', label: 'Asked → answered', align: 'end', value: r => r.answer_bytes, show: r => `${fmt.bytes(r.request_bytes)} → ${fmt.bytes(r.answer_bytes)}`},
      {key: 'process', label: 'Process', value: r => r.pid ? `${r.pid} ${r.command}` : ''},
    ],
    empty: 'Every request is answered.',
  });

  // connection shows the kept requests of one, in their order, with their phases.
  async function connection(r) {
    const q = new URLSearchParams({service: r.service, limit: '2000'});
    const all = (await kit.fetchJSON(`/api/v1/tcprt/slow?${q}`)).requests.filter(x => x.local === r.local && x.remote === r.remote)
      .sort((a, b) => a.number - b.number).slice(-60);
    if (!all.length) all.push(r); // it is kept no longer
    const top = Math.max(...all.map(x => x.total_seconds));
    const began = x => Date.parse(x.time) / 1000, first = Math.min(...all.map(began)), whole = Math.max(1e-9, ...all.map(x => began(x) + x.total_seconds - first));
    kit.put(sheet.body, h('p', null, `${who(r)}, ${r.role}: ${r.local} with ${r.remote}`),
      h('dl', {class: 'rt-facts'}, PHASES.filter(p => r.phases_seconds[p] !== undefined).map(p => fact(h, `${p}, ${MEANING[p]}`, fmt.seconds(r.phases_seconds[p]))),
        fact(h, 'round trip, least', `${fmt.seconds(r.rtt_seconds)}, ${fmt.seconds(r.min_rtt_seconds)}`), fact(h, 'sent again, out of order', `${r.retransmits ?? 0}, ${r.out_of_order ?? 0}`),
        fact(h, 'held up by the window, by the buffer', `${fmt.seconds(r.window_limited_seconds ?? 0)}, ${fmt.seconds(r.buffer_limited_seconds ?? 0)}`),
        what(r) ? fact(h, 'request', [what(r), r.status].filter(Boolean).join(' ')) : null, r.traceparent ? fact(h, 'traceparent', r.traceparent) : null,
        r.pid ? fact(h, 'process', `${r.pid} ${r.command}`) : null, r.flags ? fact(h, 'notes', r.flags) : null),
      h('h4', null, `Requests of it that are kept: ${all.length}, in ${fmt.seconds(whole)}`),
      h('div', {class: 'rt-when', role: 'img', 'aria-label': 'When each of them was under way'}, all.map(x => h('i', {class: x.number === r.number ? 'rt-this' : null, title: `#${x.number}, ${fmt.seconds(x.total_seconds)}`,
        vars: {'--x': `${(100 * (began(x) - first) / whole).toFixed(2)}%`, '--w': `${(100 * x.total_seconds / whole).toFixed(3)}%`}}))),
      h('ol', {class: 'rt-line'}, all.map(x => h('li', {class: x.number === r.number ? 'rt-this' : null}, h('span', {class: 'quiet-text'}, `#${x.number} `),
        h('span', {class: 'rt-track'}, h('span', {class: 'rt-part', vars: {'--w': `${Math.max(2, 100 * x.total_seconds / top).toFixed(1)}%`}}, bar(kit, x.phases_seconds))), ` ${fmt.seconds(x.total_seconds)}`))));
    sheet.open();
  }

  return {
    pick(id) { service = id; },
    async tick(signal) {
      const s = await kit.fetchJSON(`/api/v1/tcprt/slow?${query({limit: '100', ...(failed ? {failed: 'true'} : {})})}`, {signal});
      slow.set(s.requests ?? []);
      const w = await kit.fetchJSON(`/api/v1/tcprt/inflight?${query({limit: '100'})}`, {signal});
      waiting.set(w.requests ?? []);
    },
  };
}

const key = r => `${r.local} ${r.remote} ${r.number} ${r.role} ${r.time}`;
const fact = (h, k, v) => h('div', null, h('dt', null, k), h('dd', null, v));
