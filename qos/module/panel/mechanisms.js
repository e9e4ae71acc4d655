// What the controller uses on this node for each of its parts, and why that; and
// what it must do without.

export function mountMechanisms(el, kit) {
  const {h} = kit;
  const quiet = s => h('span', {class: 'quiet-text'}, s);
  const using = h('section', {class: 'card span', 'aria-labelledby': 'qos-uses'}, h('header', {class: 'card-head'}, h('h3', {id: 'qos-uses'}, 'What this node uses, and why')),
    h('p', {class: 'note'}, 'The best that kernel and hardware offer of each; what is off says what it lacks.'));
  const without = h('section', {class: 'card span', 'aria-labelledby': 'qos-without'}, h('header', {class: 'card-head'}, h('h3', {id: 'qos-without'}, 'Done without')),
    h('p', {class: 'note'}, 'What is missing here. The controller works without it.'));
  el.append(using, without);
  const mechanisms = kit.table(using, {
    caption: 'Mechanisms in use', rowKey: m => m.name,
    columns: [
      {key: 'name', label: 'For', sort: false, value: m => m.name, show: m => h('strong', null, m.name)},
      {key: 'using', label: 'Using', sort: false, value: m => m.using, show: m => idle(m) ? kit.chip(m.using || 'nothing') : kit.code(m.using)},
      {key: 'why', label: 'Why', sort: false, value: m => m.why, wide: true, show: m => quiet(m.why)},
    ],
    empty: 'The QoS room named no mechanism.',
  });
  const degraded = kit.table(without, {
    caption: 'Missing features', rowKey: d => `${d.feature} ${d.reason}`, limit: 12,
    columns: [
      {key: 'feature', label: 'Feature', value: d => d.feature, show: d => h('strong', null, d.feature)},
      {key: 'reason', label: 'Reason', value: d => d.reason, show: d => kit.chip(String(d.reason ?? '').replaceAll('_', ' '), 'warn')},
      {key: 'detail', label: 'Detail', sort: false, value: d => d.detail, wide: true, show: d => quiet(d.detail)},
    ],
    empty: 'Nothing is missing: every feature of the room works on this node.',
  });
  return status => {
    const disks = new Set((status.io ?? []).map(d => `io ${d.disk}`)); // those have a table of their own
    mechanisms.set((status.mechanisms ?? []).filter(m => !disks.has(m.name)));
    degraded.set(status.degraded ?? []);
  };
}

const idle = m => !m.using || m.using === 'off';
