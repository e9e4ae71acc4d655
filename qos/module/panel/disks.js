// By what means best-effort IO is held on each disk, and how much it may do.

export function mountDisks(el, kit) {
  const {h, fmt} = kit;
  el.append(h('header', {class: 'card-head'}, h('h3', {id: 'qos-disks'}, 'Block IO')),
    h('p', {class: 'note'}, 'What best-effort work may do on each disk, and how long latency-sensitive requests take there.'));
  const t = kit.table(el, {
    caption: 'Disks', rowKey: d => d.disk, sort: {key: 'disk', dir: 1}, limit: 50,
    columns: [
      {key: 'disk', label: 'Disk', value: d => d.disk, show: d => h('strong', null, d.disk)},
      {key: 'by', label: 'Held by', value: d => d.mechanism, show: d => kit.code(d.mechanism)},
      {key: 'limit', label: 'Best-effort limit', value: d => d.be_limit?.write_bytes ?? Infinity, show: d => limit(d, fmt.bytes)},
      {key: 'latency', label: 'LS latency', title: 'Share of the objective', align: 'end', value: d => d.latency,
        show: d => d.latency ? fmt.percent(d.latency) : '–'},
      {key: 'why', label: 'Why', sort: false, wide: true, value: d => d.be_limit_why, show: d => h('span', {class: 'quiet-text'}, d.be_limit_why)},
    ],
    empty: 'No disk is controlled on this node.',
  });
  return status => {
    el.hidden = !(status.io ?? []).length;
    t.set(status.io ?? []);
  };
}

const limit = (d, bytes) => d.be_limit ? `read ${bytes(d.be_limit.read_bytes)}/s, write ${bytes(d.be_limit.write_bytes)}/s` : 'none';
