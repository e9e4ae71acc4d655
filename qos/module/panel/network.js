// What the classes send and receive over the interfaces that are shared.
import {colour, order} from './classes.js';

const NAMES = {REST: 'the rest'};

export function mountNetwork(el, kit) {
  const rate = direction => `sum by (class) (rate(anole_qos_net_bytes_total{direction="${direction}"}[$w]))`;
  kit.chart(el, {
    title: 'Network', unit: 'bytes', empty: 'No interface is shared: the policy names none (net.interfaces).',
    note: 'Bytes a second on the wire, by class: sent solid, received dashed.',
    queries: ['out', 'in'].map((direction, i) => ({
      expr: rate(direction), colour, name: l => `${NAMES[l.class] ?? l.class} ${direction}`, order: l => order(l) + 10 * i,
      width: 2 - 0.8 * i, dash: i ? [4, 3] : undefined,
    })),
  });
}
