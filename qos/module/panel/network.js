// What the classes send and receive over the interfaces that are shared.
import {chip, colour, order} from './classes.js';
import {section, card, once, using} from './section.js';

const NAMES = {REST: 'the rest'};
const name = c => NAMES[c] ?? c;

export function mountNetwork(el, kit) {
  const s = section(el, kit, {title: 'Network', build});
  return status => {
    const links = status.network ?? [];
    if (links.some(l => l.classes?.length)) s.on(status);
    else s.off(links.length ? links.map(l => `${l.interface}: ${l.why}`).join('; ') : using(status, 'network')?.why || 'no interface is shared');
  };
}

function build(grid, kit) {
  const {h, fmt} = kit;
  const box = card(kit, 'qos-network', 'Network', 'What each class is guaranteed of an interface, and what it sent and received there since it is shared.');
  grid.append(box);
  const lost = (n, c) => h('span', {class: n > 0 && c !== 'BE' ? 'qos-much' : null}, fmt.number(n));
  const t = kit.table(box, {
    caption: 'Interfaces', rowKey: r => r.key, limit: 24,
    columns: [
      {key: 'link', label: 'Interface', sort: false, value: r => r.first ? r.link : '', show: r => r.first ? h('strong', null, r.link) : ''},
      {key: 'by', label: 'Shared by', sort: false, value: r => r.first ? r.using : '', show: r => r.first ? r.using === 'off' ? kit.chip('off') : kit.code(r.using) : ''},
      {key: 'rate', label: 'Out / in', sort: false, value: r => r.first ? r.rates || r.why : '', show: r => !r.first ? '' : r.rates || h('span', {class: 'quiet-text'}, r.why)},
      {key: 'class', label: 'Class', sort: false, value: r => r.class, show: r => r.class ? chip(kit, r.class, name(r.class)) : ''},
      {key: 'least', label: 'Guaranteed', sort: false, align: 'end', value: r => r.least},
      {key: 'sent', label: 'Sent', sort: false, align: 'end', value: r => r.sent, show: r => fmt.bytes(r.sent)},
      {key: 'sentLost', label: 'dropped', sort: false, align: 'end', title: 'Packets', value: r => r.sentLost, show: r => lost(r.sentLost, r.class)},
      {key: 'got', label: 'Received', sort: false, align: 'end', value: r => r.got, show: r => fmt.bytes(r.got)},
      {key: 'gotLost', label: 'dropped', sort: false, align: 'end', title: 'Packets', value: r => r.gotLost, show: r => lost(r.gotLost, r.class)},
    ],
  });
  const both = (metric, more) => ['out', 'in'].map((direction, i) => ({
    expr: `sum by (class) (rate(${metric}{direction="${direction}"}[$w]))`, colour, name: l => `${name(l.class)} ${direction}`,
    order: l => order(l) + 10 * i, width: 2 - 0.8 * i, dash: i ? [4, 3] : undefined, ...more,
  }));
  kit.chart(grid, {title: 'Network by class', unit: 'flow', note: 'Bytes a second on the wire: sent solid, received dashed.', queries: both('anole_qos_net_bytes_total', {idle: false}), empty: 'Nothing was sent or received in this time range.'});
  const dropped = once(() => kit.chart(grid, {
    title: 'Packets dropped', unit: 'rate', max: 1, note: 'To hold a class to its share, or for want of room in its queue.', empty: 'None in this time range.',
    queries: both('anole_qos_net_dropped_packets_total', {idle: false}),
  }));
  return status => {
    const all = status.network.flatMap(rows);
    t.set(all);
    dropped(all.some(r => r.sentLost > 0 || r.gotLost > 0));
  };
}

// rows gives one for each class of an interface.
function rows(l) {
  const first = {key: l.interface, first: true, link: l.interface, using: l.using, rates: l.rate ? `${l.rate} / ${l.ingress || 'not held'}` : '', why: l.why ?? ''};
  if (!l.classes?.length) return [first];
  return l.classes.map((c, i) => ({
    ...i ? {} : first, key: `${l.interface} ${c.class}`, class: c.class, least: c.guaranteed,
    sent: c.sent_bytes, sentLost: c.sent_dropped, got: c.received_bytes, gotLost: c.received_dropped,
  }));
}
