// By what means the controller works on this node, and what it must do without.

export function mountMechanisms(el, kit) {
  const {h} = kit;
  const using = h('section', {class: 'card'}, h('header', {class: 'card-head'}, h('h3', null, 'Mechanisms')),
    h('p', {class: 'note'}, 'The best that this kernel offers of each, and why that one.'));
  const without = h('section', {class: 'card'}, h('header', {class: 'card-head'}, h('h3', null, 'Done without')),
    h('p', {class: 'note'}, 'What is missing here. The controller works without it.'));
  el.append(using, without);
  const mechanisms = kit.table(using, {
    caption: 'Mechanisms in use', rowKey: m => m.name,
    columns: [
      {key: 'name', label: 'For', value: m => m.name, show: m => h('strong', null, m.name)},
      {key: 'using', label: 'Using', value: m => m.using, show: m => m.using ? kit.code(m.using) : 'nothing'},
      {key: 'why', label: 'Why', sort: false, value: m => m.why, wide: true, show: m => h('span', {class: 'quiet-text'}, m.why)},
    ],
    empty: 'The QoS room named no mechanism.',
  });
  const degraded = kit.table(without, {
    caption: 'Missing features', rowKey: d => `${d.feature} ${d.reason}`,
    columns: [
      {key: 'feature', label: 'Feature', value: d => d.feature, show: d => h('strong', null, d.feature)},
      {key: 'reason', label: 'Reason', value: d => d.reason, show: d => kit.chip(String(d.reason ?? '').replaceAll('_', ' '), 'warn')},
      {key: 'detail', label: 'Detail', sort: false, value: d => d.detail, wide: true, show: d => h('span', {class: 'quiet-text'}, d.detail)},
    ],
    empty: 'Nothing is missing: every feature of the room works on this node.',
  });
  return status => {
    mechanisms.set(status.mechanisms ?? []);
    degraded.set(status.degraded ?? []);
  };
}
